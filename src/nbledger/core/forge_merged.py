"""What a forge says of how a commit came into a branch: the merged pull (merge) request that holds it, who merged it, and who
approved it. A squash and a rebase make other commits, in which Git shows nobody who took the work in; the forge knows.

Everything is asked of the forge's REST interface, and nothing that it answers is taken for more than it says: a field that
is missing or of another kind is an error, a machine is nobody, and an approval counts for the commits that were there
when it was given. That two commits make the same change (``git patch-id``) is no evidence of a person, and is not asked.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from nbledger.core import git
from nbledger.core.errors import Refused, ToolFailed
from nbledger.core.forge import GITHUB
from nbledger.core.forge_http import Api

MERGED, APPROVED = "merged", "approved"
MOST_BYTES = 8 << 20
"""Of one answer: what is longer is cut, and so no JSON."""

_MOST_REQUESTS, _MOST_PEOPLE, _NAME = 20, 20, 80
_LOGIN = re.compile(r"[\w.-]{1,255}", re.ASCII)
_ADDRESS = re.compile(r"[^\s<>@\"]{1,100}@[^\s<>@\"]{1,100}", re.ASCII)
_NOBODY = "ghost"
"""What both forges call an account that was deleted."""


@dataclass(frozen=True)
class Person:
    """An account that is a person's. ``name`` and ``address`` are what its public profile shows; "" where that shows none."""

    login: str
    id: int
    host: str
    name: str = ""
    address: str = ""

    @property
    def authors(self) -> tuple[str, ...]:
        """Git identities of this person, the best first: as the profile has it, and with the addresses by which the forge
        commits for an account that shows none.
        """
        name, at = self.name or self.login, f"users.noreply.{self.host}"
        stand_ins = (f"{self.id}+{self.login}@{at}", f"{self.id}-{self.login}@{at}", f"{self.login}@{at}")
        return tuple(f"{name} <{one}>" for one in (self.address, *stand_ins) if one)

    @property
    def shown(self) -> bool:
        """Whether more is known of them than a login."""
        return bool(self.name or self.address)


@dataclass(frozen=True)
class Deed:
    """What somebody did: ``what`` is merged, or approved."""

    person: Person
    what: str
    at: dt.datetime


@dataclass(frozen=True)
class Request:
    """A merged pull (merge) request that holds the commit. ``said``: what a person calls it; ``commit``: by which it came
    into the branch; ``author``: the login of who opened it; ``accounts``: {Git identity of who wrote one of its commits:
    their login}, as far as the forge tells; ``left_out``: why somebody's merge or approval does not count.
    """

    said: str
    commit: str
    author: str
    at: dt.datetime
    accounts: Mapping[str, str] = field(default_factory=dict)
    deeds: tuple[Deed, ...] = ()
    left_out: tuple[str, ...] = ()


def request(
    api: Api, commit: str, branch: str, lies_there: Callable[[str], bool], near: str, *, named: bool
) -> Request:
    """The request by which ``commit`` came into ``branch``, the oldest of several. ``lies_there``: whether a commit lies in
    that branch, by Git; ``near``: a commit of the branch that the request may have made, and with ``named`` has.
    ``Refused`` where there is none.
    """
    found, refusals = [], []
    numbers = dict.fromkeys(number for sha in dict.fromkeys((commit, near)) for number in _numbers(api, sha))
    for number in list(numbers)[:_MOST_REQUESTS]:
        one = _read(api, number)
        why = _why_not(one, branch, lies_there, near if named else "")
        written = {} if why else dict(_commits(api, number))
        if not why and commit not in written and commit != one.head:
            why = f"{one.said} does not hold the run's commit {commit[:10]}"
        if why:
            refusals.append(why)
        else:
            found.append((one, written))
    if not found:
        what = (
            "; ".join(refusals[:3]) or f"{api.host} knows no pull or merge request with the run's commit {commit[:10]}"
        )
        raise Refused(
            what, "--merged COMMIT names what the merge made; a token that may not see it gets the same answer"
        )
    one, written = min(found, key=lambda pair: pair[0].at)
    deeds, left_out = _deeds(api, one, commit)
    return Request(one.said, one.landed, one.author, one.at, _accounts(written), deeds, left_out)


# ── the request ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Read:
    """A request as the forge has it. ``landed``: what it made in the branch; ``by``: the account that merged it, as it came."""

    number: int
    said: str
    merged: bool
    target: str
    landed: str
    head: str
    author: str
    by: Any
    at: dt.datetime


