"""``repro``: ``dvc repro``, each executed stage a run."""

from __future__ import annotations

from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ended_gently, json_option
from nbledger.commands.trust import settle, trust_option

_CODES = {"FINISHED": 0, "FAILED": 1, "KILLED": 130}


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET…]")
@click.option("--force", "-f", is_flag=True, help="Execute stages that are up to date, too.")
@click.option("--single-item", "-s", is_flag=True, help="Only the targets, not what they depend on.")
@click.option("--pull", is_flag=True, help="Fetch from the remote what is missing and was made before.")
@click.option("--dry", is_flag=True, help="Say what would be executed.")
@click.option("-e", "--experiment", help="The MLflow experiment (default: the project's).")
@click.option("-v", "--verbose", is_flag=True, help="Show what the stages print.")
@trust_option
@json_option
@click.pass_obj
def repro(
    face: Face,
    /,
    targets: tuple[str, ...],
    force: bool,
    single_item: bool,
    pull: bool,
    dry: bool,
    experiment: str | None,
    verbose: bool,
    trusting: bool,
    as_json: bool,
) -> Answer:
    """Bring the stages of dvc.yaml up to date, as dvc repro does, each executed stage a run. TARGET: a stage or a dvc.yaml.

    Stages that are up to date are skipped, with the run that made them. Exit code 1: a stage failed.
    """
    from nbledger.commands import repro_text
    from nbledger.keeper import repro as pipelines
    from nbledger.keeper import repros

    project = face.project()
    settle(project, "bringing a pipeline up to date", trusting=trusting)
    asked = repros.Asked(targets, force, single_item, pull, dry, experiment)
    with ended_gently(), repro_text.shown(quiet=as_json, verbose=verbose) as progress:
        report = pipelines.run(project, Path.cwd(), asked, progress)
    return Answer(report, repro_text.report(report), _CODES[report.status])
