"""Everything recorded of one run, for a view: its record, what the store says of it now, and what became of it since."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core import envdiff, mlflow, mlflow_registry, mlflow_runs, record, registry, runs, sides
from nbledger.core.environment import canonical
from nbledger.core.errors import LedgerError, ToolFailed
from nbledger.core.lineage import FileRecord
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.records import RunRow
from nbledger.core.registry import VersionRow
from nbledger.core.values import MAX_PARAM, legal_key

POINTS = 200
_ARTIFACTS, _FILES, _CELLS, _TIED, _SERIES = 2000, 5000, 2000, 500, 60
_WHOLE = ("manifest.json", "session.json", "session.ipynb", "environment.json", "inputs.json", "outputs.json")
_SOURCES = 4_000_000  # characters of all sources together


@dataclass(frozen=True)
class File:
    path: str
    state: str
    md5: str | None
    size: int | None
    dataset: str | None


@dataclass(frozen=True)
class CellRow:
    source: str
    id: str | None
    ok: bool
    execution_count: int | None
    needed: bool
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class PackageRow:
    name: str
    version: str
    imported: bool


@dataclass(frozen=True)
class Surroundings:
    python: str
    platform: str
    packages: tuple[PackageRow, ...]
    hardware: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    path: str
    size: int | None
    folder: bool


@dataclass(frozen=True)
class Detail:
    """``lacking`` names what was not recorded, could not be read now, or is too long to be shown whole."""

    run: RunRow
    deleted: bool = False
    params: dict[str, str] = field(default_factory=dict)
    series: dict[str, tuple[tuple[int, float, int], ...]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    inputs: tuple[File, ...] = ()
    outputs: tuple[File, ...] = ()
    cells: tuple[CellRow, ...] = ()
    modules: tuple[str, ...] = ()
    environment: Surroundings | None = None
    seeds: dict[str, str] = field(default_factory=dict)
    order: str = ""
    order_detail: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    models: tuple[VersionRow, ...] = ()
    logged_models: tuple[str, ...] = ()
    children: tuple[RunRow, ...] = ()
    reproductions: tuple[RunRow, ...] = ()


def of_run(project: Project, row: RunRow, held: Record) -> Detail:
    """Everything of a run that the store has, and its record. ``Unreachable`` where the store does not answer at all."""
    uri = project.tracking_uri
    api = mlflow.client(project)
    run = mlflow.get_run(api, uri, row.run_id)
    if run is None:
        raise ToolFailed(f"MLflow has no run {row.run_id}", "it was removed for good (mlflow gc)")
    found = of_record(held)
    asked = _Asked(list(found.lacking))
    listed, whole = asked("artifacts", ([], True), lambda: mlflow_runs.artifacts(api, uri, row.run_id, _ARTIFACTS))
    if not whole:
        asked.lacking.append(f"the first {len(listed):,} artifacts are shown")
    known = _experiments(project, api, uri, str(run.info.experiment_id))
    series = asked("series", {}, lambda: _stored(api, uri, row, found, asked.lacking))
    tags = {str(k): str(v) for k, v in run.data.tags.items()}
    return replace(
        found,
        deleted=mlflow_runs.deleted(run),
        series=series | found.series,
        tags=tags,
        note=tags.get(mlflow_runs.NOTE, ""),
        notices=found.notices or _split(tags.get("nbledger.notices", "")),
        artifacts=tuple(Artifact(*one) for one in listed),
        models=tuple(asked("model versions", [], lambda: registry.of_run(project, api, row))),
        logged_models=tuple(dict.fromkeys(m.name for m in _logged(asked, api, uri, run))),
        children=asked("children", (), lambda: _tied(api, uri, known, mlflow_runs.PARENT, row)),
        reproductions=asked("reproductions", (), lambda: _tied(api, uri, known, runs.REPRODUCES, row)),
        lacking=tuple(asked.lacking),
    )


class _Asked:
    """Questions to the store: one that fails is said, and costs only its own answer."""

    def __init__(self, lacking: list[str]) -> None:
        self.lacking = lacking

    def __call__(self, what: str, otherwise: Any, ask: Any) -> Any:
        try:
            return ask()
        except LedgerError as err:
            self.lacking.append(f"{what}: {err.message}")
            return otherwise


def _logged(asked: _Asked, api: Any, uri: str, run: Any) -> list[mlflow_registry.Logged]:
    found: list[mlflow_registry.Logged] = asked("logged models", [], lambda: mlflow_registry.logged_by(api, uri, run))
    return found


def _experiments(project: Project, api: Any, uri: str, own: str) -> dict[str, str]:
    """Where a run's children and reproductions may be: in its experiment, in an embedded store in any."""
    return mlflow.experiments(api, uri) if project.embedded else {own: mlflow.experiment_name(api, uri, own)}


def _tied(api: Any, uri: str, known: Mapping[str, str], tag: str, row: RunRow) -> tuple[RunRow, ...]:
    found = mlflow_runs.tied(api, uri, list(known), tag, row.run_id, _TIED)
    return tuple(runs.row(run, known.get(str(run.info.experiment_id), row.experiment)) for run in found)


def _stored(
    api: Any, uri: str, row: RunRow, found: Detail, lacking: list[str]
) -> dict[str, tuple[tuple[int, float, int], ...]]:
    """Series that no manifest holds: of a run that is going on, of plain MLflow, of the user's own calls."""
    told = {*found.series, *map(legal_key, found.series)}
    keys = [key for key in row.metrics if key not in told]
    if len(keys) > _SERIES:
        lacking.append(f"the series of the first {_SERIES} metrics are shown")
    series = {
        key: mlflow_runs.sampled(api, uri, [row.run_id], key, POINTS).get(row.run_id, []) for key in keys[:_SERIES]
    }
    return {key: tuple(points) for key, points in series.items() if len(points) > 1}


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("; ") if part)


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────


