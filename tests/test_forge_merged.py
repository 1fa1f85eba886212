"""Who merged and approved a request, as GitHub and GitLab say it: what counts, what does not, and answers that nobody can use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from fakeforge import Account, Forge, Got, forge
from fakerequests import Person, Request, Review
from nbledger.core import forge as places
from nbledger.core import forge_merged
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable
from nbledger.core.forge import Place, Token
from nbledger.core.forge_http import Api
from nbledger.core.project import find

TOKEN = "ghs_abcdefghijklmnopqrstuvwxyz0123456789"
ASKED, LATER, LANDED, OTHER = "a" * 40, "b" * 40, "c" * 40, "d" * 40
AT = "2026-11-26T10:00:00Z"
ADA, BEN = Person(1, "ada"), Person(2, "Ben", "Ben Bitdiddle", "ben@example.org")
CLEO, BOT = Person(3, "cleo", "Cleo"), Person(9, "queue", "Queue", kind="Bot")


@pytest.fixture(params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[Forge]:
    with forge(request.param) as started:
        started.accounts[TOKEN] = Account("nbledger-bot", bot=True)
        started.requests.people += [ADA, BEN, CLEO, BOT]
        put(started)
        yield started


def put(server: Forge, number: int = 7, **more: Any) -> Request:
    commits = [(ASKED, "Ada", "ada@example.org", ADA), (LATER, "Cleo", "cleo@x.org", None)]
    made = Request(number, ADA, commits, BEN, AT, LANDED, **more)
    server.requests.found[number] = made
    return made


def api(server: Forge, slept: list[float] | None = None, **more: Any) -> Api:
    header = "Authorization" if server.kind == "github" else "PRIVATE-TOKEN"
    name = "team/wine" if server.kind == "github" else "team%2Fwine"
    waits = slept if slept is not None else []
    return Api(Place(server.kind, server.api, name, 0, Token(TOKEN, "THE_TOKEN", header)), waits.append, **more)


def asked(
    server: Forge, near: str = LANDED, *, named: bool = True, lies: Callable[[str], bool] | None = None, **more: Any
) -> Any:
    there = lies or (lambda commit: commit in (LANDED, OTHER))
    return forge_merged.request(api(server, **more), ASKED, "main", there, near, named=named)


def names(found: Any) -> list[tuple[str, str]]:
    return [(deed.what, deed.person.login) for deed in found.deeds]


def test_who_merged_it_and_who_approved_it(server: Forge) -> None:
    server.requests.found[7].reviews = [Review(CLEO, "2026-11-26T09:59:00Z", LATER)]
    found = asked(server)
    assert names(found) == [("merged", "ben"), ("approved", "cleo")]
    assert (found.commit, found.author) == (LANDED, "ada")
    assert found.at == dt.datetime(2026, 11, 26, 10, tzinfo=dt.UTC)
    ben = found.deeds[0].person
    assert ben.authors[0] == "Ben Bitdiddle <ben@example.org>"
    assert "Ben Bitdiddle <2+ben@users.noreply.127.0.0.1>" in ben.authors
    assert found.accounts == ({"Ada <ada@example.org>": "ada"} if server.kind == "github" else {})
    assert {got.method for got in server.got} == {"GET"}
    assert all(TOKEN not in got.path for got in server.got)


def test_it_is_found_by_what_the_merge_made_where_the_commit_is_forgotten(server: Forge) -> None:
    server.requests.only_open = True
    assert names(asked(server)) == [("merged", "ben")]
    with pytest.raises(Refused, match="knows no pull or merge request with the run's commit aaaaaaaaaa"):
        asked(server, near=ASKED, named=False)


def test_a_rebase_and_a_fast_forward(server: Forge) -> None:
    one = put(server, how="rebase")
    if server.kind == "gitlab":  # which then makes no commit of its own
        assert asked(server, near=LATER, lies=lambda commit: commit == LATER).commit == one.head
    else:
        assert asked(server).commit == LANDED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": None}, "is not merged"),
        ({"target": "develop"}, "was merged into develop, not into main"),
        ({"landed": OTHER}, "was merged by dddddddddd, not by cccccccccc"),
        ({"commits": [(LATER, "Ada", "ada@x.org", ADA)]}, "does not hold the run's commit aaaaaaaaaa"),
    ],
)
def test_what_is_no_such_request(server: Forge, change: dict[str, Any], said: str) -> None:
    put(server)
    for name, value in change.items():
        setattr(server.requests.found[7], name, value)
    server.requests.found[8] = Request(
        8, ADA, [(LANDED, "Ada", "ada@x.org", ADA)]
    )  # so that the forge knows both commits
    server.requests.found[9] = Request(9, ADA, [(ASKED, "Ada", "ada@x.org", ADA)])
    if "landed" in change or "commits" in change:
        del server.requests.found[8], server.requests.found[9]
    with pytest.raises(Refused, match=said):
        asked(server)


def test_git_is_asked_whether_it_lies_there(server: Forge) -> None:
    with pytest.raises(Refused, match="said to be merged as cccccccccc, which is not in main"):
        asked(server, lies=lambda _: False)


def test_a_machine_and_an_account_that_is_gone_are_nobody(server: Forge) -> None:
    for by in (BOT, None, Person(10, "ghost", "Ghost")):
        server.requests.found[7].by = by
        found = asked(server)
        assert found.deeds == ()
        assert "which is no person" in found.left_out[0]
    if server.kind == "github":
        server.requests.found[7].by = Person(11, "github-merge-queue[bot]", kind="Bot")
        assert asked(server).deeds == ()


def test_an_approval_is_one_of_what_was_there(server: Forge) -> None:
    one = server.requests.found[7]
    early = Review(CLEO, "2026-11-26T09:00:00Z", OTHER)
    one.reviews, one.pushed = [early], "2026-11-26T09:30:00Z"
    found = asked(server)
    assert names(found) == [("merged", "ben")]
    assert "approved by cleo, before" in found.left_out[0]
    if server.kind == "gitlab":
        one.reviews = [Review(CLEO, None)]
        assert "does not say when" in asked(server).left_out[0]
    else:
        yes, no = Review(CLEO, "2026-11-26T09:40:00Z", LATER), Review(CLEO, AT, LATER, "CHANGES_REQUESTED")
        for reviews, count in (([yes, no], 1), ([no, yes], 2), ([yes, Review(CLEO, AT, LATER, "COMMENTED")], 2)):
            one.reviews = reviews
            assert len(asked(server).deeds) == count


# ── answers that nobody can use ──────────────────────────────────────────────────────────────────────────


def usable(server: Forge) -> tuple[Any, LedgerError | None]:
    try:
        return asked(server), None
    except LedgerError as err:
        return None, err


@pytest.mark.parametrize(
    "body", [None, 7, "text", [], [7], {"merged": "yes"}, [{"number": "7; rm", "iid": [1]}], [[[]]]]
)
def test_an_answer_of_another_kind_is_an_error_in_one_line(server: Forge, body: Any) -> None:
    for part in (
        "pulls",
        "/merge_requests",
        "/pulls/7",
        "/merge_requests/7",
        "/commits",
        "/reviews",
        "/approvals",
        "/versions",
        "/users/",
    ):

        def before(got: Got, part: str = part) -> Any:
            path = got.path.partition("?")[0]
            return (200, {}, body) if path.endswith(part) or (part == "/users/" and part in path) else None

        server.before = before
        server.got.clear()
        found, error = usable(server)
        if error is not None:
            assert "\n" not in str(error)
            assert isinstance(error, (ToolFailed, Refused))
            continue
        answered = [got for got in server.got if before(got) is not None]
        assert not answered or (body == [] and not any(deed.what == "approved" for deed in found.deeds)), part


def test_what_the_forge_refuses_or_cannot_say(server: Forge) -> None:
    for status, body, error, said in (
        (401, {"message": "Bad credentials"}, Refused, "does not know the token of THE_TOKEN"),
        (403, {"message": "Resource not accessible"}, Refused, "may not"),
        (404, {"message": "Not Found"}, Refused, "no pull or merge request"),
        (429, {"message": "slow down"}, Unreachable, "takes no more requests"),
        (500, {"message": "oops"}, Unreachable, "answers 500"),
        (200, "x" * 70_000, ToolFailed, "answers"),
    ):
        server.before = lambda got, status=status, body=body: (
            status,
            {"Retry-After": "3600"} if status == 429 else {},
            body,
        )
        with pytest.raises(error, match=said) as refused:
            asked(server, most=65_536)
        assert TOKEN not in str(refused.value)
        assert "\n" not in str(refused.value)
    server.before = lambda got: "drop"
    with pytest.raises(Unreachable, match="does not answer"):
        asked(server)


def test_the_token_goes_nowhere_else(server: Forge) -> None:
    with forge(server.kind) as other:
        other.accounts[TOKEN] = Account("thief")
        server.before = lambda got: (302, {"Location": f"{other.url}{got.path}"}, None)
        with pytest.raises(Refused, match="moved"):
            asked(server)
        assert other.got == []
        # nor where the next page is said to be
        server.before = lambda got: (
            (200, {"Link": f'<{other.url}/x>; rel="next"', "X-Next-Page": "2"}, []) if "page=1" in got.path else None
        )
        with pytest.raises(LedgerError):
            asked(server)
        assert other.got == []


def test_names_of_a_profile_are_text(server: Forge) -> None:
    evil = Person(2, "Ben", "B\n<ada@example.org> \x1b[31m" + "e" * 900, "not an address <x>")
    server.requests.people[1] = evil
    (deed,) = asked(server).deeds
    assert deed.person.address == ""
    assert deed.person.name.startswith("B ada@example.org [31me")
    assert all(one.isprintable() and one.count("<") == 1 and len(one) < 200 for one in deed.person.authors)
    server.requests.found[7].by = Person(2, "../../user")
    with pytest.raises(ToolFailed, match="a login that is none"):
        asked(server)
    server.requests.found[7].by = Person(44, "ben")  # another account by now
    if server.kind == "github":
        assert asked(server).deeds == ()


def test_another_repository_than_origin_is_not_asked(project: Path, server: Forge) -> None:
    host = f"{server.kind}.com"
    git(project, "remote", "add", "origin", f"git@{host}:Team/Wine.git")
    apis = {"github": "https://api.github.com", "gitlab": "https://gitlab.com/api/v4"}

    def place(name: str, api: str) -> Place:
        return Place(server.kind, api, name, 0, Token(TOKEN, "THE_TOKEN", "Authorization"))

    places.refuse_another(find(project), place("team%2Fwine", apis[server.kind]))
    for name, api in (("team%2Ffork", apis[server.kind]), ("team%2Fwine", server.api)):
        with pytest.raises(Refused, match=f"origin is Team/Wine at {host}, and team"):
            places.refuse_another(find(project), place(name, api))
