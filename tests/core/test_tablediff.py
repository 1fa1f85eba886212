"""Two versions of a table: rows and columns added, removed, changed, reordered, and distributions that moved."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbledger.core import insides, settingsdiff, tablediff
from nbledger.core.differences import Row, TableChange
from nbledger.core.tablediff import frames

N = 1000


def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {"id": np.arange(N), "x": draw.normal(size=N), "g": draw.choice(list("abc"), N), "k": draw.integers(0, 5, N)}
    )


def counts(found: TableChange) -> tuple[int, int, int, bool]:
    return found.added, found.removed, found.changed, found.reordered


def columns(found: TableChange) -> dict[str, str]:
    return {c.name: c.state for c in found.columns}


def edited(column: str, row: int, value: Any, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    made = (table() if frame is None else frame).copy()
    made.loc[row, column] = value
    return made


ROWS: dict[str, tuple[pd.DataFrame, tuple[int, int, int, bool]]] = {
    "a changed value": (edited("x", 5, 9.0), (0, 0, 1, False)),
    "shuffled": (table().sample(frac=1, random_state=1), (0, 0, 0, True)),
    "rows removed": (table().drop(index=range(10, 30)), (0, 20, 0, False)),
    "rows added": (pd.concat([table(), table().tail(3).assign(id=[N, N + 1, N + 2])]), (3, 0, 0, False)),
    "sorted": (table().sort_values("x"), (0, 0, 0, True)),
    "one removed and the others numbered anew": (table().drop(index=0).assign(id=np.arange(N - 1)), (0, 1, 0, False)),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("keyed", [True, False])
def test_rows(name: str, keyed: bool) -> None:
    after, expected = ROWS[name]
    before = table()
    if not keyed:
        before, after = before.drop(columns="id"), after.drop(columns="id")
    assert counts(frames(before, after)) == expected


def test_rows_are_matched_by_what_tells_them_apart() -> None:
    after = edited("g", 3, "z", edited("x", 700, 0.0)).sample(frac=1, random_state=2)
    found = frames(table(), after)
    assert found.key == ("id",)
    assert "id" not in columns(found)
    assert counts(found) == (0, 0, 2, True)
    assert frames(table().drop(columns="id"), after.drop(columns="id")).key == ()


def test_columns() -> None:
    found = frames(table(), table().drop(columns="g").assign(new=1))
    assert columns(found) == {"g": "removed", "new": "added"}
    assert counts(found) == (0, 0, 0, False)
    assert not found.same
    assert frames(table(), table()[["x", "id", "g", "k"]]).columns_reordered
    assert frames(table(), table()).same


def test_a_distribution_that_moved_says_how() -> None:
    found = frames(table(), table().assign(x=table()["x"] + 0.5))
    (moved,) = found.columns
    assert moved.state == "moved"
    assert moved.distance == pytest.approx(0.2, abs=0.05)
    assert moved.stats["mean"][1] - moved.stats["mean"][0] == pytest.approx(0.5)
    assert "mean" in moved.what and "median" in moved.what
    from scipy.stats import ks_2samp

    assert moved.distance == pytest.approx(ks_2samp(table()["x"], table()["x"] + 0.5).statistic, abs=1e-6)


def test_shares_of_categories() -> None:
    found = frames(table(), table().assign(g=table()["g"].replace("a", "b")))
    (moved,) = found.columns
    share = float((table()["g"] == "a").mean())
    assert moved.distance == pytest.approx(share, abs=1e-6)
    assert moved.stats["a"] == (pytest.approx(share), 0.0)


def test_empty_cells_do_not_change_the_other_rows() -> None:
    after = table()
    after["k"] = after["k"].astype(float)
    after.loc[3, "k"] = np.nan
    found = frames(table(), after)
    assert counts(found) == (0, 0, 1, False)
    assert "empty 0 % → 0.1 %" in found.columns[0].what


def test_a_type_that_changed() -> None:
    (found,) = frames(table(), table().assign(k=table()["k"].map("n{}".format))).columns
    assert (found.name, found.state) == ("k", "dtype")


def written(frame: pd.DataFrame, suffix: str) -> bytes:
    if suffix in (".parquet", ".pq"):
        return frame.to_parquet(index=False)
    if suffix == ".feather":
        target = io.BytesIO()
        frame.to_feather(target)
        return target.getvalue()
    if suffix == ".jsonl":
        return frame.to_json(orient="records", lines=True).encode()
    separator = "\t" if suffix.startswith(".tsv") else ","
    text = frame.to_csv(index=False, sep=separator).encode()
    if suffix.endswith(".gz"):
        import gzip

        return gzip.compress(text)
    return text


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".feather", ".jsonl"])
def test_every_kind_of_file_is_read(suffix: str) -> None:
    a, b = written(table(), suffix), written(edited("x", 5, 9.0), suffix)
    assert tablediff.suffix_of(f"data/a{suffix.upper()}") == suffix
    found = tablediff.compare(a, b, suffix)
    assert found is not None
    assert counts(found) == (0, 0, 1, False)


def test_the_same_values_written_in_another_way() -> None:
    found = tablediff.compare(b"a,b\n1,x\n", b'a,b\r\n1.0,"x"\r\n', ".csv")
    assert found is not None
    assert found.same


def test_the_same_table_in_files_of_two_kinds() -> None:
    found = tablediff.compare(written(table(), ".csv"), written(table(), ".csv.gz"), ".csv", ".csv.gz")
    assert found is not None
    assert found.same


def test_what_is_no_table_is_left_alone() -> None:
    assert tablediff.compare(b"PAR1 but not really", b"x", ".parquet") is None
    assert tablediff.compare(b"", b"a,b\n1,2\n", ".csv") is None
    assert tablediff.suffix_of("model.pkl") is None
    nested = tablediff.compare(b'{"a": [1, 2]}\n{"a": [3]}\n', b'{"a": [1, 2]}\n{"a": [4]}\n', ".jsonl")
    assert nested is not None
    assert nested.changed == 1


def test_lines_of_a_text_are_counted_at_once_however_often_they_repeat() -> None:
    assert insides._lines(b"a\nb\nc\n", b"a\nx\nc\nd\n") == "2 lines added, 1 removed"
    labels = [str(n % 150) for n in range(100_000)]
    assert insides._lines("\n".join(labels).encode(), "\n".join([*labels, "new"]).encode()) == (
        "at least 1 lines added, 0 removed"
    )


def test_a_large_table_is_looked_at_in_part_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tablediff, "_WHOLE", 100)
    monkeypatch.setattr(tablediff, "_ROWS", 50)
    for suffix in (".csv", ".parquet", ".jsonl"):
        found = tablediff.compare(written(table(), suffix), written(edited("x", 5, 9.0), suffix), suffix)
        assert found is not None
        assert (found.sampled, found.rows, found.changed) == (50, (50, 50), 1)


@pytest.mark.parametrize(
    ("suffix", "a", "b"),
    [
        (
            ".json",
            b'{"model": {"depth": 3, "name": "f"}, "seed": 1}',
            b'{"model": {"depth": 4, "name": "f"}, "seed": 1}',
        ),
        (".yaml", b"model:\n  depth: 3\n", b"model: {depth: 4}\n"),
        (".toml", b"[model]\ndepth = 3\n", b"[model]\ndepth = 4\n"),
        (".ini", b"[model]\ndepth = 3\n", b"[model]\ndepth: 4\n"),
    ],
)
def test_settings_are_compared_by_key(suffix: str, a: bytes, b: bytes) -> None:
    assert settingsdiff.compare(a, b, suffix) == (Row("model.depth", ("3", "4")),)
    assert settingsdiff.compare(a, b"\xff\xfe", suffix) is None
    assert settingsdiff.compare(a, a + b"\n", suffix) == ()


def test_settings_that_grow_without_end_are_not_compared() -> None:
    grown = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(8)
    )
    assert settingsdiff.compare(grown, grown + b"z: 1\n", ".yaml") is None
