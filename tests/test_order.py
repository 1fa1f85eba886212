"""The order in which files of tests are given to workers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import order

ROOT = Path(__file__).resolve().parent.parent


def test_every_file_that_is_listed_is_there() -> None:
    listed = {*order.SECONDS, *order.TOGETHER, *order.TOGETHER.values()}
    assert [file for file in sorted(listed) if not (ROOT / file).is_file()] == []


def test_the_longest_come_first_and_each_file_stays_as_it_is() -> None:
    long, longer = "tests/test_team_week.py", "tests/e2e/test_models.py"
    assert order.SECONDS[long] < order.SECONDS[longer]
    names = ["tests/a.py::one", f"{long}::b", f"{long}::a", "tests/b.py::two", "tests/b.py::one[x::y]", f"{longer}::a"]
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in names]
    order.sort(items)
    assert [item.nodeid for item in items] == [names[5], names[1], names[2], names[3], names[4], names[0]]
