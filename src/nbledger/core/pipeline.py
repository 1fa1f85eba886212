"""``pipeline``: the stages of every ``dvc.yaml`` as a graph with the data between them; which are stale, and why.

Nothing is executed. What is broken is told in ``problems``, and the rest is shown.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nbledger.core import codestages, dvc, dvcgraph
from nbledger.core.codestages import Cells, Code
from nbledger.core.dvcfiles import Out
from nbledger.core.dvcgraph import Stage, Used
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

STAGE, DATA = "stage", "data"
_WHY = 12


@dataclass(frozen=True)
class Node:
    """A stage, or data that a stage reads or writes (``kind``). A stage's ``id`` is how ``dvc repro`` calls it; ``why`` says
    in words why it is stale, or why it ``may_run``: a stage before it is stale, and DVC runs this one if that one's outputs
    come out otherwise. ``notebook`` and ``cell`` say where its code is (the id of its first cell), from the root.
    """

    id: str
    kind: str
    label: str
    cmd: str = ""
    file: str = ""
    stale: bool = False
    why: tuple[str, ...] = ()
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    may_run: bool = False
    notebook: str = ""
    cell: str = ""


@dataclass(frozen=True)
class Pipeline:
    """``edges`` lead from what is made first to what is made of it: {"from", "to"} of node ids."""

    files: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    edges: tuple[dict[str, str], ...] = ()
    problems: tuple[str, ...] = ()


def pipeline(project: Project) -> Pipeline:
    """The graph as the work tree has it now."""
    files = dvcgraph.files(project)
    if not files:
        return Pipeline()
    stages, problems = dvcgraph.load(project, files)
    now = _hashes(project, stages)
    sources = _sources(project, problems)
    codes = codestages.all_written(
        project, [(s.cmd, _base(s), [out.path for out in s.outs]) for s in stages if s.always], problems
    )
    names = {id(stage): _address(project, stage) for stage in stages}
    nodes = [_stage_node(project, names[id(stage)], stage, now, codes) for stage in stages]
    nodes = _may_run(stages, nodes, set(codes))
    written = {out.path for stage in stages for out in stage.outs}
    data = {used.path: used for stage in stages for used in (*stage.deps, *stage.outs)}
    nodes += [_data_node(used, now, None if path in written else sources.get(path)) for path, used in data.items()]
    edges = [
        *((_data_id(dep.path), names[id(stage)]) for stage in stages for dep in stage.deps),
        *((names[id(stage)], _data_id(out.path)) for stage in stages for out in stage.outs),
        *_nested(data, written),
    ]
    pairs = tuple({"from": one, "to": other} for one, other in dict.fromkeys(edges))
    return Pipeline(tuple(files), tuple(nodes), pairs, tuple(problems))


def _address(project: Project, stage: Stage) -> str:
    prefix = dvc.require_root(project).relative_to(project.root).as_posix()
    file = stage.file if prefix == "." else stage.file[len(prefix) + 1 :]
    return stage.name if file == "dvc.yaml" else f"{file}:{stage.name}"


def _base(stage: Stage) -> str:
    """The folder that its command's notebook is relative to."""
    return posixpath.dirname(stage.file)


def _data_id(path: str) -> str:
    return f"data:{path}"


def _hashes(project: Project, stages: Iterable[Stage]) -> dict[str, str | None]:
    """{path: its hash now, in the kind of hash it was locked with} of everything that stages read and write here."""
    used = {u.path: u for stage in stages for u in (*stage.outs, *stage.deps) if _here(u)}
    outs = [
        Out(u.path, u.md5, 0, 1, u.md5.endswith(".dir"), "", legacy=u.legacy and bool(u.md5)) for u in used.values()
    ]
    return dict(zip(used, dvc.hashes_now(project, outs), strict=True))


def _here(used: Used) -> bool:
    return used.local and not used.path.startswith("../")


def _sources(project: Project, problems: list[str]) -> dict[str, Out]:
    """What ``.dvc`` files track, by path."""
    try:
        return {out.path: out for out in dvc.outputs(project)[0] if out.stage is None}
    except LedgerError as err:
        problems.append(str(err))
        return {}


def _stage_node(
    project: Project, name: str, stage: Stage, now: Mapping[str, str | None], codes: Mapping[str, Code]
) -> Node:
    why = _why(project, stage, now, codes)
    shown = why if len(why) <= _WHY else [*why[:_WHY], f"and {len(why) - _WHY} more"]
    where = _cells(project, stage)
    return Node(
        name,
        STAGE,
        name,
        stage.cmd,
        stage.file,
        bool(why),
        tuple(shown),
        tuple(dep.path for dep in stage.deps),
        tuple(out.path for out in stage.outs),
        stage.params,
        tuple(out.path for out in stage.outs if out.metric),
        notebook=where.notebook,
        cell=where.cell,
    )


