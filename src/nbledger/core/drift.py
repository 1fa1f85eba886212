"""Whether data have drifted: what was measured of each column, the control of many tests at once, and the verdict.

A column has drifted if its p-value, adjusted by Holm's method over everything that was tested, is below its threshold *and*
the distance of the two distributions is one that matters: with many rows every difference is significant. By Holm the
probability of any false alarm at all is at most the threshold, however many columns there are and however they hang together.
Nothing here reads a table; ``core.drifttable`` and ``core.driftlib`` do, in a process of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core.errors import UsageError, nearest
from nbledger.core.wording import some

NUMERIC, CATEGORICAL, TEXT, DATETIME, IGNORE = "numeric", "categorical", "text", "datetime", "ignore"
KINDS = (NUMERIC, CATEGORICAL, TEXT, DATETIME, IGNORE)
FEATURE, TARGET, PREDICTION = "feature", "target", "prediction"
VALUES, EMPTY, LENGTH = "values", "empty", "length"
"""What of a column a test looks at: its values, how many cells are empty, how long its texts are."""
FIGURES = ("accuracy", "f1", "mae", "rmse", "r2")
"""What is computed where there are labels and predictions. ``f1``: of the class 1 where the classes are 0 and 1, else macro."""
ANY = "*"
_THRESHOLD, _DISTANCE, _ROWS = 0.05, 0.05, 100_000


@dataclass(frozen=True)
class Limits:
    """``[drift]`` of the settings. ``threshold``: {column, ``*`` for all others: the adjusted p-value below which it has
    drifted}; ``distance``: {the same: the distance (0 to 1) that matters}; ``share``: of the tested columns, from which the
    data have drifted (0: one is enough); ``kinds``: {column: what it holds}; ``performance``: a condition that the figures
    must meet where there are labels; ``rows``: at most so many of each side are compared.
    """

    threshold: Mapping[str, float] = field(default_factory=dict)
    distance: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0
    kinds: Mapping[str, str] = field(default_factory=dict)
    performance: str = ""
    rows: int = _ROWS

    def threshold_of(self, column: str) -> float:
        return self.threshold.get(column, self.threshold.get(ANY, _THRESHOLD))

    def distance_of(self, column: str) -> float:
        return self.distance.get(column, self.distance.get(ANY, _DISTANCE))


@dataclass(frozen=True)
class Column:
    """One test of a column. ``of``: values, empty or length; ``p`` as the test gave it, ``adjusted`` by Holm's method;
    ``distance`` between the distributions, 0 to 1; ``words`` say what moved; ``empty``: the shares of empty cells.
    """

    name: str
    kind: str
    role: str = FEATURE
    of: str = VALUES
    test: str = ""
    p: float = 1.0
    distance: float = 0.0
    adjusted: float = 1.0
    threshold: float = _THRESHOLD
    least: float = _DISTANCE
    drifted: bool = False
    words: str = ""
    empty: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Finding:
    """What is to be said of a column besides its test. ``kind``: missing, new, retyped, values, empty, dates, id or untested;
    ``decides``: whether it alone means that the data are not those that the model knows.
    """

    kind: str
    column: str
    text: str
    decides: bool = False


@dataclass(frozen=True)
class Verdict:
    """``share`` of the tested columns that drifted, ``reasons`` for the verdict, strongest first."""

    drifted: bool
    columns: tuple[Column, ...]
    share: float
    reasons: tuple[str, ...]


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────


def limits(table: Mapping[str, Any]) -> Limits:
    """``[drift]`` as it was written; ``UsageError`` names what is wrong in it."""
    known = ("threshold", "distance", "share", "kinds", "performance", "rows")
    for key in table:
        if key not in known:
            raise UsageError(f"[drift] has no setting {str(key)[:60]!r}", nearest(str(key), known) or ", ".join(known))
    performance = table.get("performance", "")
    if not isinstance(performance, str):
        raise UsageError("[drift] performance is no condition", 'e.g. performance = "accuracy >= 0.9"')
    kinds = table.get("kinds", {})
    if not isinstance(kinds, Mapping) or any(kind not in KINDS for kind in kinds.values()):
        raise UsageError(
            "[drift] kinds is no table of columns", f'e.g. kinds = {{zip = "{CATEGORICAL}"}}; {", ".join(KINDS)}'
        )
    rows = table.get("rows", _ROWS)
    if isinstance(rows, bool) or not isinstance(rows, int) or not 10 <= rows <= 10_000_000:
        raise UsageError("[drift] rows is no number from 10 to 10,000,000", "rows = 100000")
    return Limits(
        _numbers(table, "threshold"),
        _numbers(table, "distance"),
        _share(table.get("share", 0.0), "share"),
        {str(column): str(kind) for column, kind in kinds.items()},
        performance,
        rows,
    )


def _numbers(table: Mapping[str, Any], key: str) -> dict[str, float]:
    """A number, or a table of them by column."""
    given = table.get(key, {})
    entries = given if isinstance(given, Mapping) else {ANY: given}
    return {str(column): _share(value, f"{key} of {str(column)[:60]!r}") for column, value in entries.items()}


def _share(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"[drift] {what} is no number from 0 to 1", "e.g. 0.05")
    return float(value)


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────


def holm(values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down method; one that is no number stays 1."""
    given = [value if math.isfinite(value) else 1.0 for value in values]
    adjusted, largest = [1.0] * len(given), 0.0
    for rank, index in enumerate(sorted(range(len(given)), key=given.__getitem__)):
        largest = max(largest, min(1.0, (len(given) - rank) * given[index]))
        adjusted[index] = largest
    return adjusted


def judge(measured: Sequence[Column], findings: Sequence[Finding], limit: Limits) -> Verdict:
    """The verdict on what was measured: each column with its adjusted p-value, those that drifted first.

    The data have drifted if the predictions have, if a finding decides it, or if at least one column has and their share of
    those tested reaches ``limit.share``.
    """
    judged = [
        _judged(column, adjusted, limit)
        for column, adjusted in zip(measured, holm([column.p for column in measured]), strict=True)
    ]
    judged.sort(key=lambda c: (not c.drifted, c.adjusted, -c.distance, c.name, c.of))
    tested = {c.name for c in judged if c.role != PREDICTION}
    moved = list(dict.fromkeys(c.name for c in judged if c.drifted and c.role != PREDICTION))
    share = len(moved) / len(tested) if tested else 0.0
    reasons = [finding.text for finding in findings if finding.decides]
    if moved and share >= limit.share:
        reasons.append(f"{len(moved)} of {len(tested)} columns drifted: {some(moved)}")
    if any(c.drifted for c in judged if c.role == PREDICTION):
        reasons.append("what the model predicts has drifted")
    return Verdict(bool(reasons), tuple(judged), share, tuple(reasons))


def _judged(column: Column, adjusted: float, limit: Limits) -> Column:
    threshold, least = limit.threshold_of(column.name), limit.distance_of(column.name)
    drifted = adjusted < threshold and column.distance >= least
    return replace(column, adjusted=adjusted, threshold=threshold, least=least, drifted=drifted)


def shown_threshold(column: Column) -> float:
    """The threshold at which the unadjusted p-value of a column says what the verdict does."""
    if column.adjusted < column.threshold and not column.drifted:
        return 0.0  # significant, and too small a difference to matter
    return column.threshold * (column.p / column.adjusted if column.adjusted else 1.0)
