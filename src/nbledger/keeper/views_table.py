"""The table of runs (``IRunTable`` of the front end's ``api/types.ts``), what changed in it, a filter's matches, and curves."""

from __future__ import annotations

from typing import Any

from nbledger.core import mlflow, runs
from nbledger.core.project import Project
from nbledger.core.records import TrackingState, plain
from nbledger.keeper import changes, overview
from nbledger.keeper.calls import Args, Progress


def table(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    version = changes.version()
    rows = overview.runs(project, limit=int(args.get("limit") or 20_000))
    tracking = TrackingState(mlflow.display_uri(project.tracking_uri), project.experiment, True, 0)
    return {
        "version": version,
        "total": len(rows),
        "runs": plain(rows),
        "experiment": project.experiment,
        "tracking": plain(tracking),
    }


def table_changes(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    return {**table(project, args, progress), "reset": True, "removed": []}


def search(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    return {"ids": [row.run_id for row in runs.listed(project, str(args["text"]), "", 20_000)]}


def series(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    return {"series": {}}
