"""Where the table's runs come from: a SQLite store's tables, or MLflow's API where the store is anything else.

Both hand over all runs in pages, the newest first, and then what changed since they were last asked.
"""

from __future__ import annotations

import datetime as dt
import os
import time
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nbledger.core import mlflow, mlflow_search, mlflow_tables, runrows
from nbledger.core.errors import ToolFailed
from nbledger.core.mlflow_tables import UPPER, Marks, Tables
from nbledger.core.project import Project
from nbledger.keeper.table_rows import ALIVE, Entry, carried, entry

PAGE = 1000
ARRIVED = "nbledger.arrived"
"""Tag of a run that was published long after its start: when, ISO 8601 UTC."""
_SHARE = {"facts": 2, "tags": 8}
"""A thorough look waits this many times as long as the last one took."""
_EXPLAINED = 5.0
"""Seconds that it may wait after a change that new rows explain: a run that logs metrics says nothing of other runs."""
_PAUSE, _RARELY = 2.0, 600.0
"""Seconds between two looks at a server, and between two thorough ones."""
_NEWEST = 100
_ARRIVALS = 30.0
"""Seconds between two looks for runs that are older than their arrival."""


@dataclass
class Look:
    """What changed: runs as they are now, ids of those that are gone, and whether more may be found a little later."""

    entries: list[Entry] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    owes: bool = False

    def __contains__(self, run: str) -> bool:
        return any(one.run_id == run for one in self.entries)

    def over(self, known: Mapping[str, Entry]) -> dict[str, int]:
        """{id: print} of what is known and was found meanwhile."""
        before = {run: one.print for run, one in known.items() if run not in self.gone}
        return before | {one.run_id: one.print for one in self.entries}


class Source(Protocol):
    def total(self) -> int | None:
        """How many runs there are; None where that is known only when all were read."""

    def pages(self) -> Iterator[list[Entry]]:
        """All runs, the newest first."""

    def look(self, known: Mapping[str, Entry], about: Collection[str]) -> Look:
        """What changed of ``known`` since the last look; ``about`` are ids that somebody changed."""

    def marks(self) -> str:
        """What ``resume`` needs in another process."""

    def resume(self, marks: str) -> bool:
        """Go on from what another process knew; False where that is worth nothing."""


def source(project: Project) -> Source:
    """The project's runs: all of an embedded store's, else those of its experiment."""
    only = None if project.embedded else project.experiment
    tables = mlflow_tables.opened(project.tracking_uri, only)
    if tables is None and project.embedded:
        mlflow.ensure_embedded(project)
        tables = mlflow_tables.opened(project.tracking_uri, only)
    return FromTables(project, only, tables) if tables is not None else FromServer(project)


class FromTables:
    """A SQLite store. New rows are found by their numbers at once; what was changed in place by a thorough look."""

    def __init__(self, project: Project, only: str | None, tables: Tables) -> None:
        self._uri, self._only, self._tables = project.tracking_uri, only, tables
        self._file = _inode(self._uri)
        self._version = -1
        self._marks = tables.marks()
        self._next = dict.fromkeys(_SHARE, 0.0)
        self._due = dict.fromkeys(_SHARE, 0.0)
        """When a thorough look of that kind is due; none is where the kind is missing."""

    def total(self) -> int | None:
        return self._tables.count()

    def pages(self) -> Iterator[list[Entry]]:
        self._version, self._marks = self._tables.version(), self._tables.marks()
        ids = self._tables.ids()
        for at in range(0, len(ids), PAGE):
            yield self._read(ids[at : at + PAGE])
        self._due.clear()

    def look(self, known: Mapping[str, Entry], about: Collection[str]) -> Look:
        if _inode(self._uri) != self._file:
            return self._anew(known)
        version = self._tables.version()
        found = Look()
        if version != self._version:
            if not self._tables.holds(self._marks):
                return self._anew(known)
            running = [one.run_id for one in known.values() if one.status in ALIVE]
            marks, ids = self._tables.grown(self._marks, running)
            self._add(found, known, ids)
            self._marks, self._version = marks, version
            wait = time.monotonic() + (_EXPLAINED if ids else 0)
            for part, earliest in self._next.items():
                due = max(earliest, wait)
                self._due[part] = min(self._due.get(part, due), due)
        self._add(found, known, [run for run in about if run not in found])
        for part, compare in (("facts", self._facts), ("tags", self._tags)):
            begun = time.monotonic()
            if part in self._due and begun >= self._due[part]:
                del self._due[part]
                compare(found, known)
                ended = time.monotonic()
                self._next[part] = ended + _SHARE[part] * (ended - begun)
        found.owes = bool(self._due)
        return found

    def _facts(self, found: Look, known: Mapping[str, Entry]) -> None:
        """Runs that were renamed, ended, deleted or brought back."""
        now = self._tables.facts()
        before = found.over(known)
        self._add(found, known, [run for run, made in now.items() if before.get(run, -1) & UPPER != made])
        found.gone |= known.keys() - now.keys()

    def _tags(self, found: Look, known: Mapping[str, Entry]) -> None:
        """Runs whose tags have other values."""
        now: dict[str, int] = {}
        for part in self._tables.tags():
            now |= part
        before = found.over(known)
        self._add(found, known, [run for run, made in before.items() if made & ~UPPER != now.get(run, 0)])

    def _add(self, found: Look, known: Mapping[str, Entry], ids: Sequence[str]) -> None:
        entries = self._read(ids)
        found.entries += entries
        found.gone |= (set(ids) & known.keys()) - {one.run_id for one in entries}

    def _anew(self, known: Mapping[str, Entry]) -> Look:
        """The store is another one, or was cut: everything is read again."""
        tables = mlflow_tables.opened(self._uri, self._only)
        if tables is None:
            raise ToolFailed("the run store is gone", "nbledger doctor says more")
        self._tables.close()
        self._tables, self._file = tables, _inode(self._uri)
        entries = [one for page in self.pages() for one in page]
        return Look(entries, known.keys() - {one.run_id for one in entries})

    def _read(self, ids: Sequence[str]) -> list[Entry]:
        return [entry(read.row, read.print) for read in self._tables.read(ids, carried)]

    def marks(self) -> str:
        return self._marks.as_text()

    def resume(self, marks: str) -> bool:
        kept = Marks.from_text(marks)
        if kept is None or not self._tables.holds(kept):
            return False
        self._marks = kept
        return True


