"""A room of MLflow's door: every run that a store has, those in its trash too, with the hashes of what they read."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbledger.core import mlflow, mlflow_tables
from nbledger.core.errors import Unreachable
from nbledger.core.mlflow import _translated
from nbledger.core.project import Project

_ALL = 3  # mlflow.entities.ViewType.ALL
_PAGE = 1000


def runs(project: Project) -> dict[str, frozenset[str]]:
    """{run id: digests of its inputs}; ``Unreachable`` where the store does not answer, or is a file that is gone."""
    uri = project.tracking_uri
    if uri.startswith("sqlite:///") and not _file(uri).is_file():
        return {}
    tables = mlflow_tables.opened(uri, None)
    if tables is not None:
        with contextlib.closing(tables):
            return tables.everything()
    if not mlflow.reachable(uri):
        raise Unreachable(
            f"the run store {mlflow.display_uri(uri)} does not answer", "check the server, then try again"
        )
    return _asked(mlflow.client(project), uri)


def made(project: Project) -> bool:
    """Whether the store was ever there."""
    uri = project.tracking_uri
    return not uri.startswith("sqlite:///") or _file(uri).is_file()


def _file(uri: str) -> Path:
    return Path(urllib.parse.unquote(uri.removeprefix("sqlite:///")))


def times(api: Any, uri: str, keys: Sequence[str]) -> dict[str, tuple[str, int, dict[str, str]]]:
    """{run id: (status, when it ended or began in ms, those of its tags that are among ``keys``)} of a server's runs."""
    found = {}
    for run in _every(api, uri):
        tags = {key: str(run.data.tags[key]) for key in keys if key in run.data.tags}
        found[str(run.info.run_id)] = str(run.info.status), int(run.info.end_time or run.info.start_time or 0), tags
    return found


def _asked(api: Any, uri: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for run in _every(api, uri):
        inputs = run.inputs.dataset_inputs if run.inputs is not None else []
        found[str(run.info.run_id)] = frozenset(str(one.dataset.digest) for one in inputs)
    return found


def _every(api: Any, uri: str) -> Iterator[Any]:
    with _translated(uri):
        experiments = _pages(lambda token: api.search_experiments(view_type=_ALL, page_token=token))
        ids = [str(one.experiment_id) for one in experiments]
        for at in range(0, len(ids), 100):
            part = ids[at : at + 100]
            yield from _pages(
                lambda token, part=part: api.search_runs(part, run_view_type=_ALL, max_results=_PAGE, page_token=token)
            )


def _pages(ask: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = ask(token)
        found += page
        token = page.token
        if not token:
            return found
