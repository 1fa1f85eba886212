"""`1/0` in a tracked cell, deep in the user's functions too, while the tracking server is dead: once it refuses
connections, once it accepts and never answers (a real `mlflow server`, killed and stopped; in `make test` stand-ins).

The traceback is that of the same cell untracked, line for line, and ends in the user's line; the run is closed as
FAILED in the journal. The plain way: `with mlflow.start_run():` around it, begun while the server was there, with the
default retries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadcells import CUT, timed
from deadserver import KINDS, dead_server, use
from kernels import kernel
from ledgerfiles import ends
from scorecard.conftest import FULL
from servers import mlflow_server

CELLS = {
    "direct": ("a = 1\n1/0", "1/0"),
    "in a function": ("def ratio(a, b):\n    return a / b\nratio(1, 0)", "return a / b"),
    "after metrics": ("from nbledger import log\nfor i in range(20):\n    log(loss=i)\n1/0", "1/0"),
    "awaiting": ("import asyncio\nawait asyncio.sleep(0.01)\n1/0", "1/0"),
    "while handling": ("try:\n    {}['k']\nexcept KeyError:\n    1/0", "1/0"),
}


@pytest.fixture(scope="module", params=KINDS)
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dead_server(request.param, tmp_path_factory.mktemp("server"), real=FULL) as dead:
        yield dead


def traceback(text: str) -> list[str]:
    """Its lines, without colours and without what counts lines and cells."""
    return [re.sub(r"\d+|-+>", "", line).strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def last_pointed(text: str) -> str:
    return re.findall(r"^-+> \d+ (.*)$", re.sub(r"\x1b\[[0-9;]*m", "", text), re.MULTILINE)[-1].strip()


def test_it_ends_in_the_users_line(project: Path, uri: str, seen: Callable[[str], None]) -> None:
    use(project, uri)
    with kernel(project) as k:
        k.run("from nbledger import log\nlog(outside=1)")
        for name, (body, line) in CELLS.items():
            tracked, plain = k.run(f"%%mlrun {name.replace(' ', '-')}\n{body}"), k.run(body)
            assert (tracked.status, tracked.ename, tracked.evalue) == ("error", "ZeroDivisionError", "division by zero")
            there = [text for text in traceback(tracked.traceback) if "%%mlrun" not in text]
            assert there == traceback(plain.traceback)
            assert last_pointed(tracked.traceback) == line
            assert k.run("import sys; sys.last_value.args").result == "('division by zero',)"
        assert sorted(set(ends(project).values())) == ["FAILED"] and len(ends(project)) == len(CELLS)
    seen(f"{len(CELLS)} of {len(CELLS)} ZeroDivisionError, each traceback that of the untracked cell; FAILED")


def test_plain(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    with mlflow_server(tmp_path, f"sqlite:///{tmp_path / 'server.db'}") as server, kernel(project, load=False) as k:
        k.run(f"import mlflow\nmlflow.set_tracking_uri({server.uri!r})\nrun = mlflow.start_run()")
        server.stop()
        try:
            took, cell = timed(k, "with run:\n    1/0", CUT)
        except TimeoutError:
            plain(False, f"the ZeroDivisionError had not come out after {CUT:.0f} s")
            return
        plain(cell.ename == "ZeroDivisionError", f"{cell.ename} after {took:.0f} s")
