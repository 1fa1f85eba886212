"""One finished run a task, although a task may be executed more than once on a cluster.

A worker that the scheduler gave up may be alive, merely cut off, and finish later than the one that took its place. The
tracking server is the one place that both reach, so it arbitrates. Each execution's run bears the task (``TASK_TAG``).
Whoever publishes it asks before it is closed as FINISHED whether the task is done, and once more when it is whole; the
batch marks those that it gave up before it closes them. MLflow has no conditional write: of two that finish in the same
moment at least one sees both, and the one with the lesser id stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from nbledger.core import mlflow, mlflow_runs, mlflow_write
from nbledger.core.batch import FINISHED, KILLED, SUPERSEDED_TAG, TASK_TAG

Run = Any
"""A run as MLflow's client gives it."""
_WHOLE = "nbledger.manifest"  # the last that is written of a run
_MANY = 200
GIVEN_UP = "given up"


def of_task(api: Any, uri: str, experiment: str, task: str) -> list[Run]:
    """The runs of a task, the oldest first."""
    found = mlflow.search(api, uri, [experiment], f"tags.`{TASK_TAG}` = '{task}'", limit=_MANY)
    return sorted(found, key=lambda run: (run.info.start_time or 0, run.info.run_id))


def of_batch(api: Any, uri: str, experiment: str, batch: str) -> dict[int, list[Run]]:
    """{number of the task: its runs} of a whole batch, in pages."""
    found: dict[int, list[Run]] = {}
    for run in mlflow.search(api, uri, [experiment], f"tags.`{TASK_TAG}` LIKE '{batch}/%'", limit=1_000_000):
        found.setdefault(int(run.data.tags[TASK_TAG].rpartition("/")[2]), []).append(run)
    return found


def superseded(run: Run) -> str | None:
    """What took the run's place, if something did."""
    told: str | None = run.data.tags.get(SUPERSEDED_TAG)
    return told


def whole(runs: Iterable[Run]) -> list[Run]:
    """Those that could count: finished, published to the end and not given up; the one that does first."""
    found = [run for run in runs if run.info.status == FINISHED and _WHOLE in run.data.tags and superseded(run) is None]
    return sorted(found, key=lambda run: str(run.info.run_id))


def winner(runs: Iterable[Run]) -> Run | None:
    """The one that counts."""
    return next(iter(whole(runs)), None)


def granted(api: Any, uri: str, experiment: str, run_id: str, task: str) -> str | None:
    """Before a run is closed as FINISHED: what took its place, None if it may be."""
    runs = of_task(api, uri, experiment, task)
    mine = next((run for run in runs if run.info.run_id == run_id), None)
    if mine is not None and (by := superseded(mine)) is not None:
        return by
    other = winner(run for run in runs if run.info.run_id != run_id)
    return str(other.info.run_id) if other is not None else None


def confirm(api: Any, uri: str, experiment: str, run_id: str, task: str) -> None:
    """When a finished run is whole: it is closed if the batch has given it up meanwhile; and of those that finished in the
    same moment one is left, whichever of them sees it.
    """
    runs = of_task(api, uri, experiment, task)
    mine = next((run for run in runs if run.info.run_id == run_id), None)
    if mine is not None and (by := superseded(mine)) is not None:
        supersede(api, uri, run_id, by)
    best, *others = whole(runs) or [None]
    for run in others:
        supersede(api, uri, str(run.info.run_id), str(best.info.run_id) if best is not None else GIVEN_UP)


def supersede(api: Any, uri: str, run_id: str, by: str, experiment: str | None = None) -> None:
    """Close a run that does not count, marked first: who is still at work on it sees that. With ``experiment``, what it left
    open below it, too.
    """
    mlflow_runs.set_tags(api, uri, run_id, {SUPERSEDED_TAG: by})
    mlflow_write.terminate(api, uri, run_id, KILLED, int(time.time() * 1000))
    for child in mlflow_runs.tied(api, uri, [experiment], mlflow_runs.PARENT, run_id, 1000) if experiment else ():
        if child.info.status == "RUNNING":
            supersede(api, uri, str(child.info.run_id), by, experiment)


def settle(api: Any, uri: str, experiment: str, runs: list[Run]) -> Run | None:
    """Of a task's runs leave one finished and none open; the one that counts, if there is one."""
    best = winner(runs)
    by = str(best.info.run_id) if best is not None else GIVEN_UP
    for run in runs:
        open_or_double = run.info.status in ("RUNNING", "SCHEDULED", FINISHED)
        if run is not best and open_or_double:
            supersede(api, uri, str(run.info.run_id), by, experiment)
    return best
