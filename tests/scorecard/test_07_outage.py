"""A real `mlflow server` goes away (killed, or stopped by SIGSTOP so that it takes requests and is silent) and comes
back. Runs are recorded before, while and after it is away, runs over several cells begin before or during the
outage and end during or after it, the keeper is killed by SIGKILL in the middle, and once more while it catches
up.

Afterwards plain MLflow says what has arrived: each run once, every parameter, every value of every metric equal to
the last bit, the statuses. Then the server is stopped at random moments in which a run is being published, which
leaves requests that it does when it goes on; and answers of the server are lost after it did what was asked. The
plain way: a cell that logs by `mlflow` while the server is away, with few retries.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kernels import Kernel, kernel
from ledger import client, flush
from lossyproxy import losing
from nbledger.core.project import find
from nbledger.keeper import client as keeper
from scorecard.conftest import FULL
from servers import Server, mlflow_server

VALUES = "[(math.sin(n * i) * 10.0 ** (i % 40 - 20), i) for i in range({many})]"
CELL = """%%mlrun {name} -p n={number} -p text=x={number} -m v
import math
from nbledger import log
n = {number}
for value, i in VALUES:
    log(loss=value, step=i)
v = math.pi * n
v"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, f"sqlite:///{folder / 'server.db'}") as started:
        yield started


def away(server: Server, how: str) -> None:
    server.stop() if how == "killed" else server.signal(signal.SIGSTOP)


def back(server: Server, how: str) -> None:
    server.start() if how == "killed" else server.signal(signal.SIGCONT)


def kill_keeper(project: Path) -> bool:
    known = keeper.running(find(project))
    if known is not None:
        with suppress(ProcessLookupError):
            os.kill(known.pid, signal.SIGKILL)
    return known is not None


def record(k: Kernel, name: str, number: int, many: int) -> None:
    cell = k.run(CELL.format(name=name, number=number).replace("VALUES", VALUES.format(many=many)))
    assert (cell.status, cell.result) == ("ok", repr(math.pi * number)), cell
    assert cell.displays[-1].startswith(f"✓ {name} FINISHED")


def arrived(project: Path, server: Server, experiment: str, names: set[str]) -> list[Any]:
    """The experiment's runs, which must be these, once each, when all have a final status and nothing waits any more."""
    api, deadline = client(server.uri), time.monotonic() + 120
    said, found = "", []
    while time.monotonic() < deadline:
        said = flush(project)
        known = api.get_experiment_by_name(experiment)
        found = list(api.search_runs([known.experiment_id], max_results=1000)) if known else []
        if "is published" in said and sum(r.info.status != "RUNNING" for r in found) >= len(names):
            break
        time.sleep(0.5)
    assert Counter(r.info.run_name for r in found) == Counter(names), said
    return found


