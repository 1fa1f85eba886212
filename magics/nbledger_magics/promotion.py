"""``%ledger promote``, ``decisions`` and ``rollback`` as a notebook shows them: the answer, its figures, and the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbledger.commands import promote as words
from nbledger.commands.text import number
from nbledger.core.mlflow_decisions import Entry
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape
from nbledger_magics.tables import figures, lines, marked, moment, notes, table, word

if TYPE_CHECKING:
    from nbledger.keeper.promote import Decision

_KINDS = {
    "promote": ("promoted", "good"),
    "approved": ("approved", "good"),
    "deployed": ("deployed", "good"),
    "pending": ("waits for approval", "warn"),
    "rollback": ("rolled back", "warn"),
    "refused": ("refused", "bad"),
    "expired": ("expired", "bad"),
    "moved": ("moved meanwhile", "bad"),
    "returned": ("returned", "bad"),
}


def decision(found: Decision) -> str:
    """What the gate said, each comparison, the figures beside the champion's, and every reason."""
    headline = words.text(found).split("\n", 1)[0].partition(" ")[2]
    kind = "good" if found.passed else "bad"
    parts = [
        marked(kind, f'<span class="{kind}">{word(headline, 200)}</span>'),
        *(
            marked(
                "good" if c.holds else "bad",
                f"<code>{word(c.text, 200)}</code> {escape(' against '.join(map(number, c.values)))}",
            )
            for c in found.clauses
        ),
        lines([denial.text for denial in found.denials], "bad"),
        figures(found.figures),
        notes([*([f"allowed: {', '.join(found.allowed)}"] if found.allowed else []), *found.notes]),
    ]
    return box("".join(parts))


def record(model: str, entries: tuple[Entry, ...]) -> str:
    """Every decision about a model, the newest first."""
    if not entries:
        return box(f'<div class="soft">nothing was decided about {word(model)} yet</div>')
    rows = [
        (
            str(one.n),
            moment(one.at),
            _what(one),
            word(one.version or "–", 20) + (f' <span class="soft">@{word(one.alias, 30)}</span>' if one.alias else ""),
            word(one.previous or "–", 20),
            word(one.by, 50),
            _why(one),
        )
        for one in sorted(entries, key=lambda one: -one.n)
    ]
    head = ("#", "when (UTC)", "decision", "version", "before", "by", "on")
    return box(f"<div><b>{word(model)}</b></div>" + table("", head, rows, (0,)))


def _what(one: Entry) -> str:
    said, kind = _KINDS.get(one.kind, (one.kind, "soft"))
    return f'<span class="{kind}">{word(said, 40)}</span>'


def _why(one: Entry) -> str:
    shown = ", ".join(f"{key} {number(value)}" for key, value in list(one.figures.items())[:6])
    said = [*one.reasons[:5], one.text, one.condition, shown]
    return "<br>".join(word(text, 120) for text in said if text)
