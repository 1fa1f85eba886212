"""The drawings of a report: SVG without a script, with the page's own colours, and with a title for who cannot see them."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence

from nbledger.core.differences import ColumnChange, Series
from nbledger.core.report_figures import Figure
from nbledger.core.scales import Scale

_BAR, _HIGH = 150, 18
_WIDE, _TALL, _LEFT, _BOTTOM = 300, 120, 46, 18
_ASKS = ("q0", "q5", "q25", "q50", "q75", "q95", "q100")
_LONG = 4_000
_CONTROL = {**dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\ufffd"), 10: "\n"}


def escape(value: object, most: int = _LONG) -> str:
    """Text that is never markup; characters that steer a terminal are replaced, and it ends where it is too long."""
    text = str(value).encode("utf-8", "replace").decode().translate(_CONTROL)
    return html.escape(text if len(text) <= most else text[: most - 1] + "…")


def change(figure: Figure) -> str:
    """A metric's way from the base (a ring) to the head (a dot), on a scale of its own that holds zero if that is near."""
    old, new = figure.values
    if old is None or new is None or not (math.isfinite(old) and math.isfinite(new)) or old == new:
        return ""
    low, high = min(old, new), max(old, new)
    low, high = (0.0 if 0 <= low <= high - low else low), (0.0 if low - high <= high <= 0 else high)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = Scale(low, high)
    x, y = (8 + (_BAR - 16) * scale.place(value) for value in (old, new))
    title = escape(f"{old:.6g} to {new:.6g}, drawn from {low:.4g} to {high:.4g}")
    middle = _HIGH / 2
    return (
        f'<svg class="change" width="{_BAR}" height="{_HIGH}" viewBox="0 0 {_BAR} {_HIGH}" role="img"><title>{title}</title>'
        f'<line class="axis" x1="4" x2="{_BAR - 4}" y1="{middle}" y2="{middle}"/>'
        f'<line class="way {figure.course}" x1="{x:.1f}" x2="{y:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="was" cx="{x:.1f}" cy="{middle}" r="3.5"/>'
        f'<circle class="is {figure.course}" cx="{y:.1f}" cy="{middle}" r="4"/></svg>'
    )


def course(series: Sequence[Series | None], title: str) -> str:
    """The values of a metric as they were logged, the base's dashed; what is no number breaks the line."""
    known = [one for one in series if one is not None]
    finite = [v for one in known for v in one.shown if math.isfinite(v)]
    if not finite:
        return ""
    scale = Scale(min(finite), max(finite))
    parts = []
    for place, label in scale.ticks(3):
        y = _y(place)
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDE - 4}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 4}" y="{y + 3.5:.1f}" text-anchor="end">{escape(label)}</text>')
    for one, side in zip(series, ("was", "is"), strict=True):
        lines = _lines(one, scale) if one is not None else []
        parts += [f'<polyline class="{side}" points="{" ".join(line)}"/>' for line in lines]
    most = max(one.count for one in known)
    parts.append(f'<text x="{_LEFT}" y="{_TALL - 4}">1</text>')
    parts.append(f'<text x="{_WIDE - 4}" y="{_TALL - 4}" text-anchor="end">{most:,}</text>')
    return (
        f'<svg class="course" width="{_WIDE}" height="{_TALL}" viewBox="0 0 {_WIDE} {_TALL}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _y(place: float) -> float:
    return 6 + (_TALL - _BOTTOM - 12) * (1 - place)


def _lines(one: Series, scale: Scale) -> list[list[str]]:
    last = max(1, len(one.shown) - 1)
    points = [
        f"{_LEFT + (_WIDE - _LEFT - 4) * at / last:.1f},{_y(scale.place(value)):.1f}" if math.isfinite(value) else ""
        for at, value in enumerate(one.shown)
    ]
    return [list(group) for whole, group in itertools.groupby(points, bool) if whole]


def spread(column: ColumnChange) -> str:
    """The distribution of a column of numbers on both sides: the middle half as a box, 5 % to 95 % as a line."""
    known = [column.stats.get(name) for name in _ASKS]
    sides = [[pair[side] if pair is not None else None for pair in known] for side in (0, 1)]
    finite = [v for side in sides for v in side if v is not None and math.isfinite(v)]
    if len(finite) < 2 * len(_ASKS):
        return ""
    scale = Scale(min(finite), max(finite))
    parts = []
    for at, (side, name) in enumerate(zip(sides, ("was", "is"), strict=True)):
        _, least, lower, middle, upper, most, _ = (4 + (_BAR - 8) * scale.place(v or 0.0) for v in side)
        y = 5 + 10 * at
        parts.append(f'<line class="{name}" x1="{least:.1f}" x2="{most:.1f}" y1="{y}" y2="{y}"/>')
        wide = max(1.0, upper - lower)
        parts.append(f'<rect class="{name}" x="{lower:.1f}" y="{y - 3}" width="{wide:.1f}" height="6"/>')
        parts.append(f'<line class="middle" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 4}" y2="{y + 4}"/>')
    title = escape(f"{min(finite):.4g} to {max(finite):.4g}; base above, head below")
    return f'<svg class="spread" width="{_BAR}" height="20" viewBox="0 0 {_BAR} 20" role="img"><title>{title}</title>{"".join(parts)}</svg>'
