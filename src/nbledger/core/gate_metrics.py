"""Which metrics a name in a condition means, and their value: one metric, or the least, greatest or number of several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from nbledger.core.gate_language import RUN, Metric


def shown(metric: Metric) -> str:
    """A metric as a condition names it, without quotes."""
    over, several, pattern = metric[1].partition("\n")
    name = f'{over}("{pattern}")' if several else over
    return name if metric[0] == RUN else f"{metric[0]}.{name}"


def covered(name: str, known: Iterable[str]) -> list[str]:
    """Which of the ``known`` metrics a name of ``Condition.names`` means: itself, or all that its pattern fits."""
    over, several, pattern = name.partition("\n")
    if not several:
        return [over]
    parts = pattern.split("*")
    return [one for one in known if one.startswith(parts[0]) and _fits(one, parts)]


def over(name: str, known: Mapping[str, float]) -> float | None:
    """The value of a name of ``Condition.names``; None where there is no metric for it. One that is NaN makes all NaN."""
    word, several, _ = name.partition("\n")
    if not several:
        return known.get(name)
    found = [known[one] for one in covered(name, known)]
    if not found:
        return None
    if any(math.isnan(value) for value in found):
        return math.nan
    return {"min": min(found), "max": max(found), "count": float(len(found))}[word]


def _fits(name: str, parts: Sequence[str]) -> bool:
    """Whether a name is made of these parts in their order, with anything between them; looked through once."""
    first, *rest = parts
    if not rest:
        return name == first
    if not name.startswith(first) or len(name) < len(first) + len(rest[-1]) or not name.endswith(rest[-1]):
        return False
    place, end = len(first), len(name) - len(rest[-1])
    for part in rest[:-1]:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