class FromServer:
    """A tracking server, asked through MLflow: it is not told apart what changed, so the newest and the running are read."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._names: dict[str, str] = {}
        self._next = self._arrivals = 0.0
        self._thorough = time.monotonic() + _RARELY

    def total(self) -> int | None:
        return None

    def pages(self) -> Iterator[list[Entry]]:
        chosen = self._experiments()
        if chosen:
            for page in mlflow_search.pages(self._project, chosen, PAGE):
                yield self._entries(page)
        self._thorough = time.monotonic() + _RARELY

    def look(self, known: Mapping[str, Entry], about: Collection[str]) -> Look:
        now = time.monotonic()
        if now >= self._thorough:
            entries = [one for page in self.pages() for one in page]
            return Look(entries, known.keys() - {one.run_id for one in entries})
        found = Look()
        asked = set(about)
        if now >= self._next:
            found.entries = self._newest()
            asked |= {one.run_id for one in known.values() if one.status in ALIVE} - {e.run_id for e in found.entries}
            self._next = time.monotonic() + _PAUSE
        if now >= self._arrivals:
            found.entries += [one for one in self._arrived() if one.run_id not in found]
            self._arrivals = time.monotonic() + _ARRIVALS
        for run in asked:
            one = self._one(run)
            if one is not None:
                found.entries.append(one)
            elif run in known:
                found.gone.add(run)
        return found

    def _newest(self) -> list[Entry]:
        chosen = self._experiments()
        if not chosen:
            return []
        api, uri = mlflow.client(self._project), self._project.tracking_uri
        newest = mlflow.search(api, uri, chosen, "", ["attributes.start_time DESC"], _NEWEST)
        running = mlflow.search(api, uri, chosen, "attributes.status = 'RUNNING'", [], _NEWEST)
        return self._entries({run.info.run_id: run for run in [*newest, *running]}.values())

    def _arrived(self) -> list[Entry]:
        """Runs that were recorded while the server was away and that came within the last half hour or so: by their start
        they are among the old ones.
        """
        chosen = self._experiments()
        api, uri = mlflow.client(self._project), self._project.tracking_uri
        now = dt.datetime.now(dt.UTC)
        found: dict[str, object] = {}
        for hour in {(now + dt.timedelta(minutes=m)).strftime("%Y-%m-%dT%H") for m in (-30, 0, 5)} if chosen else ():
            runs = mlflow.search(api, uri, chosen, f"tags.`{ARRIVED}` LIKE '{hour}%'", [], PAGE)
            found |= {run.info.run_id: run for run in runs}
        return self._entries(found.values())

    def _one(self, run: str) -> Entry | None:
        api, uri = mlflow.client(self._project), self._project.tracking_uri
        found = mlflow.get_run(api, uri, run)
        if found is None or found.info.lifecycle_stage != "active" or str(found.info.experiment_id) not in self._names:
            return None
        return self._entries([found])[0]

    def _experiments(self) -> list[str]:
        api, uri = mlflow.client(self._project), self._project.tracking_uri
        named = mlflow.experiments(api, uri)
        self._names = {i: n for i, n in named.items() if n == self._project.experiment or self._project.embedded}
        return list(self._names)

    def _entries(self, runs: Collection[object]) -> list[Entry]:
        return [entry(runrows.row(run, self._names[runrows.experiment_of(run)], carried)) for run in runs]

    def marks(self) -> str:
        return "server"

    def resume(self, marks: str) -> bool:
        self._thorough = time.monotonic() + _PAUSE  # what was deleted or tagged meanwhile
        return marks == "server"


def _inode(uri: str) -> tuple[int, int] | None:
    try:
        found = os.stat(urllib.parse.unquote(uri.removeprefix("sqlite:///")))
    except OSError:
        return None
    return found.st_dev, found.st_ino
