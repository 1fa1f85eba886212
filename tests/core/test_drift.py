"""What is measured of two tables, and what is made of it; Evidently is not needed for any of this."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from nbledger.core import drift, driftcolumns, driftjob, driftlib, driftpage, drifttable
from nbledger.core.drift import Column, Finding, Limits
from nbledger.core.driftjob import Files
from nbledger.core.driftrecord import Drift, Side
from nbledger.core.errors import UsageError

ROWS = 300


def table(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": np.arange(rows) + 1000 * seed,
            "x": draw.normal(size=rows),
            "rating": draw.integers(1, 6, rows),
            "colour": draw.choice(["red", "blue", "green"], rows),
            "said": [f"words {n} of {draw.integers(10**6)}" for n in range(rows)],
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="h"),
            "ok": draw.choice([True, False], rows),
        }
    )


def measured(a: pd.DataFrame, b: pd.DataFrame, **words: Any) -> tuple[dict[tuple[str, str], Column], list[Finding]]:
    pairs, findings = driftcolumns.pairs(a, b, words.pop("kinds", {}), **words)
    return {(pair.column.name, pair.column.of): pair.column for pair in pairs}, findings


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────


def test_holm_steps_down() -> None:
    """As statsmodels' ``multipletests(…, method="holm")``, which takes seconds to import."""
    assert drift.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert drift.holm([0.01, 0.01, 0.9]) == pytest.approx([0.03, 0.03, 0.9])
    assert drift.holm([]) == []
    draw = np.random.default_rng(0)
    for values in (draw.random(n) ** 3 for n in range(1, 30)):
        found = drift.holm(list(values))
        order = np.argsort(values)
        assert all(a <= b for a, b in zip(values, found, strict=True))
        assert (np.diff(np.array(found)[order]) >= 0).all()
        # what is rejected at a level is what stepping down by hand rejects
        for level in (0.01, 0.05, 0.3):
            by_hand = 0
            while by_hand < len(values) and values[order[by_hand]] < level / (len(values) - by_hand):
                by_hand += 1
            assert sum(value < level for value in found) == by_hand


def test_a_p_value_that_is_no_number_is_no_drift() -> None:
    assert drift.holm([math.nan, 0.01]) == [1.0, 0.02]


def test_a_difference_must_be_certain_and_matter() -> None:
    columns = [
        Column("far", drift.NUMERIC, p=1e-9, distance=0.4),
        Column("near", drift.NUMERIC, p=1e-9, distance=0.01),  # of a million rows
        Column("chance", drift.NUMERIC, p=0.03, distance=0.4),  # one of many tests
        *(Column(f"c{n}", drift.NUMERIC, p=0.5, distance=0.02) for n in range(5)),
    ]
    found = drift.judge(columns, [], Limits())
    assert [c.name for c in found.columns if c.drifted] == ["far"]
    assert (found.drifted, found.share) == (True, 1 / 8)
    assert found.reasons == ("1 of 8 columns drifted: far",)
    assert not drift.judge(columns, [], Limits(share=0.5)).drifted
    assert not drift.judge(columns, [], Limits(threshold={"far": 0.0})).drifted
    assert drift.judge(columns, [], Limits(distance={"*": 0.0})).reasons == ("2 of 8 columns drifted: far, near",)
    for column in found.columns:  # Evidently's page is told a threshold that gives the same verdict
        assert (column.p < drift.shown_threshold(column)) == column.drifted


