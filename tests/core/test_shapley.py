"""Shares against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from nbledger.core.shapley import coalitions, shares


def worth(**values: float) -> dict[frozenset[str], float]:
    return {frozenset(key.replace("none", "").split("_")) - {""}: value for key, value in values.items()}


def test_two_factors_that_multiply() -> None:
    # 2 × 10 = 20; 2 × 30 = 60; 5 × 10 = 50; 5 × 30 = 150
    found = shares(["data", "scale"], worth(none=20, data=60, scale=50, data_scale=150))
    assert found == {"data": 70, "scale": 60}  # ½(40 + 100), ½(30 + 90)


def test_the_glove_game() -> None:
    # one left glove, two right ones; a pair is worth 1 (Osborne & Rubinstein, example 293.1)
    found = shares(["l", "r", "s"], worth(none=0, l=0, r=0, s=0, l_r=1, l_s=1, r_s=0, l_r_s=1))
    assert found == pytest.approx({"l": 2 / 3, "r": 1 / 6, "s": 1 / 6})


def test_a_factor_that_does_nothing_has_no_share_and_the_shares_add_up() -> None:
    values = {s: sum(3.0 * (i + 1) for i, f in enumerate("abc") if f in s) ** 2 for s in coalitions("abcd")}
    found = shares(list("abcd"), values)
    assert found["d"] == pytest.approx(0)
    assert sum(found.values()) == pytest.approx(values[frozenset("abcd")] - values[frozenset()])


def test_nan_is_told_not_hidden() -> None:
    assert math.isnan(shares(["a"], worth(none=math.nan, a=1))["a"])


def test_number_of_executions() -> None:
    assert len(list(coalitions("abcd"))) == 16
    assert list(coalitions([])) == [frozenset()]
