"""Eight people's runs, a hundred a second, into the reference server: MLflow with PostgreSQL, S3 and logins. All of them arrive,
each once, with equal values.

Each has a clone and a keeper of their own. ``NBLEDGER_SCORECARD=full`` does it for a minute; else it is a moment.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable

import pytest

import wiredoffice
from wiredoffice import Wired

FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 300)]
A_SECOND = 100.0
RUNS = 750 if FULL else 5
"""Of each of the eight."""


@pytest.fixture(scope="module")
def wired() -> Wired:
    return wiredoffice.opened()


def test_a_hundred_runs_a_second(wired: Wired, record_property: Callable[[str, object], None]) -> None:
    team, server = wired.office.people, wired.office.mlflow
    if FULL:
        server.stop()
        server.workers = 4  # as the reference has it
        server.start()
    wiredoffice.wake(*team)
    begun = time.monotonic()
    made = wiredoffice.record(*team, first=10_000, count=RUNS, pace=len(team) / A_SECOND, points=5, batch="load")
    recorded = time.monotonic() - begun
    count = len(team) * RUNS
    deadline = time.monotonic() + (3000 if FULL else 120)
    while left := sum(len(wiredoffice.waiting(person)) for person in team):
        assert time.monotonic() < deadline, f"{left} of {count} runs are not published"
        time.sleep(0.2)
    published = time.monotonic() - begun
    there = {
        journal: runs
        for journal, runs in wiredoffice.stored(wired.office.database).items()
        if any(run.tags.get("batch") == "load" for run in runs)
    }
    assert wiredoffice.wrong(made, there, points=5) == []
    assert len(there) == count
    files = wiredoffice.artifacts(wired.office)
    for runs in there.values():
        assert set(files[runs[0].run_id]) == wiredoffice.RECORD_FILES, runs[0].name
    for (run,) in random.Random(7).sample(sorted(there.values(), key=str), min(count, 100)):
        n = int(run.params["n"])
        told = json.loads(wiredoffice.content(wired.office, files[run.run_id]["values.json"]))
        assert told == [run.params["who"], n, random.Random(n).random()]
    slowest = max(one.seconds for one in made)
    record_property(
        "seen",
        f"{count} of {count} runs once each, recorded in {slowest:.1f} s ({count / slowest:.0f} a second), published "
        f"{published - recorded:.0f} s after the last ({count / published:.1f} a second)",
    )
