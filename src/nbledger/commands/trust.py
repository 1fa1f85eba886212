"""``trust``: whose code may run; and the ``--trust`` of the verbs that run it."""

from __future__ import annotations

import sys

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import json_option
from nbledger.core import trust as trusts
from nbledger.core.project import Project, find_anyhow

trust_option = click.option("--trust", "trusting", is_flag=True, help="Trust this project first; for CI.")


def settle(project: Project, deed: str, *, trusting: bool) -> None:
    """Before ``deed`` executes what came with the project: take ``--trust``, or ask at a terminal, or refuse."""
    if not trusts.trusted(project):
        if trusting or _asked(project, deed):
            trusts.trust(project)
        trusts.require(project, deed)


def _asked(project: Project, deed: str) -> bool:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = f"{deed} executes code that came with {str(project.home)!r}. Do you trust it?"
    return click.confirm(question[:1].upper() + question[1:], default=False, err=True)


@click.command()
@click.option("--remove", is_flag=True, help="Trust this project no longer.")
@click.option("--list", "listing", is_flag=True, help="List the projects that you trust.")
@json_option
@click.pass_obj
def trust(face: Face, remove: bool, listing: bool, as_json: bool) -> Answer:
    """Trust the code that came with this project: reproduce, run and others may execute it."""
    if listing:
        found = trusts.listed()
        lines = [f"{each.path!r}, since {each.since}" for each in found]
        return Answer({"trusted": found}, "\n".join(lines) or "no project is trusted")
    project = find_anyhow()
    if remove:
        was = trusts.distrust(project)
        text = f"{str(project.home)!r} is trusted no longer" if was else f"{str(project.home)!r} was not trusted"
    else:
        trusts.trust(project)
        text = f"{str(project.home)!r} is trusted"
    return Answer({"path": str(project.home), "trusted": trusts.trusted(project)}, text)
