"""GitHub's and GitLab's REST interfaces over plain HTTP: the token goes to them alone, and what is asked again does no harm.

Nothing that they answer is shown without being cut and freed of the token.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nbledger.core import secrets
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable
from nbledger.core.forge import GITHUB, GITLAB, NO_NUMBER, Place

TIMEOUT = 30.0
_TRIES = 4
_LONGEST = 60.0
"""Seconds that are waited for a platform that asks for patience."""
_MOST = 64 << 20
_PAGES, _PER_PAGE = 100, 100
_PASSING = (500, 502, 503, 504)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Unanswered(Unreachable):
    """Nothing, or nothing that tells what was done, came back: a comment may or may not have been made."""


class Api:
    """A platform as its token's owner reaches it."""

    def __init__(self, place: Place, sleep: Callable[[float], None] = time.sleep, *, most: int = _MOST) -> None:
        self.place, self._sleep, self._most = place, sleep, most
        context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))

    def ask(self, method: str, path: str, words: Mapping[str, Any] | None = None, *, once: bool = False) -> Answer:
        """What the platform answers; asked again while it is away for a moment (unless ``once``: it may have done it) or asks
        for patience. ``Unanswered`` where it does not in the end.
        """
        for left in reversed(range(_TRIES)):
            pause = 0.5 * 2 ** (_TRIES - 1 - left)
            try:
                found = self._once(method, path, words)
            except (OSError, http.client.HTTPException) as err:
                if once or not left:
                    raise Unanswered(f"{self._host()} does not answer: {self._said(err)}", "try again later") from err
                self._sleep(pause)
                continue
            wait = _patience(found)
            if wait is None and found.status not in _PASSING:
                return found
            if wait is not None and (wait > _LONGEST or not left):
                raise Unreachable(f"{self._host()} takes no more requests for {max(wait, 1):.0f} s", "try again then")
            if wait is None and (once or not left):
                raise Unanswered(f"{self._host()} answers {found.status}: {self.message(found)}", "try again later")
            self._sleep(pause if wait is None else wait)
        raise AssertionError

    def expect(self, found: Answer, what: str) -> Answer:
        """The answer, if it is a good one; else the error that it is."""
        if found.good:
            return found
        raise self._refused(found, what)

    @property
    def host(self) -> str:
        return self._host()

    def pages(self, path: str, what: str = "the comments", missing: Collection[int] = ()) -> Iterator[Any]:
        """The entries of a list, page by page. The addresses that the answers name are not followed. ``missing``: answers
        by which a platform says that there is no such list.
        """
        mark = "&" if "?" in path else "?"
        for number in range(1, _PAGES + 1):
            found = self.ask("GET", f"{path}{mark}per_page={_PER_PAGE}&page={number}")
            if found.status in missing:
                return
            self.expect(found, f"list {what}")
            if not isinstance(found.body, list):
                raise ToolFailed(f"{self._host()} answers with no list of {what.removeprefix('the ')}")
            yield from found.body
            if 'rel="next"' not in found.headers.get("link", "") and not found.headers.get("x-next-page"):
                return

    def message(self, found: Answer) -> str:
        """What the platform says, in one line."""
        told = found.body
        if isinstance(told, dict):
            parts = [told.get(key) for key in ("message", "error", "error_description")]
            errors = told.get("errors")
            parts += [errors if not isinstance(errors, list) else "; ".join(map(_error, errors))]
            told = " ".join(str(part) for part in parts if part)
        return self._clean(str(told))

    def _once(self, method: str, path: str, words: Mapping[str, Any] | None) -> Answer:
        data = json.dumps(words).encode() if words is not None else None
        request = urllib.request.Request(f"{self.place.api}{path}", data, method=method)  # noqa: S310 - checked in forge
        kinds = {GITHUB: "application/vnd.github+json", GITLAB: "application/json"}
        headers = {"User-Agent": "nbledger", "Accept": kinds[self.place.kind], "Content-Type": "application/json"}
        headers |= {"X-GitHub-Api-Version": "2022-11-28"} if self.place.kind == GITHUB else {}
        for name, value in {**headers, **self.place.token.headers()}.items():
            request.add_unredirected_header(name, value)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return _read(answer.status, answer.headers, answer.read(self._most))
        except urllib.error.HTTPError as err:
            with err:
                return _read(err.code, err.headers, err.read(self._most))

    def _refused(self, found: Answer, what: str) -> LedgerError:
        place, said = self.place, self.message(found)
        where = place.token.where
        if found.status == 401:
            return Refused(f"{self._host()} does not know the token of {where}", "it may have expired: make a new one")
        if found.status == 403 and place.kind == GITHUB:
            hint = "the workflow needs `permissions: pull-requests: write`; one of a fork gets a token that only reads"
            hint = "the workflow needs `permissions: pull-requests: read`" if place.number == NO_NUMBER else hint
            return Refused(f"the token of {where} may not {what}: {said}", hint)
        if found.status == 403:
            hint = "GITLAB_TOKEN: a project access token with the scope api (GitLab's CI_JOB_TOKEN may not comment)"
            return Refused(f"the token of {where} may not {what}: {said}", hint)
        if found.status == 404:
            hint = "look at --repo and --number; a token that may not see it gets the same answer"
            hint = "a token that may not see it gets the same answer" if place.number == NO_NUMBER else hint
            if where == "CI_JOB_TOKEN":
                hint = "GITLAB_TOKEN: a project access token with the scope api (GitLab's CI_JOB_TOKEN may not comment)"
            return Refused(f"{self._host()} finds nothing at {place.said}", hint)
        if found.status in (301, 302, 307, 308):
            return Refused(f"{place.said} has moved", "name the repository as it is called now: --repo OWNER/NAME")
        return ToolFailed(f"{self._host()} did not {what}: {found.status} {said}".rstrip())

    def _host(self) -> str:
        return urlsplit(self.place.api).netloc

    def _said(self, err: BaseException) -> str:
        reason = err.reason if isinstance(err, urllib.error.URLError) else err
        words = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        return self._clean(words or type(reason).__name__)

    def _clean(self, text: str) -> str:
        line = " ".join(text.replace(self.place.token.value, "…").split())
        return secrets.scrub(line)[:300]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *words: Any, **options: Any) -> None:
        """None: a token must not follow a redirection elsewhere."""


def _read(status: int, headers: Any, body: bytes) -> Answer:
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    try:
        return Answer(status, named, json.loads(body) if body else None)
    except (ValueError, RecursionError):
        return Answer(status, named, body[:2000].decode("utf-8", "replace"))


def _error(entry: object) -> str:
    return str(entry.get("message") or entry.get("code")) if isinstance(entry, dict) else str(entry)


def _patience(found: Answer) -> float | None:
    """Seconds for which the platform asks to be left alone; None where it does not."""
    said = str(found.body.get("message")).lower() if isinstance(found.body, dict) else ""
    spent = found.headers.get("x-ratelimit-remaining") == "0" or "rate limit" in said
    limited = found.status == 429 or (found.status == 403 and spent)
    after = found.headers.get("retry-after", "")
    if not limited and not (found.status in (403, 503) and after):
        return None
    if after.isdecimal():
        return float(after)
    reset = found.headers.get("x-ratelimit-reset") or found.headers.get("ratelimit-reset") or ""
    return max(1.0, float(reset) - time.time()) if reset.isdecimal() else 1.0
