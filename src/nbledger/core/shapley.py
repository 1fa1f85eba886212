"""How much of a difference each of a few factors explains: exact Shapley values (Shapley 1953, "A value for n-person games").

A factor's share is what it changes when it is switched from A to B, averaged over every order in which the factors can
be switched. The shares add up to the whole difference, and two factors that only work together divide it equally.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

Coalition = frozenset[str]


def coalitions(factors: Sequence[str]) -> Iterator[Coalition]:
    """All 2ⁿ sets of factors, small ones first: what must be known before the shares can be."""
    for size in range(len(factors) + 1):
        yield from map(frozenset, combinations(factors, size))


def shares(factors: Sequence[str], worth: Mapping[Coalition, float]) -> dict[str, float]:
    """Each factor's share of ``worth[all] - worth[none]``; ``worth`` holds the metric for every coalition.

    NaN where a value that the share depends on is NaN.
    """
    count = len(factors)
    found = {}
    for factor in factors:
        others = [f for f in factors if f != factor]
        found[factor] = sum(
            math.factorial(len(s)) * math.factorial(count - len(s) - 1) / math.factorial(count)
            * (worth[s | {factor}] - worth[s])
            for s in coalitions(others)
        )  # fmt: skip
    return found
