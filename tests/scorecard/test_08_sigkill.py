"""SIGKILL of the kernel at mixed moments: in the first line of a tracked cell, in a storm of `log()` calls, between the
cells of a span, and while the run's files are being written after its last line. Plain MLflow is asked until the run has a
final status; the 30 s count from the kill.

nbledger's keeper watches the process that a run belongs to and closes what the dead left. A cell that had finished, but
whose files were still being written, is `KILLED` too: its record is not whole, and the run says so. The plain way: the same
kill while a process is inside of `with mlflow.start_run()`; nobody is left to close that run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from endings import End, check_ends, ends, kernels, plain_store, statuses, until, wait_running
from forked import shared
from kernels import Kernel
from ledger import run, wait_for_status

pytestmark = pytest.mark.timeout(1200)

STORM = "%%mlrun {}\nfrom nbledger import log\nprint('in', flush=True)\nn = 0\nwhile True:\n    log(loss=n / 7); n += 1"
FIRST = "%%mlrun {}\nprint('in', flush=True)\nimport time\ntime.sleep(300)"


def said_in(k: Kernel) -> None:
    while (message := k.client.get_iopub_msg(timeout=60))["msg_type"] != "stream" or "in" not in message["content"][
        "text"
    ]:
        pass


def at_first_line(k: Kernel, name: str, root: Path) -> None:
    k.send(FIRST.format(name))
    said_in(k)


def in_a_storm(k: Kernel, name: str, root: Path) -> None:
    k.send(STORM.format(name))
    said_in(k)
    time.sleep(random.random())


def between_cells(k: Kernel, name: str, root: Path) -> None:
    k.run(f"%mlrun start {name}")
    k.run("from nbledger import log\nfor i in range(100): log(loss=i)")


def while_files_are_written(k: Kernel, name: str, root: Path) -> None:
    """Killed in the middle of copying a folder; the cell itself has finished by then."""
    k.run(
        "from pathlib import Path\nmany = Path('.nbledger/many'); many.mkdir(parents=True, exist_ok=True)\n"
        "for n in range(4000): (many / str(n)).write_text('x')"
    )
    k.send(f"%%mlrun {name} -a .nbledger/many\nx = 1")
    until(lambda: begun_to_copy(root))


def begun_to_copy(root: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # a journal that was published meanwhile
        return any(root.glob(".nbledger/journals/*/blobs/*/many"))
    return False


MOMENTS = (at_first_line, while_files_are_written, in_a_storm, between_cells)


def test_sigkill(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    found: dict[str, End] = {}
    cut_short = ""
    while len(found) < (wanted := count(20, 2)):
        killed: dict[str, float] = {}
        with kernels(project, min(4, wanted - len(found))) as started:
            if not found:
                started[0].run("%%mlrun warm\n1")  # what is measured is not how long the keeper takes to start
                wait_for_status(project, "warm", "FINISHED", 90)
            for n, (k, moment) in enumerate(zip(started, MOMENTS, strict=False), len(found)):
                moment(k, name := f"r{n}", project)
                os.kill(k.pid, signal.SIGKILL)
                killed[name] = time.monotonic()
                cut_short = name if moment is while_files_are_written else cut_short
            found |= ends(project, killed)
    told = check_ends(found)
    assert statuses(project).keys() == found.keys() | {"warm"}
    assert "its kernel ended while the run was being recorded" in run(project, cut_short).data.tags["nbledger.notices"]
    seen(told)


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    code = (
        "import mlflow, time\nmlflow.set_tracking_uri({uri!r})\nwith mlflow.start_run(run_name={name!r}):\n"
        "    for n in range(10**9):\n        mlflow.log_metric('loss', n, step=n); time.sleep(0.5)"
    )
    names = [f"p{n}" for n in range(20)]
    pids = [shared().fork(code.format(uri=where, name=name), project) for name in names]
    shared().let_go(*pids)
    wait_running(project, names)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    found = ends(project, dict.fromkeys(names, time.monotonic()), 10)
    stay = sum(end.status == "RUNNING" for end in found.values())
    plain(stay == 0, f"{stay} of 20 are still RUNNING after 10 s, and will be for ever")
