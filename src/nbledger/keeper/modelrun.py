"""Which run a promotion is about where the one that is named logged no model: the run inside it that did.

A notebook that is executed as a whole is one run, and its ``%%mlrun`` cells are runs inside it: what CI promotes by the name of
the whole is the model of such a cell.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import manifest, mlflow, mlflow_registry, mlflow_runs, record
from nbledger.core.errors import Refused, ToolFailed
from nbledger.core.manifest import Manifest
from nbledger.core.project import Project
from nbledger.core.runs import REPRODUCES
from nbledger.keeper import journal as journals
from nbledger.keeper import overview

_MOST_CHILDREN = 200
_NAMED = 3


@dataclass(frozen=True)
class Inside:
    """The runs inside a run that logged a model, the oldest first: not more than are named, and one more."""

    runs: Sequence[Any] = ()

    @property
    def only(self) -> Any | None:
        return self.runs[0] if len(self.runs) == 1 else None

    @property
    def several(self) -> str:
        """Why none of several is taken, and how one is; empty where there are not several."""
        if len(self.runs) < 2:
            return ""
        named = ", ".join(called(run) for run in self.runs[:_NAMED])
        more = ", and more" if len(self.runs) > _NAMED else ""
        return f"the run logged no model, but several runs inside it did: {named}{more} (promote one of them by its id)"


def called(run: Any) -> str:
    """Its name, and the id by which it is found whatever else is called so."""
    name, short = str(run.info.run_name or ""), str(run.info.run_id)[:8]
    return f"{name[:40]} ({short})" if name else short


def inside(project: Project, api: Any, run: Any) -> Inside:
    """The finished runs inside a finished run that logged a model; none where it logged one itself. A tag alone, which anybody may
    set later, does not put a run in its place: that has recorded itself that it began inside this one.
    """
    uri = project.tracking_uri
    if str(run.info.status) != "FINISHED" or mlflow_registry.logged_by(api, uri, run):
        return Inside()
    experiments = list(mlflow.experiments(api, uri))
    below = mlflow_runs.tied(api, uri, experiments, mlflow_runs.PARENT, str(run.info.run_id), _MOST_CHILDREN + 1)
    if len(below) > _MOST_CHILDREN:  # a large sweep, of which nobody asks each: which run is meant has to be said
        return Inside()
    journal = str(run.data.tags.get(mlflow.JOURNAL_TAG, ""))
    _refuse_unpublished(project, journal)
    found: list[Any] = []
    for one in below:
        finished = str(one.info.status) == "FINISHED" and REPRODUCES not in one.data.tags
        if finished and mlflow_registry.logged_by(api, uri, one):
            found.append(one)
        if len(found) > _NAMED:
            break
    if len(found) == 1 and not _began_in(manifest_of(project, api, str(found[0].info.run_id)), journal):
        return Inside()
    return Inside(found)


def _refuse_unpublished(project: Project, journal: str) -> None:
    """The only one that the store has may be one of several."""
    for one in overview.waiting(project) if journal else ():
        begun: Mapping[str, Any] = next((e for e in journals.read(one.path).events if e["t"] == "start"), {})
        if begun.get("parent") == journal:
            raise Refused(
                f"the run {one.row.name!r} inside it is not published whole yet", "try again, or see nbledger flush"
            )


def _began_in(known: Manifest | None, journal: str) -> bool:
    begun: Mapping[str, Any] = next((e for e in known.events if e.get("t") == "start"), {}) if known is not None else {}
    return bool(journal) and begun.get("parent") == journal


def manifest_of(project: Project, api: Any, run_id: str) -> Manifest | None:
    """A run's manifest, read where the store keeps it, never from a copy."""
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as folder, contextlib.suppress(ToolFailed):
        path = mlflow.download(api, project.tracking_uri, run_id, f"{record.FOLDER}/{manifest.NAME}", Path(folder))
        return manifest.read(path.parent)
    return None
