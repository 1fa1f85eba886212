"""The registry of models: what it holds, the way of a run's model into it, and its aliases."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any

from nbledger.core import gates, mlflow, mlflow_lock, mlflow_registry, mlflow_runs, registry
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.mlflow_registry import Logged
from nbledger.core.project import Project
from nbledger.core.records import Preview, RunRow
from nbledger.core.registry import Models
from nbledger.keeper import approving, changes, moving, persons
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.views_run import named, stored, unpublished


@dataclass(frozen=True)
class Promoted:
    """``previous``: the version that the alias pointed at before, None if at none; ``created``: whether the version is new."""

    model: str
    version: str
    alias: str
    previous: str | None
    created: bool
    run_id: str


@dataclass(frozen=True)
class Pointed:
    model: str
    alias: str
    version: str | None
    previous: str | None


@dataclass(frozen=True)
class _Plan:
    """A promotion that can be done. ``version``: the one that this very model is already, if it is."""

    row: RunRow
    model: str
    alias: str
    logged: Logged
    version: str | None
    previous: str | None
    exists: bool


def models(project: Project, args: Args, progress: Progress | None) -> Models:
    """The registered models of the store, and the gates of the settings."""
    return registry.settled(registry.models(project) if stored(project) else Models(), project.settings)


def promote(project: Project, args: Args, progress: Progress | None) -> Promoted:
    """Make the model ``logged`` of ``run`` (default: the one it logged last) a version of ``model``, and point ``alias``,
    if it is given, at it. A model that is a version already is not made another one.
    """
    plan = _plan(project, args)
    api, uri = mlflow.client(project), project.tracking_uri
    number = plan.version or mlflow_registry.register(api, uri, plan.model, plan.logged, plan.row.run_id)
    previous = plan.previous
    try:
        if plan.alias and previous != number:
            entry = Entry("promote", plan.alias, version=number, run_id=plan.row.run_id, text="without a gate")
            previous = _moved(project, api, plan.model, entry)
    finally:
        changes.tell(project, "models", "runs", run=plan.row.run_id)
    return Promoted(plan.model, number, plan.alias, previous, plan.version is None, plan.row.run_id)


def alias(project: Project, args: Args, progress: Progress | None) -> Pointed:
    """Point ``alias`` of ``model`` at ``version``; null takes it away."""
    model, name = str(args["model"]), str(args["alias"])
    version = None if args.get("version") is None else str(args["version"])
    previous = _pointed(project, model, name, version)
    if previous != version:
        entry = Entry("moved", name, version=version, text="set by hand")
        previous = _moved(project, mlflow.client(project), model, entry)
    return Pointed(model, name, version, previous)


def _moved(project: Project, api: Any, model: str, entry: Entry) -> str | None:
    """Move an alias without a gate, with the model's lock and on record; the version that it pointed at."""
    by = persons.named(project, api)
    with mlflow_lock.held(api, project.tracking_uri, model, by) as held:
        before = moving.settled(held, entry.alias)
        approving.move(project, held, replace(entry, previous=before, by=by))
    return before


def _refuse_gated(project: Project, model: str, name: str) -> None:
    """An alias that demands a gate moves by it alone, or back to where it was."""
    demanded = gates.demanded(project.settings, model, name) if name else None
    if demanded is not None:
        raise Refused(
            f"{name} of {model} demands the gate {demanded.name}",
            f"nbledger promote RUN --model {shlex.quote(model)} asks it, nbledger rollback {shlex.quote(model)} goes back to the version before",
        )


def preview_promote(project: Project, args: Args) -> Preview:
    """What ``promote`` would do."""
    title = f"Promote to the model {args['model']}"
    try:
        plan = _plan(project, args)
    except LedgerError as err:
        return Preview(title, refused=err.as_dict())
    made = f"the model {plan.logged.name} of the run {plan.row.name or plan.row.run_id[:8]}"
    if plan.version is not None:
        lines = [f"{made} is version {plan.version} of {plan.model} already: no other is made"]
    else:
        lines = [] if plan.exists else [f"the registered model {plan.model} is made"]
        lines.append(f"{made} becomes a new version of {plan.model}")
    if plan.row.status != "FINISHED":
        lines.append(f"the run is {plan.row.status}")
    if plan.row.dirty and plan.row.snapshot is None:
        lines.append("the code of the run is in no commit")
    lines += [f"the alias {plan.alias} points at it"] if plan.alias and plan.previous is None else []
    moved = f"the alias {plan.alias} points at it, no longer at version {plan.previous}"
    overwrites = (moved,) if plan.alias and plan.previous not in (None, plan.version) else ()
    return Preview(title, tuple(lines), overwrites)


def preview_alias(project: Project, args: Args) -> Preview:
    """What ``alias`` would do."""
    model, name = str(args["model"]), str(args["alias"])
    version = None if args.get("version") is None else str(args["version"])
    title = f"{'Remove' if version is None else 'Set'} the alias {name} of {model}"
    try:
        previous = _pointed(project, model, name, version)
    except LedgerError as err:
        return Preview(title, refused=err.as_dict())
    if previous == version:
        return Preview(title, (f"nothing: {name} is so already",))
    if version is None:
        return Preview(title, (), (f"{name} points at version {previous} no longer",))
    if previous is None:
        return Preview(title, (f"{name} points at version {version}",))
    return Preview(title, (), (f"{name} points at version {version}, no longer at version {previous}",))


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────────


def _plan(project: Project, args: Args) -> _Plan:
    model, name = str(args["model"]).strip(), str(args.get("alias") or "").strip()
    row = named(project, str(args["run"]))
    if unpublished(project, row) is not None:
        raise Refused("the run is not published whole yet", "try again, or see nbledger flush")
    api, uri = mlflow.client(project), project.tracking_uri
    run = mlflow.get_run(api, uri, row.run_id)
    if run is None or mlflow_runs.deleted(run):
        raise Refused("the run is deleted, so its model is not promoted", "bring it back first")
    mlflow_registry.check_names(model, name)
    _refuse_gated(project, model, name)
    found = mlflow_registry.logged_by(api, uri, run)
    logged = mlflow_registry.chosen(found, str(args.get("logged") or ""), row.name or row.run_id[:8])
    known = mlflow_registry.model(api, uri, model)
    aliases = {str(k): str(v) for k, v in known.aliases.items()} if known is not None else {}
    version = mlflow_registry.version_made_of(api, uri, model, row.run_id, logged) if known is not None else None
    return _Plan(row, model, name, logged, version, aliases.get(name), known is not None)


def _pointed(project: Project, model: str, name: str, version: str | None) -> str | None:
    """What the alias points at now, after making sure that the version is there."""
    uri = project.tracking_uri
    api: Any = mlflow.client(project) if stored(project) else None
    known = mlflow_registry.existing(api, uri, model)
    if version is not None:
        mlflow_registry.check_names(model, name)
        if mlflow_registry.version(api, uri, model, version) is None:
            raise UsageError(f"the model {model} has no version {version}")
    _refuse_gated(project, model, name)
    return {str(k): str(v) for k, v in known.aliases.items()}.get(name)
