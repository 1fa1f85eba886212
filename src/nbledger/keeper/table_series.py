"""Curves for the table's small charts: metrics that were logged more than once, thinned."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from nbledger.core import mlflow, mlflow_tables
from nbledger.core.project import Project
from nbledger.core.runrows import true_value
from nbledger.keeper import table

Point = tuple[int, Any, int]
Curves = dict[str, list[Point]]
_MOST = 4000
_kept: OrderedDict[tuple[Any, ...], Curves] = OrderedDict()


def of(project: Project, names: Sequence[str], keys: Sequence[str], points: int) -> dict[str, Curves]:
    """{run: {metric: [(step, value, ms)]}}; the first and the last point of each are always there."""
    index = table.of(project)
    found: dict[str, Curves] = {}
    with contextlib.ExitStack() as stack:
        only = None if project.embedded else project.experiment
        tables = mlflow_tables.opened(project.tracking_uri, only)
        if tables is not None:
            stack.enter_context(contextlib.closing(tables))
        for run in names:
            key = (project.tracking_uri, run, index.version_of(run), tuple(keys), points)
            ended = index.status_of(run) in ("FINISHED", "FAILED", "KILLED")
            curves = _kept.get(key) if ended else None
            if curves is None:
                read = tables.series(run, keys) if tables is not None else _asked(project, run, keys)
                curves = {metric: thinned(all_, points) for metric, all_ in read.items() if len(all_) > 1}
            if ended:
                _keep(key, curves)
            found[run] = curves
    return found


def thinned(points: Sequence[tuple[int, float, int]], most: int) -> list[Point]:
    """At most ``most`` of the points, evenly spread over them."""
    count, most = len(points), max(2, most)
    chosen = range(count) if count <= most else [at * (count - 1) // (most - 1) for at in range(most)]
    return [(points[at][0], true_value(points[at][1]), points[at][2]) for at in chosen]


def _keep(key: tuple[Any, ...], curves: Curves) -> None:
    _kept[key] = curves
    _kept.move_to_end(key)
    while len(_kept) > _MOST:
        _kept.popitem(last=False)


def _asked(project: Project, run: str, keys: Sequence[str]) -> dict[str, list[tuple[int, float, int]]]:
    _, series = mlflow.values(mlflow.client(project), project.tracking_uri, run)
    return {
        key: sorted((step, value, at) for value, at, step in series[key]) for key in series if not keys or key in keys
    }
