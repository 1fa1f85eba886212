"""What each executed cell did besides its value: files, programs, hosts, chance. A window per cell, cheap enough to be
open for every cell, so that a run knows what the cells before it have read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import cells as session_cells
from nbledger.core import lineage, modeluse, observe, randomness
from nbledger.core import project as projects
from nbledger.core.cells import Cell
from nbledger.core.errors import LedgerError
from nbledger.core.files import Signature
from nbledger.core.importwatch import when_imported
from nbledger.core.modeluse import ModelUse
from nbledger.core.project import Project
from nbledger.core.sieve import Sieve

_MOST_READS = 20_000  # files remembered of one cell
_MOST_FILES = 200_000  # of all cells together
_MOST_SOURCE = 100_000  # characters of a cell that are looked through for generators


@dataclass(frozen=True)
class Trace:
    """One execution of a cell. ``reads`` maps absolute paths to signatures at the first read; ``random`` as in
    ``randomness.moved``; ``unseeded``: generators made without a seed, in words; ``beyond``: files read after the limit;
    ``models``: those loaded through MLflow.
    """

    reads: Mapping[str, Signature] = field(default_factory=dict)
    writes: AbstractSet[str] = frozenset()
    children: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    random: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unseeded: tuple[str, ...] = ()
    beyond: int = 0
    models: tuple[ModelUse, ...] = ()


class Tracer:
    """Opens and closes the window of each cell of one kernel. Nothing here raises an ``Exception``."""

    def __init__(self) -> None:
        self._observer: observe.Observer | None = None
        self._states: dict[str, str] = {}
        self._context = randomness.Context()
        self._place: tuple[str, Project] | None = None
        for module in ("numpy.random", "torch"):
            when_imported(module, lambda _module: self._loaded())

    def begin(self) -> None:
        """Open the window of a cell; one left open is dropped."""
        if self._observer is not None:
            self._observer.close()
            self._observer = None
        with observe.unwatched():
            self._states = randomness.states()
            project = self._project()
            if project is not None:
                self._observer = observe.Observer(project, most=_MOST_READS).start()

    def end(self, source: str) -> Trace:
        """Close it; what the cell with this source did."""
        observer, self._observer = self._observer, None
        seen = observer.close() if observer is not None else observe.Observation()
        with observe.unwatched():
            unseeded, self._context = self._unseeded(source)
        return self._trace(seen, unseeded)

    def so_far(self, source: str) -> Trace:
        """What the cell has done whose window is open."""
        seen = self._observer.seen() if self._observer is not None else observe.Observation()
        with observe.unwatched():
            return self._trace(seen, self._unseeded(source)[0])

    def _trace(self, seen: observe.Observation, unseeded: tuple[str, ...]) -> Trace:
        with observe.unwatched():
            moved = randomness.moved(self._states, randomness.states())
        hosts = dict.fromkeys((*seen.hosts, *filter(None, map(observe.host_of, seen.remote))))
        models, children = tuple(seen.models), tuple(seen.children)
        return Trace(seen.reads, frozenset(seen.writes), children, tuple(hosts), moved, unseeded, seen.beyond, models)

    def refresh(self) -> None:
        """Take the present states of the generators as those before the cell: the ledger itself has just seeded them."""
        self._states = randomness.states()

    def _loaded(self) -> None:
        """A library with a generator was imported by the cell: its state now is its state before."""
        self._states = {**randomness.states(), **self._states}

    def _unseeded(self, source: str) -> tuple[tuple[str, ...], randomness.Context]:
        if len(source) > _MOST_SOURCE:
            return (), self._context
        try:
            found, context = randomness.scan(source, self._context)
        except Exception:  # a construct that the reader of sources does not know must not cost the trace
            return (), self._context
        return randomness.unseeded(found), context

    def _project(self) -> Project | None:
        try:
            here = os.getcwd()
            if self._place is None or self._place[0] != here:
                self._place = (here, projects.find(Path(here)))
        except (LedgerError, OSError):
            return None  # said by the first tracked cell
        return self._place[1]


def bound(traces: list[Trace], most: int = _MOST_FILES) -> None:
    """Keep a long session from growing without end: of the traces but the last, those with the most files forget them
    (and say how many they were) until no more than ``most`` are remembered.
    """
    total = sum(len(trace.reads) for trace in traces)
    while total > most:
        index = max(range(len(traces) - 1), key=lambda i: len(traces[i].reads), default=-1)
        if index < 0 or not traces[index].reads:
            return
        count = len(traces[index].reads)
        traces[index] = replace(traces[index], reads={}, beyond=traces[index].beyond + count)
        total -= count


def needed(cells: Sequence[Cell], traces: Sequence[Trace], first: int | None = None) -> list[int]:
    """Indexes of the cells that the last one depends on, itself included, ascending: through names, and through files
    that an earlier cell wrote. With ``first``, of all cells from there to the last.
    """
    if not cells:
        return []
    last = len(cells) - 1
    pending = list(range(first if first is not None else last, last + 1)) or [last]
    found: set[int] = set()
    while pending:
        root = pending.pop()
        if root in found:
            continue
        chain = {*session_cells.slice_of(cells[: root + 1]), root} - found
        found |= chain
        for index in chain:
            pending.extend(_writers(traces, index))
    return sorted(found)


def _writers(traces: Sequence[Trace], reader: int) -> Iterator[int]:
    """The cells before ``reader`` that were the last to write a file that it read."""
    left: AbstractSet[str] = traces[reader].reads.keys()
    for index in range(reader - 1, -1, -1):
        if not left.isdisjoint(traces[index].writes):
            yield index
            left = left - traces[index].writes


def carried(
    project: Project,
    traces: Sequence[Trace],
    indexes: Sequence[int],
    sieve: Sieve,
    code: AbstractSet[str],
    own: int | None = None,
) -> dict[str, Signature]:
    """Files that the cells at ``indexes`` read: {absolute path: signature when it was read}. Of two reads of a file, the
    later counts.

    What the run's own cells (those from ``own``, the last one alone if it is not given) had written before is no input,
    and what earlier ones had is one if it still lies in the project: scratch files are not.
    """
    found: dict[str, Signature] = {}
    written: set[str] = set()
    wanted = set(indexes)
    first = len(traces) - 1 if own is None else own
    for index, trace in enumerate(traces):
        if index in wanted:
            found |= {p: s for p, s in trace.reads.items() if p not in written}
        if index >= first:
            written |= trace.writes
    scratch = {
        p for p in made(traces, first) & found.keys() if project.relative(Path(p)) is None or not os.path.exists(p)
    }
    return {p: s for p, s in found.items() if p not in code and p not in scratch and sieve.keeps(p)}


def made(traces: Sequence[Trace], own: int) -> set[str]:
    """What the session had written before the run's own cells, which begin at ``own``."""
    return set().union(*(trace.writes for trace in traces[:own]))


