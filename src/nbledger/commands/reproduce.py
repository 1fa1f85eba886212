"""``reproduce``: bring a run back, execute it again, and say whether the same came out."""

from __future__ import annotations

from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import at_a_project, ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core.errors import UsageError


@click.command()
@click.argument("run", default="@last")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Restore into this empty or new folder.")
@click.option("--restore-only", is_flag=True, help="Bring code and data back, and execute nothing.")
@click.option("--all-data", is_flag=True, help="Restore all tracked data, not only what the run read.")
@click.option(
    "--env",
    type=click.Choice(["same", "rebuild"]),
    default="same",
    show_default=True,
    help="This environment, or one made anew from the run's record.",
)
@click.option("--rtol", type=click.FloatRange(min=0), default=0.0, metavar="R", help="Relative tolerance of numbers.")
@click.option("--atol", type=click.FloatRange(min=0), default=0.0, metavar="A", help="Absolute tolerance of numbers.")
@click.option("--times", type=click.IntRange(1, 1000), default=1, metavar="N", help="Execute N times; show the spread.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The time a cell may take.")
@click.option(
    "--keep/--no-keep", default=None, help="Keep the restored folder (default: with --into, or if different)."
)
@click.option("--no-record", is_flag=True, help="Record neither the verdict nor a new run.")
@trust_option
@json_option
@click.pass_obj
def reproduce(
    face: Face,
    run: str,
    into: Path | None,
    restore_only: bool,
    all_data: bool,
    env: str,
    rtol: float,
    atol: float,
    times: int,
    timeout: int | None,
    keep: bool | None,
    no_record: bool,
    trusting: bool,
    as_json: bool,
) -> Answer:
    """Bring a run back beside the work tree, execute it again, and give a verdict.

    RUN: an id, a unique prefix, a name, @last or @last~2. Exit code 0: identical or within the tolerance; 1: different,
    or not restorable.
    """
    if restore_only and times > 1:
        raise UsageError("--restore-only executes nothing, so --times has no meaning", "leave one of them out")
    from nbledger.commands import reproduce_text
    from nbledger.core.verdict import DIFFERENT, NOT_RESTORABLE, Tolerance
    from nbledger.keeper.reproduce import DEED, Wanted
    from nbledger.keeper.reproduce import reproduce as work

    wanted = Wanted(
        into=into,
        restore_only=restore_only,
        all_data=all_data,
        env=env,
        tolerance=Tolerance(rtol, atol),
        times=times,
        timeout=timeout,
        keep=keep,
        record=not no_record,
    )
    at_a_project(face)
    project = face.project()
    if not restore_only:
        settle(project, DEED, trusting=trusting)
    with ended_gently():
        done = work(project, run, wanted, lines())
    return Answer(done, reproduce_text.reproduction(done), int(done.verdict in (DIFFERENT, NOT_RESTORABLE)))
