"""What the gates of the settings would say of a branch's runs if they were to be promoted now. Nothing is changed by asking."""

from __future__ import annotations

from collections.abc import Sequence

from nbledger.core import gates, mlflow, mlflow_registry
from nbledger.core.differences import Row
from nbledger.core.gate_language import CHAMPION
from nbledger.core.project import Project
from nbledger.core.report import GateView, Pair
from nbledger.keeper import modelrun, promote
from nbledger.keeper.gating import Decision


def views(project: Project, pairs: Sequence[Pair]) -> tuple[list[GateView], list[str]]:
    """For each model of the settings whose champion demands a gate: the verdict on each run of the head that logged a model (or the
    only run inside it did), and why there is none. Of several such models a run is asked about the one that its model is called by.
    """
    wanted = [str(model) for model in project.settings.models if gates.demanded(project.settings, model, CHAMPION)]
    heads = [pair.head for pair in pairs if pair.head is not None] if wanted else []
    found = []
    for run in heads:
        for model in wanted:
            names = _logged(project, run.run_id)
            if names and (len(wanted) == 1 or model in names):
                words = {"run": run.run_id, "model": model, **({"logged": model} if model in names else {})}
                found.append(_view(promote.judged(project, words)))
    asked = {view.model for view in found}
    why = "logged it" if heads else "has this code"
    return found, [
        f"the gate{_called(project, model)} of {model} is not told: no run of the experiment {project.experiment} {why}"
        for model in wanted
        if model not in asked
    ]


def _called(project: Project, model: str) -> str:
    gate = gates.demanded(project.settings, model, CHAMPION)
    return f" {gate.name}" if gate is not None and gate.name else ""


def _logged(project: Project, run_id: str) -> list[str]:
    api, uri = mlflow.client(project), project.tracking_uri
    run = mlflow.get_run(api, uri, run_id)
    if run is None:
        return []
    found = mlflow_registry.logged_by(api, uri, run)
    only = modelrun.inside(project, api, run).only if not found else None
    return [one.name for one in (mlflow_registry.logged_by(api, uri, only) if only is not None else found)]


def _view(decision: Decision) -> GateView:
    clauses = tuple(
        Row(c.text, tuple(f"{v:.10g}" for v in c.values), "✓" if c.holds else "✗") for c in decision.clauses
    )
    held = (decision.previous or "") if decision.champion == decision.run_id else ""
    return GateView(
        model=decision.model,
        alias=decision.alias,
        gate=", ".join(decision.gates),
        run_id=decision.run_id,
        name=decision.name,
        condition=decision.condition,
        passed=decision.passed or bool(held),
        clauses=() if held else clauses,
        reasons=() if held else tuple(denial.text for denial in decision.denials),
        held=held,
    )
