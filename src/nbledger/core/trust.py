"""Whose code may run: the projects that this person trusts, kept outside of them.

Looking at a project executes nothing that came with it. Reproducing, running and re-executing a pipeline do, so they
``require`` trust first. A project is trusted from the moment in which the person ran its code themselves (a tracked
cell, ``init``) or said so (``nbledger trust``, ``--trust``, a yes at the prompt or in the sidebar).

The list is a file of the person's Jupyter data folder. A project is known there by its real path, by the inode of its Git
folder and by a random mark in its own ``.nbledger/``: a repository that is put in its place later has not got the mark,
and one that brings a mark along is not on the list.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import dvcexp
from nbledger.core.errors import LedgerError, Untrusted
from nbledger.core.files import lock, write_atomic

if TYPE_CHECKING:
    from nbledger.core.git import GitRepo
    from nbledger.core.project import Project

_MARK = Path(".nbledger") / "trust"


@dataclass(frozen=True)
class Trusted:
    """A project on the list; ``since`` is ISO 8601 UTC."""

    path: str
    since: str


@dataclass(frozen=True)
class _Place:
    """What trust is tied to: the main work tree, which its linked ones share, and the folder whose inode counts."""

    home: Path
    anchor: Path


_given: set[tuple[str, str]] = set()
"""(path, mark) of what this process trusts where nothing could be written."""
_read: tuple[tuple[int, int, int] | None, dict[str, dict[str, Any]]] = (None, {})


def trusted(project: Project) -> bool:
    """Whether this person trusts the project. Two small files are looked at."""
    return _holds(_place(project.root, project.git))


def repository_trusted(repo: GitRepo) -> bool:
    """As ``trusted``, for those that know no more than the work tree."""
    return _holds(_place(repo.root, repo))


def trust(project: Project) -> None:
    """Trust the project from now on. Where the list cannot be written, this process does so, until a later call can."""
    place = _place(project.root, project.git)
    if place is None:
        raise LedgerError(
            f"{project.root}/.git leads to a repository that does not know this work tree",
            "git worktree repair, in the main work tree",
        )
    if _is_listed(place):
        return
    try:
        with _list_locked() as known:
            if not _is_listed(place):  # another process may have been first
                mark = secrets.token_hex(16)
                _write_mark(place.home, mark)
                known[str(place.home)] = _entry(place, mark)
    except (OSError, LedgerError):
        _given.add((str(place.home), _mark_of(place)))


def distrust(project: Project) -> bool:
    """Take the project off the list; whether it was there."""
    place = _place(project.root, project.git)
    if place is None:
        return False
    path = str(place.home)
    _given.difference_update({known for known in _given if known[0] == path})
    with contextlib.suppress(OSError):
        (place.home / _MARK).unlink()
    with _list_locked() as listed:
        return listed.pop(path, None) is not None


def listed() -> list[Trusted]:
    """All that this person trusts, by path."""
    return [Trusted(path, str(entry.get("since", ""))) for path, entry in sorted(_list().items())]


def require(project: Project, deed: str) -> None:
    """Raise unless the project is trusted. ``deed`` says what would execute it: ``reproducing a run``."""
    if not trusted(project):
        raise Untrusted(
            f"{deed} executes code that came with {project.home.name or project.home}, which you have not trusted",
            "look at it first; then `nbledger trust`, or --trust",
        )


def _place(root: Path, repo: GitRepo | None) -> _Place | None:
    """None for a work tree that only claims to belong to a repository: linked ones are named by their main one. A submodule
    shares the trust of the repository around it, and so does the folder in which DVC runs an experiment of it.
    """
    around = dvcexp.outer(root)
    if around is not None:
        from nbledger.core import git

        main = git.discover(around)
        return _place(main.root if main else around, main)
    if repo is None:
        return _Place(root, root)
    if repo.git_dir == repo.common_dir:
        above = _superproject(root, repo.git_dir)
        return _Place(root, repo.git_dir) if above is None else _Place(above.parent, above)
    try:
        back = Path((repo.git_dir / "gitdir").read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n"))
        known = repo.git_dir.parent == repo.common_dir / "worktrees" and back.resolve() == (root / ".git").resolve()
    except OSError:
        known = False
    if not known:
        return None
    return _Place(repo.common_dir.parent if repo.common_dir.name == ".git" else root, repo.common_dir)


def _superproject(root: Path, git_dir: Path) -> Path | None:
    """Git folder of the repository in whose work tree, and in whose Git folder, this submodule lies."""
    for folder in git_dir.parents:
        if folder.name == "modules" and folder.parent.name == ".git" and folder.parent.parent in root.parents:
            return folder.parent
    return None


def _holds(place: _Place | None) -> bool:
    return place is not None and ((str(place.home), _mark_of(place)) in _given or _is_listed(place))


def _is_listed(place: _Place) -> bool:
    mark, entry = _mark_of(place), _list().get(str(place.home))
    try:
        return bool(
            entry and mark and entry.get("mark") == _digest(mark) and entry.get("inode") == place.anchor.stat().st_ino
        )
    except OSError:
        return False


def _entry(place: _Place, mark: str) -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"inode": place.anchor.stat().st_ino, "mark": _digest(mark), "since": since}


def _digest(mark: str) -> str:
    return hashlib.sha256(mark.encode()).hexdigest()


def _mark_of(place: _Place) -> str:
    path = place.home / _MARK
    try:
        return "" if path.is_symlink() or path.stat().st_size > 64 else path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _write_mark(home: Path, mark: str) -> None:
    """Write the mark, which only its owner may read, into the ledger's folder (that Git ignores from the first moment)."""
    state = home / _MARK.parent
    if not state.exists():
        state.mkdir(mode=0o700)
        (state / ".gitignore").write_text("*\n")
    path = home / _MARK
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    write_atomic(path, mark)


def _file() -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "nbledger" / "trust.json"


def _list() -> dict[str, dict[str, Any]]:
    """What the file says; read again when it changed."""
    global _read
    path = _file()
    try:
        stat = path.stat()
        if hasattr(os, "getuid") and stat.st_uid != os.getuid():
            return {}
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if _read[0] != version:
            found = json.loads(path.read_text(encoding="utf-8"))
            _read = version, {str(k): v for k, v in found.items() if isinstance(v, dict)}
    except (OSError, ValueError, AttributeError):
        return {}
    return _read[1]


@contextlib.contextmanager
def _list_locked() -> Iterator[dict[str, dict[str, Any]]]:
    """The list, to be changed; written when the block ends."""
    path = _file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(path.with_suffix(".lock"), what="the list of trusted projects"):
        known = dict(_list())
        before = json.dumps(known)
        yield known
        if json.dumps(known) != before:
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            write_atomic(path, json.dumps(known, indent=1) + "\n")
