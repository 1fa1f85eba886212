"""Linked work trees of Git: a commit checked out beside the user's own work tree, and taken away again.

Neither runs a hook, and neither touches the branch, index or files of another work tree.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbledger.core import files, git
from nbledger.core.errors import Busy, LedgerError, ToolFailed

_WHOLE = ("-c", "core.sparseCheckout=false", "-c", "submodule.recurse=false", "-c", "advice.detachedHead=false")
_PATIENCE = 20.0
_OVERTAKEN = re.compile(
    rb"could not create directory of .*: No such file or directory|failed to read .*/worktrees/.*/(commondir|gitdir|HEAD)"
)
"""What Git says where another process makes a work tree, or takes the last one away with the folder for all of them,
between two steps of this one (git 2.39). Nothing was made then.
"""


def add(repo: git.GitRepo, place: Path, commit: str) -> None:
    """Check ``commit`` out, detached, in the new folder ``place``: filters as the user's configuration has them (line
    endings, LFS), no hooks, submodules left empty. ``ToolFailed`` with Git's words, ``LedgerError`` on a full disk.
    """
    with _alone(repo):
        _patiently(repo, place, "worktree", "add", "--detach", "--no-checkout", str(place), commit)
    _patiently(place, place, "read-tree", "--reset", "-u", "HEAD")


def reset(place: Path, commit: str) -> None:
    """Put every tracked file of a linked work tree back as ``commit`` has it, and remove those that are in no version
    and not ignored. ``ToolFailed`` where it is a work tree no more: Git would take the one around it, the user's own.
    """
    found = git.discover(place)
    if found is None or not os.path.samefile(found.root, place):
        raise ToolFailed(f"{place} is no work tree of Git any more: what ran in it removed its .git", "")
    git.call(place, *_WHOLE, "update-ref", "--no-deref", "HEAD", commit)  # the cells may have committed
    _patiently(place, place, "read-tree", "--reset", "-u", commit)
    git.call(place, *_WHOLE, "checkout-index", "--all", "--force", "--quiet")
    git.call(place, *_WHOLE, "clean", "-ffdq")


def _patiently(where: git.GitRepo | Path, place: Path, *words: str) -> None:
    """A call that another Git process may hold up for a moment (two work trees made at once)."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        done = git.call(where, *_WHOLE, *words, check=False)
        if done.returncode == 0:
            return
        if b"No space left on device" in done.stderr or b"Disk quota exceeded" in done.stderr:
            raise full_disk(place)
        problem = git.failure(words[0], done)
        passing = isinstance(problem, Busy) or _OVERTAKEN.search(done.stderr)
        if not passing or time.monotonic() > deadline:
            raise problem
        time.sleep(0.05)


def full_disk(place: Path) -> LedgerError:
    """What is said when there is no room to restore into."""
    return LedgerError(f"the disk of {place} is full", "free some space, or restore elsewhere with --into DIR")


def remove(repo: git.GitRepo | None, place: Path) -> None:
    """Take a work tree away, and Git's note of it, however little of either there is."""
    remove_folder(place)
    if repo is not None and (repo.common_dir / "worktrees").is_dir():
        with _alone(repo):
            entry = _entry(repo, place)
            if entry is not None:
                git.call(repo, "worktree", "remove", "--force", "--force", str(place), check=False)
                if entry.is_dir():  # too little was written for Git to know it
                    shutil.rmtree(entry, ignore_errors=True)
                    with contextlib.suppress(OSError):
                        entry.parent.rmdir()


def _alone(repo: git.GitRepo) -> contextlib.AbstractContextManager[int]:
    """Git's list of work trees has no lock of its own: those of nbledger's processes come and go one after the other. The file
    stays; it is not named ``*.lock``, which in Git's folder means a command that was cut short.
    """
    return files.lock(repo.common_dir / "nbledger" / "worktrees", _PATIENCE, "Git's list of work trees")


def _entry(repo: git.GitRepo, place: Path) -> Path | None:
    """Git's own folder for the work tree at ``place``: the one whose ``gitdir`` leads there, or that bears its name and
    leads nowhere yet.
    """
    folder = repo.common_dir / "worktrees"
    for entry in folder.iterdir() if folder.is_dir() else ():
        try:
            leads = (entry / "gitdir").read_text(errors="surrogateescape").strip()
        except OSError:
            leads = ""
        real = os.path.realpath(entry / leads)  # Git writes the real path, or one from its own folder
        if (leads and real == os.path.realpath(place / ".git")) or (not leads and entry.name == place.name):
            return entry
    return None


def remove_folder(folder: Path) -> None:
    """Delete a folder with all below it, read-only parts too. ``ToolFailed`` names what would not go."""

    def unlocked(action: Callable[..., Any], path: str, _problem: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), stat.S_IRWXU)
            os.chmod(path, stat.S_IRWXU, follow_symlinks=False) if os.chmod in os.supports_follow_symlinks else None
        try:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as err:
            raise ToolFailed(f"cannot remove {err.filename}: {err.strerror}", f"remove {folder} by hand") from err

    if os.path.lexists(folder):
        shutil.rmtree(folder, onerror=unlocked)


def inside(root: Path, path: Path) -> bool:
    """Whether writing or removing ``path`` stays below ``root``, whatever links lie on the way."""
    top, parent = os.path.realpath(root), os.path.realpath(path.parent)
    return parent == top or parent.startswith(top + os.sep)


def submodules(place: Path) -> dict[str, str]:
    """{path: commit} of the submodules of the commit checked out in ``place``."""
    if not (place / ".gitmodules").is_file():
        return {}
    out = git.call(place, "ls-files", "-z", "--stage").stdout
    found = {}
    for entry in filter(None, out.split(b"\0")):
        facts, _, path = entry.partition(b"\t")
        mode, commit, _ = facts.decode().split(" ")
        if mode == "160000":
            found[os.fsdecode(path)] = commit
    return found


def fill_submodule(repo: git.GitRepo, place: Path, path: str, commit: str) -> bool:
    """Put the files of a submodule's commit into ``place``, as plain files, from the clone that the main work tree has
    of it. False where there is none, or it does not have that commit.
    """
    inner = git.discover(repo.root / path)
    if inner is None or inner.root != repo.root / path or not git.is_hex(commit):
        return False
    index = place.parent / f".{place.name}-submodule-index"
    try:
        if git.call(inner, "read-tree", commit, index=index, check=False).returncode:
            return False
        target = f"--prefix={place / path}/"
        return git.call(inner, *_WHOLE, "checkout-index", "--all", target, index=index, check=False).returncode == 0
    finally:
        index.unlink(missing_ok=True)
