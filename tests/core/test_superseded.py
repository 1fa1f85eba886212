"""What a comparison says of a session that went on: only executions whose traces are still there are spoken of."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nbledger.core import codediff, compare, orderdiff, sides, superseded
from nbledger.core.differences import Comparison
from nbledger.core.record import ExecutedCell, Point, Record
from nbledger.core.records import RunRow
from nbledger.core.sides import RUN, Side

MAKE = "import numpy as np, pandas as pd, time, random\npd.DataFrame(made(0.0)).to_csv('points.csv')"
NOISY = MAKE.replace("0.0", "0.1")
READ = "df = pd.read_csv('points.csv')"
SLOW, FAST = "eta = 0.1", "eta = 0.5"
FIT = """%%mlrun -p eta -m acc
A = df.drop(columns="y")
clf = Classifier(eta)
for epoch in range(3):
    clf.partial_fit(A)
    time.sleep(0.1)
acc = clf.score(A)"""
IDS = {MAKE: "make", NOISY: "make", READ: "read", SLOW: "eta", FAST: "eta", "eta = 0.9": "eta"}
FILES = {MAKE: {"writes": ("points.csv",)}, NOISY: {"writes": ("points.csv",)}, READ: {"reads": ("points.csv",)}}


@dataclass(frozen=True)
class Went:
    """Cells in the order in which they ran; ``needed``: what their run took down to be safe (None: all)."""

    cells: tuple[ExecutedCell, ...]

    def side(self, title: str, eta: str, acc: float) -> Side:
        everything = tuple(range(len(self.cells)))
        row = RunRow(title, title, "FINISHED", "", None, None, None, None, None, None)
        found = Record(row, cells=self.cells, needed=everything, params={"eta": eta}, metrics={"acc": (Point(0, acc),)})
        return Side(title, RUN, found, needed=superseded.standing(self.cells, sides.needed(found)))


def went(*sources: str, random: tuple[int, ...] = (), ids: bool = True) -> Went:
    return Went(
        tuple(
            ExecutedCell(
                source,
                IDS.get(source, source[:20]) if ids else None,
                execution_count=number,
                random={"numpy": (str(number), str(number + 1))} if number in random else {},
                **FILES.get(source, {}),
            )
            for number, source in enumerate(sources, 1)
        )
    )


def compared(first: Went, second: Went, etas: tuple[str, str]) -> Comparison:
    return compare.of_sides(None, [first.side("A", etas[0], 0.5), second.side("B", etas[1], 0.6)])


BEGUN = (MAKE, READ, SLOW, FIT)


@pytest.mark.parametrize("ids", [True, False])
def test_the_cell_of_a_parameter_was_edited_and_the_tracked_one_ran_again(ids: bool) -> None:
    twice = (*BEGUN, FAST, FIT, "eta = 0.9", FIT)
    for first, second, etas in (
        (BEGUN, (*BEGUN, FAST, FIT), ("0.1", "0.5")),
        (twice, twice[:6], ("0.9", "0.5")),
        (twice, BEGUN, ("0.9", "0.1")),
    ):
        found = compared(went(*first, ids=ids), went(*second, ids=ids), etas)
        assert found.causes[0].kind == "parameter" and found.causes[0].what.startswith("eta was"), found.causes
        assert found.order == (), found.order
        assert [(c.state, c.effect) for c in found.code if c.needed] == [("changed", "literals")]


def test_the_cell_that_makes_the_data_was_edited_and_what_follows_ran_again() -> None:
    before = (*BEGUN, FAST, FIT)
    for again in ((NOISY, READ, FIT), (NOISY, READ, FAST, FIT)):
        found = compared(went(*before), went(*before, *again), ("0.5", "0.5"))
        assert [c.kind for c in found.causes] == ["code"]
        assert "0.0 and is 0.1" in found.causes[0].what
        assert found.order == (), found.order


def test_a_cell_that_takes_what_it_left_is_said_to_build_on_it() -> None:
    more = "%%mlrun -m acc\nclf.partial_fit(df)\nacc = clf.score(df)"
    begun = (MAKE, READ, "clf = Classifier()", more)
    found = compared(went(*begun), went(*begun, more), ("1", "1"))
    assert [(c.what, c.evidence) for c in found.order] == [
        ("cell [4] clf.partial_fit(df) ran twice in B and once in A", orderdiff.BUILDS)
    ]


def test_a_cell_that_may_change_what_another_made_is_not_said_to_have() -> None:
    fit = "%%mlrun -p eta -m acc\nclf.set_params(eta=eta)\nclf.fit(df)\nacc = clf.score(df)"
    begun = (MAKE, READ, "clf = Classifier()", SLOW, fit)
    found = compared(went(*begun), went(*begun, FAST, fit), ("0.1", "0.5"))
    assert found.causes[0].kind == "parameter"
    assert [c.evidence for c in found.order] == [orderdiff.MAY_BUILD]


def test_random_numbers_that_go_on_come_after_a_parameter() -> None:
    found = compared(went(*BEGUN, random=(4,)), went(*BEGUN, FAST, FIT, random=(4, 6)), ("0.1", "0.5"))
    assert [c.kind for c in found.causes[:2]] == ["parameter", "order"]
    assert found.order[0].evidence == orderdiff.DRAWS
    assert [c.where for c in found.code if c.needed] == ["cell [5] eta = 0.5"]


def test_what_still_shows_is_kept() -> None:
    def kept(*sources: str) -> list[int]:
        cells = went(*sources).cells
        return list(superseded.standing(cells, range(len(cells))))

    assert kept("n = 0", "n += 1", "n += 1", "%%mlrun\nn") == [0, 1, 2, 3]
    assert kept("x = 1", "y = x", "x = 2", "%%mlrun\nx + y") == [0, 1, 2, 3]
    assert kept("x = 1", "x = 2", "%%mlrun\nx") == [1, 2]
    assert kept("import conf", "conf.use('a')", "%%mlrun\nconf.x") == [0, 1, 2]  # a module may hold a state
    assert kept(MAKE, READ, NOISY, "%%mlrun\ndf") == [0, 1, 2, 3]  # what was read had been written by the first
    assert kept(MAKE, NOISY, READ, "%%mlrun\ndf") == [1, 2, 3]
    assert kept("%run a.py", "%run a.py", "%%mlrun\nexec('x')") == [0, 1, 2]


def test_cells_that_stand_for_each_other_wherever_they_ran() -> None:
    a = [ExecutedCell("x = 1", "x"), ExecutedCell("y = f(2)", "y"), ExecutedCell("z = 3", "z")]
    b = [
        ExecutedCell("z = 3", "z"),
        ExecutedCell("u = 1", "u"),
        ExecutedCell("y = f(7)", "y"),
        ExecutedCell("x = 1", "x"),
    ]
    assert [(c.state, c.ids) for c in codediff.cells(a, b) if "y" in c.ids] == [("changed", ("y", "y"))]