def _cells(project: Project, stage: Stage) -> Cells:
    writes = codestages.notebook_of(stage.cmd, _base(stage))
    runs = codestages.notebook_of(stage.cmd, _base(stage), "run")
    return codestages.cells(project, runs, stage.name) if runs else Cells(writes or "")


def _why(project: Project, stage: Stage, now: Mapping[str, str | None], codes: Mapping[str, Code]) -> list[str]:
    """Why ``dvc repro`` would run the stage; of one that writes code, why it would write other code."""
    why = []
    if stage.outs and all(out.path in codes for out in stage.outs):
        if not stage.locked:
            return ["never run"]
        lacking = [out.path for out in stage.outs if now.get(out.path) != codes[out.path].md5]
        return [f"{path} is not the code of {codes[path].notebook} as it is now" for path in lacking]
    if stage.always or not (stage.deps or stage.params or stage.frozen):
        why.append("it runs every time" if stage.always else "it has no dependencies: it runs every time")
    if not stage.locked:
        return [*why, "never run"]
    if not stage.frozen:
        why += ["the command changed"] if stage.cmd_changed else []
        for dep in stage.deps:
            code = codes.get(dep.path)  # what is there when the stage's turn has come
            if code is not None and dep.md5:
                why += [codestages.changes(project, code, dep.md5)] if code.md5 != dep.md5 else []
            else:
                why += [f"the dependency {dep.path} {state}" for dep, state in _states([dep], now)]
        why += [f"the parameter {name} changed" for name in stage.changed_params]
    return why + [f"the output {out.path} {state}" for out, state in _states(stage.outs, now)]


def _may_run(stages: Sequence[Stage], nodes: Sequence[Node], known: set[str]) -> list[Node]:
    """Mark the stages that come after stale ones. What is written to ``known`` is known without running anything."""
    makers = {out.path: at for at, stage in enumerate(stages) for out in stage.outs if out.path not in known}
    before = {at: _makers(stage, makers) for at, stage in enumerate(stages) if not stage.frozen}
    found = dict[int, tuple[str, int]]()  # stage: (what it reads, who makes it anew)
    waiting = [at for at, node in enumerate(nodes) if node.stale]
    after: dict[int, list[tuple[int, str]]] = {}
    for at, made in before.items():
        for path, maker in made:
            after.setdefault(maker, []).append((at, path))
    while waiting:
        maker = waiting.pop()
        for at, path in after.get(maker, ()):
            if at not in found and not nodes[at].stale:
                found[at] = (path, maker)
                waiting.append(at)
    return [
        replace(node, may_run=True, why=(_after(found[at][0], nodes[found[at][1]]),)) if at in found else node
        for at, node in enumerate(nodes)
    ]


def _after(path: str, maker: Node) -> str:
    return f"it reads {path}, which {maker.label} {'makes' if maker.stale else 'may make'} anew"


def _makers(stage: Stage, makers: Mapping[str, int]) -> list[tuple[str, int]]:
    """(what the stage reads, which stage makes it): the file itself, the folder it lies in, or files in a folder."""
    found = []
    for dep in stage.deps:
        path, above = dep.path, dep.path
        while above:
            if above in makers:
                found.append((path, makers[above]))
                break
            above = posixpath.dirname(above)
        else:
            found += [(path, at) for out, at in makers.items() if out.startswith(path + "/")]
    return found


def _states(items: Sequence[Used], now: Mapping[str, str | None]) -> list[tuple[Used, str]]:
    found = []
    for used in items:
        if used.path in now and now[used.path] != used.md5:
            state = "is missing" if now[used.path] is None else "changed" if used.md5 else "is new"
            found.append((used, state))
    return found


def _data_node(used: Used, now: dict[str, str | None], tracked: Out | None) -> Node:
    why = []
    if used.path in now and now[used.path] is None:
        why.append("it is missing")
    elif tracked is not None and tracked.md5 and now.get(used.path) != tracked.md5 and tracked.cached:
        why.append("changed since it was tracked")
    file = tracked.pointer if tracked is not None else ""
    return Node(_data_id(used.path), DATA, used.path, file=file, stale=bool(why), why=tuple(why))


def _nested(data: Iterable[str], written: set[str]) -> list[tuple[str, str]]:
    """A folder that a stage reads and others write into comes after those files; a file of an output after the folder."""
    paths = set(data)
    edges = []
    for path in sorted(paths):
        above = posixpath.dirname(path)
        while above:
            if above in paths:
                inner, outer = _data_id(path), _data_id(above)
                edges.append((inner, outer) if path in written else (outer, inner))
                break
            above = posixpath.dirname(above)
    return edges