def _numbers(api: Api, commit: str) -> Iterator[int]:
    """The requests that a commit belongs to."""
    kind, project = api.place.kind, api.place.project
    path, key = (
        (f"/repos/{project}/commits/{git.full_id(commit)}/pulls", "number")
        if kind == GITHUB
        else (f"/projects/{project}/repository/commits/{git.full_id(commit)}/merge_requests", "iid")
    )
    for entry in api.pages(path, "the requests of a commit", missing=(404, 422)):
        yield _field(api, entry, int, key)


def _read(api: Api, number: int) -> _Read:
    place = api.place
    said = f"the {'pull' if place.kind == GITHUB else 'merge'} request {'#' if place.kind == GITHUB else '!'}{number}"
    body = api.expect(api.ask("GET", _path(api, number)), f"say what {said} is").body
    never = dt.datetime.max.replace(tzinfo=dt.UTC)
    if place.kind == GITHUB:
        merged = _field(api, body, bool, "merged")
        here = _field(api, body, str, "base", "repo", "full_name").lower() == place.project.lower()
        return _Read(
            number,
            said,
            merged and here,
            _field(api, body, str, "base", "ref"),
            _field(api, body, str, "merge_commit_sha") if merged else "",
            _field(api, body, str, "head", "sha"),
            _login(api, body.get("user"), "login"),
            body.get("merged_by"),
            _moment(api, body, "merged_at") if merged else never,
        )
    merged = _field(api, body, str, "state") == MERGED
    head = _field(api, body, str, "sha")
    return _Read(
        number,
        said,
        merged,
        _field(api, body, str, "target_branch"),
        str(body.get("merge_commit_sha") or body.get("squash_commit_sha") or head),  # a fast-forward makes none
        head,
        _login(api, body.get("author"), "username"),
        body.get("merge_user") or body.get("merged_by"),  # the second is what older servers say
        _moment(api, body, "merged_at") if merged else never,
    )


def _why_not(one: _Read, branch: str, lies_there: Callable[[str], bool], named: str) -> str:
    """Why a request is not the one by which something came into the branch; "" if it may be."""
    if not one.merged:
        return f"{one.said} is not merged"
    if one.target != branch:
        return f"{one.said} was merged into {_clean(one.target)}, not into {branch}"
    if not git.is_hex(one.landed) or not lies_there(one.landed):
        return f"{one.said} is said to be merged as {_clean(one.landed)[:10]}, which is not in {branch}"
    if named and one.landed != named:
        return f"{one.said} was merged by {one.landed[:10]}, not by {named[:10]}"
    return ""


def _commits(api: Api, number: int) -> Iterator[tuple[str, tuple[str, str]]]:
    """(id, (Git identity of the author, their login or "")) of the commits of a request; GitHub lists 250 at most."""
    for entry in api.pages(f"{_path(api, number)}/commits", "the commits of a request"):
        if api.place.kind == GITHUB:
            wrote, account = _field(api, entry, dict, "commit", "author"), entry.get("author")
            login = account.get("login") if isinstance(account, dict) else None
            who = f"{_clean(wrote.get('name'))} <{_clean(wrote.get('email'))}>"
            yield _field(api, entry, str, "sha"), (who, login if isinstance(login, str) else "")
        else:
            sha = _field(api, entry, str, "id")
            yield sha, (f"{_clean(entry.get('author_name'))} <{_clean(entry.get('author_email'))}>", "")


