"""Who made a run: by Git's identity where nbledger recorded it, else by the login that MLflow noted.

A login tells little in a team: in containers everybody is ``root`` or ``jovyan``. So a run carries both: ``mlflow.user`` as
MLflow itself would write it, and ``nbledger.author`` as Git would write it into a commit. People are told apart by their
e-mail addresses, else by their logins.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbledger.core.errors import UsageError, nearest

AUTHOR = "nbledger.author"
"""Tag of a run: who made it, ``Name <address>`` as Git has it."""
LOGIN = "mlflow.user"
"""MLflow's own tag for that."""
UNKNOWN = "unknown"
IDENTITY = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<address>[^<>]*)>\s*")


def of(tags: Mapping[str, str], otherwise: str = "") -> str | None:
    """Who made a run with these tags: ``Name <address>``, or a login; None where nobody noted it. ``otherwise``: what the
    store itself has for a user.
    """
    found = (tags.get(AUTHOR) or tags.get(LOGIN) or otherwise).strip()
    return found if found and found != UNKNOWN else None  # what MLflow writes where it does not know


def key(user: str | None) -> str:
    """By what people are told apart: the address of ``Name <address>``, else the whole, in lower case; "" for nobody."""
    found = IDENTITY.fullmatch(user or "")
    return ((found["address"].strip() or found["name"]) if found else user or "").strip().lower()


def name(user: str | None) -> str:
    """The name alone: what a table has room for."""
    found = IDENTITY.fullmatch(user or "")
    return ((found["name"].strip() or found["address"]) if found else user or "").strip() or UNKNOWN


def labels(users: Iterable[str | None]) -> dict[str, str]:
    """{key: what to call the person}: the name, with the address where several bear it; the first spelling counts."""
    spelt: dict[str, str] = {}
    for user in users:
        spelt.setdefault(key(user), user or "")
    count = Counter(name(user) for user in spelt.values())
    return {one: name(user) if count[name(user)] == 1 else user or UNKNOWN for one, user in spelt.items()}


def addresses(one: str, mailmap: str, called: str = "") -> frozenset[str]:
    """The addresses of the person of this one, who is ``called`` so: in lower case, those that a ``.mailmap`` (gitmailmap(5))
    joins with it. A line that holds only under a certain name counts for who is called so; that the person has its address
    under that name does not make others' work under it theirs.
    """
    known, one = _mapped(mailmap), one.lower()
    same = (_meant(known, called, one) or ("", one))[1].lower()
    joined = {old for (under, old), (_, address) in known.items() if not under and address.lower() == same}
    return frozenset({one, same} | joined) - {""}


def proper(user: str, mailmap: str) -> str:
    """A user as ``.mailmap`` calls the person: ``Name <address>``; as it is where no line is of that address. Where that line
    gives no name, another's for the same person counts (Git would leave the commit's).
    """
    known = _mapped(mailmap)
    if (found := _meant(known, name(user), key(user))) is None:
        return user
    names = (called for called, address in known.values() if called and address.lower() == found[1].lower())
    return f"{found[0] or next(names, name(user))} <{found[1]}>"


_Mapped = Mapping[tuple[str, str], tuple[str, str]]


@functools.lru_cache(maxsize=4)
def _mapped(mailmap: str) -> _Mapped:
    """{(name, or nothing where any will do; address) that a commit may have, in lower case: (the person's name, or nothing;
    the person's address)}.
    """
    found = {}
    for line in mailmap.splitlines():
        if (said := _MAPPED.match(line)) and not line.startswith("#"):
            under = said["under"].strip().lower(), said["old"].strip().lower()
            found[under] = said["name"].strip(), said["proper"].strip()
    return found


_MAPPED = re.compile(r"(?P<name>[^<>]*)<(?P<proper>[^<>]*)>(?P<under>[^<>]*)<(?P<old>[^<>]*)>")


def _meant(known: _Mapped, called: str, address: str) -> tuple[str, str] | None:
    """What the mailmap has of who commits so: a line with the name comes before one for all of the address."""
    return known.get((called.lower(), address)) or known.get(("", address))


@dataclass(frozen=True)
class Whose:
    """Whose runs are asked for: this person's (``keys``), or those of whom ``name`` means, by what ``mailmap`` joins too;
    everyone's without either.
    """

    keys: tuple[str, ...] = ()
    name: str = ""
    mailmap: str = ""

    def __bool__(self) -> bool:
        return bool(self.keys or self.name)

    def holds(self, user: str | None) -> bool:
        """Whether a run of this user is asked for. A name is an address, a login or words of a name, as ``meant`` has it, and
        means all that its person is called.
        """
        if not user:
            return False
        person = proper(user, self.mailmap)
        if self.keys:
            return key(user) in self.keys or key(person) in self.keys
        named = meant(self.name, user) or meant(self.name, person)
        return named or key(self.name) in addresses(key(user), self.mailmap, name(user))


def meant(wanted: str, user: str | None) -> bool:
    """Whether ``wanted`` means this user: its whole address or login, or words that its name consists of."""
    text, mine = wanted.strip().lower(), key(user)
    if not text or not mine:
        return False
    words = name(user).lower().split()
    return text == mine or key(wanted) == mine or all(word in words for word in text.split())


def refuse_unknown(wanted: str, users: Sequence[str | None]) -> None:
    """``UsageError`` where ``wanted`` means nobody among these."""
    known = {one: label for one, label in labels(users).items() if one}
    if any(meant(wanted, user) for user in users):
        return
    there = ", ".join(sorted(known.values())[:8])
    near = nearest(wanted, {*known, *known.values()})
    raise UsageError(f"no run is of {wanted!r}", near or (f"there are runs of {there}" if there else ""))
