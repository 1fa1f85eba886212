"""`nbledger track` of a folder, a file of some MB, a file that is tracked already and has changed, and a file that a pattern
of the person's own makes Git ignore; then the same again, each of them changed. strace kills the process (SIGKILL) as it
enters each of its mutating system calls in turn, one run a call, and its Git processes at theirs, alone and together with it.
After each: every byte of the person's is there, what else is staged is as it was, no object in the cache has other bytes than
its name says, no data are ignored without being tracked or told by status. Then the same command runs again to its end: Git
and DVC are clean, nothing is left over. A lock file that a killed Git process left is named, with the command that removes it.

The plain way, `dvc add` and `git commit`, is killed in the same manner at calls spread over the whole of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import commit_all, data_status, git
from kills import calls, git_calls, git_killed_at, killed_at, spread
from nbledger.core import git as door
from nbledger.core import undo
from nbledger.core.project import find
from nbledger.core.status import status

PATHS = ("folder", "big", "old", "given")
COMMAND = (sys.executable, "-m", "nbledger.cli", "track", *PATHS)
STAGED = "M  code.py\nA  new.py"


def written(root: Path, word: str) -> None:
    """The data in a version called ``word``."""
    for name in ("folder/one", "folder/two", "folder/sub/three", "old", "given"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} {word}\n")
    (root / "folder" / "same").write_text("the same\n")
    (root / "big").write_bytes(hashlib.sha256(word.encode()).digest() * 100_000)


def bytes_of(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in PATHS
        for path in ([root / name] if (root / name).is_file() else sorted((root / name).rglob("*")))
        if path.is_file()
    }


def track(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, cwd=root, capture_output=True, text=True, check=False, timeout=120)


@dataclass(frozen=True)
class World:
    """A project as it is before the command, kept beside ``root`` to be put there again and again."""

    root: Path
    kept: Path

    @classmethod
    def make(cls, root: Path, *, again: bool) -> World:
        (root / ".nbledger.toml").write_text("keeper = false\n")
        (root / ".gitignore").write_text("given\n")
        (root / "code.py").write_text("1\n")
        commit_all(root)
        written(root, "first")
        (root / "old").write_text("before\n")
        run = subprocess.run([*COMMAND[:4], "old"], cwd=root, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        written(root, "second")
        if again:
            assert track(root).returncode == 0
            written(root, "third")
        (root / "code.py").write_text("2\n")
        (root / "new.py").write_text("n\n")
        git(root, "add", "code.py", "new.py")
        kept = root.with_name("kept")
        shutil.copytree(root, kept, symlinks=True)
        return cls(root, kept)

    def restore(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root, symlinks=True)
        os.chdir(self.root)  # which is another folder of that name now

    def check_nothing_lost(self) -> None:
        """What must hold at any moment."""
        root = self.root
        assert bytes_of(root) == bytes_of(self.kept)
        assert git(root, "diff", "--cached", "--", "code.py", "new.py") == git(
            self.kept, "diff", "--cached", "--", "code.py", "new.py"
        )
        check_objects(root)
        if not any((root / ".nbledger/tracking").glob("*.json")) and objects(root) == objects(self.kept):
            return  # nothing had begun, or all was done
        state = status(find(root))
        shown = {path.rstrip("/") for path in (*state.code.changed, *state.code.untracked, *state.data.changed)}
        told = " ".join(state.notes)
        for name in PATHS:
            pointer = root / f"{name}.dvc"
            ignored = door.ignored(find(root).git, [name])
            assert pointer.exists() or not ignored or f"tracking {name} was cut short" in told, f"{name} hidden"
            recorded = pointer.exists() and name not in shown and pointer.name not in shown
            assert recorded or {name, pointer.name} & shown or f"tracking {name} was cut short" in told, name
            assert not pointer.exists() or pointer.stat().st_size

    def check_converges(self) -> None:
        """The same command again comes to its end, and leaves nothing behind."""
        root = self.root
        done = track(root)
        for _ in range(3):
            if not done.returncode:
                break
            (lock,) = [path for path in door.locks(find(root).git) if str(path) in done.stderr]
            assert f"rm {lock}" in done.stderr and "Traceback" not in done.stderr
            lock.unlink()
            done = track(root)
        assert done.returncode == 0, done.stderr
        assert bytes_of(root) == bytes_of(self.kept)
        assert git(root, "status", "--porcelain") == STAGED
        assert data_status(root) == {}
        assert set(git(root, "ls-files", "*.dvc").split()) == {f"{name}.dvc" for name in PATHS}
        assert undo.available(find(root)) is not None
        check_objects(root)
        check_no_leftovers(root)


def objects(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in (root / ".dvc/cache").rglob("*"))


def check_objects(root: Path) -> None:
    for stored in (root / ".dvc/cache/files/md5").glob("??/*"):
        named = (stored.parent.name + stored.name).removesuffix(".dir")
        assert hashlib.md5(stored.read_bytes()).hexdigest() == named, stored


def check_no_leftovers(root: Path) -> None:
    assert [path for path in root.rglob("*") if path.name.endswith(".tmp") and ".git/" not in str(path)] == []
    assert list((root / ".nbledger/tracking").glob("*")) == []
    assert not door.locks(find(root).git)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_killed_at_each_call(
    project: Path, tmp_path: Path, again: bool, part: int, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    world = World.make(project, again=again)
    every = calls(COMMAND, project, tmp_path / "trace")
    assert len(every) > 60
    every = spread(every[part::2], count(1000, 4))
    hit = 0
    for call in every:
        world.restore()
        hit += killed_at(call, COMMAND, project)
        world.check_nothing_lost()
        world.check_converges()
    assert hit >= 0.9 * len(every)
    seen(f"{'again' if again else 'first'}: killed at {hit} of {len(every)} calls")


@pytest.mark.parametrize("whole", [False, True], ids=["git", "both"])
def test_its_git_killed_at_each_call(
    project: Path, tmp_path: Path, whole: bool, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    world = World.make(project, again=False)
    every = git_calls(COMMAND, project, tmp_path / "git", os.environ)
    assert {"hash-object", "commit-tree", "update-ref", "update-index"} <= {at.verb for at in every}
    every = spread(every, count(1000, 3))
    told = 0
    for at in every:
        world.restore()
        done = git_killed_at(at, COMMAND, project, tmp_path / "git", os.environ, whole=whole)
        assert done.returncode and (whole or ("Traceback" not in done.stderr and done.stderr.count("\n") <= 2)), at
        world.check_nothing_lost()
        told += bool(door.locks(find(project).git))
        world.check_converges()
    who = "Git alone" if not whole else "Git and nbledger"
    seen(f"{who} killed at {len(every)} calls of Git; {told} left a lock file, named each time")


def test_plain_dvc_add(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], plain: Callable[[bool, str], None]
) -> None:
    world = World.make(project, again=False)
    command = (sys.executable, "-m", "dvc", "add", "-q", *PATHS)
    every = spread(calls(command, project, tmp_path / "trace", only=str(project)), count(25, 2))
    lost = hidden = damaged = stuck = 0
    for call in every:
        world.restore()
        killed_at(call, command, project)
        lost += bytes_of(project) != bytes_of(world.kept)
        damaged += _fails(check_objects, project)
        hidden += any(
            not (project / f"{name}.dvc").exists() and door.ignored(find(project).git, [name]) for name in PATHS
        )
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
        stuck += done.returncode != 0
    wrong = [
        f"{number} {what}"
        for number, what in (
            (lost, "with files of the person gone"),
            (damaged, "with cache objects that are not what their names say"),
            (hidden, "with data ignored and not tracked"),
            (stuck, "where the same command then fails"),
        )
        if number
    ]
    plain(not wrong, f"{len(every)} kills: {', '.join(wrong) or 'nothing lost'}")


def _fails(check: Callable[[Path], None], root: Path) -> bool:
    try:
        check(root)
    except AssertionError:
        return True
    return False
