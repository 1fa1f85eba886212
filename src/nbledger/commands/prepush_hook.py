"""``pre-push``: what the Git hook of that name calls (``init --hook`` installs it). Not for people."""

from __future__ import annotations

import os
import sys

import click

from nbledger.commands.answer import Answer, Face
from nbledger.core.gitremote import PUSHING


@click.command("pre-push", hidden=True)
@click.argument("remote", default="")
@click.argument("url", default="")
@click.pass_obj
def pre_push(face: Face, remote: str, url: str) -> Answer | None:
    """Refuse a push of commits whose data nobody else could get; the refs stand on standard input, as Git writes them."""
    return asked(face, remote)


def _lines() -> list[str]:
    """What Git says; nothing where nobody says anything."""
    try:
        return [] if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().splitlines()
    except (OSError, ValueError):
        return []


def asked(face: Face, remote: str = "") -> Answer | None:
    """What is to be said of a push to this remote; None where there is nothing."""
    if os.environ.get(PUSHING):
        return None
    from nbledger.core import prepush

    pushed = prepush.updates(_lines()) or prepush.of_framework(dict(os.environ))
    if not pushed:
        return None
    project = face.project()
    verdict = prepush.check(project, remote or os.environ.get("PRE_COMMIT_REMOTE_NAME", ""), pushed)
    said = prepush.told(project, verdict)
    return Answer(verdict, "\n".join(said), 1 if verdict.found else 0) if said else None