def _accounts(written: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    return {who: login.lower() for who, login in written.values() if login}


# ── who merged and approved it ───────────────────────────────────────────────────────────────────────────


def _deeds(api: Api, one: _Read, commit: str) -> tuple[tuple[Deed, ...], tuple[str, ...]]:
    """(what people did, why more does not count)."""
    approved = _reviews(api, one, commit) if api.place.kind == GITHUB else _approvals(api, one)
    done, left_out = [], []
    for account, what, at, why in [(one.by, MERGED, one.at, ""), *approved][:_MOST_PEOPLE]:
        shown = _called(account)
        found = None if why else _person(api, account)
        if found is None:
            left_out.append(f"{one.said} was {what} by {shown}, {why or 'which is no person'}")
        else:
            done.append(Deed(found, what, at))
    return tuple(done), tuple(left_out)


def _reviews(api: Api, one: _Read, commit: str) -> list[tuple[Any, str, dt.datetime, str]]:
    """GitHub's: of each person the last that says yes or no. It is about one commit: the run's, or the last of the request."""
    last: dict[str, tuple[Any, str, dt.datetime, str]] = {}
    for entry in api.pages(f"{_path(api, one.number)}/reviews", "the reviews of a request"):
        state, account = _field(api, entry, str, "state"), entry.get("user")
        if state not in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED") or account is None:
            continue
        who = _login(api, account, "login")
        last.pop(who, None)
        if state == "APPROVED":
            stale = entry.get("commit_id") not in (commit, one.head)
            why = "before the run's commit was there" if stale else ""
            last[who] = (account, APPROVED, _moment(api, entry, "submitted_at"), why)
    return list(last.values())


def _approvals(api: Api, one: _Read) -> list[tuple[Any, str, dt.datetime, str]]:
    """GitLab's, which are about a request and not about a commit: so none from before its newest commits counts."""
    path = _path(api, one.number)
    body = api.expect(api.ask("GET", f"{path}/approvals"), f"say who approved {one.said}").body
    given = _field(api, body, list, "approved_by")
    pushed = [_moment(api, entry, "created_at") for entry in api.pages(f"{path}/versions", "the versions of a request")]
    found = []
    for entry in given:
        account, why = _field(api, entry, dict, "user"), ""
        at = _moment(api, entry, "approved_at") if entry.get("approved_at") else None
        if at is None:  # older servers do not say it
            why = "and the server does not say when"
        elif not pushed or at < max(pushed):
            why = "before its newest commits came"
        found.append((account, APPROVED, at or one.at, why))
    return found


def _person(api: Api, account: Any) -> Person | None:
    """The person of an account, as the forge has them; None for a machine, and where an account is gone."""
    if not isinstance(account, dict):
        return None
    github = api.place.kind == GITHUB
    login = _login(api, account, "login" if github else "username")
    number = _field(api, account, int, "id")
    if login == _NOBODY or login.endswith("[bot]") or (github and account.get("type") != "User"):
        return None
    path = f"/users/{quote(login, safe='')}" if github else f"/users/{number}"
    answer = api.ask("GET", path)
    if answer.status == 404:
        return None
    body = api.expect(answer, f"say who {login} is").body
    same = _field(api, body, int, "id") == number and _login(api, body, "login" if github else "username") == login
    if not same or (body.get("type") != "User" if github else body.get("bot") is not False):
        return None
    address = str(body.get("email" if github else "public_email") or "").strip()
    return Person(login, number, _host(api), _clean(body.get("name")), address if _ADDRESS.fullmatch(address) else "")


# ── what comes back is looked at before it is believed ───────────────────────────────────────────────────


def _path(api: Api, number: int) -> str:
    if api.place.kind == GITHUB:
        return f"/repos/{api.place.project}/pulls/{number}"
    return f"/projects/{api.place.project}/merge_requests/{number}"


def _field(api: Api, found: Any, kind: type, *path: str) -> Any:
    """A field of an answer, which must be of that kind; ``ToolFailed`` otherwise."""
    here = found
    for key in path:
        here = here.get(key) if isinstance(here, dict) else None
    if type(here) is not kind:
        raise ToolFailed(f"{api.host} answers without {'.'.join(path)}, which its interface promises", "try again")
    return here


def _moment(api: Api, found: Any, key: str) -> dt.datetime:
    text = _field(api, found, str, key)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ToolFailed(f"{api.host} answers with {key} that is no time: {_clean(text)[:40]!r}", "try again")
    return at


def _login(api: Api, account: Any, key: str) -> str:
    """The login of an account, in lower case; of one that was deleted, that of nobody."""
    if account is None:
        return _NOBODY
    login: str = _field(api, account, str, key)
    if not _LOGIN.fullmatch(login.removesuffix("[bot]")):
        raise ToolFailed(f"{api.host} answers with a login that is none: {_clean(login)[:40]!r}", "try again")
    return login.lower()


def _called(account: Any) -> str:
    told = account.get("login") or account.get("username") if isinstance(account, dict) else None
    return _clean(told) or "an account that is gone"


def _clean(text: Any) -> str:
    """A text of the forge in one line, without what would end a Git identity."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() and c not in "<>" else " " for c in text[:500]).split())[:_NAME]


def _host(api: Api) -> str:
    """Where the forge's people are at home: github.com for api.github.com."""
    return (urlsplit(api.place.api).hostname or "").removeprefix("api.")
