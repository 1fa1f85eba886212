"""Does the last cell stand on state that a fresh run of the notebook, from top to bottom, would not have?

The session as it was executed and the notebook as it is saved are both run symbolically (``nbledger.core.symbols``). A
name that the cell needs and that came about differently in the two is hidden state, and the first difference on the way
to it says why: the cell that set it was edited since, deleted, run out of order, or run more often than once.
"""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import symbols
from nbledger.core.cells import INJECTED, Cell, named, normal, read_notebook
from nbledger.core.defuse import header_names
from nbledger.core.statements import statements
from nbledger.core.symbols import Memory, Node, Source

_ADDS = " times and adds to "
_MOST, _DEEP = 3, 400  # reasons told in the line, steps back to a cause
_SHELL = frozenset(
    (
        "display",
        "get_ipython",
        "exit",
        "quit",
        "In",
        "Out",
        "open",
        "__file__",
        "__name__",
        "__builtins__",
        "__doc__",
        "__annotations__",
        "__debug__",
        "__spec__",
    )
)


@dataclass
class _Placed:
    """A cell of the notebook as it would run fresh. ``order``: the place of the saved cell it is or follows, and a
    number that grows. ``executed``: the last execution that is this cell, if any.
    """

    source: str
    cell_id: str | None
    order: tuple[int, int]
    executed: int | None = None


class Watcher:
    """Compares one kernel's session with its notebook; what is the same as the last time is not looked at again."""

    def __init__(self) -> None:
        self._session, self._fresh = Memory(), Memory()

    def warnings(self, cells: Sequence[Cell], notebook: Path | None, present: Collection[str] = ()) -> tuple[str, ...]:
        """Why the last of the executed ``cells`` gives what a fresh run would not, in a few words each; empty when it
        does, or when there is no notebook on disk. ``present`` are the names in the kernel that are not IPython's own.
        """
        disk = read_notebook(notebook) if notebook else None
        if disk is None or notebook is None or not cells:
            return ()
        current = len(cells) - 1
        saved = [_Placed(c.source, c.cell_id, (place, 0)) for place, c in enumerate(disk)]
        placed, place = _as_saved(cells, saved, notebook.stat().st_mtime)
        session = self._session.after([_source(c) for c in cells[:current]])
        fresh = self._fresh.after([(c.source, True) for c in placed[:place]])
        told = _Telling(cells, placed, place)
        again = _changes_again(cells[current].source)
        reasons: list[str] = []
        for name, mine, theirs in _uses(cells[current].source, session, fresh):
            if mine is None and theirs is None:
                known = name not in present or session.unclear or fresh.unclear or is_shell(name)
                reason = "" if known else f"no cell sets {name}"
            else:
                reason = told.why(name, _without(mine, again.get(name, frozenset())), theirs)
            if reason and reason not in reasons:
                reasons.append(reason)
        return tuple(reasons)


def line(reasons: Sequence[str]) -> str:
    """One line for people; empty without reasons."""
    if not reasons:
        return ""
    reasons = _merged(reasons)
    more = len(reasons) - _MOST
    shown = "; ".join(reasons[:_MOST]) + (f"; and {more} more" if more > 0 else "")
    return f"a fresh run of the notebook would not give this: {shown}"


def _merged(reasons: Sequence[str]) -> list[str]:
    """What one cell added to several names is told once."""
    names: dict[str, list[str]] = {}
    for reason in reasons:
        cell, adds, name = reason.rpartition(_ADDS)
        names.setdefault(cell + adds if adds else reason, []).extend([name] if adds else [])
    return [start + " and ".join(told) for start, told in names.items()]


def _source(cell: Cell) -> Source:
    return cell.source, cell.ok


def is_shell(name: str) -> bool:
    """A name that the shell or Python itself has set."""
    return name in _SHELL or name.startswith("_") or hasattr(builtins, name)


def _uses(source: str, session: symbols.Names, fresh: symbols.Names) -> Iterator[tuple[str, Node | None, Node | None]]:
    """(name, as executed, as a fresh run would have it) of every name that this cell takes from the cells before it."""
    mine, theirs = dict(session.nodes), dict(fresh.nodes)
    own: set[str] = set()
    seen: set[str] = set()
    for statement in statements(source) or ():
        wanted = symbols.loads(statement) | statement.names.accumulates
        for name in sorted(_closure(wanted - own, mine, theirs, own)):
            if name not in seen:
                seen.add(name)
                yield name, mine.get(name), theirs.get(name)
        defined = Node(0, statement.key, -1, later=statement.names.later)
        for name in statement.names.binds | statement.imports.keys():
            own.add(name)
            mine[name] = theirs[name] = defined
    for name in header_names(source):
        if name not in own | seen:
            yield name, mine.get(name), theirs.get(name)


def _changes_again(source: str) -> dict[str, frozenset[str]]:
    """{name: keys of the statements} of what this cell does to a name in place, where twice is as once: what an earlier
    run of it has done to a name makes no difference.
    """
    found: dict[str, frozenset[str]] = {}
    for statement in statements(source) or ():
        for name in statement.sets:
            found[name] = found.get(name, frozenset()) | {statement.key}
    return found


def _without(node: Node | None, keys: frozenset[str]) -> Node | None:
    """How the name came about before these changes, where they were the last."""
    while node is not None and node.before is not None and node.key in keys:
        node = node.before
    return node


