"""Curves of a run's metrics as a notebook keeps them: inline SVG without a script, and blocks of text where a page drops it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from nbledger.commands.text import clip, number
from nbledger.core.curve import Curve, sparkline

WIDTH, HEIGHT = 180, 48
_MOST = 6

# `.blocks` is hidden where there are styles and a drawing; GitHub drops both, and shows the blocks.
STYLE = """<style>
.nbledger .curves { display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 2px 0 }
.nbledger .curves > div { width: 180px; max-width: 100%; overflow-wrap: normal }
.nbledger .curves .head { display: flex; justify-content: space-between; gap: 8px; white-space: nowrap }
.nbledger .curves .head bdi { overflow: hidden; text-overflow: ellipsis }
.nbledger .curves .blocks { display: none }
.nbledger .curves svg { display: block; width: 100%; height: 48px; color: var(--jp-brand-color1, #2a8bc0);
  border-bottom: 1px solid var(--jp-border-color2, #8884) }
</style>"""


def chosen(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Metrics that were logged more than once; plain names before flattened ones."""
    keys = [key for key, curve in list(curves.items()) if curve.count > 1]
    return {key: curves[key] for key in sorted(keys, key=lambda key: "." in key)}


def plain(curves: Mapping[str, Curve]) -> list[str]:
    """One line of text a metric."""
    shown = chosen(curves)
    lines = [f"  {clip(key, 40)} {sparkline(curve.series())} {_words(curve)}" for key, curve in _first(shown)]
    return [*lines, f"  and {len(shown) - _MOST} more curves"] if len(shown) > _MOST else lines


def html(curves: Mapping[str, Curve]) -> str:
    """The curves side by side; nothing where no metric has one."""
    from nbledger_magics.display import escape

    shown = chosen(curves)
    if not shown:
        return ""
    parts = []
    for key, curve in _first(shown):
        name, words = escape(clip(key, 40)), escape(_words(curve))
        parts.append(
            f'<div><div class="head" title="{escape(clip(key, 300))}: {words}"><bdi class="soft">{name}</bdi> '
            f'<span>{escape(number(curve.last))}</span></div><span class="blocks">{sparkline(curve.series())}</span>'
            f"{_svg(curve, f'{name}: {words}')}</div>"
        )
    more = f'<div class="soft">and {len(shown) - _MOST} more curves</div>' if len(shown) > _MOST else ""
    return f'{STYLE}<div class="curves">{"".join(parts)}</div>{more}'


def _first(shown: Mapping[str, Curve]) -> list[tuple[str, Curve]]:
    return list(shown.items())[:_MOST]


def _words(curve: Curve) -> str:
    series = curve.series()
    return f"{series.count:,} values, {number(series.low)} to {number(series.high)}, last {number(series.last)}"


def _svg(curve: Curve, title: str) -> str:
    lines = "".join(
        f'<polyline points="{" ".join(points)}" fill="none" stroke="currentColor" stroke-width="1.5" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
        for points in _lines(curve.drawn(), curve.low, curve.high)
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img">'
        f"<title>{title}</title>{lines}</svg>"
    )


def _lines(points: Sequence[tuple[int, float]], low: float, high: float) -> list[list[str]]:
    """The points of each unbroken stretch, by their steps where those rise, else in the order of logging."""
    steps = [step for step, _ in points]
    places = steps if all(a < b for a, b in itertools.pairwise(steps)) else list(range(len(points)))
    wide = (places[-1] - places[0]) or 1
    tall = high - low
    lines: list[list[str]] = [[]]
    for place, (_, value) in zip(places, points, strict=True):
        if not math.isfinite(value) or not math.isfinite(tall):
            if lines[-1]:
                lines.append([])
            continue
        share = (value - low) / tall if tall else 0.5
        x, y = WIDTH * (place - places[0]) / wide, HEIGHT - 3 - (HEIGHT - 6) * share
        lines[-1].append(f"{x:.1f},{y:.1f}")
    return [line for line in lines if len(line) > 1]
