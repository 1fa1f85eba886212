"""What a gate says of a run: the words of a promotion, the evidence for it, and the judgement. Nothing is changed by it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import (
    evidence,
    gate,
    gates,
    manifest,
    mlflow,
    mlflow_files,
    mlflow_registry,
    mlflow_runs,
    modeldigest,
    record,
)
from nbledger.core.approval import Pending
from nbledger.core.errors import Refused, ToolFailed, Untrusted, UsageError
from nbledger.core.gate import ALLOWABLE, Denial, Evidence
from nbledger.core.gate_language import CHAMPION, Clause
from nbledger.core.gates import Demand, Gate
from nbledger.core.moments import now as this_moment
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runs import REPRODUCES
from nbledger.keeper import modelrun, moving, overview, persons
from nbledger.keeper.calls import Args
from nbledger.keeper.views_run import unpublished

_MOST_REPRODUCTIONS = 20


@dataclass(frozen=True)
class Decision:
    """What a gate said. ``figures`` are the metrics that the condition names; ``version`` the model version that was made
    (or was there already), ``previous`` the one that the alias pointed at; ``allowed`` what a person set aside.

    ``gates`` are those with a name whose demands were applied, ``require``, ``min_rows`` and ``approvals`` what they and the
    command line demand together. ``digest`` is that of the model's files; ``n`` the decision's number among those about
    the model; ``pending`` what waits for approval: then nothing has moved yet. ``dry``: it was only asked what would be.
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
    gates: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    min_rows: int = 0
    approvals: int = 0
    digest: str | None = None
    n: int = 0
    pending: Pending | None = None
    dry: bool = False


@dataclass(frozen=True)
class Asked:
    """What is asked for: the run, the model and alias, and all gates that the promotion has to pass. ``inside`` is told where
    the run is one inside the run that was named, ``several`` where it could be one of several.
    """

    row: RunRow
    run: Any
    model: str
    alias: str
    gates: tuple[Gate, ...]
    baseline: RunRow | None
    logged: str
    allowed: tuple[str, ...]
    inside: str = ""
    several: str = ""


@dataclass(frozen=True)
class Judged:
    """A decision with what it takes to carry it out: the run's models, its manifest's digest, what was demanded."""

    decision: Decision
    logged: tuple[mlflow_registry.Logged, ...]
    manifest: str
    demand: Demand


def asked(project: Project, args: Args) -> Asked:
    """Understand the words of a promotion before anything is asked of the store."""
    model, alias = str(args["model"]).strip(), str(args.get("alias") or CHAMPION).strip()
    if alias in (moving.CANDIDATE, moving.PREVIOUS):
        raise UsageError(f"the alias {alias} is nbledger's own", f"--alias {CHAMPION}, or a name of your own")
    applied = _gates(project, args, model, alias)
    gates.together(applied, empty=False)
    allowed = tuple(dict.fromkeys(str(word) for word in args.get("allow") or ()))
    if unknown := [word for word in allowed if word not in ALLOWABLE]:
        raise UsageError(f"{unknown[0]!r} cannot be allowed", f"there are: {', '.join(ALLOWABLE)}")
    row, run = _run(project, str(args["run"]))
    mlflow_registry.check_names(model, alias)
    base = _run(project, str(args["baseline"]))[0] if args.get("baseline") else None
    within = modelrun.inside(project, mlflow.client(project), run)
    told = ""
    if within.only is not None:
        told = f"{row.name} logged no model: the model is that of its run {modelrun.called(within.only)}"
        row, run = _run(project, str(within.only.info.run_id))
    return Asked(row, run, model, alias, applied, base, str(args.get("logged") or ""), allowed, told, within.several)


def _gates(project: Project, args: Args, model: str, alias: str) -> tuple[Gate, ...]:
    """The gate that the alias demands, the one that is named, and what the words themselves add."""
    found = [gates.demanded(project.settings, model, alias)]
    if args.get("gate"):
        found.append(gates.of_name(project.settings, str(args["gate"])))
    condition, first = (str(args[key]) if args.get(key) else None for key in ("condition", "first"))
    if first is not None and condition is None:
        raise UsageError(
            "--first counts in place of --if until there is a champion, and there is no --if",
            "--if CONDITION as well, for the promotions after the first; a named gate has its own first",
        )
    words = gates.requirements([str(word) for word in args.get("require") or ()], "--require")
    days = args.get("expires_days")
    found.append(
        Gate(
            "",
            condition,
            first,
            words,
            int(args.get("min_rows") or 0),
            int(args.get("approve_by") or 0),
            None if days is None else float(days),
        )
    )
    return tuple({one: None for one in found if one is not None})


def _run(project: Project, name: str) -> tuple[RunRow, Any]:
    row = overview.run(project, name)
    if unpublished(project, row) is not None:
        raise Refused(f"the run {row.name!r} is not published whole yet", "try again, or see nbledger flush")
    run = mlflow.get_run(mlflow.client(project), project.tracking_uri, row.run_id)
    if run is None or mlflow_runs.deleted(run):
        raise Refused(f"the run {row.name!r} is deleted", "bring it back first")
    return row, run


