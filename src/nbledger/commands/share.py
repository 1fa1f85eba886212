"""``push``, ``pull`` and ``undo``: what goes to others, what comes from them, and the way back."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from nbledger.commands import share_text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import ask, at_remote, ended_gently, json_option
from nbledger.core.errors import LedgerError, UsageError, from_dict
from nbledger.keeper.calls import encode, perform

_PACE = 0.1
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")


@click.command()
@dry_run_option
@click.option("--runs/--no-runs", default=True, help="The snapshots of recorded runs too, and their data (default).")
@click.option("--tags", is_flag=True, help="Also the tags that the remote has not, and their data.")
@click.option("--allow-missing", is_flag=True, help="Push commits even if data they name are neither here nor there.")
@json_option
@click.pass_obj
def push(face: Face, dry_run: bool, runs: bool, tags: bool, allow_missing: bool, as_json: bool) -> Answer:
    """Send data, commits and the snapshots of runs to where others get them.

    First the data that the default DVC remote lacks, then the branch and refs/nbledger/*. Nothing is forced; your pre-push hook
    runs. What others could not restore all the same is listed.
    """
    words = {"runs": runs, "tags": tags, "allow_missing": allow_missing}
    if dry_run:
        return _foreseen(face, "push", words)
    done = _work(face, "push", words)
    return Answer(done, share_text.pushed(done))


@click.command()
@dry_run_option
@click.argument("paths", nargs=-1)
@click.option("-a", "--all-branches", is_flag=True, help="Also data of every branch, into the cache.")
@click.option("-T", "--all-tags", is_flag=True, help="Also data of every tag, into the cache.")
@click.option("-A", "--all-commits", is_flag=True, help="Also data of every commit, into the cache.")
@click.option("--runs", is_flag=True, help="Also data that recorded runs read, into the cache.")
@json_option
@click.pass_obj
def pull(
    face: Face,
    dry_run: bool,
    paths: tuple[str, ...],
    all_branches: bool,
    all_tags: bool,
    all_commits: bool,
    runs: bool,
    as_json: bool,
) -> Answer:
    """Get commits, the snapshots of runs and data from where others sent them.

    The data are those that the present state needs, of PATHS only where some are named. Fast-forward only: nothing is merged,
    rebased or stashed, and what you have changed is never replaced.
    """
    wanted = {"branches": all_branches, "tags": all_tags, "commits": all_commits, "runs": runs}
    words = {"paths": _within(face, paths), "scopes": [name for name, said in wanted.items() if said]}
    if dry_run:
        return _foreseen(face, "pull", words)
    done = _work(face, "pull", words)
    return Answer(done, share_text.pulled(done))


def _within(face: Face, paths: tuple[str, ...]) -> list[str]:
    """Paths as typed here, from the project's root; nothing for none, or for the root itself."""
    if not paths:
        return []
    from nbledger.core import inside

    project = face.project()
    here = [os.path.relpath(os.path.join(os.path.realpath("."), path), project.root) for path in paths]
    if "." in here:
        return []
    return [inside.relative(project, path.replace(os.sep, "/")) for path in here]


@click.command()
@dry_run_option
@json_option
@click.pass_obj
def undo(face: Face, dry_run: bool, as_json: bool) -> Answer:
    """Take the newest commit back if nbledger made it and nobody else has it; the files stay as they are."""
    if dry_run:
        return _foreseen(face, "undo", {})
    from nbledger.core.undo import examined

    found = examined(face.project())
    done = ask(face, "undo", {"commit": found.commit})
    return Answer({**done, "commit": found.commit}, f"took back {found.commit[:10]}: {found.message}")


def _work(face: Face, verb: str, words: dict[str, Any]) -> dict[str, Any]:
    """From a notebook as a job of the keeper; in this process from a terminal. Either way Ctrl-C ends it."""
    if face.start_keeper:
        return _as_job(face, verb, words)
    with ended_gently():
        done = perform(face.project(), verb, words, lines())
    ask(face, "sent")
    return dict(encode(done))


def _as_job(face: Face, verb: str, words: dict[str, Any]) -> dict[str, Any]:
    job = ask(face, "job_start", {"kind": verb, **words})
    try:
        while job["state"] == "running":
            if face.progress is not None:
                face.progress(job["done"], job["total"], job["text"])
            time.sleep(_PACE)
            job = next((one for one in ask(face, "jobs")["jobs"] if one["id"] == job["id"]), {"state": "stopped"})
    except KeyboardInterrupt:
        ask(face, "job_stop", {"id": job["id"]})
        raise
    if job["state"] == "stopped":
        raise LedgerError(f"the {verb} was stopped", f"nbledger {verb} --dry-run says what is left to do")
    if job["problem"] is not None:
        wrong = job["problem"]["code"] == UsageError.exit_code
        raise from_dict({**job["problem"], "kind": "UsageError" if wrong else "Refused"})
    return dict(job["result"])


def _foreseen(face: Face, kind: str, words: dict[str, Any]) -> Answer:
    """The preview as an answer; what would be refused is raised."""
    from nbledger.core.records import Preview
    from nbledger.keeper.calls import built

    found = built(Preview, encode(at_remote(face, "preview", {"kind": kind, **words})))
    if found.refused is not None:
        raise from_dict(found.refused)
    return Answer(found, share_text.foreseen(found))
