"""What the table of runs and the joined state show, unpublished journals included."""

from __future__ import annotations

from pathlib import Path

from nbledger.core import mlflow
from nbledger.core import runs as store_runs
from nbledger.core import status as states
from nbledger.core.errors import Unreachable
from nbledger.core.project import Project
from nbledger.core.records import RunRow, Status
from nbledger.keeper import journal as journals
from nbledger.keeper.publish import flush


def runs(
    project: Project, text: str = "", sort: str = "", limit: int = 50, experiment: str | None = None
) -> list[RunRow]:
    """Published runs and, where the store cannot be reached, those that wait in the journals."""
    flush(project)
    try:
        return store_runs.listed(project, text, sort, limit, experiment)
    except Unreachable:
        waiting = [row for path in journals.pending(project) if (row := _waiting(path)) is not None]
        if not waiting:
            raise
        return sorted(waiting, key=lambda r: r.start or "", reverse=True)[:limit]


def run(project: Project, name: str) -> RunRow:
    """The run that ``name`` means, published or, where the store cannot be reached, in the journals."""
    flush(project)
    try:
        return store_runs.find(project, name)
    except Unreachable:
        return store_runs.resolve(runs(project, limit=10_000), name)


def _waiting(path: Path) -> RunRow | None:
    """A journal as a row: its run id is the journal's until it is published."""
    events = journals.read(path).events
    begun = next((e for e in events if e["t"] == "start"), None)
    if begun is None:
        return None
    ended = next((e for e in events if e["t"] == "end"), None)
    taken = next((e for e in events if e["t"] == "snapshot"), {})
    params: dict[str, str] = {}
    for event in events:
        params |= event["params"] if event["t"] == "params" else {}
    return RunRow(
        run_id=path.name,
        name=str(begun["name"]),
        status=ended["status"] if ended else "RUNNING",
        experiment=str(begun["experiment"]),
        start=store_runs.iso(begun["at"]),
        end=store_runs.iso(ended["at"]) if ended else None,
        notebook=begun.get("notebook"),
        commit=taken.get("commit"),
        snapshot=taken.get("commit"),
        dirty=taken.get("dirty"),
        params=params,
        metrics={e["k"]: float(e["v"]) for e in events if e["t"] == "metric"},
        tags={"nbledger.pending": "true"},
    )


def status(project: Project) -> Status:
    """The joined state; journals that wait count as ``tracking.pending``."""
    waiting = sum(1 for path in journals.pending(project) if any(e["t"] == "end" for e in journals.read(path).events))
    return states.status(project, pending=waiting, reachable=mlflow.reachable(project.tracking_uri, 1.0))
