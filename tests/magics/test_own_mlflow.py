"""The user's own ``mlflow`` calls land in the run, and code written for a plain cell runs as it is; a run of the user's own is scorecard 11."""

from __future__ import annotations

from pathlib import Path

from kernels import kernel
from ledger import run, runs


def test_fluent_calls_in_a_cell_that_imports_mlflow(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run(
            "%%mlrun own -p mine=1\nimport mlflow\nmlflow.log_metric('acc', 0.5)\nmlflow.log_param('theirs', 2)\n"
            "mlflow.active_run().info.run_id"
        )
        assert cell.status == "ok", cell
        assert k.run("mlflow.active_run() is None").result == "True"
    (found,) = runs(project)
    assert found.info.run_id == cell.result.strip("'")
    assert found.data.metrics == {"acc": 0.5} and found.data.params == {"mine": "1", "theirs": "2"}
    assert found.info.status == "FINISHED"


def test_start_run_inside_the_cell_is_the_run_and_later_ones_are_nested(project: Path) -> None:
    code = """%%mlrun sweep
import mlflow
for lr in (0.1, 0.2, 0.3):
    with mlflow.start_run(run_name=f"lr{lr}"):
        mlflow.log_param("lr", lr)
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok", cell
    found = {r.info.run_name: r for r in runs(project)}
    assert set(found) == {"sweep", "lr0.2", "lr0.3"}
    assert found["sweep"].data.params == {"lr": "0.1"}
    assert found["lr0.2"].data.tags["mlflow.parentRunId"] == found["sweep"].info.run_id
    assert {r.info.status for r in found.values()} == {"FINISHED"}


def test_autolog_lands_in_the_run(project: Path) -> None:
    code = """%%mlrun auto
import mlflow
mlflow.sklearn.autolog(log_models=False, log_datasets=False)
from sklearn.linear_model import Ridge
Ridge(alpha=0.7).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok", cell
    assert run(project, "auto").data.params["alpha"] == "0.7"
    assert len(runs(project)) == 1


def test_a_cell_that_sends_its_calls_elsewhere_still_runs(project: Path) -> None:
    code = """%%mlrun here -m v
import mlflow
mlflow.set_tracking_uri("sqlite:///elsewhere.db")
with mlflow.start_run(run_name="there"):
    mlflow.log_metric("x", 1)
v = 2
"""
    with kernel(project) as k:
        cell = k.run(code)
        assert cell.status == "ok" and "elsewhere" in cell.displays[-1], cell
    assert run(project, "here").data.metrics == {"v": 2.0}
    assert run(project, "there", f"sqlite:///{project}/elsewhere.db").data.metrics == {"x": 1.0}


def test_failing_cell_with_own_calls_is_failed(project: Path) -> None:
    with kernel(project) as k:
        cell = k.run("%%mlrun bad\nimport mlflow\nmlflow.log_metric('a', 1)\n1/0")
        assert cell.ename == "ZeroDivisionError"
        assert k.run("mlflow.active_run() is None").result == "True"
    found = run(project, "bad")
    assert found.info.status == "FAILED" and found.data.metrics == {"a": 1}
