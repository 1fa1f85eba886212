"""Kernel and keeper are killed (SIGKILL) while a run is open, so that nobody is left to close it. Whatever is started next
must: the next tracked cell of a new kernel, `nbledger flush`, or the question for the project's state, which is what the
sidebar asks.

Each of them reads the journals, in which the process that each open run belongs to is named by id, start time and boot.
The plain way: the process is killed, and the next process does what it does first, a run of its own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from endings import End, check_ends, ends, plain_store, statuses, wait_running
from forked import FLUSH, shared
from kernels import kernel
from nbledger.core.project import find
from nbledger.keeper import client

pytestmark = pytest.mark.timeout(1200)

PATIENCE = 120.0
"""Seconds for a whole start: the criterion names none."""


def kill_both(root: Path, name: str) -> None:
    with kernel(root) as k:
        k.send(f"%%mlrun {name}\nimport time; time.sleep(300)")
        wait_running(root, [name])
        keeper = client.running(find(root))
        assert keeper is not None
        os.kill(keeper.pid, signal.SIGKILL)
        os.kill(k.pid, signal.SIGKILL)
    time.sleep(2)
    assert statuses(root)[name] == "RUNNING" and client.running(find(root)) is None


def by_flush(root: Path) -> None:
    assert shared().run(FLUSH, root).code == 0


def by_the_state_view(root: Path) -> None:
    client.ask(find(root), "state", start=True)


def by_the_next_cell(root: Path) -> None:
    with kernel(root) as k:
        assert k.run("%%mlrun next\n1").status == "ok"


def test_the_next_start_closes(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    ways = (by_the_next_cell, by_the_state_view, by_flush)[: count(3, 1)]
    closed: dict[str, End] = {}
    for way in ways:
        kill_both(project, way.__name__)
        begun = time.monotonic()
        way(project)
        closed |= ends(project, {way.__name__: begun}, PATIENCE)
    told = check_ends(closed, PATIENCE)
    assert {end.status for end in closed.values()} == {"KILLED"}
    seen(f"by {', '.join(way.__name__[3:].replace('_', ' ') for way in ways)}: {told} after the next start began")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    code = (
        "import mlflow, time\nmlflow.set_tracking_uri({uri!r})\nwith mlflow.start_run(run_name={name!r}):\n    {last}"
    )
    pid = shared().fork(code.format(uri=where, name="killed", last="time.sleep(300)"), project)
    shared().let_go(pid)
    wait_running(project, ["killed"])
    os.kill(pid, signal.SIGKILL)
    assert shared().run(code.format(uri=where, name="next", last="pass"), project).code == 0
    found = statuses(project)
    assert found["next"] == "FINISHED"
    plain(found["killed"] != "RUNNING", f"after the next process's run the killed one is {found['killed']}")
