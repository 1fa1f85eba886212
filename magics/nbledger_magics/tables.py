"""The small parts of which views of models are made: tables, lists and values as markup. What comes in as text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nbledger.commands.text import clip, number
from nbledger_magics.display import escape

MOST = 40
"""Rows and lines of one list that are shown; the rest is counted."""
SIGNS = {"good": "✓", "warn": "…", "bad": "✗", "soft": "·"}


def word(text: str, width: int = 80) -> str:
    """A text from outside as markup: clipped, escaped, and in its own direction."""
    return f"<bdi>{escape(clip(text, width))}</bdi>"


def marked(kind: str, inner: str) -> str:
    """Markup with a sign of its kind (good, warn, bad, soft) before it: colour is never alone."""
    return f'<div><span class="{kind}">{SIGNS[kind]}</span> {inner}</div>'


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table of cells that are markup already; nothing without rows. ``right``: the columns that are numbers."""
    if not rows:
        return ""
    numbers = set(right)
    kinds = [' class="num" align="right"' if index in numbers else "" for index in range(len(head))]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, head, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows[:MOST]
    )
    more = f'<div class="soft">and {len(rows) - MOST} more</div>' if len(rows) > MOST else ""
    said = f'<div class="soft">{escape(title)}</div>' if title else ""
    return f'{said}<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def lines(texts: Iterable[str], kind: str = "soft", width: int = 400) -> str:
    """One line each, with the sign of its kind."""
    found = list(texts)
    shown = "".join(
        f'<div class="note"><span class="{kind}">{SIGNS[kind]}</span> {word(text, width)}</div>'
        for text in found[:MOST]
    )
    return shown + (f'<div class="soft">and {len(found) - MOST} more</div>' if len(found) > MOST else "")


def notes(texts: Iterable[str]) -> str:
    """What should be known besides."""
    return "".join(f'<div class="soft">({word(text, 400)})</div>' for text in list(texts)[:MOST])


def figures(values: Mapping[str, float], other: str = "champion") -> str:
    """Metrics; those of another run (``champion.accuracy``) beside this one's, with what is between them."""
    prefix = f"{other}."
    own = {key: value for key, value in values.items() if not key.startswith(prefix)}
    compared = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    names = [*own, *(key for key in compared if key not in own)]
    if not compared:
        return table("", ("metric", "value"), [(word(k, 40), number(own[k])) for k in names], (1,))
    rows = [
        (word(k, 40), _value(own.get(k)), _value(compared.get(k)), _apart(own.get(k), compared.get(k))) for k in names
    ]
    return table("", ("metric", "this run", other, "difference"), rows, (1, 2, 3))


def _value(value: float | None) -> str:
    return '<span class="soft">–</span>' if value is None else escape(number(value))


def _apart(value: float | None, other: float | None) -> str:
    if value is None or other is None:
        return ""
    return escape(f"{value - other:+.6g}")


def moment(at: str | None) -> str:
    """An ISO time in UTC, to the minute."""
    return escape((at or "")[:16].replace("T", " "))
