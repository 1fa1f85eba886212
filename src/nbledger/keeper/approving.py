"""Approval of promotions: what waits on the registered models of the store, and what people say to it.

Whoever promotes with ``approvals`` moves nothing but the alias ``candidate`` (``ask_for``); the last approval that it takes
moves the alias that was asked for (``approve``). Both happen under the model's lock, and each leaves its decision.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import (
    approval,
    manifest,
    merged,
    mlflow,
    mlflow_lock,
    mlflow_registry,
    mlflow_runs,
    record,
)
from nbledger.core.approval import Asking, Given, Identity, Party, Pending
from nbledger.core.errors import Refused, ToolFailed, Unreachable, UsageError
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.mlflow_lock import Held
from nbledger.core.moments import stamp
from nbledger.core.project import Project
from nbledger.core.wording import counted
from nbledger.keeper import changes, merging, moving, persons
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.merging import Evidence

COUNTED, DENIED, NOTHING = "counted", "denied", "nothing"
_MOST_WAITING, _MOST_MINUTES = 500, 7 * 24 * 60
_MOST_EDITS = 10
_LOOK, _LOOK_AT_MOST = 1.0, 15.0


@dataclass(frozen=True)
class Approval:
    """What came of an ``approve``. ``outcome``: approved (enough people have, and the alias ``moved``), counted (it waits for
    more, or had moved already), refused, expired, moved (the alias was, by somebody else), promoted (without approval), denied
    (not by this person); ``reasons`` say why nothing moved. ``nothing``: a merge was to approve what waits, and nothing does; then, and only then,
    there is no ``pending``.
    """

    outcome: str
    moved: bool
    by: str
    pending: Pending | None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


# ── asking for it ────────────────────────────────────────────────────────────────────────────────────────


def ask_for(project: Project, held: Held, asking: Asking) -> Pending:
    """Let the version wait for approval, with the lock of its model. The very same that waits already stays as it is, with the
    approvals that it has. ``Refused`` where nobody could say who is another person, or the version waits for another alias.
    """
    api, uri, now = held.api, held.uri, _now()
    who = persons.identity(project, api)
    parties = _parties(project, api, asking.run_id)
    fresh = approval.asked(asking, who, parties, now, persons.keys(project, who))
    there = _read(api, uri, asking.model, asking.version)
    if there is not None and there.state == approval.PENDING and approval.over(there, now):
        _note(held, there, approval.EXPIRED, fresh.by, reasons=(f"it expired at {there.expires}",))
    elif there is not None and there.state == approval.PENDING:
        if approval.same(there, fresh):
            return there
        if there.alias != fresh.alias and not _overtaken(held, there):
            raise Refused(
                f"{there.model} version {there.version} waits for approval as {there.alias} already",
                f"nbledger approve {shlex.quote(f'{there.model}/{there.version}')} --refuse -m WHY ends that",
            )
    _write(held, fresh)
    _note(held, fresh, approval.PENDING, fresh.by, text=f"waits for {fresh.needed} until {fresh.expires}")
    mlflow_registry.point(api, uri, fresh.model, approval.CANDIDATE, fresh.version)
    changes.tell(project, "models", "runs", run=fresh.run_id)
    return fresh


def _parties(project: Project, api: Any, run_id: str) -> tuple[Party, ...]:
    """Those whose own work it is: who made the run and, where that was a machine or nobody knows who, who wrote its code."""
    run = mlflow.get_run(api, project.tracking_uri, run_id)
    tags = {str(k): str(v) for k, v in run.data.tags.items()} if run is not None else {}
    who, known = approval.made_by(tags)
    found = [Party(who, "made the run", known)] if known else []
    if not known or persons.machine():
        commit = tags.get("mlflow.source.git.commit", "")
        wrote = merged.authors(project.git, commit) if project.git is not None else ()
        if not wrote:
            raise Refused(
                "nobody can be told from who made this model: "
                + (
                    f"this clone does not say who wrote {commit[:10]}"
                    if persons.machine()
                    else "its run does not say who that is"
                ),
                "a clone in CI needs its whole history (fetch-depth: 0); elsewhere git config user.name and user.email",
            )
        found += [Party(one, "wrote the run's code", ()) for one in wrote]
    return tuple(replace(one, keys=persons.known_as(project, [one.who], one.keys)) for one in found)


# ── what waits ───────────────────────────────────────────────────────────────────────────────────────────


def approvals(project: Project, args: Args, progress: Progress | None) -> list[Pending]:
    """What waits for approval, the newest first, and whether the person here may give it. Expired ones are listed as such."""
    if project.embedded and not (project.state / "mlflow.db").exists():
        return []
    api, uri = mlflow.client(project), project.tracking_uri
    model = str(args.get("model") or "")
    listed = mlflow_registry.versions_tagged(api, uri, f"{approval.TAGS}state", approval.PENDING, _MOST_WAITING)
    found = [_of(one) for one in listed if model in ("", str(one.name))]
    known = [one for one in found if one is not None]
    mine = persons.keys(project, persons.identity(project, api)) if known else ()
    return sorted((_shown(project, one, mine) for one in known), key=lambda one: one.at, reverse=True)


def _shown(project: Project, found: Pending, mine: Sequence[str]) -> Pending:
    known = persons.joined(project, found)
    why, given = approval.why_not(known, mine), approval.given_by(known, mine)
    if not why and given is not None:
        why = "you approved it already"
    late = approval.over(found, _now())
    return replace(found, state=approval.EXPIRED if late else found.state, mine=not (why or late), why_not=why)


def wait(project: Project, pending: Pending, minutes: float, progress: Progress | None = None) -> Pending:
    """Wait until it is decided, at most so long; how it stands then. A store that is away meanwhile is asked again."""
    end, pause = time.monotonic() + 60 * min(minutes, _MOST_MINUTES), _LOOK
    found = pending
    while found.state == approval.PENDING and not approval.over(found, _now()) and (left := end - time.monotonic()) > 0:
        if progress is not None:
            progress(len(found.approved), found.needed, "approvals")
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, _LOOK_AT_MOST)
        try:
            now = _read(mlflow.client(project), project.tracking_uri, found.model, found.version)
        except Unreachable:  # people take longer than a server that starts again
            continue
        if now is None or now.at != pending.at:
            raise Refused(f"{found.model} version {found.version} does not wait any more: it was asked for anew")
        found = now
    return found


# ── moving without it ────────────────────────────────────────────────────────────────────────────────────


def move(project: Project, held: Held, entry: Entry) -> Entry:
    """As ``moving.moved``, for a move that asks nobody: a version that waited for this alias waits no more, and the entry
    says that its approval was set aside.
    """
    waits = _read(held.api, held.uri, held.model, entry.version) if entry.version else None
    if waits is None or waits.state != approval.PENDING or waits.alias != entry.alias:
        return moving.moved(project, held, entry)
    people = counted(waits.needed, "other person", "other people")
    aside = f"set aside: approval by {people}, which it waited for"
    written = moving.moved(project, held, replace(entry, reasons=(*entry.reasons, aside)))
    _promoted(held, waits, entry.by, f" by {entry.by}" if entry.by else "")
    return written


def _overtaken(held: Held, found: Pending) -> bool:
    """Whether the alias points at what waits already, and not by its approvals: by MLflow's own calls, say."""
    if found.state != approval.PENDING or found.enough or found.previous == found.version:
        return False
    return moving.settled(held, found.alias) == found.version


