"""A notebook has an active MLflow run of its own (parameters, metrics, tags, a nested run, autologging) when tracked cells
come: one that logs, one that raises, one with a nested run, one that fits a model under autologging, one that calls
`mlflow.end_run()` first. Before, between and after them the notebook's own run is read back and compared.

Within a tracked cell nbledger's run is the active one, and only there; afterwards the notebook's own run is active again,
with what was logged to it and nothing else. The plain way: `mlflow.start_run(nested=True)` in each such cell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endings import no_keeper, plain_store
from kernels import Kernel, kernel
from ledger import client, runs, uri

pytestmark = pytest.mark.timeout(1200)

OUTER = """
import mlflow
mlflow.set_tracking_uri({uri!r})
mlflow.set_experiment("own")
outer = mlflow.start_run(run_name="outer", tags={{"team": "own"}})
mlflow.log_param("own", 1); mlflow.log_metric("before", 1)
mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
from sklearn.linear_model import Ridge
X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]
outer.info.run_id
"""
CELLS = {
    "logs": "mlflow.log_metric('inside', 2); mlflow.log_param('p', 2); mlflow.set_tag('mine', 'in')",
    "raises": "mlflow.log_metric('inside', 3)\n1/0",
    "nests": "with mlflow.start_run(nested=True, run_name='deep'):\n    mlflow.log_metric('deep', 4)\n"
    "mlflow.log_metric('inside', 4)",
    "fits": "Ridge(alpha=0.7).fit(X, y)",
    "ends": "mlflow.end_run()\nwith mlflow.start_run(nested=True, run_name='after-end'):\n    mlflow.log_metric('inside', 5)",
}
STATUS = {"logs": "FINISHED", "raises": "FAILED", "nests": "FINISHED", "fits": "FINISHED", "ends": "FINISHED"}


def data(root: Path, run_id: str) -> tuple[Any, ...]:
    """All that the notebook's own run holds."""
    found = client(uri(root)).get_run(run_id)
    return found.info.status, found.data.params, found.data.metrics, found.data.tags


def begun(k: Kernel, root: Path) -> str:
    cell = k.run(OUTER.format(uri=uri(root)))
    assert cell.status == "ok", cell
    return cell.result.strip("'")


def crossed(root: Path, run_id: str) -> dict[str, list[str]]:
    """{run: what it has of the notebook's own}; ours may bear no value of it, and be no child of it."""
    found = {}
    for run in runs(root, flushed=False):
        if run.info.run_id != run_id and run.info.run_name in CELLS:
            held = {"own", "before", "between", "after"} & (run.data.params.keys() | run.data.metrics.keys())
            held |= {"team"} & run.data.tags.keys()
            found[run.info.run_name] = sorted(held)
    return found


def test_untouched(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    plain_store(project)
    if not count(1, 0):
        no_keeper(project)  # it is the kernel where runs could be mixed up
    with kernel(project) as k:
        run_id = begun(k, project)
        for name, code in CELLS.items():
            before = data(project, run_id)
            assert before[0] == "RUNNING"
            cell = k.run(f"%%mlrun {name} -p given={name}\nfrom nbledger import log\nlog(loss=1)\n{code}")
            assert cell.ename == ("ZeroDivisionError" if name == "raises" else ""), cell
            assert data(project, run_id) == before
            assert k.run("mlflow.active_run().info.run_id").result.strip("'") == run_id
            k.run(f"mlflow.log_metric('between', {len(name)})")
        k.run("mlflow.log_metric('after', 3); Ridge(alpha=0.9).fit(X, y); mlflow.end_run()")
        assert k.run("mlflow.active_run() is None").result == "True"
    found = {run.info.run_name: run for run in runs(project)}
    status, params, metrics, tags = data(project, run_id)
    assert status == "FINISHED" and {"before": 1, "after": 3}.items() <= metrics.items()
    assert not {"inside", "deep", "loss"} & metrics.keys() and not {"p", "given"} & params.keys()
    assert params["own"] == "1" and params["alpha"] == "0.9" and tags["team"] == "own" and "mine" not in tags
    assert not [tag for tag in tags if tag.startswith("nbledger.")]
    assert crossed(project, run_id) == {name: [] for name in CELLS}
    assert {name: found[name].info.status for name in CELLS} == STATUS
    assert all(found[name].data.params["given"] == name and found[name].data.metrics["loss"] == 1 for name in CELLS)
    assert not [name for name in CELLS if found[name].data.tags.get("mlflow.parentRunId")]
    assert found["logs"].data.metrics["inside"] == 2 and found["fits"].data.params["alpha"] == "0.7"
    assert found["deep"].data.tags["mlflow.parentRunId"] == found["nests"].info.run_id
    seen(f"{len(CELLS)} of {len(CELLS)} cells: the own run unchanged and active again, no value crossed over")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    plain_store(project)
    with kernel(project, load=False) as k:
        run_id = begun(k, project)
        wrong = []
        for name, code in CELLS.items():
            before = data(project, run_id)
            body = "\n".join(f"    {line}" for line in f"mlflow.log_metric('loss', 1)\n{code}".splitlines())
            k.run(f"with mlflow.start_run(nested=True, run_name={name!r}):\n{body}")
            if data(project, run_id) != before:
                wrong.append(name)
            if k.run("mlflow.active_run() is not None and mlflow.active_run().info.run_id").result.strip("'") != run_id:
                wrong.append(f"{name} (no longer active)")
                run_id = begun(k, project)
    plain(not wrong, f"with nested=True everywhere: {', '.join(wrong) + ' touched it' if wrong else 'untouched'}")
