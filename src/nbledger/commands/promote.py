"""``promote``: the gated way of a run's model into the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import as_person, json_option
from nbledger.commands.text import clip
from nbledger.core.gate import ALLOWABLE
from nbledger.core.gates import REQUIREMENTS

if TYPE_CHECKING:
    from nbledger.keeper.gating import Decision


@click.command()
@click.argument("run")
@click.option("--model", required=True, metavar="NAME", help="The registered model; it is made if it is not there.")
@click.option(
    "--if",
    "condition",
    metavar="CONDITION",
    help='What must hold, e.g. "accuracy >= champion.accuracy + 0.005 and latency_ms < 50".',
)
@click.option("--gate", metavar="NAME", help="A gate of the settings, in addition to the one that the alias demands.")
@click.option("--first", metavar="CONDITION", help="In place of --if while the alias points at no version.")
@click.option("--alias", default="champion", show_default=True, metavar="NAME", help="The alias that moves.")
@click.option("--baseline", metavar="RUN", help="The run that baseline. means in the condition.")
@click.option("--logged", metavar="NAME", help="Which of several models that the run logged.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(ALLOWABLE),
    help="Promote although the code is in no commit, inputs are not versioned, or cells ran out of order.",
)
@click.option(
    "--require",
    multiple=True,
    type=click.Choice(REQUIREMENTS),
    help="Evidence beside metrics: a reproduction, clean code, versioned or pushed data, a locked environment.",
)
@click.option("--min-rows", type=click.IntRange(0), metavar="N", help="The rows that the data inputs have together.")
@click.option(
    "--approve-by", type=click.IntRange(0, 20), metavar="N", help="Wait until N other people have approved it."
)
@click.option("--expires-days", type=click.FloatRange(0.001, 3650), metavar="D", help="They have D days. [7]")
@click.option(
    "--wait",
    type=click.FloatRange(0, 10_080),
    metavar="MINUTES",
    help="With approvals: wait so long for them, at most.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Say what the gate says; make, move and record nothing.")
@json_option
@click.pass_obj
def promote(
    face: Face,
    run: str,
    model: str,
    condition: str | None,
    gate: str | None,
    first: str | None,
    alias: str,
    baseline: str | None,
    logged: str | None,
    allow: tuple[str, ...],
    require: tuple[str, ...],
    min_rows: int | None,
    approve_by: int | None,
    expires_days: float | None,
    wait: float | None,
    dry: bool,
    as_json: bool,
) -> Answer:
    """Register a run's model and point an alias at it, if a condition holds.

    A metric by its name is the run's; champion.NAME is that of the version which the alias points at. What is missing, no
    number, edited after the run's end or not reproducible is a reason to refuse. Gates of the settings add to it. Exit code
    0: promoted; 1: refused, or it waits for approval.
    """
    asked = {"run": run, "model": model, "alias": alias, "allow": list(allow), "require": list(require), "dry": dry}
    extra: dict[str, object] = {
        "condition": condition,
        "gate": gate,
        "first": first,
        "baseline": baseline,
        "logged": logged,
    }
    extra |= {"min_rows": min_rows, "approve_by": approve_by, "expires_days": expires_days}
    decision = as_person(face, "promote_if", asked | {key: value for key, value in extra.items() if value is not None})
    if decision.pending is not None and wait:
        return waited(face, decision, wait)
    return Answer(decision, text(decision), 0 if decision.passed else 1)


def waited(face: Face, decision: Decision, minutes: float) -> Answer:
    """Wait for the approvals that it takes."""
    from nbledger.commands.approve import ended
    from nbledger.keeper.approving import wait

    assert decision.pending is not None
    click.echo(text(decision), err=True)
    pending = wait(face.project(), decision.pending, minutes)
    done = replace(decision, passed=pending.state == "approved", pending=pending)
    return Answer(done, ended(pending), 0 if done.passed else 1)


def text(found: Decision) -> str:
    """The decision first, then its reasons or its figures."""
    lines = [_verdict(found)]
    lines += [f"  {clip(denial.text, 300)}" for denial in found.denials]
    if not found.denials:
        lines += [f"  {clip(c.text, 80)}: {' against '.join(f'{v:.10g}' for v in c.values)}" for c in found.clauses]
    elif found.figures:
        lines.append("  figures: " + ", ".join(f"{clip(k, 40)} {v:.10g}" for k, v in found.figures.items()))
    if found.allowed:
        lines.append(f"  (allowed: {', '.join(found.allowed)})")
    if found.gates:
        lines.append(f"  (gate {clip(', '.join(found.gates), 80)})")
    return "\n".join([*lines, *(f"  ({clip(note, 200)})" for note in found.notes)])


def _verdict(found: Decision) -> str:
    name, model, alias = clip(found.name, 60), clip(found.model, 60), clip(found.alias, 40)
    if found.pending is not None:
        from nbledger.commands.approve import waits

        return f"… {name} is {model} version {found.version}, and waits\n  {waits(found.pending)}"
    if found.dry:
        return f"{'✓' if found.passed else '✗'} {name} would {'' if found.passed else 'not '}be promoted to {model}@{alias}"
    if not found.passed:
        return f"✗ {name} is not promoted to {model}@{alias}"
    return f"✓ {name} is {model} version {found.version}, {_alias(found)}"


def _alias(found: Decision) -> str:
    alias = clip(found.alias, 40)
    if found.previous == found.version:
        return f"which {alias} pointed at already"
    return f"{alias}{f' in place of version {found.previous}' if found.previous else ''}"
