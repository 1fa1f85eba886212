"""``approve``: another person's yes, or no, to a promotion that waits for it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import as_person, at_a_project, at_remote, json_option
from nbledger.commands.text import clip
from nbledger.core.errors import UsageError
from nbledger.core.wording import counted

if TYPE_CHECKING:
    from nbledger.core.approval import Pending
    from nbledger.keeper.approving import Approval


@click.command()
@click.argument("model", required=False, metavar="[MODEL[/VERSION]]")
@click.option("-m", "--message", default="", help="What is to be remembered with it; a refusal needs it.")
@click.option("--refuse", is_flag=True, help="Say no: what waits is promoted no more.")
@click.option(
    "--merged",
    metavar="BRANCH",
    help="Count the merge of the run's commit into this branch of the remote (or this merge commit) as the approval.",
)
@json_option
@click.pass_obj
def approve(face: Face, model: str | None, message: str, refuse: bool, merged: str | None, as_json: bool) -> Answer:
    """Approve a promotion that waits, as another person than who made the run or asked for it.

    Without MODEL: list what waits. The last approval that it takes moves the alias. Exit code 0: it counts; 1: it does not.
    """
    if not model:
        if message or refuse or merged:
            raise UsageError(
                "what is to be approved?", "nbledger approve MODEL[/VERSION]; without options it lists them"
            )
        waiting = as_person(face, "approvals")
        return Answer({"approvals": waiting}, listed(waiting))
    if refuse and merged:
        raise UsageError("--refuse and --merged exclude each other", "take one of them")
    if refuse and not message.strip():
        raise UsageError("a refusal says why", "-m WHY")
    name, slash, version = model.partition("/")
    if slash and not version:
        raise UsageError(f"{model!r} names no version", f"{name}/3, or {name} alone")
    words = {"model": name, "version": version, "text": message, "merged": merged or ""}
    at_a_project(face)
    # in this process: the person's login and Git identity are in its environment
    done = at_remote(face, "approve", {key: text for key, text in words.items() if text} | {"refuse": refuse})
    return Answer(done, text(done), 0 if good(done, refuse=refuse) else 1)


def good(done: Approval, *, refuse: bool) -> bool:
    """Whether what was said counts."""
    return done.outcome == "refused" if refuse else done.outcome in ("approved", "counted", "nothing")


def text(done: Approval) -> str:
    """What came of it, then why."""
    found = done.pending
    if found is None:
        return "\n".join(["✓ nothing of the model waits for approval", *(f"  ({clip(n, 300)})" for n in done.notes)])
    what = f"{clip(found.model, 60)} version {found.version}"
    first = {
        "approved": f"✓ {what} is {clip(found.alias)}"
        + (f" in place of version {found.previous}" if found.previous else ""),
        "counted": f"✓ {what}: {_count(found)}",
        "refused": f"✗ {what} is refused",
        "expired": f"✗ {what} waits no more",
        "moved": f"✗ {what} is not promoted: {clip(found.alias)} was moved meanwhile",
        "promoted": f"✗ {what} waits no more",
        "denied": f"✗ this is no approval of {what}",
    }
    reasons = [f"  {clip(reason, 300)}" for reason in done.reasons]
    return "\n".join([first[done.outcome], *reasons, *(f"  ({clip(note, 300)})" for note in done.notes)])


def waits(found: Pending) -> str:
    """One line: who may approve it, how, until when."""
    people = counted(found.needed, "other person", "other people")
    have = f", {len(found.approved)} did" if found.approved else ""
    return (
        f"{clip(found.model, 60)} version {found.version} waits for approval by {people}{have}: "
        f"{_typed(found)} (until {found.expires[:16].replace('T', ' ')} UTC)"
    )


def _count(found: Pending) -> str:
    if found.state == "approved":
        return "approved, after it had been promoted"
    return f"{len(found.approved)} of {found.needed} approvals"


def listed(waiting: list[Pending]) -> str:
    """What waits, one after the other, with what its approval rests on."""
    if not waiting:
        return "nothing waits for approval"
    lines = []
    for one in waiting:
        place = f" in place of version {one.previous}" if one.previous else ""
        until = one.expires[:16].replace("T", " ")
        ended = f"expired at {until} UTC" if one.state == "expired" else f"until {until} UTC"
        lines.append(f"{clip(one.model, 60)}/{one.version} as {clip(one.alias)}{place}, {_count(one)}, {ended}")
        lines.append(f"  asked for by {clip(one.by, 80)}: run {clip(one.run_name, 60)} ({one.run_id[:8]})")
        lines.append(f"  {clip(one.condition, 200)}")
        figures = ", ".join(f"{clip(key, 40)} {value:.10g}" for key, value in list(one.figures.items())[:12])
        lines += [f"  figures: {figures}"] if figures else []
        lines += [f"  approved by {clip(given.by, 80)}{_said(given.text)}" for given in one.approved]
        lines.append(f"  {_next(one)}")
    return "\n".join(lines)


def _typed(found: Pending) -> str:
    return f"nbledger approve {clip(shlex.quote(f'{found.model}/{found.version}'), 300)}"


def _next(one: Pending) -> str:
    """What to do about it: of what has expired nothing can be approved, by whomever."""
    if one.state == "expired":
        from nbledger.keeper.moving import option

        return f"nbledger promote {one.run_id[:8]} --model {clip(shlex.quote(one.model), 300)}{option(one.alias)}, as before, asks again"
    return f"you cannot: {clip(one.why_not, 200)}" if one.why_not else _typed(one)


def _said(text: str) -> str:
    return f": {clip(text, 200)}" if text else ""


def ended(found: Pending) -> str:
    """How it stands after having waited."""
    if found.state == "pending":
        return waits(found)
    mark, what = "✓" if found.state == "approved" else "✗", f"{clip(found.model, 60)} version {found.version}"
    how = {"approved": f"is {clip(found.alias)}", "promoted": "waits no more"}.get(found.state, found.state)
    return f"{mark} {what} {how}: {clip(found.settled, 300)}"
