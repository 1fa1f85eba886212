"""The bytes of a file that a run read, wherever they still are: found by their hash, never by their name alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from nbledger.core import cache, files, git, hashes
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_MOST = 200_000_000  # bytes hashed to find out whether the work tree still has them


def find(project: Project, path: str, md5: str, commit: str | None) -> Path | bytes | None:
    """The contents with this MD5 that were at ``path``: in DVC's cache, in the work tree, or in ``commit``; else None."""
    return cached(project, md5) or _work_tree(project, path, md5) or _committed(project, path, md5, commit)


def cached(project: Project, md5: str) -> Path | None:
    """The object with this hash in DVC's cache; None where it is not there."""
    if project.dvc_root is None:
        return None
    from nbledger.core import dvc

    with contextlib.suppress(LedgerError, OSError):
        folder = dvc.cache_dir(project)
        for place in (folder / "files" / "md5" / md5[:2] / md5[2:], folder / md5[:2] / md5[2:]):
            if place.is_file():
                return place
    return None


def folder(project: Project, md5: str) -> dict[str, str]:
    """{path in it: MD5} of a tracked folder by its hash (``….dir``); empty where its list is not at hand."""
    place = cached(project, md5)
    return (cache.read_manifest(place) or {}) if place is not None else {}


def _work_tree(project: Project, path: str, md5: str) -> Path | None:
    place = project.root / path
    try:
        status = os.stat(place)
        if not place.is_file():
            return None
        with hashes.opened(project) as known:
            row = known.files([str(place)]).get(str(place))
        if row is not None and row[0] == hashes.pack(files.signature(status)):
            return place if row[1] == md5 else None
        return place if status.st_size <= _MOST and files.md5_of(place) == md5 else None
    except (OSError, ValueError):
        return None


def _committed(project: Project, path: str, md5: str, commit: str | None) -> bytes | None:
    if project.git is None or commit is None or not git.is_hex(commit) or os.path.isabs(path):
        return None
    try:
        found = git.objects_at(project.git, commit, [path]).get(path)
    except LedgerError:
        return None
    if found is None or found[1] != "blob":
        return None
    same = hashlib.md5(found[2], usedforsecurity=False).hexdigest() == md5
    return found[2] if same else None
