"""The project's tracking server refuses connections: a real `mlflow server` was there and is gone (in `make test` a
port or a stopped process stands for it, which a client cannot tell from it). Tracked cells run beside the same
cells untracked, in one kernel; the first tracked cell of a fresh kernel counts too. What tracking adds is all the
time between.

nbledger writes a run's journal in the kernel and leaves the server to the keeper. A cell that calls `mlflow` itself
meets the dead server as it would untracked: those calls are the user's, nbledger adds one look (1 s at most) and says
that they are not part of the run. The plain way: the same cell with `mlflow` calls and its default retries, cut off
after 20 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import deadcells
from deadserver import dead_server
from scorecard.conftest import FULL


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dead_server("refuses", tmp_path_factory.mktemp("server"), real=FULL) as dead:
        yield dead


def test_cells(project: Path, uri: str, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    seen(deadcells.ours(project, uri, count(20, 3)))
    for _ in range(count(1, 0)):  # the silent server of case 2 is the harder one
        seen(deadcells.own_calls(project, uri))


def test_plain(project: Path, uri: str, plain: Callable[[bool, str], None]) -> None:
    deadcells.plainly(project, uri, plain)
