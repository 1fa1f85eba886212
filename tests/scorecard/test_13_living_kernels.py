"""Four times what could be taken for a dead kernel: its process id is another's (a real one: in a process namespace of its
own the killed writer's id is given to a new process); a kernel that is busy in one C call and answers nobody; one that is
stopped (SIGSTOP); and one that lives in another process namespace, as a container does, than the publisher that looks.
The publisher looks 100 times.

nbledger knows a process by id, start time and boot, not by an answer; across process namespaces by a lock on the journal,
which the system drops when the kernel dies. Plain MLflow closes no run of another process, neither of the living nor of
the dead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from endings import no_keeper, plain_store, statuses, wait_running
from forked import FLUSH, shared
from kernels import kernel

pytestmark = pytest.mark.timeout(1200)

LOOKS = """
from nbledger.core.project import find
from nbledger.keeper import journal, publish
project, found = find(), 0
for n in range({count}):
    for path in journal.pending(project):
        if publish.orphaned(path):
            found += 1
            publish.close_orphan(path)
print(found)
"""
RECYCLED = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
writer = subprocess.Popen([sys.executable, "-c", '''
import time
from nbledger.core.project import find
from nbledger.keeper import recorder
recorder.start(find(), recorder.Plan(name="recycled"))
print("open", flush=True)
time.sleep(300)
'''], stdout=subprocess.PIPE, text=True)
writer.stdout.readline()
writer.kill()
writer.wait()
for _ in range(100):
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(writer.pid - 1))
    other = subprocess.Popen(["sleep", "300"])
    if other.pid == writer.pid:
        break
    other.kill()
    other.wait()
from nbledger.core.project import find
from nbledger.keeper import journal, publish
(path,) = journal.pending(find())
print(json.dumps([writer.pid, other.pid, journal.first(path)["owner"]["pid"], publish.orphaned(path)]))
publish.close_orphan(path)
other.kill()
"""


def in_a_namespace(code: str, cwd: Path) -> str:
    """What ``code`` prints in a process namespace of its own."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_recycled_process_id(project: Path, seen: Callable[[str], None]) -> None:
    no_keeper(project)
    died, other, owner, orphaned = json.loads(in_a_namespace(RECYCLED, project).splitlines()[-1])
    assert died == other == owner and orphaned
    assert shared().run(FLUSH, project).code == 0
    assert statuses(project) == {"recycled": "KILLED"}
    seen("a dead writer whose process id a new process has: closed")


def test_kernels_that_live(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    no_keeper(project)
    looks = count(100, 100)
    wrong = 0
    with kernel(project) as busy, kernel(project) as stopped:
        busy.run("%load_ext nbledger")
        stopped.run("%mlrun start stopped")
        busy.send(
            "%%mlrun busy\nprint('in', flush=True)\nimport ctypes, time; time.sleep(1); ctypes.PyDLL(None).sleep(300)"
        )  # holds the GIL, once the kernel's own thread has sent what was printed
        while busy.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
            pass
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            done = shared().run(LOOKS.format(count=looks), project)
            assert done.code == 0, done.out
            wrong += int(done.out)
            wrong += int(in_a_namespace(LOOKS.format(count=looks), project))
            assert wrong == 0
            assert shared().run(FLUSH, project).code == 0
            assert statuses(project) == {"busy": "RUNNING", "stopped": "RUNNING"}
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        assert "stopped FINISHED" in stopped.run("%mlrun stop").shown
    assert in_a_namespace(LOOKS.format(count=1), project) == "1"  # the killed one is found from there as well
    assert shared().run(FLUSH, project).code == 0
    assert statuses(project) == {"busy": "KILLED", "stopped": "FINISHED"}
    seen(f"busy and stopped kernels: {wrong} of {2 * looks} looks closed one, half of them from another namespace")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    code = (
        "import mlflow, time\nmlflow.set_tracking_uri({uri!r})\nwith mlflow.start_run(run_name={name!r}):\n    {last}"
    )
    pids = [shared().fork(code.format(uri=where, name=n, last="time.sleep(300)"), project) for n in ("dead", "alive")]
    shared().let_go(*pids)
    wait_running(project, ["dead", "alive"])
    os.kill(pids[0], signal.SIGKILL)
    for n in range(10):
        shared().run(code.format(uri=where, name=f"other{n}", last="pass"), project)
    found = statuses(project)
    os.kill(pids[1], signal.SIGKILL)
    plain(
        found["alive"] == "RUNNING",
        f"no run is closed by others: the living {found['alive']}, the dead {found['dead']}",
    )
