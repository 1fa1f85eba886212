"""``join``: a clone of somebody's project in which one can work."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import ended_gently, json_option
from nbledger.commands.trust import trust_option
from nbledger.core import trust as trusts
from nbledger.core.join import Joined, Joining, Progress


@click.command()
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("-b", "--branch", help="The branch to work on; default: the one that the repository is on.")
@trust_option
@click.option("--no-env", is_flag=True, help="Leave the environment as it is.")
@click.option("--no-data", is_flag=True, help="Bring no data; nbledger pull does later.")
@json_option
@click.pass_obj
def join(
    face: Face,
    url: str,
    folder: Path | None,
    branch: str | None,
    trusting: bool,
    no_env: bool,
    no_data: bool,
    as_json: bool,
) -> Answer:
    """Clone a project from URL and make it ready to work in: environment, data, tracking server.

    Cloning executes nothing that came with it; the rest asks first. After an error or a kill the same command goes on.
    """
    from nbledger.core import join as joining

    progress: Progress = face.progress if face.start_keeper and face.progress is not None else lines()
    with ended_gently():
        begun = joining.begin(url, folder, branch, Path.cwd(), progress)
        _settle(begun, env=not no_env, data=not no_data, trusting=trusting)
        done = joining.finish(begun, env=not no_env, data=not no_data, progress=progress)
    return Answer(done, told(done), done.code)


def _settle(begun: Joining, *, env: bool, data: bool, trusting: bool) -> None:
    """Say what would be executed, and ask once. Without a yes the rest is left open."""
    from nbledger.core import join as joining

    project = begun.project
    if project is None or trusts.trusted(project):
        return
    listed = joining.would_execute(begun, env=env, data=data)
    if listed:
        said = "\n".join(["What joining executes or gives your credentials to:", *(f"  {line}" for line in listed)])
        click.echo(said.encode("utf-8", "replace").decode(), err=True)
    if trusting or (_can_ask() and click.confirm(f"Do you trust {str(project.home)!r}?", default=False, err=True)):
        trusts.trust(project)


def _can_ask() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


_MARKS = {"ready": "✓", "left out": "–", "open": "…", "failed": "✗"}


def told(done: Joined) -> str:
    """A line a step, then what to type now."""
    width = max(len(step.name) for step in done.steps)
    rows = []
    for at, step in enumerate(done.steps):
        rows.append(f"{_MARKS[step.state]} {step.name:{width}}  {step.text}")
        said_below = any(later.hint == step.hint and later.state == step.state for later in done.steps[at + 1 :])
        if step.hint and step.state != "ready" and not said_below:
            rows.append(f"  {'':{width}}  → {step.hint}")
    return "\n".join([done.root, *rows, "next:", *(f"  {line}" for line in done.next)])
