"""``deploy``: a version of a registered model into service; ``deployments`` what is served here; ``undeploy`` an end to it.

Whatever the target, the files are copied out of the store and compared with the digest that was recorded when the version was
promoted before anything loads, packs or sends them. What came of it is a decision about the model, and tags of the version.
"""

from __future__ import annotations

import contextlib
import shutil
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbledger.core import deploy as deploys
from nbledger.core import mlflow, mlflow_decisions, mlflow_registry
from nbledger.core.deploy import TARGETS, Chosen, Deployed, Deployment
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.mlflow_lock import held
from nbledger.core.moments import now as this_moment
from nbledger.core.project import Project
from nbledger.core.values import MAX_TAG
from nbledger.keeper import changes, deploying_away, deploying_local, fronts, frontstate, persons
from nbledger.keeper.calls import Args, Progress

_WAYS = {
    "local": deploying_local.deploy,
    "docker": deploying_away.docker,
    "kserve": deploying_away.kserve,
    "sagemaker": deploying_away.sagemaker,
}


def deploy(project: Project, args: Args, progress: Progress | None) -> Deployed:
    """Bring the version that ``name`` means into service at the target ``to``; with ``dry`` only say what would be done."""
    target = str(args.get("to") or "local")
    if target not in TARGETS:
        raise UsageError(f"there is no target {target!r}", f"there are: {', '.join(TARGETS)}")
    api = mlflow.client(project)
    chosen = deploys.choose(project, api, str(args["name"]))
    done = _WAYS[target](project, api, chosen, args, progress)
    written = bool(done.files)  # only: nothing serves it yet
    return done if done.dry or written or done.step == "nothing" else _recorded(project, api, chosen, done)


def deployments(project: Project, args: Args, progress: Progress | None) -> list[Deployment]:
    """What is served on this machine by this project, also what should be and is not."""
    found = []
    for folder in fronts.folders(project):
        with contextlib.suppress(LedgerError):
            if (state := frontstate.load(folder)) is not None:
                found.append(_deployment(state, fronts.alive(state)))
    return sorted(found, key=lambda one: one.model)


def undeploy(project: Project, args: Args, progress: Progress | None) -> Deployment:
    """End the serving of ``model`` on this machine, after what is under way; what it was."""
    model = deploys.parse(str(args["model"]))[0]
    folder = frontstate.folder_of(project, model)
    state = frontstate.load(folder)
    if state is None:
        raise UsageError(f"the model {model} is not served here", "nbledger deploy --list shows what is")
    was = _deployment(state, running=False)
    if not fronts.stopped(folder):
        deploying_local.end_leftovers(state)
    shutil.rmtree(folder, ignore_errors=True)
    changes.tell(project, "models")
    return was


def _deployment(state: frontstate.State, running: bool) -> Deployment:
    one, last = state.current, state.outcomes[-1] if state.outcomes else None
    health = state.health if running else "stopped"
    return Deployment(
        state.model,
        one.version if one else None,
        frontstate.endpoint(state.host, state.port),
        state.port,
        health,
        one.since if one else "",
        one.digest if one else "",
        one.requests if one else 0,
        one.failures if one else 0,
        state.coming.version if state.coming else one.version if one and state.previous else None,
        state.step,
        ("" if last.ok else f"version {last.version} was taken back: {last.text}") if last else "",
    )


# ── the record ───────────────────────────────────────────────────────────────────────────────────────────


def _recorded(project: Project, api: Any, chosen: Chosen, done: Deployed) -> Deployed:
    """Write down what came of it. That it serves stands, recorded or not: then a note says so."""
    uri, by = project.tracking_uri, persons.named(project, api)
    where = _without_login(done.endpoint or "")
    entry = Entry(
        "deployed" if done.ok else "returned",
        chosen.alias or "",
        chosen.version,
        done.previous,
        chosen.run_id,
        by,
        reasons=() if done.ok else (done.text,),
        text=f"{done.target} {where}".strip(),
    )
    at = this_moment()
    said = {"target": done.target, "endpoint": where, "at": at, "by": by, "digest": done.digest or ""}
    said["verdict"] = "serves" if done.ok else f"returned: {done.text}"
    try:
        with held(api, uri, chosen.model, by) as lock:
            mlflow_decisions.append(lock, entry)
        mlflow_registry.tag_version(api, uri, chosen.model, chosen.version, _tags(said))
    except LedgerError as err:
        return replace(done, notes=(*done.notes, f"the decision could not be recorded: {err}"))
    finally:
        changes.tell(project, "models")
    return done


def _tags(said: Mapping[str, str]) -> dict[str, str]:
    return {f"nbledger.deployed.{key}": text[:MAX_TAG] for key, text in said.items() if text}


def _without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
