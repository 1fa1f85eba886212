"""Runs as a table."""

from __future__ import annotations

import sys

from bench.measure import Row, in_turns, row, timed
from bench.world import World, kernel, stop_keepers, warm_keeper
from nbledger.core.project import find

_CREATE = """
import sys
from pathlib import Path
from nbledger.core import mlflow, project
mlflow.ensure_embedded(project.find(Path(sys.argv[1])))
"""
_FILL = """
import random, sqlite3, sys, time
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
uri, count = sys.argv[1], int(sys.argv[2])
api = MlflowClient(tracking_uri=uri)
experiment = api.create_experiment("bench")
at = int(time.time() * 1000) - count * 1000
for number in range(count):
    run = api.create_run(experiment, start_time=at + number * 1000, run_name=f"run {number}").info.run_id
    api.log_batch(run, metrics=[Metric(k, random.random(), at, 0) for k in ("accuracy", "loss", "f1")],
                  params=[Param(f"p{i}", str(i * number)) for i in range(5)], tags=[RunTag("team", "a")], synchronous=True)
    api.set_terminated(run, "FINISHED", at + number * 1000 + 500)
with sqlite3.connect(uri.removeprefix("sqlite:///")) as store:
    store.execute("ANALYZE")
"""


def runs(world: World) -> list[Row]:
    """The best 50 of many runs by a metric, in one store, from a kernel each."""
    root = world.project()
    project = find(root)
    count = world.size(1000, 60)
    timed(
        [sys.executable, "-c", _CREATE, str(root)],
        [sys.executable, "-c", _FILL, project.tracking_uri, str(count)],
        cwd=root,
    )
    with kernel(root) as ours, kernel(root) as plain:
        ours.run("%load_ext nbledger")
        plain.run(f"import mlflow; mlflow.set_tracking_uri({project.tracking_uri!r})")
        warm_keeper(root)

        def table() -> float:
            return ours.run("%runs --sort accuracy -n 50").seconds

        def search() -> float:
            return plain.run(
                "mlflow.search_runs(experiment_names=['bench'], max_results=50, order_by=['metrics.accuracy DESC'])"
            ).seconds

        in_turns(2, table, search)
        times = in_turns(world.pairs, table, search)
    stop_keepers()
    return [
        row(
            "runs",
            f"`%runs --sort accuracy -n 50` of {count:,} runs, shown as a table, warm keeper",
            "`mlflow.search_runs` in a warm kernel, shown as a data frame, after `ANALYZE`",
            times,
        )
    ]
