"""The files of a registered model, as the store keeps them. They are copied, never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbledger.core import mlflow
from nbledger.core.errors import Refused
from nbledger.core.mlflow import _translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from nbledger.core.project import Project


def place(api: MlflowClient, uri: str, source: str) -> str:
    """Where the files of a model lie: the address of its artifacts. ``source`` is that of a version: ``models:/m-…`` of a
    logged model, or already an address.
    """
    if not source.startswith("models:/m-"):
        return source
    with _translated(uri):
        return str(api.get_logged_model(source.removeprefix("models:/").split("/")[0]).artifact_location)


def fetch(project: Project, api: MlflowClient, source: str, target: Path) -> Path:
    """Copy the files of a model into the new folder ``target``; that folder.

    ``Refused`` where there are none, ``Untrusted`` where a project that is not trusted says that they are elsewhere.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from nbledger.core.mlflow_write import without_bars

    uri = mlflow.with_login(project, project.tracking_uri)
    where = place(api, uri, source)
    mlflow.refuse_elsewhere(project, where)
    target.mkdir(parents=True)
    with _translated(uri), without_bars():
        get_artifact_repository(where, tracking_uri=uri).download_artifacts("", str(target))
    if not (target / "MLmodel").is_file():
        raise Refused(f"there is no model at {mlflow.display_uri(where)}: its MLmodel is missing")
    return target
