"""A kernel whose `.nbledger` is a disk of its own (a small tmpfs in a mount namespace): read-only; full before the cell
begins; filled to the last byte by the cell itself after the run has begun, with metrics, an artifact and a model to
come; and a full disk only where the system keeps temporary files, or only where Jupyter keeps its sockets.

The cell succeeds, nbledger says one thing and leaves nothing half-written; once there is room, the next cell is
recorded. A run that had begun loses no value: they wait in memory and are written, the run's end too, when there is
room. The plain way: the same with MLflow's SQLite store on such a disk.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import faults
from kernels import Cell, Kernel, kernel
from ledger import client
from ledgerfiles import ends

TESTS = str(Path(__file__).parents[1])
HELPERS = f"import sys; sys.path.append({TESTS!r}); import faults"
FILLS = """%%mlrun middle -p n=3 -m v -a big.bin --model model
from nbledger import log
model = {'weights': list(range(100))}
log(loss=0.5, step=0)
faults.fill('.nbledger')
for i in range(1, 200):
    log(loss=i / 7, step=i)
v = 6 * 7
v"""


@contextmanager
def on_disk(project: Path, folder: Path, kind: str = "small") -> Iterator[Kernel]:
    with kernel(project, before=faults.below(folder, kind)) as k:
        assert k.run(HELPERS).status == "ok"
        yield k


def warnings(cell: Cell) -> list[str]:
    """What nbledger says of a cell: on standard error, and as marked lines of the summary."""
    noted = [line for shown in cell.displays for line in shown.splitlines() if line.lstrip().startswith("!")]
    return [*cell.stderr.splitlines(), *noted]


def told(cell: Cell, project: Path) -> str:
    """The one warning, without this machine's paths."""
    (line,) = warnings(cell)
    return line.strip(" !").removeprefix("nbledger: ").replace(f"{project}/", "").split(" — ")[0]


def listing(k: Kernel, project: Path) -> list[str]:
    root = faults.seen_by(k.pid, project) / ".nbledger"
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if "journals" in p.parts and p.is_file())


def published(k: Kernel, project: Path) -> tuple[Any, dict[str, Any]]:
    """Plain MLflow's client of a copy of the store on that disk (SQLite would resolve the way there), and {name: run}."""
    flushed = k.run("%ledger flush")
    assert "is published" in flushed.shown, flushed
    copy = project.parent / f"copy-{time.monotonic_ns()}.db"
    shutil.copyfile(faults.seen_by(k.pid, project) / ".nbledger/mlflow.db", copy)
    api = client(f"sqlite:///{copy}")
    return api, {run.info.run_name: run for run in api.search_runs([e.experiment_id for e in api.search_experiments()])}


def committed(project: Path) -> None:
    """A ledger that is in use, and a notebook's data."""
    (project / ".nbledger").mkdir()
    (project / ".nbledger/.gitignore").write_text("*\n")
    (project / "big.bin").write_bytes(b"\7" * 3_000_000)
    (project / ".git/info/exclude").write_text("big.bin\n")


def test_read_only(project: Path, seen: Callable[[str], None]) -> None:
    committed(project)
    with on_disk(project, project / ".nbledger", "ro") as k:
        first = k.run("%%mlrun a -p n=3\nx = 6 * 7\nx")
        assert (first.status, first.result) == ("ok", "42") and len(warnings(first)) == 1, first
        assert "Read-only" in first.stderr and k.run("%%mlrun b\n1/0").ename == "ZeroDivisionError"
        assert listing(k, project) == []
    seen(f"read-only: {told(first, project)}")


