"""The condition on performance: which figures it may name, and whether it holds, does not hold, or cannot be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nbledger.core import gate_language
from nbledger.core.drift import FIGURES
from nbledger.core.errors import UsageError, nearest
from nbledger.core.gate_language import CHAMPION, RUN, Clause, Condition

Figures = Mapping[str, tuple[float | None, float | None]]
"""{figure: (on the reference, on the new data)}"""


@dataclass(frozen=True)
class Held:
    """``reasons`` for which the condition does not hold, ``unknown``: why that cannot be told; it holds where both are empty."""

    reasons: tuple[str, ...] = ()
    unknown: str = ""
    clauses: tuple[Clause, ...] = ()


def parsed(text: str) -> Condition | None:
    """The condition. ``UsageError`` where it names a figure that is never computed: by a slip of the pen no data have drifted."""
    if not text:
        return None
    condition = gate_language.parse(text)
    for whose, name in condition.metrics:
        if whose == RUN and name not in FIGURES:
            hint = nearest(name, FIGURES) or ", ".join(FIGURES)
            raise UsageError(f"the condition on performance names {name[:80]!r}, which is not computed", hint)
        if whose not in (RUN, CHAMPION):
            raise UsageError(f"the condition on performance names {whose}.{name[:80]}", "champion. is the model's run")
    return condition


def require(condition: Condition | None, metrics: Mapping[str, float | None]) -> None:
    """``UsageError`` where the condition names a metric that the model's run does not have."""
    for name in condition.names(CHAMPION) if condition is not None else ():
        if name not in metrics:
            hint = nearest(name, metrics) or f"it has: {', '.join(sorted(metrics)[:10])}" if metrics else "it has none"
            raise UsageError(f"the condition on performance names a metric {name[:80]!r} of the model's run", hint)


def held(condition: Condition, found: Figures, metrics: Mapping[str, float | None], why: str) -> Held:
    """What the condition comes to with the figures on the new data; ``why`` there are none."""
    unknown = f"whether {condition.text} holds is not known"
    if not found:
        return Held(unknown=f"{unknown}: {why}")
    known: dict[str, Mapping[str, float | None]] = {
        RUN: {key: pair[1] for key, pair in found.items()},
        CHAMPION: metrics,
    }
    values: dict[gate_language.Metric, float] = {}
    for whose, name in condition.metrics:
        value = known[whose].get(name)
        if value is None or not math.isfinite(value):
            label = name if whose == RUN else f"{whose}.{name}"
            said = f"{label} is no number" if name in known[whose] else f"of these data {', '.join(found)} are computed"
            return Held(unknown=f"{unknown}: {said}")
        values[whose, name] = value
    try:
        holds, clauses = gate_language.judge(condition, values)
    except gate_language.Undefined as err:
        return Held(unknown=f"{unknown}: {err}")
    failed = [f"{c.text}: {' against '.join(f'{v:.6g}' for v in c.values)}" for c in clauses if not c.holds]
    reasons = () if holds else tuple(failed) or ("the condition on performance does not hold",)
    return Held(reasons, clauses=tuple(clauses))
