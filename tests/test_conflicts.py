"""What is said of a conflict in which only one side has the file: each command that it names works as typed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.core import conflicts
from nbledger.core.project import find
from nbledger.core.track import track

HOW = ("merge", "rebase", "cherry-pick")


def change(root: Path, name: str) -> None:
    """Another version of what is at ``name``: of data their pointer's."""
    if name.endswith(".ipynb"):
        (root / name).write_text('{"cells": [], "metadata": {"changed": true}, "nbformat": 4, "nbformat_minor": 5}')
        return
    data = root / name.removesuffix(".dvc")
    data.unlink()
    data.write_text("changed")
    track(find(root), [data.name])


def conflicted(root: Path, name: str, how: str, removed: str) -> None:
    """``name`` is removed on one side (as Git calls it), and changed on the other."""
    if name.endswith(".ipynb"):
        (root / name).write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    else:
        (root / name.removesuffix(".dvc")).write_text("first")
        track(find(root), [name.removesuffix(".dvc")])
    commit_all(root)
    for side in ("theirs", "ours"):
        git(root, "checkout", "-q", "-b", side, "main")
        if side == removed:
            git(root, "rm", "-q", name)
        else:
            change(root, name)
        if git(root, "status", "--porcelain"):  # tracking has committed what it did
            commit_all(root, side)
    if how == "rebase":  # which has what it is put upon as ours
        git(root, "checkout", "-q", "theirs")
    words = ["rebase", "ours"] if how == "rebase" else [how, "theirs"]
    assert subprocess.run(["git", *words], cwd=root, capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["d d.csv.dvc", "fit.ipynb"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("removed", ["ours", "theirs"])
@pytest.mark.parametrize("keep", [True, False])
def test_one_side_removed_it(project: Path, name: str, how: str, removed: str, keep: bool) -> None:
    conflicted(project, name, how, removed)
    kept = "theirs" if removed == "ours" else "ours"
    (told,) = conflicts.told(find(project))
    found = re.fullmatch(
        rf"{name} is in conflict: only {kept} has it\. (git add .+) keeps it, (git rm .+) takes that it was removed",
        told,
    )
    assert found is not None, told
    changed = (project / name).read_text()
    git(project, *shlex.split(found[1 if keep else 2])[1:])
    assert not conflicts.unmerged(conflicts.git.required(find(project).git))
    assert ((project / name).read_text() == changed) if keep else not (project / name).exists()
    assert (name in git(project, "ls-files")) is keep
    assert not conflicts.told(find(project))


def test_both_sides_gave_it_another_name(project: Path) -> None:
    (project / "d.csv").write_text("first")
    track(find(project), ["d.csv"])
    commit_all(project)
    for side in ("theirs", "ours"):
        git(project, "checkout", "-q", "-b", side, "main")
        git(project, "mv", "d.csv.dvc", f"{side}.csv.dvc")
        commit_all(project, side)
    assert subprocess.run(["git", "merge", "theirs"], cwd=project, capture_output=True).returncode != 0
    told = conflicts.told(find(project))
    assert "d.csv.dvc is in conflict: neither side has it any more. git rm d.csv.dvc" in told
    assert {line.partition(":")[2].partition(".")[0] for line in told[1:]} == {
        " only ours has it",
        " only theirs has it",
    }
    git(project, "rm", "-q", "d.csv.dvc")
    git(project, "add", "ours.csv.dvc")
    git(project, "rm", "-q", "theirs.csv.dvc")
    git(project, "commit", "-q", "--no-edit")


@pytest.mark.parametrize("taken", ["ours", "theirs"])
def test_a_notebook_of_both_that_is_not_there(project: Path, taken: str) -> None:
    (project / "fit.ipynb").write_text("{}")
    commit_all(project)
    for side in ("theirs", "ours"):
        git(project, "checkout", "-q", "-b", side, "main")
        (project / "fit.ipynb").write_text(f'{{"{side}": 1}}')
        commit_all(project, side)
    assert subprocess.run(["git", "merge", "theirs"], cwd=project, capture_output=True).returncode != 0
    (project / "fit.ipynb").unlink()
    (told,) = conflicts.told(find(project))
    said, _, either = told.partition(": ")
    assert said == "fit.ipynb is in conflict, and not in the work tree"
    commands = "git checkout --ours fit.ipynb or git checkout --theirs fit.ipynb, then git add fit.ipynb"
    assert either == f"{commands}; or git rm fit.ipynb"
    git(project, "checkout", f"--{taken}", "fit.ipynb")
    git(project, "add", "fit.ipynb")
    assert taken in (project / "fit.ipynb").read_text()
