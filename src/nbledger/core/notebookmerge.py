"""Two versions of a notebook that came from one, joined cell by cell; what cannot be joined stays in, marked, and valid.

Cells are paired by nbdime (``notebookdiff``), and by their ids where they moved. The joining is ours: nbdime's own inline
merge makes of two ids one table, which is no valid notebook, and drops both sides' cells in some conflicts (nbdime#597).
The lines within a cell are merged by ``git merge-file``, with Git's own conflict marks.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbledger.core import notebookdiff

Cell = dict[str, Any]
MergeLines = Callable[[str, str, str], tuple[str, bool]]
"""(base, ours, theirs) → (merged, whether there are conflicts)"""

_ALIKE, _LOOKED_AT = 0.5, 4000
_OURS = ("kernelspec", "language_info")  # which kernel, under which name: each person's own; ours stays, unmarked


@dataclass
class Merged:
    """``conflicts`` says in words which cells are in conflict; ``notes`` what was decided without asking."""

    notebook: Cell
    conflicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Item:
    """What stands at a place of the result: a cell of the base (``at``) as it became, or a cell that one side added."""

    at: int | None
    cell: Cell


def merge(
    base: Cell, ours: Cell, theirs: Cell, merge_lines: MergeLines, labels: tuple[str, str], size: int = 7
) -> Merged:
    """The notebooks (format 4, as ``notebookclean.read`` gives them) as one; they are left as they are. ``labels`` name the sides
    in the marks, ``size`` is how long those are.
    """
    return _Merge(base, ours, theirs, merge_lines, labels, size).result()


class _Side:
    """Where the base's cells are in one version."""

    def __init__(self, base: Sequence[Cell], cells: Sequence[Cell]) -> None:
        self.cells = cells
        self.of: dict[int, int] = {}  # base's cell → this version's
        pairs = notebookdiff.pairs([_keyed(c) for c in base], [_keyed(c) for c in cells])
        self.of = {i: j for i, j in pairs if i is not None and j is not None and _became(base[i], cells[j])}
        taken = set(self.of.values())
        ids = {cell["id"]: j for j, cell in enumerate(cells) if "id" in cell and j not in taken}
        self.moved = {i: ids[cell["id"]] for i, cell in enumerate(base) if i not in self.of and cell.get("id") in ids}
        self.of |= self.moved
        back = {j: i for i, j in self.of.items()}
        self.gaps: list[list[_Item]] = [[] for _ in range(len(base) + 1)]
        """Before the base's cell of that number (or at the end): what this version has there that the base has elsewhere
        or not at all."""
        here = 0
        for j, cell in enumerate(cells):
            at = back.get(j)
            if at is None or at in self.moved:
                self.gaps[here].append(_Item(at, cell))
            else:
                here = at + 1


