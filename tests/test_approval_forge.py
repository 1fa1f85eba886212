"""A pull request that was squashed or rebased as an approval: Git shows nobody who took it in, so the forge is asked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from approvals import Team
from conftest import commit_all, git
from fakeforge import Account, Forge, forge
from fakerequests import Person, Request, Review
from nbledger.core.errors import Unreachable
from nbledger.core.project import find
from nbledger.keeper import approving

TOKEN = "ghs_abcdefghijklmnopqrstuvwxyz0123456789"
ADA, BEN, CLEO = Person(1, "ada-codes"), Person(2, "ben", "Ben", "ben@example.org"), Person(3, "cleo", "Cleo")
CI = {
    "CI": "true",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "",
    "GIT_AUTHOR_EMAIL": "",
    "LOGNAME": "runner",
}


@pytest.fixture(params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[Forge]:
    with forge(request.param) as started:
        started.accounts[TOKEN] = Account("nbledger-bot", bot=True)
        started.requests.people += [ADA, BEN, CLEO]
        yield started


def now(minutes: float = 0.0) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)).isoformat()


def asked(project: Path, needed: int = 1) -> tuple[Team, str]:
    """A team whose model waits, of a run on the branch ``better``, which is pushed; the run's commit."""
    team = Team(project)
    team.publish()
    git(project, "switch", "--quiet", "--create", "better")
    (project / "model.py").write_text("depth = 3\n")
    commit = commit_all(project)
    team.publish("better")
    team.ask(team.run("better"), needed=needed)
    return team, commit


def merged(team: Team, server: Forge, commit: str, by: Person, how: str = "squash", **more: Any) -> Request:
    """The request is merged: its commits in main are others than those of the branch."""
    landed = team.merge("better", "ada", how=how)
    commits = [(commit, "Ada", "ada@example.org", ADA)]
    made = Request(7, ADA, commits, by, now(), landed, how, **more)
    server.requests.found[7] = made
    return made


def counted(team: Team, server: Forge, where: str = "main", token: str = TOKEN, **more: str) -> approving.Approval:
    """What a CI job does after the merge."""
    of = {
        "github": {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "team/wine",
            "GITHUB_API_URL": server.api,
            "GITHUB_TOKEN": token,
        },
        "gitlab": {
            "GITLAB_CI": "true",
            "CI_PROJECT_ID": "team/wine",
            "CI_API_V4_URL": server.api,
            "GITLAB_TOKEN": token,
        },
    }[server.kind]
    with team.being("ben", **CI, **of, **more):
        return approving.approve(find(team.root), {"model": "wine", "merged": where}, None)


@pytest.mark.parametrize("how", ["squash", "rebase"])
def test_who_merged_a_squash_or_a_rebase_has_approved_it(project: Path, server: Forge, how: str) -> None:
    team, commit = asked(project)
    made = merged(team, server, commit, BEN, how)
    if (
        how == "rebase" and server.kind == "gitlab"
    ):  # which rebases before the merge: the request holds other commits then
        made.commits = [(made.landed, "Ada", "ada@example.org", ADA)]
        done = counted(team, server)
        assert (done.outcome, done.moved) == ("denied", False)
        return
    done = counted(team, server, token="")
    assert (done.outcome, done.moved) == ("denied", False)
    assert "is not in origin/main" in done.reasons[0]
    assert "there is no token for Git" in done.reasons[1]
    assert server.got == []
    done = counted(team, server, made.landed)
    assert (done.outcome, done.moved, done.by) == ("approved", True, "Ben <ben@example.org>")
    assert team.aliases() == {"champion": "1"}
    request = f"the {'pull request #' if server.kind == 'github' else 'merge request !'}7 of team/wine"
    (said,) = [one for one in team.decisions() if one["kind"] == "approved"]
    assert said["text"] == f"1 of 1, by the merge {made.landed} into origin/HEAD of {request}"
    given = json.loads(team.api.get_model_version("wine", "1").tags["nbledger.approval.given.001"])
    assert (given["how"], given["commit"], given["request"]) == ("merge", made.landed, request)
    assert counted(team, server).outcome == "nothing"


