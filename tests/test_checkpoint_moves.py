"""Notebooks and pointers that were moved or removed in Git's index are committed with what came in their place."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.core import checkpoint as core
from nbledger.core import git as git_door
from nbledger.core import undo
from nbledger.core.checkpoint import checkpoint
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track

MARKED = "<<<<<<< ours\nx = 1\n=======\nx = 2\n>>>>>>> theirs\n"


def book(source: str) -> str:
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": source}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def committed(root: Path) -> list[str]:
    return git(root, "show", "--name-status", "--no-renames", "--format=", "HEAD").splitlines()


def staged(root: Path) -> str:
    return git(root, "status", "--porcelain", "--no-renames")


@pytest.fixture
def moved(project: Path) -> Path:
    """A notebook that ``git mv`` gave another name, beside a staged file that is no business of a checkpoint's."""
    (project / "a.ipynb").write_text(book("1"))
    (project / "code.py").write_text("1\n")
    commit_all(project)
    git(project, "mv", "a.ipynb", "b.ipynb")
    (project / "code.py").write_text("2\n")
    git(project, "add", "code.py")
    return project


def test_a_renamed_notebook_is_committed_under_both_names(moved: Path) -> None:
    made = checkpoint(find(moved), "rename")
    assert made.paths == ("a.ipynb", "b.ipynb")
    assert committed(moved) == ["D\ta.ipynb", "A\tb.ipynb"]
    assert staged(moved) == "M  code.py"
    assert checkpoint(find(moved), "again").commit is None
    undo.undo(find(moved), str(made.commit))
    assert {line[-7:] for line in staged(moved).splitlines()} == {"a.ipynb", "b.ipynb", "code.py"}


def test_the_old_name_may_be_given(moved: Path) -> None:
    git(moved, "commit", "-qm", "half", "--only", "b.ipynb")
    assert core.plan(find(moved)).paths == ("a.ipynb",)
    checkpoint(find(moved), "the other half", ["a.ipynb"])
    assert committed(moved) == ["D\ta.ipynb"]
    git(moved, "rm", "-q", "--cached", "code.py")
    (moved / "code.py").unlink()
    checkpoint(find(moved), "code, by its name", ["code.py"])
    assert committed(moved) == ["D\tcode.py"]


def test_pointers_that_moved_or_went(project: Path) -> None:
    (project / "n").mkdir()
    for name in ("n/y", "x"):
        (project / name).write_text(name)
        track(find(project), [name])
    (project / "src").mkdir()
    (project / "src" / "a.py").write_text("1")
    commit_all(project)
    (project / "n" / "y").unlink()
    git(project, "mv", "n", "m")
    git(project, "rm", "-q", "x.dvc")
    git(project, "rm", "-q", "-r", "src")
    made = checkpoint(find(project), "moved", ["n", "src"])
    assert committed(project) == [
        "A\tm/.gitignore", "A\tm/y.dvc", "D\tn/.gitignore", "D\tn/y.dvc", "D\tsrc/a.py", "D\tx.dvc",
    ]  # fmt: skip
    assert [line[2:] for line in committed(project)] == list(made.paths)
    assert staged(project) == ""


@pytest.mark.parametrize("ignored", [False, True])
def test_what_git_is_to_let_go_and_is_still_there_is_not_taken_in_again(project: Path, ignored: bool) -> None:
    for name in ("mine.ipynb", "ours.ipynb"):
        (project / name).write_text(book("1"))
    commit_all(project)
    if ignored:
        (project / ".git" / "info" / "exclude").write_text("mine.ipynb\n")
    git(project, "rm", "-q", "--cached", "mine.ipynb")
    before = staged(project)
    made = checkpoint(find(project), "nothing")
    assert (made.commit, made.left) == (None, ("mine.ipynb",))
    assert checkpoint(find(project), "nothing", ["."]).commit is None
    assert staged(project) == before
    (project / "ours.ipynb").write_text(book("2"))
    checkpoint(find(project), "ours")
    assert committed(project) == ["M\tours.ipynb"]
    assert staged(project) == before


def test_a_name_that_is_as_in_head_is_not_staged(project: Path) -> None:
    (project / "mine.ipynb").write_text(book("1"))
    commit_all(project)
    git(project, "rm", "-q", "--cached", "mine.ipynb")
    before = staged(project)
    assert checkpoint(find(project), "as it was", ["mine.ipynb"]).commit is None
    assert staged(project) == before


# ── marks of a conflict ──────────────────────────────────────────────────────────────────────────────────


def conflicted(root: Path, how: str) -> None:
    """``fit.ipynb`` in conflict between two branches, its marks in a cell."""
    (root / "fit.ipynb").write_text(book("0"))
    commit_all(root)
    for branch in ("theirs", "ours"):
        git(root, "checkout", "-q", "-b", branch, "main")
        (root / "fit.ipynb").write_text(book(branch))
        commit_all(root, branch)
    words = [how, "theirs"]
    if how == "revert":
        (root / "fit.ipynb").write_text(book("later"))
        commit_all(root, "later")
        words = [how, "--no-edit", "HEAD~1"]
    assert subprocess.run(["git", *words], cwd=root, capture_output=True).returncode != 0
    (root / "fit.ipynb").write_text(book(MARKED))


def hinted(root: Path) -> list[list[str]]:
    """The commands of the refusal's hint."""
    with pytest.raises(Refused, match=r"fit\.ipynb has marks of a merge conflict in cell 1") as raised:
        checkpoint(find(root), "all")
    said, _, commands = raised.value.hint.partition(", then ")
    assert said == "keep what is right there"
    return [shlex.split(command) for command in commands.split(" and ")]


@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick", "revert"])
def test_the_way_out_of_marks_while_something_is_under_way(
    project: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_EDITOR", "true")
    conflicted(project, how)
    commands = hinted(project)
    (project / "fit.ipynb").write_text(book("both"))
    for words in commands:
        git(project, *words[1:])
    assert commands[-1] == (["git", "commit"] if how == "merge" else ["git", how, "--continue"])
    assert staged(project) == ""
    assert git_door.operation(git_door.required(find(project).git)) == ""
    assert checkpoint(find(project), "nothing is left").commit is None


@pytest.mark.parametrize("known", [False, True])
def test_the_way_to_commit_marks_that_are_meant(project: Path, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EDITOR", "sh -c 'echo meant > \"$1\"' -")
    name = "how to join.ipynb"
    if known:
        (project / name).write_text(book("0"))
        commit_all(project)
    (project / name).write_text(book(MARKED))
    with pytest.raises(Refused, match="marks") as raised:
        checkpoint(find(project), "all")
    commands, said, _ = raised.value.hint.partition("; ")[2].partition(" commit it as it is")
    assert said
    for command in commands.split(" and "):
        git(project, *shlex.split(command)[1:])
    assert staged(project) == ""
