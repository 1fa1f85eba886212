"""Views of runs: everything recorded of one, its notebook, the difference of two, and a comparison as Markdown."""

from __future__ import annotations

import re
from dataclasses import replace

from nbledger.core import detail as details
from nbledger.core import mlflow, record, runbook
from nbledger.core.detail import Detail
from nbledger.core.errors import Unreachable
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runbook import NotebookDiff, RunNotebook
from nbledger.keeper import journal as journals
from nbledger.keeper import overview, publish
from nbledger.keeper.calls import Args, Progress

_ID = re.compile(r"[0-9a-f]{32}")


def detail(project: Project, args: Args, progress: Progress | None) -> Detail:
    """Everything recorded of ``run``, which may be an id, a journal's id or a name; also while the store is away."""
    row = named(project, str(args["run"]))
    if "nbledger.pending" in row.tags:
        return _waiting(project, row)
    return details.of_run(project, row)


def notebook(project: Project, args: Args, progress: Progress | None) -> RunNotebook:
    """The notebook of ``run`` as it was executed."""
    row = named(project, str(args["run"]))
    return runbook.of_run(project, row, _record(project, row))


def compare_notebooks(project: Project, args: Args, progress: Progress | None) -> NotebookDiff:
    """What the executed cells of ``a`` and ``b`` differ in."""
    return runbook.difference(project, _name(project, str(args["a"])), _name(project, str(args["b"])))


def markdown(project: Project, args: Args, progress: Progress | None) -> dict[str, str]:
    """The comparison of ``names`` for a pull request or an issue."""
    from nbledger.core.markdown import comparison
    from nbledger.keeper.calls import TABLE

    found = TABLE["compare"](project, {k: args[k] for k in ("names", "everything", "here") if k in args}, progress)
    return {"markdown": comparison(found)}


# ── which run ────────────────────────────────────────────────────────────────────────────────────────────


def named(project: Project, name: str) -> RunRow:
    """The run that ``name`` means: an id, a journal's id, or what ``runs.find`` takes."""
    return overview.run(project, _name(project, name))


def _name(project: Project, name: str) -> str:
    """A journal's id as the id of its run; any other name as it is."""
    if not _ID.fullmatch(name):
        return name
    known = publish.run_id_of(project, name)
    if known is None and (journals.folder(project) / name).is_dir():
        publish.flush(project)
        known = publish.run_id_of(project, name)
    return known or name


def _waiting(project: Project, row: RunRow) -> Detail:
    """A run that is only in its journal, since the store does not answer."""
    away = Unreachable(f"the tracking store {mlflow.display_uri(project.tracking_uri)} does not answer")
    return details.unreached(details.of_record(_record(project, row)), away)


def _record(project: Project, row: RunRow) -> record.Record:
    if "nbledger.pending" not in row.tags:
        return details.loaded(project, row)
    path = journals.folder(project) / row.run_id
    events = journals.read(path).events
    folder = next((path / str(e["folder"]) for e in events if e["t"] == "lineage"), None)
    found = record.read(row, folder)
    series: dict[str, list[record.Point]] = {}
    for event in events:
        if event["t"] == "metric":
            series.setdefault(event["k"], []).append(record.Point(int(event["s"]), float(event["v"]), int(event["at"])))
    notices = tuple(str(e["text"]) for e in events if e["t"] == "notice")
    return replace(found, metrics={k: tuple(v) for k, v in series.items()}, notices=notices)
