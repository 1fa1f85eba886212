"""Eight processes write 200 metric values each at the same time, every call timed, while the keeper publishes all of them
to the embedded SQLite store; then every row is looked for. In full, eight kernels do the same besides.

`log()` appends a line to the run's journal and waits for nobody; the keeper alone writes to the store. The plain way: eight
processes call `mlflow.log_metric` on a SQLite store that exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from endings import kernels, plain_store
from forked import FLUSH, shared
from ledger import client, runs, uri
from nbledger.core.project import find
from nbledger.keeper import client as keeper

pytestmark = pytest.mark.timeout(1200)

EIGHT, POINTS, LIMIT_MS = 8, 200, 100.0
TIMED = """
import json, time
took = []
for n in range({points}):
    begun = time.perf_counter()
    {call}
    took.append((time.perf_counter() - begun) * 1000)
"""
OURS = """
from nbledger.core.project import find
from nbledger.keeper import client, recorder
recording = recorder.start(find(), recorder.Plan(name={name!r}))
recorder.push(recording)
client.notify(find())
{timed}
recording.outcome("FINISHED")
recording.end()
print(json.dumps(took))
"""
PLAIN = """
import mlflow
mlflow.set_tracking_uri({uri!r})
with mlflow.start_run(run_name={name!r}):
    took = []
    exec({timed!r})
print(json.dumps(took))
"""


def p99(took: Sequence[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def rows(root: Path) -> list[int]:
    api = client(uri(root))
    return [len({m.step for m in api.get_metric_history(r.info.run_id, "loss")}) for r in runs(root, flushed=False)]


def test_all_rows(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    timed = TIMED.format(points=POINTS, call="recorder.log(loss=n / 7, step=n)")
    turns = count(3, 1)
    keeper.ready(find(project))
    took: list[float] = []
    for turn in range(turns):
        pids = [shared().fork(OURS.format(name=f"p{turn}-{n}", timed=timed), project) for n in range(EIGHT)]
        for ended in shared().go(*pids):
            assert ended.code == 0, ended.out
            took += json.loads(ended.out.splitlines()[-1])
    if eight := count(EIGHT, 0):
        took += from_kernels(project, eight)
    assert shared().run(FLUSH, project).code == 0
    found = rows(project)
    assert found == [POINTS] * (EIGHT * turns + eight)
    assert p99(took) <= LIMIT_MS
    seen(f"{sum(found):,} of {len(found) * POINTS:,} rows; a call took {p99(took):.3f} ms at p99")


def from_kernels(root: Path, many: int) -> list[float]:
    """What each call took in as many kernels at once."""
    code = "%%mlrun k{n}\nfrom nbledger import log\n" + TIMED.format(points=POINTS, call="log(loss=n / 7, step=n)")
    with kernels(root, many) as started:
        messages = [k.send(code.format(n=n)) for n, k in enumerate(started)]
        for k, message in zip(started, messages, strict=True):
            assert k.collect(message).status == "ok"
        return [t for k in started for t in json.loads(k.run("print(json.dumps(took))").stdout)]


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    timed = TIMED.format(points=POINTS, call="mlflow.log_metric('loss', n / 7, step=n)")
    pids = [shared().fork(PLAIN.format(uri=where, name=f"p{n}", timed=timed), project) for n in range(EIGHT)]
    took = [t for ended in shared().go(*pids) if ended.code == 0 for t in json.loads(ended.out.splitlines()[-1])]
    found = sum(rows(project))
    told = f"{found:,} of {EIGHT * POINTS:,} rows; a call took {p99(took):,.0f} ms at p99, {max(took):,.0f} at most"
    plain(found == EIGHT * POINTS and p99(took) <= LIMIT_MS, told)
