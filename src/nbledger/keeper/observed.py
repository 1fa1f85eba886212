"""What recorded runs of a notebook saw its cells do, the newest execution of each counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import record, stagecells
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.record import ExecutedCell
from nbledger.core.records import RunRow

_RUNS = 20
Ask = Callable[[str, dict[str, Any]], Any]


@dataclass(frozen=True)
class Seen:
    """``cells`` in the order of their execution, and the project's own ``modules`` that were loaded; ``runs``: names of the
    runs that saw it.
    """

    cells: tuple[ExecutedCell, ...] = ()
    modules: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def seen(project: Project, notebook: str, book: Any, name: str, ask: Ask) -> Seen:
    """What is known of the cells of the stage ``name`` of ``notebook`` (its path from the root; ``book``: its cells): runs are
    looked at, the newest first, until one has been found for each of them. ``ask`` asks the keeper.
    """
    chosen = stagecells.slice_of(book, name)
    wanted = {stagecells.plain(book.cells[at].source) for at in chosen.indexes}
    cells: list[ExecutedCell] = []
    modules: dict[str, None] = {}
    runs: list[str] = []
    for row in _rows(notebook, ask):
        try:
            located = ask("record", {"run": row.run_id})
            held = record.read(located.row, Path(located.folder) if located.folder else None)
        except LedgerError:
            continue
        here = [cell for cell in held.cells if stagecells.plain(cell.source) in wanted and cell.ok]
        if not here:
            continue
        wanted -= {stagecells.plain(cell.source) for cell in here}
        cells = [*here, *cells]
        modules |= dict.fromkeys(held.modules)
        runs.append(row.name or row.run_id[:8])
        if not wanted:
            break
    return Seen(tuple(cells), tuple(modules), tuple(runs))


def _rows(notebook: str, ask: Ask) -> list[RunRow]:
    quote = '"' if "'" in notebook else "'"
    text = f"tags.`mlflow.source.name` = {quote}{notebook}{quote}"
    found: list[RunRow] = ask("runs", {"text": text, "sort": "", "limit": _RUNS, "experiment": None})
    return [row for row in found if row.status != "RUNNING"]
