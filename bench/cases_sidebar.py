"""What the sidebar asks the keeper: the table of runs, what changed in it, a filter, the state."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric

from bench.measure import Row, in_turns, row, timed, timed_call
from bench.world import World, stop_keepers
from nbledger.core.project import Project, find
from nbledger.keeper import client

_FILL = Path(__file__).resolve().parent.parent / "tests" / "many_runs.py"


def sidebar(world: World) -> list[Row]:
    """Many runs in one store, a warm keeper with its table, and plain MLflow in this process on the same store."""
    root = world.project()
    count = world.size(10_000, 100)
    timed([sys.executable, str(_FILL), str(root), str(count)], cwd=root)
    here = find(root)
    api = MlflowClient(tracking_uri=here.tracking_uri)
    experiments = [found.experiment_id for found in api.search_experiments()]
    version = _whole(here)

    def everything() -> float:
        return timed_call(lambda: _pages(api, experiments, count))

    def table() -> float:
        return timed_call(lambda: client.ask(here, "table"))

    run = api.search_runs(experiments, max_results=1)[0].info.run_id
    steps = itertools.count()

    def change() -> None:
        step = next(steps)
        api.log_batch(run, metrics=[Metric("live", step, int(time.time() * 1000), step)], synchronous=True)

    def changed() -> float:
        nonlocal version
        change()
        begun = time.perf_counter()
        found = client.ask(here, "table_changes", {"since": version})
        took = time.perf_counter() - begun
        version = found["version"]
        if run not in [each["run_id"] for each in found["runs"]]:
            raise RuntimeError("the run that changed is not among the changes")
        return took

    def newest() -> float:
        change()
        return timed_call(lambda: api.search_runs(experiments, max_results=50, order_by=["attributes.start_time DESC"]))

    text = "metrics.accuracy > 0.9 and params.model = 'forest'"

    def search() -> float:
        return timed_call(lambda: client.ask(here, "search", {"text": text}))

    def filtered() -> float:
        return timed_call(lambda: _pages(api, experiments, count, text))

    def state() -> float:
        return timed_call(lambda: client.ask(here, "state", {"served": str(root)}))

    def plain_state() -> float:
        return timed(["git", "status", "--porcelain"], ["dvc", "data", "status", "--json"], cwd=root)

    made = []
    for key, case, beside, ours, plain, target in (
        (
            "table",
            f"the whole table of {count:,} runs",
            "`MlflowClient.search_runs`, page by page",
            table,
            everything,
            None,
        ),
        ("table-changes", "what changed after one metric", "`search_runs` of the newest 50", changed, newest, None),
        (
            "table-search",
            f"ids that match a filter, of {count:,} runs",
            "`search_runs` of all that match",
            search,
            filtered,
            None,
        ),
        ("state", "the sidebar's state, 30 files", "`git status` + `dvc data status`", state, plain_state, None),
    ):
        in_turns(1, ours, plain)
        made.append(row(f"sidebar-{key}", f"{case}, warm keeper", beside, in_turns(world.few, ours, plain), target))
    stop_keepers()
    return made


def _whole(here: Project) -> int:
    """Start a keeper and wait until it has all runs; the table's version then."""
    found = client.ask(here, "table", start=True)
    while len(found["runs"]) < found["total"]:
        time.sleep(0.2)
        found = client.ask(here, "table")
    client.ask(here, "state")
    return int(found["version"])


def _pages(api: MlflowClient, experiments: list[str], count: int, text: str = "") -> None:
    token = None
    for _ in range(0, count, 1000):
        page = api.search_runs(experiments, text, max_results=1000, page_token=token)
        token = page.token
        if not token:
            break
