"""``split``: the stages that a notebook could be, proposed, executed once, and written where all comes out the same."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core.errors import UsageError


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path), metavar="NB")
@click.option("--yes", is_flag=True, help="Write the stages without asking, if they are accepted.")
@click.option("--names", default="", metavar="A,B,C", help="What the stages are called, in their order.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The time a cell may take.")
@trust_option
@json_option
@click.pass_obj
def split(
    face: Face, notebook: Path, yes: bool, names: str, timeout: int | None, trusting: bool, as_json: bool
) -> Answer:
    """Propose stages for a notebook, execute them once in a copy of the project, and write them if every file comes out as
    the notebook itself wrote it.

    Exit code 1: not accepted.
    """
    from nbledger.commands import split_text
    from nbledger.keeper import splitting

    called = [name.strip() for name in names.split(",")] if names else []
    if not all(called):
        raise UsageError(f"--names {names} has a name that is empty", "write --names prepare,train,evaluate")
    project = face.project()
    settle(project, splitting.DEED, trusting=trusting)
    asking = not yes and not as_json and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    with ended_gently(), splitting.opened(project, notebook, timeout=timeout) as work:
        progress = lines()
        found = work.propose(called, progress)
        said = split_text.proposal(work.path, found, {cell.index: cell.title for cell in work.cells})
        if asking:
            click.echo(f"{said}\n", err=True)
            said = ""
        outcome = work.check(found, progress)
        if outcome.accepted and (yes or (asking and _agreed(split_text.outcome(outcome, found.notes)))):
            outcome = work.write(outcome)
    told = split_text.outcome(outcome, found.notes)
    told = told.partition("\n")[2] if asking and outcome.accepted else told  # that was told when it was asked
    return Answer(outcome, f"{said}\n\n{told}" if said else told, 0 if outcome.accepted else 1)


def _agreed(said: str) -> bool:
    click.echo(said.rpartition("\n")[0], err=True)
    return click.confirm("Write these stages?", default=False, err=True)
