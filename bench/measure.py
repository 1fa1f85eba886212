"""Times of two (or more) ways to do one thing, taken in turns, and the ratio between them."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Side = Callable[[], float]
"""Does one thing once, with its preparation outside the clock; the seconds it took."""


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds (or another ``unit``) of nbledger and of the plain tool, pair by pair."""

    key: str
    case: str
    beside: str
    ours: tuple[float, ...]
    plain: tuple[float, ...]
    target: float | None = None
    unit: str = "s"

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(mine / theirs for mine, theirs in zip(self.ours, self.plain, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios: what slows both of a pair down does not count."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """None where no target was set: the row informs."""
        return None if self.target is None else self.ratio <= self.target


def row(
    key: str, case: str, beside: str, times: Sequence[Sequence[float]], target: float | None = None, unit: str = "s"
) -> Row:
    """The row of two sides' times."""
    ours, plain = times
    return Row(key, case, beside, tuple(ours), tuple(plain), target, unit)


def in_turns(count: int, *sides: Side) -> list[tuple[float, ...]]:
    """``count`` times of each side. Each turn runs all of them, every second turn in reverse order."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(count):
        order = range(len(sides))
        for at in order if turn % 2 == 0 else reversed(order):
            times[at].append(sides[at]())
    return [tuple(taken) for taken in times]


def timed(*commands: Sequence[str], cwd: Path) -> float:
    """Seconds that these commands take one after the other; one that fails ends the benchmark with its words."""
    begun = time.perf_counter()
    for command in commands:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise RuntimeError(f"`{' '.join(command)}` exited with {done.returncode}: {words[-2000:]}")
    return time.perf_counter() - begun


def timed_call(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
