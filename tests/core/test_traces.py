"""Which cells and files a run stands on, from what each cell did."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbledger.core import traces
from nbledger.core.cells import Cell
from nbledger.core.project import find
from nbledger.core.sieve import Sieve
from nbledger.core.traces import Trace

S = (1, 2, 3, 4)
T = (5, 6, 7, 8)


def cells(*sources: str) -> list[Cell]:
    return [Cell(source, None, float(i), i) for i, source in enumerate(sources)]


def reading(*paths: str, wrote: str = "") -> Trace:
    return Trace(reads=dict.fromkeys(paths, S), writes=frozenset([wrote] if wrote else []))


NEEDED = {
    "names": (["a = 1", "b = 2", "a"], [Trace()] * 3, None, [0, 2]),
    "files": (["w()", "r = 1", "r"], [reading(wrote="/f"), reading("/f"), Trace()], None, [0, 1, 2]),
    "files of files": (
        ["x = 1", "open(x)", "other()", "r = 1", "r"],
        [Trace(), reading(wrote="/f"), reading("/q", wrote="/g"), reading("/f"), Trace()],
        None,
        [0, 1, 3, 4],
    ),
    "only the last writer before": (
        ["w()", "w2()", "r", "w3()"],
        [reading(wrote="/f"), reading(wrote="/f"), reading("/f"), reading(wrote="/f")],
        2,
        [1, 2, 3],
    ),
    "the last writer of each": (
        ["w()", "w2()", "w3()", "r"],
        [reading(wrote="/f"), reading(wrote="/g"), reading(wrote="/g"), reading("/f", "/g")],
        None,
        [0, 2, 3],
    ),
    "a span": (["a = 1", "z = 9", "b = a", "c = 2"], [Trace()] * 4, 2, [0, 2, 3]),
    "nothing": ([], [], None, []),
}


@pytest.mark.parametrize("case", NEEDED)
def test_needed(case: str) -> None:
    sources, did, first, wanted = NEEDED[case]
    assert traces.needed(cells(*sources), did, first) == wanted


def test_carried_is_what_came_from_outside(project: Path) -> None:
    root, sieve = str(project), Sieve(find(project))
    raw, made, code, own = (f"{root}/{n}" for n in ("raw.csv", "made.csv", "module.py", ".nbledger/x"))
    did = [
        reading(raw, own),
        reading(raw, wrote=made),
        reading(made, raw, code),
        Trace(reads={raw: T}),
        Trace(),
    ]
    assert traces.carried(find(project), did, [0, 2, 4], sieve, {code}) == {raw: S}
    assert traces.carried(find(project), did, [0, 3], sieve, set()) == {raw: T}
    assert traces.carried(find(project), did, [1], sieve, set()) == {raw: S}


def test_what_an_earlier_cell_wrote_is_an_input_while_it_lies_in_the_project(project: Path) -> None:
    root, sieve = str(project), Sieve(find(project))
    made, gone, scratch = f"{root}/made.csv", f"{root}/gone.csv", str(project.parent / "scratch.csv")
    for path in (made, scratch):
        Path(path).write_text("x")
    did = [reading(wrote=made), reading(wrote=gone), reading(wrote=scratch), reading(made, gone, scratch), Trace()]
    assert traces.carried(find(project), did, [0, 1, 2, 3, 4], sieve, set()) == {made: S}
    assert traces.made(did, 4) == {made, gone, scratch}
    assert traces.carried(find(project), did, [0, 1, 2, 3, 4], sieve, set(), own=0) == {}  # a whole notebook's own


def test_a_long_session_forgets_the_largest_first_and_says_so() -> None:
    did = [reading("a", "b"), reading(*map(str, range(50))), reading("c"), reading(*map(str, range(60)))]
    traces.bound(did, most=70)
    assert [len(t.reads) for t in did] == [2, 0, 1, 60]
    assert did[1].beyond == 50
    traces.bound(did, most=10)
    assert [len(t.reads) for t in did] == [0, 0, 0, 60]  # the cell that has just run is not forgotten
    assert traces.unseen(did, [0, 1, 2, 3], [], 0) == ["53 more files"]


def test_unseen_names_what_the_run_did_not_know() -> None:
    did = [Trace(children=("make",), hosts=("a.example", "b.example")), Trace(children=("no",)), Trace()]
    assert traces.unseen(did, [0, 2], ["https://a.example/x", "make"], 0) == ["b.example"]