def _promoted(held: Held, found: Pending, by: str, mover: str = "") -> Approval:
    why = f"{found.alias} points at it already: moved without approval{mover}"
    return _settled(held, found, approval.PROMOTED, by, (why,))


# ── approving ────────────────────────────────────────────────────────────────────────────────────────────


def approve(project: Project, args: Args, progress: Progress | None) -> Approval:
    """Approve what waits as ``version`` of ``model`` (default: the only one that waits), or with ``refuse`` refuse it. With
    ``merged`` the merge of the run's commit into that branch of the remote is the approval.
    """
    api, model = mlflow.client(project), str(args["model"]).strip()
    text, taken = str(args.get("text") or "").strip(), str(args.get("merged") or "").strip()
    if args.get("refuse") and not text:
        raise UsageError("a refusal says why", "-m WHY")
    seen = _waiting(project, api, model, str(args.get("version") or ""), idle=bool(taken))
    if seen is None:
        there = mlflow_registry.model(api, project.tracking_uri, model) is not None
        return Approval(NOTHING, False, "", None, (), () if there else (f"there is no registered model {model} yet",))
    who = persons.identity(project, api)
    told = _given(project, api, seen, who, text, taken)
    with mlflow_lock.held(api, project.tracking_uri, model, who.text) as held:
        found = _read(api, project.tracking_uri, model, seen.version)
        if found is None or found.at != seen.at:
            raise Refused(
                f"{model} version {seen.version} was asked for anew meanwhile", "nbledger approve lists what waits"
            )
        try:
            if args.get("refuse"):
                return _refused(held, found, who, text)
            if not told.given:
                return Approval(DENIED, False, who.text, found, told.reasons)
            return _approved(project, held, found, told)
        finally:
            changes.tell(project, "models", "runs", run=found.run_id)


