"""Tracking while a merge or rebase is under way: what was joined of the other side is not taken back."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, dvc, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import gitfilters, pull, push, status, trust
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track

BASE = {"1.txt": "one\n", "2.txt": "two\n", "3.txt": "three\n", "gone.txt": "x\n"}
BENS = {"1.txt": "one, Ben\n", "2.txt": "two, Ben\n", "3.txt": "three\n", "new.txt": "new\n"}
# a rebase has the other side as ours, a cherry-pick its last commit only
JOIN = {
    "merge": ("pull", "-q", "--no-rebase", "--no-edit"),
    "rebase": ("pull", "-q", "--rebase"),
    "cherry-pick": ("cherry-pick", "origin/main"),
}


def write(root: Path, files: dict[str, str]) -> None:
    (root / "d").mkdir(exist_ok=True)
    for place in (root / "d").iterdir():
        if place.name not in files:
            place.unlink()
    for name, text in files.items():
        if not (root / "d" / name).exists() or (root / "d" / name).read_text() != text:
            (root / "d" / name).unlink(missing_ok=True)
            (root / "d" / name).write_text(text)


def read(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((root / "d").iterdir())}


@pytest.fixture
def two(project: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Ada's and Ben's clones, each with the filters and the data of a folder ``d`` and of ``f.csv``."""
    git(project, "config", "user.name", "Ada")
    both_remotes(project, tmp_path)
    trust.trust(find(project))
    write(project, BASE)
    (project / "f.csv").write_text("a\n")
    track(find(project), ["d", "f.csv"], "first")
    gitfilters.install(find(project))
    push.push(find(project))
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "ben")
    ben = tmp_path / "ben"
    git(ben, "config", "user.name", "Ben")
    trust.trust(find(ben))
    gitfilters.install(find(ben))
    pull.pull(find(ben))
    git(project, "fetch", "-q")
    git(project, "branch", "-q", "-u", "origin/main")
    return project, ben


