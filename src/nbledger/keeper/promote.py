"""``promote``: a run's model into the registry and under an alias, if a condition holds on evidence that can be relied on.

Every decision is recorded before the alias moves: as ``nbledger/gate/…json`` among the run's artifacts, in the run's
tag ``nbledger.gate``, and of what passed on the model version (``nbledger.gate.*``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import (
    files,
    gate,
    gate_language,
    manifest,
    mlflow,
    mlflow_registry,
    mlflow_runs,
    mlflow_write,
    record,
)
from nbledger.core.errors import LedgerError, Refused, ToolFailed, UsageError
from nbledger.core.gate import ALLOWABLE, Denial, Evidence
from nbledger.core.gate_language import BASELINE, CHAMPION, Clause, Condition
from nbledger.core.project import Project
from nbledger.core.records import RunRow, plain
from nbledger.core.values import MAX_TAG
from nbledger.keeper import changes, overview
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.recorder import user
from nbledger.keeper.views_run import unpublished

_PLACE = "nbledger/gate"


@dataclass(frozen=True)
class Decision:
    """What a gate said. ``figures`` are the metrics that the condition names; ``version`` the model version that was made
    (or was there already), ``previous`` the one that the alias pointed at; ``allowed`` what a person set aside.
    """

    passed: bool
    run_id: str
    name: str
    model: str
    alias: str
    condition: str
    figures: dict[str, float] = field(default_factory=dict)
    clauses: tuple[Clause, ...] = ()
    denials: tuple[Denial, ...] = ()
    allowed: tuple[str, ...] = ()
    version: str | None = None
    previous: str | None = None
    created: bool = False
    champion: str | None = None
    baseline: str | None = None
    at: str = ""
    by: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """What is asked for: the run, the model and alias, the conditions."""

    row: RunRow
    run: Any
    model: str
    alias: str
    condition: Condition
    first: Condition | None
    baseline: RunRow | None
    logged: str
    allowed: tuple[str, ...]


def promote_if(project: Project, args: Args, progress: Progress | None) -> Decision:
    """Register the model of ``run`` and point ``alias`` of ``model`` at it, if ``condition`` holds (or ``first``, while the
    alias points at nothing). A refusal is a decision too, and is recorded; what cannot be asked is an error.
    """
    asked = _asked(project, args)
    with files.lock(project.ensure_state() / "promote.lock", timeout=30, what="the promotion of models"):
        return _decided(project, asked)


def _asked(project: Project, args: Args) -> _Asked:
    """Understand the words before anything is asked of the store."""
    condition = gate_language.parse(str(args["condition"]))
    first = gate_language.parse(str(args["first"])) if args.get("first") else None
    if first is not None and first.names(CHAMPION):
        raise UsageError("--first is for a model without a champion, so it cannot name it", "compare with a number")
    allowed = tuple(dict.fromkeys(str(word) for word in args.get("allow") or ()))
    if unknown := [word for word in allowed if word not in ALLOWABLE]:
        raise UsageError(f"{unknown[0]!r} cannot be allowed", f"there are: {', '.join(ALLOWABLE)}")
    model, alias = str(args["model"]).strip(), str(args.get("alias") or "champion").strip()
    row, run = _run(project, str(args["run"]))
    mlflow_registry.check_names(model, alias)
    base = _run(project, str(args["baseline"]))[0] if args.get("baseline") else None
    return _Asked(row, run, model, alias, condition, first, base, str(args.get("logged") or ""), allowed)


def _run(project: Project, name: str) -> tuple[RunRow, Any]:
    row = overview.run(project, name)
    if unpublished(project, row) is not None:
        raise Refused(f"the run {row.name!r} is not published whole yet", "try again, or see nbledger flush")
    run = mlflow.get_run(mlflow.client(project), project.tracking_uri, row.run_id)
    if run is None or mlflow_runs.deleted(run):
        raise Refused(f"the run {row.name!r} is deleted", "bring it back first")
    return row, run


def _decided(project: Project, asked: _Asked) -> Decision:
    api, uri = mlflow.client(project), project.tracking_uri
    logged = mlflow_registry.logged_by(api, uri, asked.run)
    previous, holder = _holder(api, uri, asked.model, asked.alias)
    condition = asked.condition if previous is not None or asked.first is None else asked.first
    judged = gate.decide(
        condition,
        _evidence(project, api, asked.run, [one.name for one in logged]),
        _evidence(project, api, holder) if holder is not None else None,
        _evidence(project, api, _run(project, asked.baseline.run_id)[1]) if asked.baseline else None,
        asked.allowed,
    )
    denials = judged.denials
    if previous is not None and holder is None and condition.names(CHAMPION):
        gone = Denial(CHAMPION, f"version {previous}, which {asked.alias} points at, names no run that is there")
        denials = (*(d for d in denials if d.kind != CHAMPION), gone)
    decision = Decision(
        passed=not denials,
        run_id=asked.row.run_id,
        name=asked.row.name,
        model=asked.model,
        alias=asked.alias,
        condition=condition.text,
        figures=judged.figures,
        clauses=judged.clauses,
        denials=denials,
        allowed=asked.allowed,
        previous=previous,
        champion=str(holder.info.run_id) if holder is not None else None,
        baseline=asked.baseline.run_id if asked.baseline else None,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        by=user(),
    )
    if decision.passed:
        return _promoted(project, api, asked, decision, mlflow_registry.chosen(logged, asked.logged, asked.row.name))
    try:
        _record(project, api, decision)
    except (LedgerError, OSError) as err:  # a refusal stands, recorded or not
        decision = replace(decision, notes=(f"the decision could not be recorded: {err}",))
    return decision


def _holder(api: Any, uri: str, model: str, alias: str) -> tuple[str | None, Any]:
    """(the version that the alias points at, its run); None for what is not there."""
    known = mlflow_registry.model(api, uri, model)
    number = {str(k): str(v) for k, v in known.aliases.items()}.get(alias) if known is not None else None
    if number is None:
        return None, None
    found = mlflow_registry.version(api, uri, model, number)
    run = mlflow.get_run(api, uri, str(found.run_id)) if found is not None and found.run_id else None
    return number, None if run is None or mlflow_runs.deleted(run) else run


def _evidence(project: Project, api: Any, run: Any, models: Sequence[str] = ()) -> Evidence:
    """A run as the store has it at this moment. Its manifest is read where the store keeps it, never from a copy."""
    uri, run_id = project.tracking_uri, str(run.info.run_id)
    known = None
    with tempfile.TemporaryDirectory(dir=_scratch(project)) as scratch, contextlib.suppress(ToolFailed):
        path = mlflow.download(api, uri, run_id, f"{record.FOLDER}/{manifest.NAME}", Path(scratch))
        known = manifest.read(path.parent)
    return Evidence(
        run_id,
        str(run.info.run_name or run_id[:8]),
        str(run.info.status),
        {str(k): str(v) for k, v in run.data.params.items()},
        {str(k): float(v) for k, v in run.data.metrics.items()},
        {str(k): str(v) for k, v in run.data.tags.items()},
        known,
        manifest.remembered(project, run_id),
        lambda key: mlflow_runs.history(api, uri, run_id, key),
        models,
    )


def _scratch(project: Project) -> Path:
    place = project.ensure_state() / "tmp"
    place.mkdir(exist_ok=True)
    return place


def _promoted(
    project: Project, api: Any, asked: _Asked, decision: Decision, logged: mlflow_registry.Logged
) -> Decision:
    """Make the version, record the decision on both, and only then move the alias, if it is where it was."""
    uri, model = project.tracking_uri, asked.model
    number = mlflow_registry.version_made_of(api, uri, model, decision.run_id, logged)
    created = number is None
    number = number or mlflow_registry.register(api, uri, model, logged, decision.run_id)
    decision = replace(decision, version=number, created=created)
    try:
        mlflow_registry.tag_version(api, uri, model, number, _tags(decision))
        _record(project, api, decision)
        now = _holder(api, uri, model, asked.alias)[0]
        if now != decision.previous:
            was, now = (f"version {v}" if v else "nothing" for v in (decision.previous, now))
            moved = Denial("moved", f"{asked.alias} pointed at {was} when this was judged, and points at {now} now")
            decision = replace(decision, passed=False, denials=(moved,))
            mlflow_registry.tag_version(api, uri, model, number, _tags(decision))
            _record(project, api, decision)
        elif now != number:
            mlflow_registry.point(api, uri, model, asked.alias, number)
    finally:
        changes.tell(project, "models", "runs", run=decision.run_id)
    return decision


def _tags(decision: Decision) -> dict[str, str]:
    """What the model version says of the gate, as the sidebar shows it."""
    figures = ", ".join(f"{name} {value:.10g}" for name, value in decision.figures.items())
    found = {
        "verdict": "passed" if decision.passed else "refused",
        "condition": decision.condition,
        "figures": figures,
        "alias": decision.alias,
        "allowed": ", ".join(decision.allowed),
        "previous": decision.previous or "",
        "at": decision.at,
        "by": decision.by,
    }
    return {f"nbledger.gate.{key}": text[:MAX_TAG] for key, text in found.items() if text}


def _record(project: Project, api: Any, decision: Decision) -> None:
    uri = project.tracking_uri
    with tempfile.TemporaryDirectory(dir=_scratch(project)) as scratch:
        stamp = decision.at.replace(":", "").replace("-", "").replace(".", "")
        text = json.dumps(plain(decision), indent=1, ensure_ascii=False)
        (Path(scratch) / f"{stamp}-{uuid.uuid4().hex[:6]}.json").write_text(text, encoding="utf-8")
        mlflow_write.log_folder(api, uri, decision.run_id, Path(scratch), _PLACE)
    why = "; ".join(d.text for d in decision.denials)
    said = f"passed: {decision.model} version {decision.version}" if decision.passed else f"refused: {why}"
    mlflow_runs.set_tags(
        api,
        uri,
        decision.run_id,
        {"nbledger.gate": f"{decision.at} {decision.model}@{decision.alias} {said}"[:MAX_TAG]},
    )


__all__ = ["BASELINE", "Decision", "promote_if"]
