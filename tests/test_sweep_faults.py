"""A sweep in whose middle a kernel is killed, the tracking server is killed and started again, and the disk is full for a
while: with ``--retries`` and ``--resume``, as a person would use them, each point has one finished run, and nothing is lost.

As a script it is that sweep, in a mount namespace of its own: ``python test_sweep_faults.py DISK OUTSIDE``.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from batches import RUN, none_left, notebook, owned
from conftest import make_repository
from faults import _unshared, fill, free
from ledger import client, flush
from servers import Server, mlflow_server

COUNT, JOBS = 16, 2
_CELLS = (
    ("parameters", "n = 0"),
    "import os, time, pathlib\nfrom nbledger import log\nmarks = pathlib.Path(os.environ['MARKS'])",
    "(marks / f'begun-{n:02}-{os.getpid()}').touch()\ntime.sleep(0.5)",
    "log(double=2 * n)",
    "time.sleep(0.5)\n(marks / f'done-{n:02}-{os.getpid()}').touch()",
)


HAPPENS = ["kernel killed", "server killed", "disk full", "disk freed"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mount namespaces are Linux's")
def test_nothing_is_lost_and_nothing_doubled(folder: Path, tmp_path: Path) -> None:
    disk, outside = folder / "disk", tmp_path / "outside"
    disk.mkdir()
    outside.mkdir()
    command = [*_unshared(), sys.executable, __file__, str(disk), str(outside)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=env, timeout=500)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told = json.loads(done.stdout)
    assert [what for what in told["happened"] if what != "server back"] == HAPPENS, told
    assert "server back" in told["happened"], told
    assert told["codes"][-1] == 0 and len(told["codes"]) > 1, told  # it was cut short, and gone on with
    finished = collections.Counter(run["n"] for run in told["runs"] if run["status"] == "FINISHED")
    assert finished == {str(n): 1 for n in range(1, COUNT + 1)}, told
    assert {run["status"] for run in told["runs"]} <= {"FINISHED", "FAILED", "KILLED"}, told
    for run in told["runs"]:
        if run["status"] == "FINISHED":
            assert run["double"] == 2 * int(run["n"]), run
            assert {"sweep.ipynb", "nbledger"} <= set(run["artifacts"]), run
            assert run["executed"] >= len(_CELLS), run
    assert "KILLED" in [run["status"] for run in told["runs"] if run["n"] == told["victim"]], told
    journals = [run["journal"] for run in told["runs"]]
    assert len(set(journals)) == len(journals), told
    assert told["parents"] == ["FINISHED"], told
    assert {run["parent"] for run in told["runs"]} == {told["parent"]}, told
    assert told["left"] == [], told


# ── the sweep, on a disk of its own ──────────────────────────────────────────────────────────────────────────


class Faults(threading.Thread):
    """What happens, as soon as so many notebooks have begun."""

    def __init__(self, disk: Path, root: Path, marks: Path, server: Server, runner: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.disk, self.root, self.marks, self.server, self.runner = disk, root, marks, server, runner
        self.happened: list[str] = []
        self.victim = ""

    def run(self) -> None:
        self._when(3)
        newest = max(self.marks.glob("begun-*"), key=lambda path: path.stat().st_mtime)
        _, number, pid = newest.name.split("-")
        self.victim = str(int(number))
        os.kill(int(pid), signal.SIGKILL)
        self.happened.append("kernel killed")
        self._when(6)
        self.server.stop()
        self.happened.append("server killed")
        self._when(9)
        back = threading.Thread(target=self._back)
        back.start()
        self._when(10)
        fill(self.disk)
        self.happened.append("disk full")
        until = time.monotonic() + 5
        while time.monotonic() < until and self.runner.poll() is None:
            time.sleep(0.05)
        free(self.disk)
        self.happened.append("disk freed")
        back.join()

    def _back(self) -> None:
        """Beside the rest: the notebooks go on while a server starts, and are not to end before the disk is full."""
        self.server.start()
        self.happened.append("server back")

    def _when(self, begun: int) -> None:
        while len(list(self.marks.glob("begun-*"))) < begun and self.runner.poll() is None:
            time.sleep(0.02)


def _main(disk: Path, outside: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=True)
    root, marks = disk / "project", outside / "marks"
    marks.mkdir()
    os.environ["MARKS"] = str(marks)
    make_repository(root)
    os.chdir(root)
    notebook(root / "sweep.ipynb", *_CELLS)
    with mlflow_server(outside, f"sqlite:///{outside / 'server.db'}") as server:
        (root / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\n')
        words = [*RUN, "sweep.ipynb", "--sweep", f"n=1..{COUNT}", "--jobs", str(JOBS), "--retries", "1"]
        runner = subprocess.Popen(words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        faults = Faults(disk, root, marks, server, runner)
        faults.start()
        codes = [runner.wait(200)]
        faults.join(150)
        none_left(root)
        for _ in range(4):
            again = subprocess.run(
                [*RUN, "--resume", "--failed", "--reuse"],
                cwd=root,
                capture_output=True,
                text=True,
                check=False,
                timeout=200,
            )
            codes.append(again.returncode)
            if again.returncode == 0:
                break
        said = flush(root)
        assert not owned(root)
        told = {"happened": faults.happened, "victim": faults.victim, "codes": codes, "said": said + again.stdout}
        sys.stdout.write(json.dumps(told | _stored(server.uri) | {"left": _journals(root)}))


def _journals(root: Path) -> list[str]:
    """What is not published."""
    return [entry.name for entry in os.scandir(root / ".nbledger" / "journals") if not entry.name.startswith(".")]


def _stored(uri: str) -> dict[str, Any]:
    """What plain MLflow says: of the notebooks' runs, and of the one that holds them."""
    api = client(uri)
    found = api.search_runs([e.experiment_id for e in api.search_experiments()], max_results=1000)
    inner = [run for run in found if "n" in run.data.params]
    outer = [run for run in found if "n" not in run.data.params]
    return {
        "runs": [
            {
                "n": run.data.params["n"],
                "status": run.info.status,
                "double": run.data.metrics.get("double"),
                "journal": run.data.tags["nbledger.journal"],
                "parent": run.data.tags.get("mlflow.parentRunId"),
                "artifacts": [each.path for each in api.list_artifacts(run.info.run_id)],
                "executed": _executed(api, run),
            }
            for run in inner
        ],
        "parents": [run.info.status for run in outer],
        "parent": outer[0].info.run_id if outer else None,
    }


def _executed(api: Any, run: Any) -> int:
    """How many cells of the kept notebook have been executed."""
    if run.info.status != "FINISHED":
        return -1
    book = json.loads(Path(api.download_artifacts(run.info.run_id, "sweep.ipynb")).read_text())
    return sum(cell.get("execution_count") is not None for cell in book["cells"])


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
