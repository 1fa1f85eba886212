"""``promote``: the gated way of a run's model into the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.commands.text import clip
from nbledger.core.gate import ALLOWABLE

if TYPE_CHECKING:
    from nbledger.keeper.promote import Decision


@click.command()
@click.argument("run")
@click.option("--model", required=True, metavar="NAME", help="The registered model; it is made if it is not there.")
@click.option(
    "--if",
    "condition",
    required=True,
    metavar="CONDITION",
    help='What must hold, e.g. "accuracy >= champion.accuracy + 0.005 and latency_ms < 50".',
)
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
@json_option
@click.pass_obj
def promote(
    face: Face,
    run: str,
    model: str,
    condition: str,
    first: str | None,
    alias: str,
    baseline: str | None,
    logged: str | None,
    allow: tuple[str, ...],
    as_json: bool,
) -> Answer:
    """Register a run's model and point an alias at it, if a condition holds.

    A metric by its name is the run's; champion.NAME is that of the version which the alias points at. What is missing, no
    number, edited after the run's end or not reproducible is a reason to refuse. Exit code 0: promoted; 1: refused.
    """
    asked = {"run": run, "model": model, "condition": condition, "alias": alias, "allow": list(allow)}
    extra = {"first": first, "baseline": baseline, "logged": logged}
    decision = ask(face, "promote_if", asked | {key: value for key, value in extra.items() if value is not None})
    return Answer(decision, text(decision), 0 if decision.passed else 1)


def text(found: Decision) -> str:
    """The decision first, then its reasons or its figures."""
    name = clip(found.name, 60)
    lines = [
        f"✓ {name} is {found.model} version {found.version}, {_alias(found)}"
        if found.passed
        else f"✗ {name} is not promoted to {found.model}@{found.alias}"
    ]
    lines += [f"  {denial.text}" for denial in found.denials]
    if found.passed:
        lines += [f"  {clip(c.text, 80)}: {' against '.join(f'{v:.10g}' for v in c.values)}" for c in found.clauses]
    elif found.figures:
        lines.append("  figures: " + ", ".join(f"{clip(k, 40)} {v:.10g}" for k, v in found.figures.items()))
    if found.allowed:
        lines.append(f"  (allowed: {', '.join(found.allowed)})")
    return "\n".join([*lines, *(f"  ({note})" for note in found.notes)])


def _alias(found: Decision) -> str:
    if found.previous == found.version:
        return f"which {found.alias} pointed at already"
    return f"{found.alias}{f' in place of version {found.previous}' if found.previous else ''}"
