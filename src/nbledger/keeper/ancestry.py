"""Lineage: where a model version or a run comes from, and which runs and model versions saw a file."""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import Any

from nbledger.core import ancestry as ancestries
from nbledger.core import ancestry_back, mlflow, mlflow_registry, mlflow_runs, mlflow_uses
from nbledger.core.ancestry import Version
from nbledger.core.ancestry_graph import DEPTH, Ancestry
from nbledger.core.errors import LedgerError, ToolFailed, UsageError, nearest
from nbledger.core.gate_language import CHAMPION
from nbledger.core.mlflow_uses import VersionOf
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runs import row
from nbledger.keeper import overview
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.publish import flush
from nbledger.keeper.views_run import stored

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_MODELS = "models:/"
_NO_NAMES = frozenset("/:\0")
"""Characters that MLflow takes in no model's name, and databases in no text."""


def ancestry(project: Project, args: Args, progress: Progress | None) -> Ancestry:
    """Where ``name`` comes from: a run, or a version of a registered model as ``MODEL/VERSION`` or ``MODEL@ALIAS``. A model's name
    alone, which no run has, means its champion.
    """
    name, depth, remote = str(args["name"]), int(args.get("depth", DEPTH)), bool(args.get("remote"))
    meant = _version(project, name) or _run(project, name)
    if isinstance(meant, Version):
        return ancestries.of_version(project, meant, name, depth, remote=remote)
    return ancestries.of_run(project, meant, name, depth, remote=remote)


def descendants(project: Project, args: Args, progress: Progress | None) -> Ancestry:
    """Which runs and model versions saw ``path`` (from the project's root), and what came of it. ``md5``: only these bytes.
    ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` is a version of a model that runs loaded.
    """
    path, md5 = str(args["path"]).rstrip("/") or "/", str(args.get("md5") or "")
    depth, remote = int(args.get("depth", DEPTH)), bool(args.get("remote"))
    asked = f"{path}@{md5}" if md5 else path
    flush(project)
    if not stored(project):
        raise UsageError(f"no recorded run read {asked}: nothing was recorded yet")
    if path.startswith(_MODELS):
        version = _named(project, path)
        if version is None:
            raise UsageError(f"{path} names no version of a model", "e.g. models:/wine@champion or models:/wine/1")
        return ancestry_back.of_model(project, version, path, depth, remote=remote)
    return ancestry_back.of_data(project, path, md5, asked, depth, remote=remote)


def _run(project: Project, name: str) -> RunRow | Version:
    try:
        return overview.run(project, name)
    except UsageError as err:
        hint = err.hint or "name a run, or a model as MODEL@ALIAS or MODEL/VERSION"
        if (model := _bare(project, name)) is not None:
            if CHAMPION in model.aliases and (version := _version(project, f"{name}@{CHAMPION}")) is not None:
                return version
            raise UsageError(
                f"{name!r} is a registered model without a champion: which version of it?", f"e.g. {name}/1"
            ) from err
        named = name.rpartition("@")[0] or name.rpartition("/")[0]
        if named and err.message == f"there is no run {name!r}":
            raise UsageError(f"there is neither a run {name!r} nor a registered model {named!r}", hint) from err
        raise UsageError(err.message, hint) from err


def _bare(project: Project, name: str) -> Any:
    """The registered model of that name; None where there is none, or it cannot be asked for."""
    with contextlib.suppress(LedgerError):
        if stored(project):
            return _model(mlflow.client(project), project.tracking_uri, name)
    return None


def _model(api: Any, uri: str, name: str) -> Any:
    """The registered model; None where there is none, or no model could be called so."""
    if set(name) & _NO_NAMES:
        return None
    try:
        return mlflow_registry.model(api, uri, name)
    except ToolFailed as err:
        if getattr(err.__cause__, "error_code", "") == "INVALID_PARAMETER_VALUE":
            return None
        raise


def _version(project: Project, name: str) -> Version | None:
    """The version that the name means, and its run; None where it is no name of one."""
    found = _named(project, name)
    if found is None:
        return None
    api, uri = mlflow.client(project), project.tracking_uri
    run = mlflow.get_run(api, uri, found.run) if found.run else None
    if run is None:
        why = f"the run {found.run[:8]} is not in the store any more" if found.run else "the version names no run"
        return Version(found.name, found.number, found.aliases, found.created, None, why)
    made = row(run, mlflow.experiment_name(api, uri, str(run.info.experiment_id)))
    why = "it is deleted, and can be brought back" if mlflow_runs.deleted(run) else ""
    return Version(found.name, found.number, found.aliases, found.created, made, why)


def _named(project: Project, name: str) -> VersionOf | None:
    """The version that the name means; None where it is no name of one. A run that is called so has to be named by its id."""
    text = name.removeprefix(_MODELS)
    at, slash = text.rpartition("@"), text.rpartition("/")
    model, alias, number = (at[0], at[2], "") if at[0] else (slash[0], "", slash[2])
    if not model or not stored(project) or (number and not _NUMBER.fullmatch(number)):
        return None
    api, uri = mlflow.client(project), project.tracking_uri
    known = _model(api, uri, model)
    if known is None:
        if text != name:
            raise mlflow_registry.none_such(api, uri, model)
        return None
    if alias:
        aliases = {str(key): str(held) for key, held in known.aliases.items()}
        if alias not in aliases:
            hint = nearest(alias, aliases) or (
                f"it has: {', '.join(sorted(aliases)[:10])}" if aliases else "it has none"
            )
            raise UsageError(f"the model {model} has no alias {alias!r}", hint)
        number = aliases[alias]
    found = mlflow_uses.version(api, uri, model, number)
    if found is None:
        raise UsageError(
            f"the model {model} has no version {number}", f"nbledger decisions {shlex.quote(model)} lists them"
        )
    return found
