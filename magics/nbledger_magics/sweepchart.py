"""The runs inside a run as a notebook shows them: a metric over the parameters that vary, drawn without a script, and a table.

The drawings take the notebook's own colours. A page that drops drawings shows bars of text in their place.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence

from nbledger.commands import sweep_text as words
from nbledger.commands.text import clip, number
from nbledger.core.scales import Axis, Ticks, shown
from nbledger.core.sweepview import PANELS, Sweep
from nbledger.core.wording import counted
from nbledger_magics.display import _box, escape, sweep_table

_LEFT, _RIGHT, _TOP, _BOTTOM, _LANE = 54, 14, 24, 36, 16
_LETTER = 6.4
"""Pixels that a letter of a label takes."""
_SINGLE = 400
"""Runs up to which each is an element of its own, with a title; more are dots of one line."""
_MOST = 2000
"""Dots that are drawn of one parameter."""
_NAME = 14
"""Letters of a label below an axis."""
_ROW = 40
"""Runs of which nothing varies, from which on a line of medians says more than the dots."""
# From dark to light through hues that all can tell apart (after viridis), without what a white or a black page swallows.
_RAMP = (
    (0x3B, 0x52, 0x8B),
    (0x2C, 0x72, 0x8E),
    (0x21, 0x91, 0x8C),
    (0x35, 0xB7, 0x79),
    (0x7F, 0xCB, 0x4B),
    (0xC2, 0xD0, 0x3A),
)
_SHADES = 24

# `.bars` is hidden where there are styles. The drawings' labels are left over where a page drops the drawings alone: they
# have no size then, as the drawings say their own.
_STYLE = """<style>
.nbledger .drawn { display: flex; flex-wrap: wrap; gap: 10px 18px; margin: 6px 0 }
.nbledger .drawn svg { display: block; max-width: 100%; height: auto; color: var(--jp-ui-font-color1, inherit);
  font-family: var(--jp-ui-font-family, system-ui, sans-serif) }
