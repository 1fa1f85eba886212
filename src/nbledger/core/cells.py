"""The cells a kernel has executed: their notebook, their digest, what the last one depends on, and in which order."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from nbledger.core.defuse import Names, names_of
from nbledger.core.files import Signature, signature

CLEAN, OUT_OF_ORDER, EDITED = "clean", "out-of-order", "edited-since"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
INJECTED = re.compile(r"\s*# (?:Injected )?[Pp]arameters\b")
_TICK = 0.05  # seconds; file systems stamp with the time of their last tick
_DEPTH = 8  # nesting of parameters that are lists or dictionaries


@dataclass(frozen=True)
class Cell:
    """One execution of a cell; ``started`` in seconds since the epoch, ``ok`` False if it raised."""

    source: str
    cell_id: str | None
    started: float
    execution_count: int | None
    ok: bool = True


@dataclass(frozen=True)
class Order:
    """``state`` is clean, out-of-order or edited-since; ``detail`` says which cells, for people."""

    state: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True)
class DiskCell:
    """A code cell of a notebook file."""

    source: str
    cell_id: str | None
    tags: tuple[str, ...] = ()


@lru_cache(4096)
def normal(source: str) -> str:
    """The source without trailing white space: what editors and formatters change without changing the code."""
    return "\n".join(line.rstrip() for line in source.splitlines()).strip("\n")


def digest(sources: Iterable[str]) -> str:
    """16 hex digits over code, blind to outputs, counts, metadata, ids, trailing white space and empty cells."""
    kept = [text for text in map(normal, sources) if text]
    raw = json.dumps(kept, ensure_ascii=True, separators=(",", ":")).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def notebook_digest(path: Path) -> str | None:
    """The digest of a notebook file's code cells; None if it is not a readable notebook."""
    cells = read_notebook(path)
    return None if cells is None else digest(c.source for c in cells)


