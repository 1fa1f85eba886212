"""The journals of batches: one folder a batch under ``.nbledger/batches/<id>/``.

``journal.jsonl``  the events of ``core.batch``, a line each with its checksum, on the disk before what they tell of begins
``lock``           held by the process that works on the batch, released by the system when that dies
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbledger.core import files
from nbledger.core.batch import Batch, Options, Task, folded
from nbledger.core.errors import Busy, LedgerError, UsageError
from nbledger.core.project import Project
from nbledger.keeper import frames
from nbledger.keeper.journal import now_ms

_ID = re.compile(r"[0-9a-f]{8}")
_KEPT = 50
"""Batches that have nothing left to run are forgotten when so many newer ones exist."""
_DRAFT = 600.0


def folder(project: Project) -> Path:
    return project.state / "batches"


class Book:
    """The journal of a batch, held by this process; ``write`` is safe from any thread."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self._descriptor = os.open(path / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = threading.Lock()
        self._mend()

    def _mend(self) -> None:
        """A line that a killed process left half-written must not swallow the next one."""
        text = (self.path / "journal.jsonl").read_bytes()
        if text and not text.endswith(b"\n"):
            os.write(self._descriptor, b"\n")

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event; it is on the disk when this returns."""
        self.write_all([{"t": kind, **fields}])

    def write_all(self, events: Sequence[Mapping[str, Any]]) -> None:
        lines = b"".join(frames.sealed({**event, "at": now_ms()}) for event in events)
        with self._lock:
            try:
                written = os.write(self._descriptor, lines)
                os.fsync(self._descriptor)
            except OSError as err:
                raise _unwritable(self.path, err) from err
            if written != len(lines):
                raise LedgerError(f"cannot write {self.path}: no space left on the device", "free some disk space")

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _unwritable(path: Path, err: OSError) -> LedgerError:
    return LedgerError(f"cannot write the batch's journal in {path}: {err.strerror}", "free some disk space")


@contextlib.contextmanager
def created(project: Project, name: str, options: Options, tasks: Sequence[Task]) -> Iterator[Book]:
    """A new batch, planned and held by this process. It appears with its whole plan or not at all."""
    _forget(project)
    batch = secrets.token_hex(4)
    path = project.ensure_state() / "batches" / batch
    draft = path.with_name(f".{batch}.new")
    head = {"t": "batch", "id": batch, "name": name, "options": asdict(options)}
    planned = [{"t": "task", **asdict(task)} for task in tasks]
    try:
        draft.mkdir(mode=0o700, parents=True)
        with contextlib.closing(Book(draft)) as book:
            book.write_all([head, *planned, {"t": "planned", "tasks": len(tasks)}])
    except OSError as err:
        raise _unwritable(path, err) from err
    with files.lock(draft / "lock", timeout=1, what=f"batch {batch}"):
        os.replace(draft, path)
        with contextlib.closing(Book(path)) as book:
            yield book


@contextlib.contextmanager
def held(project: Project, batch: str) -> Iterator[Book]:
    """The journal of a batch that this process goes on with. ``Busy`` names the process that works on it."""
    path = folder(project) / batch
    with files.lock(path / "lock", timeout=0.1, what=f"batch {batch}"), contextlib.closing(Book(path)) as book:
        yield book


def busy(project: Project, batch: str) -> bool:
    """Whether a process works on the batch."""
    try:
        with files.lock(folder(project) / batch / "lock", timeout=0, what="the batch"):
            return False
    except Busy:
        return True


def read(project: Project, batch: str) -> Batch | None:
    """What the journal of a batch tells; None where it holds no batch. Lines that cannot be read are passed over."""
    try:
        lines = (folder(project) / batch / "journal.jsonl").read_bytes().splitlines()
    except OSError:
        return None
    events = [event for line in lines if (event := frames.opened(line)) is not None and "t" in event]
    return folded(events)


def known(project: Project) -> list[Batch]:
    """All batches whose plan is whole, the newest first."""
    try:
        names = [entry.name for entry in os.scandir(folder(project)) if _ID.fullmatch(entry.name)]
    except OSError:
        return []
    found = [batch for name in names if (batch := read(project, name)) is not None and batch.planned]
    return sorted(found, key=lambda batch: (-batch.created, batch.id))


def resolve(project: Project, wanted: str) -> Batch:
    """The batch of that id or unique beginning of one."""
    there = known(project)
    found = [batch for batch in there if wanted and batch.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    newest = f"the newest is {there[0].id}" if there else "nbledger run NB… starts one"
    raise UsageError(f"there is no batch {wanted!r}" if not found else f"{wanted!r} means several batches", newest)


def _forget(project: Project) -> None:
    """Old batches that have nothing left to run, and drafts that a killed process left."""
    for name in [batch.id for batch in known(project) if not batch.unfinished][_KEPT:]:
        if not busy(project, name):
            shutil.rmtree(folder(project) / name, ignore_errors=True)
    for draft in folder(project).glob(".*.new"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > _DRAFT:
                shutil.rmtree(draft, ignore_errors=True)
