"""One notebook, unchanged, run by nbconvert, by ``--to ledger`` and by papermill: real processes, read with plain MLflow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import git
from ledger import artifact, runs, wait_for_status
from nbledger.core.project import find
from nbledger.keeper.calls import perform

pytestmark = pytest.mark.slow

WINE = Path(__file__).parents[1] / "examples" / "wine.ipynb"


def test_plain_nbconvert_records_the_three_runs(folder: Path) -> None:
    wine(folder)
    nbconvert(folder, "--to", "notebook", "--execute", "wine.ipynb")
    assert_three_forests(folder, runs(folder), "50")


def test_papermill_records_the_three_runs_with_its_parameters(folder: Path) -> None:
    wine(folder)
    done = python(
        folder, "-m", "papermill", "--no-progress-bar", "wine.ipynb", "executed.ipynb", "-p", "n_estimators", "8"
    )
    assert done.returncode == 0, done.stderr
    assert_three_forests(folder, runs(folder), "8")


def test_the_ledger_exporter_records_the_notebook_with_its_cells_as_children(folder: Path) -> None:
    wine(folder)
    nbconvert(folder, "--to", "ledger", "--LedgerExporter.parameters=n_estimators=8", "wine.ipynb")
    whole, *forests = runs(folder)
    assert_three_forests(folder, forests, "8")
    assert (whole.info.run_name, whole.info.status) == ("wine", "FINISHED")
    assert whole.data.params["n_estimators"] == "8"
    assert whole.data.params["max_depth"] == "2"
    assert {r.data.tags["mlflow.parentRunId"] for r in forests} == {whole.info.run_id}
    assert whole.info.start_time <= forests[0].info.start_time <= forests[-1].info.end_time <= whole.info.end_time
    kept = json.loads(artifact(folder, whole.info.run_id, "wine.ipynb").read_text())
    shown = perform(find(folder), "notebook", {"run": whole.info.run_id})
    assert (shown.kind, shown.notebook, shown.note) == ("executed", kept, "")
    assert "forest-light" in json.dumps([c.get("outputs") for c in kept["cells"]])


def test_parameters_from_a_file_and_the_line_which_wins(folder: Path) -> None:
    notebook(folder, "n.ipynb", ("parameters", "n, rate, name = 1, 0.5, 'a'"), "print(n, rate, name)")
    (folder / "values.yaml").write_text("n: 4\nrate: 0.25\n")
    nbconvert(
        folder, "--to", "ledger", "--LedgerExporter.parameters_file=values.yaml",
        "--LedgerExporter.parameters=n=9", "--LedgerExporter.run_name=swept", "n.ipynb",
    )  # fmt: skip
    (found,) = runs(folder)
    assert found.info.run_name == "swept"
    assert {k: found.data.params[k] for k in ("n", "rate", "name")} == {"n": "9", "rate": "0.25", "name": "a"}
    assert "9 0.25 a" in artifact(folder, found.info.run_id, "n.ipynb").read_text()


def test_a_failing_cell_is_failed_with_exit_code_1_and_the_notebook_kept(folder: Path) -> None:
    notebook(folder, "fails.ipynb", "print('got here')", "1 / 0", "print('not here')")
    done = nbconvert(folder, "--to", "ledger", "fails.ipynb", ok=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    (found,) = runs(folder, flushed=False)
    assert found.info.status == "FAILED"
    kept = artifact(folder, found.info.run_id, "fails.ipynb").read_text()
    assert "got here" in kept
    assert '"ename": "ZeroDivisionError"' in kept


def test_a_failing_cell_that_may_fail_is_no_failure(folder: Path) -> None:
    notebook(folder, "may.ipynb", ("raises-exception", "1 / 0"), "print('and on')")
    nbconvert(folder, "--to", "ledger", "may.ipynb")
    (found,) = runs(folder)
    assert found.info.status == "FINISHED"


def test_a_killed_kernel_is_killed_with_the_notebook_kept(folder: Path) -> None:
    notebook(folder, "dies.ipynb", "print('got here')", "import os; os.kill(os.getpid(), 9)", "print('not here')")
    done = nbconvert(folder, "--to", "ledger", "dies.ipynb", ok=False)
    assert done.returncode == 1
    assert "the kernel died" in done.stderr
    (found,) = runs(folder, flushed=False)
    assert found.info.status == "KILLED"
    assert "got here" in artifact(folder, found.info.run_id, "dies.ipynb").read_text()


def test_control_c_is_killed_with_the_notebook_kept(folder: Path) -> None:
    notebook(folder, "long.ipynb", "print('got here')", "open('begun', 'w').close()\nimport time; time.sleep(120)")
    process = subprocess.Popen(
        [sys.executable, "-m", "nbconvert", "--to", "ledger", "long.ipynb"],
        cwd=folder, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(folder / "begun")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    found = wait_for_status(folder, "long", "KILLED")
    deadline = time.monotonic() + 120
    while not any(a.path == "long.ipynb" for a in _client(folder).list_artifacts(found.info.run_id)):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert "got here" in artifact(folder, found.info.run_id, "long.ipynb").read_text()


def test_two_notebooks_in_one_call_are_each_themselves(folder: Path) -> None:
    for name in ("first", "second"):
        notebook(folder, f"{name}.ipynb", "%load_ext nbledger", f"%%mlrun cell-of-{name}\nprint('same code')")
    nbconvert(folder, "--to", "ledger", "first.ipynb", "second.ipynb")
    nbconvert(folder, "--to", "notebook", "--execute", "first.ipynb", "second.ipynb")
    found = [(r.info.run_name, r.data.tags["mlflow.source.name"]) for r in runs(folder)]
    each = [[(name, f"{name}.ipynb"), (f"cell-of-{name}", f"{name}.ipynb")] for name in ("first", "second")]
    assert sorted(found) == sorted([*each[0], *each[1], each[0][1], each[1][1]])


def test_the_output_is_that_of_plain_execution(project: Path) -> None:
    sources = (
        "print('text'); import sys; print('error', file=sys.stderr)",
        ("raises-exception", "{}['missing']"),
        "from IPython.display import HTML; HTML('<b>1</b>')",
        "%load_ext nbledger",
        "%%mlrun tracked -m x\nx = 6 * 7\nx",
        "_, Out",
    )
    notebook(project, "same.ipynb", *sources)
    nbconvert(project, "--to", "notebook", "--execute", "--output", "plain.ipynb", "same.ipynb")
    nbconvert(project, "--to", "ledger", "--output", "ledger.ipynb", "same.ipynb")
    plain, ledger = (nbformat.read(project / f"{name}.ipynb", 4) for name in ("plain", "ledger"))
    assert without_the_ledgers(ledger) == without_the_ledgers(plain)
    assert ledger.metadata == plain.metadata


# ── what the stories are told with ───────────────────────────────────────────────────────────────────────


def python(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False, timeout=240)


def nbconvert(root: Path, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = python(root, "-m", "nbconvert", "--log-level=WARN", *words)
    assert not ok or done.returncode == 0, done.stderr
    return done


def wine(root: Path) -> None:
    (root / "wine.ipynb").write_bytes(WINE.read_bytes())


def notebook(root: Path, name: str, *sources: str | tuple[str, str]) -> None:
    """A notebook of code cells; (tag, source) for one that is tagged."""
    cells = []
    for source in sources:
        tag, code = source if isinstance(source, tuple) else ("", source)
        cells.append(nbformat.v4.new_code_cell(code, metadata={"tags": [tag]} if tag else {}))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / name)


def assert_three_forests(root: Path, found: list[Any], n_estimators: str) -> None:
    """The runs of the wine notebook: their status, parameters, identity, and the data that each really read."""
    assert [r.info.run_name for r in found] == ["forest", "forest-small", "forest-light"]
    assert {r.info.status for r in found} == {"FINISHED"}
    assert [r.data.params["n_estimators"] for r in found] == [n_estimators, "3", n_estimators]
    assert {r.data.params["max_depth"] for r in found} == {"2"}
    assert {r.data.tags["mlflow.source.name"] for r in found} == {"wine.ipynb"}
    assert all(0.5 < r.data.metrics["accuracy"] <= 1 for r in found)
    for recorded in found:
        commit = recorded.data.tags["mlflow.source.git.commit"]
        pointer = git(root, "show", f"{commit}:data/wine.csv.dvc")
        (used,) = recorded.inputs.dataset_inputs
        assert used.dataset.name == "data/wine.csv"
        assert used.dataset.digest in pointer
    assert git(root, "log", "-1", "--format=%s") == "Three forests on two versions of the wine data"


def without_the_ledgers(nb: Any) -> list[Any]:
    """Source, count and outputs of the code cells, but not what nbledger displays."""
    return [
        (
            cell.source,
            cell.execution_count,
            [
                {k: v for k, v in output.items() if k != "metadata"}
                for output in cell.outputs
                if "nbledger" not in output.get("data", {}).get("text/html", "")
            ],
        )
        for cell in nb.cells
    ]


def wait_for(path: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.1)


def _client(root: Path) -> Any:
    from ledger import client, uri

    return client(uri(root))
