"""One comment on a pull or merge request, which is updated and not repeated, whoever else comments at the same moment.

Its first line, which nobody sees, says which report it is, of which commit and from which run of CI. Only the comments of
the token's own author are touched. A report never takes the place of a newer one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nbledger.core.errors import ToolFailed, UsageError
from nbledger.core.forge import GITHUB
from nbledger.core.forge_http import Api, Unanswered

_TRIES, _GONE = 3, 404
CREATED, UPDATED, UNCHANGED, OLDER = "created", "updated", "unchanged", "older"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,59}")
_MARK = re.compile(r"<!-- nbledger:report key=([A-Za-z0-9.-]{1,60}) head=([0-9a-f]{40,64}|none) run=(\d{1,20}) -->")
MARK_MOST = 200
"""Characters that the first line may take."""


@dataclass(frozen=True)
class Mark:
    """``key`` tells several reports on one request apart; ``run``: 0 where no CI run made it."""

    key: str
    head: str
    run: int = 0

    def __str__(self) -> str:
        return f"<!-- nbledger:report key={self.key} head={self.head or 'none'} run={self.run} -->"


@dataclass(frozen=True)
class Posted:
    """What was done. ``action``: created, updated, unchanged (it said the same already) or older (a newer report stands
    there, and was left); ``removed``: how many more comments of the same report were taken away.
    """

    platform: str
    url: str
    id: int
    action: str
    removed: int = 0


@dataclass(frozen=True)
class _Comment:
    id: int
    body: str
    author: str
    bot: bool
    url: str
    mark: Mark


def checked_key(key: str) -> str:
    """``key`` if it may stand in a comment's first line."""
    if not _KEY.fullmatch(key):
        raise UsageError(f"{key[:80]!r} is no name for a report", "letters, digits, dots and dashes, such as train")
    return key


def post(api: Api, body: str, mark: Mark, newer: Callable[[str, str], bool]) -> Posted:
    """Make or update the comment. ``newer(a, b)``: whether the commit ``a`` is known to come after ``b``."""
    text, me = f"{mark}\n{body}", _myself(api)
    for _ in range(_TRIES):
        own, action = _own(api, mark.key, me), UPDATED
        if not own:
            mine, action = _made(api, text, mark.key, me), CREATED
            own = [one for one in _own(api, mark.key, me) if one.id != mine.id]
            if all(one.id > mine.id for one in own):
                return Posted(api.place.kind, mine.url, mine.id, CREATED)
            own.append(mine)  # another job made one at the same moment, and was first
        done = _settled(api, own, text, mark, newer, action)
        if done is not None:
            return done
    raise ToolFailed("the comment is taken away whenever it is made", "try again")


def _made(api: Api, text: str, key: str, me: str | None) -> _Comment:
    """A new comment. Where no answer comes it is looked for before it is made once more."""
    for left in (1, 0):
        try:
            made = api.expect(api.ask("POST", _many(api), {"body": text}, once=True), "comment").body
        except Unanswered:
            known = [one for one in _own(api, key, me) if _same(one.body, text)]
            if known or not left:
                if not known:
                    raise
                return known[0]
            continue
        mine = _comment(api, made)
        if mine is None:
            raise ToolFailed("the platform answers with another comment than the one that was made")
        return mine
    raise AssertionError


def _settled(
    api: Api, own: list[_Comment], text: str, mark: Mark, newer: Callable[[str, str], bool], action: str
) -> Posted | None:
    """Put the text into the first of several, and take the others away: two jobs may have begun at the same moment. None
    where the first is gone meanwhile.
    """
    first, *others = sorted(own, key=lambda one: one.id)
    others = [one for one in others if not _is_newer(one.mark, mark, newer)]
    now = api.ask("GET", _one(api, first.id))
    first = (_comment(api, now.body) if now.good else None) or first
    if now.status == _GONE:
        return None
    if _is_newer(first.mark, mark, newer):
        return Posted(api.place.kind, first.url, first.id, OLDER, _removed(api, others))
    if _same(first.body, text):
        return Posted(api.place.kind, first.url, first.id, UNCHANGED, _removed(api, others))
    done = api.ask("PATCH" if api.place.kind == GITHUB else "PUT", _one(api, first.id), {"body": text})
    if done.status == _GONE:
        return None
    api.expect(done, "change the comment")
    return Posted(api.place.kind, first.url, first.id, action, _removed(api, others))


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.strip()


def _removed(api: Api, others: list[_Comment]) -> int:
    return sum(api.ask("DELETE", _one(api, other.id)).good for other in others)


def _is_newer(there: Mark, ours: Mark, newer: Callable[[str, str], bool]) -> bool:
    """Whether what stands there is of a later run of CI, or else of a commit that stands on ours."""
    if there.run and ours.run:
        return there.run > ours.run
    return there.head != ours.head and newer(there.head, ours.head)


def _myself(api: Api) -> str | None:
    """The login of the token's owner; None where the platform does not tell it (a workflow's own token)."""
    found = api.ask("GET", "/user")
    key = "login" if api.place.kind == GITHUB else "username"
    return str(found.body[key]) if found.good and isinstance(found.body, dict) and key in found.body else None


def _own(api: Api, key: str, me: str | None) -> list[_Comment]:
    """The comments of this report that are ours: by their author, or, where we are not told who we are, by a bot."""
    found = []
    for entry in _listed(api):
        comment = _comment(api, entry)
        if comment is not None and comment.mark.key == key and (comment.author == me if me else comment.bot):
            found.append(comment)
    return sorted(found, key=lambda one: one.id)


def _listed(api: Api) -> Iterator[Any]:
    order = "" if api.place.kind == GITHUB else "?order_by=created_at&sort=asc"
    return api.pages(_many(api) + order)


def _comment(api: Api, entry: Any) -> _Comment | None:
    """A comment with our first line; None for any other."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), int) or entry.get("system"):
        return None
    body = str(entry.get("body") or "")
    mark = _MARK.match(body)
    if mark is None:
        return None
    user = entry.get("user" if api.place.kind == GITHUB else "author")
    user = user if isinstance(user, dict) else {}
    author = str(user.get("login") or user.get("username") or "")
    head = mark[2] if mark[2] != "none" else ""
    web = api.place.web
    url = str(entry.get("html_url") or (f"{web}#note_{entry['id']}" if web else ""))
    return _Comment(entry["id"], body, author, user.get("type") == "Bot", url, Mark(mark[1], head, int(mark[3])))


def _many(api: Api) -> str:
    place = api.place
    if place.kind == GITHUB:
        return f"/repos/{place.project}/issues/{place.number}/comments"
    return f"/projects/{place.project}/merge_requests/{place.number}/notes"


def _one(api: Api, number: int) -> str:
    place = api.place
    if place.kind == GITHUB:
        return f"/repos/{place.project}/issues/comments/{number}"
    return f"{_many(api)}/{number}"
