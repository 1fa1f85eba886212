"""Everything recorded of one run, read back from its MLflow run and from its artifacts under ``nbledger/``.

``row`` comes from MLflow's own fields. The rest is in four files: ``session.ipynb`` (the executed cells in order) with
``session.json`` (what each of them did), ``environment.json``, ``inputs.json`` and ``outputs.json``, and
``manifest.json`` (every recorded value exactly as it was). A run that was recorded by plain MLflow has none of them;
``lacking`` names what could not be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import environment as environments
from nbledger.core import lineage as lineages
from nbledger.core import mlflow
from nbledger.core.environment import Environment
from nbledger.core.lineage import FileRecord
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.values import legal_key

FOLDER = "nbledger"
_ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class ExecutedCell:
    """One execution of a cell. ``reads`` and ``writes`` are paths as those of file records.

    ``random``: {generator: (digest of its state before, after)} of the global generators that moved while the cell
    ran (``random``, ``numpy``, ``torch``). ``unseeded``: generators it made without a seed, in words. ``remote``: hosts
    it talked to. ``children``: programs it started. ``saved``: whether the notebook on disk held this source then; None
    where there was no notebook.
    """

    source: str
    cell_id: str | None = None
    ok: bool = True
    execution_count: int | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    random: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unseeded: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    saved: bool | None = None


@dataclass(frozen=True)
class Point:
    """One value of a metric; ``at`` in milliseconds since the epoch."""

    step: int
    value: float
    at: int = 0


@dataclass(frozen=True)
class Record:
    """A run. ``cells`` are all that its kernel had executed, the run's own last; ``needed`` the indexes of those that the
    last one depends on, itself included. ``cwd`` is the kernel's folder relative to the root (absolute outside).
    ``modules`` are the project's own modules that were loaded, ``imported`` {distribution: version} of the others.
    ``hashing`` is a digest of how this process hashed strings (it differs between processes without PYTHONHASHSEED).
    ``hidden`` are the warnings about state that a fresh run from top to bottom would not have.
    """

    row: RunRow
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    cells: tuple[ExecutedCell, ...] = ()
    needed: tuple[int, ...] = ()
    cwd: str = "."
    inputs: tuple[FileRecord, ...] = ()
    outputs: tuple[FileRecord, ...] = ()
    modules: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    environment: Environment | None = None
    imported: Mapping[str, str] = field(default_factory=dict)
    hashing: str | None = None
    seeds: Mapping[str, Any] = field(default_factory=dict)
    order: str = ""
    order_detail: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    batch: bool = False
    first: int = 0
    lacking: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def run_id(self) -> str:
        return self.row.run_id

    @property
    def remade(self) -> frozenset[str]:
        """Files that the cells it needs write before they read them: executing these again makes them anew."""
        read, written = set[str](), set[str]()
        for cell in (self.cells[i] for i in self.needed if i < len(self.cells)):
            read |= set(cell.reads) - written
            written |= set(cell.writes)
        return frozenset(written - read)


@dataclass(frozen=True)
class Located:
    """A run, and where the files of its record are on this machine."""

    row: RunRow
    folder: str | None


def load(project: Project, row: RunRow) -> Record:
    """Read a run's artifacts. ``Unreachable`` when the store does not answer; what it does not hold is ``lacking``."""
    return read(row, folder_of(project, row))


def folder_of(project: Project, row: RunRow) -> Path | None:
    """Where a run's record is: in the store, or fetched from it once the run has ended."""
    kept = project.state / "records" if row.status in _ENDED else None
    return mlflow.artifact_folder(project, row.run_id, FOLDER, kept)


def read(row: RunRow, folder: Path | None) -> Record:
    """The record that the files in ``folder`` (the artifacts under ``nbledger/``) and the row make."""
    lacking: list[str] = []

    def opened(name: str) -> dict[str, Any]:
        try:
            found = json.loads((folder / name).read_bytes()) if folder else None
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            lacking.append(f"{FOLDER}/{name}")
            return {}
        return found

    manifest, session, book = opened("manifest.json"), opened("session.json"), opened("session.ipynb")
    surroundings, read_files, written = opened("environment.json"), opened("inputs.json"), opened("outputs.json")
    cells = _cells(book, session)
    found = lineages.from_dict({**read_files, **written})
    events = [e for e in manifest.get("events", ()) if isinstance(e, dict)]
    taken: dict[str, Any] = next((e for e in events if e.get("t") == "snapshot"), {})
    return Record(
        row,
        params=manifest.get("params") or dict(row.params),
        metrics=_metrics(manifest, row),
        cells=cells,
        needed=tuple(session.get("needed", range(len(cells)))),
        cwd=str(session.get("cwd", ".")),
        inputs=found.inputs,
        outputs=found.outputs,
        modules=found.modules,
        unseen=found.unseen,
        absent=found.absent,
        environment=environments.from_dict(surroundings) if surroundings else None,
        imported=dict(surroundings.get("imported", {})),
        hashing=surroundings.get("hashing"),
        seeds=_json(row.tags.get("nbledger.seeds", "")),
        order=row.tags.get("nbledger.order", ""),
        order_detail=tuple(session.get("order", ())),
        hidden=tuple(session.get("hidden", ())),
        notices=tuple(manifest.get("notices", ())),
        left_out=tuple(taken.get("left_out", ())),
        batch=bool(session.get("batch", False)),
        first=int(session.get("first", 0)),
        lacking=tuple(lacking),
        folder=folder,
    )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _metrics(manifest: dict[str, Any], row: RunRow) -> dict[str, tuple[Point, ...]]:
    """The recorded series under their own names, and the last values of those that the user's own MLflow calls logged."""
    series = {
        key: tuple(Point(int(step), float(value), int(at)) for value, step, at in points)
        for key, points in manifest.get("metrics", {}).items()
    }
    told = {*series, *map(legal_key, series)}  # a name that MLflow does not allow is another one in the store
    return {key: (Point(0, value),) for key, value in row.metrics.items() if key not in told} | series


def _cells(book: dict[str, Any], session: dict[str, Any]) -> tuple[ExecutedCell, ...]:
    facts = session.get("cells", [])
    codes = [c for c in book.get("cells", ()) if c.get("cell_type") == "code"]
    made = []
    for index, cell in enumerate(codes):
        fact = facts[index] if index < len(facts) else {}
        made.append(
            ExecutedCell(
                source="".join(cell.get("source", "")),
                cell_id=fact.get("id", cell.get("id")),
                ok=bool(fact.get("ok", True)),
                execution_count=cell.get("execution_count"),
                reads=tuple(fact.get("reads", ())),
                writes=tuple(fact.get("writes", ())),
                random={name: (str(pair[0]), str(pair[1])) for name, pair in fact.get("random", {}).items()},
                unseeded=tuple(fact.get("unseeded", ())),
                remote=tuple(fact.get("remote", ())),
                children=tuple(fact.get("children", ())),
                saved=fact.get("saved"),
            )
        )
    return tuple(made)
