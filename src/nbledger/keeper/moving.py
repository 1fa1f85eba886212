"""The one way in which nbledger moves an alias of a registered model: under the model's lock, with the decision written down
before it moves, and the version that it leaves kept under ``previous``.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nbledger.core import mlflow_decisions, mlflow_registry
from nbledger.core.errors import ToolFailed
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.mlflow_lock import Held
from nbledger.core.project import Project
from nbledger.keeper import changes

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


def option(alias: str) -> str:
    """What a proposed ``nbledger promote`` needs to move this alias: without it, it moves the champion."""
    return "" if alias == CHAMPION else f" --alias {shlex.quote(alias)}"


def aliases(api: Any, uri: str, model: str) -> dict[str, str] | None:
    """{alias: version} of a registered model as it is now; None where there is no such model."""
    known = mlflow_registry.model(api, uri, model)
    return None if known is None else {str(k): str(v) for k, v in known.aliases.items()}


def noted(held: Held, entry: Entry) -> Entry:
    """Write a decision by which nothing moves; as it was written. Before it, if the alias is not where the decisions say,
    that it was moved by something else: MLflow's own calls, or a promotion that was killed before it had moved the alias.
    """
    return mlflow_decisions.append(held, entry, _looked(held, entry.alias)[1])


def settled(held: Held, alias: str) -> str | None:
    """The version that an alias points at. Where the decisions say otherwise, that is written down as ``moved``."""
    return _looked(held, alias)[0]


def _looked(held: Held, alias: str) -> tuple[str | None, int]:
    """(the version that an alias points at, the number of the last decision)."""
    known = mlflow_registry.model(held.api, held.uri, held.model)
    if known is None:
        return None, 0
    last = mlflow_decisions.last(known.tags)
    there = {str(k): str(v) for k, v in known.aliases.items()}.get(alias)
    entries = mlflow_decisions.of_tags(known.tags)
    thought = mlflow_decisions.said(entries, alias)
    if entries and there != thought and any(one.points and one.alias == alias for one in entries):
        told = f"version {thought}" if thought else "nothing"
        text = (
            f"by the decisions before, it pointed at {told}: it was moved without nbledger, or a promotion was killed"
        )
        entry = Entry("moved", alias, version=there, previous=thought, text=text, points=True)
        last = mlflow_decisions.append(held, entry, last).n
    return there, last


def moved(project: Project, held: Held, entry: Entry) -> Entry:
    """Write ``entry`` down and point its alias at its version (None takes it away); ``previous`` is the version that was
    ``champion`` before. ``entry.previous`` must be what the alias points at now: look by ``settled`` first, under the
    same lock. The entry as it was written.
    """
    api, uri, model = held.api, held.uri, held.model
    known = mlflow_registry.existing(api, uri, model)
    written = mlflow_decisions.append(held, replace(entry, points=True), mlflow_decisions.last(known.tags))
    try:
        held.check()
        if entry.alias == CHAMPION:
            there = {str(k): str(v) for k, v in known.aliases.items()}.get(PREVIOUS)
            _keep_previous(held, (*mlflow_decisions.of_tags(known.tags), written), there)
        if entry.previous != entry.version:
            mlflow_registry.point(api, uri, model, entry.alias, entry.version)
        if mlflow_registry.pointed(api, uri, model, entry.alias) != entry.version:
            raise ToolFailed(
                f"{entry.alias} of {model} was moved by something else in the moment in which it was to point at"
                f" version {entry.version}",
                f"nbledger decisions {shlex.quote(held.model)} shows what is recorded",
            )
    finally:
        changes.tell(project, "models", "runs", run=entry.run_id)
    return written


def _keep_previous(held: Held, entries: Sequence[Entry], there: str | None) -> None:
    """Point ``previous``, which points at ``there``, at what ``champion`` was before by the decisions, as far as that version
    is still there.
    """
    before = mlflow_decisions.line(entries, CHAMPION)[:-1]
    wanted = before[-1] if before else None
    if wanted is not None and mlflow_registry.version(held.api, held.uri, held.model, wanted) is None:
        wanted = None
    if wanted is None and there is not None:
        with contextlib.suppress(ToolFailed):  # who may set an alias of a server may not always take one away
            mlflow_registry.point(held.api, held.uri, held.model, PREVIOUS, None)
    elif wanted != there:
        mlflow_registry.point(held.api, held.uri, held.model, PREVIOUS, wanted)
