"""Cells that two runs executed in another order, twice, or not at all: what is no edit, and still another computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbledger.core import codediff, defuse, drawn, syntax
from nbledger.core.cells import INJECTED, DiskCell
from nbledger.core.differences import OrderChange
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.statements import statements

_MOST = 200
_OWN = "the run's own"
_GONE = "was deleted"  # in the words of the record
BUILDS = "its result builds on what it left before"
DRAWS = "it goes on with the random numbers where it left off"
MAY_HAVE_USED = "may have used"
MAY_BUILD = "its result may build on what it left before"


@dataclass(frozen=True)
class Session:
    """What one side executed: its slice, all of it, and its notebook as it was saved then (None: unknown): the sources of
    its cells (``book``), those of them that stand above the run's own (``above``), and the cells' ids.
    """

    title: str
    needed: tuple[ExecutedCell, ...]
    every: tuple[ExecutedCell, ...]
    book: frozenset[str] | None
    ids: frozenset[str] = frozenset()
    above: frozenset[str] = frozenset()
    order_detail: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def session(record: Record, title: str, needed: Sequence[int], book: Sequence[DiskCell] | None) -> Session:
    return Session(
        title,
        tuple(record.cells[i] for i in needed if i < len(record.cells)),
        record.cells,
        None if book is None else frozenset(_key(cell.source) for cell in book),
        frozenset() if record.batch else frozenset(cell.cell_id for cell in book or () if cell.cell_id),
        frozenset(_key(cell.source) for cell in _above(record, book or ())),
        record.order_detail,
        record.hidden,
    )


def _above(record: Record, book: Sequence[DiskCell]) -> Sequence[DiskCell]:
    """The notebook's cells above the run's own: what a run from the top would have executed before it. All of them
    where it is not found, and for the run of a whole notebook.
    """
    if record.batch or not record.cells:
        return book
    own = record.cells[-1]
    key = _key(own.source)
    places = [i for i, c in enumerate(book) if c.cell_id is not None and c.cell_id == own.cell_id]
    places = places or [i for i, c in enumerate(book) if _key(c.source) == key]
    return book[: places[-1]] if places else book


def _key(source: str) -> str:
    return syntax.shape(source).exact


def split(a: Session, b: Session) -> tuple[list[OrderChange], list[ExecutedCell], list[ExecutedCell]]:
    """(what differs in order, the cells of either slice that order does not explain). The runs' own cells stand for each
    other, wherever in the notebook they are.
    """
    a, b = _own_together(a, b)
    keys = [[_key(c.source) for c in side.needed] for side in (a, b)]
    if keys[0] == keys[1]:
        return [], list(a.needed), list(b.needed)
    extra_a, extra_b = _extra(keys[0], keys[1]), _extra(keys[1], keys[0])
    found: list[OrderChange] = []
    said_b = {
        i: x for i in extra_b if i < len(b.needed) - 1 and (x := _explained(b, a, i, [a.needed[j] for j in extra_a]))
    }
    said_a = {
        i: x for i in extra_a if i < len(a.needed) - 1 and (x := _explained(a, b, i, [b.needed[j] for j in extra_b]))
    }
    # A cell that was replaced by an edited one is no matter of order, though both sides may have run it.
    for mine, theirs, said, others in ((a, b, said_a, said_b), (b, a, said_b, said_a)):
        edited = [
            c for j, c in enumerate(theirs.needed) if j in (extra_b if mine is a else extra_a) and j not in others
        ]
        for i in list(said):
            if any(_binds(mine.needed[i]) & _binds(c) for c in edited) and not _deleted(mine, mine.needed[i]):
                del said[i]
    found += dict.fromkeys([*said_b.values(), *said_a.values()])
    rest_a = [c for i, c in enumerate(a.needed) if i not in said_a and not (i in extra_a and _followed(a, b, i))]
    rest_b = [c for i, c in enumerate(b.needed) if i not in said_b and not (i in extra_b and _followed(b, a, i))]
    if found:
        replaced = [c for c in rest_a if any(_binds(c) & _binds(b.needed[i]) for i in said_b)]
        gone = {id(c) for c in replaced if _key(c.source) not in keys[1]}
        rest_a = [c for c in rest_a if id(c) not in gone]
        replaced = [c for c in rest_b if any(_binds(c) & _binds(a.needed[i]) for i in said_a)]
        gone = {id(c) for c in replaced if _key(c.source) not in keys[0]}
        rest_b = [c for c in rest_b if id(c) not in gone]
    return found + _permuted(a, b, rest_a, rest_b), *_aligned(rest_a, rest_b)


def _own_together(a: Session, b: Session) -> tuple[Session, Session]:
    """Both sessions with one id for the runs' own cells: two tracked cells of one notebook are two ways to do one thing."""
    if not a.needed or not b.needed or a.needed[-1].cell_id == b.needed[-1].cell_id:
        return a, b
    return tuple(replace(s, needed=(*s.needed[:-1], replace(s.needed[-1], cell_id=_OWN))) for s in (a, b))  # type: ignore[return-value]


