"""What a stage should declare, from what its cells were seen to do: files read and written, modules imported, parameters."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import defuse, dvc, git, moduleuse, stagecells, stageparams, stages
from nbledger.core.project import Project
from nbledger.core.record import ExecutedCell
from nbledger.core.stages import Plan, Stage

DEP, PARAM, OUT, METRIC, PLOT = "deps", "params", "outs", "metrics", "plots"
KINDS = (DEP, PARAM, OUT, METRIC, PLOT)
_IMAGES = (".png", ".svg", ".jpg", ".jpeg", ".gif")
_TABLES = (".json", ".yaml", ".yml", ".toml")
_METRICS = 64 << 10  # bytes; larger files are no metrics
_FOLDER = 8  # files of one folder, all of them used, from which on the folder is declared
_NEVER = "no recorded run has seen its code, so only what is named is declared: nbledger stage --run executes it first"
_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_OWN_FILES = ("dvc.yaml", "dvc.lock", stages.PARAMS)


@dataclass(frozen=True)
class Given:
    """What the person says that the stage declares: paths from the project's root, parameters as ``-p`` takes them.
    ``only``: nothing that was observed is added.
    """

    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    only: bool = False


@dataclass(frozen=True)
class Line:
    """One entry of the stage, and why it is there."""

    kind: str
    value: str
    why: str


@dataclass(frozen=True)
class Proposal:
    """A stage as it would be written. ``left_out``: what was seen and is not part of it, and why; ``changes``: how this
    differs from what ``dvc.yaml`` has (``+`` and ``-`` lines), where it has the stage; ``exists``: it has.
    """

    plan: Plan
    lines: tuple[Line, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    exists: bool = False
    changes: tuple[str, ...] = ()
    observed: bool = True

    @property
    def changed(self) -> bool:
        return not self.exists or bool(self.changes)


@dataclass
class _Found:
    """What is being put together: {kind: {entry: why}}."""

    entries: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    left_out: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def put(self, kind: str, value: str, why: str) -> None:
        self.entries[kind].setdefault(value, why)

    def has(self, value: str) -> bool:
        return any(value in entries for entries in self.entries.values())


def propose(
    project: Project,
    notebook: str,
    book: Any,
    name: str,
    executed: Sequence[ExecutedCell],
    modules: Sequence[str],
    given: Given,
    making: Collection[str] = (),
) -> Proposal:
    """What the stage ``name`` of ``notebook`` (its path from the root, and ``book``, its cells) should declare, from what
    ``executed`` cells did and the project's own ``modules`` that were loaded. ``making``: files that stages will make which
    are yet to be written.
    """
    chosen = stagecells.slice_of(book, name)
    known = next((each for each in stages.notebook_stages(project, notebook) if each.name == name), None)
    others = {n: each for n, each in stages.stages(project).items() if known is None or each != known}
    found = _Found()
    ran, unseen = _matched(book, chosen, executed)
    _say_given(found, given)
    if not given.only:
        _observed(project, notebook, name, found, [cell for _, cell in ran], others)
        for path in moduleuse.used(project.root, modules, [book.cells[at].source for at in chosen.indexes]):
            found.put(DEP, path, "imported")
        _declared(project, found, known, complete=not unseen)
    _parameters(project, book, chosen, found, given, known)
    found.remarks += stagecells.remarks(name, chosen.borrowed, stagecells.left_out(book, chosen))
    if unseen and not given.only:
        found.remarks.append(_not_run(book, unseen, len(chosen.indexes)) if ran else _NEVER)
    _check(project, found, {*making, *(out for each in others.values() for out in _made(each))})
    plan = _plan(name, notebook, found)
    lines = tuple(Line(kind, value, why) for kind in KINDS for value, why in found.entries[kind].items())
    left = tuple(sorted(found.left_out.items()))
    changes = _changes(project, known, plan) if known is not None else ()
    exists = known is not None
    return Proposal(plan, lines, left, tuple(dict.fromkeys(found.remarks)), exists, changes, not unseen)


def _matched(
    book: Any, chosen: stagecells.Slice, executed: Sequence[ExecutedCell]
) -> tuple[list[tuple[int, ExecutedCell]], list[int]]:
    """(the newest execution of each of the stage's cells, those that have not run as they are)."""
    newest = {stagecells.plain(cell.source): cell for cell in executed}
    ran: list[tuple[int, ExecutedCell]] = []
    unseen: list[int] = []
    for at in chosen.indexes:
        cell = newest.get(stagecells.plain(book.cells[at].source))
        if cell is not None:
            ran.append((at, cell))
        elif at in chosen.own or defuse.names_of(book.cells[at].source).opaque:
            unseen.append(at)
    return ran, unseen


def _not_run(book: Any, unseen: Sequence[int], total: int) -> str:
    first = next((line.strip() for line in book.cells[unseen[0]].source.splitlines() if line.strip()), "")
    which = f"the cell “{first[:50]}” has" if len(unseen) == 1 else f"{len(unseen)} of its {total} cells have"
    return f"{which} not run as it is now: what it reads and writes was not seen"


# ── what was said, and what was seen ──────────────────────────────────────────────────────────────────────────
def _say_given(found: _Found, given: Given) -> None:
    for kind, paths in ((METRIC, given.metrics), (PLOT, given.plots), (OUT, given.outs), (DEP, given.deps)):
        for path in paths:
            found.put(kind, path, "given")


def _observed(
    project: Project,
    notebook: str,
    name: str,
    found: _Found,
    ran: Sequence[ExecutedCell],
    others: Mapping[str, Stage],
) -> None:
    reads: dict[str, None] = {}
    written: dict[str, None] = {}
    in_place: set[str] = set()
    for cell in ran:
        reads |= {path: None for path in cell.reads if path not in written}
        in_place |= set(cell.reads) & set(cell.writes) - set(written)
        written |= dict.fromkeys(cell.writes)
        bears = stagecells.stage_of(cell.source)
        if bears not in (None, name):
            found.left_out |= dict.fromkeys(cell.writes, f"written by a cell of the stage {bears}")
        for program in cell.children:
            found.remarks.append(f"it starts {program}, whose files are not seen: name them with -d and -o")
    for path in sorted(in_place):
        found.left_out[path] = "read and then changed by the same cell: no stage can depend on its own output"
    own = _own_files(project, notebook)
    wrote = [path for path in written if path not in in_place and path not in found.left_out]
    for path in (*reads, *written):
        if posixpath.isabs(path) and (path in reads or os.path.exists(path)):
            found.left_out[path] = "outside of the project"
    wrote = [path for path in wrote if not posixpath.isabs(path)]
    reads = {path: None for path in reads if not path.startswith(_PACKAGE)}
    found.left_out = {path: why for path, why in found.left_out.items() if not path.startswith(_PACKAGE)}
    reads = {path: None for path in reads if path not in in_place}
    for path in (*reads, *wrote):
        if path in own or _machinery(project, path):
            found.left_out[path] = own.get(path, "of DVC or nbledger")
    _outs(project, found, [path for path in wrote if path not in found.left_out], others)
    for path in _folded(project, [path for path in reads if path not in found.left_out]):
        if not found.has(path) and not _covered(path, found.entries[OUT]):
            found.put(DEP, path, "read")


def _own_files(project: Project, notebook: str) -> dict[str, str]:
    base = stages.prefix(project)
    own = {notebook: "the notebook itself: its code is in stages/"}
    own |= {posixpath.join(base, file): "of DVC" for file in _OWN_FILES}
    own[posixpath.join(base, stages.PARAMS)] = "parameters are named one by one: -p"
    return own


def _machinery(project: Project, path: str) -> bool:
    folders = path.split("/")
    inner = posixpath.relpath(path, stages.prefix(project) or ".")
    return bool({".dvc", ".git", ".nbledger"} & set(folders)) or inner.startswith(f"{stages.FOLDER}/")


def _outs(project: Project, found: _Found, wrote: Sequence[str], others: Mapping[str, Stage]) -> None:
    taken = {
        path: stage for stage, each in others.items() for path in _made(each)
    }  # what another stage declares is its own
    folded = _folded(project, wrote)
    in_git = git.tracked(project.git, folded) if project.git is not None and folded else set()
    for path in folded:
        if found.has(path):
            continue
        if path in taken:
            found.left_out[path] = f"an output of the stage {taken[path]}"
        elif (pointer := _pointer(project, path)) is not None:
            found.left_out[path] = f"tracked by {pointer}: dvc remove {pointer} first"
        elif _is_metrics(project.root / path):
            found.put(METRIC, path, "written: numbers by name")
        elif path.lower().endswith(_IMAGES):
            found.put(PLOT, path, "written: an image")
        elif path in in_git or any(each.startswith(f"{path}/") for each in in_git):
            found.left_out[path] = f"tracked by Git: git rm --cached {path}, or -M or --plots, which may stay in Git"
        else:
            found.put(OUT, path, "written")


def _pointer(project: Project, path: str) -> str | None:
    try:
        out = dvc.lookup(project, path)
    except Exception:  # a broken DVC file is told of by status; here it tracks nothing
        return None
    return out.pointer if out is not None and out.stage is None else None


def _folded(project: Project, paths: Iterable[str]) -> list[str]:
    """The paths, with a folder for its files where DVC tracks the folder, or all of its many files were used."""
    listed = list(dict.fromkeys(paths))
    by_folder: dict[str, list[str]] = {}
    for path in listed:
        by_folder.setdefault(posixpath.dirname(path), []).append(path)
    whole: dict[str, str] = {}
    for folder, inner in by_folder.items():
        dataset = _dataset(project, inner[0])
        if dataset is not None:
            whole |= dict.fromkeys(inner, dataset)
        elif folder and len(inner) >= _FOLDER and _all_of(project.root / folder, len(inner)):
            whole |= dict.fromkeys(inner, folder)
    return list(dict.fromkeys(whole.get(path, path) for path in listed))


def _dataset(project: Project, path: str) -> str | None:
    """The tracked folder that holds the file."""
    try:
        out = dvc.lookup(project, path)
    except Exception:  # as above
        return None
    return out.path if out is not None and out.path != path else None


def _all_of(folder: Path, used: int) -> bool:
    try:
        return sum(1 for each in os.scandir(folder) if each.is_file()) <= used
    except OSError:
        return False


def _covered(path: str, outs: Iterable[str]) -> bool:
    return any(path == out or path.startswith(f"{out}/") for out in outs)


def _is_metrics(path: Path) -> bool:
    """Whether a file holds numbers by name, and nothing else."""
    try:
        if path.suffix.lower() not in _TABLES or path.stat().st_size > _METRICS:
            return False
        table = stages.parsed(path.name, path.read_text(encoding="utf-8"))
    except Exception:  # whatever it is, it is no file of metrics
        return False
    return isinstance(table, dict) and bool(table) and _numbers(table)


def _numbers(table: Any) -> bool:
    if isinstance(table, dict):
        return all(_numbers(value) for value in table.values())
    return isinstance(table, int | float) and not isinstance(table, bool)


def _declared(project: Project, found: _Found, known: Stage | None, *, complete: bool) -> None:
    """What ``dvc.yaml`` has already: dependencies stay, as not every read can be seen; outputs stay if they are made."""
    if known is None:
        return
    code = stages.code_path(project, known.name)
    for path in known.deps:
        if path != code and not found.has(path) and path not in found.left_out:
            found.put(DEP, path, "in dvc.yaml, not seen")
    for kind, paths in ((OUT, known.outs), (METRIC, known.metrics), (PLOT, known.plots)):
        for path in paths:
            known_as = next((k for k in (OUT, METRIC, PLOT) if path in found.entries[k]), None)
            if known_as is not None and known_as != kind and found.entries[known_as][path] != "given":
                found.entries[kind][path] = "written"  # what the person calls it in dvc.yaml counts
                del found.entries[known_as][path]
            elif known_as is None and (not complete or _is_written(project, path, found)):
                found.put(kind, path, "in dvc.yaml")
            elif known_as is None:
                found.left_out[path] = "in dvc.yaml, but no longer written"


def _is_written(project: Project, path: str, found: _Found) -> bool:
    """A folder whose files were written is written."""
    return (project.root / path).is_dir() and any(out.startswith(f"{path}/") for out in found.entries[OUT])


# ── parameters ────────────────────────────────────────────────────────────────────────────────────────────────
def _parameters(
    project: Project, book: Any, chosen: stagecells.Slice, found: _Found, given: Given, known: Stage | None
) -> None:
    """Those that were named; else what the slice uses of the cell tagged ``parameters``."""
    values = stageparams.values(book, chosen.indexes)
    there = stageparams.known_keys(project)
    for param in given.params:
        _put_parameter(found, param, "given", values, there)
    for file, key in known.params if known is not None else ():
        text = key if file == posixpath.join(stages.prefix(project), stages.PARAMS) and key else f"{file}:{key}"
        if text not in found.entries[PARAM]:
            found.put(PARAM, text, "in dvc.yaml")
    if given.only or given.params:
        return
    taken = {stages.variable(param) for param in found.entries[PARAM]}
    used = stageparams.used(book, chosen.indexes)
    for variable, value in values.items():
        if variable in taken or variable not in used:
            continue
        if value is stageparams.NOT_PLAIN:
            found.left_out[variable] = "a parameter whose value is computed"
            continue
        keys = [key for key in there if stages.variable(key) == variable]
        _put_parameter(found, keys[0] if len(keys) == 1 else variable, "of the cell tagged parameters", values, there)


def _put_parameter(found: _Found, param: str, why: str, values: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    known = values.get(stages.variable(param), stageparams.NOT_PLAIN)
    if ":" not in param and param not in there and known is not stageparams.NOT_PLAIN:
        found.values[param] = known
        why = f"{why}; new in {stages.PARAMS}: {json.dumps(known, ensure_ascii=False)}"
    elif param in there and known is not stageparams.NOT_PLAIN and there[param] != known:
        why = f"{why}; {_short(there[param])} in {stages.PARAMS}, not {_short(known)}"
    found.put(PARAM, param, why)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:39] + "…"


# ── the plan ──────────────────────────────────────────────────────────────────────────────────────────────────
def _made(stage: Stage) -> tuple[str, ...]:
    return (*stage.outs, *stage.metrics, *stage.plots)


def _check(project: Project, found: _Found, made: Collection[str]) -> None:
    for path in (*found.entries[OUT], *found.entries[METRIC], *found.entries[PLOT]):
        if found.entries[OUT].get(path) == "written" and not (project.root / path).exists():
            found.remarks.append(f"{path} was written, and is not there now")
    for path in found.entries[DEP]:
        if "://" not in path and path not in made and not (project.root / path).exists():
            found.remarks.append(f"the dependency {path} is not there, and no stage makes it")


def _plan(name: str, notebook: str, found: _Found) -> Plan:
    deps, params, outs, metrics, plots = (tuple(found.entries[kind]) for kind in KINDS)
    return Plan(name, notebook, deps, outs, metrics, plots, params, dict(found.values))


def _changes(project: Project, known: Stage, plan: Plan) -> tuple[str, ...]:
    base = stages.prefix(project)
    code = stages.code_path(project, plan.name)
    own = posixpath.join(base, stages.PARAMS)
    params = [key if file == own and key else f"{file}:{key}" for file, key in known.params]
    pairs: tuple[tuple[str, Iterable[str], Iterable[str]], ...] = (
        (DEP, [path for path in known.deps if path != code], plan.deps),
        (PARAM, params, plan.params),
        (OUT, known.outs, plan.outs),
        (METRIC, known.metrics, plan.metrics),
        (PLOT, known.plots, plan.plots),
    )
    found: list[str] = []
    for kind, before, after in pairs:
        have, want = list(before), [path for path in after if path != code]
        found += [f"- {kind}: {path}" for path in have if path not in want]
        found += [f"+ {kind}: {path}" for path in want if path not in have]
    found += [f"+ {stages.PARAMS}: {key}" for key in plan.values]
    if code not in known.deps:
        found.append(f"+ deps: {code}")
    return tuple(found)
