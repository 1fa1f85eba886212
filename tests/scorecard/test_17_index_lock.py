"""`git commit -a` waits for its editor, so it holds Git's `index.lock`; meanwhile a file is tracked, a checkpoint made,
another version of data put back, the newest commit undone, and commits pulled.

nbledger waits a second, then refuses in one line that names the lock file and how to remove it, before anything is
written (*Snap*). When the other process is done, the same call completes. The plain way is `dvc add` with `core.autostage`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import commit_all, data_remote, data_status, dvc, git
from nbledger.core.errors import Busy
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.core.useversion import use
from snap import Snap, check_same


@contextmanager
def held(root: Path) -> Iterator[Path]:
    """Git's index lock, held by a commit whose editor is open."""
    edited = root / "edited.py"
    edited.write_text(edited.read_text() + "more = 1\n")
    lock = root / ".git" / "index.lock"
    writer = subprocess.Popen(
        ["git", "-c", "core.editor=sleep 600 #", "commit", "-qa"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not lock.exists():
        assert writer.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)  # it has written what it writes before it waits
    try:
        yield lock
    finally:
        os.killpg(writer.pid, 15)
        writer.wait()
        assert not lock.exists()


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def work(project: Path, tmp_path: Path) -> Path:
    """A project with a remote that is one commit ahead, two versions of data, and a commit that can be undone."""
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / "edited.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    data_remote(project, tmp_path / "store")
    commit_all(project)
    (project / "data.csv").write_text("one\n")
    track(find(project), ["data.csv"])
    git(project, "push", "-q", "-u", "origin", "main")
    (project / "data.csv").write_text("two\n")
    track(find(project), ["data.csv"])
    return project


def refused(root: Path, *words: str) -> None:
    with held(root) as lock:
        before = Snap.take(root)
        done = nbledger(root, *words)
        check_same(before, Snap.take(root))
    assert done.returncode == 3, (words, done.stderr)
    assert str(lock) in done.stderr and f"rm {lock}" in done.stderr and done.stderr.count("\n") <= 2


def test_each_refuses_then_completes(work: Path, tmp_path: Path, seen: Callable[[str], None]) -> None:
    (work / "more.csv").write_text("more\n")
    (work / "one.ipynb").write_text("{}")
    head = git(work, "rev-parse", "HEAD")
    for words in (("undo",), ("checkpoint", "-m", "work"), ("track", "more.csv")):
        refused(work, *words)
        done = nbledger(work, *words)
        assert done.returncode == 0, (words, done.stderr)
    assert git(work, "rev-parse", "HEAD~2") == git(work, "rev-parse", f"{head}~")
    git(work, "checkout", "-q", "--", "edited.py")

    with held(work) as lock:
        before = Snap.take(work)
        with pytest.raises(Busy, match="index lock") as caught:
            use(find(work), "data.csv", git(work, "rev-parse", "origin/main"))
        assert str(lock) in str(caught.value)
        check_same(before, Snap.take(work))
    use(find(work), "data.csv", git(work, "rev-parse", "origin/main"))
    assert (work / "data.csv").read_text() == "one\n"

    git(work, "checkout", "-q", "--", "edited.py")
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "other")
    (tmp_path / "other" / "theirs.py").write_text("y\n")
    commit_all(tmp_path / "other", "theirs")
    git(tmp_path / "other", "push", "-q")
    git(work, "reset", "-q", "--hard", "origin/main")
    refused(work, "pull")
    git(work, "checkout", "-q", "--", "edited.py")
    done = nbledger(work, "pull")
    assert done.returncode == 0, done.stderr
    assert (
        (work / "theirs.py").exists() and git(work, "status", "--porcelain", "-uno") == "" and data_status(work) == {}
    )
    seen("5 of 5 refused with the lock's path, nothing moved; 5 of 5 completed afterwards")


def test_plain(work: Path, plain: Callable[[bool, str], None]) -> None:
    (work / "more.csv").write_text("more\n")
    dvc(work, "config", "core.autostage", "true")
    with held(work):
        before = Snap.take(work)
        command = [sys.executable, "-m", "dvc", "add", "more.csv"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=120)
        moved = Snap.take(work).files != before.files
    told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    said = told[0][:60] if told else f"exit code {done.returncode}"
    plain(bool(done.returncode) and not moved, f"{said}; {'the pointer is written' if moved else 'nothing moved'}")