def loaded(project: Project, row: RunRow) -> Record:
    """The run's record. Files that somebody damaged are as good as none."""
    try:
        return record.load(project, row)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as err:
        empty = record.read(row, None)
        return replace(
            empty,
            lacking=(*empty.lacking, f"what is under {record.FOLDER}/ cannot be understood ({type(err).__name__})"),
        )


def of_record(found: Record) -> Detail:
    """What the record alone says."""
    row, lacking = found.row, _lacking(found)
    return Detail(
        row,
        params=_params(found),
        series={key: thinned(_triples(points)) for key, points in found.metrics.items() if len(points) > 1},
        tags=dict(row.tags),
        note=row.tags.get(mlflow_runs.NOTE, ""),
        inputs=_files(found.inputs, "inputs", lacking),
        outputs=_files(found.outputs, "outputs", lacking),
        cells=_cells(found, lacking),
        modules=found.modules,
        environment=_surroundings(found),
        seeds={str(k): v if isinstance(v, str) else json.dumps(v) for k, v in found.seeds.items()},
        order=found.order,
        order_detail=found.order_detail,
        hidden=found.hidden,
        notices=found.notices,
        left_out=found.left_out,
        lacking=tuple(lacking),
    )


def _lacking(found: Record) -> list[str]:
    """What was not recorded; in a sentence where it is all."""
    names = [f"{record.FOLDER}/{name}" for name in _WHOLE]
    if not set(names) <= set(found.lacking):
        return list(found.lacking)
    what = "cells, environment, inputs and outputs"
    if found.row.end is None:
        said = f"{what} are recorded when the run ends"
    elif "nbledger.schema" not in found.row.tags:
        said = f"{what} are not known: nbledger did not record this run"
    else:
        said = f"{what} are gone: the store no longer has the artifacts under {record.FOLDER}/"
    return [said, *(line for line in found.lacking if line not in names)]


def _params(found: Record) -> dict[str, str]:
    """All parameters under their own names: what the manifest says, and what the user's own MLflow calls logged."""
    renamed = {legal_key(key) for key in found.params}
    own = {key: text for key, text in found.row.params.items() if key not in renamed}
    return {key: _short(str(text)) for key, text in (own | dict(found.params)).items()}


def _short(text: str) -> str:
    return text if len(text) <= MAX_PARAM else f"{text[:MAX_PARAM]}… ({len(text):,} characters)"


def _triples(points: Iterable[record.Point]) -> list[tuple[int, float, int]]:
    return [(p.step, p.value, p.at) for p in points]


def thinned(points: Sequence[tuple[int, float, int]], most: int = POINTS) -> tuple[tuple[int, float, int], ...]:
    """At most ``most`` points that draw the same curve: of each stretch the lowest and the highest, and both ends."""
    if len(points) <= most:
        return tuple(points)
    inner, stretches = range(1, len(points) - 1), max(1, (most - 2) // 2)
    kept = {0, len(points) - 1}
    for number in range(stretches):
        part = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        if part:
            kept |= {min(part, key=lambda i: _finite(points[i][1])), max(part, key=lambda i: _finite(points[i][1]))}
    return tuple(points[i] for i in sorted(kept))


def _finite(value: float) -> float:
    """NaN orders nowhere: it counts as the lowest, so that a curve with a gap shows it."""
    return -math.inf if math.isnan(value) else value


def _files(records: Sequence[FileRecord], what: str, lacking: list[str]) -> tuple[File, ...]:
    if len(records) > _FILES:
        lacking.append(f"the first {_FILES:,} of {len(records):,} {what} are shown")
    return tuple(File(r.path, r.state, r.md5, r.size, r.dataset) for r in records[:_FILES])


def _cells(found: Record, lacking: list[str]) -> tuple[CellRow, ...]:
    """The executed cells, the newest of very many; a source that is too long is cut."""
    needed = set(sides.needed(found))
    first = max(0, len(found.cells) - _CELLS)
    if first:
        lacking.append(f"the last {_CELLS:,} of {len(found.cells):,} executed cells are shown")
    left, cut, rows = _SOURCES, 0, list[CellRow]()
    for index in range(len(found.cells) - 1, first - 1, -1):
        cell = found.cells[index]
        source = cell.source[:left]
        left -= len(source)
        cut += source != cell.source
        shown = (source, cell.cell_id, cell.ok, cell.execution_count, index in needed)
        rows.append(CellRow(*shown, cell.reads[:_FILES], cell.writes[:_FILES]))
    if cut:
        lacking.append(f"the sources of {cut} cells are cut")
    return tuple(reversed(rows))


def _surroundings(found: Record) -> Surroundings | None:
    known = found.environment
    if known is None:
        return None
    imported = {canonical(name) for name in found.imported}
    packages = sorted((PackageRow(p[0], p[1], canonical(p[0]) in imported) for p in known.packages), key=_by_name)
    python = f"{known.implementation} {known.python}" if known.implementation != "cpython" else known.python
    hardware = {row.name: str(row.values[0]) for row in envdiff.hardware([found], everything=True) if row.values[0]}
    return Surroundings(python, known.platform, tuple(packages), hardware)


def _by_name(package: PackageRow) -> str:
    return package.name.lower()
