"""What became of the cells of notebook files between two commits: outputs, counts and metadata are no difference."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from nbledger.core import git, gitlog, notebookdiff
from nbledger.core.git import GitRepo
from nbledger.core.report import CellChange, NotebookChange

_BOOKS = 100
_LARGEST = 50_000_000
_LINES = 400
_FIRST = 80
_KINDS = ("code", "markdown", "raw")


def changes(repo: GitRepo, base: str, head: str) -> tuple[list[NotebookChange], list[str]]:
    """(each notebook whose cells differ, notes on what was not looked at)."""
    paths = {p: kind for p, kind in gitlog.changed_paths(repo, base, head).items() if _is_notebook(p)}
    chosen = sorted(paths)[:_BOOKS]
    notes = [f"{len(paths) - _BOOKS} more changed notebooks were not compared"] if len(paths) > _BOOKS else []
    contents = gitlog.blobs(repo, [(commit, path) for path in chosen for commit in (base, head)])
    found = []
    for path, before, after in zip(chosen, contents[0::2], contents[1::2], strict=True):
        if before is None and after is None:  # a name that Git's batches cannot take
            notes.append(f"{path!r} changed, and cannot be read")
            continue
        change = _notebook(path, before, after)
        if change is not None:
            found.append(change)
    return found, notes


def _is_notebook(path: str) -> bool:
    return path.endswith(".ipynb") and not git.is_checkpoint(path)


def _notebook(path: str, before: bytes | None, after: bytes | None) -> NotebookChange | None:
    state = "added" if before is None else "removed" if after is None else "changed"
    if max(len(before or b""), len(after or b"")) > _LARGEST:
        return NotebookChange(path, state, note="too large to be compared")
    cells = [_cells(data) if data is not None else [] for data in (before, after)]
    if cells[0] is None or cells[1] is None:
        return NotebookChange(path, state, note="it is no notebook of format 4")
    told = tuple(_changes(cells[0], cells[1]))
    return NotebookChange(path, state, told) if told or state != "changed" else None


Cell = tuple[str, str, str | None]
"""(kind, source, id)"""


def _cells(data: bytes) -> list[Cell] | None:
    try:
        book = json.loads(data)
        return [_cell(cell) for cell in book["cells"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _cell(cell: dict[str, Any]) -> Cell:
    source, kind, key = cell.get("source", ""), str(cell.get("cell_type")), cell.get("id")
    text = source if isinstance(source, str) else "".join(map(str, source))
    return kind if kind in _KINDS else "raw", text, str(key) if key else None


def _changes(old: Sequence[Cell], new: Sequence[Cell]) -> Iterator[CellChange]:
    pairs = notebookdiff.pairs(*([(f"{kind}\n{source}", key) for kind, source, key in side] for side in (old, new)))
    for i, j in pairs:
        before, after = old[i] if i is not None else None, new[j] if j is not None else None
        if before is not None and after is not None and before[0] != after[0]:
            yield _change("removed", before, None, i or 0)
            yield _change("added", None, after, j or 0)
        elif before is None or after is None:
            cell = before or after
            assert cell is not None
            if cell[1].strip():
                place = j if i is None else i
                yield _change("added" if before is None else "removed", before, after, place or 0)
        elif before[1] != after[1]:
            yield _change("changed", before, after, j or 0)


def _change(state: str, before: Cell | None, after: Cell | None, place: int) -> CellChange:
    cell = after or before
    assert cell is not None
    lines = [line.strip() for line in cell[1].splitlines()]
    first = next((line for line in lines if line), "(empty)")[:_FIRST]
    return CellChange(cell[0], state, place + 1, first, _diff(before[1] if before else "", after[1] if after else ""))


def _diff(before: str, after: str) -> tuple[str, ...]:
    """The hunks of a unified diff, without its head."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    if lines and (not before or not after):
        lines = lines[1:]
    more = len(lines) - _LINES
    return (*lines[:_LINES], f"… {more} more lines") if more > 0 else tuple(lines)
