"""Approval of a promotion by other people: who may give it, how many it takes, and what of it stands on the model version.

What is asked for is written on the version that waits (``nbledger.approval.*``), where MLflow's plain client reads it:
``state``, ``asked`` (what was judged, by whose wish, until when), ``party.001``… (one person each whose own approval would not
count), ``given.001``… (one approval each) and ``settled`` (how it ended). Nothing here asks a store or Git.

A person is whoever shares an address, a name or a login: two identities with one of them in common are the same person, so
that nobody approves their own work under another of their names. A login that images give to everybody tells nobody, unless
the tracking server itself checked it.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core import people, whoami
from nbledger.core.moments import stamp
from nbledger.core.people import IDENTITY
from nbledger.core.records import plain
from nbledger.core.values import storable

CANDIDATE = "candidate"
"""The alias of what passed the gate and waits."""
TAGS = "nbledger.approval."
PENDING, APPROVED, REFUSED, EXPIRED, MOVED = "pending", "approved", "refused", "expired", "moved"
PROMOTED = "promoted"
"""Without the approvals that it takes: the alias was pointed at the version another way."""
NOBODY = "it is not known who you are: git config user.name and user.email, or a login of the tracking server"
EXPIRES_DAYS = 7.0
MOST_APPROVALS = 20
_MOST_FIGURES, _NAME, _WHO, _MOST_TEXT, _MOST_CONDITION = 15, 80, 200, 500, 1_000  # a tag has room for 5,000
_SKEW = dt.timedelta(minutes=1)
_FORGE_ADDRESS = re.compile(r"(?:\d+\+|\d+-(?!\S+\.github\.com$))?(?P<login>[^@+]+)@users\.noreply\.\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """Who is at work: ``author`` as Git has it (``Name <address>``; "" where Git knows nobody) and ``login``; ``checked``
    where the tracking server vouches for that.
    """

    author: str = ""
    login: str = ""
    checked: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """By what this person is told apart; none: they cannot be."""
        return keys(self.author, self.login, checked=self.checked)

    @property
    def text(self) -> str:
        """What they are called in records."""
        if not self.author:
            return self.login[:_WHO]
        return f"{self.author[:_WHO]} (login {self.login[:_NAME]})" if self.checked else self.author[:_WHO]


@dataclass(frozen=True)
class Party:
    """Somebody whose approval would be their own: ``role`` says why, after "you"."""

    who: str
    role: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Asking:
    """What a promotion asks for once its gate has passed. ``manifest``: the digest of the run's manifest that was judged;
    ``previous``: where the alias points, or None.
    """

    model: str
    version: str
    alias: str
    previous: str | None
    run_id: str
    run_name: str
    manifest: str
    condition: str
    figures: Mapping[str, float]
    needed: int
    expires_days: float = EXPIRES_DAYS


@dataclass(frozen=True)
class Given:
    """One approval. ``how``: approve, merge (of a pull request), or review (its approval on the forge); of the last two
    ``commit`` is the merge and ``branch`` where it went, and ``request`` is what the forge calls it, if that was asked.
    ``late``: given after the model had been promoted already.
    """

    by: str
    at: str
    keys: tuple[str, ...]
    how: str = "approve"
    text: str = ""
    commit: str = ""
    branch: str = ""
    request: str = ""
    late: bool = False


@dataclass(frozen=True)
class Pending:
    """A promotion that waits for people, or waited: ``state`` is pending, approved, refused, expired, moved (the alias was,
    meanwhile) or promoted (without approval); ``settled`` says how it ended. ``mine``: whether who asks may approve it; ``why_not``.
    """

    model: str
    version: str
    state: str
    alias: str
    previous: str | None
    run_id: str
    run_name: str
    manifest: str
    condition: str
    needed: int
    by: str
    at: str
    expires: str
    figures: dict[str, float] = field(default_factory=dict)
    parties: tuple[Party, ...] = ()
    approved: tuple[Given, ...] = ()
    settled: str = ""
    mine: bool = False
    why_not: str = ""

    @property
    def enough(self) -> bool:
        return len(self.approved) >= self.needed


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────


def keys(author: str, login: str = "", *, checked: bool = False) -> tuple[str, ...]:
    """The address, the name and the login of a person, in lower case; a forge's stand-in for an address
    (``1234+ada@users.noreply.github.com``) has a login too. What images give to everybody is left out.
    """
    told = IDENTITY.fullmatch(author)
    name, address = (told["name"], told["address"].strip()) if told else (author, "")
    forge = _FORGE_ADDRESS.fullmatch(address)
    named = (" ".join(name.lower().split()), "" if checked else people.key(login))
    found = {address.lower(), forge["login"].lower() if forge else "", people.key(login) if checked else ""}
    found |= {one for one in named if whoami.tells(one)}
    return tuple(sorted({one[:_WHO] for one in found} - {""}))


def made_by(tags: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """(who made the run of these tags, their keys); no keys where the tags name nobody who could be told from others."""
    author, login = (tags.get(name, "").strip() for name in (people.AUTHOR, people.LOGIN))
    return author or login, keys(author, login)


def is_bot(author: str) -> bool:
    """Whether a commit's author is one of a forge's own machines."""
    told = IDENTITY.fullmatch(author)
    name, address = (told["name"], told["address"]) if told else (author, "")
    return name.strip().lower().endswith("[bot]") or "[bot]@" in address.lower()


def why_not(found: Pending, mine: Collection[str]) -> str:
    """Why the person of these keys may not approve it; "" if they may."""
    if not mine:
        return NOBODY
    for party in found.parties:
        if set(party.keys) & set(mine):
            return f"you {party.role}: another person has to approve it"
    return ""


def given_by(found: Pending, mine: Collection[str]) -> Given | None:
    """The approval of the person of these keys, if they gave one."""
    return next((one for one in found.approved if set(one.keys) & set(mine)), None)


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


def over(found: Pending, now: dt.datetime) -> bool:
    """Whether it has expired; what has no readable end has."""
    try:
        return now >= dt.datetime.fromisoformat(found.expires)
    except (ValueError, TypeError):
        return True


def before(moment: dt.datetime, at: str) -> bool:
    """Whether a moment by another machine's clock was clearly before the time ``at`` of a record."""
    return moment + _SKEW < dt.datetime.fromisoformat(at)


