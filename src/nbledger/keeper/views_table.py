"""The table of runs (``IRunTable`` of the front end's ``api/types.ts``), what changed in it, a filter's matches, and curves."""

from __future__ import annotations

import json
from typing import Any

from nbledger.core import children as families
from nbledger.core import git, runs
from nbledger.core.project import Project
from nbledger.core.records import TrackingState, plain
from nbledger.keeper import overview, publish, table_series
from nbledger.keeper import table as tables
from nbledger.keeper.calls import Args, Encoded, Progress


def table(project: Project, args: Args, progress: Progress | None) -> Encoded:
    """All runs, the newest first, at most ``limit``."""
    index = tables.of(project)
    return _encoded(project, index, index.answer(int(args.get("limit") or tables.MOST)))


def table_changes(project: Project, args: Args, progress: Progress | None) -> Encoded:
    """What changed after the version ``since``; all again (``reset``) where that version is not known."""
    index = tables.of(project)
    found = index.changed_since(int(args["since"]))
    return _encoded(project, index, found, {"reset": found.reset, "removed": found.removed})


def search(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Ids of the runs that match MLflow's filter syntax, the newest first."""
    return {"ids": runs.matching(project, str(args.get("text", "")), tables.MOST)}


def series(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Points of metrics that were logged more than once, evenly thinned to ``points``."""
    names, keys = [list(map(str, args.get(word) or ())) for word in ("run", "key")]
    return {"series": table_series.of(project, names, keys, int(args.get("points") or 40))}


def children(project: Project, args: Args, progress: Progress | None) -> families.Family:
    """The runs inside ``run``, with everything that is published by now."""
    publish.flush(project)
    return families.of(project, str(args["run"]), str(args.get("text", "")), args.get("experiment"))


def _encoded(
    project: Project, index: tables.Index, found: tables.Answer, more: dict[str, Any] | None = None
) -> Encoded:
    pending = sum(one.ended for one in overview.waiting(project))
    tracking = TrackingState(git.scrub_url(project.tracking_uri), project.experiment, index.reachable, pending)
    head = {
        "version": found.version,
        "total": found.total,
        "experiment": project.experiment,
        "tracking": plain(tracking),
        **(more or {}),
    }
    return Encoded(f'{json.dumps(head)[:-1]}, "runs": [{",".join(found.rows)}]}}')
