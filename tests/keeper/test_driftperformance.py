"""A condition on performance holds, does not, or cannot be told; a slip of the pen in it is neither."""

from __future__ import annotations

import math

import pytest

from nbledger.core.errors import UsageError
from nbledger.keeper import driftperformance

CLASSES = {"accuracy": (0.95, 0.8), "f1": (0.9, 0.7)}


@pytest.mark.parametrize(
    ("text", "reasons", "unknown"),
    [
        ("accuracy >= 0.8", (), ""),
        ("accuracy >= champion.accuracy", ("accuracy >= champion.accuracy: 0.8 against 0.9",), ""),
        ("not accuracy >= 0.8", ("the condition on performance does not hold",), ""),
        ("accuracy >= 0.8 or rmse < 3", (), "of these data accuracy, f1 are computed"),
        ("accuracy >= champion.loss", (), "champion.loss is no number"),
        ("accuracy / 0 > 1", (), "divides by zero"),
    ],
)
def test_what_a_condition_comes_to(text: str, reasons: tuple[str, ...], unknown: str) -> None:
    condition = driftperformance.parsed(text)
    assert condition is not None
    found = driftperformance.held(condition, CLASSES, {"accuracy": 0.9, "loss": math.nan}, "")
    assert found.reasons == reasons
    assert bool(found.unknown) == bool(unknown)
    assert unknown in found.unknown
    without = driftperformance.held(condition, {}, {}, "the new data have no column 'label'")
    assert without.unknown == f"whether {text} holds is not known: the new data have no column 'label'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acuracy >= 0.9", "names 'acuracy', which is not computed — did you mean accuracy"),
        ("accuracy >= champion.acc", "names a metric 'acc' of the model's run — it has: accuracy, loss"),
        ("accuracy >= champion.acuracy", "did you mean accuracy"),
        ("accuracy >= baseline.accuracy", "names baseline.accuracy"),
        ('accuracy >= max("accuracy/*")', "is not computed"),
    ],
)
def test_what_a_condition_names_must_be_there(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        driftperformance.require(driftperformance.parsed(text), {"accuracy": 0.9, "loss": 0.1})
    assert said in str(refused.value)