class _Merge:
    def __init__(
        self, base: Cell, ours: Cell, theirs: Cell, merge_lines: MergeLines, labels: tuple[str, str], size: int
    ) -> None:
        self.base, self.ours, self.theirs = base, ours, theirs
        self.merge_lines, self.labels, self.size = merge_lines, labels, size
        self.made = Merged({})
        self.cells: list[Cell] = []
        self.sides = _Side(base["cells"], ours["cells"]), _Side(base["cells"], theirs["cells"])

    def result(self) -> Merged:
        left, right = self.sides
        count = len(self.base["cells"])
        for at in range(count + 1):
            self._gap(left.gaps[at], self._not_elsewhere(right.gaps[at]))
            if at < count and at not in left.moved and at not in right.moved:
                self._place(at)
        self.made.notebook = {
            **self._rest(),
            "cells": self.cells,
            "metadata": self._metadata(
                self.base["metadata"], self.ours["metadata"], self.theirs["metadata"], "the notebook's metadata"
            ),
        }
        self._identify()
        return self.made

    def _not_elsewhere(self, items: Sequence[_Item]) -> list[_Item]:
        """What the other side has here; not those cells that our side moved too: they stand where ours has them."""
        return [item for item in items if item.at is None or item.at not in self.sides[0].moved]

    # ── cells that one side added or moved here ───────────────────────────────────────────────────────────────
    def _gap(self, ours: list[_Item], theirs: list[_Item]) -> None:
        same = 0
        while same < min(len(ours), len(theirs)) and _equal(ours[same].cell, theirs[same].cell):
            same += 1
        for item in ours[:same]:
            self._put(item)
        ours, theirs = ours[same:], theirs[same:]
        end = 0
        while end < min(len(ours), len(theirs)) and _equal(ours[-1 - end].cell, theirs[-1 - end].cell):
            end += 1
        last = ours[len(ours) - end :]
        ours, theirs = ours[: len(ours) - end], theirs[: len(theirs) - end]
        if ours and theirs:
            if len(ours) == len(theirs) == 1 and _twins(ours[0].cell, theirs[0].cell):
                self._put_joined(ours[0], theirs[0])
            else:
                self._both(ours, theirs)
        else:
            for item in (*ours, *theirs):
                self._put(item)
        for item in last:
            self._put(item)

    def _put(self, item: _Item) -> None:
        if item.at is None:
            self.cells.append(copy.deepcopy(item.cell))
        else:
            self._place(item.at)

    def _put_joined(self, ours: _Item, theirs: _Item) -> None:
        """The same cell, added by both sides with other contents."""
        empty = {**ours.cell, "source": "", "metadata": {}}
        self.cells.append(self._joined(empty, ours.cell, theirs.cell))

    def _both(self, ours: list[_Item], theirs: list[_Item]) -> None:
        left, right = self.labels
        number = len(self.cells) + 1
        self.cells.append(self._mark("<", left, "both sides added cells here. From this side:"))
        for item in ours:
            self._put(item)
        self.cells.append(self._mark("=", "", "and from the other side:"))
        for item in theirs:
            self._put(item)
        self.cells.append(self._mark(">", right, "Keep what is right, and delete these three marks."))
        self.made.conflicts.append(f"cells {number}–{len(self.cells)}: both sides added cells at the same place")

    def _mark(self, sign: str, label: str, text: str) -> Cell:
        """A cell that says what is in conflict."""
        return {
            "cell_type": "markdown",
            "metadata": {},
            "source": f"`{sign * self.size}` {label} {text}".replace("  ", " "),
        }

    # ── cells of the base ─────────────────────────────────────────────────────────────────────────────────────
    def _place(self, at: int) -> None:
        base = self.base["cells"][at]
        left, right = (side.cells[side.of[at]] if at in side.of else None for side in self.sides)
        if left is not None and right is not None:
            self.cells.append(self._joined(base, left, right))
            return
        one = left if left is not None else right
        if one is None or _equal(base, one):
            return  # removed by one side, and not changed by the other
        gone = self.labels[0] if left is None else self.labels[1]
        number = len(self.cells) + 1
        text = "removed this cell, which the other side changed. Keep it or delete it, and delete these two marks."
        self.cells += [self._mark("<", gone, text), copy.deepcopy(one), self._mark(">", "", "")]
        self.made.conflicts.append(f"cell {number + 1}: {gone} removed it, the other side changed it")

    def _joined(self, base: Cell, ours: Cell, theirs: Cell) -> Cell:
        """One cell of three."""
        cell = copy.deepcopy(ours)
        number = len(self.cells) + 1
        source, conflict = self._lines(base.get("source", ""), ours.get("source", ""), theirs.get("source", ""))
        cell["source"] = source
        if conflict:
            self.made.conflicts.append(f"cell {number}: both sides changed the same lines{_first_line(ours)}")
        kind = theirs["cell_type"] if ours["cell_type"] == base["cell_type"] else ours["cell_type"]
        if kind != ours["cell_type"]:
            cell["cell_type"] = kind
        cell["metadata"] = self._metadata(base["metadata"], ours["metadata"], theirs["metadata"], f"cell {number}")
        was, left, right = (side.get("attachments", {}) for side in (base, ours, theirs))
        attachments = self._metadata(was, left, right, f"cell {number}, attachments")
        for key in ("attachments", "outputs", "execution_count"):
            cell.pop(key, None)
        if attachments and kind != "code":
            cell["attachments"] = attachments
        if kind == "code":
            of = ours if source == ours.get("source") else theirs if source == theirs.get("source") else {}
            cell["outputs"] = copy.deepcopy(of.get("outputs", []))
            cell["execution_count"] = None
        return cell

    def _lines(self, base: str, ours: str, theirs: str) -> tuple[str, bool]:
        if theirs in (ours, base):
            return ours, False
        if base == ours:
            return theirs, False
        return self.merge_lines(base, ours, theirs)

    # ── what is beside the cells ──────────────────────────────────────────────────────────────────────────────
    def _metadata(self, base: Any, ours: Any, theirs: Any, where: str) -> Cell:
        merged: Cell = {}
        for key in dict.fromkeys((*ours, *theirs, *base)):
            was, left, right = (side.get(key, _NONE) for side in (base, ours, theirs))
            value = left if right in (left, was) else right if left == was else _OPEN
            if value is _OPEN:
                if isinstance(left, dict) and isinstance(right, dict) and key not in _OURS:
                    value = self._metadata(was if isinstance(was, dict) else {}, left, right, f"{where}, {key}")
                elif key == "tags" and isinstance(left, list) and isinstance(right, list):
                    value = _tags(was if isinstance(was, list) else [], left, right)
                else:
                    value = left if left is not _NONE else right
                    if key != "language_info":
                        self.made.notes.append(
                            f"{where}: {key} is that of {self.labels[0 if left is not _NONE else 1]}"
                        )
            if value is not _NONE:
                merged[key] = copy.deepcopy(value)
        return merged

    def _rest(self) -> Cell:
        """The format: the newer one of the two."""
        minors = [int(side.get("nbformat_minor", 0)) for side in (self.ours, self.theirs)]
        others = {k: v for k, v in self.ours.items() if k not in ("cells", "metadata")}
        return {**others, "nbformat": 4, "nbformat_minor": max(minors)}

    def _identify(self) -> None:
        """Each cell gets an id of its own where the format has ids, and none where it has not."""
        has_ids = self.made.notebook["nbformat_minor"] >= 5
        seen: set[str] = set()
        for number, cell in enumerate(self.cells):
            known = cell.pop("id", None)
            if has_ids:
                new = str(known) if known else _made_id(cell, 0)
                count = 0
                while new in seen:
                    count += 1
                    new = _made_id(cell, number + count)
                seen.add(new)
                cell["id"] = new