@pytest.mark.parametrize("how", ["killed", "stopped"] if FULL else ["killed"])
def test_nothing_lost_nothing_doubled(
    project: Path, server: Server, how: str, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "{how}"\n')
    several, many, moments = count(12, 3), count(500, 40), count(4, 1)
    with kernel(project) as k:
        record(k, "before", 1, many)
        k.run("%mlrun start crosses -p n=0\nfor i in range(10): log(loss=i / 3, step=i)")
        flush(project)
        away(server, how)
        try:
            k.run("for i in range(10, 20): log(loss=i / 3, step=i)")
            assert "crosses" in k.run("%mlrun stop").shown
            for number in range(several):
                record(k, f"away{number}", number + 2, many)
                if number == several // 2:
                    assert kill_keeper(project)
            assert k.run("%%mlrun broken\nlog(loss=0.1)\n1/0").ename == "ZeroDivisionError"
            k.run("%mlrun start late -p n=0\nfor i in range(10): log(loss=i / 3, step=i)")
        finally:
            back(server, how)
        time.sleep(random.uniform(0.5, 2.5))
        kill_keeper(project)  # while it catches up
        k.run("for i in range(10, 20): log(loss=i / 3, step=i)")
        k.run("%mlrun stop")
        record(k, "after", 99, many)
        for number in range(moments):  # stopped while it is written to
            record(k, f"moment{number}", 100 + number, many)
            time.sleep(random.uniform(0.0, 0.6))
            server.signal(signal.SIGSTOP)
            time.sleep(12 if number % 2 else 3)  # longer, and shorter, than a request may take
            server.signal(signal.SIGCONT)
        numbered = [f"{word}{n}" for word, most in (("away", several), ("moment", moments)) for n in range(most)]
        names = {"before", "crosses", "broken", "late", "after", *numbered}
        here = arrived(project, server, how, names)
    points = 0
    for run in here:
        name, api = run.info.run_name, client(server.uri)
        assert run.info.status == ("FAILED" if name == "broken" else "FINISHED"), name
        history = sorted((m.step, m.value) for m in api.get_metric_history(run.info.run_id, "loss"))
        points += len(history)
        if name in ("crosses", "late"):
            assert history == [(i, i / 3) for i in range(20)] and run.data.params == {"n": "0"}
        elif name != "broken":
            n = int(run.data.params["n"])
            assert history == [(i, math.sin(n * i) * 10.0 ** (i % 40 - 20)) for i in range(many)]
            assert run.data.params["text"] == f"x={n}" and run.data.metrics["v"] == math.pi * n
    seen(
        f"server {how}, and stopped at {moments} moments of publishing: {len(here)} of {len(names)} runs once each, "
        f"{points} values equal to the last bit"
    )


def test_answers_that_are_lost(project: Path, server: Server, seen: Callable[[str], None]) -> None:
    create, get = b"POST /api/2.0/mlflow/runs/create", b"GET /api/2.0/mlflow/runs/get?"
    with losing(server.port, {create: 3}) as (uri, lost), kernel(project) as k:
        (project / ".nbledger.toml").write_text(f'tracking_uri = "{uri}"\nexperiment = "lost"\n')
        for number in range(3):
            record(k, f"run{number}", number, 20)
        here = arrived(project, server, "lost", {f"run{number}" for number in range(3)})
        assert lost[create] == 3 and {r.info.status for r in here} == {"FINISHED"}
        for run in here:
            assert len(client(server.uri).get_metric_history(run.info.run_id, "loss")) == 20
        seen(f"{lost[create]} answers to the making of a run lost: 3 of 3 runs once each")
    with losing(server.port, {get: 100}) as (uri, lost), kernel(project) as k:
        (project / ".nbledger.toml").write_text(f'tracking_uri = "{uri}"\nexperiment = "lost"\n')
        k.run("import mlflow")
        for number in range(10):  # until the keeper has made the run in time
            begun = time.monotonic()
            cell = k.run(f"%%mlrun own{number}\n6 * 7")
            took = time.monotonic() - begun
            assert cell.result == "42" and took <= 5, (took, cell)
            if lost:
                break
        assert lost and "mlflow" in cell.displays[-1], cell
    seen(f"a server that dies as the run becomes mlflow's active one holds the cell for {took:.1f} s")


def test_plain(project: Path, server: Server, plain: Callable[[bool, str], None]) -> None:
    few = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    with kernel(project, few, load=False) as k:
        k.run(
            f"import mlflow\nmlflow.set_tracking_uri({server.uri!r})\nmlflow.set_experiment('plain')\nrun = mlflow.start_run()"
        )
        server.stop()
        try:
            k.run(
                "for i in range(3):\n    try:\n        mlflow.log_metric('loss', i, step=i)\n    except Exception:\n        pass",
                60,
            )
        finally:
            server.start()
        k.run("mlflow.log_metric('loss', 3, step=3)\nmlflow.end_run()")
        told = k.run("len(mlflow.MlflowClient().get_metric_history(run.info.run_id, 'loss'))").result
    plain(told == "4", f"{told} of 4 values arrived; those of the outage are lost")
