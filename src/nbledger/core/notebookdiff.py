"""The one door to nbdime: which cell of one list became which cell of another, and a diff that nbdime's views take."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

Keyed = tuple[str, str | None]
"""(source, cell id)"""
Diff = list[dict[str, Any]]
"""nbdime's format of a diff: operations with ``op`` and ``key``."""

_ALIKE = 0.3
_MOST_PAIRS = 3600  # nbdime looks for alike cells, and lines, pair by pair: beyond this it takes minutes
_LONG_LINE, _MANY_LINES = 1000, 20


def diff(base: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], Diff]:
    """(base, diff) of two notebooks (format 4, as JSON holds them), as nbdime's web API answers and its views take.

    Outputs, execution counts, metadata, attachments and ids of cells are no difference: the base comes without them.
    Cells are paired as everywhere in nbledger (``pairs``); two that have hardly a line in common are one removed and
    one added.
    """
    known = [[_told(cell) for cell in side.get("cells", ())] for side in (base, other)]
    keyed = [[(f"{c['cell_type']}\n{c['source']}", key) for c, key in side] for side in known]
    left, right = ([c for c, _ in side] for side in known)
    found: Diff = []
    at = 0  # how far the base is told
    for i, j in pairs(*keyed):
        if i is None:
            assert j is not None
            _added(found, at, right[j])
            continue
        at = i + 1
        if j is None or not _one_cell(left[i], right[j]):
            if j is not None:
                _added(found, i, right[j])
            _removed(found, i)
        elif left[i]["source"] != right[j]["source"]:
            changed = _lines(left[i]["source"], right[j]["source"])
            found.append(_patch(i, [_patch("source", changed)]))
    return {"cells": left, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, [
        _patch("cells", found)
    ] if found else []


def _told(cell: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A cell as far as it counts, and its id."""
    source, kind = cell.get("source", ""), str(cell.get("cell_type", "code"))
    text = source if isinstance(source, str) else "".join(map(str, source))
    told = {"cell_type": kind, "metadata": {}, "source": text}
    key = cell.get("id")
    return told | ({"execution_count": None, "outputs": []} if kind == "code" else {}), str(key) if key else None


def _one_cell(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether one became the other, rather than was replaced by it."""
    if a["cell_type"] != b["cell_type"]:
        return False
    before, after = a["source"].splitlines(), b["source"].splitlines()
    if min(len(before), len(after)) == 1 == max(len(before), len(after)):
        return max(len(before[0]), len(after[0])) > _LONG_LINE or _ratio(before[0], after[0]) >= _ALIKE
    return (
        not before or not after or _ratio(before, after) > 0 or _ratio(a["source"][:4000], b["source"][:4000]) >= _ALIKE
    )


def _ratio(a: Sequence[str], b: Sequence[str]) -> float:
    return difflib.SequenceMatcher(None, a, b).quick_ratio()


def _patch(key: int | str, changed: Diff) -> dict[str, Any]:
    return {"op": "patch", "key": key, "diff": changed}


def _added(found: Diff, at: int, cell: dict[str, Any]) -> None:
    """Cells that come before the base's cell ``at``; an addition stands before a removal at the same place."""
    last = found[-1] if found else None
    if last is not None and last["op"] == "addrange" and last["key"] == at:
        last["valuelist"].append(cell)
    else:
        found.append({"op": "addrange", "key": at, "valuelist": [cell]})


def _removed(found: Diff, at: int) -> None:
    last = found[-1] if found else None
    if last is not None and last["op"] == "removerange" and last["key"] + last["length"] == at:
        last["length"] += 1
    else:
        found.append({"op": "removerange", "key": at, "length": 1})


def _lines(before: str, after: str) -> Diff:
    """What became of the lines of a source; within lines too, where they are few and of a length that people write."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    found: Diff = []
    for op, i, end, j, stop in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if op == "replace" and max(end - i, stop - j) <= _MANY_LINES:
            found += _within(old[i:end], new[j:stop], i)
        elif op != "equal":
            found += [{"op": "addrange", "key": i, "valuelist": new[j:stop]}] if stop > j else []
            found += [{"op": "removerange", "key": i, "length": end - i}] if end > i else []
    return found


def _within(old: Sequence[str], new: Sequence[str], at: int) -> Diff:
    if any(len(line) > _LONG_LINE for line in (*old, *new)):
        return [
            {"op": "addrange", "key": at, "valuelist": list(new)},
            {"op": "removerange", "key": at, "length": len(old)},
        ]
    from nbdime.diffing.sequences import diff_strings_linewise

    entries = (_plain(entry) for entry in diff_strings_linewise("".join(old), "".join(new)))
    return [{**entry, "key": entry["key"] + at} for entry in entries]


def _plain(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: [_plain(e) for e in v] if k == "diff" else v for k, v in entry.items()}


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
    if len(left) * len(right) > _MOST_PAIRS:
        return _many(a, b, left, right)
    found: list[tuple[int | None, int | None]] = []
    at_a, at_b = 0, 0
    for i, j, count in [*_snakes([a[i] for i in left], [b[j] for j in right]), (len(left), len(right), 0)]:
        found += _between([left[x] for x in range(at_a, i)], [right[y] for y in range(at_b, j)])
        found += [(left[i + k], right[j + k]) for k in range(count)]
        at_a, at_b = i + count, j + count
    return found


def _many(a: Sequence[Keyed], b: Sequence[Keyed], left: range, right: range) -> list[tuple[int | None, int | None]]:
    """As ``_middle``, of very many cells: what is equal divides them, then what bears the same id or begins alike."""
    for part in (_source, _id, _first_line):
        keys = [part(a[i]) or i for i in left], [part(b[j]) or -1 - j for j in right]
        blocks = difflib.SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks()
        if len(blocks) == 1:
            continue
        found: list[tuple[int | None, int | None]] = []
        at_a, at_b = left.start, right.start
        for i, j, count in ((left.start + block.a, right.start + block.b, block.size) for block in blocks):
            found += _middle(a, b, range(at_a, i), range(at_b, j))
            found += [(i + k, j + k) for k in range(count)]
            at_a, at_b = i + count, j + count
        return found
    return _between(left, right)


def _source(cell: Keyed) -> str:
    return cell[0]


def _id(cell: Keyed) -> str | None:
    return cell[1]


def _first_line(cell: Keyed) -> str:
    return next((line for line in cell[0].splitlines() if line.strip()), "")


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
