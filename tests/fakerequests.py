"""Merged pull (merge) requests of a forge that is none: the answers of GitHub and GitLab about which requests a commit belongs
to, who merged and approved them, and who somebody is, with the fields that their documentation has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Person:
    """An account. ``name`` and ``address``: what its public profile shows; ``kind`` is GitHub's type of account."""

    id: int
    login: str
    name: str | None = None
    address: str | None = None
    kind: str = "User"

    def basic(self, forge: str) -> dict[str, Any]:
        if forge == "github":
            return {"login": self.login, "id": self.id, "type": self.kind, "site_admin": False}
        return {"id": self.id, "username": self.login, "name": self.name or self.login, "state": "active"}

    def whole(self, forge: str) -> dict[str, Any]:
        if forge == "github":
            return self.basic(forge) | {"name": self.name, "email": self.address}
        return self.basic(forge) | {"bot": self.kind == "Bot", "public_email": self.address or ""}


@dataclass
class Review:
    """``state`` as GitHub has it; ``commit``: the one that was looked at; ``at``: None where a server does not say."""

    by: Person
    at: str | None
    commit: str = ""
    state: str = "APPROVED"


@dataclass
class Request:
    """``commits``: (id, name, address, account) in their order; ``landed``: what the merge made; ``how``: merge, squash or
    rebase; ``pushed``: when its newest commits came.
    """

    number: int
    author: Person
    commits: list[tuple[str, str, str, Person | None]]
    by: Person | None = None
    at: str | None = None
    landed: str = ""
    how: str = "squash"
    target: str = "main"
    pushed: str = "2020-01-01T00:00:00Z"
    reviews: list[Review] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.commits[-1][0]


@dataclass
class Requests:
    """``only_open``: GitHub once listed no merged request for a commit that is not in the default branch."""

    people: list[Person] = field(default_factory=list)
    found: dict[int, Request] = field(default_factory=dict)
    only_open: bool = False

    def answer(self, forge: str, path: str) -> tuple[int, dict[str, str], Any] | None:
        """The answer to a GET; None where the path is about something else."""
        routes = _GITHUB if forge == "github" else _GITLAB
        for pattern, reader in routes:
            if told := re.fullmatch(pattern, path):
                body = reader(self, *told.groups())
                missing = {"message": "No commit found for SHA" if "/commits/" in path else "Not Found"}
                status = 422 if forge == "github" and "/commits/" in path else 404
                return (200, {}, body) if body is not None else (status, {}, missing)
        return None

    def of(self, sha: str) -> list[Request] | None:
        holding = [one for one in self.found.values() if any(sha == commit[0] for commit in one.commits)]
        landed = [one for one in self.found.values() if one.landed == sha]
        if self.only_open:
            holding = [one for one in holding if one.at is None]
        known = bool(landed) or any(sha == c[0] for one in self.found.values() for c in one.commits)
        return list({one.number: one for one in [*landed, *holding]}.values()) if known else None

    def person(self, login: str) -> Person | None:
        return next((one for one in self.people if login.lower() in (one.login.lower(), str(one.id))), None)


def _github(one: Request) -> dict[str, Any]:
    """As the list has it: without who merged it."""
    return {
        "number": one.number,
        "state": "closed" if one.at else "open",
        "user": one.author.basic("github"),
        "merged_at": one.at,
        "merge_commit_sha": one.landed or None,
        "head": {"sha": one.head, "ref": "feature"},
        "base": {"ref": one.target, "repo": {"full_name": "Team/wine", "default_branch": "main"}},
    }


def _github_whole(self: Requests, number: str) -> Any:
    one = self.found.get(int(number))
    if one is None:
        return None
    return _github(one) | {"merged": one.at is not None, "merged_by": one.by.basic("github") if one.by else None}


def _github_commits(self: Requests, number: str) -> Any:
    return [
        {
            "sha": sha,
            "commit": {"author": {"name": name, "email": email}},
            "author": who.basic("github") if who else None,
        }
        for sha, name, email, who in self.found[int(number)].commits
    ]


def _github_reviews(self: Requests, number: str) -> Any:
    return [
        {"user": one.by.basic("github"), "state": one.state, "submitted_at": one.at, "commit_id": one.commit}
        for one in self.found[int(number)].reviews
    ]


def _gitlab(one: Request) -> dict[str, Any]:
    merged = one.by.basic("gitlab") if one.by else None
    return {
        "id": 1000 + one.number,
        "iid": one.number,
        "project_id": 1,
        "state": "merged" if one.at else "opened",
        "merged_by": merged,
        "merge_user": merged,
        "merged_at": one.at,
        "target_branch": one.target,
        "author": one.author.basic("gitlab"),
        "sha": one.head,
        "merge_commit_sha": one.landed if one.how == "merge" else None,
        "squash_commit_sha": one.landed if one.how == "squash" else None,
    }


def _gitlab_approvals(self: Requests, number: str) -> Any:
    given = [one for one in self.found[int(number)].reviews if one.state == "APPROVED"]
    return {
        "approved": bool(given),
        "approved_by": [
            {"user": one.by.basic("gitlab")} | ({"approved_at": one.at} if one.at else {}) for one in given
        ],
    }


def _gitlab_commits(self: Requests, number: str) -> Any:
    return [
        {"id": sha, "author_name": name, "author_email": email}
        for sha, name, email, _ in reversed(self.found[int(number)].commits)
    ]


def _listed(one: Any, shown: Any) -> Any:
    return None if one is None else [shown(each) for each in one]


def _shown(one: Any, forge: str) -> Any:
    return None if one is None else one.whole(forge)


_REPO, _PROJECT = "/repos/team/wine", "/projects/team%2Fwine"
_GITHUB: tuple[tuple[str, Any], ...] = (
    (rf"{_REPO}/commits/(\w+)/pulls", lambda self, sha: _listed(self.of(sha), _github)),
    (rf"{_REPO}/pulls/(\d+)", _github_whole),
    (rf"{_REPO}/pulls/(\d+)/commits", _github_commits),
    (rf"{_REPO}/pulls/(\d+)/reviews", _github_reviews),
    (r"/users/([\w.-]+)", lambda self, login: _shown(self.person(login), "github")),
)
_GITLAB: tuple[tuple[str, Any], ...] = (
    (rf"{_PROJECT}/repository/commits/(\w+)/merge_requests", lambda self, sha: _listed(self.of(sha), _gitlab)),
    (
        rf"{_PROJECT}/merge_requests/(\d+)",
        lambda self, n: _gitlab(self.found[int(n)]) if int(n) in self.found else None,
    ),
    (rf"{_PROJECT}/merge_requests/(\d+)/commits", _gitlab_commits),
    (rf"{_PROJECT}/merge_requests/(\d+)/approvals", _gitlab_approvals),
    (
        rf"{_PROJECT}/merge_requests/(\d+)/versions",
        lambda self, n: [
            {"id": 1, "head_commit_sha": self.found[int(n)].head, "created_at": self.found[int(n)].pushed}
        ],
    ),
    (r"/users/(\d+)", lambda self, number: _shown(self.person(number), "gitlab")),
)
