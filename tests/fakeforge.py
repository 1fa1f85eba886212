"""A local server that speaks the comment endpoints of GitHub and GitLab as their documentation has them: pages of a hundred
at most with ``Link`` and ``X-Next-Page``, authors by token, permissions, limits of size; and it records what it got.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakerequests import Requests
from localhttp import listening

LIMITS = {"github": 65_536, "gitlab": 1_000_000}


@dataclass
class Account:
    """Who a token belongs to. ``told``: whether ``/user`` says so (a workflow's own token is told 403)."""

    login: str
    bot: bool = False
    told: bool = True
    writes: bool = True


@dataclass
class Got:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Comment:
    id: int
    author: Account
    body: str
    system: bool = False


@dataclass
class Forge:
    """``comments`` of the one pull (merge) request 7 of ``team/wine``, on GitLab the project 42. ``requests``: those of that repository.
    ``before`` is called with every request before it is
    answered; it may wait, or return (status, headers, body) to be answered in its place, or "drop" to break the connection
    once the request has been done.
    """

    kind: str
    url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    before: Callable[[Got], Any] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    next_id: int = 1000
    requests: Requests = field(default_factory=Requests)

    @property
    def api(self) -> str:
        return self.url if self.kind == "github" else f"{self.url}/api/v4"

    def add(self, author: Account, body: str, *, system: bool = False) -> Comment:
        with self.lock:
            self.next_id += 1
            made = Comment(self.next_id, author, body, system)
            self.comments.append(made)
            return made

    def asked(self, method: str) -> list[Got]:
        return [one for one in self.got if one.method == method]

    def answer(self, got: Got) -> tuple[int, dict[str, str], Any]:
        account = self._account(got.headers)
        if account is None:
            return 401, {}, {"message": "Bad credentials" if self.kind == "github" else "401 Unauthorized"}
        parts = urlsplit(got.path)
        path = parts.path if self.kind == "github" else parts.path.removeprefix("/api/v4")
        if path == "/user":
            if not account.told:
                return 403, {}, {"message": "Resource not accessible by integration"}
            return 200, {}, {"login" if self.kind == "github" else "username": account.login}
        about = self.requests.answer(self.kind, path) if got.method == "GET" else None
        if about is not None:
            return about
        many, one = {
            "github": (r"/repos/team/wine/issues/7/comments", r"/repos/team/wine/issues/comments/(\d+)"),
            "gitlab": (
                r"/projects/(?:team%2Fwine|42)/merge_requests/7/notes",
                r"/projects/(?:team%2Fwine|42)/merge_requests/7/notes/(\d+)",
            ),
        }[self.kind]
        with self.lock:
            if re.fullmatch(many, path):
                return self._list(parts.query) if got.method == "GET" else self._create(got, account)
            single = re.fullmatch(one, path)
            found = [c for c in self.comments if single and c.id == int(single[1])]
            if not found:
                return 404, {}, {"message": "Not Found"}
            return self._single(got, found[0], account)

    def _account(self, headers: dict[str, str]) -> Account | None:
        if self.kind == "github":
            return self.accounts.get(headers.get("authorization", "").removeprefix("Bearer "))
        return self.accounts.get(headers.get("private-token") or headers.get("job-token") or "")

    def _list(self, query: str) -> tuple[int, dict[str, str], Any]:
        words = {key: value[0] for key, value in parse_qs(query).items()}
        size, page = min(100, int(words.get("per_page", 20))), int(words.get("page", 1))
        if self.kind == "gitlab" and (words.get("order_by"), words.get("sort")) != ("created_at", "asc"):
            ordered = self.comments[::-1]  # GitLab's own order: the newest first
        else:
            ordered = self.comments
        shown = ordered[(page - 1) * size : page * size]
        more = len(ordered) > page * size
        headers = {}
        if self.kind == "github" and more:
            headers["Link"] = f'<http://elsewhere.invalid/?page={page + 1}>; rel="next"'
        if self.kind == "gitlab":
            headers["X-Next-Page"] = str(page + 1) if more else ""
        return 200, headers, [self.shown(c) for c in shown]

    def _create(self, got: Got, account: Account) -> tuple[int, dict[str, str], Any]:
        refused = self._refused(got, account)
        return refused or (201, {}, self.shown(self.add(account, got.body["body"])))

    def _single(self, got: Got, found: Comment, account: Account) -> tuple[int, dict[str, str], Any]:
        if got.method == "GET":
            return 200, {}, self.shown(found)
        if found.author is not account:
            return 403, {}, {"message": "Forbidden"}
        if got.method == "DELETE":
            self.comments.remove(found)
            return 204, {}, None
        if got.method != ("PATCH" if self.kind == "github" else "PUT"):
            return 405, {}, {"message": "Method Not Allowed"}
        refused = self._refused(got, account)
        if refused is None:
            found.body = got.body["body"]
        return refused or (200, {}, self.shown(found))

    def _refused(self, got: Got, account: Account) -> tuple[int, dict[str, str], Any] | None:
        if not account.writes:
            return 403, {}, {"message": "Resource not accessible by integration"}
        if len(got.body["body"].encode("utf-16-le")) // 2 > LIMITS[self.kind]:
            error = {
                "resource": "IssueComment",
                "field": "data",
                "message": "Body is too long (maximum is 65536 characters)",
            }
            return 422, {}, {"message": "Validation Failed", "errors": [error]}
        return None

    def shown(self, comment: Comment) -> dict[str, Any]:
        if self.kind == "gitlab":
            author = {"username": comment.author.login}
            return {"id": comment.id, "body": comment.body, "author": author, "system": comment.system}
        user = {"login": comment.author.login, "type": "Bot" if comment.author.bot else "User"}
        page = f"https://github.com/team/wine/pull/7#issuecomment-{comment.id}"
        return {"id": comment.id, "body": comment.body, "user": user, "html_url": page}


@contextmanager
def forge(kind: str) -> Iterator[Forge]:
    """A started one, on loopback."""
    state = Forge(kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Got(self.command, self.path, headers, json.loads(raw) if raw else None)
            with state.lock:
                state.got.append(got)
            instead = state.before(got) if state.before else None
            status, more, body = instead if isinstance(instead, tuple) else state.answer(got)
            if instead == "drop":
                self.close_connection = True
                return
            data = json.dumps(body).encode() if body is not None else b""
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with listening(Handler) as state.url:
        yield state
