"""Cells run in another order, twice or not at all are told from cells that were edited."""

from __future__ import annotations

from dataclasses import replace

from nbledger.core import orderdiff, sides
from nbledger.core.cells import DiskCell
from nbledger.core.orderdiff import Session
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow

ROW = RunRow("", "", "FINISHED", "", None, None, None, None, None, None)
LOAD, SCALE, LOW, HIGH, FIT = "df = load()", "df = df * 2", "lr = 0.1", "lr = 0.2", "%%mlrun m\nacc = fit(df, lr)"


def session(title: str, sources: list[str], book: list[str] | None = None, *, ids: bool = False) -> Session:
    cells = tuple(ExecutedCell(s, s[:12] if ids else None, execution_count=i + 1) for i, s in enumerate(sources))
    found = Record(ROW, cells=cells)
    disk = [DiskCell(s, s[:12] if ids else None) for s in book] if book is not None else None
    return orderdiff.session(found, title, sides.slice_of(cells), disk)


def told(a: Session, b: Session) -> tuple[list[str], list[str], list[str]]:
    """(what of order, the sources that are left for a comparison of code on either side)."""
    order, left, right = orderdiff.split(a, b)
    kept = ([c.source for c in side] for side in (left, right))
    x, y = kept
    return [c.what for c in order if c.matters], [s for s in x if s not in y], [s for s in y if s not in x]


def test_the_same_cells_in_another_order() -> None:
    order, left, right = told(session("A", [LOAD, LOW, HIGH, FIT]), session("B", [LOAD, HIGH, LOW, FIT]))
    assert "lr = 0.1" in order[0]
    assert (left, right) == ([], [])


def test_two_steps_swapped() -> None:
    add = "df = df + 1"
    order, left, right = told(session("A", [LOAD, SCALE, add, LOW, FIT]), session("B", [LOAD, add, SCALE, LOW, FIT]))
    assert order == ["cell [2] df = df * 2 ran before cell [3] df = df + 1 in A and after it in B"]
    assert (left, right) == ([], [])


def test_cells_that_share_nothing_may_stand_in_any_order() -> None:
    order, left, right = told(session("A", [LOAD, LOW, FIT]), session("B", [LOW, LOAD, FIT]))
    assert (order, left, right) == ([], [], [])
    assert not orderdiff.split(session("A", [LOAD, LOW, FIT]), session("B", [LOW, LOAD, FIT]))[0][0].matters


def test_a_cell_that_ran_twice() -> None:
    order, left, right = told(session("A", [LOAD, SCALE, LOW, FIT]), session("B", [LOAD, SCALE, SCALE, LOW, FIT]))
    assert order == ["cell [2] df = df * 2 ran twice in B and once in A"]
    assert (left, right) == ([], [])


def test_a_cell_that_was_not_run_though_the_notebook_has_it() -> None:
    book = [LOAD, SCALE, LOW, FIT]
    order, left, right = told(session("A", book, book), session("B", [LOAD, LOW, FIT], book))
    assert order == ["cell [2] df = df * 2 did not run in B, whose notebook has it"]
    assert (left, right) == ([], [])


def test_a_cell_that_was_taken_out_of_the_notebook_is_an_edit() -> None:
    order, left, _ = told(session("A", [LOAD, SCALE, LOW, FIT]), session("B", [LOAD, LOW, FIT], [LOAD, LOW, FIT]))
    assert (order, left) == ([], [SCALE])


def test_an_edited_cell_is_no_matter_of_order_though_its_session_ran_it_before() -> None:
    before, after = [LOAD, LOW, FIT], [LOAD, LOW, FIT, HIGH, FIT]
    order, left, right = told(session("A", before), session("B", after))
    assert (order, left, right) == ([], [LOW], [HIGH])


def test_an_edit_that_was_taken_back_is_known_by_the_cells_id() -> None:
    cells = [ExecutedCell(LOAD, "l"), ExecutedCell(LOW, "p"), ExecutedCell(HIGH, "p"), ExecutedCell(FIT, "f")]
    again = [*cells, ExecutedCell(LOW, "p"), ExecutedCell(FIT, "f")]
    a, b = (
        orderdiff.session(Record(ROW, cells=tuple(c)), t, sides.slice_of(c), None)
        for t, c in (("A", cells), ("B", again))
    )
    assert told(a, b) == ([], [HIGH], [LOW])


def test_a_cell_that_the_notebook_no_longer_has() -> None:
    a = session("A", [LOAD, LOW, FIT], [LOAD, LOW, FIT], ids=True)
    b = session("B", [LOAD, LOW, SCALE, FIT], [LOAD, LOW, FIT], ids=True)
    assert told(a, b)[0] == ["B used what cell [3] df = df * 2 had set, a cell that its notebook does not have"]
    kept = session("B", [LOAD, LOW, SCALE, FIT], [LOAD, LOW, SCALE, FIT], ids=True)
    assert told(a, kept) == ([], [], [SCALE])
    said = replace(
        session("B", [LOAD, LOW, SCALE, FIT]), order_detail=("[3] df = df * 2 was deleted",), book=None, ids=frozenset()
    )
    assert "does not have" in told(session("A", [LOAD, LOW, FIT]), said)[0][0]


def test_the_same_slices_are_the_same() -> None:
    a = session("A", [LOAD, LOW, FIT])
    assert orderdiff.split(a, session("B", ["z = 1", LOAD, LOW, FIT]))[0] == []


def test_a_cell_that_an_edited_one_needs_no_more_follows_from_that_edit() -> None:
    other = "%%mlrun m\nacc = fit(lr)"
    order, left, right = told(session("A", [LOAD, LOW, FIT]), session("B", [LOAD, LOW, other]))
    assert (order, left, right) == ([], [FIT], [other])
    both = [LOAD, LOW, HIGH, other]
    assert told(session("A", [LOAD, LOW, FIT]), session("B", both)) == ([], [LOW, FIT], [HIGH, other])
