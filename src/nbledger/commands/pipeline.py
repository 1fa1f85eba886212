"""``pipeline``: the stages of every ``dvc.yaml``, which are stale, and why."""

from __future__ import annotations

import click

from nbledger.commands import share_text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option


@click.command()
@json_option
@click.pass_obj
def pipeline(face: Face, as_json: bool) -> Answer:
    """Show the stages of every dvc.yaml, which are stale, and why; nothing is executed."""
    from nbledger.core.pipeline import Pipeline
    from nbledger.keeper.calls import built, encode

    found = built(Pipeline, encode(ask(face, "pipeline")))
    return Answer(found, share_text.pipeline(found))
