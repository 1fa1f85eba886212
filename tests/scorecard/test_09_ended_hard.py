"""The kernel is ended by SIGTERM, by a hard restart (`KernelManager.restart_kernel(now=True)`, which is the button in
JupyterLab), and by the system because memory runs out: a memory cgroup of 200 MB (version 1, or 2) around the kernel, in
which a tracked cell takes more. Where the system grants no cgroup, the kernel's address space is limited instead and the
cell ends as programs in C do when `malloc` gives nothing: by `abort`. Which it was is told.

The keeper sees that the process is gone and closes the run as `KILLED`. The plain way: the same, inside of
`with mlflow.start_run()`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from endings import End, check_ends, ends, kernels, plain_store, wait_running
from forked import shared
from kernels import kernel

pytestmark = pytest.mark.timeout(1200)

WAITS = "{head}\nimport time\ntime.sleep(300)"
TAKES = "held = []\nwhile True:\n    held.append(bytearray(b'x' * (1 << 24)))"
ABORTS = """import ctypes, resource
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20),) * 2)
while c.malloc(1 << 24): pass
c.abort()"""


def _version_1(name: str) -> Path:
    group = Path("/sys/fs/cgroup/memory") / name
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(200 << 20))
    return group


def _version_2(name: str) -> Path:
    group = Path("/sys/fs/cgroup") / name
    with suppress(OSError):
        (group.parent / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    (group / "memory.max").write_text(str(200 << 20))
    (group / "memory.swap.max").write_text("0")
    return group


@contextmanager
def little_memory(pid: int) -> Iterator[str]:
    """Have the process live in little memory: how that was done, nothing where the system grants no cgroup."""
    for make in (_version_1, _version_2):
        name = f"nbledger-test-{pid}"
        try:
            group = make(name)
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            with suppress(OSError):
                (Path("/sys/fs/cgroup") / name).rmdir()
            continue
        try:
            yield f"a memory cgroup (v{make.__name__[-1]})"
        finally:
            deadline = time.monotonic() + 10
            while group.exists() and time.monotonic() < deadline:
                with suppress(OSError):  # the dead are still in it
                    group.rmdir()
                time.sleep(0.1)
        return
    yield ""


def test_terminated_restarted_out_of_memory(
    project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    found: dict[str, End] = {}
    for turn in range(count(3, 1)):
        term, restart, memory = (f"{how}{turn}" for how in ("term", "restart", "memory"))
        with kernels(project, 3) as (one, two, three):
            one.send(WAITS.format(head=f"%%mlrun {term}"))
            two.send(WAITS.format(head=f"%%mlrun {restart}"))
            three.run(f"%mlrun start {memory}")
            wait_running(project, [term, restart, memory])
            killed: dict[str, float] = {}
            os.kill(one.pid, signal.SIGTERM)
            killed[term] = time.monotonic()
            two.manager.restart_kernel(now=True)
            killed[restart] = time.monotonic()
            process = three.manager.provisioner.process
            with little_memory(three.pid) as how:
                three.send(TAKES if how else ABORTS)
                code = process.wait(60)
                killed[memory] = time.monotonic()
            assert code == (-signal.SIGKILL if how else -signal.SIGABRT)
            found |= ends(project, killed)
    told = check_ends(found)
    seen(f"SIGTERM, hard restart, out of memory ({how or 'an address space limit and abort'}): {told}")


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    where = plain_store(project)
    body = "import mlflow\nmlflow.set_tracking_uri({uri!r})\nwith mlflow.start_run(run_name={name!r}):\n    {last}"
    sleep, take = "import time; time.sleep(300)", "exec(" + repr("import time; time.sleep(5)\n" + TAKES) + ")"
    term = shared().fork(body.format(uri=where, name="term", last=sleep), project)
    memory = shared().fork(body.format(uri=where, name="memory", last=take), project)
    killed = {}
    with kernel(project, load=False) as k:
        shared().let_go(term, memory)
        k.send(body.format(uri=where, name="restart", last=sleep))
        wait_running(project, ["term", "restart"])
        os.kill(term, signal.SIGTERM)
        killed["term"] = time.monotonic()
        k.manager.restart_kernel(now=True)
        killed["restart"] = time.monotonic()
        with little_memory(memory) as how:
            wait_running(project, ["memory"])
            deadline = time.monotonic() + 30
            if not how:
                os.kill(memory, signal.SIGABRT)
            while Path(f"/proc/{memory}/statm").read_text().split()[1] != "0" and time.monotonic() < deadline:
                time.sleep(0.1)
            killed["memory"] = time.monotonic()
        found = ends(project, killed, 10)
    stay = [name for name, end in found.items() if end.status == "RUNNING"]
    plain(not stay, f"{', '.join(stay)}: still RUNNING after 10 s, and will be for ever")
