"""The pipeline as plain text: its stages in the order in which they would run, what leads from one to the next, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbledger.commands.text import clip, some
from nbledger.core import wording
from nbledger.core.pipeline import STAGE, Node, Pipeline
from nbledger.core.wording import counted

_LISTED, _NAME, _PATH = 4, 32, 60


def pipeline(found: Pipeline) -> str:
    """One line a stage: its step (stages of one step do not wait for each other), its state, what it reads (and which
    stage makes that) and what it makes; below it, why it is stale.
    """
    stages = [node for node in found.nodes if node.kind == STAGE]
    problems = [f"problem: {problem}" for problem in found.problems]
    if not stages:
        return "\n".join(problems) or "there is no dvc.yaml"
    makers = _makers(found)
    steps = _steps(stages, makers)
    width = min(_NAME, max(len(node.label) for node in stages))
    margin = len(str(max(steps.values())))
    lines, last = [_summary(found.files, stages)], 0
    for node in sorted(stages, key=lambda node: steps[node.id]):
        step = steps[node.id]
        number = str(step) if step != last else ""
        state = "stale" if node.stale else "may run" if node.may_run else "fresh"
        reads = [f"{clip(dep, _PATH)}{_by(makers.get(dep, []))}" for dep in node.deps or filter(None, [node.notebook])]
        flow = f"{wording.some(reads, _LISTED) or '–'} → {some(node.outs, _LISTED, _PATH) or '–'}"
        lines.append(f"{number:>{margin}}  {state:7}  {clip(node.label, _NAME):{width}}  {flow}")
        lines += [f"{'':{margin + 11}}{why}" for why in node.why]
        last = step
    return "\n".join([*lines, *problems])


def _summary(files: Sequence[str], stages: Sequence[Node]) -> str:
    stale, waiting = sum(node.stale for node in stages), sum(node.may_run for node in stages)
    where = files[0] if len(files) == 1 else f"{len(files)} dvc.yaml files"
    said = [f"{stale} stale"] if stale else []
    said += [f"{waiting} may run after {'it' if stale == 1 else 'them'}"] if waiting else []
    count = counted(len(stages), "stage")
    return f"{where}: {count}, {', '.join(said) or 'all up to date'}"


def _by(makers: Sequence[str]) -> str:
    return f" (by {some(makers, 2, _NAME)})" if makers else ""


def _makers(found: Pipeline) -> dict[str, list[str]]:
    """{path: the stages that make it, or files of the folder that it is, or the folder that it lies in}."""
    stages = {node.id for node in found.nodes if node.kind == STAGE}
    before: dict[str, list[str]] = {}
    for edge in found.edges:
        before.setdefault(edge["to"], []).append(edge["from"])
    made: dict[str, list[str]] = {}
    for node in found.nodes:
        if node.kind != STAGE:
            direct = before.get(node.id, [])
            inner = [one for each in direct if each not in stages for one in before.get(each, [])]
            made[node.label] = list(dict.fromkeys(one for one in (*direct, *inner) if one in stages))
    return made


def _steps(stages: Sequence[Node], makers: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """{stage: one more than the greatest of those that it waits for}; what lies in a circle comes last."""
    needs = {n.id: {maker for dep in n.deps for maker in makers.get(dep, ()) if maker != n.id} for n in stages}
    steps: dict[str, int] = {}
    level = 1
    while needs:
        free = [stage for stage, others in needs.items() if not others & needs.keys()] or list(needs)
        for stage in free:
            steps[stage] = level
            del needs[stage]
        level += 1
    return steps