def _closure(names: Collection[str], mine: dict[str, Node], theirs: dict[str, Node], own: set[str]) -> set[str]:
    """These names and what the functions among them look up, without what the cell itself sets."""
    return {*symbols.needed(names, mine), *symbols.needed(names, theirs)} - own


def _as_saved(cells: Sequence[Cell], disk: list[_Placed], saved: float) -> tuple[list[_Placed], int]:
    """(the notebook as its front end has it, the place of the last executed cell).

    What ran after the notebook was last saved need not be in the file: an edit replaces the cell of its id, a new cell
    stands after the one that ran before it. So does the cell that papermill injects. Anything else that is not in the
    file was edited or deleted.
    """
    by_id = {c.cell_id: c for c in disk if c.cell_id}
    by_source: dict[str, list[_Placed]] = {}
    for item in disk:
        by_source.setdefault(normal(item.source), []).append(item)
    placed, last = list(disk), None
    for index, cell in enumerate(cells):
        text, after = normal(cell.source), last.order if last else (-1, 0)
        found = by_id.get(cell.cell_id) if cell.cell_id else None
        found = found or _nearest(by_source.get(text, ()), after)
        current = index == len(cells) - 1
        unsaved = current or saved <= cell.started or INJECTED.match(cell.source) is not None
        if found is None and unsaved:
            found = _Placed(cell.source, cell.cell_id, (after[0], index + 1))
            placed.append(found)
            by_source.setdefault(text, []).append(found)
            if cell.cell_id:
                by_id[cell.cell_id] = found
        if found is not None:
            found.executed = index
            found.source = cell.source if unsaved else found.source
            last = found
    placed.sort(key=lambda item: item.order)
    return placed, next(p for p, item in enumerate(placed) if item is last)


def _nearest(same: Sequence[_Placed], after: tuple[int, int]) -> _Placed | None:
    """Of cells with the same source the next one after a place, else the last."""
    return next((item for item in same if item.order >= after), same[-1] if same else None)


class _Telling:
    """Puts into words why a name came about differently."""

    def __init__(self, cells: Sequence[Cell], placed: Sequence[_Placed], place: int) -> None:
        self._cells, self._placed, self._place = cells, placed, place
        self._seen: set[tuple[int, int]] = set()

    def why(self, name: str, mine: Node | None, theirs: Node | None, depth: int = 0) -> str:
        """Empty where both came about in the same way."""
        digests = (mine.digest if mine else 0, theirs.digest if theirs else 0)
        if mine is None or digests[0] == digests[1] or depth > _DEEP or digests in self._seen:
            return ""
        self._seen.add(digests)
        if theirs is None or mine.key != theirs.key:
            return self._of_cells(name, mine, theirs)
        if not self._cells[mine.cell].ok:
            return f"{name} was set by {named(self._cells[mine.cell])}, which failed"
        times = _times(name, mine)
        if times != _times(name, theirs):
            return (
                f"{named(self._cells[mine.cell])} ran {times}{_ADDS}{name}"
                if times > 1
                else self._of_cells(name, mine, theirs)
            )
        for inner in sorted(mine.inputs.keys() | theirs.inputs.keys()):
            reason = self.why(inner, mine.inputs.get(inner), theirs.inputs.get(inner), depth + 1)
            if reason:
                return reason
        return self._of_changes(name, mine, theirs, depth)

    def _of_changes(self, name: str, mine: Node, theirs: Node, depth: int) -> str:
        """The same change was made to different things."""
        if mine.before is None and theirs.before is None:
            return ""
        if mine.before is None or theirs.before is None:
            return self._of_cells(name, mine, theirs)
        return self.why(name, mine.before, theirs.before, depth + 1)

    def _of_cells(self, name: str, mine: Node, theirs: Node | None) -> str:
        cell = self._cells[mine.cell]
        if not cell.ok:
            return f"{name} was set by {named(cell)}, which failed"
        place = next((p for p, other in enumerate(self._placed) if self._is(other, mine.cell)), None)
        if place is None:
            return f"{name} was set by {named(cell)}, which was edited or deleted since"
        if not self._holds(self._placed[place].source, mine.key):
            return f"{name} was set by {named(cell)}, which was edited since it ran"
        if place > self._place:
            return f"{name} was set by {named(cell)}, which stands below"
        if place == self._place:
            return f"{name} was set by {named(cell)}, an earlier run of this cell"
        if theirs is not None and theirs.cell > place:
            other = self._placed[theirs.cell]
            if other.executed is None:
                return f"{name} is set by {_first(other.source)!r} above, which has not run"
            return f"{name} was set by {named(cell)}, which ran after {named(self._cells[other.executed])} below it"
        times = sum(self._is(self._placed[place], i) for i in range(mine.cell + 1))
        if times > 1:
            return f"{named(cell)} ran {times} times and changes {name}"
        return f"{name} was set by {named(cell)} out of order"

    def _is(self, placed: _Placed, index: int) -> bool:
        cell = self._cells[index]
        if cell.cell_id and placed.cell_id:
            return cell.cell_id == placed.cell_id
        return normal(cell.source) == normal(placed.source)

    @staticmethod
    def _holds(source: str, key: str) -> bool:
        found = statements(source) or ()
        keys = {s.key for s in found} | {f"import {what}" for s in found for what in s.imports.values()}
        return key in keys


def _times(name: str, node: Node) -> int:
    """How often in a row the statement of this node was applied to its own result."""
    count, inner = 1, node.before or node.inputs.get(name)
    while inner is not None and inner.key == node.key:
        count, inner = count + 1, inner.before or inner.inputs.get(name)
    return count


def _first(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")[:60]
