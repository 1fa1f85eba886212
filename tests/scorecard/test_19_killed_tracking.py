"""`nbledger track` of a folder, a file of some MB, a file that is tracked already and has changed, and a file that a pattern
of the person's own makes Git ignore; then the same again, each of them changed. strace kills the process (SIGKILL) as it
enters each of its mutating system calls in turn, one run a call, and its Git processes at theirs, alone and together with it.
After each: every byte of the person's is there, what else is staged is as it was, no object in the cache has other bytes than
its name says, no data are ignored without being tracked or told by status. Then the same command runs again to its end: Git
and DVC are clean, nothing is left over. A lock file that a killed Git process left is named, with the command that removes it.

The plain way, `dvc add` and `git commit`, is killed in the same manner at calls spread over the whole of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kills import calls, git_calls, git_killed_at, killed_at, spread
from nbledger.core import git as door
from nbledger.core.project import find
from tracking import COMMAND, PATHS, World, bytes_of, check_objects

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_killed_at_each_call(
    project: Path, tmp_path: Path, again: bool, part: int, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    world = World.make(project, again=again)
    every = calls(COMMAND, project, tmp_path / "trace")
    assert len(every) > 60
    every = spread(every[part::2], count(1000, 2))
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
    every = spread(every, count(1000, 2))
    told = 0
    for at in every:
        world.restore()
        done = git_killed_at(at, COMMAND, project, tmp_path / "git", os.environ, whole=whole)
        if done.returncode == 0:  # the branch had moved by then
            assert not whole and "commit" in done.stdout
        elif not whole:
            assert "Traceback" not in done.stderr and done.stderr.count("\n") <= 2, at
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
