"""Who somebody is, for approvals and on record: as Git has them, in all the spellings that ``.mailmap`` joins."""

from __future__ import annotations

from pathlib import Path

import pytest

import promotions
from approvals import Team
from conftest import commit_all
from nbledger.commands.rollback import listed
from nbledger.core import mlflow, trust
from nbledger.core.project import find
from nbledger.keeper import approving, calls, persons

HOME = {"GIT_AUTHOR_NAME": "A. L.", "GIT_AUTHOR_EMAIL": "ada@home.example", "LOGNAME": "al"}
WORK = {"GIT_AUTHOR_NAME": "Ada Lovelace", "GIT_AUTHOR_EMAIL": "Ada@Example.org", "LOGNAME": "lovelace"}
MAILMAP = "Ada <ada@example.org> <ada@home.example>\n"


@pytest.mark.parametrize("late", [False, True], ids=["before it is asked for", "afterwards"])
@pytest.mark.parametrize(("asks", "approves"), [(HOME, WORK), (WORK, HOME)], ids=["home first", "work first"])
def test_nobody_approves_with_a_second_address(
    project: Path, asks: dict[str, str], approves: dict[str, str], late: bool
) -> None:
    if not late:
        (project / ".mailmap").write_text(MAILMAP)
    commit_all(project) if not late else None
    team = Team(project)
    run = team.run("first", by="cleo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Team, "variables", lambda self, name: asks)
        team.ask(run, by="ada")
    if late:
        (project / ".mailmap").write_text(MAILMAP)
    with team.being("ada", **approves):
        (shown,) = approving.approvals(find(project), {}, None)
        assert shown.why_not == "you asked for this promotion: another person has to approve it"
        done = approving.approve(find(project), {"model": "wine"}, None)
    assert (done.outcome, done.moved, done.reasons) == ("denied", False, (shown.why_not,))
    assert team.approve("ben").moved


def test_two_addresses_of_one_person_are_one_approval(project: Path) -> None:
    (project / ".mailmap").write_text(MAILMAP)
    team = Team(project)
    team.ask(team.run("first", by="cleo"), by="cleo", needed=2)
    for who in (HOME, WORK):
        with team.being("ada", **who):
            done = approving.approve(find(project), {"model": "wine"}, None)
        assert (done.outcome, len(done.pending.approved)) == ("counted", 1)
    assert done.notes == (
        "A. L <ada@home.example> approved it already",
    )  # Git takes the last dot for no part of a name


def test_a_broken_mailmap_joins_nobody_and_stops_nothing(project: Path) -> None:
    (project / ".mailmap").write_bytes(b"\xff\xfe<<<>>>\n<> <>\n" * 1000 + b"x" * 100_000)
    team = Team(project)
    team.ask(team.run("first"))
    assert team.approve("ada").outcome == "denied"
    assert team.approve("ben").moved
    known = persons.known_as(find(project), ["no address", "Eve\n<eve@example.org>"])
    assert known == ("eve", "eve@example.org", "no address")


# ── what stands on record ────────────────────────────────────────────────────────────────────────────────


def test_decisions_say_who_as_git_has_them(project: Path) -> None:
    trust.trust(find(project))
    for name, accuracy, who in (("first", 0.9, "ada"), ("second", 0.95, "ben"), ("third", 0.5, "cleo")):
        run = promotions.recorded(project, name, {"accuracy": accuracy})
        with Team(project).being(who, LOGNAME="root"):
            words = {"run": run, "model": "wine", "condition": "accuracy > 0.8"}
            decision = calls.perform(find(project), "promote_if", words)
        assert decision.by == f"{who.title()} <{who}@example.org>"
    with Team(project).being("dora", LOGNAME="root"):
        calls.perform(find(project), "rollback", {"model": "wine"})
        calls.perform(find(project), "alias", {"model": "wine", "alias": "staging", "version": "2"})
        mlflow.client(find(project)).set_registered_model_tag("wine", "nbledger.decision.000006", OLD)
        found = calls.perform(find(project), "decisions", {"model": "wine"})
    people = [f"{name} <{name.lower()}@example.org>" for name in ("Ada", "Ben", "Cleo", "Dora", "Dora")]
    assert [one.by for one in found.decisions] == [*people, "root"]  # as it was written once
    shown = listed(found)
    assert "Ben <ben@example.org>" in shown
    tags = mlflow.client(find(project)).get_model_version("wine", "2").tags
    assert tags["nbledger.gate.by"] == "Ben <ben@example.org>"


def test_where_git_knows_nobody_the_login_is_written_down(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, text in {
        "GIT_AUTHOR_NAME": "",
        "GIT_AUTHOR_EMAIL": "",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "LOGNAME": "ben",
    }.items():
        monkeypatch.setenv(key, text)
    project_ = find(project)
    assert persons.named(project_, mlflow.client(project_)) == "ben"


OLD = '{"n": 6, "at": "2025-01-01T00:00:00Z", "kind": "promote", "alias": "champion", "version": "2", "by": "root"}'
