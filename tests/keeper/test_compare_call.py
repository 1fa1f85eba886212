"""A comparison goes through the keeper's socket whole: what is decoded is what was encoded."""

from __future__ import annotations

import json
import math

from nbledger.core.differences import (
    Cause,
    CodeChange,
    ColumnChange,
    Compared,
    Comparison,
    DataChange,
    Delta,
    OrderChange,
    PackageChange,
    Row,
    Series,
    TableChange,
)
from nbledger.core.literals import Literal
from nbledger.keeper import calls


def test_what_is_decoded_is_what_was_encoded() -> None:
    column = ColumnChange("x", "moved", "mean 1 → 2", 0.5, {"mean": (1.0, math.inf), "q50": (None, -math.inf)})
    found = Comparison(
        (Compared("a", "run", "1", "FINISHED", "e", "s", None, None, "c", dirty=True), Compared("now", "present")),
        params={"p": ("1", None)},
        metrics={"m": (1.0, math.inf), "n": (None, 2.0)},
        data=(
            DataChange(
                "a.csv", ("1", None), "replaced", "b.csv", (1, None), files=(Row("f", ("1", None), "removed"),),
                keys=(Row("k", (None, "2")),), table=TableChange((1, 2), key=("id",), columns=(column,), sampled=5),
            ),
        ),
        code=(CodeChange("cell", "w", "changed", "literals", literals=(Literal("x", "1", "2", "key", "f"),), ids=(None, "i"), diff=("+x",)),),
        environment=(PackageChange("p", ("1", None), "direct"),),
        seeds=(Row("seed", ("1", "2")),),
        order=(OrderChange("w", "e", matters=False),),
        causes=(Cause("data", "w", "e", 0.9),),
        hardware=(Row("h", ("1", None)),),
        deltas={"m": Delta(math.inf, None)},
        series={"m": (Series(2, 1.0, -math.inf, 2.0, (1.0, 2.0)), None)},
        equal=False,
        recorded=("p",),
        notes=("n",),
    )  # fmt: skip
    sent = json.loads(json.dumps(calls.encode(found), allow_nan=False))
    assert calls.decode("compare", sent) == found
    nan = calls.decode("compare", json.loads(json.dumps(calls.encode(Comparison((), metrics={"m": (math.nan, None)})))))
    assert math.isnan(nan.metrics["m"][0])
    assert nan.metrics["m"][1] is None
