"""A name that somebody gave for a file of the project, as a path relative to its root; nothing outside is reachable."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from nbledger.core.errors import UsageError
from nbledger.core.project import STATE, Project

_INTERNAL = {".git", ".dvc", ".hg", STATE}


def relative(project: Project, name: str) -> str:
    """``name`` (relative to the root, with ``/``) in its plain form. Refuses what leads out, by itself or through a link,
    and what belongs to Git, DVC or the ledger, also of a repository further down. Whether there is a file is not looked at.
    """
    path = posixpath.normpath(name) if name and "\0" not in name and _encodable(name) else "."
    parts = path.split("/")
    if path == "." or path.startswith("/") or parts[0] == ".." or os.path.isabs(path):
        raise UsageError(f"{name[:200]!r} is no file of this project", "give a path relative to the project's folder")
    root = os.path.realpath(project.root)
    folder = os.path.realpath(project.root / os.path.dirname(path))
    if folder != root and not folder.startswith(root.rstrip(os.sep) + os.sep):
        raise UsageError(f"{name[:200]!r} is behind a link that leads out of the project", "name a file inside it")
    owner = _owner(parts) or _owner([*os.path.relpath(folder, root).split(os.sep), parts[-1]])
    if owner:
        raise UsageError(f"{name[:200]!r} belongs to {owner}", "name a file of your own")
    return path


def folder(project: Project, name: str) -> Path:
    """Where something new is to be put, inside the project wherever links lead, and not among what Git or DVC keeps."""
    root = os.path.realpath(project.root)
    place = os.path.realpath(os.path.join(root, name)) if "\0" not in name and _encodable(name) else ""
    if place != root and not place.startswith(root.rstrip(os.sep) + os.sep):
        raise UsageError(f"{name[:200]!r} is not inside the project", "name a folder in it that does not exist yet")
    owner = _owner([part for part in os.path.relpath(place, root).split(os.sep) if part != STATE])
    if owner:
        raise UsageError(f"{name[:200]!r} belongs to {owner}", "name a folder of your own")
    return Path(place)


def _owner(parts: list[str]) -> str | None:
    """Which of the tools' folders a path leads into, what is the person's own there apart."""
    at = next((i for i, part in enumerate(parts) if part in _INTERNAL), None)
    if at is None or (parts[at] == ".dvc" and parts[at + 1 :] in (["config"], [".gitignore"])):
        return None
    return parts[at]


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def read(path: Path, most: int) -> bytes | None:
    """Bytes of a file, of a link the name it leads to (as Git keeps links); None where there is no file, or more than
    ``most`` bytes (``size`` tells).
    """
    try:
        if path.is_symlink():
            return os.fsencode(os.readlink(path))
        if not path.is_file() or path.stat().st_size > most:
            return None
        return path.read_bytes()
    except OSError:
        return None


def size(path: Path) -> int | None:
    """Bytes of a file (of a link's own text); None where there is none."""
    try:
        return path.lstat().st_size if path.is_symlink() or path.is_file() else None
    except OSError:
        return None
