"""The runs inside a run as one looks at them: which parameters vary, what a metric makes of them, and which run is best. Pure."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbledger.core import direction, scales
from nbledger.core.errors import UsageError, nearest
from nbledger.core.records import RunRow

if TYPE_CHECKING:
    from nbledger.core.children import Family

OBJECTIVE = "nbledger.objective"
"""Tag of a sweep's run: ``maximize accuracy``."""
PANELS = 6
"""Parameters that are drawn at most."""
_ATTRIBUTES = ("start", "end", "name", "status", "duration")
_WAYS = {"maximize": direction.HIGHER, "minimize": direction.LOWER}


@dataclass(frozen=True)
class Sweep:
    """The runs inside ``parent``, in the order that was asked for; a table lists the first ``limit``.

    ``params``: those whose value is not the same in all; ``metrics``: the one that is looked at first; ``way``: which way that
    is better; ``best``: the run that has its best value.
    """

    parent: RunRow
    runs: tuple[RunRow, ...]
    limit: int
    params: tuple[str, ...]
    metrics: tuple[str, ...]
    way: int
    best: RunRow | None
    filtered: bool

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[RunRow]:
        return iter(self.runs)

    def __getitem__(self, index: Any) -> Any:
        return self.runs[index]

    @property
    def metric(self) -> str | None:
        return self.metrics[0] if self.metrics else None

    @cached_property
    def values(self) -> tuple[float | None, ...]:
        """The metric's value of each run; None of one that did not finish, or has no finite one."""
        return tuple(_finite(row, self.metric) for row in self.runs)

    @cached_property
    def known(self) -> tuple[float, ...]:
        return tuple(v for v in self.values if v is not None)

    @cached_property
    def axes(self) -> dict[str, scales.Axis]:
        return {name: scales.axis(name, [row.params.get(name) for row in self.runs]) for name in self.params}

    @cached_property
    def scale(self) -> scales.Scale:
        """Of the metric's values, of which there must be one."""
        return scales.scale(self.known, self.way)

    @cached_property
    def telling(self) -> tuple[str, ...]:
        """The parameters, those first by which the metric's values differ most."""
        return tuple(sorted(self.params, key=lambda name: -_effect(self.axes[name], self.values)))

    @cached_property
    def shape(self) -> str:
        """How it is drawn: ``none``, by ``order`` where nothing varies, ``one`` parameter, a ``map`` or ``colours`` of two,
        ``panels`` of more.
        """
        if len(self.known) < 2:
            return "none"
        if len(self.params) != 2:
            return {0: "order", 1: "one"}.get(len(self.params), "panels")
        across, down = (self.axes[name] for name in self.params)
        cells = len(across.bands) * len(down.bands)
        filled = len(set(zip(across.band, down.band, strict=False)))
        return "map" if cells and filled >= 0.4 * cells else "colours"

    def lacks(self, row: RunRow) -> str:
        """Why a run has no place in the chart; nothing if it has."""
        if row.status != "FINISHED":
            return "pruned" if row.tags.get("nbledger.pruned") else row.status.lower()
        if self.metric not in row.metrics:
            return f"no {self.metric}"
        value = row.metrics[self.metric]
        return "" if math.isfinite(value) else f"{self.metric} is {value}"

    def losses(self) -> Counter[str]:
        """{why: how many runs have no value}"""
        return Counter(why for row in self.runs if (why := self.lacks(row)))


def looked(family: Family, metric: str = "", sort: str = "", limit: int = 50) -> Sweep:
    """A family as it is looked at. ``UsageError`` for a metric or a key to sort by that none of its runs has."""
    rows = family.runs
    keys = _metrics(rows)
    wanted, said = _objective(family.parent)
    name = metric or (wanted if wanted in keys else "") or (keys[0] if keys else "")
    if metric and rows:
        _known(metric, keys, "metric")
    way = said if name == wanted and said else direction.of(name)
    if way == direction.UNKNOWN and sort.lstrip("+-") == name:
        way = direction.LOWER if sort.startswith("+") else direction.HIGHER
    key = sort or (f"{'+' if way == direction.LOWER else ''}{name}" if way and name else "+start")
    ordered = _sorted(rows, key)
    values = [v for row in ordered if (v := _finite(row, name)) is not None]
    best = (max(values) if way == direction.HIGHER else min(values)) if values and way else None
    return Sweep(
        family.parent,
        tuple(ordered),
        limit,
        tuple(_varying(rows)),
        tuple(dict.fromkeys([name, *keys] if name else keys)),
        way,
        next((row for row in ordered if best is not None and _finite(row, name) == best), None),
        family.filtered,
    )


