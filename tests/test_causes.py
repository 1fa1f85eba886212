"""Why do two runs differ? Pairs with a known cause (tests/causes); the true cause must come first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from causes import GATE, pool, table
from causes.case import KINDS, base, every
from causes.recording import Outcome

CASES = every()
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def under_way(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Outcome]]]:
    """Every chosen case, made by two processes while the tests wait for their own."""
    chosen = {
        item.callspec.params["case"].name
        for item in request.session.items
        if "under_way" in item.fixturenames and hasattr(item, "callspec")
    }
    with pool.running([case for case in CASES if case.name in chosen], tmp_path_factory.mktemp("causes"), 2) as futures:
        yield futures


def test_there_are_as_many_and_as_various_cases_as_promised() -> None:
    single, double = [[c for c in CASES if len(c.expect) == n] for n in (1, 2)]
    assert len(single) >= 60
    assert len(double) >= 12
    assert {kind for case in single for one in case.expect for kind in one.kind} == set(KINDS)
    assert all(base(case.base).folder.is_dir() for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_pair_is_what_it_claims(case, under_way) -> None:
    """Both runs are recorded, compare answers, and the metric moves exactly where something that matters was changed."""
    one = under_way[case.name].result()
    assert not one.problem, one.problem
    assert one.moved is not case.control, f"{one.before!r} → {one.after!r}"


def test_the_true_cause_comes_first(under_way, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [future.result() for future in under_way.values()]
    if not outcomes:
        pytest.skip("no case was chosen")
    report = table.report(outcomes)
    with capsys.disabled():
        sys.stdout.write(f"\n\n{report}\n")
    for found in table.groups(outcomes).values():
        assert table.score(found).share >= GATE, report
