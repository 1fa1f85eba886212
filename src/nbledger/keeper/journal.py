"""The journal of a run: an append-only file of events, written before anything else happens to them.

One folder a run under ``.nbledger/journals/<journal id>/``:

``events.jsonl``  one JSON object a line, ``t`` its type, ``at`` milliseconds since the epoch
``blobs/``        files that belong to the run, as they were when the event was written
``state.json``    how far a publisher has come (written by the publisher alone)

A line is one ``write`` call on a file opened for appending, so that lines of several threads never mix and a
killed kernel loses nothing it was told was written; starts and ends are flushed to the disk as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
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

__all__ = [
    "Journal",
    "Reading",
    "alive",
    "first",
    "folder",
    "host",
    "load_state",
    "new_id",
    "now_ms",
    "owner",
    "pending",
    "process_started",
    "read",
    "remove",
    "save_state",
]

SCHEMA = 2
Event = dict[str, Any]


def folder(project: Project) -> Path:
    return project.state / "journals"


def new_id() -> str:
    return uuid.uuid4().hex


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """An open journal. Create with ``create``; ``write`` appends one event."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self._descriptor = os.open(path / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @classmethod
    def create(cls, project: Project, journal_id: str) -> Journal:
        """Make the run's folder; a full or read-only disk raises ``LedgerError``."""
        path = project.ensure_state() / "journals" / journal_id
        try:
            path.mkdir(mode=0o700, parents=True)
            (path / "blobs").mkdir(mode=0o700)
            return cls(path)
        except OSError as err:
            shutil.rmtree(path, ignore_errors=True)
            raise LedgerError(
                f"cannot write the ledger in {project.state}: {err.strerror}",
                "free some disk space or make the folder writable",
            ) from err

    def write(self, kind: str, *, durable: bool = False, **fields: Any) -> None:
        """Append one event; ``durable`` waits until the disk has it."""
        line = json.dumps({"t": kind, "at": now_ms(), **fields}, separators=(",", ":"), allow_nan=False)
        self.write_line(line.encode() + b"\n")
        if durable:
            os.fsync(self._descriptor)

    def write_line(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(28, "No space left on device")

    def blob(self, name: str) -> Path:
        """Path in ``blobs/`` for a new file called ``name``, in a folder of its own so that names never collide."""
        place = self.path / "blobs" / uuid.uuid4().hex[:12]
        place.mkdir()
        return place / name

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True)
class Reading:
    """What a journal held from ``offset`` on: its events, the next offset, and lines that could not be read."""

    events: tuple[Event, ...]
    offset: int
    unreadable: int


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
    bad = 0
    for line in whole.split(b"\n") if newline else []:
        try:
            event = json.loads(line)
            events.append({**event, "t": str(event["t"])})
        except (ValueError, KeyError, TypeError):
            bad += 1
    return Reading(tuple(events), offset + len(whole) + len(newline), bad)


def first(path: Path) -> Event | None:
    """The start event of a journal, if its first line is whole."""
    try:
        with open(path / "events.jsonl", "rb") as file:
            event = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return event if isinstance(event, dict) and event.get("t") == "start" else None


def load_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "state.json").read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def save_state(path: Path, state: dict[str, Any]) -> None:
    files.write_atomic(path / "state.json", json.dumps(state))


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


def remove(path: Path) -> None:
    """Drop a published journal: renamed first, so that a crash half-way leaves nothing that looks like a run."""
    trash = path.with_name(f".done-{path.name}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