def _waiting(project: Project, api: Any, model: str, version: str, *, idle: bool) -> Pending | None:
    """The version that is meant: the one that waits, or the one that is named, which may have been decided. Where none waits
    that is an error, unless it may be so (``idle``).
    """
    mlflow_registry.check_names(model, "")
    if version:
        found = _read(api, project.tracking_uri, model, version)
        if found is None:
            raise UsageError(
                f"{model} version {version} does not wait for approval", "nbledger approve lists what waits"
            )
        return found
    waiting = approvals(project, {"model": model}, None)
    alive = [one for one in waiting if one.state == approval.PENDING] or waiting
    if len(alive) > 1:
        names = ", ".join(f"{model}/{one.version}" for one in alive)
        raise UsageError(f"{len(alive)} versions of {model} wait", f"say which: {names}")
    if not alive and not idle:
        raise UsageError(
            f"nothing of {model} waits for approval", f"nbledger decisions {shlex.quote(model)} says what was decided"
        )
    return alive[0] if alive else None


def _given(project: Project, api: Any, seen: Pending, who: Identity, text: str, taken: str) -> Evidence:
    """The approval that a person gives here, or those that were given by a merge; else why there is none."""
    if taken:
        return merging.evidence(project, api, seen, text, taken)
    if persons.machine():
        why = "a CI job approves nothing by itself: --merged BRANCH takes the merge of a pull request for it"
        return Evidence(reasons=(why,))
    return Evidence((Given(who.text, stamp(_now()), persons.keys(project, who), text=text),))


def _approved(project: Project, held: Held, found: Pending, told: Evidence) -> Approval:
    """Count approvals, and move the alias if they were the last that it takes."""
    by, late = told.given[0].by, found.state == approval.APPROVED
    done = Approval(COUNTED, False, by, found)
    if _overtaken(held, found):
        return _promoted(held, found, by)
    if found.state == approval.PENDING and approval.over(found, _now()):
        return _settled(held, found, approval.EXPIRED, by, (f"it expired at {found.expires}",))
    if not late and found.state != approval.PENDING:
        return replace(done, outcome=found.state, reasons=(_ended(found),))
    reasons, notes, new = list(told.reasons), list[str](), 0
    for given in told.given:
        known = persons.joined(project, found)
        if why := approval.why_not(known, given.keys):
            reasons.append(why)
        elif (mine := approval.given_by(known, given.keys)) is not None:
            notes.append(f"{mine.by} approved it already")
        else:
            found, new = approval.with_approval(found, replace(given, late=late)), new + 1
            _note(held, found, approval.APPROVED, given.by, text=_said(found, given))
    if new:
        _write(held, found)
    elif not notes:
        return replace(done, outcome=DENIED, reasons=tuple(reasons))
    done = replace(done, pending=found, notes=(found.settled,) if late else tuple(notes))
    return done if late or not found.enough else _moved(project, held, found, by)


def _said(found: Pending, given: Given) -> str:
    """Of an approval: the how-manieth it is, where it was given, and what was said with it."""
    where = f", by a review of {given.request}" if given.how == "review" else ""
    if given.how == "merge":
        where = f", by the merge {given.commit} into {given.branch}"
        where += f" of {given.request}" if given.request else ""
    count = f"{len(found.approved)} of {found.needed}{where}"
    return f"{count}: {given.text}" if given.text else count


def _moved(project: Project, held: Held, found: Pending, by: str) -> Approval:
    """Enough people approved: move the alias, if it is where it was and the run is what was judged. What a process that was
    killed in the middle had begun is finished.
    """
    now = moving.settled(held, found.alias)
    if now not in (found.previous, found.version):
        was, there = (f"version {one}" if one else "nothing" for one in (found.previous, now))
        why = f"{found.alias} pointed at {was} when approval was asked for, and points at {there} now"
        return _settled(held, found, approval.MOVED, by, (why,))
    if reasons := _altered(project, held.api, found):
        return _settled(held, found, approval.REFUSED, by, reasons)
    who = ", ".join(one.by for one in found.approved)
    if now != found.version or found.previous == found.version:
        moving.moved(project, held, _entry(found, "promote", by, text=f"approved by {who}"))
    return _settled(held, found, approval.APPROVED, by, (), f"approved by {who}")


