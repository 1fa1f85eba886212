"""The snapshot of a run: a commit of the work tree as it is, made beside the user's index, branch and reflog.

A private index in the repository's own folder keeps stat data between runs, so an unchanged tree costs about
one ``git status``. Filters and attributes apply as in ``git add``; hooks never run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nbledger.core import files, git
from nbledger.core.errors import ToolFailed
from nbledger.core.project import Project

_MANY = 2000


@dataclass(frozen=True)
class Snapshot:
    """``commit`` holds the code as it was (HEAD itself when nothing differs); ``left_out`` what it does not hold."""

    commit: str | None
    head: str | None
    branch: str | None
    dirty: bool
    left_out: tuple[str, ...] = ()
    ref: str | None = None
    operation: str = ""


def capture(project: Project, run_id: str) -> Snapshot:
    """Commit the work tree to ``refs/nbledger/runs/<run_id>``: tracked changes and untracked files not ignored.

    Touches no branch, index, stash, work-tree file, hook or reflog of HEAD. Untracked files above the setting
    ``snapshot_max_mb``, nested repositories and uncommitted changes inside submodules are named in ``left_out``.
    """
    repo = project.git
    if repo is None:
        return Snapshot(
            None, None, None, dirty=True, left_out=("no Git repository: only the session's cells are kept",)
        )
    try:
        return _capture(project, repo, run_id)
    except ToolFailed:
        # Objects that only the private index knew may have been pruned by `git gc`: start afresh, once.
        _forget(repo)
        return _capture(project, repo, run_id)


def _capture(project: Project, repo: git.GitRepo, run_id: str) -> Snapshot:
    folder = repo.git_dir / "nbledger"
    folder.mkdir(exist_ok=True)
    with files.lock(folder / "lock", timeout=5, what="the snapshot index"):
        head = git.head(repo)
        tree, left_out = _tree(project, repo, folder)
    dirty = tree != head.tree
    commit = head.commit
    if dirty or commit is None:
        commit = _commit(repo, tree, head.commit)
    ref = git.RUN_REFS + run_id
    git.update_ref(repo, ref, commit, "0" * len(commit))
    return Snapshot(commit, head.commit, head.branch, dirty, tuple(left_out), ref, git.operation(repo))


def _forget(repo: git.GitRepo) -> None:
    _commit.cache_clear()
    for name in ("memory.json", "index", "index.lock"):
        with contextlib.suppress(OSError):
            (repo.git_dir / "nbledger" / name).unlink()


@lru_cache(maxsize=64)
def _commit(repo: git.GitRepo, tree: str, parent: str | None) -> str:
    """The snapshot commit of a tree; a second run of the same code shares it."""
    return git.commit_tree(repo, tree, [parent] if parent else [], "nbledger snapshot\n", ledger=True)


def _tree(project: Project, repo: git.GitRepo, folder: Path) -> tuple[str, list[str]]:
    index = folder / "index"
    memory = folder / "memory.json"
    known = _remembered(memory)
    users = _signature(repo.git_dir / "index")
    if not index.exists() or known.get("users") != users:
        _seed(repo, index)
        known = {}
    updates, left_out = _updates(project, repo, index)
    if updates:
        memory.unlink(missing_ok=True)  # killed after the next line, the remembered tree would be that of before
        stdin = b"".join(os.fsencode(path) + b"\0" for path in updates)
        git.call(repo, "update-index", "--add", "--remove", "--replace", "-z", "--stdin", index=index, stdin=stdin)
    tree = known.get("tree")
    if updates or not isinstance(tree, str):
        tree = git.text(repo, "write-tree", index=index)
        with contextlib.suppress(OSError):
            memory.write_text(json.dumps({"users": users, "tree": tree}))
    if (repo.root / ".gitmodules").exists():
        left_out += _dirty_submodules(repo, index)
    return tree, left_out


def _remembered(path: Path) -> dict[str, object]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _signature(path: Path) -> list[int]:
    try:
        return list(files.signature(path.stat()))
    except OSError:
        return []


def _seed(repo: git.GitRepo, index: Path) -> None:
    """Start from the user's index (its stat data spares re-reading every file); from HEAD when it has conflicts."""
    with contextlib.suppress(OSError):
        index.unlink()
    for stale in index.parent.glob("index.lock"):
        stale.unlink()
    users = repo.git_dir / "index"
    if users.exists() and not git.call(repo, "ls-files", "-u", "-z").stdout:
        shutil.copy2(users, index)
    elif git.head(repo).commit:
        git.call(repo, "read-tree", "HEAD", index=index)


def _updates(project: Project, repo: git.GitRepo, index: Path) -> tuple[list[str], list[str]]:
    """Paths whose entry in the private index must change, and those that are too large or cannot be held."""
    listed = git.call(repo, "ls-files", "-z", "-t", "-m", "-d", "-o", "--exclude-standard", index=index).stdout
    take: dict[str, None] = {}
    left_out: list[str] = []
    bound = project.settings.snapshot_max_mb * 1e6
    total, many = 0.0, 0
    for raw in listed.split(b"\0"):
        if not raw:
            continue
        tag, path = raw[:1], os.fsdecode(raw[2:])
        if tag != b"?":
            take[path] = None
            continue
        if path.endswith("/"):
            left_out.append(f"{path} (a repository of its own)")
            continue
        try:
            size = os.lstat(repo.root / path).st_size
        except OSError:
            continue
        if not os.path.islink(repo.root / path) and not os.access(repo.root / path, os.R_OK):
            left_out.append(f"{path} (not readable)")
        elif size > bound:
            left_out.append(f"{path} ({size / 1e6:.0f} MB: %track_data {path})")
        elif len(take) >= _MANY or total + size > 10 * bound:
            many += 1
        else:
            total += size
            take[path] = None
    if many:
        left_out.append(f"{many} more untracked files (over {_MANY} files or {10 * bound / 1e6:.0f} MB)")
    return list(take), left_out


def _dirty_submodules(repo: git.GitRepo, index: Path) -> list[str]:
    out = git.text(repo, "diff-files", "--ignore-submodules=none", "--raw", index=index)
    named = [line.split("\t", 1)[1] for line in out.splitlines() if line.startswith(":160000") and "\t" in line]
    return [f"{path} (submodule with uncommitted changes)" for path in named]


def rename_ref(project: Project, old: str, new: str, commit: str) -> None:
    """Move a run's snapshot from the journal's name to the run's id, as one transaction; repeatable."""
    if project.git is None:
        return
    present = git.run_refs(project.git)
    lines = [] if present.get(new) == commit else [f"update {git.RUN_REFS}{new} {commit}"]
    if old in present and old != new:
        lines.append(f"delete {git.RUN_REFS}{old}")
    if lines:
        git.update_refs(project.git, "\n".join(lines) + "\n")
