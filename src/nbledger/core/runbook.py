"""The notebook of a run, to be looked at: as it was executed, and what that of another run has otherwise."""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import foreign, mlflow, mlflow_runs, notebookdiff, runrows, sides, standins
from nbledger.core.errors import Refused, ToolFailed
from nbledger.core.project import Project
from nbledger.core.record import FOLDER, ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.core.sides import Side

EXECUTED, SESSION, SNAPSHOT = "executed", "session", "snapshot"
MB = 1 << 20
_MOST, _MOST_READ, _MOST_CELLS = 10 * MB, 100 * MB, 5000


@dataclass(frozen=True)
class RunNotebook:
    """A notebook of format 4. ``kind``: executed (the artifact of a run of a whole notebook, with its outputs), session
    (the cells that the kernel had executed, in order) or snapshot (the file as the run's commit holds it).
    ``note`` says what it does not show.
    """

    kind: str
    name: str
    notebook: dict[str, Any]
    note: str = ""


@dataclass(frozen=True)
class NotebookDiff:
    """``base`` and ``diff`` as nbdime's views take them; ``a`` and ``b`` say what was compared."""

    a: str
    b: str
    base: dict[str, Any]
    diff: list[dict[str, Any]]
    note: str = ""


def of_run(project: Project, row: RunRow, found: Record, *, reached: bool = True) -> RunNotebook:
    """The executed notebook if the run has kept one, else the executed cells.

    Of a run of single cells the outputs were recorded nowhere. Those that its snapshot's notebook holds may be of an
    earlier execution, or of another kernel, so they are not shown. ``reached``: whether the store answers.
    """
    if reached and (found.batch or not found.cells):
        kept = _artifact(project, row)
        if kept is not None:
            return kept
    if found.cells:
        return _session(row, found)
    held = _in_snapshot(project, row)
    if held is not None:
        return held
    raise Refused(f"the run {row.name or row.run_id[:8]} has no notebook", _why_none(project, row))


def _why_none(project: Project, row: RunRow) -> str:
    if not row.foreign:
        return "its cells are not published yet, or its store has lost them"
    made = f"{runrows.made_by(row)} recorded it"
    if row.commit is None:
        return f"{made}, and noted no commit that could hold one"
    if foreign.commit(project, row) is None:
        return f"{made}; the commit that it noted, {row.commit[:12]}, is not in this clone: git fetch"
    path = foreign.source(project, row)
    return f"{made}: {path} at the commit {row.commit[:8]} is what ran" if path else f"{made}, and noted no notebook"


# ── executed ─────────────────────────────────────────────────────────────────────────────────────────────


def _artifact(project: Project, row: RunRow) -> RunNotebook | None:
    """The notebook among the run's own artifacts that bears the name of the run's; where that is not known, the only one."""
    api, uri = mlflow.client(project), project.tracking_uri
    listed = {
        path: size
        for path, size, folder in mlflow_runs.top(api, uri, row.run_id)
        if path.endswith(".ipynb") and not folder
    }
    wanted = posixpath.basename(row.notebook or "")
    if not wanted and len(listed) == 1:
        wanted = next(iter(listed))
    if wanted not in listed:
        return None
    path = wanted
    size = listed[path]
    if size is not None and size > _MOST_READ:
        raise Refused(f"the executed notebook has {size // MB} MB", f"mlflow artifacts download -r {row.run_id}")
    with tempfile.TemporaryDirectory(prefix="nbledger-") as scratch:
        raw = mlflow.download(api, uri, row.run_id, path, Path(scratch)).read_bytes()
    book = _parsed(raw, path)
    shown, note = _within_limit(book, len(raw))
    return RunNotebook(EXECUTED, path, shown, note)


def _parsed(raw: bytes, name: str) -> dict[str, Any]:
    try:
        book = json.loads(raw)
    except (ValueError, RecursionError) as err:
        raise ToolFailed(f"{name} is no notebook: {str(err)[:100]}") from err
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        raise ToolFailed(f"{name} is no notebook of format 4", "jupyter nbconvert --to notebook brings it up to date")
    return book


def _within_limit(book: dict[str, Any], size: int) -> tuple[dict[str, Any], str]:
    """The notebook with as many outputs, from the top, as ten megabytes hold; and what was left out."""
    if size <= _MOST:
        return book, ""
    left = _MOST - len(json.dumps({**book, "cells": [_bare(c) for c in book["cells"]]}))
    if left < 0:
        raise Refused(f"the notebook has {size // MB} MB without its outputs", "mlflow artifacts download fetches it")
    shown, without = [], 0
    for cell in book["cells"]:
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        need = len(json.dumps(outputs)) if outputs else 0
        if need > left:
            without += 1
            shown.append(_bare(cell))
        else:
            left -= need
            shown.append(cell)
    return {**book, "cells": shown}, f"the notebook has {size // MB} MB: the outputs of {without} cells are left out"


