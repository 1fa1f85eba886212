"""Approval of promotions: by another person and nobody else, while it waits and the alias and the run are what they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from approvals import Team
from conftest import commit_all, git
from nbledger.commands import approve as face
from nbledger.core import approval, mlflow, mlflow_registry
from nbledger.core.errors import LedgerError, Refused, ToolFailed, UsageError
from nbledger.core.project import find
from nbledger.keeper import approving, calls, client, persons
from servers import Server, mlflow_server, postgres, token


@pytest.fixture
def team(project: Path) -> Team:
    """Ada's model is version 1 and the champion; her next run waits to be asked for."""
    return begun(Team(project))


def begun(team: Team) -> Team:
    first = team.run("first")
    assert team.ask(first).version == "1"
    done = team.approve("ben")
    assert done.moved, done
    return team


def kinds(team: Team, after: int = 0) -> list[tuple[str, str | None]]:
    return [(one["kind"], one["version"]) for one in team.decisions()[after:]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """MLflow's server on PostgreSQL, which asks everybody for a login."""
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, mlflow_server(folder, store, auth=("admin", token())) as started:
        yield started


def test_another_person_approves_and_the_alias_moves(team: Team) -> None:
    assert team.aliases() == {"champion": "1"}
    assert kinds(team) == [("pending", "1"), ("approved", "1"), ("promote", "1")]
    run = team.run("second", accuracy=0.91)
    asked = team.ask(run)
    assert (asked.version, asked.previous, asked.state, asked.needed) == ("2", "1", "pending", 1)
    assert team.aliases() == {"champion": "1", "candidate": "2"}  # nothing else moved
    (mine,), (hers,) = team.waiting("ben"), team.waiting("ada")
    assert (mine.mine, mine.why_not, mine.figures, mine.run_name) == (True, "", {"accuracy": 0.91}, "second")
    assert not hers.mine
    assert hers.why_not == "you made the run: another person has to approve it"

    before = team.decisions()
    for name, why in (("ada", "you made the run"), ("root", "")):
        done = team.approve(name) if name == "ada" else None
        if done is not None:
            assert (done.outcome, done.moved, done.reasons) == (
                "denied",
                False,
                (f"{why}: another person has to approve it",),
            )
    assert (team.aliases(), team.decisions()) == ({"champion": "1", "candidate": "2"}, before)

    done = team.approve("ben", text="looks good")
    assert (done.outcome, done.moved, done.pending.state) == ("approved", True, "approved")
    assert team.aliases() == {"champion": "2", "previous": "1"}
    assert kinds(team, len(before)) == [("approved", "2"), ("promote", "2")]
    said = team.decisions()[-2]
    assert (said["by"], said["text"], said["run_id"]) == ("Ben <ben@example.org>", "1 of 1: looks good", run)
    tags = team.api.get_model_version("wine", "2").tags
    assert json.loads(tags["nbledger.approval.given.001"])["by"] == "Ben <ben@example.org>"
    assert tags["nbledger.approval.settled"] == "approved by Ben <ben@example.org>"
    assert team.waiting("ben") == []

    late = team.approve("cleo", "2")  # it is too late to matter, and is recorded
    assert (late.outcome, late.moved, late.pending.approved[1].late) == ("counted", False, True)
    assert kinds(team)[-1] == ("approved", "2")
    assert team.approve("ada", "2").outcome == "denied"
    assert team.approve("ben", "2", refuse=True, text="no").outcome == "approved"  # as it stands: rollback is the way
    assert kinds(team)[-1] == ("approved", "2")
    with pytest.raises(UsageError, match="nothing of wine waits for approval"):
        team.approve("cleo")


def test_two_approvals_are_those_of_two_people(team: Team) -> None:
    team.ask(team.run("second"), by="dora", needed=2)
    assert team.approve("ben").outcome == "counted"
    again = team.approve("ben")
    assert (again.outcome, len(again.pending.approved)) == ("counted", 1)
    for name in ("ada", "dora"):
        assert team.approve(name).outcome == "denied"
    with team.being("ben", GIT_AUTHOR_NAME="Somebody Else", GIT_AUTHOR_EMAIL="else@example.org"):  # his login tells
        found = approving.approve(find(team.root), {"model": "wine"}, None)
    assert len(found.pending.approved) == 1
    assert team.aliases()["champion"] == "1"
    done = team.approve("cleo")
    assert (done.moved, [one.by for one in done.pending.approved]) == (
        True,
        ["Ben <ben@example.org>", "Cleo <cleo@example.org>"],
    )
    assert kinds(team, 3) == [("pending", "2"), ("approved", "2"), ("approved", "2"), ("promote", "2")]


def test_nobody_that_could_be_anybody_approves(team: Team) -> None:
    team.ask(team.run("second"))
    nobody = {"GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": "", "LOGNAME": "root", "GIT_CONFIG_GLOBAL": "/dev/null"}
    with team.being("ben", **nobody):
        done = approving.approve(find(team.root), {"model": "wine"}, None)
        assert (done.outcome, done.reasons) == ("denied", (approval.NOBODY,))
        done = approving.approve(find(team.root), {"model": "wine", "refuse": True, "text": "no"}, None)
        assert (done.outcome, done.reasons) == ("denied", (approval.NOBODY,))
    with team.being("ben", CI="true"):
        done = approving.approve(find(team.root), {"model": "wine"}, None)
    assert done.outcome == "denied"
    assert "a CI job approves nothing by itself" in done.reasons[0]
    assert team.state("2") == "pending"


def test_a_refusal_says_why_and_what_is_asked_anew_begins_anew(team: Team) -> None:
    run = team.run("second")
    first = team.ask(run, needed=2)
    assert team.ask(run, needed=2) == first  # the very same stays as it is
    team.approve("ben")
    assert len(team.ask(run, needed=2).approved) == 1
    with pytest.raises(Refused, match="waits for approval as champion already"):
        team.ask(run, alias="staging")
    with pytest.raises(UsageError, match="a refusal says why"):
        team.approve("cleo", refuse=True)
    done = team.approve("cleo", refuse=True, text="the test set leaks")
    assert (done.outcome, team.state("2"), team.aliases()) == ("refused", "refused", {"champion": "1"})
    said = team.decisions()[-1]
    assert (said["kind"], said["reasons"]) == ("refused", ["the test set leaks"])
    done = team.approve("dora", "2")
    assert (done.outcome, done.moved) == ("refused", False)
    assert "refused by Cleo <cleo@example.org>: the test set leaks" in done.reasons[0]
    anew = team.ask(run, needed=2)
    assert (anew.state, anew.approved, anew.settled) == ("pending", (), "")
    tags = team.api.get_model_version("wine", "2").tags
    assert {text for key, text in tags.items() if "given" in key or "settled" in key} == {""}
    assert team.ask(run, needed=1).needed == 1  # other words: what was approved was not this
    assert team.approve("ben").moved


def test_what_has_expired_is_approved_by_nobody(team: Team) -> None:
    run = team.run("second")
    asked = team.ask(run, expires_days=1 / 86_400)
    while not approval.over(asked, approving._now()):
        time.sleep(0.05)
    (listed,) = team.waiting("ben")
    assert (listed.state, listed.mine) == ("expired", False)
    done = team.approve("ben")
    assert (done.outcome, done.moved, team.state("2")) == ("expired", False, "expired")
    assert team.aliases() == {"champion": "1"}
    assert kinds(team)[-1] == ("expired", "2")
    again = team.ask(run, expires_days=1 / 86_400)  # and can be asked for again
    while not approval.over(again, approving._now()):
        time.sleep(0.05)
    assert team.ask(run).state == "pending"
    assert [kind for kind, _ in kinds(team)[-3:]] == ["pending", "expired", "pending"]


def test_an_alias_that_was_moved_meanwhile_stays(team: Team) -> None:
    run, other = team.run("second"), team.run("third")
    team.ask(run)
    team.ask(other)
    with pytest.raises(UsageError, match=r"2 versions of wine wait — say which: wine/3, wine/2"):
        team.approve("ben")
    assert team.approve("ben", "3").moved
    done = team.approve("ben", "2")
    assert (done.outcome, done.moved) == ("moved", False)
    assert done.reasons == ("champion pointed at version 1 when approval was asked for, and points at version 3 now",)
    assert (team.state("2"), team.aliases()) == ("moved", {"champion": "3", "previous": "1"})
    team.ask(run)
    team.api.set_registered_model_alias("wine", "champion", "1")  # by MLflow's own call
    assert team.approve("ben", "2").outcome == "moved"
    assert team.aliases()["champion"] == "1"
    assert [kind for kind, _ in kinds(team)[-4:]] == ["pending", "moved", "approved", "moved"]


def test_a_run_that_was_edited_since_is_not_promoted(team: Team) -> None:
    deeds: dict[str, tuple[Callable[[str], Any], str]] = {
        "metric": (
            lambda run: team.api.log_metric(run, "accuracy", 0.99, step=1),
            "edited since it was judged: the metric 'accuracy' was changed",
        ),
        "added": (lambda run: team.api.log_metric(run, "f1", 0.99), "the metric 'f1' was added"),
        "tag": (
            lambda run: team.api.set_tag(run, "nbledger.dirty", "never"),
            "the tag 'nbledger.dirty' was changed",
        ),
        "status": (lambda run: team.api.update_run(run, status="FAILED"), "it is FAILED, not FINISHED"),
        "manifest": (
            lambda run: team.manifest(run).write_text(team.manifest(run).read_text().replace("0.85", "0.99")),
            "manifest is not the one that was judged",
        ),
        "gone": (lambda run: team.manifest(run).unlink(), "has no manifest any more"),
        "seal": (
            lambda run: team.api.set_tag(run, "nbledger.manifest", "ab" * 32),
            "manifest is not the one that was judged",
        ),
        "deleted": (team.api.delete_run, "its run is deleted"),
    }
    for name, (deed, said) in deeds.items():
        run = team.run(name, accuracy=0.85)
        version = team.ask(run).version
        deed(run)
        done = team.approve("ben", version)
        assert (done.outcome, done.moved, team.state(version)) == ("refused", False, "refused"), name
        assert said in done.reasons[0]
        assert team.decisions()[-1]["reasons"] == list(done.reasons)
    assert team.aliases() == {"champion": "1"}


def test_what_a_killed_process_had_begun_is_finished_by_the_next(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.ask(team.run("second"))
    point = mlflow_registry.point
    for after in (False, True):  # before the alias moves, and after it has

        def killed(api: Any, uri: str, model: str, alias: str, number: str | None, after: bool = after) -> None:
            if alias != "champion" or after:
                point(api, uri, model, alias, number)
            if alias == "champion":
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(mlflow_registry, "point", killed)
            with pytest.raises(KeyboardInterrupt):
                team.approve("ben")
        assert team.state("2") == "pending"
    assert team.aliases()["champion"] == "2"
    done = team.approve("cleo")
    assert (done.outcome, done.moved, team.aliases()) == ("approved", True, {"champion": "2", "previous": "1"})
    said = [kind for kind, version in kinds(team, 3) if version == "2"]
    assert said == ["pending", "approved", "promote", "promote", "approved"]  # the first of which came to nothing
    assert [one["version"] for one in team.decisions() if one["kind"] == "moved"] == ["1"]  # as is said


def race(team: Team, people: list[str]) -> None:
    """Everybody approves at once: one moves it, all are recorded, in one order."""
    before = len(team.decisions())
    ended = team.typed(*[(name, ("approve", "wine/2", "-m", f"by {name}")) for name in people])
    assert [(one.code, "✓ wine version 2" in one.out) for one in ended] == [(0, True)] * len(people)
    assert sum("is champion in place of version 1" in one.out for one in ended) == 1
    record = team.decisions()[before:]
    assert [one["kind"] for one in record].count("promote") == 1
    assert record[1]["kind"] == "promote"  # right after the first
    assert sorted(one["by"].split()[0] for one in record if one["kind"] == "approved") == [n.title() for n in people]
    left = team.aliases().pop("candidate", None)  # only who may delete a model of the server may take an alias away
    assert left is None or any("the alias candidate stays where it is" in one.out for one in ended)
    assert team.aliases() == {"champion": "2", "previous": "1"} | ({"candidate": left} if left else {})
    assert [one.name for one in team.api.search_registered_models()] == ["wine"]  # no lock is left


def test_approvals_that_race(team: Team) -> None:
    team.ask(team.run("second"))
    race(team, ["ben", "cleo", "dora", "emil"])


def test_an_approval_and_a_refusal_that_race(team: Team) -> None:
    team.ask(team.run("second"))
    yes, no = team.typed(("ben", ("approve", "wine/2")), ("cleo", ("approve", "wine/2", "--refuse", "-m", "no")))
    assert {yes.code, no.code} == {0, 1}
    moved = team.aliases()["champion"] == "2"
    assert moved == (yes.code == 0) == (no.code == 1)
    assert [kind for kind, _ in kinds(team, 4)] == (["approved", "promote"] if moved else ["refused"])


def test_who_waits_hears_of_it(team: Team) -> None:
    asked = team.ask(team.run("second"), needed=2)
    assert approving.wait(find(team.root), asked, 0.01).state == "pending"
    team.approve("ben")
    told: list[tuple[int, int]] = []
    found: list[approval.Pending] = []
    waiting = threading.Thread(
        target=lambda: found.append(
            approving.wait(find(team.root), asked, 5, lambda done, of, _: told.append((done, of)))
        )
    )
    waiting.start()
    ended = team.typed(("cleo", ("approve", "wine")))[0]
    waiting.join(60)
    assert ended.code == 0, ended.out
    assert [one.state for one in found] == ["approved"]
    assert told[0] == (0, 2)


def test_a_merge_of_the_pull_request_is_an_approval(team: Team) -> None:
    root = team.root
    ci = {
        "CI": "true",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "",
        "GIT_AUTHOR_EMAIL": "",
        "LOGNAME": "runner",
    }

    def merged(where: str, **more: Any) -> approving.Approval:
        """As a CI job asks, which is nobody."""
        with team.being("ben", **ci):
            return approving.approve(find(root), {"model": "wine", "merged": where, **more}, None)

    team.publish()
    assert merged("main").outcome == "nothing"
    (ended,) = team.typed(("ben", ("approve", "vine", "--merged", "main")))  # as before the first release
    assert (ended.code, "there is no registered model vine yet" in ended.out) == (0, True)
    git(root, "switch", "--quiet", "--create", "feature")
    commit_all(root)
    early = team.run("early")
    team.publish("feature")
    team.merge("feature", "ben", GIT_COMMITTER_DATE=f"{int(time.time()) - 3600} +0000")
    team.ask(early)
    done = merged("main")
    assert (done.outcome, done.moved) == ("denied", False)
    assert "before approval was asked for" in done.reasons[0]
    team.approve("ben", refuse=True, text="too early")

    git(root, "switch", "--quiet", "--create", "better")
    (root / "loose.py").write_text("x = 1\n")
    team.ask(team.run("dirty"))
    assert merged("main").reasons == ("the run's code is in no commit that could have been merged",)
    team.approve("ben", refuse=True, text="dirty")

    commit_all(root)
    team.publish("better")
    version = team.ask(team.run("better")).version
    assert "is not in origin/main" in merged("main").reasons[0]
    own = team.merge("better", "ada", GIT_AUTHOR_EMAIL="7+ada@users.noreply.github.com")
    done = merged(own)
    assert (done.outcome, done.reasons[0]) == ("denied", "you made the run: another person has to approve it")
    assert done.reasons[1:] == (
        "and who merged it, no forge was asked: whether this is on GitHub or GitLab is not known",
    )
    with pytest.raises(UsageError, match="origin has no branch 'nope'"):
        merged("nope")
    assert team.approve("ben", refuse=True, text="merged by its author").outcome == "refused"

    git(root, "switch", "--quiet", "--create", "best")
    commit = commit_all(root)
    team.publish("best")
    version = team.ask(team.run("best")).version
    made = team.merge("best", "cleo")
    (ended,) = team.typed(("ben", ("approve", "wine", "--merged", "main", "--json")))
    assert ended.code == 0, ended.out
    assert team.aliases() == {"champion": version, "previous": "1"}
    said = team.decisions()[-2]
    assert (said["kind"], said["by"]) == ("approved", "Cleo <cleo@example.org>")  # who merged, not who said so
    assert said["text"] == f"1 of 1, by the merge {made} into origin/main"
    given = json.loads(team.api.get_model_version("wine", version).tags["nbledger.approval.given.001"])
    assert (given["how"], given["commit"], given["branch"]) == ("merge", made, "origin/main")
    assert commit in git(root, "rev-list", made, "--")
    assert git(root, "branch", "--show-current") == "best"


def test_what_ci_asks_for_is_the_work_of_who_wrote_the_commits(team: Team) -> None:
    root = team.root
    nobody = {"GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": "", "LOGNAME": "runner", "GIT_CONFIG_GLOBAL": "/dev/null"}
    with team.being("dora"):
        commit_all(root)
    run = team.run("by CI", by="ci", accuracy=0.9)
    with team.being("ci", CI="true"):
        asked = team.ask(run, by="ci")
    assert {party.role for party in asked.parties} == {"made the run"} | {
        "wrote the run's code",
        "asked for this promotion",
    }
    assert team.approve("dora").reasons == ("you wrote the run's code: another person has to approve it",)
    assert team.approve("ada").moved
    unsaid = team.api.create_run(team.api.get_run(run).info.experiment_id).info.run_id
    with team.being("ada"), pytest.raises(Refused, match="does not say who that is"):
        approving._parties(find(root), team.api, unsaid)
    with team.being("x", **nobody):
        named = persons.identity(find(root), team.api)
        assert (named.keys, approval.why_not(asked, named.keys)) == ((), approval.NOBODY)


def test_by_the_command_line_from_the_gate_to_the_champion(team: Team) -> None:
    settings = '[gates.release]\nif = "accuracy >= champion.accuracy + 0.005"\napprovals = 1\n[models.wine]\ngate = "release"\n'
    (team.root / ".nbledger.toml").write_text(settings)
    commit_all(team.root)
    team.run("better", accuracy=0.95)
    words = ("promote", "better", "--model", "wine", "--expires-days", "2")
    asked, waits, mine, hers = (
        team.typed(one)[0]
        for one in (
            ("ada", words),
            ("ben", ("approve",)),
            ("ada", ("approve", "wine")),
            ("ben", ("approve", "wine/2", "-m", "fine", "--json")),
        )
    )
    assert asked.code == 1
    assert "waits for approval by 1 other person: nbledger approve wine/2 (until 20" in asked.out
    assert waits.code == 0
    assert "wine/2 as champion in place of version 1, 0 of 1 approvals, until" in waits.out
    assert "asked for by Ada <ada@example.org>: run better (" in waits.out
    assert "accuracy 0.95" in waits.out
    assert (mine.code, "✗ this is no approval of wine version 2" in mine.out) == (1, True)
    assert hers.code == 0
    said = json.loads(hers.out[hers.out.index("{") :])
    assert (said["outcome"], said["moved"], said["pending"]["approved"][0]["text"]) == ("approved", True, "fine")
    assert team.aliases() == {"champion": "2", "previous": "1"}
    assert [kind for kind, _ in kinds(team, 3)] == ["pending", "approved", "promote"]

    team.run("best", accuracy=0.99)
    approving_it = threading.Thread(target=approves_when_it_waits, args=(team, "ben"))
    approving_it.start()
    (waited,) = team.typed(("ada", ("promote", "best", "--model", "wine", "--wait", "5")))
    approving_it.join(120)
    assert waited.code == 0, waited.out
    assert "✓ wine version 3 is champion: approved by Ben <ben@example.org>" in waited.out
    assert team.aliases() == {"champion": "3", "previous": "2"}


def test_the_keeper_of_somebody_else_is_not_taken_for_who_asks(team: Team) -> None:
    """It has the environment of whoever started it."""
    commit_all(team.root)
    team.run("better", accuracy=0.95)
    with team.being("ada"):
        assert client.ready(find(team.root)) is not None
    gate = ("--if", "accuracy > 0.9", "--approve-by", "1")
    asked, hers, his = (
        team.typed(one)[0]
        for one in (
            ("ada", ("promote", "better", "--model", "wine", *gate)),
            ("ada", ("approve",)),
            ("ben", ("approve",)),
        )
    )
    assert asked.code == 1 and hers.code == his.code == 0
    assert "you cannot: you made the run" in hers.out
    assert "you cannot" not in his.out and "nbledger approve wine/2" in his.out
    for words in (("approve", "wine"), ("rollback", "wine", "-m", "back")):
        (done,) = team.typed(("ben", words))
        assert done.code == 0, done.out
    assert team.aliases()["champion"] == "1"
    assert team.decisions()[-1]["by"].startswith("Ben <ben@example.org>")


APPROVES = """
import sys, time
from nbledger.core.project import find
from nbledger.keeper import calls
for _ in range(600):
    if calls.perform(find(), "approvals", {}):
        break
    time.sleep(0.2)
sys.exit(0 if calls.perform(find(), "approve", {"model": "wine"}).moved else 1)
"""


def approves_when_it_waits(team: Team, name: str) -> None:
    subprocess.run(
        [sys.executable, "-c", APPROVES], cwd=team.root, env=dict(os.environ) | team.variables(name), check=True
    )


def test_the_server_says_who_somebody_is(project: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "plain"\n')
    assert server.auth is not None
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", server.auth[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.auth[1])
    from nbledger.core import trust

    trust.trust(find(project))
    team = begun(Team(project, server))
    asked = team.ask(team.run("second"))
    assert asked.by == "Ada <ada@example.org> (login ada)"
    with team.being("ada", GIT_AUTHOR_NAME="Ben", GIT_AUTHOR_EMAIL="ben@example.org"):
        assert approving.approve(find(project), {"model": "wine"}, None).outcome == "denied"
    with team.being("ben", MLFLOW_TRACKING_PASSWORD="wrong"), pytest.raises(ToolFailed, match="401"):
        approving.approve(find(project), {"model": "wine"}, None)
    with team.being("root"):  # a login like any other, where the server knows it
        assert persons.identity(find(project), mlflow.client(find(project))).keys[-1] == "root@example.org"
        assert "root" in persons.identity(find(project), mlflow.client(find(project))).keys
    race(team, ["ben", "cleo", "dora"])


def test_hostile_names_are_names(team: Team) -> None:
    run = team.run("second")
    for number, model in enumerate(("$(touch x)", "a;b", 'it\'s "so"', "`x`", "--refuse", "ü" * 200), start=1):
        team.ask(run, model=model)
        assert len(team.waiting("ben")) == number
    done = team.approve("ben", model="$(touch x)", text="\x1b[31m$(touch x)")
    assert done.moved
    assert not (team.root / "x").exists()
    for name in ("a/b", "a:b", "", " ", "x" * 900, "no such"):
        with pytest.raises(LedgerError):
            team.approve("ben", "1", model=name)
    with pytest.raises(UsageError):
        team.approve("ben", "../1", model="a;b")


def test_what_was_promoted_without_approval_waits_no_more(team: Team) -> None:
    run = team.run("second")
    words = ("promote", "second", "--model", "wine", "--if", "accuracy > 0.4")
    (asked,) = team.typed(("ada", (*words, "--approve-by", "1")))
    assert (asked.code, team.state("2")) == (1, "pending")
    (done,) = team.typed(("ada", words))
    assert done.code == 0, done.out
    assert team.aliases() == {"champion": "2", "previous": "1"}  # and no candidate
    assert (team.state("2"), team.waiting("ben")) == ("promoted", [])
    why = "champion points at it already: moved without approval by Ada <ada@example.org>"
    assert team.api.get_model_version("wine", "2").tags["nbledger.approval.settled"] == why
    said = team.decisions()[-1]
    assert (said["kind"], said["by"]) == ("promote", "Ada <ada@example.org>")
    assert said["reasons"] == ["set aside: approval by 1 other person, which it waited for"]
    before = team.decisions()
    for more in ((), ("--refuse", "-m", "no")):
        (ended,) = team.typed(("ben", ("approve", "wine/2", *more)))
        assert (ended.code, ended.out.strip().splitlines()) == (
            1,
            ["✗ wine version 2 waits no more", f"  {why}"],
        )
    assert team.decisions() == before
    assert team.ask(run, alias="staging").state == "pending"  # for another alias it may wait


def test_a_way_around_approval_is_seen_whichever_it_was(team: Team) -> None:
    second, third = team.run("second"), team.run("third")
    team.ask(second)
    team.ask(third, alias="staging")
    with team.being("ada"):  # as the sidebar's menu does
        calls.perform(find(team.root), "alias", {"model": "wine", "alias": "champion", "version": "2"})
    assert (team.state("2"), team.state("3")) == ("promoted", "pending")  # the other waits for another alias
    team.ask(team.run("fourth"))
    with team.being("ada"):
        calls.perform(find(team.root), "rollback", {"model": "wine", "to": "4"})
    assert team.state("4") == "promoted"
    team.api.set_registered_model_alias("wine", "staging", "3")  # by MLflow's own call
    for refuse in (False, True):
        done = team.approve("ben", "3", refuse=refuse, text="fine")
        assert (done.outcome, done.moved) == ("promoted", False)
        assert done.reasons == ("staging points at it already: moved without approval",)
    assert (team.state("3"), team.waiting("ben")) == ("promoted", [])
    assert team.aliases() == {"champion": "4", "previous": "2", "staging": "3"}


def test_a_request_that_is_overtaken_is_in_nobodys_way(team: Team) -> None:
    run = team.run("second")
    team.ask(run)
    team.api.set_registered_model_alias("wine", "champion", "2")  # by MLflow's own call
    assert team.ask(run, alias="staging").alias == "staging"


def test_who_waits_hears_that_it_was_promoted_without(team: Team) -> None:
    asked = team.ask(team.run("second"))
    with team.being("cleo"):
        calls.perform(find(team.root), "alias", {"model": "wine", "alias": "champion", "version": "2"})
    found = approving.wait(find(team.root), asked, 1)
    why = "champion points at it already: moved without approval by Cleo <cleo@example.org>"
    assert face.ended(found) == f"✗ wine version 2 waits no more: {why}"


def test_what_is_to_be_typed_is_quoted(team: Team) -> None:
    run = team.run("second")
    asked = team.ask(run, model="red wine")
    assert "waits for approval by 1 other person: nbledger approve 'red wine/1' (until" in face.waits(asked)
    assert "  nbledger approve 'red wine/1'" in face.listed(team.waiting("ben")).splitlines()
    with pytest.raises(Refused, match="nbledger approve 'red wine/1' --refuse -m WHY ends that"):
        team.ask(run, model="red wine", alias="staging")


def test_what_has_expired_is_asked_for_again(team: Team) -> None:
    run = team.run("my run")
    for model, alias in (("wine", "champion"), ("red wine", "staging")):
        asked = team.ask(run, model=model, alias=alias, expires_days=1 / 86_400)
        while not approval.over(asked, approving._now()):
            time.sleep(0.05)
    said = face.listed(team.waiting("ben"))
    assert "nbledger approve" not in said
    again = f"  nbledger promote {run[:8]} --model"
    assert f"{again} wine, as before, asks again" in said.splitlines()
    assert f"{again} 'red wine' --alias staging, as before, asks again" in said.splitlines()
    assert "you cannot" not in face.listed(team.waiting("ada"))
