"""Trackings under way: each is noted before the first byte is copied, so that what a killed one left is known and cleared.

A note stands in ``.nbledger/tracking``. It goes when the work ends, well or with an error that is told; only a process
that was killed, or a machine that lost power, leaves one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbledger.core import cache, files, owners
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError
from nbledger.core.files import write_atomic
from nbledger.core.project import Project

_FOLDER = "tracking"
_SLACK_NS = 2_000_000_000  # between this machine's clock and the one that stamps the cache's files


@dataclass(frozen=True)
class Note:
    """``paths`` of ``root`` were being tracked by ``owner`` since ``since`` (ns; 0: what it wrote was looked at)."""

    file: Path
    owner: dict[str, Any]
    root: str
    since: int
    paths: tuple[str, ...]

    @property
    def abandoned(self) -> bool:
        return not owners.alive(self.owner)


@contextlib.contextmanager
def noted(project: Project, paths: Sequence[str]) -> Iterator[None]:
    """Keep a note of these paths while they are tracked. Where none can be written, tracking goes on without."""
    file = None
    with contextlib.suppress(OSError, LedgerError):
        folder = project.ensure_state() / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        note = Note(file, owners.owner(), str(project.root), time.time_ns(), tuple(paths))
        with open(file, "x", encoding="utf-8") as new:
            new.write(_text(note))
            new.flush()
            os.fsync(new.fileno())
    done = False
    try:
        yield
        done = True
    finally:
        with contextlib.suppress(OSError):
            if done:
                _forget(project, set(paths))
            if file is not None:
                file.unlink(missing_ok=True)


def _text(note: Note) -> str:
    return json.dumps({"owner": note.owner, "root": note.root, "since": note.since, "paths": note.paths})


def abandoned(project: Project) -> list[Note]:
    """Notes that dead processes left."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for file in sorted((project.state / _FOLDER).glob("*.json")):
            try:
                fields = json.loads(file.read_bytes())
                note = Note(file, fields["owner"], fields["root"], int(fields["since"]), tuple(fields["paths"]))
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, TypeError):  # written by halves: nothing had begun
                pid = int(file.name.partition("-")[0]) if file.name.partition("-")[0].isdigit() else 0
                who = {"pid": pid, "created": owners.process_started(pid) or -1, "host": owners.host()}
                note = Note(file, who, "", 0, ())
            if note.abandoned:
                found.append(note)
    return found


def cut_short(project: Project, outs: Sequence[Out]) -> list[str]:
    """Paths whose tracking was cut short before there was a pointer: nothing versions them, and Git may ignore them."""
    asked = [path for note in abandoned(project) if note.root == str(project.root) for path in note.paths]
    known = {out.path for out in outs}
    return sorted(
        path
        for path in set(asked)
        if not any(above in known for above in (path, *map(str, Path(path).parents)))
        and os.path.lexists(project.root / path)
    )


def clear(project: Project, store: cache.Store, scratch: Path) -> None:
    """Remove what killed trackings left half-written. With DVC's lock held, all of ``scratch`` is theirs. Where the machine
    itself went down, the objects written since may be cut or empty: those that are not what their name says go.
    """
    with contextlib.suppress(OSError):
        for leftover in scratch.glob("nbledger-*.tmp"):
            leftover.unlink(missing_ok=True)
    cache.sweep(store)
    with contextlib.suppress(OSError):
        for note in abandoned(project):
            if note.since and note.owner.get("host") != owners.host():
                _remove_damaged(store, note.since - _SLACK_NS)
                write_atomic(note.file, _text(replace(note, since=0)))
            elif not note.paths:
                note.file.unlink(missing_ok=True)
        for leftover in (project.state / _FOLDER).glob(".*.tmp"):
            leftover.unlink(missing_ok=True)


def _remove_damaged(store: cache.Store, since: int) -> None:
    for path in store.root.glob("[0-9a-f][0-9a-f]/*"):
        if path.stat().st_ctime_ns >= since:
            name = (path.parent.name + path.name).removesuffix(".dir")
            if files.md5_of(path) != name:
                path.unlink(missing_ok=True)


def _forget(project: Project, paths: set[str]) -> None:
    """These are tracked now, whoever was killed at it before."""
    for note in abandoned(project):
        if note.root != str(project.root):
            continue
        left = tuple(path for path in note.paths if path not in paths)
        if not left:
            note.file.unlink(missing_ok=True)
        elif left != note.paths:
            write_atomic(note.file, _text(replace(note, paths=left)))
