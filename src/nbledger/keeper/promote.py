"""``promote``: a run's model into the registry and under an alias, if a condition holds on evidence that can be relied on.

Every decision is recorded before the alias moves: as ``nbledger/gate/…json`` among the run's artifacts, in the run's
tag ``nbledger.gate``, on the registered model in order (``core.mlflow_decisions``), and of what passed on the model version
(``nbledger.gate.*``). The judgement is made first; then, with the model's lock held, the alias must still be where it was.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbledger.core import mlflow, mlflow_lock, mlflow_registry, mlflow_runs, mlflow_write, modeldigest
from nbledger.core.approval import Asking
from nbledger.core.errors import LedgerError
from nbledger.core.gate import Denial
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.mlflow_lock import Held
from nbledger.core.project import Project
from nbledger.core.records import plain
from nbledger.core.values import MAX_TAG
from nbledger.keeper import approving, changes, gating, moving
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.gating import Asked, Decision, Judged

_PLACE = "nbledger/gate"


def promote_if(project: Project, args: Args, progress: Progress | None) -> Decision:
    """Register the model of ``run`` and point ``alias`` of ``model`` at it, if all gates that apply say so. A refusal is a
    decision too, and is recorded; what cannot be asked is an error. ``dry``: judge only, and change nothing.
    """
    tell = progress or _untold
    asked = gating.asked(project, args)
    api = mlflow.client(project)
    tell(0, 3, "asking the gate")
    judged = gating.judge(project, api, asked)
    decision = judged.decision
    if args.get("dry"):
        return replace(decision, dry=True)
    if decision.passed:
        logged = mlflow_registry.chosen(list(judged.logged), asked.logged, asked.row.name)
        tell(1, 3, "reading the model's files")
        decision = gating.with_digest(project, api, decision, logged)
    if decision.passed:
        return _carried_out(project, api, asked, replace(judged, decision=decision), logged, tell)
    tell(2, 3, "writing the refusal down")
    return _refused(project, api, decision)


def judged(project: Project, args: Args) -> Decision:
    """What the gates say now of these words of a promotion. Nothing is changed, and nothing recorded."""
    return gating.judge(project, mlflow.client(project), gating.asked(project, args)).decision


def _untold(done: int, total: int, text: str) -> None:
    """Where nobody looks on."""


def _carried_out(
    project: Project, api: Any, asked: Asked, judged: Judged, logged: mlflow_registry.Logged, tell: Progress
) -> Decision:
    """With the model's lock: make the version, record the decision, and only then move the alias, if it is where it was."""
    uri, model, decision = project.tracking_uri, asked.model, judged.decision
    with mlflow_lock.held(api, uri, model, decision.by) as held:
        now = moving.settled(held, asked.alias)
        if now != decision.previous:
            was, now = (f"version {v}" if v else "nothing" for v in (decision.previous, now))
            moved = Denial("moved", f"{asked.alias} pointed at {was} when this was judged, and points at {now} now")
            return _refused(project, api, replace(decision, passed=False, denials=(moved,)), held)
        tell(2, 3, "moving the alias")
        number = mlflow_registry.version_made_of(api, uri, model, decision.run_id, logged)
        created = number is None
        number = number or mlflow_registry.register(api, uri, model, logged, decision.run_id)
        decision = replace(decision, version=number, created=created)
        try:
            mlflow_registry.tag_version(api, uri, model, number, _tags(decision))
            _record(project, api, decision)
            if decision.approvals and number != decision.previous:
                return _waits(project, held, judged, decision)
            written = approving.move(project, held, _entry(decision, "promote"))
        finally:
            changes.tell(project, "models", "runs", run=decision.run_id)
    return replace(decision, n=written.n)


_ALONE = "the registry is in this clone alone, where others do not see it: nbledger init --tracking-uri URL names a shared one"


def _waits(project: Project, held: Held, judged: Judged, decision: Decision) -> Decision:
    """Nothing moves before other people have approved it."""
    asking = Asking(
        model=decision.model,
        version=str(decision.version),
        alias=decision.alias,
        previous=decision.previous,
        run_id=decision.run_id,
        run_name=decision.name,
        manifest=judged.manifest,
        condition=decision.condition,
        figures=decision.figures,
        needed=decision.approvals,
        expires_days=judged.demand.expires_days,
    )
    pending = approving.ask_for(project, held, asking)
    notes = (*decision.notes, _ALONE) if project.embedded else decision.notes
    return replace(decision, passed=False, pending=pending, notes=notes)


def _refused(project: Project, api: Any, decision: Decision, held: Held | None = None) -> Decision:
    """Record a refusal: with the run, and with the model if it is registered. It stands, recorded or not."""
    try:
        _record(project, api, decision)
        if mlflow_registry.model(api, project.tracking_uri, decision.model) is None:
            why = f"there is no registered model {decision.model} yet: the decision is recorded with the run alone"
            return replace(decision, notes=(*decision.notes, why))
        taken = contextlib.nullcontext(held) if held is not None else None
        with taken or mlflow_lock.held(api, project.tracking_uri, decision.model, decision.by) as lock:
            assert lock is not None
            return replace(decision, n=moving.noted(lock, _entry(decision, "refused")).n)
    except (LedgerError, OSError) as err:
        return replace(decision, notes=(*decision.notes, f"the decision could not be recorded: {err}"))
    finally:
        changes.tell(project, "models", "runs", run=decision.run_id)


def _entry(decision: Decision, kind: str) -> Entry:
    reasons = [denial.text for denial in decision.denials] + [f"set aside: {word}" for word in decision.allowed]
    gate = [f"gate {', '.join(decision.gates)}"] if decision.gates else []
    return Entry(
        kind,
        decision.alias,
        version=decision.version,
        previous=decision.previous,
        run_id=decision.run_id,
        by=decision.by,
        condition=decision.condition,
        figures=decision.figures,
        reasons=tuple(reasons),
        text="; ".join((*gate, *decision.notes)),
    )


def _tags(decision: Decision) -> dict[str, str]:
    """What the model version says of the gate, as the sidebar shows it, and the digest of its files."""
    figures = ", ".join(f"{name} {value:.10g}" for name, value in decision.figures.items())
    found = {
        "verdict": "passed" if decision.passed else "refused",
        "gate": ", ".join(decision.gates),
        "condition": decision.condition,
        "figures": figures,
        "required": ", ".join(decision.require),
        "alias": decision.alias,
        "allowed": ", ".join(decision.allowed),
        "previous": decision.previous or "",
        "at": decision.at,
        "by": decision.by,
    }
    tags = {f"nbledger.gate.{key}": text[:MAX_TAG] for key, text in found.items() if text}
    return tags | ({modeldigest.TAG: decision.digest} if decision.digest else {})


def _record(project: Project, api: Any, decision: Decision) -> None:
    uri = project.tracking_uri
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as scratch:
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


__all__ = ["Decision", "judged", "promote_if"]
