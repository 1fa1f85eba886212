"""``init``: the folder as a Git and DVC repository with a tracking store, and what Git does for notebooks in it."""

from __future__ import annotations

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.keeper import client


@click.command()
@click.option("--remote", metavar="URL", help="Where data is pushed: a DVC remote such as s3://bucket/path.")
@click.option("--tracking-uri", metavar="URI", help="An MLflow server; default: a SQLite store in the project.")
@click.option(
    "--filters/--no-filters",
    default=None,
    help="Let Git leave notebooks' outputs out of commits and merge notebooks and data by cell and by file; or undo that.",
)
@click.option(
    "--hook/--no-hook",
    default=None,
    help="Let plain git push refuse commits whose data nobody else could get; or undo that.",
)
@json_option
@click.pass_obj
def init(
    face: Face, remote: str | None, tracking_uri: str | None, filters: bool | None, hook: bool | None, as_json: bool
) -> Answer:
    """Make this folder a Git and DVC repository with a tracking store."""
    from nbledger.core import gitfilters, prepush

    done = list(ask(face, "init", {"remote": remote, "tracking_uri": tracking_uri}))
    project = face.project()
    if filters is not None:
        done += gitfilters.install(project) if filters else gitfilters.remove(project)
    if hook is not None:
        done += prepush.install(project) if hook else prepush.remove(project)
    client.notify(face.project())
    return Answer({"done": done}, "\n".join(done) or "everything was there already")
