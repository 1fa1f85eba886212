"""One comment on a pull request, against a server that speaks GitHub's and GitLab's endpoints: whose it is, who is first."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, git
from fakeforge import Account, Forge, Got, forge
from nbledger.core import forge as places
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable, UsageError
from nbledger.core.forge import Place, Token
from nbledger.core.forge_comment import CREATED, OLDER, UNCHANGED, UPDATED, Mark, Posted, checked_key, post
from nbledger.core.forge_http import Api
from nbledger.core.project import find

TOKEN = "ghs_abcdefghijklmnopqrstuvwxyz0123456789"
HEAD, NEXT = "a" * 40, "b" * 40


@pytest.fixture(params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[Forge]:
    with forge(request.param) as started:
        started.accounts[TOKEN] = Account("nbledger-bot", bot=True)
        yield started


def api(server: Forge, run: int = 0, token: str = TOKEN, slept: list[float] | None = None) -> Api:
    header = "Authorization" if server.kind == "github" else "PRIVATE-TOKEN"
    name = "team/wine" if server.kind == "github" else "team%2Fwine"
    place = Place(server.kind, server.api, name, 7, Token(token, "THE_TOKEN", header), run)
    waits = slept if slept is not None else []
    return Api(place, sleep=waits.append)


def put(server: Forge, body: str, *, head: str = HEAD, run: int = 0, key: str = "report", **more: Any) -> Posted:
    return post(api(server, run, **more), body, Mark(key, head, run), lambda a, b: (a, b) == (NEXT, HEAD))


def ours(server: Forge, key: str = "report") -> list[str]:
    mark = f"<!-- nbledger:report key={key} "
    mine = [c for c in server.comments if c.body.startswith(mark) and c.author is server.accounts[TOKEN]]
    return [c.body.partition("\n")[2] for c in mine]


def test_it_is_made_once_and_then_updated_in_place(server: Forge) -> None:
    person = Account("ada")
    for number in range(230):
        server.add(person, f"talk {number}")
    stolen = server.add(person, f"{Mark('report', HEAD)}\nsomebody else's")
    server.add(server.accounts[TOKEN], f"> {Mark('report', HEAD)}\nour own answer, quoted")
    if server.kind == "gitlab":
        server.add(server.accounts[TOKEN], f"{Mark('report', HEAD)}\nwhat the platform itself notes", system=True)
    first = put(server, "one")
    assert first.action == CREATED
    other = put(server, "of another pipeline", key="nightly.2")
    for number in range(120):
        server.add(person, f"more talk {number}")
    again = put(server, "two", head=NEXT)
    assert (again.action, again.id) == (UPDATED, first.id)
    assert put(server, "two", head=NEXT).action == UNCHANGED
    (body,) = [c.body for c in server.comments if c.id == first.id]
    assert body == f"{Mark('report', NEXT)}\ntwo"
    assert ours(server, "nightly.2") == ["of another pipeline"]
    assert other.id != first.id
    assert stolen.body.endswith("somebody else's")
    assert len(server.asked("POST")) == 2
    assert len(server.asked("PATCH") + server.asked("PUT")) == 1
    assert all(TOKEN not in got.path for got in server.got)


def test_a_newer_report_stays(server: Forge) -> None:
    put(server, "of the newer commit", head=NEXT)
    assert put(server, "of the older one", head=HEAD).action == OLDER
    assert ours(server) == ["of the newer commit"]
    put(server, "run 12", head=NEXT, run=12)
    assert put(server, "run 11", head=NEXT, run=11).action == OLDER
    assert put(server, "run 12 again", run=12).action == UPDATED
    assert ours(server) == ["run 12 again"]


def test_two_jobs_that_begin_at_the_same_moment_leave_one_comment(server: Forge) -> None:
    together = threading.Barrier(3, timeout=60)

    def before(got: Got) -> None:
        if got.method == "POST":
            together.wait()  # nobody's comment is made until everybody has found none

    server.before = before
    done: dict[int, Posted] = {}

    def job(run: int) -> None:
        done[run] = put(server, f"run {run}", run=run)

    jobs = [threading.Thread(target=job, args=(run,)) for run in (1, 2, 3)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert len(ours(server)) == 1
    assert ours(server)[0] in {"run 1", "run 2", "run 3"}
    assert len({posted.id for posted in done.values()}) == 1
    server.before = None
    assert put(server, "run 4", run=4).action == UPDATED
    assert ours(server) == ["run 4"]


def test_what_an_earlier_race_left_is_taken_away(server: Forge) -> None:
    for run in (1, 2, 3):
        server.add(server.accounts[TOKEN], f"{Mark('report', HEAD, run)}\nrun {run}")
    posted = put(server, "now", run=9)
    assert (posted.action, posted.removed) == (UPDATED, 2)
    assert ours(server) == ["now"]


def test_a_comment_that_a_person_deletes_meanwhile_is_made_anew(server: Forge) -> None:
    put(server, "one")

    def before(got: Got) -> None:
        if got.method in ("PATCH", "PUT"):
            server.comments.clear()
            server.before = None

    server.before = before
    assert put(server, "two").action == CREATED
    assert ours(server) == ["two"]


def test_an_answer_that_got_lost_makes_no_second_comment(server: Forge) -> None:
    lost = []

    def before(got: Got) -> str | None:
        if got.method == "POST" and not lost:
            lost.append(got)
            return "drop"
        return None

    server.before = before
    assert put(server, "one").action == CREATED
    assert ours(server) == ["one"]
    assert len(server.asked("POST")) == 1


def test_a_platform_that_is_away_for_a_moment_or_asks_for_patience(server: Forge) -> None:
    answers: list[Any] = [(502, {}, None), (429, {"Retry-After": "7"}, {"message": "slow down"}), (503, {}, None)]
    server.before = lambda got: answers.pop() if answers and got.method == "GET" else None
    slept: list[float] = []
    assert put(server, "one", slept=slept).action == CREATED
    assert 7.0 in slept
    server.before = lambda got: (403, {"x-ratelimit-remaining": "0", "retry-after": "3600"}, {"message": "limit"})
    with pytest.raises(Unreachable, match="takes no more requests for 3600 s"):
        put(server, "two")
    answers = [(403, {}, {"message": "You have exceeded a secondary rate limit"})]
    server.before = lambda got: answers.pop() if answers and got.method == "POST" else None
    assert put(server, "three", key="other").action == CREATED  # what was put off was not done
    server.before = lambda got: (500, {}, {"message": f"broken {TOKEN}"})
    with pytest.raises(Unreachable, match="answers 500") as failed:
        put(server, "two")
    assert TOKEN not in str(failed.value)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, Refused, "does not know the token of THE_TOKEN"),
        (403, Refused, "may not"),
        (404, Refused, "finds nothing at"),
    ],
)
def test_what_the_platform_refuses(server: Forge, status: int, kind: type[LedgerError], said: str) -> None:
    server.before = lambda got: (status, {}, {"message": f"no, {TOKEN}\x1b[31m"}) if got.path != "/user" else None
    with pytest.raises(kind, match=said) as failed:
        put(server, "one")
    assert TOKEN not in f"{failed.value}"
    assert "\x1b" not in f"{failed.value}"
    assert failed.value.hint
    server.before = lambda got: (422, {}, {"message": "no", "errors": [{"message": "Body is odd"}]})
    with pytest.raises(ToolFailed, match="422 no Body is odd"):
        put(server, "one")


def test_a_token_follows_no_redirection(server: Forge) -> None:
    with forge(server.kind) as elsewhere:
        server.before = lambda got: (307, {"Location": f"{elsewhere.url}{got.path}"}, None)
        with pytest.raises(Refused, match="has moved"):
            put(server, "one")
        assert elsewhere.got == []


def test_a_workflows_own_token_which_is_not_told_who_it_is() -> None:
    with forge("github") as server:
        server.accounts[TOKEN] = Account("github-actions[bot]", bot=True, told=False)
        person = server.add(Account("mallory"), f"{Mark('report', HEAD)}\nmine")
        assert put(server, "one").action == CREATED
        assert put(server, "two").action == UPDATED
        assert ours(server) == ["two"]
        assert person.body.endswith("mine")
        server.accounts[TOKEN].writes = False
        with pytest.raises(Refused, match="may not change the comment: Resource not accessible") as failed:
            put(server, "three")
        assert "pull-requests: write" in failed.value.hint


def test_names_of_reports() -> None:
    assert checked_key("train-2.x") == "train-2.x"
    for key in ("", "a b", "-->", "../x", "ä", "x" * 61, "-x", "a\nb"):
        with pytest.raises(UsageError, match="no name for a report"):
            checked_key(key)


# ── where ────────────────────────────────────────────────────────────────────────────────────────────────


def at(root: Path, **env: str) -> Place:
    return places.place(find(root), env=env)


def test_in_a_workflow_of_github(project: Path, tmp_path: Path) -> None:
    head = commit_all(project)
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": "team/wine", "GITHUB_RUN_ID": "99"}
    found = at(project, **actions, GITHUB_REF="refs/pull/12/merge")
    assert (found.api, found.project, found.number, found.run) == ("https://api.github.com", "team/wine", 12, 99)
    assert found.head == head
    assert found.said == "the pull request #12 of team/wine"
    assert TOKEN not in repr(found)
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 5, "head": {"sha": NEXT}}}))
    found = at(project, **actions, GITHUB_REF="refs/heads/x", GITHUB_EVENT_PATH=str(event))
    assert (found.number, found.head) == (5, NEXT)
    event.write_text(json.dumps({"issue": {"number": 6}, "pull_request": [1]}))
    assert at(project, **actions, GITHUB_EVENT_PATH=str(event)).number == 6
    with pytest.raises(Refused, match="which pull request of GitHub"):
        at(project, **actions, GITHUB_REF="refs/heads/main")
    with pytest.raises(Refused, match="no token for GitHub"):
        at(project, **actions | {"GITHUB_TOKEN": " "}, GITHUB_REF="refs/pull/12/merge")
    with pytest.raises(UsageError, match="what no token does"):
        at(project, **actions | {"GITHUB_TOKEN": "a\r\nX: y"}, GITHUB_REF="refs/pull/12/merge")


def test_in_a_pipeline_of_gitlab(project: Path) -> None:
    commit_all(project)
    job = {
        "GITLAB_CI": "true",
        "CI_API_V4_URL": "https://git.example.org/api/v4/",
        "CI_PROJECT_ID": "42",
        "CI_PROJECT_PATH": "team/wine",
        "CI_JOB_TOKEN": "glcbt-1",
        "CI_PIPELINE_ID": "7",
    }
    found = at(project, **job, CI_MERGE_REQUEST_IID="3", CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=NEXT)
    assert (found.api, found.project, found.number, found.run, found.head) == (
        "https://git.example.org/api/v4",
        "42",
        3,
        7,
        NEXT,
    )
    assert found.token.headers() == {"JOB-TOKEN": "glcbt-1"}
    found = at(project, **job, CI_OPEN_MERGE_REQUESTS="other/wine!8,team/wine!9", GITLAB_TOKEN="glpat-x")
    assert (found.number, found.token.where) == (9, "GITLAB_TOKEN")
    assert found.token.headers() == {"PRIVATE-TOKEN": "glpat-x"}
    with pytest.raises(Refused, match="which merge request of GitLab"):
        at(project, **job, CI_OPEN_MERGE_REQUESTS="other/wine!8")


def test_no_token_goes_where_only_the_repository_says(project: Path) -> None:
    git(project, "remote", "add", "origin", "https://evil.example/team/wine.git")
    with pytest.raises(UsageError, match="GitHub or GitLab is not known"):
        at(project, GITHUB_TOKEN=TOKEN)
    with pytest.raises(Refused, match="which repository of GitHub"):
        places.place(find(project), kind="github", number=1, env={"GITHUB_TOKEN": TOKEN})
    for address in (
        "http://git.example.org",
        "https://u:p@git.example.org",
        "file:///x",
        "ftp://x",
        "https://[",
        "https://x?a=b",
    ):
        with pytest.raises(UsageError, match="GITHUB_API_URL is no"):
            places.place(
                find(project),
                kind="github",
                repository="a/b",
                number=1,
                env={"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": address},
            )
    for name in ("a", "a/b/c", "../x", "a/b?c", "a b/c", "$(touch x)/y", "a/b\nc", ""):
        with pytest.raises((UsageError, Refused)):
            places.place(find(project), kind="github", repository=name, number=1, env={"GITHUB_TOKEN": TOKEN})
    for url in ("git@github.com:team/wine.git", "https://github.com/team/wine", "ssh://git@github.com/team/wine.git"):
        git(project, "remote", "set-url", "origin", url)
        found = places.place(find(project), number=4, env={"GH_TOKEN": TOKEN})
        assert (found.kind, found.api, found.project) == ("github", "https://api.github.com", "team/wine")
    git(project, "remote", "set-url", "origin", "https://gitlab.com/group/sub/wine.git")
    found = places.place(find(project), number=4, env={"GITLAB_TOKEN": "t"})
    assert (found.api, found.project) == ("https://gitlab.com/api/v4", "group%2Fsub%2Fwine")
