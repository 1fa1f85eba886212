"""``compare``: what differs between runs, and why."""

from __future__ import annotations

import click

from nbledger.commands import compare_text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.core import environment


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="List what is the same too.")
@click.option("--metric", metavar="M", help="Only this metric.")
@click.option("--prove", is_flag=True, help="Execute A with one factor of B at a time; share the difference out.")
@click.option("--markdown", is_flag=True, help="Write it as Markdown, for a pull request or an issue.")
@click.option("--yes", is_flag=True, help="With --prove: go ahead without asking.")
@json_option
@click.pass_obj
def compare(
    face: Face,
    names: tuple[str, ...],
    everything: bool,
    metric: str | None,
    prove: bool,
    markdown: bool,
    yes: bool,
    as_json: bool,
) -> Answer:
    """Show what differs between runs, and why. NAMES: runs, commits, or . for the present state; two or more."""
    args = {"names": list(names), "everything": everything, "metric": metric}
    if "." in names:
        args["here"] = environment.to_dict(environment.current())
    found = ask(face, "compare", args)
    if prove:
        from nbledger.commands.prove import proven

        found = proven(face, found, metric, confirmed=yes)
    if markdown:
        from nbledger.core.markdown import comparison

        written = comparison(found)
        return Answer({"markdown": written}, written.rstrip())
    return Answer(found, compare_text.comparison(found))