_NONE, _OPEN = object(), object()


def _made_id(cell: Mapping[str, Any], number: int) -> str:
    return hashlib.sha256(f"{number}\n{cell.get('source', '')}".encode("utf-8", "replace")).hexdigest()[:8]


def _tags(base: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Any]:
    gone = [tag for tag in base if tag not in ours or tag not in theirs]
    return [tag for tag in (*ours, *(t for t in theirs if t not in ours)) if tag not in gone]


def _keyed(cell: Mapping[str, Any]) -> notebookdiff.Keyed:
    return f"{cell['cell_type']}\n{cell.get('source', '')}", cell.get("id")


def _equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two cells say the same; their ids may differ, outputs do not count."""
    return all(a.get(key) == b.get(key) for key in ("cell_type", "source", "metadata", "attachments"))


def _became(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether one cell became the other: it bears its id, or is much like it (there are programs that give new ids)."""
    return (a.get("id") is not None and a.get("id") == b.get("id")) or _alike(a, b)


def _twins(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two cells that both sides added are one."""
    return a["id"] == b["id"] if "id" in a and "id" in b else _alike(a, b)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    left, right = (str(cell.get("source", ""))[:_LOOKED_AT] for cell in (a, b))
    matcher = difflib.SequenceMatcher(None, left, right)
    return a["cell_type"] == b["cell_type"] and matcher.quick_ratio() >= _ALIKE <= matcher.ratio()


def _first_line(cell: Mapping[str, Any]) -> str:
    line = next((line.strip() for line in str(cell.get("source", "")).splitlines() if line.strip()), "")
    return f" ({line[:60]}{'…' if len(line) > 60 else ''})" if line else ""
