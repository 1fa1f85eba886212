"""The table's memory on disk, so that a keeper that was just started has it at once. It can be made anew at any time."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from nbledger.core.project import Project
from nbledger.keeper.table_rows import Entry

_FORMAT = 2
log = logging.getLogger("nbledger.keeper")


class Disk:
    """One file for each store and experiment."""

    def __init__(self, project: Project) -> None:
        scope = "" if project.embedded else f"{project.tracking_uri}\0{project.experiment}"
        self._folder = project.state / "table"
        self._path = self._folder / f"{hashlib.sha256(scope.encode()).hexdigest()[:16]}.db"

    def load(self) -> tuple[list[Entry], str] | None:
        """The entries and the source's marks of when they were written; None where there is nothing to go by."""
        if not self._path.is_file():
            return None
        try:
            with self._opened() as store:
                made, marks = store.execute("select format, marks from about").fetchone()
                if made != _FORMAT:
                    raise sqlite3.DatabaseError("another format")
                rows = store.execute("select run_id, start, status, print, text from runs").fetchall()
                return [Entry(*row) for row in rows], str(marks)
        except (sqlite3.Error, TypeError) as err:
            log.info("the table's memory is made anew: %s", err)
            self.forget()
            return None

    def save(self, changed: Iterable[Entry], gone: Collection[str], marks: str, *, whole: bool) -> None:
        """Write what changed (``whole``: these are all) and the marks that belong to it."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._opened() as store:
                store.execute("create table if not exists about (format, marks)")
                store.execute("create table if not exists runs (run_id text primary key, start, status, print, text)")
                if whole:
                    store.execute("delete from runs")
                store.executemany("delete from runs where run_id = ?", [(run,) for run in gone])
                store.executemany(
                    "insert or replace into runs values (?, ?, ?, ?, ?)",
                    ((one.run_id, one.start, one.status, one.print, one.text) for one in changed),
                )
                store.execute("delete from about")
                store.execute("insert into about values (?, ?)", (_FORMAT, marks))
        except (sqlite3.Error, OSError) as err:
            log.info("the table's memory is not written: %s", err)
            self.forget()

    def forget(self) -> None:
        for leftover in (self._path, Path(f"{self._path}-journal")):
            with contextlib.suppress(OSError):
                leftover.unlink()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction; what the disk makes of a crash is found out when it is read."""
        store = sqlite3.connect(self._path, timeout=2)
        try:
            store.execute("PRAGMA synchronous = OFF")
            with store:
                yield store
        finally:
            store.close()
