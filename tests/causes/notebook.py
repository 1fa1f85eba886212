"""The notebook of a base: percent format in, a real ``.ipynb`` out, and the edits that cases make to its cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from causes.case import Change

FILE = "notebook.ipynb"
_MARK = re.compile(r"# %% *(?P<text>\[markdown\])? *(?P<id>[\w-]+)? *(?:\[(?P<tags>[\w, -]+)\])?$")


@dataclass(frozen=True)
class Cell:
    id: str
    source: str
    markdown: bool = False
    tags: tuple[str, ...] = ()


Cells = tuple[Cell, ...]


def read(path: Path) -> Cells:
    """The cells of a percent script: ``# %% id``, ``# %% id [parameters]``, ``# %% [markdown] id``."""
    cells: list[Cell] = []
    lines: list[str] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), "# %%"]:
        found = _MARK.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        if cells:
            cells[-1] = replace(cells[-1], source="\n".join(lines).strip("\n"))
        lines = []
        tags = tuple(re.split(r"[, ]+", found["tags"])) if found["tags"] else ()
        cells.append(Cell(found["id"] or f"cell-{len(cells)}", "", bool(found["text"]), tags))
    return tuple(cells[:-1])


def load(path: Path) -> Cells:
    """The cells of a notebook that ``text`` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return tuple(
        Cell(c["id"], "".join(c["source"]), c["cell_type"] == "markdown", tuple(c["metadata"].get("tags", ())))
        for c in found
    )


def text(cells: Iterable[Cell]) -> str:
    """What JupyterLab would save, without outputs."""
    made = []
    for cell in cells:
        source = cell.source.splitlines(keepends=True)
        one = {"id": cell.id, "metadata": {"tags": list(cell.tags)} if cell.tags else {}, "source": source}
        code = {"cell_type": "code", "execution_count": None, "outputs": []}
        made.append(one | ({"cell_type": "markdown"} if cell.markdown else code))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def edited(cells: Cells, change: Change) -> Cells:
    """The cells after a change that names one: ``edit-cell``, ``insert-cell``, ``delete-cell``, ``move-cell``."""
    name = change["cell"]
    if change["do"] == "insert-cell":
        new = Cell(name, change["source"].strip("\n"), change.get("markdown", False), tuple(change.get("tags", ())))
        at = 1 + _place(cells, change["after"])
        return (*cells[:at], new, *cells[at:])
    at = _place(cells, name)
    if change["do"] == "delete-cell":
        return (*cells[:at], *cells[at + 1 :])
    if change["do"] == "move-cell":
        rest = (*cells[:at], *cells[at + 1 :])
        to = 1 + _place(rest, change["after"])
        return (*rest[:to], cells[at], *rest[to:])
    return (*cells[:at], replace(cells[at], source=_source(cells[at], change)), *cells[at + 1 :])


def _source(cell: Cell, change: Change) -> str:
    if "source" in change:
        return str(change["source"]).strip("\n")
    old, new = change["old"], change["new"]
    if cell.source.count(old) != 1:
        raise ValueError(f"cell {cell.id}: {old!r} stands in it {cell.source.count(old)} times, not once")
    return cell.source.replace(old, new)


def _place(cells: Cells, name: str) -> int:
    found = [i for i, cell in enumerate(cells) if cell.id == name]
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} cells {name!r}: {', '.join(c.id for c in cells)}")
    return found[0]
