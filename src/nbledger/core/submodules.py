"""The work trees of submodules in a snapshot: where one has uncommitted changes, its files stand in the snapshot of the
repository above as a plain folder, in place of the link to a commit that is not what ran.

So whoever has the snapshot has the code, whether or not they have a clone of the submodule.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from nbledger.core import git
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

Take = Callable[[Project, git.GitRepo, Path], tuple[str, list[str]]]
"""Makes the tree of a work tree: its id, and what it does not hold."""

_MANY = 500  # objects from which on they are kept as a pack
_joined: dict[tuple[Path, str, tuple[tuple[str, str], ...]], str] = {}


def forget() -> None:
    """What was made before may have been pruned."""
    _joined.clear()


def changed(repo: git.GitRepo, index: Path) -> list[str]:
    """Submodules whose work tree differs from their own HEAD, as ``git status`` sees it."""
    out = git.call(repo, "diff-files", "--ignore-submodules=none", "--raw", "-z", index=index).stdout
    parts = out.split(b"\0")
    return [os.fsdecode(path) for facts, path in zip(parts[::2], parts[1::2], strict=False) if facts[:7] == b":160000"]


def embedded(
    project: Project, repo: git.GitRepo, index: Path, tree: str, paths: Sequence[str], take: Take
) -> tuple[str, list[str]]:
    """``tree`` with the files of these submodules in it, and what they have that it does not hold."""
    inner: dict[str, str] = {}
    left_out: list[str] = []
    for path in paths:
        try:
            inner[path], lacking = _tree_of(project, repo, path, take)
            left_out += [f"{path}/{what}" for what in lacking]
        except (LedgerError, OSError) as err:
            left_out.append(f"{path} (submodule with uncommitted changes: {err})")
    if not inner:
        return tree, left_out
    key = repo.git_dir, tree, tuple(inner.items())
    if key not in _joined:
        _joined[key] = _join(repo, index, inner)
        if len(_joined) > 64:
            del _joined[next(iter(_joined))]
    return _joined[key], left_out


def _tree_of(project: Project, repo: git.GitRepo, path: str, take: Take) -> tuple[str, list[str]]:
    """The tree of a submodule's work tree, its objects brought into the repository above."""
    root = repo.root / path
    inside = git.discover(root)
    if inside is None or inside.root != root:
        raise LedgerError("it has no repository of its own here")
    there = dataclasses.replace(project, root=root, git=inside)
    folder = inside.git_dir / "nbledger"
    folder.mkdir(exist_ok=True)
    tree, left_out = take(there, inside, folder)
    _bring(inside, repo, tree)
    return tree, left_out


def _bring(inside: git.GitRepo, repo: git.GitRepo, tree: str) -> None:
    """Copy the objects of ``tree`` that the repository above lacks."""
    if git.call(repo, "cat-file", "-e", f"{tree}^{{tree}}", check=False).returncode == 0 and _whole(repo, tree):
        return
    listed = git.call(inside, "rev-list", "--objects", "--no-object-names", tree).stdout
    asked = git.call(repo, "cat-file", "--batch-check=%(objectname)", stdin=listed).stdout
    missing = [line.split(b" ")[0] for line in asked.splitlines() if line.endswith(b" missing")]
    pack = git.call(inside, "pack-objects", "--stdout", "--quiet", stdin=b"\n".join(missing) + b"\n").stdout
    verb = ("index-pack", "--stdin") if len(missing) > _MANY else ("unpack-objects", "-q")
    git.call(repo, *verb, stdin=pack)


def _whole(repo: git.GitRepo, tree: str) -> bool:
    """Whether everything below a tree is here: a process that was killed may have brought the tree without it."""
    words = ("rev-list", "--objects", "--quiet", "--missing=error", tree)
    return git.call(repo, *words, check=False).returncode == 0


def _join(repo: git.GitRepo, index: Path, inner: dict[str, str]) -> str:
    scratch = index.with_name("index-joined")
    try:
        _clear(scratch)
        shutil.copyfile(index, scratch)
        gone = b"".join(os.fsencode(path) + b"\0" for path in inner)
        git.call(repo, "update-index", "--force-remove", "-z", "--stdin", index=scratch, stdin=gone)
        for path, tree in inner.items():
            git.call(repo, "read-tree", f"--prefix={path}/", tree, index=scratch)
        return git.text(repo, "write-tree", index=scratch)
    finally:
        _clear(scratch)


def _clear(scratch: Path) -> None:
    """With the lock that a killed Git left: whoever comes here holds the lock of the folder."""
    for name in (scratch, scratch.with_name(f"{scratch.name}.lock")):
        name.unlink(missing_ok=True)