# ── asking, and its tags ─────────────────────────────────────────────────────────────────────────────────


def asked(
    asking: Asking, who: Identity, parties: Sequence[Party], now: dt.datetime, mine: tuple[str, ...] = ()
) -> Pending:
    """What waits from now on; ``mine``: more keys of ``who``. Of very many figures the first stand here, all of them in the gate's own record."""
    figures = {key[:_NAME]: value for key, value in list(asking.figures.items())[:_MOST_FIGURES]}
    own = Party(who.text, "asked for this promotion", tuple(sorted({*who.keys, *mine})))
    return Pending(
        model=asking.model,
        version=asking.version,
        state=PENDING,
        alias=asking.alias,
        previous=asking.previous,
        run_id=asking.run_id,
        run_name=asking.run_name[:_NAME],
        manifest=asking.manifest,
        condition=asking.condition[:_MOST_CONDITION],
        needed=asking.needed,
        by=who.text,
        at=stamp(now),
        expires=stamp(now + dt.timedelta(days=asking.expires_days)),
        figures=figures,
        parties=(*parties, *((own,) if own.keys else ())),
    )


def same(one: Pending, other: Pending) -> bool:
    """Whether both ask for the very same by the same person, so that what was approved of one holds for the other."""
    fixed = ("model", "version", "alias", "previous", "run_id", "manifest", "condition", "needed", "parties")
    return all(getattr(one, name) == getattr(other, name) for name in fixed)


def with_approval(found: Pending, given: Given) -> Pending:
    return replace(found, approved=(*found.approved, replace(given, text=given.text[:_MOST_TEXT])))


def to_tags(found: Pending) -> dict[str, str]:
    """The tags of the version that waits, without the prefix."""
    named = plain(found)
    rest = ("model", "version", "state", "approved", "settled", "mine", "why_not")
    told = {key: value for key, value in named.items() if key not in rest} | {"parties": len(found.parties)}
    tags = {"state": found.state, "asked": _json(told)}
    tags |= {f"party.{number:03}": _json(plain(one)) for number, one in enumerate(found.parties, start=1)}
    tags |= {f"given.{number:03}": _json(plain(one)) for number, one in enumerate(found.approved, start=1)}
    return tags | ({"settled": storable(found.settled[:_MOST_TEXT])} if found.settled else {})


def _json(found: Mapping[str, Any]) -> str:
    return storable(json.dumps(found, ensure_ascii=False, separators=(",", ":")))


def from_tags(model: str, version: str, tags: Mapping[str, str]) -> Pending | None:
    """What the tags of a version say; None where nobody asked, or nobody can tell what."""
    told = {key.removeprefix(TAGS): text for key, text in tags.items() if key.startswith(TAGS) and text}
    try:
        found = json.loads(told["asked"])
        given, parties = (
            [json.loads(told[key]) for key in sorted(told) if key.startswith(kind)] for kind in ("given.", "party.")
        )
        if len(parties) != found["parties"]:
            return None
        pending = Pending(
            model=model,
            version=version,
            state=str(told["state"]),
            previous=None if found["previous"] is None else str(found["previous"]),
            needed=max(1, int(found["needed"])),
            figures={str(key): float(value) for key, value in found["figures"].items()},
            parties=tuple(Party(str(p["who"]), str(p["role"]), _texts(p["keys"])) for p in parties),
            approved=tuple(_given(one) for one in given),
            settled=told.get("settled", ""),
            alias=str(found["alias"]),
            run_id=str(found["run_id"]),
            run_name=str(found["run_name"]),
            manifest=str(found["manifest"]),
            condition=str(found["condition"]),
            by=str(found["by"]),
            at=str(found["at"]),
            expires=str(found["expires"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return pending if all(math.isfinite(value) for value in pending.figures.values()) else None


def _given(one: Mapping[str, Any]) -> Given:
    rest = {name: str(one.get(name, "")) for name in ("how", "text", "commit", "branch", "request")}
    return Given(str(one["by"]), str(one["at"]), _texts(one["keys"]), **rest, late=one.get("late") is True)


def _texts(found: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(one) for one in found)
