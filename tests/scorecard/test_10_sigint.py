"""SIGINT (the stop button) during a tracked cell; twice, the second while the ledger is recording the first; and during a
cell of a span, which `%mlrun stop` closes afterwards. Plain MLflow is asked for the status.

nbledger takes a `KeyboardInterrupt` for what it is, `KILLED`; an interrupted cell of a span counts as long as it is not
run again with success. The plain way, the same interrupt inside of `with mlflow.start_run()`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from endings import no_keeper, plain_store, statuses, until, wait_running
from forked import FLUSH, shared
from kernels import SAVE_FROM_INTERRUPTS, Kernel, kernel
from ledger import run

pytestmark = pytest.mark.timeout(1200)

LONG = "import time\nprint('in', flush=True)\ntime.sleep(60)"


def interrupted(k: Kernel, code: str, again: float | None = None) -> None:
    """Run ``code`` and interrupt it once it has begun, and once more ``again`` seconds later."""
    message = k.send(code)
    while (shown := k.client.get_iopub_msg(timeout=60))["msg_type"] != "stream" or "in" not in shown["content"]["text"]:
        pass
    time.sleep(0.1)  # until it sleeps: the lock of ipykernel's flush stays held for ever where an interrupt meets it
    os.kill(k.pid, signal.SIGINT)
    if again is not None:
        time.sleep(again)
        os.kill(k.pid, signal.SIGINT)
        # The second may cost the cell its reply, which is ipykernel's to send; what is queued behind it does not run.
        until(lambda: k.run("1 + 1").result == "2", 60)
        return
    cell = k.collect(message, 30)
    assert cell.ename == "KeyboardInterrupt", cell


def test_interrupts(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    turns = count(10, 2)
    no_keeper(project)  # the kernel itself says how the run ended
    with kernel(project) as k:
        k.run(SAVE_FROM_INTERRUPTS)
        for turn in range(turns):
            interrupted(k, f"%%mlrun once{turn}\n{LONG}")
            interrupted(k, f"%%mlrun twice{turn}\n{LONG}", again=0.002 * 3**turn % 0.2)
            k.run(f"%mlrun start span{turn}")
            interrupted(k, LONG)
            assert "KILLED" in k.run("%mlrun stop").shown
        k.run("%mlrun start again")
        interrupted(k, LONG, again=0.01)
        k.run("%mlrun stop --status FINISHED")
    assert shared().run(FLUSH, project).code == 0
    found = statuses(project)
    assert found.pop("again") == "FINISHED"
    assert len(found) == 3 * turns and set(found.values()) == {"KILLED"}, found
    seen(f"{len(found)} of {3 * turns} KILLED: {turns} once, {turns} twice, {turns} in a span")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    code = (
        "import mlflow, time\nmlflow.set_tracking_uri({uri!r})\n"
        "with mlflow.start_run(run_name='p'):\n    time.sleep(60)"
    )
    pid = shared().fork(code.format(uri=where), project)
    shared().let_go(pid)
    wait_running(project, ["p"])
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 10
    while statuses(project)["p"] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.1)
    status = run(project, "p", where).info.status
    plain(status == "KILLED", f"an interrupt inside of `with mlflow.start_run()`: {status}")
