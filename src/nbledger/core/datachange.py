"""What became of data that DVC tracks since a commit: its pointer then, its bytes now."""

from __future__ import annotations

import dataclasses
import os
import posixpath

from nbledger.core import cache, contents, dvc, dvcfiles, git, insides
from nbledger.core.differences import DataChange, Row
from nbledger.core.dvcfiles import Damaged, Out
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_FILES = 1000  # of a folder's files that are named


def since(project: Project, path: str, commit: str | None) -> DataChange | None:
    """The change of what DVC tracks at ``path`` (or of the folder that holds it) since ``commit``; None where DVC tracks
    nothing there, now or then.
    """
    out = dvc.lookup(project, path)
    old = _before(project, path, out, commit)
    if out is not None and (not out.cached or (not out.md5 and old is None)):
        return None
    if out is None and old is None:
        return None
    here = out.path if out is not None else path
    now = dvc.hashes_now(project, [out])[0] if out is not None else None
    was = (old.md5 or None) if old is not None else None
    sizes = (old.size if old is not None else None, _size(project, here) if now else None)
    change = DataChange(here + ("/" if _folder(project, here, old) else ""), (was, now), _state(was, now), sizes=sizes)
    return _inside(project, here, change)


def pointer_row(text: bytes | None, pointer: str, path: str) -> dvcfiles.Row | None:
    """What a ``.dvc`` file or a ``dvc.lock`` with this text says of the output at ``path`` (both relative to the root)."""
    if text is None:
        return None
    try:
        rows = dvcfiles.rows_of(text.decode("utf-8"), lock=pointer.endswith("dvc.lock"))
    except (Damaged, UnicodeDecodeError, AttributeError, TypeError):
        return None
    return next((row for row in rows if normal(pointer, row) == path), None)


def normal(pointer: str, row: dvcfiles.Row) -> str:
    """The path of an output relative to the root, as a pointer (or a ``dvc.lock``) there names it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(pointer), row.path))


def pointer_of(out: Out) -> str:
    """The file in which the output's hash stands: its ``.dvc``, or the ``dvc.lock`` of its stage."""
    return out.pointer if out.stage is None else posixpath.join(posixpath.dirname(out.pointer), "dvc.lock")


def _before(project: Project, path: str, out: Out | None, commit: str | None) -> dvcfiles.Row | None:
    if project.git is None or commit is None:
        return None
    pointer, place = (pointer_of(out), out.path) if out is not None else (f"{path}.dvc", path)
    return pointer_row(git.read_blob(project.git, f"{commit}:{pointer}"), pointer, place)


def _state(was: str | None, now: str | None) -> str:
    if was == now:
        return "same"
    return "added" if was is None else "removed" if now is None else "unknown" if now == "?" else "changed"


def _folder(project: Project, path: str, old: dvcfiles.Row | None) -> bool:
    return (project.root / path).is_dir() or (old is not None and old.md5.endswith(".dir"))


def _size(project: Project, path: str) -> int | None:
    place = project.root / path
    try:
        return cache.scan(place).size if place.is_dir() else os.stat(place).st_size
    except (OSError, LedgerError):
        return None


def _inside(project: Project, path: str, change: DataChange) -> DataChange:
    """The change with what differs inside, where the old bytes are in the cache."""
    was, now = change.values
    if was is None or now is None or change.state != "changed":
        return change
    if change.path.endswith("/"):
        return _files(project, path, change, was)
    old = contents.find(project, path, was, None)
    if old is None:
        return dataclasses.replace(change, whole=False, note="the old version is not in the cache: dvc fetch brings it")
    found = insides.between(old, project.root / path, (path, path))
    return dataclasses.replace(change, table=found.table, keys=found.keys, alike=found.alike, note=found.note)


def _files(project: Project, path: str, change: DataChange, was: str) -> DataChange:
    old = contents.folder(project, was)
    if not old:
        return dataclasses.replace(change, whole=False, note="the list of the old version's files is not in the cache")
    new = dvc.folder_now(project, path)
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    rows = tuple(
        Row(f"{path}/{name}", (old.get(name), new.get(name)), _state(old.get(name), new.get(name)))
        for name in differing[:_FILES]
    )
    note = f"{len(differing):,} files differ, {_FILES:,} are listed" if len(differing) > _FILES else ""
    return dataclasses.replace(change, files=rows, note=note)
