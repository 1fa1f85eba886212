"""Promise 2: a run tells the truth about how its cell ended; what ends a kernel is in scorecard 8 to 13."""

from __future__ import annotations

from pathlib import Path

from kernels import kernel
from ledger import run, wait_for_status


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


def test_a_failed_cell_of_a_span_counts_until_it_is_run_again(project: Path) -> None:
    with kernel(project) as k:
        for name, again in (("left", False), ("mended", True)):
            k.run(f"%mlrun start {name}")
            assert k.run("1 / 0").ename == "ZeroDivisionError"
            if again:
                k.run("1 / 1")
            k.run("%mlrun stop")
    assert run(project, "left").info.status == "FAILED" and run(project, "mended").info.status == "FINISHED"