def _refused(held: Held, found: Pending, who: Identity, text: str) -> Approval:
    if not who.keys:
        return Approval(DENIED, False, who.text, found, (approval.NOBODY,))
    if found.state != approval.PENDING:
        return Approval(found.state, False, who.text, found, (_ended(found),))
    if _overtaken(held, found):
        return _promoted(held, found, who.text)
    return _settled(held, found, approval.REFUSED, who.text, (text,), f"refused by {who.text}: {text}")


def _ended(found: Pending) -> str:
    return found.settled if found.state == approval.PROMOTED else f"it waits no more: {found.settled}"


def _settled(held: Held, found: Pending, state: str, by: str, reasons: tuple[str, ...], text: str = "") -> Approval:
    """Write down how it ended; ``candidate`` waits for nobody any more."""
    done = replace(found, state=state, settled=text or "; ".join(reasons))
    if state not in (approval.APPROVED, approval.PROMOTED):  # of these the move itself is the decision
        _note(held, found, state, by, reasons=reasons)
    _write(held, done)
    notes = []
    if mlflow_registry.pointed(held.api, held.uri, found.model, approval.CANDIDATE) == found.version:
        try:
            mlflow_registry.point(held.api, held.uri, found.model, approval.CANDIDATE, None)
        except ToolFailed as err:  # a server lets fewer people take an alias away than set one
            notes.append(f"the alias {approval.CANDIDATE} stays where it is: {err.message}")
    return Approval(state, state == approval.APPROVED, by, done, reasons, tuple(notes))


def _altered(project: Project, api: Any, found: Pending) -> tuple[str, ...]:
    """What of the run is otherwise than it was when it was judged: its manifest, or what the store says beside that."""
    uri = project.tracking_uri
    run = mlflow.get_run(api, uri, found.run_id)
    if run is None or mlflow_runs.deleted(run):
        return ("its run is deleted",)
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as scratch, contextlib.suppress(ToolFailed):
        path = mlflow.download(api, uri, found.run_id, f"{record.FOLDER}/{manifest.NAME}", Path(scratch))
        known = manifest.read(path.parent)
        if known is None or {known.digest, run.data.tags.get(manifest.TAG)} != {found.manifest}:
            return ("its run's manifest is not the one that was judged",)
        said = manifest.edits(
            known,
            run.data.params,
            run.data.metrics,
            run.data.tags,
            lambda key: mlflow_runs.history(api, uri, found.run_id, key),
            [key for key in found.figures if key in known.all_metrics()],
        )
        said += [f"it is {run.info.status}, not FINISHED"] if run.info.status != "FINISHED" else []
        return tuple(f"its run was edited since it was judged: {one}" for one in said[:_MOST_EDITS])
    return ("its run has no manifest any more",)


# ── what is written on the version ───────────────────────────────────────────────────────────────────────


def _read(api: Any, uri: str, model: str, version: str) -> Pending | None:
    found = mlflow_registry.version(api, uri, model, version)
    return None if found is None else _of(found)


def _of(found: Any) -> Pending | None:
    return approval.from_tags(str(found.name), str(found.version), {str(k): str(v) for k, v in found.tags.items()})


def _write(held: Held, found: Pending) -> None:
    """The tags of what waits, ``state`` last. Those of an earlier asking are emptied: where a server has permissions, to take
    a tag away needs more of them than to write one.
    """
    held.check()
    tags = {approval.TAGS + key: text for key, text in approval.to_tags(found).items()}
    known = mlflow_registry.version(held.api, held.uri, found.model, found.version)
    there = {str(k): str(v) for k, v in known.tags.items() if str(k).startswith(approval.TAGS)} if known else {}
    state = approval.TAGS + "state"
    wanted = dict.fromkeys(there, "") | tags
    changed = {key: text for key, text in wanted.items() if there.get(key) != text and key != state}
    mlflow_registry.tag_version(held.api, held.uri, found.model, found.version, changed | {state: tags[state]})


def _note(held: Held, found: Pending, kind: str, by: str, **more: Any) -> None:
    moving.noted(held, _entry(found, kind, by, **more))


def _entry(found: Pending, kind: str, by: str, **more: Any) -> Entry:
    return Entry(
        kind,
        found.alias,
        version=found.version,
        previous=found.previous,
        run_id=found.run_id,
        by=by,
        condition=found.condition,
        figures=found.figures,
        **more,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
