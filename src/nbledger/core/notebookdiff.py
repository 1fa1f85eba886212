"""The one door to nbdime: which cell of one list became which cell of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Keyed = tuple[str, str | None]
"""(source, cell id)"""


def pairs(a: Sequence[Keyed], b: Sequence[Keyed]) -> list[tuple[int | None, int | None]]:
    """Each cell of either list once, in order: (index in ``a``, index in ``b``); None where the other list has none.

    Equal ends are taken off first; between them cells are paired by id, then by equal and by similar source, as nbdime
    aligns notebooks (outputs and metadata apart). Importing nbdime takes seconds: a single changed cell needs none.
    """
    start = 0
    while start < min(len(a), len(b)) and a[start][0] == b[start][0]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end][0] == b[-1 - end][0]:
        end += 1
    middle_a, middle_b = range(start, len(a) - end), range(start, len(b) - end)
    found: list[tuple[int | None, int | None]] = [(i, i) for i in range(start)]
    found += _middle(a, b, middle_a, middle_b)
    return found + [(len(a) - i, len(b) - i) for i in range(end, 0, -1)]


def _middle(a: Sequence[Keyed], b: Sequence[Keyed], left: range, right: range) -> list[tuple[int | None, int | None]]:
    if not left or not right:
        return [*((i, None) for i in left), *((None, j) for j in right)]
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    if len(left) == len(right) and all(_same_cell(a[i], b[j]) for i, j in zip(left, right, strict=True)):
        return list(zip(left, right, strict=True))
    found: list[tuple[int | None, int | None]] = []
    at_a, at_b = 0, 0
    for i, j, count in [*_snakes([a[i] for i in left], [b[j] for j in right]), (len(left), len(right), 0)]:
        found += _between([left[x] for x in range(at_a, i)], [right[y] for y in range(at_b, j)])
        found += [(left[i + k], right[j + k]) for k in range(count)]
        at_a, at_b = i + count, j + count
    return found


def _between(left: Sequence[int], right: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """Cells that resemble none of the others: as many on either side stand for each other."""
    if len(left) == len(right):
        return list(zip(left, right, strict=True))
    return [*((i, None) for i in left), *((None, j) for j in right)]


def _same_cell(a: Keyed, b: Keyed) -> bool:
    return a[1] is not None and a[1] == b[1]


def _snakes(a: Sequence[Keyed], b: Sequence[Keyed]) -> list[tuple[int, int, int]]:
    """Runs of paired cells (start in ``a``, start in ``b``, how many)."""
    from nbdime.diffing.notebooks import compare_cell_approximate, compare_cell_by_ids, compare_cell_strict
    from nbdime.diffing.snakes import compute_snakes_multilevel

    def equal(x: Any, y: Any) -> bool:
        return bool(x["source"] == y["source"])

    # From the last, which is tried first: by id, equal, nearly equal, alike.
    tests = (compare_cell_approximate, compare_cell_strict, equal, compare_cell_by_ids)
    snakes = compute_snakes_multilevel([_cell(*x) for x in a], [_cell(*y) for y in b], tests)
    return [(int(i), int(j), int(n)) for i, j, n in snakes if n]


def _cell(source: str, cell_id: str | None) -> dict[str, Any]:
    fields = {"cell_type": "code", "source": source, "outputs": []}
    return fields | ({"id": cell_id} if cell_id else {})