def models(traces: Sequence[Trace], indexes: Sequence[int], seen: Iterable[ModelUse]) -> tuple[ModelUse, ...]:
    """The models that the cells at ``indexes`` loaded, with those ``seen`` by the run itself."""
    return modeluse.distinct([*(use for index in indexes for use in traces[index].models), *seen])


def unseen(traces: Sequence[Trace], indexes: Sequence[int], known: Sequence[str], beyond: int) -> list[str]:
    """Programs and hosts of the cells at ``indexes`` that are not ``known``, and how many files were too many."""
    chosen = [traces[i] for i in indexes]
    named = dict.fromkeys(name for trace in chosen for name in (*trace.children, *trace.hosts))
    told = {*known, *map(observe.host_of, known)}
    more = beyond + sum(trace.beyond for trace in chosen[:-1])
    return [*(n for n in named if n not in told), *([f"{more} more files"] if more else ())]


def fact(project: Project, sieve: Sieve, code: AbstractSet[str], cell: Cell, trace: Trace) -> dict[str, Any]:
    """A cell's entry of ``session.json``; paths as those of file records."""

    def shown(paths: AbstractSet[str]) -> list[str]:
        kept = (p for p in paths if p not in code and sieve.keeps(p))
        return sorted(dict.fromkeys(lineage.shown(project, p) for p in kept))

    return {
        "id": cell.cell_id,
        "ok": cell.ok,
        "reads": shown(trace.reads.keys()),
        "writes": shown(trace.writes),
        "random": {name: list(pair) for name, pair in trace.random.items()},
        "unseeded": list(trace.unseeded),
        "remote": list(trace.hosts),
        "children": list(trace.children),
    }


def saved(cells: Sequence[Cell], notebook: Path | None) -> list[bool | None]:
    """For each cell, whether the notebook on disk now holds its source; None where there is no notebook."""
    disk = session_cells.read_notebook(notebook) if notebook else None
    if disk is None:
        return [None] * len(cells)
    sources = {session_cells.normal(cell.source) for cell in disk}
    return [session_cells.normal(cell.source) in sources for cell in cells]
