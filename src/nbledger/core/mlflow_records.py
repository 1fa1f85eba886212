"""A room of MLflow's door: one file of what a run left in the store, in one question where that can be.

MLflow's own download asks for the run, lists its artifacts and then fetches: three journeys for a file whose place is known.
"""

from __future__ import annotations

import contextlib
import posixpath
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

from nbledger.core import mlflow
from nbledger.core.mlflow import _translated
from nbledger.core.mlflow_write import _repository, without_bars
from nbledger.core.project import Project


def content(project: Project, api: Any, place: str, path: str, *, there: bool) -> bytes | None:
    """The artifact ``path`` of the run that keeps its artifacts at ``place``; None where it has none of that name.

    ``there``: it is known to have it, so that it is fetched at once. ``LedgerError`` where it cannot be had, ``Untrusted``
    where a project that is not trusted says that it is elsewhere.
    """
    mlflow.refuse_elsewhere(project, place)
    parts = urllib.parse.urlsplit(place)
    if parts.scheme in ("", "file"):
        file = Path(urllib.parse.unquote(parts.path)) / path
        return file.read_bytes() if file.is_file() else None
    uri = str(api.tracking_uri)
    with _translated(uri), without_bars(), tempfile.TemporaryDirectory(prefix="nbledger-") as folder:
        repository: Any = _repository(place, uri)
        target = Path(folder) / "file"
        if there:
            with contextlib.suppress(Exception):  # what went wrong is told by asking for it in full
                return _fetched(repository, path, target)
        if all(str(one.path) != path for one in repository.list_artifacts(posixpath.dirname(path))):
            return None
        return _fetched(repository, path, target)


def _fetched(repository: Any, path: str, target: Path) -> bytes:
    repository._download_file(path, str(target))  # noqa: SLF001 - MLflow's public way lists the folder first
    return target.read_bytes()