def test_predictions_and_what_is_missing_decide_by_themselves() -> None:
    moved = Column("prediction", drift.NUMERIC, drift.PREDICTION, p=1e-9, distance=0.4)
    still = Column("x", drift.NUMERIC, p=0.9)
    found = drift.judge([still, moved], [], Limits(share=1.0))
    assert found.reasons == ("what the model predicts has drifted",)
    gone = Finding("missing", "y", "'y' is missing", decides=True)
    assert drift.judge([still], [gone], Limits()).reasons == ("'y' is missing",)
    assert drift.judge([still], [Finding("new", "z", "'z' is new")], Limits()).reasons == ()
    assert not drift.judge([], [], Limits()).drifted


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"treshold": 0.1}, "threshold"),
        ({"threshold": 2}, "threshold of '*' is no number from 0 to 1"),
        ({"threshold": {"alcohol": "low"}}, "threshold of 'alcohol'"),
        ({"share": True}, "share is no number"),
        ({"kinds": {"zip": "number"}}, "kinds is no table"),
        ({"performance": 0.9}, "performance is no condition"),
        ({"rows": 0}, "rows is no number"),
    ],
)
def test_settings_that_are_wrong_are_named(written: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        drift.limits(written)
    assert said in str(refused.value)


def test_thresholds_are_for_all_columns_or_for_one() -> None:
    found = drift.limits({"threshold": {"*": 0.1, "alcohol": 0.01}, "distance": 0.2})
    assert (found.threshold_of("alcohol"), found.threshold_of("hue"), found.distance_of("hue")) == (0.01, 0.1, 0.2)
    assert drift.limits({}).threshold_of("x") == 0.05


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_columns_hold_is_seen_from_the_training_data() -> None:
    found, findings = measured(table(0), table(1))
    assert {key: column.kind for key, column in found.items()} == {
        ("x", "values"): "numeric",
        ("rating", "values"): "categorical",
        ("colour", "values"): "categorical",
        ("said", "length"): "text",
        ("ok", "values"): "categorical",
    }
    assert {finding.kind for finding in findings} == {"id"}  # the dates are the same
    assert not any(finding.decides for finding in findings)


def test_missing_new_retyped_and_empty_columns_are_findings() -> None:
    old, new = table(0), table(1)
    new = new.drop(columns="rating").assign(
        extra=1,
        x=new.x.astype(object).where(new.index > 30, "n/a"),
        colour=new.colour.where(new.index > 60, None).where(new.index < 250, "violet"),
        when=new.when + pd.Timedelta(days=400),
    )
    found, findings = measured(old, new)
    said = {(finding.kind, finding.column): finding for finding in findings}
    assert said["missing", "rating"].decides
    assert said["retyped", "x"].decides
    assert "10.3 % of its cells" in said["retyped", "x"].text
    assert not said["new", "extra"].decides
    assert "'violet'" in said["values", "colour"].text
    assert "2027-02" in said["dates", "when"].text
    assert found["colour", "empty"].distance == pytest.approx(61 / ROWS)
    assert found["x", "values"].distance < 0.2  # the numbers that are left are compared
    # neither a label that arrives late nor what the model does not take is a reason
    late = old.rename(columns={"ok": "label"})
    assert not any(f.decides for f in measured(late, old.drop(columns="ok"))[1])
    assert not any(f.decides for f in measured(old, old.drop(columns="ok"), target="ok")[1])
    found, findings = measured(old, old.drop(columns="ok"), needed=["x", "colour"])
    assert {name for name, _ in found} == {"x", "colour"}
    late = old.assign(guess=old.ok)
    (said_of,) = [f for f in measured(old, late, target="ok", prediction="guess")[1] if f.column == "guess"]
    assert said_of.text == "the reference has no 'guess': it is not compared"
    found, findings = measured(old, old.drop(columns="ok"), needed=["x", "colour"])
    assert findings[0].text == "4 columns that the model does not take: not compared"


def test_nothing_of_a_table_makes_it_fail() -> None:
    old = pd.DataFrame({"none": [None] * 20, "same": [1.5] * 20, "inf": [np.inf, 1.0] * 10, "mixed": [1, "a"] * 10})
    new = pd.DataFrame({"none": [1.0] * 20, "same": ["x"] * 20, "inf": [2.0] * 20, "mixed": [None] * 20})
    for a, b in ((old, new), (new, old), (old, old.iloc[:0]), (old.iloc[:0], old), (old.iloc[:1], new.iloc[:1])):
        found, _ = measured(a, b)
        assert all(0 <= column.distance <= 1 for column in found.values())


def test_rare_labels_are_joined() -> None:
    draw = np.random.default_rng(3)
    old, new = (pd.DataFrame({"zip": draw.choice([f"z{n}" for n in range(45)], 200)}) for _ in range(2))
    (pair,), _ = driftcolumns.pairs(old, new, {"zip": "categorical"})
    counts = pair.reference.value_counts()
    assert counts.drop(driftcolumns.REST, errors="ignore").min() >= 3
    assert driftcolumns.REST in counts.index


def test_labels_are_the_same_however_they_are_written() -> None:
    sides = [pd.Series(side) for side in ([1, 0, 1], [1.0, 0.0, None], [True, False, True], ["1", "0", "true"])]
    assert [drifttable.as_labels(side).tolist()[:2] for side in sides] == [["1", "0"]] * 4


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".jsonl", ".feather"])
def test_tables_of_every_kind_are_read(tmp_path: Path, suffix: str) -> None:
    path = write(table(0), tmp_path / f"t{suffix}")
    found = drifttable.read([path], [path.name], 1000)
    assert (found.rows, list(found.frame.columns)) == (ROWS, list(table(0).columns))
    assert drifttable.columns(path, path.name) == list(table(0).columns)
    assert {column: drifttable.kind_of(found.frame[column], column) for column in found.frame.columns} == {
        "id": "ignore",
        "x": "numeric",
        "rating": "categorical",
        "colour": "categorical",
        "said": "text",
        "when": "datetime",
        "ok": "categorical",
    }


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso")
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def test_large_tables_are_sampled_alike_at_every_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drifttable, "_CHUNK", 70)
    paths = [write(table(seed), tmp_path / f"{seed}.csv") for seed in (0, 1)]
    one, two = (drifttable.read(paths, [path.name for path in paths], 50) for _ in range(2))
    assert (one.rows, len(one.frame), one.sampled) == (2 * ROWS, 50, True)
    assert one.frame.equals(two.frame)
    assert {row // 1000 for row in one.frame["id"]} == {0, 1}  # of the whole, not of its beginning


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"{", b"PAR1"])
def test_what_is_no_table_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    for name in ("a.parquet", "a.jsonl", "a.feather", "a.csv.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(drifttable.NoTable):
            drifttable.read([tmp_path / name], [name], 100)
    with pytest.raises(drifttable.NoTable, match="no table by its name"):
        drifttable.read([tmp_path / "a.txt"], ["a.txt"], 100)


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J`&\\"


def test_names_in_pages_are_text() -> None:
    shown = driftlib.harmless(HOSTILE)
    assert not set("<>&\\`\x1b") & set(shown)
    assert driftlib.harmless("") == "·"
    column = Column(HOSTILE, drift.NUMERIC, p=0.0, distance=0.5, drifted=True, words=HOSTILE)
    found = Drift(
        True, HOSTILE, HOSTILE, "1", "r", Side(HOSTILE), Side(HOSTILE), HOSTILE, (HOSTILE,), (column,),
        (Finding("new", HOSTILE, HOSTILE),), notes=(HOSTILE,), performance={HOSTILE: (None, 1.0)},
    )  # fmt: skip
    page = driftpage.page(found, HOSTILE)
    assert "<img" not in page
    assert "<script" not in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http-equiv", "")  # it fetches nothing


@pytest.mark.parametrize(("rows", "said"), [(0, "has no rows"), (1, "has one row"), (4, "has 4 rows")])
def test_too_few_rows_are_no_verdict(tmp_path: Path, rows: int, said: str) -> None:
    """Neither drift nor none: an error, before anything is tested."""
    for name, frame in (("old.csv", table()), ("new.csv", table(1, rows))):
        frame.to_csv(tmp_path / name, index=False)
    with pytest.raises(driftcolumns.TooFew, match=f"new.csv {said}"):
        driftlib.compare(driftjob.Job(tmp_path, *(Files((tmp_path / n,), (n,)) for n in ("old.csv", "new.csv"))))


def test_few_rows_are_said_and_columns_that_cannot_be_compared_are_no_verdict(tmp_path: Path) -> None:
    assert driftcolumns.enough("a.csv", 30) == ""
    assert "only 29 rows" in driftcolumns.enough("a.csv", 29)
    pd.DataFrame({"x": [1.0] * 9}).to_csv(tmp_path / "old.csv", index=False)
    pd.DataFrame({"x": [None] * 9}).to_csv(tmp_path / "new.csv", index=False)
    job = driftjob.Job(
        tmp_path, *(Files((tmp_path / n,), (n,)) for n in ("old.csv", "new.csv")), Limits(kinds={"x": "ignore"})
    )
    with pytest.raises(driftcolumns.TooFew, match=r"no column of new.csv can be compared"):
        driftlib.compare(job)
    # that as many cells are empty as before says nothing of those that are not
    pd.DataFrame({"x": [float(n) for n in range(4)] + [None] * 6}).to_csv(tmp_path / "new.csv", index=False)
    pd.DataFrame({"x": [float(n) for n in range(5)] + [None] * 6}).to_csv(tmp_path / "old.csv", index=False)
    with pytest.raises(UsageError, match=r"the values of no column of new.csv can be compared: 'x': too few values"):
        driftjob.compare(dataclasses.replace(job, limits=Limits()))


# ── performance ──────────────────────────────────────────────────────────────────────────────────────────


def predicted(classes: int) -> list[pd.DataFrame]:
    """Labels of real data and what a model predicts of them: of its training data, and of rows that it has not seen."""
    data = (load_wine if classes == 3 else load_breast_cancer)(as_frame=True)
    x, y = data.data.iloc[:, :2], data.target
    old, new, old_y, new_y = train_test_split(x, y, random_state=0, stratify=y)
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(old, old_y)
    return [
        pd.DataFrame({"label": np.array(truth), "guess": model.predict(table)})
        for table, truth in ((old, old_y), (new, new_y))
    ]


def f1_of(place: Path, frames: list[pd.DataFrame]) -> list[float | None]:
    """As ``nbledger drift`` computes it of these tables, read from CSV."""
    read = []
    for number, frame in enumerate(frames):
        frame.to_csv(place / f"{number}.csv", index=False)
        read.append(drifttable.read((place / f"{number}.csv",), (f"{number}.csv",), 10_000).frame)
    figures, why = driftlib.figures(read, "label", "guess")
    assert why == ""
    pair: list[float | None] = figures["f1"]
    return pair


@pytest.mark.parametrize(
    "written",
    [
        {0: 0, 1: 1},
        {0: 0.0, 1: 1.0},
        {0: False, 1: True},
        {0: "false", 1: "true"},
        {0: "TRUE", 1: "FALSE"},
    ],
    ids=str,
)
def test_f1_of_zero_and_one_is_that_of_sklearn(tmp_path: Path, written: dict[int, Any]) -> None:
    """Also where an empty cell makes something else of the column, and where the new data have one class only."""
    frames = predicted(2)
    sides = [{name: column.map(written) for name, column in frame.items()} for frame in frames]
    if written[0] == "TRUE":  # the other way round: the class 1 is still the one that is true
        frames = [1 - frame for frame in frames]
    expected = [f1_score(frame["label"], frame["guess"]) for frame in frames]
    assert abs(expected[1] - f1_score(frames[1]["label"], frames[1]["guess"], average="macro")) > 0.01
    told = [pd.DataFrame(side) for side in sides]
    assert f1_of(tmp_path, told) == pytest.approx(expected)
    gap = pd.DataFrame({"label": [None], "guess": told[1]["guess"][:1]})
    mixed = pd.concat([told[1].astype(object), gap], ignore_index=True)
    assert f1_of(tmp_path, [told[0], mixed]) == pytest.approx(expected)
    no_positive = [frames[0], frames[1][frames[1]["label"] == 0].assign(guess=0)]
    assert f1_of(tmp_path, no_positive) == pytest.approx([expected[0], 0.0])


def test_zero_and_one_as_texts_that_nobody_made_numbers(tmp_path: Path) -> None:
    frames = predicted(2)
    expected = [f1_score(frame["label"], frame["guess"]) for frame in frames]
    texts = [frame.assign(label=frame["label"].map({0: "0.0", 1: "1.0"})) for frame in frames]
    figures, _ = driftlib.figures(texts, "label", "guess")
    assert figures["f1"] == pytest.approx(expected)
    accuracy = [accuracy_score(frame["label"], frame["guess"]) for frame in frames]
    assert figures["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("classes", "written"),
    [(3, {0: 0, 1: 1, 2: 2}), (2, {0: "no", 1: "yes"}), (2, {0: 1, 1: 2}), (2, {0: -1, 1: 1})],
    ids=str,
)
def test_f1_of_other_classes_is_macro(tmp_path: Path, classes: int, written: dict[int, Any]) -> None:
    frames = predicted(classes)
    expected = [f1_score(frame["label"], frame["guess"], average="macro") for frame in frames]
    told = [frame.map(written.__getitem__) for frame in frames]
    assert f1_of(tmp_path, told) == pytest.approx(expected)
    if classes == 3:  # a third class that only the training data have is one all the same
        few = frames[1][(frames[1] < 2).all(axis=1)]
        expected[1] = f1_score(few["label"], few["guess"], average="macro")
        assert f1_of(tmp_path, [frames[0], few]) == pytest.approx(expected)