def _bare(cell: Any) -> Any:
    """A cell without its outputs and attachments."""
    if not isinstance(cell, dict):
        return cell
    kept = {k: v for k, v in cell.items() if k != "attachments"}
    return {**kept, "outputs": []} if "outputs" in cell else kept


# ── session and snapshot ─────────────────────────────────────────────────────────────────────────────────


def _session(row: RunRow, found: Record) -> RunNotebook:
    name = posixpath.basename(row.notebook or "session.ipynb")
    needed = set(sides.needed(found))
    first = max(0, len(found.cells) - _MOST_CELLS)
    notes = ["the cells that the kernel had executed, in that order; their outputs were not recorded"]
    if first:
        notes.append(f"the last {_MOST_CELLS:,} of {len(found.cells):,} cells are shown")
    book = _book(found.cells[first:], [index in needed for index in range(first, len(found.cells))])
    if len(json.dumps(book)) > _MOST:
        raise Refused("the executed cells have more than 10 MB", f"they are the run's artifact {FOLDER}/session.ipynb")
    return RunNotebook(SESSION, name, book, "; ".join(notes))


def _book(executed: Sequence[ExecutedCell], needed: Sequence[bool]) -> dict[str, Any]:
    """Executed cells as a notebook. What the run depends on, and whether a cell failed, stands in their metadata."""
    made: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "execution_count": cell.execution_count,
            "id": f"nbledger-{number}",
            "metadata": {"nbledger": {"needed": needs, "ok": cell.ok}},
            "outputs": [],
            "source": cell.source,
        }
        for number, (cell, needs) in enumerate(zip(executed, needed, strict=True))
    ]
    metadata = {"language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _in_snapshot(project: Project, row: RunRow) -> RunNotebook | None:
    """The notebook's file in the commit that holds the run's code, without outputs: they are older than the run."""
    path, text = str(row.notebook), _file(project, row)
    if row.foreign and (held := foreign.text(project, row)) is not None and held[0].endswith(".ipynb"):
        path, text = held
    if text is None or len(text) > _MOST_READ:
        return None
    book = _parsed(text.encode("utf-8", "surrogatepass"), path)
    bare = {**book, "cells": [_bare(cell) for cell in book["cells"]]}
    return RunNotebook(SNAPSHOT, posixpath.basename(path), bare, _note(row))


def _note(row: RunRow) -> str:
    if row.foreign:
        changed = "" if row.dirty is False else "whether it had changes when it ran, and "
        return f"the file as the commit {str(row.commit)[:8]} holds it, which MLflow noted: {changed}what was executed is not known"
    known = "is known when the run has ended" if row.end is None else "was not recorded"
    return f"the file as the run's commit holds it; which of its cells were executed {known}"


def _file(project: Project, row: RunRow) -> str | None:
    commit = row.snapshot or row.commit
    if not row.notebook or not row.notebook.endswith(".ipynb") or commit is None:
        return None
    side = Side("", sides.RUN, Record(row), commit)
    return sides.texts(project, side, [row.notebook]).get(row.notebook)


# ── two of them ──────────────────────────────────────────────────────────────────────────────────────────


def difference(project: Project, a: str, b: str) -> NotebookDiff:
    """The cells that two runs (or commits, or ``.``) depend on, in the order of their execution, as nbdime compares them.

    Not the notebooks' files: what was executed is not always what the file held. And not all that the kernels had
    executed: attempts that a result does not depend on would drown what it does. Where a side has no cells, the
    notebook's file in its commit stands for them.
    """
    left, right = standins.find(project, [a, b])
    books, notes = [], []
    files = all(side.note or not side.record.cells for side in (left, right))
    for side in (left, right):
        book, note = _executed(project, side, file=files)
        books.append(book)
        notes += [note] if note else []
    base, diff = notebookdiff.diff(*books)
    return NotebookDiff(left.title, right.title, base, diff, "; ".join(notes))


def _executed(project: Project, side: Side, *, file: bool) -> tuple[Mapping[str, Any], str]:
    """``file``: the notebook's file with its text, since neither side has executed cells."""
    found = side.record
    if found.cells and not file:
        chosen = range(len(found.cells)) if found.batch else side.needed
        book = _book([found.cells[i] for i in chosen], [True] * len(chosen))
        for cell, i in zip(book["cells"], chosen, strict=True):
            cell["id"] = found.cells[i].cell_id  # the author's: by it cells are paired
        return book, f"{side.title}: {_note(found.row)}" if side.note else ""
    held = _in_snapshot(project, found.row)
    if held is None:
        raise Refused(f"{side.title} has no cells to compare: none were recorded", _why_none(project, found.row))
    return held.notebook, f"{side.title}: {held.note}"
