"""Two processes track the same path at the same moment, then different ones, again and again; one of them also by way of the
keeper. Then one is stopped (SIGSTOP) in the middle of a large file, which keeps all that it holds.

nbledger takes DVC's own lock and waits for it: both succeed, one commit after the other, and Git and DVC are clean. What
waits too long is refused and names the process that holds the lock. The plain way is two `dvc add`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import commit_all, data_status, git
from nbledger.core.project import find
from nbledger.keeper import client

NBLEDGER = (sys.executable, "-m", "nbledger.cli", "track")
HERE = (
    sys.executable,
    "-c",
    "import sys; from nbledger.core import project, track; track.track(project.find(), sys.argv[1:])",
)
DVC = (sys.executable, "-m", "dvc", "add")
LARGE = 48 << 20


def start(root: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def both_end(*racing: subprocess.Popen[str]) -> None:
    for process in racing:
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said


def check_clean(root: Path, *names: str) -> None:
    assert git(root, "status", "--porcelain") == ""
    assert data_status(root) == {}
    assert {f"{name}.dvc" for name in names} <= set(git(root, "ls-files").split())
    lines = (root / ".gitignore").read_text().split()
    assert sorted(lines) == sorted(set(lines)) and {f"/{name}" for name in names} <= set(lines)


def keeper_off(root: Path) -> None:
    (root / ".nbledger.toml").write_text("keeper = false\n")
    commit_all(root)


@contextmanager
def stopped(root: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped while it copies a large file into the cache, and goes on afterwards."""
    holder = start(root, *command)
    (cache := root / ".dvc" / "cache").mkdir(exist_ok=True)
    while not any(path.is_file() and path.stat().st_size > 1 << 20 for path in cache.rglob("*")):
        assert holder.poll() is None, holder.communicate()
        time.sleep(0.002)
    holder.send_signal(signal.SIGSTOP)
    try:
        yield holder
    finally:
        holder.send_signal(signal.SIGCONT)


def test_same_path_and_different_ones(
    project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    keeper_off(project)
    rounds = count(5, 1)
    for turn in range(rounds):
        (project / "same").write_bytes(os.urandom(100_000))
        both_end(start(project, *NBLEDGER, "same"), start(project, *NBLEDGER, "same"))
        names = [f"{turn}-{place}" for place in range(2)]
        for name in names:
            (project / name).write_bytes(os.urandom(100_000))
        both_end(*(start(project, *NBLEDGER, name) for name in names))
        check_clean(project, "same", *names)
    seen(f"two processes, one path and two: {2 * rounds} of {2 * rounds} pairs both tracked")


def test_one_by_the_keeper(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    client.call(find(project), "status", start=True)
    rounds = count(3, 1)
    for turn in range(rounds):
        names = ["shared", f"cli-{turn}", f"own-{turn}"]
        for name in names:
            (project / name).write_bytes(os.urandom(100_000))
        own = start(project, *HERE, "shared", names[2])
        both_end(start(project, *NBLEDGER, "shared", names[1]), own)  # by the keeper, which runs
        check_clean(project, *names)
    assert client.call(find(project), "status").clean
    seen(f"one by the keeper: {rounds} of {rounds}")


def test_a_holder_that_hangs_is_named(project: Path, seen: Callable[[str], None]) -> None:
    keeper_off(project)
    (project / "large").write_bytes(os.urandom(LARGE))
    (project / "small").write_text("1\n")
    with stopped(project, *NBLEDGER, "large") as holder:
        began = time.monotonic()
        done = subprocess.run(
            [*NBLEDGER, "small"], cwd=project, capture_output=True, text=True, check=False, timeout=60
        )
        took = time.monotonic() - began
        assert done.returncode == 3 and f"pid {holder.pid}" in done.stderr
        assert took <= 10
        assert not (project / "small.dvc").exists()
    both_end(holder, start(project, *NBLEDGER, "small"))
    check_clean(project, "large", "small")
    seen(f"a stopped holder is named after {took:.1f} s")


def test_plain_dvc_add(project: Path, plain: Callable[[bool, str], None]) -> None:
    (project / "large").write_bytes(os.urandom(LARGE))
    (project / "small").write_text("1\n")
    with stopped(project, *DVC, "large") as holder:
        began = time.monotonic()
        done = subprocess.run([*DVC, "small"], cwd=project, capture_output=True, text=True, check=False, timeout=60)
        took = time.monotonic() - began
    holder.communicate(timeout=60)
    named = str(holder.pid) in done.stderr
    said = " ".join(done.stderr.split()).removeprefix("ERROR: ")[:60]
    plain(
        done.returncode == 0 or (named and took <= 10),
        f"a stopped holder: {said!r} after {took:.0f} s, no process named",
    )
