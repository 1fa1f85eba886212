"""``pipeline``: the stages of every ``dvc.yaml``, which are stale, and why."""

from __future__ import annotations

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.core.errors import UsageError


@click.command()
@click.option("--mermaid", is_flag=True, help="As a Mermaid flowchart, which GitHub draws in Markdown.")
@json_option
@click.pass_obj
def pipeline(face: Face, mermaid: bool, as_json: bool) -> Answer:
    """Show the stages of every dvc.yaml, which are stale, and why; nothing is executed."""
    if mermaid and as_json:
        raise UsageError("--mermaid and --json are two ways to show the same", "leave one of them out")
    from nbledger.core.pipeline import Pipeline
    from nbledger.keeper.calls import built, encode

    found = built(Pipeline, encode(ask(face, "pipeline")))
    if mermaid:
        from nbledger.core.mermaid import flowchart

        return Answer(found, flowchart(found))
    from nbledger.commands import pipeline_text

    return Answer(found, pipeline_text.pipeline(found))