def _extra(mine: Sequence[str], theirs: Sequence[str]) -> list[int]:
    """Indexes of what this side has more often than the other, the earliest executions first."""
    over = Counter(mine) - Counter(theirs)
    found = []
    for index, key in enumerate(mine):
        if over[key] > 0:
            over[key] -= 1
            found.append(index)
    return found


def _explained(mine: Session, theirs: Session, index: int, instead: Sequence[ExecutedCell]) -> OrderChange | None:
    """How a cell came to be in this side's slice only, where no edit explains it."""
    cell = mine.needed[index]
    key, name = _key(cell.source), codediff.label(cell)
    if cell.cell_id is not None and any(c.cell_id == cell.cell_id for c in instead):
        return None
    counts = [sum(_key(c.source) == key for c in side.needed) for side in (mine, theirs)]
    if counts[1]:
        why = _built_on(mine, index)
        return OrderChange(
            f"{name} ran {_times(counts[0])} in {mine.title} and {_times(counts[1])} in {theirs.title}",
            _detail(mine, cell) or why,
            matters=bool(why),
        )
    if _deleted(mine, cell):
        return OrderChange(
            f"{mine.title} {_used(cell)} what {name} had set, a cell that its notebook does not have",
            _detail(mine, cell),
        )
    if not _used_by_both(mine, theirs, index):
        return None
    if any(_key(c.source) == key and c.ok for c in theirs.every):
        return OrderChange(
            f"{mine.title} {_used(cell)} what {name} had set; in {theirs.title} it ran too, but not last before the run's cell",
            _detail(mine, cell) or _detail(theirs, cell),
        )
    if key in theirs.above and key not in {_key(c.source) for c in theirs.every}:
        return OrderChange(f"{name} did not run in {theirs.title}, whose notebook has it", _detail(theirs, cell))
    return None


def _used(cell: ExecutedCell) -> str:
    """Whether a cell of a slice has set something for certain, or may only have changed what another one made."""
    names = defuse.names_of(cell.source)
    sure = names.binds or names.accumulates or any(s.sets or s.adds for s in statements(cell.source) or ())
    return "used" if sure or cell.random or cell.writes else MAY_HAVE_USED


def _followed(mine: Session, theirs: Session, index: int) -> bool:
    """Whether a cell is in this slice only because another was edited: both sides executed it."""
    key = _key(mine.needed[index].source)
    if key in {_key(c.source) for c in theirs.needed} or _used_by_both(mine, theirs, index):
        return False
    own = {_key(c.source) for c in mine.needed}
    instead = (c for c in theirs.needed if _key(c.source) not in own)
    return any(_key(c.source) == key for c in theirs.every) and not any(
        _binds(c) & _binds(mine.needed[index]) for c in instead
    )


def _used_by_both(mine: Session, theirs: Session, index: int) -> bool:
    """Whether a later cell that needs what this one set is in both slices: else it is an edit that needs it no more."""
    bound, known = _binds(mine.needed[index]), {_key(c.source) for c in theirs.needed}
    for cell in mine.needed[index + 1 :]:
        names = defuse.names_of(cell.source)
        if (names.opaque or bound & (names.loads | names.later)) and _key(cell.source) in known:
            return True
    return bool(mine.needed[index].random)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _binds(cell: ExecutedCell) -> frozenset[str]:
    names = defuse.names_of(cell.source)
    return names.binds | names.may_bind


