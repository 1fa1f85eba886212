"""A metric's values as they are logged, kept in bounded memory for what is drawn of them."""

from __future__ import annotations

import math

from nbledger.core.differences import Series

_MOST = 256
_BLOCKS = "▁▂▃▄▅▆▇█"


class Curve:
    """Every ``stride``-th point, its extremes and its last: enough to draw. Any thread may read while one adds."""

    __slots__ = ("_stride", "count", "high", "last", "low", "points", "step")

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []
        self.count, self.step, self._stride = 0, 0, 1
        self.low, self.high, self.last = float("inf"), float("-inf"), 0.0

    def add(self, step: int, value: float) -> None:
        """Well under a microsecond: it is called for each value that the user's loop logs."""
        if self.count % self._stride == 0:
            points = self.points
            points.append((step, value))
            if len(points) >= _MOST:
                self.points = points[::2]
                self._stride *= 2
        self.count += 1
        self.step, self.last = step, value
        if value - value == 0.0:
            self.low = min(self.low, value)
            self.high = max(self.high, value)

    def drawn(self) -> list[tuple[int, float]]:
        """The points to draw, the last one included."""
        points, last = list(self.points), (self.step, self.last)
        return points if points and points[-1] == last else [*points, last]

    def series(self, most: int = 40) -> Series:
        """The same in at most ``most`` values."""
        values = [value for _, value in self.drawn()]
        step = -(-len(values) // most)
        shown = values[::step] if (len(values) - 1) % step == 0 else [*values[::step][: most - 1], values[-1]]
        finite = self.low <= self.high
        return Series(
            self.count, self.last, self.low if finite else self.last, self.high if finite else self.last, tuple(shown)
        )


def sparkline(series: Series, scale: tuple[float, float] | None = None) -> str:
    """A series as blocks on a scale from the first to the second value, else from its own lowest to its highest; what is no
    number is a dot.
    """
    low, high = scale or (series.low, series.high)
    reach = high - low
    marks = []
    for value in series.shown:
        if not math.isfinite(value) or not math.isfinite(reach):
            marks.append("·")
        else:
            marks.append(_BLOCKS[min(7, max(0, int(8 * (value - low) / reach)))] if reach else _BLOCKS[3])
    return "".join(marks)
