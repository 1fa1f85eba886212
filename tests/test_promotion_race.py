"""Ten processes that promote onto one alias at the same moment, on SQLite and on a server: one winner, and a record of all ten;
and processes that die while they hold the model's lock, or between writing a decision and moving the alias.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import promotions
from conftest import commit_all
from forked import shared
from nbledger.core import mlflow_decisions, mlflow_lock, trust
from nbledger.core.errors import Busy
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.project import find
from servers import Server, mlflow_server, postgres

MODULES = ("nbledger.cli", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "nbledger.keeper.promote")
IF = "accuracy >= champion.accuracy + 0.005"
PROMOTE = """
import json
from nbledger.core.project import find
from nbledger.keeper import calls
words = {words!r}
decision = calls.perform(find(), "promote_if", words)
print("\\n" + json.dumps(calls.encode(decision)))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, mlflow_server(folder, store) as started:
        yield started


def race(root: Path, count: int = 10) -> None:
    """``count`` runs that differ by less than the margin, all promoted at once."""
    trust.trust(find(root))
    runs = [promotions.recorded(root, f"run-{n}", {"accuracy": 0.9 + n / 10_000}) for n in range(count)]
    warm = shared(*MODULES)
    words = [{"run": run, "model": "wine", "condition": IF, "first": "accuracy > 0.8"} for run in runs]
    ended = warm.go(*(warm.fork(PROMOTE.format(words=each), root) for each in words))
    assert [one.code for one in ended] == [0] * count, [one.out[-500:] for one in ended if one.code]
    said = [json.loads(one.out.splitlines()[-1]) for one in ended]

    assert [one["passed"] for one in said].count(True) == 1, [one["denials"] for one in said]
    (winner,) = [one for one in said if one["passed"]]
    assert promotions.aliases(root) == {"champion": winner["version"]}
    assert promotions.versions(root) == [winner["version"]]  # nothing else was registered
    assert all({d["kind"] for d in one["denials"]} <= {"moved", "condition"} for one in said if one is not winner)
    assert [one["notes"] for one in said] == [[]] * count

    found = promotions.decisions(root).decisions
    assert [one.n for one in found] == list(range(1, count + 1))
    assert sorted(str(one.run_id) for one in found) == sorted(runs)
    assert {str(one.run_id): one.n for one in found} == {one["run_id"]: one["n"] for one in said}
    assert [one.kind for one in found].count("promote") == 1
    assert found[0].kind == "promote"  # whoever came later found it moved, or a champion to be compared with
    assert all(one.reasons and one.figures for one in found[1:])
    assert locks(root) == []


def locks(root: Path) -> list[str]:
    return [one.name for one in promotions.api(root).search_registered_models() if mlflow_lock.is_lock(one.name)]


def test_ten_at_once_on_sqlite(project: Path) -> None:
    race(project)


def test_ten_at_once_on_a_server(project: Path, server: Server) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "race"\n')
    commit_all(project)
    race(project)
    # whoever was killed while it held the lock is waited for no longer than it takes to see that it is gone
    uri, api = server.uri, promotions.api(project)
    warm = shared(*MODULES)
    pid = warm.fork(HOLD, project)
    warm.let_go(pid)
    wait_for_lock(project)
    os.kill(pid, signal.SIGKILL)
    with mlflow_lock.held(api, uri, "wine", patience=120) as held:
        held.check()
        assert mlflow_decisions.append(held, Entry("refused", "champion")).n == 11
    assert locks(project) == []


HOLD = """
import time
from nbledger.core import mlflow, mlflow_lock
from nbledger.core.project import find
project = find()
with mlflow_lock.held(mlflow.client(project), project.tracking_uri, "wine", "the dead"):
    time.sleep(600)
"""


def wait_for_lock(root: Path) -> None:
    deadline = time.monotonic() + 120
    while not locks(root):
        assert time.monotonic() < deadline
        time.sleep(0.05)


KILLED = """
import os, signal
from nbledger.core import mlflow_registry
from nbledger.core.project import find
from nbledger.keeper import calls
mlflow_registry.point = lambda *words: os.kill(os.getpid(), signal.SIGKILL)
calls.perform(find(), "promote_if", {words!r})
"""


