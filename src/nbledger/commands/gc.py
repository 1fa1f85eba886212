"""``gc``: remove data that nothing needs, and never what a recorded run does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, json_option
from nbledger.core import gcledger, wording
from nbledger.core.errors import Refused
from nbledger.core.wording import counted
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
@click.option(
    "--keep",
    multiple=True,
    metavar="WHAT",
    help="Let go of the code and data of older runs too: keep 90d, last:100 or registered. Repeatable.",
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
    keep: tuple[str, ...],
    alone: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Answer:
    """Remove data that no work tree, commit or recorded run needs. It says what would go and asks first.

    With --keep, also the snapshots and data of runs that it does not name, restored work trees, rebuilt environments and
    copies of records. What registered models stand on always stays.
    """
    scopes = [name for name, on in zip(_SCOPES, (workspace, branches, tags, commits), strict=True) if on]
    words: dict[str, Any] = {"scopes": scopes, "cloud": cloud, "alone": alone}
    words |= {"projects": [str(p.absolute()) for p in projects], "keep": list(keep)}
    gcledger.keep(keep)  # wrong words are told before anything is asked
    found: dict[str, Any] = encode(ask(face, "gc", {**words, "dry_run": True}))
    if dry_run or _nothing(found):
        return Answer(found, _said(found))
    if not yes and not _agreed(_said(found)):
        return Answer(found, "nothing was removed", 1)
    done: dict[str, Any] = encode(ask(face, "gc", {**words, "dry_run": False, "digest": found["digest"]}))
    return Answer(done, _said(done))


def _nothing(found: dict[str, Any]) -> bool:
    remote = found["remote"] or {"objects": 0}
    ledger = found["ledger"] or {"there": 0, "cluster": 0, "paths": ()}
    # A run that was let go before has nothing left that could go.
    going = found["snapshots"] or ledger["there"] or ledger["cluster"] or ledger["paths"]
    return not (found["cache"]["objects"] or found["links"] or found["runs"] or remote["objects"] or going)


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
            f"{counted(len(found['runs']), 'run')} that the store has no more: "
            f"{counted(found['snapshots'], 'snapshot') if found['ledger'] is None else 'their snapshots'} of code {verb}"
        )
    if found["ledger"] is not None and not _nothing(found):
        lines += _let_go(found, verb)
    cache, remote = found["cache"], found["remote"]
    if cache["objects"] or found["links"]:
        links = f", {counted(found['links'], 'link')} of kept data" if found["links"] else ""
        lines.append(f"cache: {counted(cache['objects'], 'object')} {verb}{links} ({wording.size(cache['bytes'])})")
    if remote is not None:
        lines.append(
            f"remote {found['remote_name']}: {counted(remote['objects'], 'object')} {verb} "
            f"({wording.size(remote['bytes'])}); what others need and this clone does not know goes with them"
        )
    if _nothing(found):
        lines = ["nothing to remove: work trees, commits and recorded runs need everything"]
        if found["ledger"] is not None:
            lines = ["nothing to remove: what is kept needs everything that is here"]
    if found["unknown"]:
        lines.append(
            f"note: of {counted(len(found['unknown']), 'folder version')} the list of files is not in the cache"
        )
    kept = found["kept"]
    return "\n".join([*lines, f"kept: {counted(kept['objects'], 'object')} ({wording.size(kept['bytes'])})"])


_PLACES = {
    "work tree": ("restored work tree", "restored work trees"),
    "environment": ("rebuilt environment", "rebuilt environments"),
    "record": ("copy of a record that the store has", "copies of records that the store has"),
    "table": ("memory of a table", "memories of tables"),
    "batch": ("journal of a finished batch", "journals of finished batches"),
}


def _let_go(found: dict[str, Any], verb: str) -> list[str]:
    """What ``--keep`` lets go of: runs first, then folders."""
    ledger = found["ledger"]
    lines = [_runs(ledger, found["snapshots"])] if ledger["runs"] else []
    if found["snapshots"]:
        size = "" if ledger["git"] is None else f", {wording.size(ledger['git'])} of Git's objects (git gc frees them)"
        lines.append(f"{counted(found['snapshots'], 'snapshot')} of code {verb}{size}")
        lines += _only_here(ledger, found["snapshots"])
    if ledger["there"]:
        lines.append(f"{ledger['git_remote']}: {counted(ledger['there'], 'snapshot')} {verb}, for everybody")
    if ledger["cluster"]:
        lines.append(f"{counted(ledger['cluster'], 'snapshot')} for workers of a cluster {verb}")
    for kind, amount in ledger["places"].items():
        one, many = _PLACES[kind]
        lines.append(f"{counted(amount['objects'], one, many)} {verb} ({wording.size(amount['bytes'])})")
    shown = [path for path in ledger["paths"] if "/reproduced/" in path][:5]
    return [*lines, *(f"  {path}" for path in shown)]


def _only_here(ledger: dict[str, Any], snapshots: int) -> list[str]:
    """What is gone for good, and cannot be fetched again."""
    only = ledger["only_here"]
    if only is None:
        return [f"  whether {ledger['git_remote']} has them could not be found out"]
    if not only:
        return []
    which = ("it" if snapshots == 1 else "them") if only == snapshots else f"{only:,} of them"
    who = f"{ledger['git_remote']} has not got" if ledger["git_remote"] else "no remote has"
    return [f"  {who} {which}: gone for good"]


def _runs(ledger: dict[str, Any], snapshots: int) -> str:
    kept = ", ".join(f"{count:,} {reason}" for reason, count in ledger["kept"].items())
    whole = ledger["whole"] - len(ledger["runs"])
    stays = f"{whole:,} of {counted(ledger['whole'], 'run')} {'stays' if whole == 1 else 'stay'} whole"
    others = "the other keeps its" if len(ledger["runs"]) == 1 else "the others keep their"
    without = f" without {ledger['git_remote']}" if _elsewhere(ledger, snapshots) else ""
    return f"{stays}{f' ({kept})' if kept else ''}; {others} numbers and cannot be reproduced here any more{without}"


def _elsewhere(ledger: dict[str, Any], snapshots: int) -> bool:
    """Whether the Git remote still has snapshots of what goes here."""
    only = ledger["only_here"]
    return bool(ledger["git_remote"]) and only is not None and only + ledger["there"] < snapshots
