"""``compare --prove``: say how many executions it takes, have that confirmed, execute, and divide the difference."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from nbledger.commands.answer import Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import ended_gently
from nbledger.commands.trust import settle
from nbledger.core import record
from nbledger.core.differences import Comparison
from nbledger.core.errors import UsageError
from nbledger.core.records import RunRow
from nbledger.core.wording import counted
from nbledger.keeper import overview

if TYPE_CHECKING:
    from nbledger.keeper.prove import Plan


def proven(face: Face, found: Comparison, metric: str | None, *, confirmed: bool) -> Comparison:
    """The comparison with its proof. ``UsageError`` when more or less than two runs are compared, or nobody said yes."""
    if len(found.runs) != 2 or any(run.kind != "run" for run in found.runs):
        raise UsageError("--prove executes two recorded runs", "name two runs, without . and commits")
    from nbledger.keeper import prove

    project = face.project()
    settle(project, "proving a comparison", trusting=False)
    rows = [overview.run(project, run.run_id) for run in found.runs]
    with ended_gently():
        a, b = (record.load(project, row) for row in rows)
        with prove.prepared(project, a, b, progress=lines()) as workshop:
            _confirm(_announced(workshop.plan, rows), confirmed=confirmed)
            return replace(found, proof=workshop.prove([metric] if metric else (), progress=lines()))


def _announced(plan: Plan, rows: list[RunRow]) -> str:
    names = "; ".join(f"{factor.name} ({factor.what})" for factor in plan.factors)
    count = counted(len(plan.factors), "factor differs", "factors differ")
    return f"{count}: {names}. That takes {plan.executions} executions, {_estimate(rows, plan.executions)}"


def _estimate(rows: list[RunRow], executions: int) -> str:
    """How long, judged by the runs' own cells; what comes before them is not known."""
    known = [
        (dt.datetime.fromisoformat(row.end) - dt.datetime.fromisoformat(row.start)).total_seconds()
        for row in rows
        if row.start and row.end
    ]
    if not known:
        return "each of unknown length"
    seconds = executions * sum(known) / len(known)
    shown = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, seconds):.0f} s"
    return f"about {shown} in the runs' own cells, besides a fresh kernel and the cells before them each time"


def _confirm(announced: str, *, confirmed: bool) -> None:
    if confirmed:
        sys.stderr.write(f"{announced}\n")
    elif not sys.stdin.isatty():
        raise UsageError(announced, "add --yes to go ahead")
    elif not click.confirm(f"{announced}. Go ahead?", err=True):
        raise UsageError("nothing was executed", "compare without --prove judges by what was recorded")