def test_full_before_the_cell(project: Path, seen: Callable[[str], None]) -> None:
    committed(project)
    with on_disk(project, project / ".nbledger") as k:
        k.run("faults.fill('.nbledger')")
        cell = k.run("%%mlrun a -p n=3 -m x -a big.bin\nx = 6 * 7\nx")
        assert (cell.status, cell.result) == ("ok", "42") and len(warnings(cell)) == 1, cell
        assert listing(k, project) == []
        k.run("faults.free('.nbledger')")
        assert k.run("%%mlrun b -m x\nx = 1").displays[-1].startswith("✓ b FINISHED")
        assert [*published(k, project)[1]] == ["b"]
        k.run("faults.fill('.nbledger')")
        again = k.run("%%mlrun c\n2")
        assert again.result == "2" and len(warnings(again)) == 1  # said anew, as runs were recorded in between
    seen(f"full: {told(cell, project)}; recorded again when there was room")


def test_filled_in_the_middle_of_the_cell(project: Path, seen: Callable[[str], None]) -> None:
    committed(project)
    with on_disk(project, project / ".nbledger") as k:
        k.run("%%mlrun first\nx = 1")
        published(k, project)
        cell = k.run(FILLS)
        assert (cell.status, cell.result) == ("ok", "42") and len(warnings(cell)) == 1, cell
        assert k.run("%%mlrun unrecorded\n5").result == "5"
        k.run("faults.free('.nbledger')")
        deadline = time.monotonic() + 20
        while None in ends(faults.seen_by(k.pid, project)).values() and time.monotonic() < deadline:
            time.sleep(0.2)
        api, found = published(k, project)
        assert sorted(found) == ["first", "middle"]
        run = found["middle"]
        assert run.info.status == "FINISHED" and run.data.params == {"n": "3"} and run.data.metrics["v"] == 42
        history = sorted((m.step, m.value) for m in api.get_metric_history(run.info.run_id, "loss"))
        assert history == [(0, 0.5), *((i, i / 7) for i in range(1, 200))]
        whole_files(k, project, run)
    seen(f"filled by the cell: {told(cell, project)}; then 200 of 200 values exact, the run FINISHED")


def whole_files(k: Kernel, project: Path, run: Any) -> None:
    """What was kept of the run's files is whole."""
    where = run.info.artifact_uri.removeprefix("file://")
    for file in faults.seen_by(k.pid, Path(where)).rglob("*"):
        if file.suffix in (".json", ".ipynb"):
            json.loads(file.read_text())
        elif file.name == "big.bin":
            assert file.read_bytes() == (project / "big.bin").read_bytes()


@pytest.mark.parametrize("where", ["TMPDIR", "JUPYTER_RUNTIME_DIR"])
def test_full_elsewhere(
    project: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch, seen: Callable[[str], None]
) -> None:
    folder = Path(os.environ[where]) if where in os.environ else tmp_path / "temporary"
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv(where, str(folder))
    (project / "note.txt").write_text("kept")
    with on_disk(project, folder) as k:
        k.run(f"faults.fill({str(folder)!r})")
        begun = time.monotonic()
        cell = k.run("%%mlrun a -p n=3 -m x -a note.txt\nx = 6 * 7\nx")
        took = time.monotonic() - begun
        assert (cell.status, cell.result) == ("ok", "42") and took < 10, (took, cell)
        said = [line for line in warnings(cell) if "note.txt" not in line]
        assert len(said) <= 1, said
        k.run(f"faults.free({str(folder)!r})")
        assert k.run("%%mlrun b\n1").displays[-1].startswith("✓ b FINISHED")
        assert {name: run.info.status for name, run in published(k, project)[1].items()} == {
            "a": "FINISHED",
            "b": "FINISHED",
        }
    seen(f"full {where}: recorded in {took:.1f} s{', with one warning' if said else ''}")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    committed(project)
    code = "with mlflow.start_run():\n    mlflow.log_metric('x', 42)\n6 * 7"
    with kernel(project, load=False, before=faults.below(project / ".nbledger")) as k:
        k.run(f"{HELPERS}\nimport mlflow\nmlflow.set_tracking_uri('sqlite:///.nbledger/mlflow.db')\n{code}")
        k.run("faults.fill('.nbledger')")
        cell = k.run(code)
        plain(cell.result == "42", cell.ename + " in place of the cell's result" if cell.ename else cell.result)
