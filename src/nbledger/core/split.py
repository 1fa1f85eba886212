"""Which stages a notebook could be: found from definition and use, and from the files that its cells read and wrote.

Cells that write files are sinks. What a sink needs is found through names, and through the random generators. Cheap cells may
be run by several stages, all others by one: sinks that need the same one are one stage, unless what passes between them
passes through a file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core import cells as session_cells
from nbledger.core import drawn, splitcells, stagecells, syntax
from nbledger.core.defuse import names_of
from nbledger.core.errors import Refused, UsageError
from nbledger.core.record import ExecutedCell
from nbledger.core.splitcells import Cell
from nbledger.core.wording import counted, some

_FOLDER = 10
"""So many files of a stage in one folder are declared as the folder."""
_WORDS = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"^\s*(?:(?:step|part|section)\s+)?[\dIVX]+(?:\.\d+)*[.):]?\s+", re.IGNORECASE)
_ARTICLES = frozenset(("the", "a", "an"))
_FEW = 4


@dataclass(frozen=True)
class Part:
    """A proposed stage. ``cells`` are the indexes of what it runs, ``own`` of those among them that will bear its name.
    Paths are relative to the project's root. ``values``: {parameter: value} of the cell tagged ``parameters``.
    """

    name: str
    own: tuple[int, ...]
    cells: tuple[int, ...]
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """The stages in the order in which they run. ``repeated``: cells that several stages run; ``idle``: cells of no stage, and
    why; ``notes``: what to know of it, one line each.
    """

    parts: tuple[Part, ...]
    repeated: tuple[int, ...] = ()
    idle: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What is known of the files: the project's own ``modules`` that were loaded, ``metrics``: files of numbers,
    ``before``: files that were there when the notebook began, and stage names that are ``taken``.
    """

    modules: tuple[str, ...] = ()
    metrics: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()


def propose(cells: Sequence[Cell], facts: Facts, names: Sequence[str] = ()) -> Proposal:
    """The stages of a notebook whose code cells are ``cells``. ``Refused`` where there is nothing that a stage could make, or
    a file is both input and output.
    """
    work = _Split(cells, facts)
    work.refuse_overwritten()
    groups = work.groups()
    parts = [work.part(group) for group in groups]
    called = _named(parts, names, cells, facts.taken)
    parts = [replace(part, name=name) for part, name in zip(parts, called, strict=True)]
    counts = [index for part in parts for index in part.cells]
    repeated = tuple(cell.index for cell in cells if counts.count(cell.index) > 1)
    idle = {cell.index: work.why_idle(at) for at, cell in enumerate(cells) if cell.index not in counts}
    return Proposal(tuple(parts), repeated, idle, tuple(work.notes(parts)))


