"""The sides of a comparison: a recorded run, the present state of the project, or a commit, each as a record."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nbledger.core import cells, drawn, foreign, git, record, superseded
from nbledger.core.cells import Cell
from nbledger.core.differences import Compared
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.records import RunRow

RUN, PRESENT, COMMIT = "run", "present", "commit"
_KEPT = 64


@dataclass(frozen=True)
class Side:
    """One side: ``title`` is what it is called, ``commit`` holds its code (None: the work tree, or nowhere).

    ``knows``: whether metrics, parameters and environment were recorded at all; a commit has none of them. ``note`` says
    what stands for code that nobody recorded.
    """

    title: str
    kind: str
    record: Record
    commit: str | None = None
    knows: bool = True
    needed: tuple[int, ...] = field(default=())
    note: str = ""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Of a run, the kinds of things that nobody recorded: code, data, environment, seed."""
        if self.kind != RUN:
            return ()
        found = self.record
        without = {
            "code": not found.cells and not found.modules,
            "data": "nbledger/inputs.json" in found.lacking,
            "environment": found.environment is None,
            "seed": found.row.foreign,
        }
        return tuple(kind for kind, lacks in without.items() if lacks)

    def compared(self) -> Compared:
        row = self.record.row
        return Compared(
            title=self.title,
            kind=self.kind,
            run_id=row.run_id,
            status=row.status,
            experiment=row.experiment,
            start=row.start,
            end=row.end,
            notebook=row.notebook,
            commit=self.commit,
            dirty=row.dirty,
            user=row.user,
            origin=row.origin,
            unknown=self.unknown,
        )


def of_run(project: Project, row: RunRow, title: str) -> Side:
    """A run's side; what an ended run recorded does not change, so it is read once."""
    found, note = foreign.standing_in(project, _kept(project, row))
    chosen = found.needed if note else superseded.standing(found.cells, needed(found))
    return Side(title, RUN, found, row.snapshot or row.commit, needed=chosen, note=note)


_records: OrderedDict[tuple[str, str, str], Record] = OrderedDict()
_guard = threading.Lock()


def _kept(project: Project, row: RunRow) -> Record:
    """The record of a run: artifacts of an ended one from memory, its row (tags, metrics) always the store's."""
    from dataclasses import replace

    key = (project.tracking_uri, row.run_id, row.end or "")
    with _guard:
        known = _records.get(key)
    if known is None:
        known = record.load(project, row)
        if row.end and not known.lacking:
            with _guard:
                _records[key] = known
                while len(_records) > _KEPT:
                    _records.popitem(last=False)
    if known.row == row:
        return known
    own = {k: (record.Point(0, v),) for k, v in row.metrics.items()}
    series = {
        k: known.metrics[k] if k in known.metrics and known.metrics[k][-1].value == v[0].value else v
        for k, v in own.items()
    }
    return replace(known, row=row, params=dict(known.params) | dict(row.params), metrics=dict(known.metrics) | series)


def needed(found: Record) -> tuple[int, ...]:
    """Indexes of the cells that the run's own depends on, itself included, also through what was drawn from the global
    generators; worked out where no record says.
    """
    if "nbledger/session.json" in found.lacking or not found.needed:
        return slice_of(found.cells)
    return drawn.linked(found.cells, [i for i in found.needed if i < len(found.cells)])


def slice_of(executed: Sequence[record.ExecutedCell]) -> tuple[int, ...]:
    if not executed:
        return ()
    known = [Cell(c.source, c.cell_id, 0.0, c.execution_count, c.ok) for c in executed]
    return (*cells.slice_of(known), len(known) - 1)


def titles(rows: Sequence[RunRow]) -> list[str]:
    """Names that tell the runs apart: their own where these differ, else with the beginning of their ids."""
    named = [row.name or row.run_id[:8] for row in rows]
    return [
        name if named.count(name) == 1 else f"{name} ({row.run_id[:8]})" for name, row in zip(named, rows, strict=True)
    ]


def texts(project: Project, side: Side, paths: Sequence[str]) -> Mapping[str, str | None]:
    """{path: text} of files of the project as this side had them; None where they are not at hand."""
    inside = tuple(sorted(p for p in paths if not Path(p).is_absolute()))
    found: dict[str, str | None] = dict.fromkeys(paths)
    if side.kind == PRESENT:
        for path in inside:
            found[path] = _read(project.root / path)
    elif side.commit is not None and project.git is not None and git.is_hex(side.commit):
        blobs = _blobs(project.git, side.commit, inside)
        found |= {path: raw.decode("utf-8", "replace") if raw is not None else None for path, raw in blobs.items()}
    return found


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


@lru_cache(128)
def _blobs(repo: git.GitRepo, commit: str, paths: tuple[str, ...]) -> Mapping[str, bytes | None]:
    """A commit never changes, so one call of Git serves all later questions."""
    found = git.objects_at(repo, commit, paths) if paths else {}
    return {path: found[path][2] if path in found and found[path][1] == "blob" else None for path in paths}


def notebook(project: Project, side: Side) -> tuple[cells.DiskCell, ...] | None:
    """The code cells of the side's notebook as its snapshot has it; None where that is not known."""
    path = side.record.row.notebook
    if not path or not path.endswith(".ipynb"):
        return None
    text = texts(project, side, [path]).get(path)
    return cells.parse_notebook(text) if text is not None else None
