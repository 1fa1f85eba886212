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
    from nbledger.keeper.gating import Decision
    from nbledger.keeper.rollback import Decisions, RolledBack

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
    kind = "warn" if found.pending is not None else "good" if found.passed else "bad"
    demanded = [f"gate {', '.join(found.gates)}"] if found.gates else []
    demanded += [f"evidence: {', '.join(found.require)}"] if found.require else []
    demanded += [f"at least {found.min_rows:,} rows"] if found.min_rows else []
    demanded += [f"allowed: {', '.join(found.allowed)}"] if found.allowed else []
    parts = [
        marked(kind, f'<span class="{kind}">{word(headline, 200)}</span>'),
        f'<div class="soft">{word(" · ".join(demanded), 300)}</div>' if demanded else "",
        *(
            marked(
                "good" if c.holds else "bad",
                f"<code>{word(c.text, 200)}</code> {escape(' against '.join(map(number, c.values)))}",
            )
            for c in found.clauses
        ),
        lines([denial.text for denial in found.denials], "bad"),
        figures(found.figures),
        _waits(found),
        notes(found.notes),
    ]
    return box("".join(parts))


def _waits(found: Decision) -> str:
    if found.pending is None:
        return ""
    from nbledger.commands.approve import waits

    return f"<div>{word(waits(found.pending), 400)}</div>"


def rolled_back(found: RolledBack) -> str:
    """Where the alias points now, and where the next rollback would lead."""
    name = f"<b>{word(found.model, 60)}</b>: {word(found.alias, 40)}"
    moved = f"version {word(found.previous, 20)} → <b>{word(found.version, 20)}</b>"
    before = f"version {found.before}" if found.before else "nothing"
    return box(
        marked("good", f"{name} {moved}")
        + f'<div class="soft">decision {found.n} by {word(found.by, 60)}; before that: {word(before, 40)}</div>'
        + notes(found.notes)
    )


def record(found: Decisions) -> str:
    """Every decision about a model, the newest first, and where its aliases point now."""
    aliases = ", ".join(f"{alias} → {version}" for alias, version in found.aliases.items()) or "no alias"
    title = f'<div><b>{word(found.model)}</b> <span class="soft">{word(aliases, 300)}</span></div>'
    if not found.decisions:
        return box(f'{title}<div class="soft">nothing has been decided about it</div>')
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
        for one in sorted(found.decisions, key=lambda one: -one.n)
    ]
    head = ("#", "when (UTC)", "decision", "version", "before", "by", "on")
    return box(title + table("", head, rows, (0,)))


def _what(one: Entry) -> str:
    said, kind = _KINDS.get(one.kind, (one.kind, "soft"))
    return f'<span class="{kind}">{word(said, 40)}</span>'


def _why(one: Entry) -> str:
    shown = ", ".join(f"{key} {number(value)}" for key, value in list(one.figures.items())[:6])
    said = [*one.reasons[:5], one.text, one.condition, shown]
    return "<br>".join(word(text, 120) for text in said if text)
