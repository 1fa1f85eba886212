"""The columns of two tables beside each other: what is tested of each, what it is called there, and what cannot be tested.

A column that is missing, new, of another type, empty or constant is a finding, never an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nbledger.core import drifttable
from nbledger.core.drift import (
    CATEGORICAL,
    DATETIME,
    EMPTY,
    FEATURE,
    IGNORE,
    LENGTH,
    NUMERIC,
    PREDICTION,
    TARGET,
    TEXT,
    Column,
    Finding,
)
from nbledger.core.wording import counted, percent

LEAST_ROWS = 5
"""Values on either side below which nothing is tested."""
_FEW_ROWS = 30
"""Rows below which only a great difference is seen."""
_RARE = 5.0
"""Cells of a table of categories in which fewer are expected are joined: there the chi-square test is not what it says."""
_UNREADABLE = 0.01
"""Share of cells that are no numbers from which a column of numbers is another one."""
_LABELS = frozenset({"target", "label", "labels", "class", "outcome", "y"})
REST = "(rare)"


class TooFew(ValueError):
    """There is nothing to be said of a table."""


@dataclass(frozen=True)
class Pair:
    """What is tested: ``column`` as far as it is known, and the values on both sides (none empty)."""

    column: Column
    reference: pd.Series
    data: pd.Series


def pairs(
    reference: pd.DataFrame,
    data: pd.DataFrame,
    kinds: Mapping[str, str],
    target: str | None = None,
    prediction: str | None = None,
    needed: Collection[str] | None = None,
) -> tuple[list[Pair], list[Finding]]:
    """Everything to be tested of two tables, and what is to be said besides. ``needed`` are the columns that the model takes,
    where it says so: others, but for the target and the prediction, are not tested.
    """
    found: list[Pair] = []
    findings: list[Finding] = []
    passed = 0
    for name in reference.columns:
        role = TARGET if name == target else PREDICTION if name == prediction else FEATURE
        if kinds.get(name) == IGNORE or (role == FEATURE and needed is not None and name not in needed):
            passed += name in data.columns and kinds.get(name) != IGNORE
            continue
        if name not in data.columns:
            if role == FEATURE and needed is None and name.lower() in _LABELS:
                text = f"{_q(name)} is missing: it is taken for the label (--target says what it is)"
                findings.append(Finding("missing", name, text))
            else:
                text = f"{_q(name)} is missing" + ("" if role == FEATURE else f" ({role})")
                findings.append(Finding("missing", name, text, role == FEATURE))
            continue
        made, said = _pair(name, role, reference[name], data[name], kinds.get(name))
        found += made
        findings += said
    if passed:
        text = f"{counted(passed, 'column')} that the model does not take: not compared"
        findings.append(Finding("untested", "", text))
    known = set(reference.columns)
    for name in data.columns:
        if name in (target, prediction) and name not in known:
            findings.append(Finding("untested", name, f"the reference has no {_q(name)}: it is not compared"))
        elif name not in known and kinds.get(name) != IGNORE:
            findings.append(Finding("new", name, f"{_q(name)} is new: the reference has no such column"))
    return found, findings


def enough(shown: str, rows: int) -> str:
    """What is to be said of a table of so few rows; empty where it has enough. ``TooFew`` where nothing can be said of it at all."""
    if rows < LEAST_ROWS:
        count = {0: "no rows", 1: "one row"}.get(rows, f"{rows} rows")
        raise TooFew(f"{shown} has {count}: that is too few to compare")
    return f"{shown} has only {rows} rows: so few show no drift but a great one" if rows < _FEW_ROWS else ""


def _q(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:79] + "…")


def _pair(name: str, role: str, a: pd.Series, b: pd.Series, told: str | None) -> tuple[list[Pair], list[Finding]]:
    kind = told or drifttable.kind_of(a, name)
    empty = (float(a.isna().mean()) if len(a) else 0.0, float(b.isna().mean()) if len(b) else 0.0)
    column = Column(name, kind, role, empty=empty)
    if kind == IGNORE:
        return [], [Finding("id", name, f"{_q(name)} names the rows: it is not compared")]
    findings: list[Finding] = []
    made = _emptiness(column, a, b)
    if kind == NUMERIC:
        (a, _), (b, unreadable) = drifttable.as_numbers(a), drifttable.as_numbers(b)
        a, b = (side.replace([np.inf, -np.inf], np.nan) for side in (a, b))
        if unreadable >= _UNREADABLE:
            said = f"{_q(name)} held numbers, and now {percent(unreadable)} of its cells hold something else"
            findings.append(Finding("retyped", name, said, decides=True))
    elif kind == DATETIME:
        old, new = drifttable.dates(a), drifttable.dates(b)
        if not new[0]:
            if b.notna().any():
                findings.append(Finding("retyped", name, f"{_q(name)} held dates, and holds none now", decides=True))
        elif old != new:
            said = f"{_q(name)}: dates {old[0]} … {old[1]}, now {new[0]} … {new[1]} (not tested: time goes on)"
            findings.append(Finding("dates", name, said))
        return made, findings
    else:
        a, b = drifttable.as_labels(a), drifttable.as_labels(b)
    left, right = a.dropna().reset_index(drop=True), b.dropna().reset_index(drop=True)
    if len(left) < LEAST_ROWS or len(right) < LEAST_ROWS:
        which = "the reference" if len(left) < LEAST_ROWS else "the new data"
        if len(left) or len(right):
            findings.append(Finding("untested", name, f"{_q(name)}: too few values in {which} to compare"))
        return made, findings
    if kind == NUMERIC:
        made.append(_numbers(column, left, right))
    elif kind == TEXT:
        made.append(_numbers(replace(column, of=LENGTH), left.map(len).astype(float), right.map(len).astype(float)))
    else:
        unseen = _unseen(name, left, right)
        findings += [unseen] if unseen else []
        if (pair := _categories(column, left, right)) is not None:
            made.append(pair)
    return made, findings


def _emptiness(column: Column, a: pd.Series, b: pd.Series) -> list[Pair]:
    """The empty cells of a column as a column of two categories, if there are any."""
    sides = [side.isna().map({True: "empty", False: "not empty"}).astype(object) for side in (a, b)]
    if not any((side == "empty").any() for side in sides) or min(map(len, sides)) < LEAST_ROWS:
        return []
    shares = [float((side == "empty").mean()) for side in sides]
    words = f"empty cells {percent(shares[0])} → {percent(shares[1])}"
    made = replace(column, of=EMPTY, distance=abs(shares[0] - shares[1]), words=words)
    return [Pair(made, sides[0], sides[1])] if shares[0] != shares[1] else []


def _numbers(column: Column, a: pd.Series, b: pd.Series) -> Pair:
    x, y = np.sort(a.to_numpy(dtype=float)), np.sort(b.to_numpy(dtype=float))
    every = np.concatenate((x, y))
    below = [np.searchsorted(side, every, side="right") / len(side) for side in (x, y)]
    distance = float(np.abs(below[0] - below[1]).max())
    shown = [
        f"{label} {one:.4g} → {two:.4g}"
        for label, one, two in (
            ("mean", x.mean(), y.mean()),
            ("sd", x.std(), y.std()),
            ("median", float(np.median(x)), float(np.median(y))),
        )
        if f"{one:.4g}" != f"{two:.4g}"
    ]
    beyond = float(((y < x[0]) | (y > x[-1])).mean())
    shown += [f"{percent(beyond)} outside of the reference's range"] if beyond >= 0.01 else []
    words = ("length: " if column.of == LENGTH else "") + ", ".join(shown)
    return Pair(replace(column, distance=distance, words=words if shown else ""), a, b)


def _categories(column: Column, a: pd.Series, b: pd.Series) -> Pair | None:
    """The labels, rare ones joined; None where there is but one left."""
    counts = [side.value_counts() for side in (a, b)]
    names = counts[0].index.union(counts[1].index)
    table = np.array([[int(count.get(name, 0)) for name in names] for count in counts], dtype=float)
    expected = table.sum(axis=0) * (table.sum(axis=1, keepdims=True) / table.sum())
    rare = {name for name, least in zip(names, expected.min(axis=0), strict=True) if least < _RARE}
    rare = rare if len(rare) > 1 else set()
    joined = [side.where(~side.isin(rare), REST).astype(object) if rare else side for side in (a, b)]
    shares = [side.value_counts(normalize=True) for side in joined]
    labels = shares[0].index.union(shares[1].index)
    if len(labels) < 2:
        return None
    moved = shares[1].reindex(labels, fill_value=0.0) - shares[0].reindex(labels, fill_value=0.0)
    most = moved.abs().sort_values(ascending=False, kind="stable").index[:3]
    words = ", ".join(
        f"{str(label)[:40]} {percent(float(shares[0].get(label, 0.0)))} → {percent(float(shares[1].get(label, 0.0)))}"
        for label in most
        if abs(float(moved[label])) >= 0.001
    )
    return Pair(replace(column, kind=CATEGORICAL, distance=float(moved.abs().sum() / 2), words=words), *joined)


def _unseen(name: str, a: pd.Series, b: pd.Series) -> Finding | None:
    """Labels that the model has never seen."""
    new = b[~b.isin(set(a))]
    if new.empty:
        return None
    listed = [str(label)[:40] for label in new.value_counts().index[:3]]
    more = f" and {new.nunique() - 3} more" if new.nunique() > 3 else ""
    said = f"{_q(name)} has values that the reference has not: {', '.join(map(repr, listed))}{more}"
    return Finding("values", name, f"{said} ({percent(len(new) / len(b))} of the rows)")


def with_predictions(
    frames: Sequence[pd.DataFrame], predictions: Sequence[pd.Series] | None
) -> tuple[list[pd.DataFrame], str | None]:
    """Both tables with what the model predicts for their rows as one more column, and that column's name."""
    if predictions is None:
        return list(frames), None
    name = "prediction"
    while any(name in frame.columns for frame in frames):
        name += "_"
    sides = [frame.assign(**{name: made.to_numpy()}) for frame, made in zip(frames, predictions, strict=True)]
    return sides, name
