"""The last values of the metrics of a notebook's run, or of tracked cells in it: from its journal, or from the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbledger.core.project import Project
from nbledger.keeper import client
from nbledger.keeper import journal as journals


def last(path: Path) -> dict[str, float]:
    """What the journal tells that is still there. A value of the notebook's own goes before that of a cell in it."""
    own: dict[str, float] = {}
    inner: dict[str, float] = {}
    for event in journals.read(path).events:
        if event["t"] == "metric":
            own[event["k"]] = float(event["v"])
        elif event["t"] == "inner":
            inner |= {key: float(value) for key, value in event["metrics"].items()}
    return {**inner, **own}


def stored(project: Project, journal: str) -> dict[str, float]:
    """What the store holds: also what cells have logged by MLflow itself."""
    from nbledger.keeper.publish import run_id_of

    known = run_id_of(project, journal)  # a cluster's worker has a journal of its own
    rows = _rows(project, f"attributes.run_id = '{known}'" if known else f"tags.`nbledger.journal` = '{journal}'", 1)
    if not rows:
        return {}
    inner: dict[str, float] = {}
    for row in reversed(
        _rows(project, f"tags.`mlflow.parentRunId` = '{rows[0].run_id}'", 200)
    ):  # the newest is the first
        inner |= row.metrics
    return {**inner, **rows[0].metrics}


def _rows(project: Project, text: str, limit: int) -> list[Any]:
    found: list[Any] = client.call(project, "runs", {"text": text, "limit": limit}, start=True)
    return found


def found(project: Project, journal: str) -> dict[str, float]:
    """Wherever it still is."""
    return last(journals.folder(project) / journal) or stored(project, journal)