def _built_on(side: Session, index: int) -> str:
    """Why running a cell twice is not running it once, or empty: it takes what it sets itself (modules apart: they are
    what they were), draws from a generator that it does not seed, or may change what another cell made.
    """
    cell = side.needed[index]
    names = defuse.names_of(cell.source)
    modules = {name for c in side.needed for name in syntax.imported_as(c.source)}
    added = {name for statement in statements(cell.source) or () for name in statement.adds}
    anew = names.binds | (names.may_bind - names.changes) | added
    if (names.accumulates | (anew & names.loads)) - modules:
        return BUILDS
    if set(cell.random) - drawn.seeders(side.needed)[index]:
        return DRAWS
    return MAY_BUILD if (names.changes & names.loads) - modules else ""


def _deleted(side: Session, cell: ExecutedCell) -> bool:
    """Whether the side's notebook has no such cell: neither its id nor its source. A cell that was only edited is there;
    cells of parameters that were injected never were.
    """
    if _GONE in _detail(side, cell):
        return True
    known = side.ids and side.book is not None and cell.cell_id is not None
    if not known or INJECTED.match(syntax.body(cell.source)):
        return False
    return cell.cell_id not in side.ids and _key(cell.source) not in (side.book or ())


def _detail(side: Session, cell: ExecutedCell) -> str:
    """What the record itself says of this cell's order."""
    mark = f"[{cell.execution_count}]"
    lines = [line for line in (*side.hidden, *side.order_detail) if mark in line]
    return next((line for line in lines if _GONE in line), lines[0] if lines else "")


def _permuted(
    a: Session, b: Session, rest_a: Sequence[ExecutedCell], rest_b: Sequence[ExecutedCell]
) -> list[OrderChange]:
    """Cells of both slices that stand in another order, with whether they touch the same names."""
    place = _last_places(rest_b)
    mine = _last_places(rest_a)
    common = [c for i, c in enumerate(rest_a[:_MOST]) if mine[_key(c.source)] == i and _key(c.source) in place]
    swapped = [
        (x, y) for i, x in enumerate(common) for y in common[i + 1 :] if place[_key(y.source)] < place[_key(x.source)]
    ]
    if not swapped:
        return []
    bound = [(x, y) for x, y in swapped if _touch(x, y)]
    if not bound and _one_session(a, b):
        return []  # what ran again stands after all that ran before
    x, y = (bound or swapped)[0]
    shared = ", ".join(sorted(_shared(x, y))[:4])
    more = f" (and {len(bound) - 1} more such pairs)" if len(bound) > 1 else ""
    return [
        OrderChange(
            f"{codediff.label(x)} ran before {codediff.label(y)} in {a.title} and after it in {b.title}{more}",
            f"both touch {shared}" if shared else "they share no name",
            matters=bool(bound),
        )
    ]


def _last_places(cells: Sequence[ExecutedCell]) -> dict[str, int]:
    return {_key(cell.source): index for index, cell in enumerate(cells[:_MOST])}


def _one_session(a: Session, b: Session) -> bool:
    """Whether one side went on where the other was: all that the shorter one executed is the beginning of the other."""
    sides = [[(c.execution_count, c.cell_id, c.source) for c in side.every] for side in (a, b)]
    shorter = min(map(len, sides))
    return shorter > 0 and sides[0][:shorter] == sides[1][:shorter]


def _shared(x: ExecutedCell, y: ExecutedCell) -> frozenset[str]:
    return defuse.shared(x.source, y.source) | {f"the {name} generator" for name in {*x.random} & {*y.random}}


def _touch(x: ExecutedCell, y: ExecutedCell) -> bool:
    return bool(_shared(x, y)) or any(defuse.names_of(c.source).opaque for c in (x, y))


def _aligned(rest_a: list[ExecutedCell], rest_b: list[ExecutedCell]) -> tuple[list[ExecutedCell], list[ExecutedCell]]:
    """Both lists with common cells in the first one's order, so that what remains different is edits."""
    place: dict[str, int] = {}
    for index, cell in enumerate(rest_a):
        place.setdefault(_key(cell.source), index)
    keys = [place.get(_key(c.source)) for c in rest_b]
    if [k for k in keys if k is not None] == sorted(k for k in keys if k is not None):
        return rest_a, rest_b
    last, ranks = -1.0, []
    for number, key in enumerate(keys):
        last = float(key) if key is not None else last + 1e-6
        ranks.append((last, number))
    return rest_a, [rest_b[number] for _, number in sorted(ranks)]
