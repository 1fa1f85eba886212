"""Runs are recorded on a branch that is then deleted, some on commits of it, some on uncommitted changes; what is left of
them outside of nbledger's refs is removed: the reflog expires, the stash is dropped, work trees and remotes are pruned,
and everything unreachable is thrown away by `git gc --prune=now --aggressive`, `git repack -a -d --cruft`, `git prune`.

Each run's commit is held by a ref of its own, which none of these looks at: all its files can be read. The plain way is a
commit for each run, its id in the run's tag.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import commit_all, git, run
from kernels import kernel

RUNS = 6
DEEDS = (
    ("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all"),
    ("stash", "push", "--include-untracked", "--quiet"),
    ("stash", "drop", "--quiet"),
    ("worktree", "prune", "--expire=now"),
    ("remote", "prune", "origin"),
    ("fetch", "--quiet", "--prune", "origin"),
    ("pack-refs", "--all", "--prune"),
    ("repack", "-a", "-d", "--cruft", "--cruft-expiration=now", "--quiet"),
    ("prune", "--expire=now"),
    ("gc", "--quiet", "--prune=now", "--aggressive"),
    ("maintenance", "run", "--task=gc"),
)


def doomed(project: Path, tmp_path: Path) -> None:
    """A clone's branch, checked out in a second work tree too."""
    (project / ".nbledger.toml").write_text("keeper = false\n")
    (project / "code.py").write_text("n = -1\n")
    commit_all(project)
    git(tmp_path, "clone", "-q", "--bare", str(project), "origin.git")
    git(project, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(project, "fetch", "-q", "origin")
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "second"))
    git(project, "switch", "-q", "-c", "doomed")


def end_of(project: Path, tmp_path: Path, deeds: tuple[tuple[str, ...], ...]) -> None:
    git(project, "switch", "-q", "-f", "main")
    git(project, "branch", "-q", "-D", "doomed")
    run("rm", "-r", str(tmp_path / "second"), cwd=tmp_path)
    (project / "stashed").write_text("something to stash\n")
    for deed in deeds:
        git(project, *deed)


def test_commits_are_still_readable(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    doomed(project, tmp_path)
    many = count(RUNS, 4)
    with kernel(project) as k:
        for number in range(many):
            (project / "code.py").write_text(f"n = {number}\n")
            if number % 2:
                commit_all(project, f"n = {number}")
            else:
                (project / f"new{number}.py").write_text("new\n")
            assert k.run(f"%%mlrun r{number}\nn = open('code.py').read()").status == "ok"
    end_of(project, tmp_path, DEEDS)
    commits = git(project, "for-each-ref", "--format=%(objectname)", "refs/nbledger/runs").split()
    assert len(commits) == many
    texts = set()
    for commit in commits:
        git(project, "rev-list", "--objects", "--quiet", commit)
        for path in git(project, "ls-tree", "-r", "--name-only", commit).split("\n"):
            git(project, "cat-file", "blob", f"{commit}:{path}")
        texts.add(git(project, "show", f"{commit}:code.py"))
    assert texts == {f"n = {number}" for number in range(many)}
    assert "missing" not in git(project, "fsck", "--full", "--no-dangling")
    seen(f"{many} of {many} commits whole after {len(DEEDS)} deeds")


def test_plain_commits(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    doomed(project, tmp_path)
    commits = []
    for number in range(RUNS):
        (project / "code.py").write_text(f"n = {number}\n")
        commits.append(commit_all(project, f"run {number}"))
    end_of(project, tmp_path, DEEDS)
    left = sum(run("git", "cat-file", "-t", commit, cwd=project, ok=False) == "commit" for commit in commits)
    plain(left == RUNS, f"{left} of {RUNS} commits that runs name are left")
