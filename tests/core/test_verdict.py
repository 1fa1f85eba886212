"""The verdict, on hand-made outcomes: what is equal to the bit, what is near, and what is not."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from nbledger.core.lineage import FileRecord
from nbledger.core.record import Point
from nbledger.core.verdict import Outcome, Tolerance, judge, spread, worst

NAN, INF = float("nan"), float("inf")
NEXT = math.nextafter(1.0, 2.0)


@pytest.mark.parametrize(
    ("recorded", "reproduced", "tolerance", "verdict"),
    [
        ([1.0], [1.0], (0, 0), "identical"),
        ([1.0], [NEXT], (0, 0), "different"),
        ([1.0], [NEXT], (1e-12, 0), "within-tolerance"),
        ([NAN], [NAN], (0, 0), "identical"),
        ([NAN], [-NAN], (0, 0), "identical"),
        ([NAN], [1.0], (1, 1), "different"),
        ([INF], [INF], (0, 0), "identical"),
        ([INF], [1e308], (1, 1), "different"),
        ([INF], [-INF], (1, 1), "different"),
        ([0.0], [-0.0], (0, 0), "different"),
        ([0.0], [-0.0], (0, 1e-300), "within-tolerance"),
        ([0.0], [0.1], (1, 0), "different"),
        ([0.0], [0.1], (0, 0.1), "within-tolerance"),
        ([10.0], [11.0], (0.1, 0), "within-tolerance"),
        ([10.0], [11.0001], (0.1, 0), "different"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], (0, 0), "identical"),
        ([1.0, 2.0, 3.0], [1.0, 2.5, 3.0], (0, 0), "different"),
        ([1.0, 2.0, 3.0], [1.0, 2.5, 3.0], (0.25, 0), "within-tolerance"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], (1, 1), "different"),
        ([1.0], [], (1, 1), "different"),
        ([], [1.0], (1, 1), "different"),
    ],
)
def test_metrics(recorded: list[float], reproduced: list[float], tolerance: tuple[float, float], verdict: str) -> None:
    found = judge(outcome(recorded), outcome(reproduced), Tolerance(*tolerance))
    assert found.verdict == verdict
    assert found.metrics["m"].equal == (verdict == "identical")


def test_the_time_of_a_point_does_not_count_but_its_step_does() -> None:
    first = Outcome("FINISHED", {"m": (Point(0, 1.0, 5), Point(1, 2.0, 6))})
    assert judge(first, Outcome("FINISHED", {"m": (Point(0, 1.0, 7), Point(1, 2.0, 9))})).verdict == "identical"
    moved = judge(first, Outcome("FINISHED", {"m": (Point(0, 1.0, 7), Point(2, 2.0, 9))}), Tolerance(1, 1))
    assert moved.verdict == "different"
    assert moved.metrics["m"].why == "step 1 is now step 2"


def test_where_a_series_parts_is_said() -> None:
    found = judge(outcome([1.0, 2.0, 3.0, 4.0]), outcome([1.0, 2.0, 3.5, 4.5]))
    assert found.metrics["m"].why == "from step 2 on"


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (("FINISHED", ""), ("FINISHED", ""), "identical"),
        (("FINISHED", ""), ("FAILED", "ValueError: x"), "different"),
        (("FAILED", "ValueError: x"), ("FAILED", "ValueError: y"), "identical"),
        (("FAILED", "ValueError: x"), ("FAILED", "KeyError: x"), "different"),
        (("FAILED", "ValueError: x"), ("FINISHED", ""), "different"),
        (("FAILED", ""), ("FAILED", "KeyError: x"), "identical"),
        (("FINISHED", ""), ("KILLED", "the kernel died"), "different"),
        (("FAILED", "RuntimeError: cell 2: ValueError: x"), ("FAILED", "ValueError: x"), "identical"),
        (("FAILED", "RuntimeError: cell 2: ValueError: x"), ("FAILED", "cell 2 of 3: ValueError: x"), "identical"),
        (("FAILED", "RuntimeError: cell 2: ValueError: x"), ("FAILED", "cell 2 of 3: KeyError: x"), "different"),
    ],
)
def test_how_the_run_ended(before: tuple[str, str], after: tuple[str, str], verdict: str) -> None:
    assert judge(Outcome(before[0], error=before[1]), Outcome(after[0], error=after[1])).verdict == verdict


@pytest.mark.parametrize(
    ("name", "a", "b", "verdict"),
    [
        ("t.csv", b"n,x\na,1.0\nb,2\n", b"n,x\na,1.0000001\nb,2.0\n", "within-tolerance"),
        ("t.csv", b"n,x\na,1.0\n", b"n,x\na,1.1\n", "different"),
        ("t.csv", b"n,x\na,1.0\n", b"n,x\nb,1.0\n", "different"),
        ("t.csv", b"n,x\na,1.0\n", b"n,x\na,1.0\nb,1.0\n", "different"),
        ("t.tsv", b"1.0\t2\n", b"1.0000001\t2\n", "within-tolerance"),
        ("t.json", b'{"a": [1.0, "x", null]}', b'{"a": [1.0000001, "x", null]}', "within-tolerance"),
        ("t.json", b'{"a": true}', b'{"a": 1}', "different"),
        ("t.json", b'{"a": 1}', b'{"b": 1}', "different"),
        ("t.jsonl", b'{"a": 1.0}\n', b'{"a": 1.0000001}\n', "within-tolerance"),
        ("t.csv", b"\xff\xfe", b"\xff\xff", "different"),
        ("t.json", b"{", b"[", "different"),
        ("t.png", b"1.0", b"1.0000001", "different"),
    ],
)
def test_output_files(name: str, a: bytes, b: bytes, verdict: str) -> None:
    first, second = wrote(name, "a"), wrote(name, "b")
    found = judge(first, second, Tolerance(rtol=1e-6), lambda path: (a, b))
    assert found.verdict == verdict, found
    assert judge(first, second).verdict == "different"  # without a tolerance only the hash counts
    assert judge(first, first).verdict == "identical"


def test_tables_of_arrow_and_numpy_are_read_as_numbers() -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import feather, parquet

    def parquet_of(x: float) -> bytes:
        sink = io.BytesIO()
        parquet.write_table(pa.table({"x": [x, None], "s": ["a", "b"]}), sink)
        return sink.getvalue()

    def feather_of(x: float) -> bytes:
        sink = io.BytesIO()
        feather.write_feather(pa.table({"x": [x]}), sink)
        return sink.getvalue()

    def array_of(x: float) -> bytes:
        sink = io.BytesIO()
        np.save(sink, np.array([[x, 2.0]]))
        return sink.getvalue()

    for name, make in (("t.parquet", parquet_of), ("t.feather", feather_of), ("t.npy", array_of)):
        near = judge(wrote(name, "a"), wrote(name, "b"), Tolerance(1e-6), lambda _, m=make: (m(1.0), m(1.0 + 1e-9)))
        far = judge(wrote(name, "a"), wrote(name, "b"), Tolerance(1e-6), lambda _, m=make: (m(1.0), m(1.1)))
        assert (name, near.verdict, far.verdict) == (name, "within-tolerance", "different")


def test_an_output_that_is_not_written_and_one_more_that_is() -> None:
    found = judge(wrote("a.txt", "1"), wrote("b.txt", "2"))
    assert found.verdict == "different"
    assert [(o.path, o.reproduced, o.why) for o in found.outputs] == [("a.txt", None, "not written this time")]
    assert found.notes == ("written only this time: b.txt",)
    unknown = judge(Outcome("FINISHED", outputs=[FileRecord("a.txt", 1, None, "untracked")]), wrote("a.txt", "1"))
    assert unknown.verdict == "identical"
    assert "is not compared" in unknown.notes[0]


def test_cells_that_show_something_else() -> None:
    found = judge(Outcome("FINISHED"), Outcome("FINISHED", cells=["cell 3 (print(x)): '1' is now '2'"]))
    assert (found.verdict, found.notes) == ("different", ("cell 3 (print(x)): '1' is now '2'",))


def test_the_worst_of_several_and_their_spread() -> None:
    assert worst(["identical", "different", "within-tolerance"]) == "different"
    assert worst(["identical", "within-tolerance"]) == "within-tolerance"
    level = spread([0.1, 0.1, 0.1])
    assert (level.deterministic, level.std, level.min, level.max) == (True, 0.0, 0.1, 0.1)
    loose = spread([1.0, 2.0, 3.0])
    assert (loose.deterministic, loose.mean, loose.std) == (False, 2.0, 1.0)
    assert spread([NAN, NAN]).deterministic
    assert not spread([NAN, 1.0]).deterministic
    assert json.dumps(spread([0.1]).values) == "[0.1]"


def outcome(values: list[float]) -> Outcome:
    points: Any = tuple(Point(step, value) for step, value in enumerate(values))
    return Outcome("FINISHED", {"m": points})


def wrote(name: str, md5: str) -> Outcome:
    return Outcome("FINISHED", outputs=[FileRecord(name, 1, md5 * 32, "untracked")])
