"""``rollback`` and ``decisions``: an alias back to where it was, and the record of who decided what about a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import as_person, ask, json_option
from nbledger.commands.text import clip
from nbledger.core.wording import counted

if TYPE_CHECKING:
    from nbledger.core.mlflow_decisions import Entry
    from nbledger.keeper.rollback import Decisions, RolledBack

_SPOKEN = ("approved", "refused", "rollback")
"""Kinds of decisions whose text may be a person's word; of others it says where a version serves, or what it waits for."""
_COUNTED = re.compile(r"(\d+ of \d+(?:, [^:]*)?)(?:: (.+))?", re.DOTALL)
"""Which of the approvals it is, and what was said with it."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[\d:.]*Z")
_HEAD = f"{'#':>4}  {'when (UTC)':<19}  {'decision':<8}  alias: version, run  by"


@click.command()
@click.argument("model")
@click.option("--to", metavar="VERSION", help="This version, in place of the one before.")
@click.option("--alias", default="champion", show_default=True, metavar="NAME", help="The alias that goes back.")
@click.option("-m", "--message", metavar="TEXT", help="Why, for the record.")
@json_option
@click.pass_obj
def rollback(face: Face, model: str, to: str | None, alias: str, message: str | None, as_json: bool) -> Answer:
    """Point an alias of a model at the version that it pointed at before.

    Again, and it goes one further back. What was decided stays on record: nbledger decisions MODEL.
    """
    words = {"model": model, "alias": alias, "to": to, "text": message}
    found = as_person(face, "rollback", {key: value for key, value in words.items() if value is not None})
    return Answer(found, rolled_back(found))


@click.command()
@click.argument("model")
@json_option
@click.pass_obj
def decisions(face: Face, model: str, as_json: bool) -> Answer:
    """List what was decided about a model's aliases, in order: promoted, refused, approved, rolled back."""
    found = ask(face, "decisions", {"model": model})
    return Answer(found, listed(found))


def rolled_back(found: RolledBack) -> str:
    """Where the alias points now, and where the next rollback would lead."""
    name = clip(found.model, 60)
    lines = [f"✓ {clip(found.alias, 40)} of {name} is version {found.version} again, in place of {found.previous}"]
    lines += [f"  ({clip(note, 300)})" for note in found.notes]
    lines.append(f"  before that: {f'version {found.before}' if found.before else 'nothing'}")
    return "\n".join(lines)


def listed(found: Decisions) -> str:
    """One line a decision, the oldest first, then why; the aliases as they are now at the end."""
    lines = [_HEAD] if found.decisions else []
    for one in found.decisions:
        lines.append(f"{one.n:>4}  {one.at[:19].replace('T', ' ')}  {one.kind:<8}  {_what(one)}  {clip(one.by, 90)}")
        lines += [f"      {clip(_read(reason), 110)}" for reason in one.reasons[:5]]
        if (more := len(one.reasons) - 5) > 0:
            lines.append(f"      and {counted(more, 'more reason')}")
        if one.figures:
            lines.append("      " + ", ".join(f"{clip(k, 40)} {v:.10g}" for k, v in list(one.figures.items())[:10]))
        if one.text:
            lines.append(f"      {_text(one)}")
    aliases = ", ".join(f"{clip(alias, 40)} is version {version}" for alias, version in found.aliases.items())
    return "\n".join([*(lines or ["nothing has been decided about it"]), aliases or "no alias points at a version"])


def _text(one: Entry) -> str:
    """What was said, in quotation marks; what nobody said, as the name of the gate, without."""
    if one.kind not in _SPOKEN or (one.kind == "refused" and one.condition):
        return clip(_read(one.text), 100)
    if (counted := _COUNTED.fullmatch(one.text)) is not None:
        return counted[1] + (f": “{clip(counted[2], 100)}”" if counted[2] else "")
    return f"“{clip(one.text, 100)}”"


def _read(text: str) -> str:
    """Moments as people read them."""
    return _MOMENT.sub(r"\1 \2 UTC", text)


def _what(one: Entry) -> str:
    alias = clip(one.alias, 40)
    run = f", run {clip(one.run_id[:8], 8)}" if one.run_id else ""
    if one.version is None:
        return f"{alias}{f' stays at version {one.previous}' if one.previous and not one.points else ''}{run}"
    arrow = f"version {one.previous} → {one.version}" if one.previous and one.points else f"version {one.version}"
    return f"{alias}: {arrow}{run}"
