"""Names, parameters and metrics in the form that MLflow takes, checked by MLflow itself."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.utils import validation

from nbledger.core import values
from nbledger.core.values import NotNumeric, encode, flatten, legal_key, number, param_text

HOSTILE = ["", ".", "..", "/", "//", "a//b", "/a", "a/", "a/../b", "../a", "./a", "a/.", "é", "a b", "a\nb", "a:b", "a=b",
           "📈", "\0", "x" * 300, "é" * 300, "a\\b", "a.b-c_d/e", "...", " ", "%", "a..b", "..a", "a/..", "\ud800"]  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
def test_every_name_becomes_one_that_mlflow_takes(key: str) -> None:
    legal = legal_key(key)
    validation._validate_metric_name(legal)
    validation._validate_param_name(legal)
    validation._validate_tag_name(legal)
    assert legal_key(legal) == legal


@pytest.mark.parametrize("key", ["loss", "val/loss", "a b", "a.b-c_d/e", "a:b", "é", "x" * 250])
def test_a_legal_name_stays(key: str) -> None:
    assert legal_key(key) == key


def test_two_names_never_become_one() -> None:
    taken: set[str] = set()
    for key in [*HOSTILE, *(f"a{c}b" for c in "?*%&$"), *("x" * 300 + str(n) for n in range(30))]:
        legal = legal_key(key, taken)
        assert legal not in taken and len(legal) <= values.MAX_KEY
        validation._validate_metric_name(legal)
        taken.add(legal)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (3, "3"),
        (0.1, "0.1"),
        (True, "True"),
        (None, "None"),
        ([1, "a"], "[1, 'a']"),
        (np.float64(0.1), "0.1"),
        (np.int32(7), "7"),
        (np.bool_(True), "True"),
        (np.str_("s"), "s"),
        (np.array(2.5), "2.5"),
        (float("nan"), "nan"),
    ],
)
def test_parameters(value: Any, text: str) -> None:
    assert param_text(value) == text


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (math.inf, math.inf),
    ],
)
def test_numbers(value: Any, wanted: float) -> None:
    assert number(value) == wanted


@pytest.mark.parametrize("value", ["1.5", b"1", bytearray(b"1"), None, object(), {}, [], 1j])
def test_no_numbers(value: Any) -> None:
    with pytest.raises(NotNumeric):
        number(value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.5, [("m", 0.5, 0)]),
        (np.float64(0.5), [("m", 0.5, 0)]),
        ({"a": 1, "b": {"c": 2}}, [("m.a", 1.0, 0), ("m.b.c", 2.0, 0)]),
        ([1, 2, 3], [("m", 1.0, 0), ("m", 2.0, 1), ("m", 3.0, 2)]),
        (np.array([1, 2]), [("m", 1.0, 0), ("m", 2.0, 1)]),
        (np.array([[1, 2], [3, 4]]), [("m.0", 1.0, 0), ("m.0", 2.0, 1), ("m.1", 3.0, 0), ("m.1", 4.0, 1)]),
        (pd.Series({"x": 1.0, "y": 2.0}), [("m.x", 1.0, 0), ("m.y", 2.0, 0)]),
        ([], []),
        ({1: 2}, [("m.1", 2.0, 0)]),
    ],
)
def test_flatten(value: Any, wanted: list[tuple[str, float, int]]) -> None:
    assert list(flatten("m", value)) == wanted


def test_flatten_says_what_is_no_number() -> None:
    with pytest.raises(NotNumeric):
        list(flatten("m", {"a": 1, "b": "text"}))


def test_encode_is_strict_json_and_comes_back() -> None:
    import json

    for value in (0.1, math.nan, math.inf, -math.inf, 1e308, 5e-324):
        back = float(json.loads(json.dumps(encode(value), allow_nan=False)))
        assert back == value or (math.isnan(back) and math.isnan(value))
