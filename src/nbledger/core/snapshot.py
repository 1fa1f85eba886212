"""The snapshot of a run: a commit of the work tree as it is, made beside the user's index, branch and reflog.

A private index in the repository's own folder keeps stat data between runs, so an unchanged tree costs about
one ``git status``. Filters and attributes apply as in ``git add``; hooks never run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from nbledger.core import dvcexp, files, git, made, secrets, submodules
from nbledger.core.errors import Busy, ToolFailed
from nbledger.core.project import Project

_MANY = 2000


@dataclass(frozen=True)
class Snapshot:
    """``commit`` holds the code as it was (HEAD itself when nothing differs); ``left_out`` what it does not hold. What a
    pipeline's stages have written to ``dvc.lock``, metrics and plots makes no code ``dirty``.
    """

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
    ``snapshot_max_mb`` and nested repositories are named in ``left_out``; a submodule with uncommitted changes is held as a
    plain folder.
    """
    repo = project.git
    if repo is None:
        return Snapshot(
            None, None, None, dirty=True, left_out=("no Git repository: only the session's cells are kept",)
        )
    try:
        return _capture(project, repo, run_id)
    except (ToolFailed, Busy) as err:
        # A broken private index, objects that only it knew and `git gc` pruned, a Git that was killed: start afresh, once.
        own = repo.common_dir / f"{git.RUN_REFS}{run_id}.lock"  # nobody else's: the run is new
        if isinstance(err, Busy) and not own.exists():
            raise
        own.unlink(missing_ok=True)
        return _capture(project, repo, run_id, afresh=True)


def restored(project: Project) -> Snapshot:
    """What stands for a snapshot where a run is executed again: the commit that was restored. Nothing is captured."""
    head = git.head(project.git) if project.git is not None else git.Head(None, None, None)
    return Snapshot(head.commit, head.commit, None, dirty=False)


def _capture(project: Project, repo: git.GitRepo, run_id: str, *, afresh: bool = False) -> Snapshot:
    folder = repo.git_dir / "nbledger"
    folder.mkdir(exist_ok=True)
    with files.lock(folder / "lock", timeout=5, what="the snapshot index"):
        if afresh:
            _commit.cache_clear()
            submodules.forget()
            _forget(folder)
        head = git.head(repo)
        tree, left_out = _tree(project, repo, folder)
    differs = tree != head.tree
    commit = head.commit
    if differs or commit is None:
        commit = _commit(repo, tree, head.commit)
    ref = git.RUN_REFS + run_id
    git.update_ref(repo, ref, commit, "0" * len(commit))
    if dvcexp.outer(project.root) is not None:  # this repository goes when the experiment has ended
        specs = ("--no-tags", "--no-write-fetch-head", "--quiet", str(project.root), f"+{ref}:{ref}")
        git.call(project.home, "fetch", *specs)
    dirty = differs and not made.only(project, repo, head.tree, tree)
    return Snapshot(commit, head.commit, head.branch, dirty, tuple(left_out), ref, git.operation(repo))


@lru_cache(maxsize=64)
def _commit(repo: git.GitRepo, tree: str, parent: str | None) -> str:
    """The snapshot commit of a tree; a second run of the same code shares it."""
    return git.commit_tree(repo, tree, [parent] if parent else [], "nbledger snapshot\n", ledger=True)


def _forget(folder: Path) -> None:
    """Drop the private index and what is remembered of it, with the lock that a killed Git left."""
    for name in ("index", "index.lock", "memory.json", "index-joined", "index-joined.lock"):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()


def _tree(project: Project, repo: git.GitRepo, folder: Path) -> tuple[str, list[str]]:
    index, memory = folder / "index", folder / "memory.json"
    known = _remembered(memory)
    users = _signature(repo.git_dir / "index")
    stale = known is None or known.users != users or known.own != _signature(index)
    if known is None or stale or (folder / "index.lock").exists():
        _forget(folder)
        _seed(repo, index)
        known = _Memory(users, [], "", [], [])
    changed = _let_go(project, repo, index, known)
    updates = _updates(project, repo, index, known.added)
    changed |= _update(repo, index, updates)
    if not known.tree or changed:
        tree = git.text(repo, "write-tree", index=index)
        endings = sorted({*known.endings} - {*updates.tracked, *updates.untracked} | {*_endings(repo, index, updates)})
        known = _Memory(users, _signature(index), tree, sorted({*known.added, *updates.untracked}), endings)
        with contextlib.suppress(OSError):
            memory.write_text(json.dumps(asdict(known)))
    left_out = updates.left_out
    left_out += [f"the line endings of {path} (.gitattributes changes them)" for path in known.endings]
    whole = known.tree
    if (repo.root / ".gitmodules").exists() and (paths := submodules.changed(repo, index)):
        whole, lacking = submodules.embedded(project, repo, index, whole, paths, _inner_tree)
        left_out += lacking
    return whole, left_out


