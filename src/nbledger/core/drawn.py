"""Cells that depend on each other through the global generators: who seeds, and who draws before whom."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from nbledger.core import cells as session_cells
from nbledger.core import defuse, randomness, syntax
from nbledger.core.cells import Cell
from nbledger.core.randomness import Context
from nbledger.core.record import ExecutedCell


def seeders(executed: Sequence[ExecutedCell]) -> list[frozenset[str]]:
    """For each cell the global generators that it gives a seed: what was drawn before does not matter after it."""
    context, found = Context(), []
    for cell in executed:
        _, alone = randomness.scan(cell.source, Context(context.aliases, context.values))
        found.append(alone.seeded)
        context = alone
    return found


def linked(executed: Sequence[ExecutedCell], needed: Sequence[int]) -> tuple[int, ...]:
    """``needed``, and the earlier cells that left the generators as those found them, back to the last seed."""
    if not any(executed[i].random for i in needed):
        return tuple(needed)
    seeded = seeders(executed)
    found = set(needed)
    for index in needed:
        for generator in executed[index].random:
            if generator in seeded[index]:
                continue
            for earlier in range(index - 1, -1, -1):
                if generator in executed[earlier].random:
                    found.add(earlier)
                if generator in seeded[earlier]:
                    found.add(earlier)
                    break
    for index in found - set(needed):
        known = [Cell(c.source, c.cell_id, 0.0, c.execution_count, c.ok) for c in executed[: index + 1]]
        found |= set(session_cells.slice_of(known))
    return tuple(sorted(found))


def first_drawn(executed: Sequence[ExecutedCell], needed: Sequence[int]) -> dict[str, ExecutedCell]:
    """{generator: the first needed cell that drew from it} of generators that no needed cell had given a seed by then.

    Cells that only import are passed over: what libraries draw to name their temporary files moves no metric.
    """
    seeded, fixed, found = seeders(executed), set[str](), dict[str, ExecutedCell]()
    for index in needed:
        cell = executed[index]
        fixed |= seeded[index]
        for generator in cell.random:
            if generator not in fixed and not only_imports(cell.source):
                found.setdefault(generator, cell)
    return found


def only_imports(source: str) -> bool:
    """Whether a cell does nothing but import."""
    tree = defuse.tree_of(syntax.body(source))
    return tree is not None and all(isinstance(s, ast.Import | ast.ImportFrom | ast.Pass) for s in tree.body)
