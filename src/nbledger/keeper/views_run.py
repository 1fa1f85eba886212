"""Views of runs: everything recorded of one, its notebook, the difference of two, and a comparison as Markdown."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from nbledger.core import detail as details
from nbledger.core import mlflow, record, runbook, runs
from nbledger.core.detail import Detail
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runbook import NotebookDiff, RunNotebook
from nbledger.keeper import journal as journals
from nbledger.keeper import overview, publish, table
from nbledger.keeper.calls import Args, Progress, built

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class _Run:
    """A run that was named. ``journal``: where what it recorded still is, until it is published whole; ``known``: whether a
    store that answers has the run, else only what is on this machine is told.
    """

    row: RunRow
    journal: Path | None = None
    known: bool = True


def detail(project: Project, args: Args, progress: Progress | None) -> Detail:
    """Everything recorded of ``run``, which may be an id, a journal's id or a name; also while the store is away."""
    found = _run(project, str(args["run"]))
    held = _record(project, found)
    if found.known:
        return details.of_run(project, found.row, held)
    shown = details.of_record(held)
    if mlflow.reachable(project.tracking_uri, 1.0):
        return replace(shown, lacking=(*shown.lacking, "the run is not published yet"))
    away = f"the tracking store {mlflow.display_uri(project.tracking_uri)} does not answer"
    return replace(shown, lacking=(*shown.lacking, away))


def notebook(project: Project, args: Args, progress: Progress | None) -> RunNotebook:
    """The notebook of ``run`` as it was executed."""
    found = _run(project, str(args["run"]))
    return runbook.of_run(project, found.row, _record(project, found), reached=found.known)


def compare_notebooks(project: Project, args: Args, progress: Progress | None) -> NotebookDiff:
    """What the executed cells of ``a`` and ``b`` differ in."""
    return runbook.difference(project, _name(project, str(args["a"])), _name(project, str(args["b"])))


def markdown(project: Project, args: Args, progress: Progress | None) -> dict[str, str]:
    """The comparison of ``names`` for a pull request or an issue."""
    from nbledger.core.markdown import comparison
    from nbledger.keeper.calls import TABLE

    names = [_name(project, str(name)) for name in args["names"]]
    found = TABLE["compare"](project, {**args, "names": names}, progress)
    return {"markdown": comparison(found)}


# ── which run ────────────────────────────────────────────────────────────────────────────────────────────


def named(project: Project, name: str) -> RunRow:
    """The run of the store that ``name`` means: what ``runs.find`` takes. Nothing is published first: that may take long,
    and a view must not make anything happen.
    """
    if not stored(project):
        raise UsageError(f"there is no run {name!r}: nothing was recorded yet")
    return runs.find(project, _name(project, name))


def stored(project: Project) -> bool:
    """Whether there is a store to ask: a view does not make one."""
    return not project.embedded or (project.state / "mlflow.db").exists()


def _name(project: Project, name: str) -> str:
    """A journal's id as the id of its run; any other name as it is."""
    return (publish.run_id_of(project, name) or name) if _ID.fullmatch(name) else name


def unpublished(project: Project, row: RunRow) -> Path | None:
    """The journal of a run that is not published whole."""
    journal = row.tags.get(mlflow.JOURNAL_TAG, "")
    path = journals.folder(project) / journal
    return path if _ID.fullmatch(journal) and path.is_dir() else None


def _run(project: Project, name: str) -> _Run:
    try:
        row = named(project, name)
    except LedgerError:
        held = _on_this_machine(project, name)
        if held is None:
            raise
        return held
    return _Run(row, unpublished(project, row) if row.end else None)


def _on_this_machine(project: Project, name: str) -> _Run | None:
    """A run that the store does not have yet, or that it cannot be asked for: from its journal, or as the table of runs
    remembers it.
    """
    waiting = overview.waiting(project)
    for one in waiting:
        if name in (one.path.name, one.as_known().run_id):
            return _Run(one.as_known(), one.path, known=False)
    index = table.known(project)
    text = index.text_of(name) if index is not None else None
    if text is not None:
        return _Run(built(RunRow, json.loads(text)), known=False)
    with contextlib.suppress(UsageError):
        row = runs.resolve([one.row for one in waiting], name)
        return next(_Run(one.as_known(), one.path, known=False) for one in waiting if one.row is row)
    return None


def _record(project: Project, found: _Run) -> record.Record:
    row = found.row
    if found.journal is not None:
        return _from_journal(found)
    if found.known:
        return details.loaded(project, row)
    kept = project.state / "records" / row.run_id / record.FOLDER
    return record.read(row, kept if kept.is_dir() else None)


def _from_journal(found: _Run) -> record.Record:
    """What the kernel wrote; the store has the same only when it is published whole."""
    assert found.journal is not None
    events = journals.read(found.journal).events
    folder = next((found.journal / str(e["folder"]) for e in events if e["t"] == "lineage"), None)
    made = record.read(found.row, folder)
    series: dict[str, list[record.Point]] = {}
    for event in events:
        if event["t"] == "metric":
            series.setdefault(event["k"], []).append(record.Point(int(event["s"]), float(event["v"]), int(event["at"])))
    notices = tuple(str(e["text"]) for e in events if e["t"] == "notice")
    return replace(made, metrics={k: tuple(v) for k, v in series.items()}, notices=notices)
