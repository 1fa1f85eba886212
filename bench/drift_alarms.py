"""How often ``drift`` cries wolf, and how often it is silent where it should not be.

    python bench/drift_alarms.py [--resamples 50] [--json]

Two tables (the wines of the example, and a made-up one of numbers, categories and empty cells) are parted by chance again and
again into what a model was trained on and what arrives later: nothing has drifted, so every verdict of drift is a false alarm.
Then one column of what arrives is moved by one standard deviation, or one category in five becomes another. Beside it stands
what Evidently says by itself of any column (its own choice of tests, no control of how many there are). Whatever of all this
tries to reach the network is counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nbledger.core import drift, driftcolumns, driftlib

WINES = Path(__file__).resolve().parents[1] / "examples" / "pipeline" / "data" / "wine.csv"
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
reached: list[str] = []


def watch() -> None:
    """Count what would reach the network, before it is refused."""
    sys.addaudithook(lambda event, args: reached.append(f"{event} {args[1:]}") if event in _NETWORK else None)
    driftlib.alone()


def made(rows: int = 2_000) -> pd.DataFrame:
    """Numbers of several shapes, categories of several sizes, and cells that are empty."""
    draw = np.random.default_rng(7)
    columns: dict[str, Any] = {f"normal{i}": draw.normal(i, 1 + i, rows) for i in range(5)}
    columns |= {f"skewed{i}": draw.lognormal(0, 0.5 + i / 4, rows) for i in range(3)}
    columns |= {f"count{i}": draw.poisson(2 + 10 * i, rows) for i in range(2)}
    columns["two"] = draw.choice(["yes", "no"], rows, p=[0.3, 0.7])
    columns["five"] = draw.choice(list("abcde"), rows, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    columns["many"] = draw.choice([f"c{i}" for i in range(40)], rows)
    columns["holes"] = np.where(draw.random(rows) < 0.1, np.nan, draw.normal(size=rows))
    return pd.DataFrame(columns)


def parted(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    order = np.random.default_rng(seed).permutation(len(table))
    half = len(table) * 3 // 5
    return table.iloc[order[:half]].reset_index(drop=True), table.iloc[order[half:]].reset_index(drop=True)


def moved(table: pd.DataFrame, column: str, seed: int) -> pd.DataFrame:
    if table[column].dtype.kind in "fi":
        return table.assign(**{column: table[column] + table[column].std()})
    draw = np.random.default_rng(seed)
    return table.assign(**{column: table[column].where(draw.random(len(table)) > 0.2, table[column].mode()[0])})


def said(reference: pd.DataFrame, data: pd.DataFrame) -> drift.Verdict:
    """The verdict of ``drift``, as its own process comes to it."""
    pairs, findings = driftcolumns.pairs(reference, data, {})
    values = driftlib.p_values(pairs)
    measured = [dataclasses.replace(pair.column, p=p) for pair, p in zip(pairs, values, strict=True)]
    return drift.judge(measured, findings, drift.Limits())


def evidently_says(reference: pd.DataFrame, data: pd.DataFrame) -> bool:
    """Whether Evidently, left to itself, finds drift in any column."""
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    for pair in driftcolumns.pairs(reference, data, {})[0]:
        labels = pair.column.kind == drift.CATEGORICAL or pair.column.of == drift.EMPTY
        kind = ColumnType.Categorical if labels else ColumnType.Numerical
        test = get_stattest(pair.reference, pair.data, kind, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if test(pair.reference, pair.data, kind, None).drifted:
                return True
    return False


def measure(table: pd.DataFrame, columns: list[str], resamples: int) -> dict[str, float]:
    """Rates over so many partings."""
    halves = [parted(table, seed) for seed in range(resamples)]
    found = {"false alarms": sum(said(*pair).drifted for pair in halves) / resamples}
    found["Evidently by itself"] = sum(evidently_says(*pair) for pair in halves) / resamples
    for column in columns:
        shifted = [(a, moved(b, column, seed)) for seed, (a, b) in enumerate(halves)]
        found[f"found: {column}"] = sum(said(*pair).drifted for pair in shifted) / resamples
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--resamples", type=int, default=50)
    words.add_argument("--json", action="store_true")
    asked = words.parse_args()
    watch()
    tables = {
        "wine": (pd.read_csv(WINES), ["alcohol", "proline"]),
        "made": (made(), ["normal3", "skewed0", "two", "five"]),
    }
    found = {name: measure(table, columns, asked.resamples) for name, (table, columns) in tables.items()}
    if asked.json:
        print(json.dumps({"resamples": asked.resamples, "network": reached, **found}))
        return
    print(f"{asked.resamples} resamples; attempts to reach the network: {len(reached)}")
    for name, rates in found.items():
        for label, rate in rates.items():
            print(f"{name:<6} {label:<24} {100 * rate:5.1f} %")


if __name__ == "__main__":
    os.environ["DO_NOT_TRACK"] = "1"
    main()
