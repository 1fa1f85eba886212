"""Where values stand on the axes of a chart: numbers on a linear or a logarithmic scale, names at even distances. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Ticks = tuple[tuple[float, str], ...]
"""(place from 0 to 1, label)"""

MOST_BANDS = 40
"""Distinct values up to which an axis is also one of bands, a cell of a heat map each."""
FEW = 12
"""Distinct values up to which each is a group of its own."""
_NAMES, _BINS, _NEAR = 20, 8, 0.075
_FAR, _ENOUGH, _MOSTLY = 12, 8, 0.75
_OTHERS, _MISSING = "others", "—"
_SIDE = 0.88
"""Of an axis with numbers and names, what the numbers take."""


@dataclass(frozen=True)
class Scale:
    """From ``low`` to ``high``; what lies beyond is placed at the end that it is beyond of."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """From 0 to 1."""
        if self.high <= self.low:
            return 0.5
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = value / self._wide - self.low / self._wide  # first divided: the difference of two may be infinite
        return min(1.0, max(0.0, share))

    @property
    def _wide(self) -> float:
        wide = self.high - self.low
        return wide if math.isfinite(wide) else self.high / 2 - self.low / 2

    def beyond(self, value: float) -> bool:
        return not self.low <= value <= self.high

    def ticks(self, most: int = 5) -> Ticks:
        """At round numbers."""
        wide = self.high - self.low
        if not math.isfinite(wide) or wide <= max(1e-300, 1e-12 * max(abs(self.low), abs(self.high))):
            values = list(dict.fromkeys((self.low, self.high)))
        else:
            values = _decades(self.low, self.high) if self.log else _round(self.low, self.high, most)
        while len(values) > most + 2:
            values = values[::2]
        return tuple(zip(map(self.place, values), labels(values), strict=True))


@dataclass(frozen=True)
class Axis:
    """A parameter: where each run stands (0 to 1), and, of few distinct values, in which of ``bands`` (their names)."""

    name: str
    values: tuple[float | str, ...]
    places: tuple[float, ...]
    ticks: Ticks
    log: bool = False
    numbers: bool = True
    bands: tuple[str, ...] = ()
    band: tuple[int, ...] = ()

    @property
    def few(self) -> bool:
        return 0 < len(self.bands) <= FEW

    def groups(self) -> list[tuple[str, list[int]]]:
        """(label, numbers of the runs) by value, or where there are many by even stretches of the axis."""
        if self.few or (self.bands and not self.numbers):
            return [(name, [i for i, b in enumerate(self.band) if b == at]) for at, name in enumerate(self.bands)]
        found: dict[int, list[int]] = {}
        for number, place in enumerate(self.places):
            found.setdefault(min(_BINS - 1, int(place * _BINS)), []).append(number)
        return [(self._span(found[at]), found[at]) for at in sorted(found)]

    def _span(self, members: Sequence[int]) -> str:
        numbers = [v for i in members if isinstance(v := self.values[i], float)]
        ends = dict.fromkeys(map(shown, (min(numbers), max(numbers)))) if numbers else {}
        names = {v: None for i in members if isinstance(v := self.values[i], str)}
        return ", ".join([*(["..".join(ends)] if ends else []), *(names if len(names) < 2 else [_OTHERS])])

    def middle(self, members: Sequence[int]) -> float:
        """Where a group stands."""
        return statistics.fmean(self.places[i] for i in members)


def shown(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def labels(values: Sequence[float]) -> list[str]:
    """Four significant digits, or as many as it takes to tell them apart."""
    found: list[str] = []
    for digits in (4, 6, 8, 12, 17):
        found = [f"{v:.{digits}g}" for v in values]
        if len(set(found)) == len(set(values)):
            break
    return found


def scale(values: Sequence[float], better: int = 0) -> Scale:
    """A scale for finite ``values`` (at least one). A few that lie far from all others are beyond it; where it is known which
    way is ``better`` (1: above, -1: below), only on the other side: what is outstanding is what one looks for.
    """
    known = sorted(values)
    low, high, middle = known[0], known[-1], statistics.median(known)
    if better:
        least, most = (high - _FAR * (high - middle), high) if better > 0 else (low, low + _FAR * (middle - low))
    else:
        bottom, top = known[len(known) // 10], known[-1 - len(known) // 10]
        least, most = bottom - _FAR * (top - bottom), top + _FAR * (top - bottom)
    near = [v for v in known if least <= v <= most]
    if len(known) >= _ENOUGH and _MOSTLY * len(known) <= len(near) and near[0] < near[-1]:
        known = near
    return Scale(known[0], known[-1], _log(known, 1000, 0.05))


def axis(name: str, texts: Sequence[str | None]) -> Axis:
    """The axis of a parameter, of whose value in each run the text is known, or None."""
    values: list[float | str] = [_value(text) for text in texts]
    distinct = Counter(values)
    numbers = sorted(v for v in distinct if isinstance(v, float))
    names = sorted((v for v in distinct if isinstance(v, str)), key=lambda v: (v == _MISSING, v))
    if not names:
        return _of_numbers(name, values, numbers)
    if not numbers or len(distinct) <= _NAMES:
        return _of_names(name, values, distinct, [*numbers, *names])
    return _of_both(name, values, numbers, names)


def _value(text: str | None) -> float | str:
    if text is None:
        return _MISSING
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text


def _of_numbers(name: str, values: Sequence[float | str], numbers: Sequence[float]) -> Axis:
    on = Scale(numbers[0], numbers[-1], _log(numbers, 20, 0.2))
    places = {v: on.place(v) for v in numbers}
    names = labels(numbers) if len(numbers) <= MOST_BANDS else []
    own = tuple((places[v], name) for v, name in zip(numbers, names, strict=False))
    apart = all(b[0] - a[0] >= _NEAR for a, b in itertools.pairwise(own))
    bands = tuple(names)
    at = {v: i for i, v in enumerate(numbers)}
    return Axis(
        name,
        tuple(values),
        tuple(places[float(v)] for v in values),
        own if 0 < len(own) <= 8 and apart else on.ticks(),
        on.log,
        bands=bands,
        band=tuple(at[float(v)] for v in values) if bands else (),
    )


def _of_names(
    name: str, values: Sequence[float | str], distinct: Counter[float | str], order: Sequence[float | str]
) -> Axis:
    """Each value at an even distance; of very many those that most runs have, and the others together."""
    if len(order) > _NAMES:
        often = {v for v, _ in distinct.most_common(_NAMES - 1)}
        order = [v for v in order if v in often]
    at = {v: i for i, v in enumerate(order)}
    bands = [shown(v) if isinstance(v, float) else v for v in order]
    if len(order) < len(distinct):
        bands.append(_OTHERS)
    band = tuple(at.get(v, len(order)) for v in values)
    places = [(i + 0.5) / len(bands) for i in range(len(bands))]
    return Axis(
        name,
        tuple(values),
        tuple(places[b] for b in band),
        tuple(zip(places, bands, strict=True)),
        numbers=False,
        bands=tuple(bands),
        band=band,
    )


def _of_both(name: str, values: Sequence[float | str], numbers: Sequence[float], names: Sequence[str]) -> Axis:
    """Many numbers and a few names: these stand beside the scale."""
    on = Scale(numbers[0], numbers[-1], _log(numbers, 20, 0.2))
    label = names[0] if len(names) == 1 else _OTHERS
    places = tuple(on.place(v) * _SIDE if isinstance(v, float) else 1.0 for v in values)
    return Axis(name, tuple(values), places, (*((at * _SIDE, text) for at, text in on.ticks(4)), (1.0, label)), on.log)


def _log(known: Sequence[float], ratio: float, middle: float) -> bool:
    """Whether sorted values are spread over decades: far apart, and most of them near the lower end."""
    low, high = known[0], known[-1]
    if low <= 0 or high / low < ratio:
        return False
    return (statistics.median(known) - low) / (high - low) < middle


def _round(low: float, high: float, most: int) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 2.5, 5, 10, 20) if (high - low) / (step * by) <= most)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    whole = [10.0**n for n in range(first, last + 1)]
    if len(whole) >= 3:
        return whole
    between: Iterable[float] = (10.0**n * by for n in range(first - 1, last + 1) for by in (1, 2, 5))
    return [v for v in between if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
