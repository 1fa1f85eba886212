"""``gc``: remove data that nothing needs, and never what a recorded run does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nbledger.commands import text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.core.errors import Refused
from nbledger.keeper.calls import encode

_SCOPES = ("workspace", "branches", "tags", "commits")


@click.command()
@click.option("-w", "--workspace", is_flag=True, help="Keep only what the work trees (and recorded runs) need.")
@click.option("-a", "--all-branches", "branches", is_flag=True, help="Keep also what the tips of branches need.")
@click.option("-T", "--all-tags", "tags", is_flag=True, help="Keep also what tags need.")
@click.option("-A", "--all-commits", "commits", is_flag=True, help="Keep what any commit needs; this is the default.")
@click.option("-c", "--cloud", is_flag=True, help="Remove the same from the default DVC remote: others may need it.")
@click.option(
    "-p", "--projects", multiple=True, type=click.Path(path_type=Path), help="Another project in the same cache."
)
@click.option("--alone", is_flag=True, help="No other project uses the cache, although it lies outside of this one.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def gc(
    face: Face,
    workspace: bool,
    branches: bool,
    tags: bool,
    commits: bool,
    cloud: bool,
    projects: tuple[Path, ...],
    alone: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Answer:
    """Remove data that no work tree, commit or recorded run needs. It says what would go and asks first."""
    scopes = [name for name, on in zip(_SCOPES, (workspace, branches, tags, commits), strict=True) if on]
    words = {"scopes": scopes, "cloud": cloud, "projects": [str(p.absolute()) for p in projects], "alone": alone}
    found: dict[str, Any] = encode(ask(face, "gc", {**words, "dry_run": True}))
    if dry_run or _nothing(found):
        return Answer(found, _said(found))
    if not yes and not _agreed(_said(found)):
        return Answer(found, "nothing was removed", 1)
    done: dict[str, Any] = encode(ask(face, "gc", {**words, "dry_run": False, "digest": found["digest"]}))
    return Answer(done, _said(done))


def _nothing(found: dict[str, Any]) -> bool:
    remote = found["remote"] or {"objects": 0}
    return not (found["cache"]["objects"] or found["links"] or found["runs"] or remote["objects"])


def _agreed(said: str) -> bool:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused("this removes data and needs a yes", "see what it would remove: --dry-run; then --yes")
    click.echo(said, err=True)
    return click.confirm("Remove it?", default=False, err=True)


def _said(found: dict[str, Any]) -> str:
    verb = "would go" if found["dry_run"] else "removed"
    lines = []
    if found["runs"]:
        lines.append(
            f"{_count(len(found['runs']), 'run')} that the store has no more: "
            f"{_count(found['snapshots'], 'snapshot')} of code {verb}"
        )
    cache, remote = found["cache"], found["remote"]
    if cache["objects"] or found["links"]:
        links = f", {_count(found['links'], 'link')} of kept data" if found["links"] else ""
        lines.append(f"cache: {_count(cache['objects'], 'object')} {verb}{links} ({text.size(cache['bytes'])})")
    if remote is not None:
        lines.append(
            f"remote {found['remote_name']}: {_count(remote['objects'], 'object')} {verb} "
            f"({text.size(remote['bytes'])}); what others need and this clone does not know goes with them"
        )
    if _nothing(found):
        lines = ["nothing to remove: work trees, commits and recorded runs need everything"]
    if found["unknown"]:
        lines.append(
            f"note: of {_count(len(found['unknown']), 'folder version')} the list of files is not in the cache"
        )
    kept = found["kept"]
    return "\n".join([*lines, f"kept: {_count(kept['objects'], 'object')} ({text.size(kept['bytes'])})"])


def _count(amount: int, word: str) -> str:
    return f"{amount:,} {word}{'' if amount == 1 else 's'}"
