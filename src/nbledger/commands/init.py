"""``init``: the folder as a Git and DVC repository with a tracking store, and what Git does for notebooks in it."""

from __future__ import annotations

from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import at_remote, json_option
from nbledger.keeper import client


@click.command()
@click.option("--remote", metavar="URL", help="Where data is pushed: a DVC remote such as s3://bucket/path.")
@click.option(
    "--remote-option",
    "remote_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --remote: an option of it, such as endpointurl or region; never a secret.",
)
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
    face: Face,
    remote: str | None,
    remote_options: tuple[str, ...],
    tracking_uri: str | None,
    filters: bool | None,
    hook: bool | None,
    as_json: bool,
) -> Answer:
    """Make this folder a Git and DVC repository with a tracking store."""
    from nbledger.core import gitfilters, prepush, remoteurl

    if remote is not None:
        remote = remoteurl.from_root(remote, Path.cwd(), face.project().root)
    words = {"remote": remote, "remote_options": list(remote_options), "tracking_uri": tracking_uri}
    done = list(at_remote(face, "init", words))
    project = face.project()
    if filters is not None:
        done += gitfilters.install(project) if filters else gitfilters.remove(project)
    elif gitfilters.asked(project) and not gitfilters.installed(project):
        done.append("this project keeps notebooks without outputs: nbledger init --filters sets this clone up for it")
    if hook is not None:
        done += prepush.install(project) if hook else prepush.remove(project)
    if hook and not project.settings.pre_push_hook:
        done.append("the hook is this clone's: pre_push_hook = true in .nbledger.toml gives it to everybody who joins")
    client.notify(face.project())
    return Answer({"done": done}, "\n".join(done) or "everything was there already")