def test_a_promotion_that_is_killed_before_it_moves_the_alias_is_seen_by_the_next(project: Path) -> None:
    first, second = (promotions.recorded(project, name, {"accuracy": 0.9}) for name in ("first", "second"))
    words = {"run": second, "model": "wine", "condition": "accuracy > 0.8"}
    assert promotions.promote(project, first).version == "1"
    assert shared(*MODULES).run(KILLED.format(words=words), project).code == -signal.SIGKILL
    assert promotions.aliases(project) == {"champion": "1"}
    assert len(locks(project)) == 1
    done = promotions.promote(project, second)
    assert (done.passed, done.version, done.created, done.previous) == (True, "2", False, "1")
    assert promotions.aliases(project) == {"champion": "2", "previous": "1"}
    found = promotions.decisions(project).decisions
    assert [(one.n, one.kind, one.version) for one in found] == [
        (1, "promote", "1"),
        (2, "promote", "2"),  # written down, and not done
        (3, "moved", "1"),
        (4, "promote", "2"),
    ]
    assert "pointed at version 2" in found[2].text
    assert locks(project) == []


def test_an_alias_that_mlflow_moved_by_itself_is_on_record_before_the_next_decision(project: Path) -> None:
    runs = [promotions.recorded(project, name, {"accuracy": 0.9}) for name in ("one", "two", "three")]
    for run in runs[:2]:
        assert promotions.promote(project, run).passed
    promotions.api(project).set_registered_model_alias("wine", "champion", "1")
    denied = promotions.promote(project, runs[2], IF)
    assert (denied.passed, denied.previous, denied.n) == (False, "1", 4)
    found = promotions.decisions(project).decisions
    assert [(one.kind, one.version, one.previous) for one in found] == [
        ("promote", "1", None),
        ("promote", "2", "1"),
        ("moved", "1", "2"),
        ("refused", None, "1"),
    ]
    assert promotions.rollback(project).version == "2"  # the one before, by whatever way


# ── the lock itself ──────────────────────────────────────────────────────────────────────────────────────


def left_behind(root: Path, **owner: Any) -> str:
    """A lock whose holder, on another machine, gives no sign of life."""
    told = {"model": "wine", "by": "somebody else", "token": "t" * 32, "host": "elsewhere/boot", "pid": 1, **owner}
    name = mlflow_lock.name_of("wine")
    promotions.api(root).create_registered_model(name, description=json.dumps(told))
    return name


def test_a_lock_that_does_not_change_is_taken_by_one_of_those_who_wait(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_lock, "STALE", 10.0)
    left_behind(project)
    api, uri = promotions.api(project), find(project).tracking_uri
    inside, most, order = [0], [0], threading.Lock()

    def work() -> None:
        with mlflow_lock.held(api, uri, "wine", patience=300) as held:
            with order:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            try:
                held.check()
            finally:
                with order:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert locks(project) == []


def test_a_lock_whose_holder_lives_is_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_lock, "STALE", 5.0)
    monkeypatch.setattr(mlflow_lock, "BEAT", 0.1)
    api, uri = promotions.api(project), find(project).tracking_uri
    with mlflow_lock.held(api, uri, "wine", "Ada") as held:
        with (
            pytest.raises(Busy, match="the model wine is held by Ada"),
            mlflow_lock.held(api, uri, "wine", patience=7.0),
        ):
            pass
        held.check()
        with mlflow_lock.held(api, uri, "beer"):  # another model's is another one
            assert len(locks(project)) == 2


def test_a_lock_that_was_taken_away_is_noticed_before_anything_is_written(project: Path) -> None:
    api, uri = promotions.api(project), find(project).tracking_uri
    api.create_registered_model("wine")
    name = mlflow_lock.name_of("wine")
    with mlflow_lock.held(api, uri, "wine") as held:
        api.delete_registered_model(name)
        left_behind(project)
        with pytest.raises(Busy, match="was taken by another process"):
            mlflow_decisions.append(held, Entry("refused", "champion"))
    assert locks(project) == [name]  # another's lock stays
    assert mlflow_decisions.read(api, uri, "wine") == ()


def test_a_lock_that_was_made_by_a_request_whose_answer_was_lost_is_ones_own(project: Path) -> None:
    api, uri = promotions.api(project), find(project).tracking_uri
    name = left_behind(project)
    lock = mlflow_lock.Held(api, uri, "wine", name, "t" * 32)
    assert mlflow_lock._wait(lock, "another description", 5.0) == []
    lock.check()
