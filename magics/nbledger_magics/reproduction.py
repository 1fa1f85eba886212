"""``%reproduce``, and its verdict as a notebook shows it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands import reproduce_text as words
from nbledger.commands.text import clip, number
from nbledger.core.errors import UsageError
from nbledger.core.verdict import DIFFERENT, IDENTICAL, NOT_RESTORABLE, WITHIN, MetricPair
from nbledger.keeper.reproduce import Reproduction
from nbledger_magics import child
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_MOST = 40
_MARKS: dict[str, tuple[str, str]] = {
    IDENTICAL: ("✓", "good"),
    WITHIN: ("✓", "good"),
    DIFFERENT: ("✗", "bad"),
    NOT_RESTORABLE: ("✗", "warn"),
}


class Shown:
    """A reproduction with a plain-text and an HTML form; ``data`` is the record itself."""

    def __init__(self, data: Reproduction) -> None:
        self.data = data

    def __repr__(self) -> str:
        return words.reproduction(self.data)

    def _repr_html_(self) -> str:
        return html(self.data)


def reproduce(session: Session, line: str) -> Any:
    """``%reproduce RUN [--into DIR] [--restore-only] …``: bring a run back, execute it again, give a verdict."""
    try:
        split = shlex.split(line)
    except ValueError as err:
        raise UsageError(f"{err}: {line}", "close the quotation") from err
    found = child.asked(session, ["reproduce", *split], Reproduction)
    return None if found is None else Shown(found)


def html(found: Reproduction) -> str:
    """The verdict, then what was compared, then what is missing or different."""
    sign, kind = _MARKS.get(found.verdict or "", ("·", "soft"))
    parts = [f'<div><span class="{kind}">{sign}</span> {_headline(found, kind)}</div>']
    parts += _table(
        "metrics that differ" if found.verdict == DIFFERENT else "metrics",
        ("", "recorded", "reproduced", ""),
        [_metric(key, pair) for key, pair in _first(found.metrics.items(), lambda item: not item[1].equal)],
    )
    parts += _table(
        "output files",
        ("", "recorded", "reproduced", ""),
        [
            (clip(p.path, 80), (p.recorded or "–")[:8], (p.reproduced or "–")[:8], p.why or ("same" if p.equal else ""))
            for p in _first(found.outputs, lambda pair: not pair.equal)
        ],
    )
    loose = [(k, s) for k, s in found.spread.items() if not s.deterministic]
    parts += _table(
        f"not deterministic, in {found.times} executions",
        ("", "min", "max", "mean", "std"),
        [(clip(k, 40), *map(number, (s.min, s.max, s.mean, s.std))) for k, s in loose[:_MOST]],
    )
    parts += _list("why", [f"{cause.what}" for cause in found.causes[:8]])
    parts += _list("missing", [str(m) + ("" if m.needed else " (not needed)") for m in found.missing])
    parts += _list("", [*found.environment, *found.notes])
    parts += [f'<div class="soft">{escape(line.strip())}</div>' for line in words.where(found)]
    return box("".join(parts))


def _headline(found: Reproduction, kind: str) -> str:
    name = clip(found.name, 60)
    said = words.headline(found).removeprefix(name)
    return f'<b><bdi>{escape(name)}</bdi></b><span class="{kind}">{escape(said)}</span>'


def _metric(key: str, pair: MetricPair) -> tuple[str, ...]:
    return clip(key, 40), words.value(pair.recorded), words.value(pair.reproduced), words.apart(pair)


def _first(items: Iterable[Any], wanted: Any) -> list[Any]:
    """What differs first, then the rest, as many as are read."""
    return sorted(items, key=lambda item: not wanted(item))[:_MOST]


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(clip(text, 200))}</td>' for text in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return [f'<div class="soft">{escape(title)}</div><div class="scroll">{table}</div>']


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    head = f'<div class="soft">{escape(title)}</div>' if title else ""
    return [head + "".join(f'<div class="note">! {escape(clip(line, 400))}</div>' for line in lines[:_MOST])]
