"""The journal of a run: an append-only file of events, written before anything else happens to them.

One folder a run under ``.nbledger/journals/<journal id>/``:

``events.jsonl``  one JSON object a line, ``t`` its type, ``at`` milliseconds since the epoch, ``crc`` its checksum
``blobs/``        files that belong to the run, as they were when the event was written
``creating``      made before the run is: whoever finds it, and no run in ``state.json``, looks for the run in the store
``state.json``    how far a publisher has come (written by the publisher alone); it may be lost, see ``publish.py``

A line is one ``write`` call on a file opened for appending, so that lines of several threads never mix and a
killed kernel loses nothing it was told was written; starts and ends are flushed to the disk as well. A line that is
torn or damaged costs only itself: it is left out, which the run says (``frames.py``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import files
from nbledger.core.errors import LedgerError
from nbledger.core.owners import alive, host, owner, process_started
from nbledger.core.project import Project
from nbledger.keeper import frames

__all__ = [
    "Journal",
    "Reading",
    "abandoned",
    "alive",
    "first",
    "folder",
    "host",
    "leftovers",
    "load_state",
    "new_id",
    "now_ms",
    "owner",
    "pending",
    "process_started",
    "read",
    "remove",
    "save_state",
    "unwritable",
]

SCHEMA = 2
_MOST_WAITING = 64 << 20
Event = dict[str, Any]


def folder(project: Project) -> Path:
    return project.state / "journals"


def new_id() -> str:
    return uuid.uuid4().hex


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def unwritable(project: Project, err: OSError) -> LedgerError:
    """What is said where no run can be begun."""
    return LedgerError(
        f"cannot write the ledger in {project.state}: {err.strerror}",
        "free some disk space or make the folder writable",
    )


class Journal:
    """An open journal. Create with ``create``; ``write`` appends one event."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self._descriptor = os.open(path / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._waiting = bytearray(b"\n" if _ends_torn(path / "events.jsonl") else b"")
        self._lock = threading.RLock()
        files.share(self._descriptor)

    @classmethod
    def create(cls, project: Project, journal_id: str) -> Journal:
        """Make the run's folder; a full or read-only disk raises ``LedgerError``."""
        path = project.ensure_state() / "journals" / journal_id
        try:
            path.mkdir(mode=0o700, parents=True)
            (path / "blobs").mkdir(mode=0o700)
            return cls(path)
        except BaseException as err:
            shutil.rmtree(path, ignore_errors=True)
            if isinstance(err, OSError):
                raise unwritable(project, err) from err
            raise

    def write(self, kind: str, *, durable: bool = False, **fields: Any) -> None:
        """Append one event; ``durable`` waits until the disk has it."""
        fields = {"t": kind, "at": now_ms(), **fields}
        self.write_sealed(frames.sealed(fields, allow_nan=False))
        if durable:
            self.sync()

    def write_sealed(self, line: bytes) -> None:
        """Append a line of ``frames.seal``. What the disk has no room for waits in memory, in its order, until it has."""
        with self._lock:
            self._write_waiting()
            if len(self._waiting) > _MOST_WAITING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._waiting += line if self._waiting else line[self._write(line) :]

    def _write_waiting(self) -> None:
        while self._waiting and (written := self._write(self._waiting)):
            del self._waiting[:written]

    def _write(self, data: bytes | bytearray) -> int:
        """How much of it the disk has taken."""
        try:
            return os.write(self._descriptor, data)
        except OSError as err:
            if err.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return 0

    @property
    def waiting(self) -> int:
        """Bytes that wait in memory for room on the disk."""
        return len(self._waiting)

    def sync(self) -> None:
        """Wait until the disk has everything; ``OSError`` where it has no room."""
        with self._lock:
            self._write_waiting()
            if self._waiting:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._descriptor)

    def discard(self) -> None:
        """Take a journal away whose start could not be written."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def blob(self, name: str) -> Path:
        """Path in ``blobs/`` for a new file called ``name``, in a folder of its own so that names never collide."""
        place = self.path / "blobs" / uuid.uuid4().hex[:12]
        place.mkdir()
        return place / name

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def abandoned(path: Path, begun: Event) -> bool:
    """Whether the process that the run which ``begun`` starts belongs to is gone."""
    return not alive(begun["owner"], lambda: files.shared(path / "events.jsonl"))


def _ends_torn(events: Path) -> bool:
    """Whether the last line was cut off: the next must begin on a line of its own."""
    with open(events, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


@dataclass(frozen=True)
class Reading:
    """What a journal held from ``offset`` on: its events, the next offset, and how many lines were damaged."""

    events: tuple[Event, ...]
    offset: int
    damaged: int


def read(path: Path, offset: int = 0) -> Reading:
    """Read the complete lines from ``offset`` on; a torn last line is left for the next reading."""
    try:
        with open(path / "events.jsonl", "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return Reading((), offset, 0)
    whole, newline, _ = data.rpartition(b"\n")
    events: list[Event] = []
    damaged = 0
    for line in whole.split(b"\n") if newline else []:
        event = _event(line)
        if event is None:
            damaged += 1
        else:
            events.append(event)
    return Reading(tuple(events), offset + len(whole) + len(newline), damaged)


_NEEDED: dict[str, tuple[str, ...]] = {
    "start": ("id", "name", "experiment", "uri", "owner", "user", "schema"),
    "params": ("params",),
    "tags": ("tags",),
    "metric": ("k", "v", "s"),
    "snapshot": ("commit", "dirty", "left_out"),
    "artifact": ("blob", "place"),
    "model": ("blob", "name", "requirements", "paths"),
    "lineage": ("folder",),
    "environment": ("folder",),
    "notice": ("text",),
    "outcome": ("status", "error", "ended"),
    "end": ("status",),
}


def _event(line: bytes) -> Event | None:
    """The event of a line. One without a checksum, of an earlier version, must at least have the fields of its type."""
    event = frames.opened(line)
    if event is None or not isinstance(event.get("t"), str) or not isinstance(event.get("at"), int):
        return None
    return event if all(name in event for name in _NEEDED.get(event["t"], ())) else None


def first(path: Path) -> Event | None:
    """The start event of a journal; if its first line is damaged, as a publisher has noted it."""
    try:
        with open(path / "events.jsonl", "rb") as file:
            event = _event(file.readline())
    except OSError:
        return None
    if event is not None and event["t"] == "start":
        return event
    begun = load_state(path).get("begun")
    return begun if isinstance(begun, dict) else None


def load_state(path: Path) -> dict[str, Any]:
    """What ``save_state`` kept; nothing where it is missing or damaged."""
    try:
        return frames.opened((path / "state.json").read_bytes()) or {}
    except OSError:
        return {}


def save_state(path: Path, state: dict[str, Any]) -> None:
    files.write_atomic(path / "state.json", frames.sealed(state))


def pending(project: Project) -> Iterator[Path]:
    """Folders of the journals that are not yet published to their end, oldest first."""
    try:
        entries = [e for e in os.scandir(folder(project)) if not e.name.startswith(".")]
    except FileNotFoundError:
        return
    aged = []
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # another process published it meanwhile
            if entry.is_dir():
                aged.append((entry.stat().st_ctime_ns, entry.path))
    for _, path in sorted(aged):
        yield Path(path)


def leftovers(project: Project) -> Iterator[Path]:
    """What a crash leaves beside the journals: published ones half-removed, ones half-handed over, files half-written. Those
    of a process at work look the same: only old ones are anybody's to remove.
    """
    place = folder(project)
    yield from (*place.glob(".done-*"), *place.glob(".new-*"))
    yield from (*place.glob("*/.*.tmp"), *project.state.glob(".*.tmp"), *project.state.glob("mlflow.db.new*"))


def remove(path: Path) -> None:
    """Drop a published journal: renamed first, so that a crash half-way leaves nothing that looks like a run."""
    trash = path.with_name(f".done-{path.name}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