def read_notebook(path: Path) -> list[DiskCell] | None:
    """Code cells of a notebook file (format 4, and 3 with its worksheets); None if it is not one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    # Within a tick of the file system's clock it may be written again unnoticed.
    fresh = time.time() - found.st_mtime < _TICK
    cells = _parsed(path) if fresh else _remembered(path, signature(found))
    return None if cells is None else list(cells)


@lru_cache(8)
def _remembered(path: Path, _signature: Signature) -> tuple[DiskCell, ...] | None:
    return _parsed(path)


def _parsed(path: Path) -> tuple[DiskCell, ...] | None:
    try:
        return parse_notebook(path.read_bytes())
    except OSError:
        return None


def parse_notebook(text: bytes | str) -> tuple[DiskCell, ...] | None:
    """Code cells of a notebook's JSON; None if it is not one."""
    try:
        data = json.loads(text)
        sheets = data.get("worksheets") or [data]
        raw = [c for sheet in sheets for c in sheet["cells"] if c.get("cell_type") == "code"]
        return tuple(_disk_cell(c) for c in raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _disk_cell(cell: dict[str, Any]) -> DiskCell:
    source = cell.get("source", cell.get("input", ""))
    tags = (cell.get("metadata") or {}).get("tags") or ()
    return DiskCell("".join(source), cell.get("id"), tuple(map(str, tags)))


def session_notebook(
    cells: Sequence[Cell], language_info: Mapping[str, Any] | None = None, kernelspec: Mapping[str, Any] | None = None
) -> str:
    """The session as a notebook (nbformat 4.5), in the order of execution, without outputs."""
    taken: set[str] = set()
    body = [_as_json(c.source, c.execution_count, _identity(c, number, taken)) for number, c in enumerate(cells)]
    metadata: dict[str, Any] = {"language_info": dict(language_info or {"name": "python"})}
    if kernelspec:
        metadata["kernelspec"] = dict(kernelspec)
    book = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    frame = json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return frame.replace('"cells": []', '"cells": [\n' + ",\n".join(body) + "\n ]", 1) if body else frame


@lru_cache(4096)
def _as_json(source: str, count: int | None, cell_id: str) -> str:
    """One cell as it stands in a notebook's file; remembered, since a session writes all of its cells with each run."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "execution_count": count,
        "id": cell_id,
        "metadata": {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
    # Line feeds inside of strings are escaped, so each of these begins a line.
    return "  " + json.dumps(cell, indent=1, ensure_ascii=False, sort_keys=True).replace("\n", "\n  ")


def _identity(cell: Cell, number: int, taken: set[str]) -> str:
    chosen = cell.cell_id or ""
    if not _ID.fullmatch(chosen) or chosen in taken:
        chosen = f"nbledger-{number}"
    while chosen in taken:
        chosen += "x"
    taken.add(chosen)
    return chosen


def slice_of(cells: Sequence[Cell], names: Callable[[str], Names] = names_of) -> list[int]:
    """Indexes of the executed cells that the last one depends on, ascending; the last itself is not among them.

    Where the source cannot tell (star imports, ``%run``, text that is not Python), a cell counts as needed.
    """
    if not cells:
        return []
    every = [names(c.source) for c in cells]
    if every[-1] == Names(opaque=True):
        return list(range(len(cells) - 1))
    deferred = set(every[-1].later)
    while True:
        found = _backward(cells, every, deferred)
        more = deferred.union(*(every[i].later for i in found))
        if more == deferred:
            return found
        deferred = more  # what functions need is looked up when they are called, so from the end


def _backward(cells: Sequence[Cell], every: Sequence[Names], deferred: set[str]) -> list[int]:
    needed = set(every[-1].loads) | deferred
    found: list[int] = []
    for index in range(len(cells) - 2, -1, -1):
        names = every[index]
        if not names.opaque and needed.isdisjoint(names.binds | names.may_bind):
            continue
        found.append(index)
        if cells[index].ok:
            needed -= names.binds
        needed |= names.loads
    return found[::-1]


def order(
    cells: Sequence[Cell],
    notebook_path: Path | None,
    current_id: str | None = None,
    needed: Sequence[int] | None = None,
) -> Order:
    """Does the notebook on disk, run from top to bottom, do what was done? Judged on what the last cell depends on, or
    on the cells at ``needed`` (ascending, the last among them).
    """
    if not cells:
        return Order(CLEAN)
    chosen = list(needed) if needed else [*slice_of(cells), len(cells) - 1]
    repeated = _repeated(cells, chosen)
    latest = {_key(cells[i], current_id if i == chosen[-1] else None): i for i in chosen}
    disk = read_notebook(notebook_path) if notebook_path else None
    if disk is None or notebook_path is None:
        return Order(OUT_OF_ORDER if repeated else CLEAN, (*repeated, "no notebook on disk to compare with"))
    saved = _mtime(notebook_path)
    placed: list[tuple[int, int]] = []
    edited: list[str] = []
    unsaved = False
    last = -1
    for key, index in sorted(latest.items(), key=lambda item: item[1]):
        place, same = _find(disk, key, cells[index].source, last)
        if place is None or not same:
            if INJECTED.match(cells[index].source):
                continue
            if saved <= cells[index].started:
                unsaved = True
            else:
                edited.append(_said(cells[index], "was edited since it ran" if place is not None else "was deleted"))
        if place is not None:
            placed.append((place, index))
            last = place
    wrong = [
        _said(cells[b], f"ran after {named(cells[a])}, which stands below it")
        for (place_a, a), (place_b, b) in pairwise(placed)
        if place_b < place_a
    ]
    state = EDITED if edited else OUT_OF_ORDER if wrong or repeated else CLEAN
    return Order(state, (*edited, *wrong, *repeated, *(("not saved",) if unsaved else ())))


def _repeated(cells: Sequence[Cell], chosen: Sequence[int]) -> tuple[str, ...]:
    """Cells that add to their own result (``n += 1``) and ran more than once since it was set."""
    runs: dict[str, list[int]] = {}
    for index in chosen:
        if names_of(cells[index].source).accumulates:
            runs.setdefault(cells[index].cell_id or normal(cells[index].source), []).append(index)
    return tuple(
        _said(cells[found[-1]], f"ran {len(found)} times and adds to its own result")
        for found in runs.values()
        if len(found) > 1
    )


def _key(cell: Cell, given: str | None) -> tuple[str, str]:
    cell_id = given or cell.cell_id
    return ("id", cell_id) if cell_id else ("source", normal(cell.source))


def _find(disk: Sequence[DiskCell], key: tuple[str, str], source: str, after: int) -> tuple[int | None, bool]:
    """(position, whether the source is the same) of a cell: by id, else by source, the next one after ``after``."""
    text = normal(source)
    if key[0] == "id":
        for place, cell in enumerate(disk):
            if cell.cell_id == key[1]:
                return place, normal(cell.source) == text
    places = [place for place, cell in enumerate(disk) if normal(cell.source) == text]
    if not places:
        return None, False
    return next((p for p in places if p >= after), places[-1]), True


def _mtime(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def named(cell: Cell) -> str:
    """A cell for people: its number and first line."""
    first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "an empty cell")
    number = cell.execution_count if cell.execution_count is not None else " "
    return f"[{number}] {first[:60]}"


def _said(cell: Cell, what: str) -> str:
    return f"{named(cell)} {what}"


def parameters(notebook_path: Path | None, cells: Sequence[Cell], namespace: Mapping[str, object]) -> dict[str, object]:
    """Values of the names that the executed cell tagged ``parameters``, or papermill's injected one, set at top level.

    Only plain values: bool, int, float, str, None and lists, tuples, dictionaries of these.
    """
    disk = read_notebook(notebook_path) if notebook_path else None
    tagged = [c for c in disk or () if "parameters" in c.tags or "injected-parameters" in c.tags]
    ids, sources = {c.cell_id for c in tagged if c.cell_id}, {normal(c.source) for c in tagged}
    found: dict[str, object] = {}
    for cell in cells:
        if cell.cell_id in ids or normal(cell.source) in sources or INJECTED.match(cell.source):
            for name in _in_order(cell.source):
                if name in namespace and _plain(namespace[name]):
                    found[name] = namespace[name]
    return found


def _in_order(source: str) -> list[str]:
    names = names_of(source).binds
    return sorted(names, key=lambda n: match.start() if (match := re.search(rf"\b{re.escape(n)}\b", source)) else 0)


def _plain(value: object, depth: int = _DEPTH) -> bool:
    if value is None or type(value) in (bool, int, float, str):
        return True
    if depth and type(value) in (list, tuple):
        return all(_plain(v, depth - 1) for v in value)  # type: ignore[attr-defined]
    if depth and type(value) is dict:
        return all(_plain(k, 0) and _plain(v, depth - 1) for k, v in value.items())
    return False