def conflicting(ada: Path, ben: Path, how: str, mine: dict[str, str] | None = None) -> str:
    """Both change ``d/1.txt``, Ben the others too; Ada's pull stops. What Git and the driver say."""
    write(ben, BENS)
    track(find(ben), ["d"], "Ben's")
    push.push(find(ben))
    write(ada, mine or {**BASE, "1.txt": "one, Ada\n"})
    track(find(ada), ["d"], "Ada's")
    git(ada, "fetch", "-q")
    done = subprocess.run(["git", *JOIN[how]], cwd=ada, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stderr


def finish(ada: Path, how: str) -> None:
    git(ada, "add", "d.dvc")
    if how == "merge":
        git(ada, "commit", "-q", "--no-edit")
    else:
        git(ada, "-c", "core.editor=true", how, "--continue")
    if how != "cherry-pick":  # it leaves the branches apart
        push.push(find(ada))


def conflict_of(root: Path) -> str:
    return next(note for note in status.status(find(root)).notes if "is in conflict" in note)


@pytest.fixture
def at_ada(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(two[0])
    return two


@pytest.mark.parametrize("how", JOIN)
def test_what_was_joined_is_not_taken_back(at_ada: tuple[Path, Path], how: str) -> None:
    ada, ben = at_ada
    conflicting(ada, ben, how)
    (ada / "d" / "1.txt").write_text("one, both\n")
    pointer = (ada / "d.dvc").read_text()
    assert "(the rest of both sides is joined in it)" in conflict_of(ada)
    with pytest.raises(
        Refused,
        match=rf"Ben's” \(Ben, \w+\): older here than in the {how}: 2\.txt, gone\.txt, new\.txt — nbledger pull first",
    ):
        track(find(ada), ["d"])
    assert (ada / "d.dvc").read_text() == pointer
    assert any("nbledger pull" in note and note.startswith("d is in part") for note in status.status(find(ada)).notes)
    # the hint, as typed: what is older comes, what is edited stays
    assert {"d/2.txt", "d/gone.txt", "d/new.txt"} == set(pull.plan(find(ada)).data)
    run(["pull"], Face())
    both = {**BENS, "1.txt": "one, both\n"}
    assert read(ada) == both
    assert not [note for note in status.status(find(ada)).notes if "older than" in note]
    run(["track", "d"], Face())
    assert "(the rest of both sides is joined in it)" in conflict_of(ada)
    finish(ada, how)
    assert status.status(find(ada)).clean
    if how != "cherry-pick":
        pull.pull(find(ben))
        assert read(ben) == both


@pytest.mark.parametrize("how", JOIN)
def test_who_means_it_takes_it_back_and_status_says_so(at_ada: tuple[Path, Path], how: str) -> None:
    ada, ben = at_ada
    conflicting(ada, ben, how)
    run(["track", "d", "--take-back"], Face())
    assert "it takes back d/2.txt, d/gone.txt, d/new.txt)" in conflict_of(ada)
    assert not track(find(ada), ["d"])[0].changed  # it is said once
    # the way out of that
    git(ada, "checkout", "-m", "d.dvc")
    assert "(the rest of both sides is joined in it)" in conflict_of(ada)
    run(["pull"], Face())
    assert read(ada) == {**BENS, "1.txt": "one, Ada\n"}


@pytest.mark.parametrize("how", JOIN)
def test_also_once_it_is_added(two: tuple[Path, Path], how: str) -> None:
    ada, ben = two
    conflicting(ada, ben, how)
    git(ada, "add", "d.dvc")
    with pytest.raises(Refused, match="nbledger pull first"):
        track(find(ada), ["d"])


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_a_pointer_that_joined_while_something_else_conflicts(two: tuple[Path, Path], how: str) -> None:
    ada, ben = two
    for root, text in ((ben, "b\n"), (ada, "a\n")):
        (root / "code.py").write_text(text)
        commit_all(root, "code")
    conflicting(ada, ben, how, {**BASE, "3.txt": "three, Ada\n"})
    with pytest.raises(Refused, match="nbledger pull first"):
        track(find(ada), ["d"])
    assert git(ada, "diff", "--name-only", "--diff-filter=U") == "code.py"
    pull.pull(find(ada))
    assert read(ada) == {**BENS, "3.txt": "three, Ada\n"}
    assert track(find(ada), ["d"])


def test_edited_while_it_was_old(at_ada: tuple[Path, Path]) -> None:
    ada, ben = at_ada
    conflicting(ada, ben, "merge")
    (ada / "d" / "2.txt").write_text("two, old and edited\n")
    run(["pull"], Face())
    assert read(ada) == {**BENS, "1.txt": "one, Ada\n", "2.txt": "two, old and edited\n"}
    with pytest.raises(Refused, match=r"2\.txt is changed here and in the merge — copy yours aside and remove it"):
        track(find(ada), ["d"])
    (ada / "d" / "2.txt").unlink()
    run(["pull"], Face())
    assert read(ada) == {**BENS, "1.txt": "one, Ada\n"}
    assert track(find(ada), ["d"])


@pytest.mark.parametrize("how", JOIN)
def test_the_hint_for_a_file_of_theirs_works(at_ada: tuple[Path, Path], how: str) -> None:
    ada, ben = at_ada
    conflicting(ada, ben, how)
    again = subprocess.run(["git", "checkout", "-m", "d.dvc"], cwd=ada, capture_output=True, text=True).stderr
    commands = again.partition("Theirs of a file: ")[2].partition("; then")[0].split("; ")
    assert commands[0] == "nbledger pull"
    run(shlex.split(commands[0])[1:], Face())
    expression = re.search(r"--rev (\$\(.*?\))", commands[1])
    assert expression is not None
    rev = subprocess.run(["sh", "-c", f"echo {expression[1]}"], cwd=ada, capture_output=True, text=True).stdout.strip()
    dvc(ada, *shlex.split(commands[1].replace(expression[1], rev))[1:])
    assert read(ada) == {**BENS, "1.txt": "one, Ada\n" if how == "rebase" else "one, Ben\n"}
    run(["track", "d"], Face())
    finish(ada, how)


def test_a_file_alone(two: tuple[Path, Path]) -> None:
    ada, ben = two
    for root, text in ((ben, "b\n"), (ada, "c\n")):
        (root / "f.csv").write_text(text)
        track(find(root), ["f.csv"], "f")
        if root == ben:
            push.push(find(ben))
    assert subprocess.run(["git", *JOIN["merge"]], cwd=ada, capture_output=True).returncode != 0
    told = conflict_of(ada)
    assert "keeps what it says now (ours), git checkout --theirs f.csv.dvc takes the file as theirs was" in told
    (ada / "f.csv").write_text("both\n")
    assert track(find(ada), ["f.csv"])
    assert "(what was tracked here)" in conflict_of(ada)


@pytest.mark.parametrize(
    ("mine", "edited", "named"),
    [
        (False, True, r"“Ben's” \(Ben, \w+\): "),
        (True, True, r"“Ada's” \(Ada, \w+ and 1 more\): "),
        (True, False, r"“Ben's” \(Ben, \w+\): "),
    ],
    ids=["Ben alone", "both", "both, and Ada's is here"],
)
def test_only_who_changed_the_data_is_named_where_their_list_is_unknown(
    two: tuple[Path, Path], mine: bool, edited: bool, named: str
) -> None:
    """The merge's pointer is Ben's, whose list of files was never here; Ada's commits touched it only if ``mine``."""
    ada, ben = two
    write(ben, BENS)
    track(find(ben), ["d"], "Ben's")
    for root in (ben, ada):
        (root / "code.py").write_text(root.name)
        commit_all(root, f"{root.name}: code")
    push.push(find(ben))
    if mine:
        write(ada, {**BASE, "3.txt": "three, Ada\n"})
        track(find(ada), ["d"], "Ada's")
        (ada / ".git" / "info" / "attributes").write_text("*.dvc -merge\n")  # as where the filters are not set up
    git(ada, "fetch", "-q")
    assert subprocess.run(["git", *JOIN["merge"]], cwd=ada, capture_output=True).returncode != 0
    if mine:
        git(ada, "checkout", "-q", "--theirs", "d.dvc")
    if edited:
        write(ada, {**BASE, "3.txt": "edited\n"})
    with pytest.raises(Refused, match="which was never here") as caught:
        track(find(ada), ["d"])
    assert re.match(f"tracking would take back {named}", caught.value.message), caught.value.message
