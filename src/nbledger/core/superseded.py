"""Executions that a run's slice holds to be safe, and that later ones of the same cell have made up for.

A slice keeps whatever may matter to executing it again. What is *said* of a run must be true, so a comparison looks at
those executions only whose traces are still there: in names, in files, or in the state of the generators.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace

from nbledger.core import cells as session_cells
from nbledger.core import defuse, drawn, syntax
from nbledger.core.cells import Cell
from nbledger.core.defuse import Names
from nbledger.core.record import ExecutedCell


def standing(executed: Sequence[ExecutedCell], needed: Sequence[int]) -> tuple[int, ...]:
    """``needed`` without the executions that another one of the same cell, or of cells that set the same names anew,
    has superseded.
    """
    passing = _passing(executed, needed)
    if not passing:
        return tuple(needed)
    kept = _chain(executed, needed)
    return tuple(i for i in needed if i not in passing or i in kept)


def _passing(executed: Sequence[ExecutedCell], needed: Sequence[int]) -> set[int]:
    """What may have been superseded: cells that ran again later, as they were or edited, and those that only set names."""
    found: set[int] = set()
    later: set[object] = set()
    for index in reversed(needed):
        cell = executed[index]
        keys = {("source", syntax.shape(cell.source).exact), *([("id", cell.cell_id)] if cell.cell_id else [])}
        if keys & later or (later and _only_sets(cell)):
            found.add(index)
        later |= keys
    return found


def _only_sets(cell: ExecutedCell) -> bool:
    names = defuse.names_of(cell.source)
    return bool(names.binds) and not (names.changes or names.opaque or cell.random or cell.writes)


def _chain(executed: Sequence[ExecutedCell], needed: Sequence[int]) -> set[int]:
    """The executions that the last one goes back to: through names, taking it that a library's functions change no
    library, through files, and through what was drawn from the generators.
    """
    wanted = list(needed)
    known = [Cell(c.source, c.cell_id, 0.0, c.execution_count, c.ok) for c in (executed[i] for i in wanted)]
    names = _surely(executed)
    found: set[int] = set()
    pending = [len(wanted) - 1] if wanted else []
    while pending:
        root = pending.pop()
        if root in found:
            continue
        chain = {*session_cells.slice_of(known[: root + 1], names), root} - found
        found |= chain
        for place in chain:
            pending += _writers([executed[i] for i in wanted], place)
    direct = sorted(wanted[place] for place in found)
    return set(direct) | _drawn(executed, direct)


def _surely(executed: Sequence[ExecutedCell]) -> Callable[[str], Names]:
    modules = {name for cell in executed for name in _modules(cell.source)}

    def names(source: str) -> Names:
        found = defuse.names_of(source)
        idle = (found.changes & modules) - found.binds
        return replace(found, may_bind=found.may_bind - idle) if idle else found

    return names


def _modules(source: str) -> set[str]:
    """Names of whole modules; ``from a import b`` may bring an object that has a state."""
    tree = defuse.tree_of(syntax.body(source))
    found = [s for s in (tree.body if tree is not None else ()) if isinstance(s, ast.Import)]
    return {(alias.asname or alias.name).partition(".")[0] for s in found for alias in s.names}


def _writers(executed: Sequence[ExecutedCell], reader: int) -> list[int]:
    """The cells before ``reader`` that were the last to write a file that it read."""
    left, found = set(executed[reader].reads), []
    for index in range(reader - 1, -1, -1):
        if left & set(executed[index].writes):
            found.append(index)
            left -= set(executed[index].writes)
    return found


def _drawn(executed: Sequence[ExecutedCell], direct: Sequence[int]) -> set[int]:
    """The cells that left the generators as these found them; not what those in turn had needed."""
    moved = {name for i in direct for name in executed[i].random}
    return {i for i in drawn.linked(executed, direct) if moved & set(executed[i].random)}
