"""Curves for the table's small charts: metrics that were logged more than once, thinned."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from nbledger.core import mlflow, mlflow_runs, mlflow_tables
from nbledger.core.project import Project
from nbledger.core.runrows import true_value
from nbledger.keeper import table

Points = list[tuple[int, float, int]]
Curves = dict[str, Points]
_MOST = 4000
_ENDED = ("FINISHED", "FAILED", "KILLED")
_lock = threading.Lock()
_kept: OrderedDict[tuple[Any, ...], Curves] = OrderedDict()


def of(project: Project, runs: Sequence[str], keys: Sequence[str], points: int) -> dict[str, Curves]:
    """{run: {metric: [(step, value, ms)]}}: at most ``points`` of each, the first and the last always among them. Those of
    runs that have ended are remembered.
    """
    index = table.of(project)
    names = {run: (project.tracking_uri, run, index.version_of(run), tuple(keys), points) for run in runs}
    lasting = {run for run in runs if index.status_of(run) in _ENDED}
    found = {run: curves for run in lasting if (curves := _kept.get(names[run])) is not None}
    fresh = [run for run in runs if run not in found]
    if fresh:
        read = _read(project, fresh, keys, max(2, points))
        found |= read
        for run in lasting & read.keys():
            _keep(names[run], read[run])
    return {run: found[run] for run in runs}


def _read(project: Project, runs: Sequence[str], keys: Sequence[str], points: int) -> dict[str, Curves]:
    tables = mlflow_tables.opened(project.tracking_uri, None)
    if tables is None:
        return _asked(project, runs, keys, points)
    with contextlib.closing(tables):
        read = {run: tables.series(run, keys, points) for run in runs}
    return {run: {key: [(s, true_value(v), at) for s, v, at in read[run][key]] for key in read[run]} for run in runs}


def _asked(project: Project, runs: Sequence[str], keys: Sequence[str], points: int) -> dict[str, Curves]:
    """The same from a server, which picks the points itself."""
    api, uri = mlflow.client(project), project.tracking_uri
    found: dict[str, Curves] = {run: {} for run in runs}
    for key in keys or sorted({key for run in runs for key in _metrics(project, run)}):
        for run, read in mlflow_runs.sampled(api, uri, runs, key, points).items():
            if len(read) > 1:
                found[run][key] = thinned(read, points)
    return found


def _metrics(project: Project, run: str) -> list[str]:
    found = mlflow.get_run(mlflow.client(project), project.tracking_uri, run)
    return list(found.data.metrics) if found is not None else []


def thinned(points: Points, most: int) -> Points:
    """At most ``most`` of the points, evenly spread."""
    last = len(points) - 1
    return points if last < most else [points[at * last // (most - 1)] for at in range(most)]


def _keep(name: tuple[Any, ...], curves: Curves) -> None:
    with _lock:
        _kept[name] = curves
        _kept.move_to_end(name)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
