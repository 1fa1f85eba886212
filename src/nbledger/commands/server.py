"""``server``: the reference MLflow server as files, and whether a running one is fit for a team."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import json_option
from nbledger.core.errors import Refused, UsageError
from nbledger.core.records import plain
from nbledger.core.wording import counted

if TYPE_CHECKING:
    from nbledger.core.serverfiles import Outcome

_MARKS = {"ok": "✓", "note": "·", "problem": "!"}


@click.command()
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@click.option(
    "--for", "kinds", multiple=True, metavar="compose|kubernetes", help="Write only for this; default: for both."
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name the server is reached by; turns TLS on.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="WHICH=NAME",
    help="Another image: mlflow, postgres, seaweedfs, caddy, python.",
)
@click.option("--artifacts", metavar="URL", help="A bucket of your own, s3://bucket/folder, in place of SeaweedFS.")
@click.option("--endpoint", metavar="URL", help="Where that bucket is, if not at AWS.")
@click.option("--namespace", metavar="NAME", help="The namespace on Kubernetes; default: mlflow.")
@click.option("--force", is_flag=True, help="Write anew what was edited, and keep that as NAME.orig.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and do nothing.")
@click.option(
    "--check",
    "checked",
    is_flag=False,
    flag_value="",
    metavar="[URL]",
    help="Write nothing; look at a running server: this one, or the project's.",
)
@json_option
@click.pass_obj
def server(
    face: Face,
    folder: Path | None,
    kinds: tuple[str, ...],
    hosts: tuple[str, ...],
    images: tuple[str, ...],
    artifacts: str | None,
    endpoint: str | None,
    namespace: str | None,
    force: bool,
    dry_run: bool,
    checked: str | None,
    as_json: bool,
) -> Answer:
    """Write the files of an MLflow server for a team, or look with --check at a running one.

    DIR (mlflow-server): compose.yaml and kubernetes.yaml with PostgreSQL, S3, authentication and a nightly backup.
    """
    asked = {
        "kinds": kinds,
        "hosts": tuple(host.lower() for host in hosts),
        "images": dict(_pair(each) for each in images),
        "artifacts": artifacts,
        "endpoint": endpoint,
        "namespace": namespace,
    }
    asked = {name: value for name, value in asked.items() if value}
    if checked is not None:
        if folder or asked or force or dry_run:
            raise UsageError("--check writes nothing", "nbledger server --check URL, without other options")
        return _checked(face, checked)
    return _written(folder or Path("mlflow-server"), asked, force=force, dry_run=dry_run)


def _pair(text: str) -> tuple[str, str]:
    name, found, image = text.partition("=")
    if not found or not image:
        raise UsageError(f"{text!r} names no image", "WHICH=NAME, such as postgres=registry.example.org/postgres:17.11")
    return name, image


def _written(folder: Path, asked: dict[str, Any], *, force: bool, dry_run: bool) -> Answer:
    from nbledger.core import git, serverfiles

    whole = Path(os.path.realpath(folder))
    around = git.discover(whole)
    if around is not None and git.in_head(around, [os.path.relpath(whole / ".env", os.path.realpath(around.root))]):
        raise Refused(f"{folder / '.env'} is in Git, where passwords must not be", f"git rm --cached {folder / '.env'}")
    done = serverfiles.write(folder, asked, force=force, dry_run=dry_run)
    return Answer({**plain(done), "dry_run": dry_run}, _told(done, dry_run=dry_run))


def _told(done: Outcome, *, dry_run: bool) -> str:
    new = [step.file for step in done.steps if step.deed == "written"]
    other = [step.file for step in done.steps if step.deed == "replaced"]
    verbs = ("would write", "would replace") if dry_run else ("wrote", "replaced")
    lines = [
        f"{verb} in {done.folder}: {', '.join(names)}" for verb, names in zip(verbs, (new, other), strict=True) if names
    ]
    if not lines:
        return f"everything is there already in {done.folder}"
    if dry_run:
        return "\n".join(lines)
    if ".env" in new:
        lines.append("made up its passwords: they are in .env, which Git ignores; keep a copy where you keep passwords")
    here = f"cd {shlex.quote(done.folder)} && "
    if "compose" in done.kinds:
        lines.append(f"start it:    {here}docker compose up --detach --build --wait")
    else:
        lines.append(f"start it:    as {done.folder}/README.md says")
    return "\n".join(
        [*lines, "add people:  as README.md there says", f"look at it:  nbledger server --check {done.url}"]
    )


def _checked(face: Face, url: str) -> Answer:
    from nbledger.core import secrets, servercheck

    project = face.project()
    own = secrets.without_login(project.tracking_uri)
    if not url:
        url = project.tracking_uri
        if not url.startswith(("http://", "https://")):
            raise UsageError("this project's runs go to no server", "nbledger server --check URL")
    same = secrets.without_login(url).rstrip("/") == own.rstrip("/")
    found = servercheck.check(url, project.experiment if same else "")
    problems = sum(each.severity == "problem" for each in found)
    lines = [f"{_MARKS[each.severity]} {each.text}" + (f" — {each.fix}" if each.fix else "") for each in found]
    lines.append(counted(problems, "problem") if problems else "fit for a team")
    return Answer(
        {"url": secrets.scrub(url), "fit": not problems, "checks": found}, "\n".join(lines), 1 if problems else 0
    )
