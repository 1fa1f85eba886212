"""Where pointers of data are: ``.dvc`` files and ``dvc.lock`` in work trees, indexes, commits and the whole history."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from nbledger.core import git
from nbledger.core.git import GitRepo

_POINTERS = ("*.dvc", "*dvc.lock")  # a star stands for folders too
_MAGIC = {"GIT_LITERAL_PATHSPECS": "0"}


def is_pointer(path: str) -> bool:
    """A ``.dvc`` file or a ``dvc.lock``."""
    name = path.rpartition("/")[2]
    return name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")


EVERYTHING = ("--exclude=refs/nbledger/*", "--all", "--exclude=refs/nbledger/*", "--reflog")
"""All refs and reflogs, those of linked work trees too, but not the ledger's own, which belong to runs."""


def blobs_of_history(repo: GitRepo, refs: Sequence[str], commits: Iterable[str] = ()) -> set[str]:
    """Ids of every content that a pointer has in any commit of these refs, and in these commits and those before them.

    A content that a commit has was brought by it or by one before: all changes, against each parent, name them all.
    """
    if git.head(repo).commit is None:
        refs = [ref for ref in refs if ref != "HEAD"]
        if not git.text(repo, "for-each-ref", "--count=1"):
            return set()
    out = git.call(
        repo,
        *("-c", "log.diffMerges=separate", "log", *refs, "-m", "--full-history", "--root"),
        *("--no-renames", "--no-ext-diff", "--no-textconv", "--no-show-signature"),
        *("--raw", "--no-abbrev", "-z", "--format=", "--stdin", "--", *_POINTERS),
        env=_MAGIC,
        stdin="".join(f"{commit}\n" for commit in sorted(set(commits))).encode(),
    ).stdout
    return {word.split(b" ")[3].decode() for word in out.split(b"\0") if word.startswith(b":")} - {"0" * 40, "0" * 64}


def blobs_in_index(root: Path) -> set[str]:
    """Ids of the contents that pointers have in the index, all sides of a conflict."""
    out = git.call(root, "ls-files", "-z", "--stage", "--", *_POINTERS, env=_MAGIC).stdout
    return {entry.split(b" ")[1].decode() for entry in out.split(b"\0") if entry}


def here(root: Path) -> list[str]:
    """Paths of the pointers in a work tree, ignored ones too."""
    out = git.call(root, "ls-files", "-z", "-c", "-o", "--", *_POINTERS, env=_MAGIC).stdout
    return sorted({path for path in map(os.fsdecode, out.split(b"\0")) if is_pointer(path)})


def work_trees(repo: GitRepo) -> list[Path]:
    """The main work tree and the linked ones that are there."""
    said = git.call(repo, "worktree", "list", "--porcelain").stdout.splitlines()
    found = [Path(os.fsdecode(line[9:])) for line in said if line.startswith(b"worktree ")]
    for entry in (repo.common_dir / "worktrees").glob("*/gitdir"):  # a name of several lines is told whole here
        with contextlib.suppress(OSError):
            found.append((entry.parent / os.fsdecode(entry.read_bytes().rstrip(b"\n"))).parent)
    return [root for root in dict.fromkeys([repo.root, *found]) if (root / ".git").exists()]


def heads(repo: GitRepo, patterns: Sequence[str]) -> set[str]:
    """Commits that the refs of these patterns point at, tags peeled; none for no pattern."""
    if not patterns:
        return set()
    out = git.text(repo, "for-each-ref", "--format=%(objectname) %(*objectname)", *patterns)
    return {words[-1] for line in out.splitlines() if (words := line.split())}
