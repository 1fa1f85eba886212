"""A run as it was recorded: its values from its own manifest, under their own names, and what the store says otherwise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from nbledger.core import manifest, mlflow, mlflow_runs, record
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.keeper import overview


@dataclass(frozen=True)
class ExactRun(RunRow):
    """``params`` and ``metrics`` are exactly what was recorded, also where MLflow cut, renamed or changed it.

    ``notices``: what was said when the run was recorded and published; ``edited``: what the store says otherwise now;
    ``error``: why it is not ``FINISHED``, in the words of the exception.
    """

    notices: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    error: str = ""


def shown(project: Project, name: str) -> ExactRun:
    """The run that ``name`` means. One without a manifest (it goes on, or plain MLflow recorded it) is as the store has it."""
    row = overview.run(project, name)
    fields = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    try:
        folder = record.folder_of(project, row) if row.end else None
    except LedgerError:  # the store is away, or has no such run yet
        folder = None
    found = manifest.read(folder)
    if found is None:
        return ExactRun(**fields)
    renamed = {*found.names.values(), *found.params, *found.metrics}
    own = {k: v for k, v in row.params.items() if k not in renamed}
    recorded = {k: manifest.latest(points) for k, points in found.all_metrics().items()}
    beside = {k: v for k, v in row.metrics.items() if k not in renamed}
    fields["params"], fields["metrics"] = own | dict(found.params), beside | recorded
    edited = tuple(_edited(project, row, found))
    return ExactRun(**fields, notices=found.notices, edited=edited, error=found.error)


def _edited(project: Project, row: RunRow, found: manifest.Manifest) -> list[str]:
    api, uri = mlflow.client(project), project.tracking_uri
    run = mlflow.get_run(api, uri, row.run_id)
    if run is None:
        return []
    sealed = run.data.tags.get(manifest.TAG)
    said = ["nbledger/manifest.json was altered"] if sealed not in (None, found.digest) else []
    if found.status and found.status != run.info.status:
        said.append(f"the status was changed from {found.status} to {run.info.status}")
    return said + manifest.edits(
        found,
        run.data.params,
        run.data.metrics,
        run.data.tags,
        lambda key: mlflow_runs.history(api, uri, row.run_id, key),
    )