def judge(project: Project, api: Any, asked: Asked) -> Judged:
    """All reasons against the promotion, by what the store has at this moment. Nothing is changed."""
    uri = project.tracking_uri
    logged = mlflow_registry.logged_by(api, uri, asked.run)
    previous, holder = _holder(api, uri, asked.model, asked.alias)
    demand = gates.together(asked.gates, empty=previous is None)
    found = evidence_of(project, api, asked.run, [one.name for one in logged])
    judged = gate.decide(
        demand.condition,
        found,
        evidence_of(project, api, holder) if holder is not None else None,
        evidence_of(project, api, _run(project, asked.baseline.run_id)[1]) if asked.baseline else None,
        [word for word in asked.allowed if word not in evidence.unallowable(demand.require)],
    )
    denials = evidence.told(project, judged.denials, demand.require, found)
    if asked.several:
        denials = tuple(Denial("model", asked.several) if d.kind == "model" else d for d in denials)
    if previous is not None and holder is None and demand.condition.names(CHAMPION):
        gone = Denial(CHAMPION, f"version {previous}, which {asked.alias} points at, names no run that is there")
        denials = (*(d for d in denials if d.kind != CHAMPION), gone)
    if demand.require or demand.min_rows:
        facts = _facts(project, api, asked, found)
        denials = (*denials, *evidence.lacking(project, demand.require, demand.min_rows, facts))
    decision = Decision(
        passed=not denials,
        run_id=asked.row.run_id,
        name=asked.row.name,
        model=asked.model,
        alias=asked.alias,
        condition=demand.condition.text,
        figures=judged.figures,
        clauses=judged.clauses,
        denials=tuple(dict.fromkeys(denials)),
        allowed=asked.allowed,
        previous=previous,
        champion=str(holder.info.run_id) if holder is not None else None,
        baseline=asked.baseline.run_id if asked.baseline else None,
        at=this_moment(),
        by=persons.named(project, api),
        gates=demand.gates,
        require=demand.require,
        min_rows=demand.min_rows,
        approvals=demand.approvals,
        notes=(asked.inside,) if asked.inside else (),
    )
    sealed = found.manifest.digest if found.manifest is not None else ""
    return Judged(decision, tuple(logged), sealed, demand)


def _holder(api: Any, uri: str, model: str, alias: str) -> tuple[str | None, Any]:
    """(the version that the alias points at, its run); None for what is not there."""
    number = (moving.aliases(api, uri, model) or {}).get(alias)
    if number is None:
        return None, None
    found = mlflow_registry.version(api, uri, model, number)
    run = mlflow.get_run(api, uri, str(found.run_id)) if found is not None and found.run_id else None
    return number, None if run is None or mlflow_runs.deleted(run) else run


def evidence_of(project: Project, api: Any, run: Any, models: Sequence[str] = ()) -> Evidence:
    """A run as the store has it at this moment. Its manifest is read where the store keeps it, never from a copy."""
    uri, run_id = project.tracking_uri, str(run.info.run_id)
    return Evidence(
        run_id,
        str(run.info.run_name or run_id[:8]),
        str(run.info.status),
        {str(k): str(v) for k, v in run.data.params.items()},
        {str(k): float(v) for k, v in run.data.metrics.items()},
        {str(k): str(v) for k, v in run.data.tags.items()},
        modelrun.manifest_of(project, api, run_id),
        manifest.remembered(project, run_id),
        lambda key: mlflow_runs.history(api, uri, run_id, key),
        models,
    )


def _facts(project: Project, api: Any, asked: Asked, found: Evidence) -> evidence.Facts:
    """The record of the run as the store has it now, and its newest reproductions."""
    uri = project.tracking_uri
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as folder:
        try:
            place = mlflow.download(api, uri, found.run_id, record.FOLDER, Path(folder))
        except ToolFailed:
            place = None
        recorded = record.read(asked.row, place)
    again = mlflow_runs.tied(api, uri, list(mlflow.experiments(api, uri)), REPRODUCES, found.run_id, 1_000)
    newest = again[-_MOST_REPRODUCTIONS:]
    return evidence.Facts(found, recorded, [evidence_of(project, api, one) for one in newest])


def with_digest(project: Project, api: Any, decision: Decision, logged: mlflow_registry.Logged) -> Decision:
    """The decision with the digest of the model's files; refused where they are not there, or are not those of the version
    that this very model is already.
    """
    uri = project.tracking_uri
    try:
        with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as folder:
            found = modeldigest.digest(mlflow_files.fetch(project, api, logged.source, Path(folder) / "model"))
    except Untrusted:
        raise
    except Refused as err:
        return replace(decision, passed=False, denials=(Denial("model", err.message),))
    number = mlflow_registry.version_made_of(api, uri, decision.model, decision.run_id, logged)
    known = mlflow_registry.version(api, uri, decision.model, number) if number is not None else None
    before = str((known.tags or {}).get(modeldigest.TAG, found)) if known is not None else found
    if before != found:
        told = f"the files of version {number} are not those that were promoted: {before[:12]}, they are {found[:12]}"
        return replace(decision, passed=False, denials=(Denial("model", told),), digest=found)
    return replace(decision, digest=found)
