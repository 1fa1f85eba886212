"""Registered models and their versions, each with the run, the code and the data that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core import gates, mlflow, mlflow_registry, mlflow_runs, runs
from nbledger.core.errors import UsageError
from nbledger.core.gates import Gate
from nbledger.core.project import Project, Settings
from nbledger.core.records import Input, RunRow

GATE = "nbledger.gate."
_MOST_MODELS, _MOST_VERSIONS, _MOST_VALUES = 200, 50, 100
_CHAMPION = "champion"


@dataclass(frozen=True)
class VersionRow:
    """A version of a registered model. ``gate``: what a gate wrote on it (tags ``nbledger.gate.*`` without that prefix).
    ``run_name``, ``metrics``, ``commit``, ``notebook`` and ``inputs`` are its run's.
    """

    name: str
    version: str
    aliases: tuple[str, ...] = ()
    run_id: str | None = None
    run_name: str = ""
    created: str | None = None
    status: str = ""
    gate: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    commit: str | None = None
    notebook: str | None = None
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class ModelRow:
    name: str
    description: str
    aliases: dict[str, str]
    versions: tuple[VersionRow, ...]


@dataclass(frozen=True)
class Demanded:
    """The gate that the settings demand for an alias of a model."""

    model: str
    alias: str
    gate: str


@dataclass(frozen=True)
class Models:
    """``notes`` say what was left out; ``gates`` and ``demands`` are those of the settings."""

    models: tuple[ModelRow, ...] = ()
    notes: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    demands: tuple[Demanded, ...] = ()


def models(project: Project) -> Models:
    """The registered models of the store by name, each version with the run that it was made from."""
    uri = project.tracking_uri
    api = mlflow.client(project)
    found, whole = mlflow_registry.models(api, uri, _MOST_MODELS, _MOST_VERSIONS)
    made = _runs(project, api, [str(v.run_id) for model in found for v in model.versions if v.run_id])
    notes = [] if whole else [f"the first {_MOST_MODELS} models are shown; the store has more"]
    cut = [model.name for model in found if not model.whole]
    if cut:
        notes.append(f"the newest {_MOST_VERSIONS} versions and those in use are shown of {', '.join(cut[:5])}")
    return Models(
        tuple(
            ModelRow(model.name, model.description, model.aliases, tuple(rows(model.versions, model.aliases, made)))
            for model in found
        ),
        tuple(notes),
    )


def settled(found: Models, settings: Settings) -> Models:
    """The same with the gates of the settings; what is wrong in them is a note."""
    try:
        named = tuple(gates.named(settings).values())
        demands = tuple(
            Demanded(model, alias, gate.name)
            for model in map(str, settings.models)
            for alias in _aliases(settings, model)
            if (gate := gates.demanded(settings, model, alias)) is not None
        )
    except UsageError as err:
        return replace(found, notes=(*found.notes, f"{err.message} — {err.hint}"))
    return replace(found, gates=named, demands=demands)


def _aliases(settings: Settings, model: str) -> list[str]:
    """Aliases of which the settings may demand something."""
    table = settings.models.get(model)
    named = table.get("aliases") if isinstance(table, Mapping) else None
    return list(dict.fromkeys([_CHAMPION, *map(str, named if isinstance(named, Mapping) else ())]))


def of_run(project: Project, api: Any, row: RunRow) -> list[VersionRow]:
    """The versions that were made from a run."""
    uri = project.tracking_uri
    found = mlflow_registry.versions_of_run(api, uri, row.run_id, _MOST_VERSIONS)
    named = {name: mlflow_registry.model(api, uri, name) for name in sorted({v.name for v in found})}
    made = []
    for name, model in named.items():
        aliases = {str(k): str(v) for k, v in model.aliases.items()} if model is not None else {}
        made += rows([v for v in found if v.name == name], aliases, {row.run_id: row})
    return made


def rows(versions: Iterable[Any], aliases: Mapping[str, str], made: Mapping[str, RunRow]) -> list[VersionRow]:
    """Versions of one registered model, the newest first."""
    ordered = sorted(versions, key=lambda v: int(v.version), reverse=True)
    return [_row(one, aliases, made.get(str(one.run_id))) for one in ordered]


def _row(one: Any, aliases: Mapping[str, str], run: RunRow | None) -> VersionRow:
    tags = {str(k): str(v) for k, v in (one.tags or {}).items()}
    number = str(one.version)
    return VersionRow(
        name=one.name,
        version=number,
        aliases=tuple(sorted(alias for alias, held in aliases.items() if held == number)),
        run_id=str(one.run_id) if one.run_id else None,
        run_name=run.name if run else "",
        created=runs.iso(one.creation_timestamp),
        status=str(one.status),
        gate={k.removeprefix(GATE): v for k, v in tags.items() if k.startswith(GATE)},
        tags={k: v for k, v in tags.items() if not k.startswith(GATE)},
        metrics=dict(list(run.metrics.items())[:_MOST_VALUES]) if run else {},
        commit=run.commit if run else None,
        notebook=run.notebook if run else None,
        inputs=run.inputs[:_MOST_VALUES] if run else (),
    )


def _runs(project: Project, api: Any, ids: Sequence[str]) -> dict[str, RunRow]:
    """The runs behind the versions, deleted ones too."""
    if not ids:
        return {}
    uri = project.tracking_uri
    names = mlflow.experiments(api, uri)
    found = mlflow_runs.by_ids(api, uri, list(names), ids)
    return {i: runs.row(run, names.get(str(run.info.experiment_id), "")) for i, run in found.items()}