class _Split:
    """The cells by their positions among the code cells, and what ties them."""

    def __init__(self, cells: Sequence[Cell], facts: Facts) -> None:
        self.cells, self.facts = cells, facts
        self.ran = [session_cells.Cell(bare(cell.source), None, 0.0, None) for cell in cells]
        self.executed = [ExecutedCell(cell.source, random=cell.seen.random) for cell in cells]
        self.sinks = [at for at, cell in enumerate(cells) if _inside(cell.seen.writes)]
        self.writers: dict[str, list[int]] = {}
        for at, cell in enumerate(cells):
            for path in _inside(cell.seen.writes):
                self.writers.setdefault(path, []).append(at)
        if not self.sinks:
            raise Refused(
                "no cell of it writes a file in the project, so there is nothing that a stage could make",
                "write what is worth keeping to files: models, tables, metrics",
            )
        self._needs: dict[int, frozenset[int]] = {}
        self.direct = {at: self._direct(at) for at in range(len(cells))}
        cheap = splitcells.cheap(cells)
        self.dear = frozenset(at for at, is_cheap in enumerate(cheap) if not is_cheap)
        self.bound = self._bound()

    def _direct(self, at: int) -> frozenset[int]:
        """What the cell needs by names, itself included."""
        return frozenset((*session_cells.slice_of(self.ran[: at + 1]), at))

    def needs(self, at: int) -> frozenset[int]:
        """All that it needs, the generators' states included."""
        if at not in self._needs:
            self._needs[at] = frozenset(drawn.linked(self.executed, sorted(self.direct[at])))
        return self._needs[at]

    def _bound(self) -> frozenset[int]:
        """Cells that only one stage may run: those that are not cheap, those that a stage would not take by names alone, and
        those that read a file in between two that write it.
        """
        found = set(self.dear)
        for sink in self.sinks:
            hidden = self.needs(sink) - self.direct[sink]  # what those need in turn is taken by names
            found |= {at for at in hidden if self.cells[at].seen.random}
        for path, writers in self.writers.items():
            found |= {at for at in range(writers[0], writers[-1]) if path in self.cells[at].seen.reads}
        return frozenset(found | set(self.sinks))

    def refuse_overwritten(self) -> None:
        """A file that was there, was read, and is written then: DVC takes none as dependency and output of one pipeline."""
        for path, writers in self.writers.items():
            before = [at for at in range(writers[0] + 1) if path in self.cells[at].seen.reads]
            if path in self.facts.before and before:
                raise Refused(
                    f"{path} is read by cell {self._told(before[0])} and overwritten by cell {self._told(writers[0])}: a "
                    "stage cannot have a file as dependency and output",
                    "write it under another name",
                )

    def _told(self, at: int) -> str:
        return told(self.cells[at])

    def groups(self) -> list[tuple[int, ...]]:
        """The sinks that are one stage each time, in the order in which the stages run."""
        leader = list(range(len(self.cells)))

        def find(at: int) -> int:
            while leader[at] != at:
                at = leader[at]
            return at

        def join(one: int, other: int) -> None:
            leader[find(other)] = find(one)

        for writers in self.writers.values():
            for at in writers[1:]:
                join(writers[0], at)
        for path, writers in self.writers.items():
            for at in range(writers[0], writers[-1]):
                if path in self.cells[at].seen.reads:
                    join(writers[0], at)
        for at in sorted(self.bound):
            needing = tuple(sink for sink in self.sinks if at in self.needs(sink))
            for sink in needing:
                join(at, sink)
        while True:
            made: dict[int, list[int]] = {}
            for sink in self.sinks:
                made.setdefault(find(sink), []).append(sink)
            groups = [tuple(group) for group in made.values()]
            order, circle = self._ordered(groups)
            if not circle:
                return order
            for group in circle[1:]:
                join(circle[0][0], group[0])

    def _ordered(self, groups: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """(the groups in order, those that wait for each other)."""
        reads = {group: self._reads(group) for group in groups}
        writes = {group: self._writes(group) for group in groups}
        left, order = sorted(groups), list[tuple[int, ...]]()
        while left:
            free = [g for g in left if not any(o != g and reads[g] & writes[o] for o in left)]
            if not free:
                return order, left
            order.append(free[0])
            left.remove(free[0])
        return order, []

    def _cells_of(self, group: Iterable[int]) -> list[int]:
        return sorted(frozenset().union(*(self.needs(sink) for sink in group)))

    def _reads(self, group: Sequence[int]) -> set[str]:
        """What the stage reads that it has not made itself by then."""
        found, made = set[str](), set[str]()
        for at in self._cells_of(group):
            found |= set(_inside(self.cells[at].seen.reads)) - made
            made |= set(self.cells[at].seen.writes)
        return found - self._writes(group)

    def _writes(self, group: Sequence[int]) -> set[str]:
        return {path for at in self._cells_of(group) for path in _inside(self.cells[at].seen.writes)}

    def part(self, group: Sequence[int]) -> Part:
        """The stage of these sinks, without a name."""
        positions = self._cells_of(group)
        own = [at for at in positions if at in self.bound]
        chosen = [self.cells[at] for at in positions]
        written = self._writes(group)
        metrics = sorted(written & self.facts.metrics)
        outs = self._folded(sorted(written - set(metrics)), group)
        imported = splitcells.imports(chosen)
        modules = [path for path in self.facts.modules if _imported_as(path) in imported]
        values: dict[str, Any] = {}
        used = splitcells.uses(cell for cell in chosen if not cell.parameters)
        for cell in chosen:
            if cell.parameters:
                values |= {name: value for name, value in splitcells.parameters(cell).items() if name in used}
        return Part(
            "",
            tuple(self.cells[at].index for at in own),
            tuple(cell.index for cell in chosen),
            tuple(dict.fromkeys((*sorted(self._reads(group)), *modules))),
            tuple(outs),
            tuple(metrics),
            values,
        )

    def _folded(self, paths: Sequence[str], group: Sequence[int]) -> list[str]:
        """Folders in place of many files that nobody else has a file in."""
        folders: dict[str, list[str]] = {}
        for path in paths:
            folders.setdefault(posixpath.dirname(path), []).append(path)
        others = {p for at, cell in enumerate(self.cells) if at not in self._cells_of(group) for p in cell.seen.writes}
        taken = self.facts.before | others | self.facts.metrics
        found: list[str] = []
        for folder, held in folders.items():
            alone = not any(path.startswith(folder + "/") for path in taken)
            found += [folder] if folder and len(held) >= _FOLDER and alone else held
        return sorted(found)

    def why_idle(self, at: int) -> str:
        source = self.cells[at].source
        return "only shows" if syntax.shape(source).effect in _NOTHING else "no file that is written needs it"

    def notes(self, parts: Sequence[Part]) -> Iterable[str]:
        """What keeps outputs in one stage, and what is not seen."""
        for part in parts:
            if len(part.outs) + len(part.metrics) > 1:
                own = [at for at in self.sinks if self.cells[at].index in part.own]
                yield from self._ties(part, own)
        outside = sorted({path for cell in self.cells for path in cell.seen.writes if path.startswith("/")})
        if outside:
            yield f"{some(outside, _FEW)}: outside of the project, so no output of a stage"
        owners = {index for part in parts for index in part.own}
        for cell in self.cells:
            if cell.seen.outside and cell.index in owners:
                yield f"cell {told(cell)} uses what cannot be seen into: does it read more than is listed?"

    def _ties(self, part: Part, sinks: Sequence[int]) -> Iterable[str]:
        """Why these sinks are one stage: the last cell that both need and only one stage may run; cells that write the same
        file; random numbers that one goes on with where another left off.
        """
        for at in sorted(self.dear, reverse=True):
            needing = [sink for sink in sinks if at in self.direct[sink]]
            if len(needing) > 1:
                made = sorted({path for sink in needing for path in _inside(self.cells[sink].seen.writes)})
                passed = sorted(self._passed(at, needing))
                what = f", which sets {some(passed, _FEW)}" if passed else ""
                imports = syntax.imported_as(self.cells[at].source)
                way = "write that to a file, and read it where it is needed"
                way = "move its import to a cell of imports" if passed and set(passed) <= imports else way
                yield f"{part.name} makes {some(made, _FEW)}: they need cell {self._told(at)}{what}. To make two stages of it, {way}"
                break
        for path, writers in self.writers.items():
            if len(writers) > 1 and writers[0] in sinks:
                both = " and ".join(self._told(at) for at in writers[:2])
                yield f"{part.name}: {path} is written by cells {both}, so they are one stage"
                break
        for sink in sinks:
            hidden = self.needs(sink) - self.direct[sink]
            others = [at for at in hidden if any(at in self.needs(other) for other in sinks if other != sink)]
            if others:
                yield (
                    f"{part.name}: cell {self._told(sink)} goes on with the random numbers that cell {self._told(max(others))}"
                    " left: generators of their own would make them independent"
                )
                break

    def _passed(self, at: int, needing: Sequence[int]) -> set[str]:
        names = names_of(self.cells[at].source)
        later = {i for sink in needing for i in self.direct[sink] if i > at}
        return set(names.binds | names.may_bind) & splitcells.uses(self.cells[i] for i in later)


_NOTHING = {syntax.shape("").effect, syntax.shape("pass").effect}


def bare(source: str) -> str:
    """A cell without a ``%%stage`` line of its own."""
    return source if stagecells.header(source) is None else source.lstrip("\n").partition("\n")[2]


def told(cell: Cell) -> str:
    """A cell for people: its place in the notebook and its first line."""
    title = cell.title
    return f"{cell.index + 1} ({title if len(title) <= 40 else title[:39] + '…'})"


def _inside(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if not path.startswith(("/", "../"))]


def _imported_as(path: str) -> str:
    folder, name = posixpath.split(path)
    return posixpath.basename(folder) if name == "__init__.py" else name.removesuffix(".py")


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────
def _named(parts: Sequence[Part], given: Sequence[str], cells: Sequence[Cell], taken: Collection[str]) -> list[str]:
    """The given names, or what the headings say, or the outputs."""
    if given:
        if len(given) != len(parts):
            many = counted(len(parts), "stage")
            raise UsageError(f"--names has {len(given)} names for {many}", "without it you see the stages")
        wrong = [name for name in given if slug(name, keep=True) != name or given.count(name) > 1]
        if wrong:
            raise UsageError(f"{wrong[0]!r} cannot be a stage's name", "letters, digits, - and _, each name once")
        return list(given)
    headings = {cell.index: slug(cell.heading) for cell in cells if _inside(cell.seen.writes)}
    said = [next((headings[index] for index in part.own if index in headings), "") for part in parts]
    called: list[str] = []
    for part, heading in zip(parts, said, strict=True):
        made = next(iter((*part.outs, *part.metrics)), "stage")
        stem = slug(posixpath.basename(made).partition(".")[0]) or "stage"
        name = heading if heading and said.count(heading) == 1 else stem
        free = name
        number = 2
        while free in called or free in taken:
            free, number = f"{name}-{number}", number + 1
        called.append(free)
    return called


def slug(text: str, *, keep: bool = False) -> str:
    """Words of a heading as a stage may be called: ``## 2. Train the model`` is ``train-the-model``."""
    if keep:
        return "".join(char for char in text if (char.isalnum() or char in "-_")).lstrip("-")
    plain = _NUMBERED.sub("", re.sub(r"[`*_]|\[([^]]*)\]\([^)]*\)", r"\1", text))
    words = [word.lower() for word in _WORDS.findall(plain)]
    return "-".join(([word for word in words if word not in _ARTICLES] or words)[:_FEW])[:40]