.nbledger .drawn .dot { fill: var(--jp-brand-color1, #2a8bc0) }
.nbledger .drawn .dots { stroke: var(--jp-brand-color1, #2a8bc0) }
.nbledger .drawn .best { stroke: var(--jp-success-color1, #2e8b57) }
.nbledger .drawn .lost { stroke: var(--jp-error-color1, #d9463b) }
.nbledger.nbledger pre.bars { display: none }
.nbledger.nbledger table tr.top td { font-weight: 600 }
</style>"""


def html(found: Sweep) -> str:
    """Headline, drawings, table, and what there is to say."""
    if not found.runs:
        return _box(f"<div>{escape(words.nothing(found))}</div>")
    drawn = "".join(drawings(found))
    bars = "\n".join(words.bars(found)).strip("\n")
    parts = [
        f"<div>{_headline(found)}</div>",
        f'<div class="drawn" style="font-size: 0">{drawn}</div>' if drawn else "",
        f'<pre class="bars">{escape(bars)}</pre>' if bars else "",
        sweep_table(words.columns(found), None if found.best is None else found.best.run_id),
        *(f'<div class="soft">{escape(note)}</div>' for note in [*_left_out(found), *words.notes(found)]),
    ]
    return _STYLE + _box("".join(parts))


def _headline(found: Sweep) -> str:
    name, best, rest = words.headline(found).partition("; best ")
    said = f'; <span class="good">best {escape(rest)}</span>' if best else ""
    return f"<b>{escape(name.partition(': ')[0])}</b>: {escape(name.partition(': ')[2])}{said}"


def _left_out(found: Sweep) -> list[str]:
    lines = []
    if found.shape == "panels" and len(found.params) > PANELS:
        left = found.telling[PANELS:]
        lines.append(f"not drawn: {', '.join(map(clip, left[:5]))}{', …' if len(left) > 5 else ''}")
    if found.shape != "none":
        if len(found.known) > _MOST and found.shape != "map":
            lines.append(f"drawn: {_MOST:,} of {len(found.known):,} runs")
        beyond = sum(map(found.scale.beyond, found.known))
        if beyond:
            edge = "the edge of the scale" if found.shape in ("map", "colours") else "▲ ▼"
            lines.append(f"{edge}: {counted(beyond, 'run')} far from all others")
    return lines


def drawings(found: Sweep) -> Iterator[str]:
    """One drawing, or one for each of the parameters that tell most."""
    if found.shape == "order":
        yield _Panel(found, _by_start(found), 640, 260).svg()
    elif found.shape == "one":
        yield _Panel(found, found.axes[found.params[0]], 640, 280).svg()
    elif found.shape == "map":
        yield _heat_map(found)
    elif found.shape == "colours":
        yield _Coloured(found, *(found.axes[name] for name in found.params)).svg()
    elif found.shape == "panels":
        for name in found.telling[:PANELS]:
            yield _Panel(found, found.axes[name], 300, 210).svg()


def _by_start(found: Sweep) -> Axis:
    order = {row.run_id: i for i, row in enumerate(sorted(found.runs, key=lambda r: (r.start or "", r.run_id)))}
    last = max(1, len(order) - 1)
    ends = ((0.0, "1"), (1.0, str(len(order))))
    places = tuple(order[row.run_id] / last for row in found.runs)
    return Axis("run, in the order of their start", tuple(map(str, order.values())), places, ends)


# ── one parameter ────────────────────────────────────────────────────────────────────────────────────────


class _Panel:
    """A metric over one parameter: a dot a run, the median of each value, the best run ringed; runs without a value are
    crosses below.
    """

    def __init__(self, found: Sweep, axis: Axis, width: int, height: int) -> None:
        self.found, self.axis, self.width, self.height = found, axis, width, height
        self.lane = _LANE if len(found.known) < len(found.runs) else 0
        self.turned = _turned([label for _, label in axis.ticks], width - _LEFT - _RIGHT)
        self.height += self.turned
        self.right = width - _RIGHT
        self.bottom = self.height - _BOTTOM - self.lane - self.turned
        self.shift = _spread(axis, self.right - _LEFT)

    def x(self, run: int) -> float:
        return self.at(self.axis.places[run]) + self.shift[run]

    def at(self, place: float) -> float:
        return _LEFT + 10 + (self.right - _LEFT - 20) * place

    def y(self, value: float) -> float:
        return self.bottom - 6 - (self.bottom - _TOP - 12) * self.found.scale.place(value)

    def svg(self) -> str:
        found = self.found
        log = ", logarithmic" if self.axis.log else ""
        title = f"{found.metric} over {self.axis.name}{log}: {len(found.known):,} runs from {number(min(found.known))} to {number(max(found.known))}"
        parts = [*self._frame(), *self._medians(), *self._dots(), *self._lost(), *self._best()]
        return _svg(self.width, self.height, clip(title, 300), parts)

    def _frame(self) -> Iterator[str]:
        for place, label in self.found.scale.ticks(4 if self.height < 240 else 5):
            y = self.bottom - 6 - (self.bottom - _TOP - 12) * place
            yield _line(_LEFT, y, self.right, y, 0.12)
            yield _text(_LEFT - 6, y + 4, label, "end")
        yield _line(_LEFT, _TOP, _LEFT, self.bottom, 0.4)
        yield _line(_LEFT, self.bottom, self.right, self.bottom, 0.4)
        yield _text(4, 12, _fit(self.found.metric or "", self.width / 2), weight=True)
        yield from self._below(self.bottom + self.lane)
        name = _fit(self.axis.name, self.width - 60) + (" (log)" if self.axis.log else "")
        yield _text((_LEFT + self.right) / 2, self.height - 3, name, "middle", weight=True)

    def _below(self, under: float) -> Iterator[str]:
        """The labels of the axis, and their marks on it."""
        labels = [(self.at(place), label) for place, label in self.axis.ticks]
        for at, _ in labels if len(labels) <= 24 else ():
            yield _line(at, self.bottom, at, self.bottom + 4, 0.4)
        yield from _labels(labels, under + 16, self.width, turned=self.turned > 0)

    def _medians(self) -> Iterator[str]:
        """Of few values a dash each; of many a line."""
        found, places = self.found, []
        if found.shape == "order" and len(found.known) < _ROW:
            return
        for _, members in self.axis.groups():
            values = [v for i in members if (v := found.values[i]) is not None]
            if values:
                places.append((self.at(self.axis.middle(members)), self.y(statistics.median(values)), len(values)))
        if not places or all(count == 1 for *_, count in places):
            places = [(x, y, 1) for x, y, _ in places]
        if self.axis.numbers and len(places) > 1 and self.axis.ticks[-1][0] <= 1:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in sorted(places))
            strong = 0.35 if len(found.known) == len(places) else 0.7
            yield (
                f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-opacity="{strong}" stroke-width="1.5" '
                'stroke-linejoin="round"/>'
            )
        elif any(count > 1 for *_, count in places):
            half = min(16.0, 0.3 * (self.right - _LEFT) / len(places))
            for x, y, _ in places:
                yield (
                    f'<line x1="{x - half:.1f}" x2="{x + half:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
                    'stroke-opacity="0.6" stroke-width="2"/>'
                )

    def _dots(self) -> Iterator[str]:
        found = self.found
        runs = [i for i, v in enumerate(found.values) if v is not None]
        if len(runs) > _SINGLE:
            spots = {(round(self.x(i)), round(self.y(found.values[i] or 0.0))) for i in _some(runs)}
            yield _spots(sorted(spots), 'class="dots" stroke="#2a8bc0" stroke-opacity="0.45"', 4)
            return
        for i in runs:
            value = found.values[i] or 0.0
            title = f"<title>{escape(clip(words.words_of(found, found.runs[i]), 300))}</title>"
            x, y = self.x(i), self.y(value)
            if found.scale.beyond(value):
                up = -1 if value > found.scale.high else 1
                yield (f'<path class="dot" fill="#2a8bc0" d="M{x - 4:.1f} {y:.1f}h8l-4 {up * 7}z">{title}</path>')
            else:
                yield f'<circle class="dot" fill="#2a8bc0" fill-opacity="0.7" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{title}</circle>'

    def _lost(self) -> Iterator[str]:
        """Runs without a value, below the axis."""
        if not self.lane:
            return
        y = self.bottom + self.lane / 2 + 2
        lost = [i for i, v in enumerate(self.found.values) if v is None]
        single = len(lost) <= _SINGLE / 4
        spots = dict.fromkeys(round(self.x(i), 0 if not single else 1) for i in lost)
        titles = {round(self.x(i), 1): words.words_of(self.found, self.found.runs[i]) for i in lost} if single else {}
        for x in spots:
            title = f"<title>{escape(clip(titles[x], 300))}</title>" if x in titles else ""
            yield (
                f'<path class="lost" stroke="#d9463b" stroke-width="1.3" fill="none" '
                f'd="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6">{title}</path>'
            )

    def _best(self) -> Iterator[str]:
        if self.found.best is None:
            return
        i = self.found.runs.index(self.found.best)
        title = f"<title>best: {escape(clip(words.words_of(self.found, self.found.best), 300))}</title>"
        yield _ring(self.x(i), self.y(self.found.values[i] or 0.0), title)


# ── two parameters ───────────────────────────────────────────────────────────────────────────────────────


def _heat_map(found: Sweep) -> str:
    """A cell for each pair of values: the median of its runs as a colour, as a number where there is room."""
    across, down = sorted((found.axes[name] for name in found.params), key=lambda a: -len(a.bands))
    columns, rows = len(across.bands), len(down.bands)
    wide, tall = max(9, min(58, 560 // columns)), max(9, min(30, 300 // rows))
    left = 14 + min(90, round(_LETTER * max(len(clip(b, 12)) for b in down.bands)))
    top, width, height = _TOP + 4, max(left + columns * wide + _RIGHT, 260), 30 + rows * tall + 70
    cells: dict[tuple[int, int], list[int]] = {}
    for run, place in enumerate(zip(across.band, down.band, strict=True)):
        cells.setdefault(place, []).append(run)
    parts = [_text(4, 12, f"{_fit(down.name, width / 2)} ↑", weight=True)]
    best = None if found.best is None else found.runs.index(found.best)
    ringed = ""
    for (column, row), members in sorted(cells.items()):
        x, y = left + column * wide, top + (rows - 1 - row) * tall
        values = [v for i in members if (v := found.values[i]) is not None]
        title = f"<title>{escape(clip(_cell_words(found, members, values), 300))}</title>"
        gap = 1 if wide >= 14 and tall >= 12 else 0
        box = f'x="{x + gap / 2:g}" y="{y + gap / 2:g}" width="{wide - gap}" height="{tall - gap}"'
        if not values:
            parts.append(f'<rect {box} fill="currentColor" fill-opacity="0.05">{title}</rect>')
            middle, edge = x + wide / 2, y + tall / 2
            parts.append(
                f'<path class="lost" stroke="#d9463b" stroke-width="1.3" fill="none" d="M{middle - 3} {edge - 3}l6 6m0 -6l-6 6"/>'
            )
            continue
        share = found.scale.place(statistics.median(values))
        parts.append(f'<rect {box} fill="{_colour(share)}">{title}</rect>')
        label = f"{statistics.median(values):.3g}"
        if wide >= _LETTER * len(label) + 6 and tall >= 15:
            ink = "#ffffff" if share < 0.42 else "#101010"
            parts.append(
                f'<text x="{x + wide / 2}" y="{y + tall / 2 + 4}" text-anchor="middle" font-size="11" fill="{ink}">{label}</text>'
            )
        if best in members:
            ringed = (
                f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}" fill="none" stroke="currentColor" stroke-width="2.5">'
                f"<title>best: {escape(clip(words.words_of(found, found.runs[best or 0]), 300))}</title></rect>"
            )
    parts.append(ringed)
    bottom = top + rows * tall
    turned = 0 if across.numbers else _turned(across.bands, columns * wide)
    labels = [(left + (i + 0.5) * wide, b) for i, b in enumerate(across.bands)]
    parts += _labels(labels, bottom + 15, width, turned=turned > 0)
    every = max(1, round(13 / tall + 0.49))
    for i, band in enumerate(down.bands):
        if i % every == 0:
            parts.append(_text(left - 6, top + (rows - 1 - i + 0.5) * tall + 4, clip(band, 12), "end"))
    bottom += turned
    parts.append(_text(left + columns * wide / 2, bottom + 31, _fit(across.name, width - 20), "middle", weight=True))
    parts += _legend(found, left, bottom + 40)
    title = f"{found.metric} by {across.name} and {down.name}: {len(found.known):,} runs"
    return _svg(width, height + turned, clip(title, 300), parts)


def _cell_words(found: Sweep, members: Sequence[int], values: Sequence[float]) -> str:
    if len(members) == 1:
        return words.words_of(found, found.runs[members[0]])
    given = ", ".join(f"{clip(k)}={words.value_of(found.runs[members[0]].params.get(k, '—'))}" for k in found.params)
    if not values:
        return f"{given}: {len(members)} runs without a value"
    ends = f"from {number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
    return f"{given}: {len(members)} runs, median {number(statistics.median(values))} {ends}"


class _Coloured(_Panel):
    """One parameter over another, a dot a run, its colour the metric."""

    def __init__(self, found: Sweep, axis: Axis, other: Axis) -> None:
        super().__init__(found, axis, 640, 400)
        self.other = other
        self.bottom = self.height - _BOTTOM - 32 - self.turned
        self.lane = 0
        self.lift = _spread(other, self.bottom - _TOP)

    def up(self, place: float) -> float:
        return self.bottom - 8 - (self.bottom - _TOP - 16) * place

    def svg(self) -> str:
        found = self.found
        title = f"{found.metric} by {self.axis.name} and {self.other.name}: {len(found.known):,} runs"
        parts = [*self._frame(), *self._crosses(), *self._dots(), *self._best()]
        return _svg(self.width, self.height, clip(title, 300), [*parts, *_legend(found, _LEFT, self.height - 30)])

    def _frame(self) -> Iterator[str]:
        for place, label in _thin(self.other.ticks, 14):
            yield _line(_LEFT, self.up(place), self.right, self.up(place), 0.12)
            yield _text(_LEFT - 6, self.up(place) + 4, clip(label, 8), "end")
        yield _line(_LEFT, _TOP, _LEFT, self.bottom, 0.4)
        yield _line(_LEFT, self.bottom, self.right, self.bottom, 0.4)
        log = " (log)" if self.other.log else ""
        yield _text(4, 12, f"{_fit(self.other.name, 300)}{log} ↑", weight=True)
        yield from self._below(self.bottom)
        name = _fit(self.axis.name, 400) + (" (log)" if self.axis.log else "")
        yield _text((_LEFT + self.right) / 2, self.bottom + self.turned + 31, name, "middle", weight=True)

    def _point(self, run: int) -> tuple[float, float]:
        return self.x(run), self.up(self.other.places[run]) - self.lift[run]

    def _dots(self) -> Iterator[str]:
        found = self.found
        runs = [i for i, v in enumerate(found.values) if v is not None]
        if len(runs) > _SINGLE:
            shades: dict[int, set[tuple[int, int]]] = {}
            for i in _some(runs):
                x, y = self._point(i)
                shade = round(found.scale.place(found.values[i] or 0.0) * (_SHADES - 1))
                shades.setdefault(shade, set()).add((round(x), round(y)))
            for shade, spots in sorted(shades.items(), reverse=found.way < 0):
                yield _spots(sorted(spots), f'stroke="{_colour(shade / (_SHADES - 1))}"', 6)
            return
        for i in runs:
            x, y = self._point(i)
            colour = _colour(found.scale.place(found.values[i] or 0.0))
            yield (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}" stroke="currentColor" stroke-opacity="0.35">'
                f"<title>{escape(clip(words.words_of(found, found.runs[i]), 300))}</title></circle>"
            )

    def _crosses(self) -> Iterator[str]:
        for i in [i for i, v in enumerate(self.found.values) if v is None][:_SINGLE]:
            x, y = self._point(i)
            title = f"<title>{escape(clip(words.words_of(self.found, self.found.runs[i]), 300))}</title>"
            yield (
                f'<path class="lost" stroke="#d9463b" stroke-width="1.3" fill="none" '
                f'd="M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6">{title}</path>'
            )

    def _best(self) -> Iterator[str]:
        if self.found.best is not None:
            title = f"<title>best: {escape(clip(words.words_of(self.found, self.found.best), 300))}</title>"
            yield _ring(*self._point(self.found.runs.index(self.found.best)), title)


def _legend(found: Sweep, x: float, y: float) -> Iterator[str]:
    """The colours, and what stands at their ends."""
    step = 150 / _SHADES
    for shade in range(_SHADES):
        colour = _colour(shade / (_SHADES - 1))
        yield f'<rect x="{x + shade * step:.2f}" y="{y}" width="{step + 0.3:.2f}" height="9" fill="{colour}"/>'
    low = ("≤ " if any(v < found.scale.low for v in found.known) else "") + shown(found.scale.low)
    high = ("≥ " if any(v > found.scale.high for v in found.known) else "") + shown(found.scale.high)
    name = f"{_fit(found.metric or '', 180)}{' (log)' if found.scale.log else ''}"
    yield _text(x, y + 21, low)
    yield _text(x + 150, y + 21, high, "end")
    yield _text(x + 158, y + 9, name, weight=True)


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", *, weight: bool = False) -> str:
    bold = ' font-weight="600"' if weight else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="currentColor"{bold}>{escape(clip(text, 60))}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, opacity: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="currentColor" stroke-opacity="{opacity}"/>'


def _ring(x: float, y: float, title: str) -> str:
    return f'<circle class="best" stroke="#2e8b57" stroke-width="2.5" fill="none" cx="{x:.1f}" cy="{y:.1f}" r="7">{title}</circle>'


def _spots(spots: Iterable[tuple[int, int]], how: str, size: float) -> str:
    path = "".join(f"M{x} {y}h0" for x, y in spots)
    return f'<path {how} stroke-width="{size}" stroke-linecap="round" fill="none" d="{path}"/>'


def _colour(share: float) -> str:
    """From the ramp, 0 its dark end."""
    at = min(1.0, max(0.0, share)) * (len(_RAMP) - 1)
    first = min(len(_RAMP) - 2, int(at))
    mixed = (round(a + (b - a) * (at - first)) for a, b in zip(_RAMP[first], _RAMP[first + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _some(runs: Sequence[int]) -> Sequence[int]:
    """At most so many as are drawn, evenly taken."""
    return runs if len(runs) <= _MOST else [runs[i * len(runs) // _MOST] for i in range(_MOST)]


def _spread(axis: Axis, width: float) -> list[float]:
    """How far each run's dot stands beside its place, so that those of one value do not hide each other."""
    count = [axis.places.count(place) for place in dict.fromkeys(axis.places)] if axis.bands else [1]
    if max(count, default=1) < 2:
        return [0.0] * len(axis.places)
    order = sorted(set(axis.places))
    gap = min((b - a for a, b in itertools.pairwise(order)), default=1.0) * width
    reach = min(14.0, 0.32 * gap)
    return [reach * (2 * (i * 0.618034 % 1) - 1) for i in range(len(axis.places))]


def _fit(name: str, width: float) -> str:
    return clip(name, max(4, int(width / (_LETTER + 0.6))))


def _thin(ticks: Ticks, most: int) -> Ticks:
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > most else ticks


def _turned(labels: Sequence[str], width: float) -> int:
    """How much height labels need that are too long to stand side by side; 0 if they are not."""
    longest = max((len(clip(label, _NAME)) for label in labels), default=0)
    return 0 if longest * _LETTER + 6 <= width / max(1, len(labels)) or longest < 8 else round(0.62 * longest * _LETTER)


def _labels(labels: Sequence[tuple[float, str]], y: float, width: float, *, turned: bool) -> Iterator[str]:
    """Labels below an axis; of those that would touch the one before, none."""
    edge = float("-inf")
    for x, label in sorted(labels):
        said = clip(label, _NAME)
        half = _LETTER if turned else len(said) * _LETTER / 2
        if x - half <= edge:
            continue
        edge = x + half + (0 if turned else 5)
        if turned:
            yield (
                f'<text x="{x + 3:.1f}" y="{y - 4:.1f}" text-anchor="end" font-size="11" fill="currentColor" '
                f'transform="rotate(-38 {x + 3:.1f} {y - 4:.1f})">{escape(said)}</text>'
            )
        else:
            yield _text(min(x, width - half), y, said, "middle")
