"""Deeds on a run: its tags, name and note, its deletion and the undoing of that. What was recorded stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbledger.core import mlflow, mlflow_registry, mlflow_runs, values
from nbledger.core import runs as store_runs
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.records import Preview, RunRow
from nbledger.keeper import changes
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.views_run import named, unpublished

DELETED_WITH = "nbledger.deleted_with"
"""Tag of a child that was deleted with its parent: the parent's id, so that it comes back with it."""
_MOST_TAGS, _MOST_NAME, _MOST_CHILDREN = 100, 250, 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Deleted:
    """Ids of the runs that were deleted, or brought back: the one that was named first, then its children."""

    run_id: str
    name: str
    runs: tuple[str, ...]


def set_tags(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Set the ``tags`` of ``run``, which are the user's own; null takes one away."""
    tags = {str(k): None if v is None else str(v) for k, v in dict(args["tags"]).items()}
    for key, value in tags.items():
        _check_tag(key, value)
    if len(tags) > _MOST_TAGS:
        raise UsageError(f"{len(tags)} tags are too many at once", f"MLflow takes {_MOST_TAGS}")
    target = _alive(project, args, "its tags cannot be changed")
    mlflow_runs.set_tags(mlflow.client(project), project.tracking_uri, target.run_id, tags)
    return _told(project, target)


def _check_tag(key: str, value: str | None) -> None:
    if key.startswith("nbledger."):
        raise Refused(f"{key!r} is part of what was recorded and stays as it is", "choose another name for the tag")
    if key.startswith("mlflow."):
        raise Refused(f"{key!r} is MLflow's own and stays as it is", "name and note of a run have calls of their own")
    if len(key) > values.MAX_KEY:
        raise UsageError(f"a tag's name of {len(key)} characters is too long", f"MLflow takes {values.MAX_KEY}")
    legal = values.legal_key(key)
    if legal != key:
        hint = "letters, digits, spaces and _ - . : / are" if not key.strip() else f"{legal!r} is"
        raise UsageError(f"{key!r} is no name that MLflow takes for a tag", f"{hint} allowed")
    if value is not None and len(value) > values.MAX_TAG:
        raise UsageError(f"{key!r} has {len(value):,} characters", f"MLflow keeps {values.MAX_TAG:,} of a tag")


def rename(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Call ``run`` by another ``name``."""
    name = str(args["name"]).strip()
    if not name or _CONTROL.search(name):
        raise UsageError("a run's name is one line of text and not empty")
    if len(name) > _MOST_NAME:
        raise UsageError(f"a name of {len(name):,} characters is too long", f"MLflow takes {_MOST_NAME}")
    target = _alive(project, args, "its name cannot be changed")
    mlflow_runs.rename(mlflow.client(project), project.tracking_uri, target.run_id, name)
    return _told(project, target)


def note(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Set the description of ``run`` that MLflow's own page shows; an empty ``text`` takes it away."""
    text = str(args["text"])
    if len(text) > values.MAX_TAG:
        raise UsageError(f"the note has {len(text):,} characters", f"MLflow keeps {values.MAX_TAG:,}")
    target = _alive(project, args, "its note cannot be changed")
    tags = {mlflow_runs.NOTE: text if text.strip() else None}
    mlflow_runs.set_tags(mlflow.client(project), project.tracking_uri, target.run_id, tags)
    return _told(project, target)


def delete(project: Project, args: Args, progress: Progress | None) -> Deleted:
    """Delete ``run`` and its children as MLflow does, so that they can be brought back until ``mlflow gc``."""
    target = named(project, str(args["run"]))
    children = _deletable(project, target)
    api, uri = mlflow.client(project), project.tracking_uri
    for child in children:
        mlflow_runs.set_tags(api, uri, child.run_id, {DELETED_WITH: target.run_id})
        mlflow_runs.delete(api, uri, child.run_id)
    mlflow_runs.delete(api, uri, target.run_id)
    return _done(project, target, [child.run_id for child in children])


def bring_back(project: Project, args: Args, progress: Progress | None) -> Deleted:
    """Bring a deleted ``run`` back, with the children that were deleted with it."""
    target = named(project, str(args["run"]))
    api, uri = mlflow.client(project), project.tracking_uri
    run = mlflow.get_run(api, uri, target.run_id)
    if run is not None and mlflow_runs.deleted(run):
        mlflow_runs.bring_back(api, uri, target.run_id)
    back = []
    for child in mlflow_runs.tied(
        api, uri, _experiments(project, target), DELETED_WITH, target.run_id, _MOST_CHILDREN, gone=True
    ):
        run_id = str(child.info.run_id)
        mlflow_runs.bring_back(api, uri, run_id)
        mlflow_runs.set_tags(api, uri, run_id, {DELETED_WITH: None})
        back.append(run_id)
    return _done(project, target, back)


def preview_delete(project: Project, args: Args) -> Preview:
    """What ``delete`` would do."""
    target = named(project, str(args["run"]))
    title = f"Delete the run {_called(target)}"
    try:
        children = _deletable(project, target)
    except LedgerError as err:
        return Preview(title, refused=err.as_dict())
    lines = [f"{_called(target)} is marked as deleted in MLflow"]
    if children:
        count = "its child" if len(children) == 1 else f"its {len(children)} children"
        lines.append(f"so is {count}" if len(children) == 1 else f"so are {count}")
    lines.append("it can be brought back, with all that was recorded, until mlflow gc is run")
    versions = mlflow_registry.versions_of_run(mlflow.client(project), project.tracking_uri, target.run_id, 20)
    lines += [f"version {v.version} of the model {v.name} was made from it and stays" for v in versions]
    return Preview(title, tuple(lines))


# ── which run, and whether ───────────────────────────────────────────────────────────────────────────────


def _called(row: RunRow) -> str:
    return f"{row.name} ({row.run_id[:8]})" if row.name else row.run_id[:8]


def _alive(project: Project, args: Args, what: str) -> RunRow:
    """The run that is named; refused where MLflow would not let it be changed."""
    target = named(project, str(args["run"]))
    run = mlflow.get_run(mlflow.client(project), project.tracking_uri, target.run_id)
    if run is not None and mlflow_runs.deleted(run):
        raise Refused(f"the run {_called(target)} is deleted, so {what}", "bring it back first")
    return target


def _deletable(project: Project, target: RunRow) -> list[RunRow]:
    """The children that would go with it, further down too; ``Refused`` while any of them is recorded."""
    _alive(project, {"run": target.run_id}, "it cannot be deleted")
    found = _below(project, target)
    for row in (target, *found):
        if row.status in ("RUNNING", "SCHEDULED"):
            what = "child " if row is not target else ""
            raise Refused(f"the {what}run {_called(row)} is going on", "wait until it has ended, or interrupt it")
        if unpublished(project, row) is not None:
            raise Refused(f"the run {_called(row)} is not published whole yet", "try again, or see nbledger flush")
    return found


def _below(project: Project, target: RunRow) -> list[RunRow]:
    api, uri, where = mlflow.client(project), project.tracking_uri, _experiments(project, target)
    found: dict[str, RunRow] = {}
    waiting = [target.run_id]
    while waiting and len(found) < _MOST_CHILDREN:
        for run in mlflow_runs.tied(api, uri, where, mlflow_runs.PARENT, waiting.pop(), _MOST_CHILDREN):
            row = store_runs.row(run, target.experiment)
            if row.run_id not in found and row.run_id != target.run_id:
                found[row.run_id] = row
                waiting.append(row.run_id)
    if len(found) >= _MOST_CHILDREN:
        hint = "delete its children first, some hundreds at a time, with MLflow itself"
        raise Refused(f"the run {_called(target)} has {_MOST_CHILDREN:,} children or more", hint)
    return list(found.values())


def _experiments(project: Project, target: RunRow) -> list[str]:
    names: Mapping[str, str] = mlflow.experiments(mlflow.client(project), project.tracking_uri)
    return [i for i, name in names.items() if project.embedded or name == target.experiment]


def _told(project: Project, target: RunRow) -> dict[str, Any]:
    changes.tell(project, "runs", run=target.run_id)
    return {"run_id": target.run_id}


def _done(project: Project, target: RunRow, others: list[str]) -> Deleted:
    for run_id in (target.run_id, *others):
        changes.tell(project, "runs", "models", run=run_id)
    return Deleted(target.run_id, target.name, (target.run_id, *others))
