"""A task that several workers execute has one finished run, in whichever order they end and are given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbledger.core import mlflow, mlflow_write, trust
from nbledger.core.batch import SUPERSEDED_TAG, TASK_TAG
from nbledger.core.project import Project, find
from nbledger.keeper import claims, publish, recorder

TASK = "cafe0123/7"


@pytest.fixture
def here(project: Path) -> Project:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    trust.trust(find(project))
    return find(project)


def begun(here: Project) -> recorder.Recording:
    """An execution whose run is published as it goes on."""
    recording = recorder.start(here, recorder.Plan("train", tags={TASK_TAG: TASK}))
    publish.publish(here, recording.journal.path)
    return recording


def ended(here: Project, recording: recorder.Recording, status: str = "FINISHED") -> None:
    recording.outcome(status)
    recording.end()
    assert publish.publish(here, recording.journal.path)


def told(here: Project) -> tuple[Any, str, list[Any]]:
    api = mlflow.client(here)
    experiment = mlflow.experiment_id(api, here, here.experiment, here.tracking_uri)
    return api, experiment, claims.of_task(api, here.tracking_uri, experiment, TASK)


def statuses(here: Project) -> dict[str, tuple[str, str | None]]:
    """{run: (status, what took its place)}"""
    return {str(r.info.run_id): (r.info.status, r.data.tags.get(SUPERSEDED_TAG)) for r in told(here)[2]}


def test_who_finishes_second_yields(here: Project) -> None:
    first, second = begun(here), begun(here)
    ended(here, second)
    kept = publish.run_id_of(here, second.id)
    ended(here, first)
    assert statuses(here)[str(kept)] == ("FINISHED", None)
    assert statuses(here)[str(publish.run_id_of(here, first.id))] == ("KILLED", kept)


def test_one_that_was_given_up_finishes_later(here: Project) -> None:
    """The batch closes what a lost worker left; that worker comes back before the task is done elsewhere."""
    zombie = begun(here)
    api, experiment, runs = told(here)
    assert claims.settle(api, here.tracking_uri, experiment, runs) is None
    run = str(publish.run_id_of(here, zombie.id))
    assert statuses(here) == {run: ("KILLED", claims.GIVEN_UP)}
    ended(here, zombie)
    assert statuses(here) == {run: ("KILLED", claims.GIVEN_UP)}
    again = begun(here)
    ended(here, again)
    assert statuses(here)[str(publish.run_id_of(here, again.id))] == ("FINISHED", None)


def test_given_up_in_the_moment_in_which_it_finishes(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had been allowed, and says FINISHED after the batch has said KILLED."""
    zombie = begun(here)

    def allowed(api: Any, uri: str, experiment: str, run_id: str, task: str) -> None:
        claims.settle(api, uri, experiment, claims.of_task(api, uri, experiment, task))

    monkeypatch.setattr(claims, "granted", allowed)
    ended(here, zombie)
    assert list(statuses(here).values()) == [("KILLED", claims.GIVEN_UP)]


def test_of_two_that_finish_in_the_same_moment_one_stays(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "granted", lambda *_: None)  # each asked before the other was done
    for order in (False, True):
        both = sorted((begun(here), begun(here)), key=lambda r: str(publish.run_id_of(here, r.id)), reverse=order)
        for recording in both:
            ended(here, recording)
        assert [status for status, _ in statuses(here).values()].count("FINISHED") == 1


def test_a_finished_run_that_is_not_whole_does_not_count(here: Project) -> None:
    """Its worker was lost while it uploaded."""
    lost = begun(here)
    api, experiment, _ = told(here)
    mlflow_write.terminate(api, here.tracking_uri, str(publish.run_id_of(here, lost.id)), "FINISHED", 1)
    again = begun(here)
    ended(here, again)
    best = claims.settle(api, here.tracking_uri, experiment, told(here)[2])
    assert best.info.run_id == publish.run_id_of(here, again.id)
    assert statuses(here)[str(publish.run_id_of(here, lost.id))] == ("KILLED", best.info.run_id)


def test_a_retry_leaves_what_failed_by_itself(here: Project) -> None:
    failed, again = begun(here), None
    ended(here, failed, "FAILED")
    again = begun(here)
    ended(here, again)
    api, experiment, runs = told(here)
    claims.settle(api, here.tracking_uri, experiment, runs)
    assert sorted(statuses(here).values(), key=str) == [("FAILED", None), ("FINISHED", None)]
