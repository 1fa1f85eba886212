"""What the cases share: how often a fault is caused, and how what was seen reaches the table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What the plain tools do under a fault is measured by ``make scorecard``; it is no test of ours."""
    if FULL:
        return
    measured = [item for item in items if item.path.parent == HERE and item.name.startswith("test_plain")]
    if measured:
        config.hook.pytest_deselected(items=measured)
        items[:] = [item for item in items if item not in measured]


@pytest.fixture
def count() -> Callable[[int, int], int]:
    """``count(20, 3)``: how often to cause the fault in ``make scorecard``, and in ``make test``."""
    return lambda whole, quick: whole if FULL else quick


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """``seen("20 of 20 KILLED, slowest 4.1 s")``: the figures of a case, for the table."""
    return lambda text: record_property("seen", text)


@pytest.fixture
def plain(record_property: Callable[[str, object], None]) -> Callable[[bool, str], None]:
    """``plain(holds, "8 of 20 stay RUNNING")``: whether the criterion held with the plain tools, and what was seen."""

    def record(holds: bool, text: str) -> None:
        record_property("holds", holds)
        record_property("seen", text)

    return record
