"""``deploy``: a version of a registered model into service."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, at_a_project, at_remote, ended_gently, json_option
from nbledger.commands.text import clip
from nbledger.commands.trust import settle, trust_option
from nbledger.core.errors import UsageError

if TYPE_CHECKING:
    from nbledger.core.deploy import Deployed, Deployment

_TARGETS = ("local", "docker", "kserve", "sagemaker")
_ENVIRONMENTS = ("local", "virtualenv", "uv", "conda")
_OF = {
    **dict.fromkeys(("port", "host", "watch", "workers"), ("local",)),
    "env_manager": ("local", "docker"),
    "image": ("docker", "kserve", "sagemaker"),
    **dict.fromkeys(("base_image", "push"), ("docker",)),
    "output": ("docker", "kserve"),
    **dict.fromkeys(("namespace", "canary", "storage_uri", "cpu", "memory"), ("kserve",)),
    **dict.fromkeys(("region", "role", "bucket", "instance_type", "instances"), ("sagemaker",)),
}
"""{option: the targets that it is for}; the others are for all."""


@click.command()
@click.argument("name", required=False)
@click.option("--to", type=click.Choice(_TARGETS), default="local", show_default=True, help="Where it is to be served.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="local: where clients ask. Default: where they do, or a free one."
)
@click.option("--host", help="local: the address to listen on (default 127.0.0.1).")
@click.option(
    "--env-manager", type=click.Choice(_ENVIRONMENTS), help="local, docker: how MLflow makes the model's environment."
)
@click.option("--workers", type=click.IntRange(1, 64), help="local: processes that predict (default 1).")
@click.option("--probe", type=click.FloatRange(1, 3600), help="Seconds until it must answer (default 300).")
@click.option(
    "--watch", type=click.FloatRange(0, 3600), help="local: seconds in which it is watched after the switch (10)."
)
@click.option("--sha256", metavar="DIGEST", help="What the files must be, where no promotion recorded it.")
@click.option(
    "--image", metavar="IMAGE", help="docker: its name; kserve: NAME@sha256:… to serve; sagemaker: MLflow's image."
)
@click.option("--base-image", metavar="IMAGE", help="docker: what FROM names, e.g. python:3.11-slim@sha256:….")
@click.option("--push", is_flag=True, help="docker: push the image, and say its digest.")
@click.option("--output", metavar="PATH", help="docker, kserve: write the build context, the manifest, and do no more.")
@click.option("--namespace", help="kserve: the namespace (default: kubectl's).")
@click.option("--canary", type=click.IntRange(0, 100), help="kserve: percent of the traffic that the new version gets.")
@click.option(
    "--storage-uri",
    metavar="URI",
    help="kserve: where the cluster finds the model's files, if not where MLflow has them.",
)
@click.option("--cpu", help="kserve: what a replica needs and may use (default 1).")
@click.option("--memory", help="kserve: what a replica needs and may use (default 2Gi).")
@click.option("--region", help="sagemaker: the region.")
@click.option("--role", metavar="ARN", help="sagemaker: the role that the endpoint runs as.")
@click.option("--bucket", help="sagemaker: the bucket for the model's files.")
@click.option("--instance-type", help="sagemaker: (default ml.m5.large).")
@click.option("--instances", type=click.IntRange(1, 100), help="sagemaker: how many (default 1).")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--list", "listed", is_flag=True, help="What is served on this machine.")
@click.option("--stop", is_flag=True, help="End the serving of NAME on this machine.")
@trust_option
@json_option
@click.pass_obj
def deploy(
    face: Face,
    /,
    name: str | None,
    to: str,
    dry_run: bool,
    listed: bool,
    stop: bool,
    trusting: bool,
    as_json: bool,
    **options: Any,
) -> Answer:
    """Serve a version of a registered model: NAME@champion, NAME/3, or NAME, which means its champion.

    The files are copied and compared with the digest that was recorded when the version was promoted. What serves now goes
    on until the new version has answered, and serves again if it fails. Exit code 0: it serves; 1: it does not.
    """
    if listed:
        found = ask(face, "deployments")
        return Answer(found, list_text(found))
    at_a_project(face)
    if not name:
        raise UsageError("which model?", "nbledger deploy NAME@champion, or --list")
    if stop:
        was = ask(face, "undeploy", {"model": name})
        return Answer(was, f"✓ {clip(was.model, 80)} is not served at {was.endpoint} any more")
    given = {key: value for key, value in options.items() if value is not None and value is not False}
    for key in given:
        if to not in _OF.get(key, _TARGETS):
            option, targets = f"--{key.replace('_', '-')}", " or ".join(_OF[key])
            raise UsageError(f"{option} means nothing for --to {to}", f"it is for --to {targets}; leave it out here")
    if to == "local" and not dry_run:
        settle(face.project(), "serving a model", trusting=trusting)
    with ended_gently():
        done = at_remote(face, "deploy", {"name": name, "to": to, "dry": dry_run} | given)
    return Answer(done, text(done), 0 if done.ok else 1)


def text(found: Deployed) -> str:
    """What came of it, or what would be done."""
    name = f"{clip(found.model, 80)} version {found.version}"
    if found.dry:
        lines = [f"{name} to {found.target} would be:"]
        lines += [f"  {number}. {clip(step, 2000)}" for number, step in enumerate(found.steps, 1)]
        return "\n".join([*lines, *_manifest(found), *_notes(found)])
    if not found.ok:
        serving = f"version {found.serving} goes on serving" if found.serving else "nothing is served"
        lines = [f"✗ {name} is not served: {clip(found.text, 400)}", f"  {serving}"]
        return "\n".join([*lines, *_notes(found)])
    where = f" at {clip(found.endpoint, 300)}" if found.endpoint else ""
    if found.target == "local":
        lines = [f"✓ {name} serves{where}{_in_place(found)}"]
        lines += [f"  {found.text}"] if found.text else []
    else:
        lines = [f"✓ {name} to {found.target}{where}", *(f"  {clip(line, 400)}" for line in found.text.splitlines())]
    lines += [f"  wrote {clip(path, 300)}" for path in found.files]
    lines += [f"  sha256 {found.digest}"] if found.digest else []
    lines += [f"  try it: {asking(found)}"] if found.example and found.endpoint else []
    return "\n".join([*lines, *_notes(found)])


def asking(found: Deployed) -> str:
    """A line for a shell that asks the served model its own input example."""
    words = ["curl", f"{found.endpoint}/invocations", "-H", "Content-Type: application/json", "-d", found.example]
    return clip(shlex.join(words), 2000)


def _in_place(found: Deployed) -> str:
    if found.previous in (None, found.version):
        return ""
    return f" in place of version {found.previous}"


def _manifest(found: Deployed) -> list[str]:
    """The manifest that would be applied, as it would be written."""
    if not found.manifest:
        return []
    from nbledger.core import kserve

    return ["", *(clip(line, 2000) for line in kserve.text(found.manifest).splitlines()), ""]


def _notes(found: Deployed) -> list[str]:
    return [f"  ({clip(note, 400)})" for note in found.notes]


def list_text(found: list[Deployment]) -> str:
    """One line a model."""
    if not found:
        return "no model is served here"
    lines = []
    for one in found:
        version = f"version {one.version}" if one.version else "no version"
        line = f"{clip(one.model, 80)}  {version}  {one.endpoint}  {clip(one.health, 120)}"
        line += f"  {one.requests} requests, {one.failures} failed" if one.requests else ""
        line += f"  (version {one.coming} is coming: {one.step})" if one.coming else ""
        lines.append(line + (f"\n  {clip(one.last, 300)}" if one.last else ""))
    return "\n".join(lines)
