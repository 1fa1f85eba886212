"""The table of runs in the keeper's memory: all runs of the project's store as JSON, and at which version each changed.

It is filled page by page in the background, kept on disk for the next keeper, and brought up to date whenever it is asked
and, while somebody watches, whenever the store changes.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Collection, Iterable

from nbledger.core.errors import LedgerError, Unreachable
from nbledger.core.project import Project
from nbledger.keeper import changes, overview
from nbledger.keeper.table_disk import Disk
from nbledger.keeper.table_rows import Entry, entry
from nbledger.keeper.table_source import Source, source

MOST = 20_000
"""Runs that an answer holds."""
_REMEMBERED = 5000  # ids of runs that are gone
_WRITE = 10.0  # seconds between two writings to the disk
_PATIENCE = 5.0  # seconds for which a store that did not answer is not asked again
log = logging.getLogger("nbledger.keeper")
_indexes: dict[tuple[str, str], Index] = {}
_making = threading.Lock()


class Answer:
    """What one asker gets: rows as JSON texts, the newest first."""

    def __init__(self, version: int, total: int, rows: list[str], removed: list[str], *, reset: bool) -> None:
        self.version, self.total, self.rows, self.removed, self.reset = version, total, rows, removed, reset


class Index:
    """All runs of one store (and experiment). ``reachable``: whether the store answered the last time."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._disk = Disk(project)
        self._source: Source | None = None
        self._entries: dict[str, Entry] = {}
        self._removed: dict[str, int] = {}
        self._waiting: set[str] = set()
        self._about: set[str] = set()
        self._oldest = self._version = changes.next_version()
        self._started = self._complete = False
        self.reachable = True
        self._away_until = 0.0
        self.owes = False
        """Whether a look later may find more."""
        self._unwritten: set[str] | None = None
        """Ids that the disk does not know as they are; None: all."""
        self._written = 0.0
        self._asking = threading.Lock()
        self._state = threading.Lock()

    def answer(self, limit: int = MOST) -> Answer:
        """All runs, at most ``limit``."""
        self.refresh()
        with self._state:
            return self._everything(min(limit, MOST))

    def changed_since(self, version: int) -> Answer:
        """The runs that changed after an answer of that version; all of them where it is none of this index's."""
        self.refresh()
        with self._state:
            if not self._oldest <= version <= self._version:
                return self._everything(MOST)
            shown = self._newest(MOST) if len(self._entries) > MOST else self._entries.values()
            rows = [one for one in shown if one.version > version]
            gone = [run for run, at in self._removed.items() if at > version]
            return Answer(self._version, self._total(), [one.text for one in _sorted(rows)], gone, reset=False)

    def _everything(self, limit: int) -> Answer:
        rows = [one.text for one in self._newest(limit)]
        return Answer(self._version, self._total(), rows, [], reset=True)

    def _newest(self, limit: int) -> list[Entry]:
        entries = list(self._entries.values())
        return _sorted(entries) if len(entries) <= limit else heapq.nlargest(limit, entries, key=lambda one: one.start)

    def _total(self) -> int:
        with contextlib.suppress(LedgerError):
            if not self._complete and self._source is not None and (counted := self._source.total()) is not None:
                return max(counted, len(self._entries))
        return len(self._entries)

    def about(self, run: str) -> None:
        """Somebody changed this run."""
        with self._state:
            self._about.add(run)

    def version_of(self, run: str) -> int:
        """At which version the run changed last; 0 for one that is not here."""
        with self._state:
            return self._entries[run].version if run in self._entries else 0

    def status_of(self, run: str) -> str | None:
        with self._state:
            return self._entries[run].status if run in self._entries else None

    def text_of(self, run: str) -> str | None:
        """The run's row as JSON, also while the store is away."""
        with self._state:
            return self._entries[run].text if run in self._entries else None

    def refresh(self) -> bool:
        """Bring the table up to date; whether anything changed. Whoever watches is told."""
        before = self._version
        with self._asking:
            first = not self._started
            try:
                if time.monotonic() >= self._away_until:
                    if first:
                        self._begin()
                    else:
                        self._look()
                    self.reachable = True
            except Unreachable:
                self.reachable = False
                self._away_until = time.monotonic() + _PATIENCE
            self._show_waiting([] if self.reachable else overview.waiting(self._project))
            self._write()
            changed = self._version != before
        if changed and not first:
            changes.tell(self._project, "runs")
        return changed

    def _begin(self) -> None:
        """The first page at once, the others in the background (where this is a keeper), or all that the disk knows."""
        if self._source is None:
            kept = self._disk.load() if not self._entries else None
            if kept is not None:
                self._apply(kept[0], ())  # shown even if the store does not answer
                self._unwritten = set()
            self._source = source(self._project)
            if kept is not None and self._source.resume(kept[1]):
                self._started = self._complete = True
                self._look()
                return
        pages = self._source.pages()
        first = next(pages, [])
        if self._entries:  # what the disk knew is of no use: nothing of it may stay
            everything = [*first, *(one for page in pages for one in page)]
            self._apply(everything, self._entries.keys() - {one.run_id for one in everything})
            self._started = self._complete = True
            return
        self._apply(first, ())
        self._started = True
        if changes.serving():
            threading.Thread(target=self._go_on, args=(pages,), name="table", daemon=True).start()
        else:
            self._apply((one for page in pages for one in page), ())
            self._complete = True

    def _go_on(self, pages: Iterable[list[Entry]]) -> None:
        try:
            for page in pages:
                self._apply(page, ())
                changes.tell(self._project, "runs")
        except Exception:
            log.exception("the table of runs is not read to its end")
            with self._asking:
                self._started = False  # the next question begins anew
                self._source = None
                return
        with self._asking:
            self._complete = True
        self.refresh()

    def _look(self) -> None:
        if not self._complete or self._source is None:
            return
        with self._state:
            known = {run: one for run, one in self._entries.items() if run not in self._waiting}
            about, self._about = self._about, set()
        try:
            found = self._source.look(known, about)
        except LedgerError:
            with self._state:
                self._about |= about
            raise
        self.owes = found.owes
        self._apply(found.entries, found.gone)

    def _apply(self, entries: Iterable[Entry], gone: Collection[str]) -> None:
        """Take these in, under a new version if they are news."""
        entries = list(entries)
        with self._state:
            fresh = [one for one in entries if not _same(self._entries.get(one.run_id), one)]
            lost = [run for run in gone if run in self._entries]
            if not fresh and not lost:
                return
            version = changes.next_version()
            for one in fresh:
                self._entries[one.run_id] = Entry(one.run_id, one.start, one.status, one.print, one.text, version)
                self._removed.pop(one.run_id, None)
            for run in lost:
                del self._entries[run]
                self._removed[run] = version
            self._forget_some()
            self._version = version
            if self._unwritten is not None:
                self._unwritten |= {*(one.run_id for one in fresh), *lost}

    def _forget_some(self) -> None:
        """Of runs that are gone only the last are remembered; an older version cannot be answered any more."""
        while len(self._removed) > _REMEMBERED:
            first = next(iter(self._removed))
            self._oldest = max(self._oldest, self._removed.pop(first))

    def _show_waiting(self, rows: list[overview.Waiting]) -> None:
        """Runs that only journals know, while the store is away; what it knows of them comes back with it."""
        if not rows and not self._waiting:
            return
        now = {row.run_id: entry(row) for row in (one.as_known() for one in rows)}
        self._apply(now.values(), self._waiting - now.keys())
        with self._state:
            if not now:
                self._about |= self._waiting
            self._waiting = set(now)

    def _write(self, *, at_once: bool = False) -> None:
        if not self._complete or self._source is None or self._unwritten == set():
            return
        if not at_once and time.monotonic() - self._written < _WRITE:
            return
        with self._state:
            unwritten, self._unwritten = self._unwritten, set()
            marks = self._source.marks()
            runs = self._entries.keys() if unwritten is None else unwritten & self._entries.keys()
            rows = [self._entries[run] for run in runs if run not in self._waiting]
            gone = [] if unwritten is None else [run for run in unwritten if run not in self._entries]
        self._disk.save(rows, gone, marks, whole=unwritten is None)
        self._written = time.monotonic()

    def close(self) -> None:
        """The keeper stops: what the disk does not know yet is written."""
        if self._asking.acquire(timeout=2):
            try:
                self._write(at_once=True)
            finally:
                self._asking.release()


def of(project: Project) -> Index:
    """The index of the project's store, made when it is first asked for."""
    key = (project.tracking_uri, "" if project.embedded else project.experiment)
    with _making:
        if key not in _indexes:
            _indexes[key] = Index(project)
        return _indexes[key]


def known(project: Project) -> Index | None:
    """The index, if anybody has asked for it."""
    return _indexes.get((project.tracking_uri, "" if project.embedded else project.experiment))


def touched(project: Project, run: str) -> None:
    """Somebody changed a run: the index reads it again when it is next looked at."""
    index = known(project)
    if index is not None:
        index.about(run)


def close() -> None:
    for index in list(_indexes.values()):
        index.close()


def _same(old: Entry | None, new: Entry) -> bool:
    return old is not None and old.print == new.print and old.text == new.text


def _sorted(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: one.start, reverse=True)
