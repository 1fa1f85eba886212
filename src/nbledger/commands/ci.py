"""``ci``: the workflow of a forge that reviews pull requests, releases from tags and watches for drift."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import json_option
from nbledger.commands.text import clip
from nbledger.core.records import plain

if TYPE_CHECKING:
    from nbledger.core.ciworkflow import Outcome


@click.command()
@click.argument("forge", metavar="github|gitlab")
@click.option("--model", metavar="NAME", help="The registered model; default: the only one of the settings.")
@click.option("--from", "source", metavar="STAGE", help="The stage, or notebook, whose run is promoted.")
@click.option("--if", "condition", metavar="CONDITION", help="When it is, if the model's settings name no gate.")
@click.option("--first", metavar="CONDITION", help="The condition while there is no champion.")
@click.option("--tags", metavar="PATTERN", help="The tags that release (v*).")
@click.option("--deploy", metavar="TARGET", help="Deploy the champion: local, docker, kserve or sagemaker.")
@click.option("--port", metavar="N", help="With --deploy local: where clients ask (a free one).")
@click.option("--data", metavar="PATH", help="Live data, looked at for drift.")
@click.option("--cron", metavar="WHEN", help='When drift is looked for ("17 5 * * *", UTC).')
@click.option("--runner", metavar="LABEL", help="The machine that runs the jobs (ubuntu-24.04).")
@click.option("--install", metavar="WHAT", help="What pip installs as nbledger (this version).")
@click.option("--force", is_flag=True, help="Write anew what was edited, and keep that as NAME.orig.")
@click.option("--dry-run", is_flag=True, help="Print the file, and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the file is not up to date.")
@json_option
@click.pass_obj
def ci(
    face: Face, /, forge: str, force: bool, dry_run: bool, check: bool, as_json: bool, **options: str | None
) -> Answer:
    """Write the CI workflow of this project: pull requests are reviewed, tags release, a schedule looks for drift.

    Its steps are nbledger's verbs, which do the same on a laptop. What is not said is as it was the last time.
    """
    from nbledger.core import ciworkflow

    asked: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    found = ciworkflow.write(face.project(), forge, asked, force=force, dry_run=dry_run, check=check)
    data = {**plain(found), "dry_run": dry_run, "current": found.current}
    if check:
        return Answer(data, _checked(face, found), 0 if found.current else 1)
    return Answer(data, found.text if dry_run else told(found))


def told(found: Outcome) -> str:
    """What was done to each file, then what the forge has to be given, then what is left to a person."""
    words = {"written": "wrote", "replaced": "replaced", "same": "is up to date:", "kept": "left as it is:"}
    lines = [f"{words[step.deed]} {step.file}" for step in found.steps]
    lines.append(f"jobs: {', '.join(found.jobs)}")
    for title, table in (("secrets", found.secrets), ("variables", found.variables)):
        if table:
            width = max(map(len, table))
            lines += [f"{title} that {_FORGES[found.forge]} needs:"]
            lines += [f"  {name:{width}}  {clip(text, 200)}" for name, text in table.items()]
    return "\n".join([*lines, *(f"({clip(note, 300)})" for note in found.notes)])


_FORGES = {"github": "GitHub", "gitlab": "GitLab"}


def _checked(face: Face, found: Outcome) -> str:
    if found.current:
        return f"{found.steps[0].file} is up to date"
    lines = []
    root = face.project().root
    for step in found.steps:
        if step.deed == "written":
            lines.append(f"{step.file} is not there")
        elif step.deed == "replaced":
            before = (root / step.file).read_text(encoding="utf-8", errors="replace").splitlines()
            changed = list(difflib.unified_diff(before, found.text.splitlines(), "there", "wanted", lineterm="", n=0))
            lines += [f"{step.file} is not what nbledger ci {found.forge} would write:"]
            lines += [clip(line, 200) for line in changed[2:42]]
    return "\n".join(lines)
