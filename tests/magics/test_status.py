"""Promise 2: a run tells the truth about how its cell ended."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from kernels import kernel
from ledger import run, runs, wait_for_status


def test_interrupt_is_killed(project: Path) -> None:
    with kernel(project) as k:
        message = k.send("%%mlrun long\nimport time\nprint('in', flush=True)\ntime.sleep(60)")
        time.sleep(3)
        k.interrupt()
        cell = k.collect(message, 20)
        assert cell.ename == "KeyboardInterrupt"
    assert run(project, "long").info.status == "KILLED"


def test_sigkill_of_the_kernel_is_killed_by_the_keeper(project: Path) -> None:
    with kernel(project) as k:
        k.send("%%mlrun shot\nfrom nbledger import log\nlog(loss=0.5)\nimport time; time.sleep(60)")
        wait_for_status(project, "shot", "RUNNING", 60)
        os.kill(k.pid, signal.SIGKILL)
        found = wait_for_status(project, "shot", "KILLED")
        assert found.data.metrics == {"loss": 0.5}


def test_kernel_and_keeper_both_die_and_the_next_start_closes_the_run(project: Path) -> None:
    from nbledger.core.project import find
    from nbledger.keeper import client

    with kernel(project) as k:
        k.send("%%mlrun both\nimport time; time.sleep(60)")
        wait_for_status(project, "both", "RUNNING", 60)
        keeper = client.running(find(project))
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGKILL)
        os.kill(k.pid, signal.SIGKILL)
        time.sleep(2)
    with kernel(project):
        wait_for_status(project, "both", "KILLED")


def test_restart_with_an_open_span_is_killed_not_finished(project: Path) -> None:
    with kernel(project) as k:
        k.run("%mlrun start span\nimport mlflow")
        k.run("mlflow.log_metric('seen', 1)")
        k.manager.restart_kernel(now=False)
        wait_for_status(project, "span", "KILLED")


def test_kernel_exit_with_an_open_span_is_killed(project: Path) -> None:
    with kernel(project) as k:
        k.run("%mlrun start left")
        k.client.shutdown()
        wait_for_status(project, "left", "KILLED")


def test_a_living_kernel_is_never_closed(project: Path) -> None:
    with kernel(project) as k:
        k.run("%mlrun start alive")
        time.sleep(4)
        assert run(project, "alive").info.status == "RUNNING"
        k.run("%mlrun stop")
        assert run(project, "alive").info.status == "FINISHED"


def test_span_over_cells_with_a_child(project: Path) -> None:
    with kernel(project) as k:
        k.run("%mlrun start outer -m total")
        k.run("total = 3")
        k.run("%%mlrun inner\n1")
        assert "outer" in k.run("%mlrun show").result
        stop = k.run("%mlrun stop")
        assert "✓ outer FINISHED" in stop.shown, stop
    outer, inner = run(project, "outer"), run(project, "inner")
    assert inner.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert outer.data.metrics == {"total": 3.0}


def test_eight_kernels_at_once_on_no_store_lose_nothing(project: Path) -> None:
    from kernels import Kernel

    kernels = [Kernel(project) for _ in range(8)]
    try:
        for k in kernels:
            assert k.run("%load_ext nbledger").status == "ok"
        code = "%%mlrun k{n} -p n={n}\nfrom nbledger import log\nfor i in range(50): log(loss=i / 50, step=i)"
        messages = [k.send(code.format(n=n)) for n, k in enumerate(kernels)]
        for k, message in zip(kernels, messages, strict=True):
            assert k.collect(message).status == "ok"
    finally:
        for k in kernels:
            k.close()
    found = runs(project)
    assert sorted(r.info.run_name for r in found) == [f"k{n}" for n in range(8)]
    assert {r.info.status for r in found} == {"FINISHED"}
    from ledger import client, uri

    api = client(uri(project))
    assert all(len(api.get_metric_history(r.info.run_id, "loss")) == 50 for r in found)