def _inner_tree(project: Project, repo: git.GitRepo, folder: Path) -> tuple[str, list[str]]:
    with files.lock(folder / "lock", timeout=5, what="the snapshot index of a submodule"):
        try:
            return _tree(project, repo, folder)
        except ToolFailed:
            _forget(folder)
            return _tree(project, repo, folder)


@dataclass(frozen=True)
class _Memory:
    """What is known of the private index: the signatures of the user's index it came from and of itself (another one:
    it is stale, or a capture was killed), its tree, the files in it that the user's has not, and those whose line
    endings a checkout would not give back.
    """

    users: list[int]
    own: list[int]
    tree: str
    added: list[str]
    endings: list[str]


def _remembered(path: Path) -> _Memory | None:
    try:
        return _Memory(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _signature(path: Path) -> list[int]:
    try:
        return list(files.signature(path.stat()))
    except OSError:
        return []


def _seed(repo: git.GitRepo, index: Path) -> None:
    """Start from the user's index (its stat data spares re-reading every file), conflicts taken as they lie in the
    work tree and files that Git was told not to look at (assume-unchanged, skip-worktree) looked at.
    """
    users = repo.git_dir / "index"
    if not users.exists():
        if git.head(repo).commit:
            git.call(repo, "read-tree", "HEAD", index=index)
        return
    shutil.copy2(users, index)
    unmerged: dict[bytes, None] = {}
    assumed, skipped = [], []
    for entry in git.call(repo, "ls-files", "-v", "-z", index=index).stdout.split(b"\0"):
        tag, path = entry[:1], entry[2:]
        if tag == b"M":
            unmerged[path] = None
        elif tag.islower():
            assumed.append(path)
        if tag.upper() == b"S" and os.path.lexists(repo.root / os.fsdecode(path)):
            skipped.append(path)
    for option, paths in (("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)):
        if paths:
            git.call(repo, "update-index", option, "-z", "--stdin", index=index, stdin=b"\0".join(paths) + b"\0")
    if unmerged:
        here = [path for path in unmerged if _kind(repo.root / os.fsdecode(path)) == "file"]
        for option, paths in (("--add", here), ("--force-remove", [p for p in unmerged if p not in here])):
            if paths:
                stdin = b"\0".join(paths) + b"\0"
                git.call(repo, "update-index", option, "--replace", "-z", "--stdin", index=index, stdin=stdin)


def _let_go(project: Project, repo: git.GitRepo, index: Path, known: _Memory) -> bool:
    """Take out files that an earlier capture added and that are ignored or too large now; whether there were any."""
    if not known.added:
        return False
    bound = project.settings.snapshot_max_mb * 1e6
    gone = git.ignored(repo, known.added)
    for path in known.added:
        with contextlib.suppress(OSError):
            if os.lstat(repo.root / path).st_size > bound:
                gone.add(path)
    known.added[:] = [path for path in known.added if path not in gone]
    if gone:
        _force_remove(repo, index, gone)
    return bool(gone)


def _force_remove(repo: git.GitRepo, index: Path, paths: Iterable[str]) -> None:
    stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
    git.call(repo, "update-index", "--force-remove", "-z", "--stdin", index=index, stdin=stdin)


@dataclass(frozen=True)
class _Updates:
    """Paths whose entry in the private index must change, and in words those that it cannot hold."""

    tracked: list[str]
    untracked: list[str]
    gone: list[str]
    left_out: list[str]


def _updates(project: Project, repo: git.GitRepo, index: Path, added: Sequence[str]) -> _Updates:
    listed = git.call(repo, "ls-files", "-z", "-t", "-m", "-d", "-o", "--exclude-standard", index=index).stdout
    found = _Updates([], [], [], [])
    bound = project.settings.snapshot_max_mb * 1e6
    total, many = float(sum(_size(repo.root / path) for path in added)), 0
    for raw in dict.fromkeys(listed.split(b"\0")):
        if not raw:
            continue
        tag, path = raw[:1], os.fsdecode(raw[2:])
        full = repo.root / path
        if tag != b"?":
            _judge(repo, path, found)
            continue
        if git.is_checkpoint(path):
            continue
        if path.endswith("/"):
            found.left_out.append(f"{path} (a repository of its own)")
            continue
        try:
            size = os.lstat(full).st_size
        except OSError:
            continue
        if not os.path.islink(full) and not os.access(full, os.R_OK):
            found.left_out.append(f"{path} (not readable)")
        elif secrets.secret_file(path, project.settings.snapshot_secrets):
            found.left_out.append(f"{path} (a secret by its name: the setting snapshot_secrets allows it)")
        elif size > bound:
            found.left_out.append(f"{path} ({_megabytes(size)}: %track_data {path})")
        elif len(found.untracked) + len(added) >= _MANY or total + size > 10 * bound:
            many += 1
        else:
            total += size
            found.untracked.append(path)
    if many:
        found.left_out.append(f"{many} more untracked files (over {_MANY} files or {_megabytes(10 * bound)})")
    return found


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.2g} MB"


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _kind(path: Path) -> str:
    """``file`` (or link), ``folder``, ``repository``, ``special`` or nothing; below a link there is nothing."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return ""
    if stat.S_ISDIR(mode):
        return "repository" if os.path.lexists(path / ".git") else "folder"
    return "file" if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else "special"


def _judge(repo: git.GitRepo, path: str, found: _Updates) -> None:
    """Sort a tracked path that differs from the private index: to be read again, gone, or not to be had."""
    full = repo.root / path
    kind = _kind(full)
    below_a_link = any((repo.root / part).is_symlink() for part in list(Path(path).parents)[:-1])
    if kind == "folder" or below_a_link:
        found.gone.append(path)
    elif kind == "special":
        found.gone.append(path)
        found.left_out.append(f"{path} (neither file, link nor folder)")
    elif kind == "file" and not full.is_symlink() and not os.access(full, os.R_OK):
        found.gone.append(path)
        found.left_out.append(f"{path} (not readable)")
    else:
        found.tracked.append(path)


def _update(repo: git.GitRepo, index: Path, updates: _Updates) -> bool:
    """Bring the private index up to date, what is gone first: a file may have become a folder. Whether it changed."""
    if updates.gone:
        _force_remove(repo, index, updates.gone)
    paths = [*updates.tracked, *updates.untracked]
    if paths:
        stdin = b"".join(os.fsencode(path) + b"\0" for path in paths)
        git.call(repo, "update-index", "--add", "--remove", "--replace", "-z", "--stdin", index=index, stdin=stdin)
    return bool(paths or updates.gone)


def _endings(repo: git.GitRepo, index: Path, updates: _Updates) -> list[str]:
    """Those of the updated files whose line endings a checkout would not give back as they are."""
    attributes = repo.root / ".gitattributes"
    everything = attributes.is_file() and b"crlf" in attributes.read_bytes()
    paths = [p for p in (*updates.tracked, *updates.untracked) if everything or _has_cr(repo.root / p)]
    return git.unlike_checkout(repo, paths, index) if paths else []


def _has_cr(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with open(path, "rb") as file:
            return any(b"\r" in block for block in iter(lambda: file.read(files.CHUNK), b""))
    except OSError:
        return False


def rename_ref(project: Project, old: str, new: str, commit: str) -> None:
    """Move a run's snapshot from the journal's name to the run's id, as one transaction; repeatable."""
    if project.git is None:
        return
    if git.ref(project.git, git.RUN_REFS + new) == commit and git.ref(project.git, git.RUN_REFS + old) is None:
        return
    lines = [f"update {git.RUN_REFS}{new} {commit}", *([f"delete {git.RUN_REFS}{old}"] if old != new else [])]
    with _renaming:
        git.update_refs(project.git, "\n".join(lines) + "\n")


_renaming = threading.Lock()  # Git gives up where another deletes a ref in the same moment