def _objective(parent: RunRow) -> tuple[str, int]:
    """(metric, which way) that a sweep was about, as its own run says."""
    word, _, metric = parent.tags.get(OBJECTIVE, "").partition(" ")
    return (metric, _WAYS[word]) if word in _WAYS else ("", direction.UNKNOWN)


def _metrics(rows: Sequence[RunRow]) -> list[str]:
    """Those that differ and that most runs that finished have come first; of these the plain ones whose name says which way
    is better.
    """
    rows = [row for row in rows if row.status == "FINISHED"] or rows
    count = Counter(key for row in rows for key in row.metrics)
    seen: dict[str, set[float]] = {}
    for row in rows:
        for key, value in row.metrics.items():
            if len(distinct := seen.setdefault(key, set())) < 2:
                distinct.add(value)

    def rank(key: str) -> tuple[bool, bool, int, bool, bool]:
        return key.startswith("system/"), len(seen[key]) < 2, -count[key], "." in key, not direction.of(key)

    return sorted(count, key=rank)


def _varying(rows: Sequence[RunRow]) -> list[str]:
    count = Counter(key for row in rows for key in row.params)
    return [k for k in count if len({row.params.get(k) for row in rows}) > 1]


def _finite(row: RunRow, metric: str | None) -> float | None:
    value = row.metrics.get(metric or "")
    return value if value is not None and row.status == "FINISHED" and math.isfinite(value) else None


def _known(key: str, keys: Sequence[str], what: str) -> None:
    if key not in keys:
        near = nearest(key, keys) or (f"there are: {', '.join(sorted(keys)[:8])}" if keys else "they have none")
        raise UsageError(f"none of these runs has a {what} {key!r}", near)


def _sorted(rows: Sequence[RunRow], sort: str) -> list[RunRow]:
    """By a metric, a parameter or what every run has; largest first, with ``+`` the smallest. What has none comes last."""
    key, up = sort.lstrip("+-"), sort.startswith("+")
    kind, _, name = key.partition(".")
    metrics = {k for row in rows for k in row.metrics}
    params = {k for row in rows for k in row.params}
    if kind in ("metrics", "params") and name in (metrics if kind == "metrics" else params):
        key = name
    elif kind == "metrics":
        params = set()
    if rows and key not in metrics and key not in params and key not in _ATTRIBUTES:
        _known(key, [*metrics, *params], "metric or parameter")
    taken = key in metrics and kind != "params"

    def value(row: RunRow) -> Any:
        if taken:
            found = row.metrics.get(key)
            return None if found is None or math.isnan(found) else found
        if key in params:
            return _comparable(row.params.get(key))
        return {"start": row.start, "end": row.end, "name": row.name, "status": row.status}.get(key, _seconds(row))

    known = [(value(row), row) for row in rows]
    ordered = sorted((p for p in known if p[0] is not None), key=lambda p: p[0], reverse=not up)
    if taken:  # the value of a run that did not finish is not what it would have come to
        ordered.sort(key=lambda p: p[1].status != "FINISHED")
    return [row for _, row in ordered] + [row for value, row in known if value is None]


def _comparable(text: str | None) -> tuple[int, float, str] | None:
    """Numbers by their size, before names."""
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, found, text) if not math.isnan(found) else (1, 0.0, text)


def _seconds(row: RunRow) -> float | None:
    import datetime as dt

    if row.start is None or row.end is None:
        return None
    return (dt.datetime.fromisoformat(row.end) - dt.datetime.fromisoformat(row.start)).total_seconds()


def _effect(axis: scales.Axis, values: Sequence[float | None]) -> float:
    """How much of what the values' ranks differ in goes with the axis (omega squared): 0 is what chance would do."""
    order = sorted((v, i) for i, v in enumerate(values) if v is not None)
    rank = {i: float(place) for place, (_, i) in enumerate(order)}
    groups = [[rank[i] for i in members if i in rank] for _, members in axis.groups()]
    groups = [g for g in groups if g]
    count = sum(map(len, groups))
    if count <= len(groups) or len(groups) < 2:
        return 0.0
    middle = statistics.fmean(rank.values())
    total = sum((v - middle) ** 2 for v in rank.values())
    between = sum(len(g) * (statistics.fmean(g) - middle) ** 2 for g in groups)
    noise = (total - between) / (count - len(groups))
    return max(0.0, (between - (len(groups) - 1) * noise) / (total + noise)) if total else 0.0
