"""``%ledger approve`` as a notebook shows it: what waits, on which figures, and what came of an approval."""

from __future__ import annotations

from collections.abc import Sequence

from nbledger.commands import approve as words
from nbledger.core.approval import Pending
from nbledger.keeper.approving import Approval
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape
from nbledger_magics.tables import figures, lines, marked, moment, notes, word

_KINDS = {"approved": "good", "counted": "good", "nothing": "good"}


def answered(done: Approval) -> str:
    """The outcome, why, and what it is about."""
    kind = _KINDS.get(done.outcome, "bad")
    headline = words.text(done).split("\n", 1)[0].partition(" ")[2]
    return box(
        marked(kind, f'<span class="{kind}">{word(headline, 200)}</span>')
        + lines(done.reasons, "bad")
        + (_asked(done.pending) if done.pending is not None else "")
        + notes(done.notes)
    )


def waiting(found: Sequence[Pending]) -> str:
    """Everything that waits, the newest first."""
    if not found:
        return box('<div class="soft">nothing waits for approval</div>')
    return box("".join(_one(one) for one in found))


def _one(one: Pending) -> str:
    place = f" in place of version {one.previous}" if one.previous else ""
    count = f"{len(one.approved)} of {one.needed} approvals"
    name = f"<b>{word(f'{one.model}/{one.version}')}</b> as {word(one.alias, 30)}{escape(place)}"
    expired = one.state == "expired"
    when = f"{'expired' if expired else 'until'} {moment(one.expires)} UTC"
    how = (
        f'<div class="soft">you cannot: {word(one.why_not, 200)}</div>'
        if one.why_not
        else f"<div><code>{word(f'%ledger approve {one.model}/{one.version}', 300)}</code></div>"
    )
    head = marked("bad" if expired else "warn", f'{name} <span class="soft">{count}, {when}</span>')
    return f'{head}<div style="padding-left: 1.2em">{_asked(one)}{how}</div>'


def _asked(one: Pending) -> str:
    """Who asked for it, on which condition and figures, and who has approved."""
    by = f'<div class="soft">asked for by {word(one.by)}: run {word(one.run_name, 60)} <span class="id">{escape(one.run_id[:8])}</span></div>'
    condition = f"<div><code>{word(one.condition, 400)}</code></div>" if one.condition else ""
    given = [
        f"{one.by}{': ' + one.text if one.text else ''} ({one.at[:16].replace('T', ' ')} UTC)" for one in one.approved
    ]
    return by + condition + figures(one.figures) + lines([f"approved by {line}" for line in given], "good")