def test_another_persons_review_counts_where_the_author_merged(project: Path, server: Forge) -> None:
    team, commit = asked(project)
    made = merged(team, server, commit, ADA)
    done = counted(team, server)
    assert (done.outcome, done.moved) == ("denied", False)
    assert "was merged by ada-codes, who " in done.reasons[-1]
    made.reviews = [Review(CLEO, now(-60), commit)]
    assert "before approval was asked for" in counted(team, server).reasons[-1]
    made.reviews = [Review(ADA, now(), commit)]
    assert counted(team, server).outcome == "denied"
    made.reviews = [Review(CLEO, now(), commit)]
    done = counted(team, server)
    assert (done.outcome, done.moved) == ("approved", True)
    assert done.by.startswith("Cleo <3+cleo@users.noreply.")
    (said,) = [one for one in team.decisions() if one["kind"] == "approved"]
    assert "1 of 1, by a review of the " in said["text"]


def test_a_merge_and_a_review_are_two_approvals(project: Path, server: Forge) -> None:
    team, commit = asked(project, needed=2)
    made = merged(team, server, commit, BEN)
    done = counted(team, server)
    assert (done.outcome, len(done.pending.approved)) == ("counted", 1)
    again = counted(team, server)
    assert (again.outcome, len(again.pending.approved)) == ("counted", 1)
    made.reviews = [Review(BEN, now(), commit), Review(CLEO, now(), commit)]
    done = counted(team, server)
    assert (done.moved, [one.how for one in done.pending.approved]) == (True, ["merge", "review"])


def test_a_second_account_or_address_of_the_author_is_the_author(project: Path, server: Forge) -> None:
    team, commit = asked(project)
    second = Person(11, "al1815")  # its profile shows nothing
    server.requests.people.append(second)
    made = merged(team, server, commit, second)
    made.author = CLEO  # who opened it for her
    if server.kind == "github":
        assert "was merged by al1815, who made the run" in nobody(team, server, made, commit, second)
        made.commits = [(commit, "Ada", "ada@example.org", None)]  # the forge does not know whose the address is
        assert "shows no name and no address: they may be who made the run" in counted(team, server).reasons[-1]
    second.name, second.address = "A. Lovelace", "ada@home.example"
    (project / ".mailmap").write_text("Ada <ada@example.org> <ada@home.example>\n")
    assert "who made the run" in counted(team, server).reasons[-1]
    second.address = None
    noreply = "users.noreply.127.0.0.1"
    (project / ".mailmap").write_text(f"Ada <ada@example.org> <11+al1815@{noreply}>\n")
    assert "who made the run" in counted(team, server).reasons[-1]
    assert team.state("1") == "pending"


def nobody(team: Team, server: Forge, made: Request, commit: str, account: Person) -> str:
    """Why the merge of an account counts for nothing that wrote the run's commit, as the forge knows."""
    made.commits = [(commit, "Ada", "ada@example.org", account)]
    done = counted(team, server)
    assert (done.outcome, done.moved) == ("denied", False)
    return done.reasons[-1]


def test_what_is_in_doubt_is_no_approval(project: Path, server: Forge) -> None:
    team, commit = asked(project)
    made = merged(team, server, commit, BEN)
    made.at = now(-60)
    assert "before approval was asked for" in counted(team, server).reasons[-1]
    made.at, made.by = now(), Person(9, "merge-queue", kind="Bot")
    server.requests.people.append(made.by)
    assert "which is no person" in counted(team, server).reasons[-1]
    made.by, landed = BEN, made.landed
    made.landed = commit  # what it is said to have made is not in the branch
    assert "which is not in main" in counted(team, server).reasons[-1]
    made.landed, made.target = landed, "develop"
    assert "into develop, not into main" in counted(team, server).reasons[-1]
    made.target = "main"
    git(project, "remote", "set-url", "--push", "origin", git(project, "remote", "get-url", "origin"))
    server.before = lambda got: (429, {"Retry-After": "3600"}, {"message": "slow down"})
    with_error = pytest.raises(Unreachable, match="takes no more requests")
    with with_error:
        counted(team, server)
    server.before = lambda got: (404, {}, {"message": "Not Found"})
    assert "knows no pull or merge request" in counted(team, server).reasons[-1]
    server.before = None
    assert team.state("1") == "pending"
    assert counted(team, server).moved
