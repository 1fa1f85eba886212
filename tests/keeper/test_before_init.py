"""A keeper that is older than the repository of its project: the first thing in a new folder may well be a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from endings import statuses, until
from kernels import kernel
from nbledger.core.project import find
from nbledger.keeper import client


@pytest.mark.parametrize("first", ["%ledger status", "%%mlrun early -m a\na = 0"])
def test_runs_are_published_unasked(folder: Path, first: str) -> None:
    with kernel(folder) as k:
        assert k.run(first).status == "ok"
        until(lambda: client.running(find(folder)) is not None)
        keeper = client.running(find(folder))
        assert k.run("%ledger init").status == "ok"
        assert k.run("%%mlrun one -m a\na = 1").status == "ok"
        wanted = dict.fromkeys(["one", *(["early"] if "early" in first else [])], "FINISHED")
        until(lambda: wanted.items() <= statuses(folder).items())
        now = client.running(find(folder))
        assert keeper is not None and now is not None and now.pid == keeper.pid
