"""The address of a Git repository as a person gives it: what is accepted, and what is refused before Git sees it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nbledger.core import git, secrets
from nbledger.core.errors import Refused, UsageError, nearest

_SCHEMES = ("https", "http", "ssh", "git", "file", "git+ssh", "ssh+git")
_DATA = ("s3", "gs", "azure", "abfs", "hdfs", "webdav", "webdavs", "oss", "gdrive")
_HELPER = re.compile(r"[A-Za-z0-9][\w.+-]*::")
_SCP = re.compile(r"(?:([^@/:]+)@)?(\[[^\]/]+\]|[^/:@]+):(.+)", re.DOTALL)
_LONG = 32
"""Characters from which on a user name without a password is taken for a token."""


@dataclass(frozen=True)
class Address:
    """``url`` goes to Git; ``shown`` may be said and written down; ``name`` is the folder that a clone is called by."""

    url: str
    shown: str
    name: str


def parse(text: str, cwd: Path) -> Address:
    """The address that ``text`` means. ``UsageError`` where it is none, ``Refused`` where it carries a password or would have
    Git execute a program. A relative path is one of ``cwd``.
    """
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise UsageError(
            "that is no address of a Git repository", "give one such as https://git.example.org/team/wine.git"
        )
    shown = git.scrub_url(text)
    if text.startswith("-"):
        raise UsageError(
            f"{shown!r} is an option of Git, no address", "give one such as https://git.example.org/team/wine.git"
        )
    if _HELPER.match(text):
        raise Refused(
            f"{shown!r} names a program for Git to run (a remote helper)",
            "give an https:// or ssh:// address, or a path",
        )
    if "://" in text:
        return _with_scheme(text, shown)
    scp = _SCP.fullmatch(text) if ":" in text.partition("/")[0] else None
    if scp is not None:
        user, host, path = scp.groups()
        if host.startswith("-") or (user or "").startswith("-") or path.startswith("-"):
            raise UsageError(f"{shown!r} holds an option of ssh", "give user@host:path")
        return Address(text, shown, _name(path))
    place = Path(os.path.abspath(cwd / text))
    if not place.exists() and not place.with_name(place.name + ".git").exists():
        raise UsageError(
            f"there is no {shown!r}", "give a URL, user@host:path, or the path of a repository that is there"
        )
    return Address(str(place), git.scrub_url(str(place)), _name(str(place)))


def _with_scheme(text: str, shown: str) -> Address:
    scheme = text.partition("://")[0].lower()
    if scheme in _DATA:
        raise UsageError(
            f"{scheme}:// is a place of data, not of a Git repository",
            "give the address of the Git repository: it names its data",
        )
    if scheme not in _SCHEMES:
        raise UsageError(
            f"Git has no {scheme[:40]!r} addresses", nearest(scheme, _SCHEMES) or f"known: {', '.join(_SCHEMES)}"
        )
    try:
        parts = urlsplit(text)
        host, user, password = parts.hostname or "", parts.username or "", parts.password
        _ = parts.port
    except ValueError as err:
        raise UsageError(f"{shown!r} is no valid address", "look at its host and port") from err
    if scheme == "file":
        return Address(text, shown, _name(parts.path))
    if not host or host.startswith("-") or user.startswith("-") or not parts.path.strip("/"):
        raise UsageError(
            f"{shown!r} names no host and repository", "give one such as https://git.example.org/team/wine.git"
        )
    web = scheme in ("http", "https")
    token = web and bool(user) and (len(user) >= _LONG or secrets.scrub(user) != user)
    # What a query signs for is a secret too; who only logs in by a name is not.
    signed = secrets.scrub(f"?{parts.query}") != f"?{parts.query}" if parts.query else False
    if password is not None or token or signed:
        raise Refused(
            "the address carries a password or token, which would stay in .git/config",
            "leave it out: Git asks your credential helper for it (git config --global credential.helper …)",
        )
    return Address(text, shown, _name(parts.path))


def _name(path: str) -> str:
    """What ``git clone`` would call the folder."""
    path = path.rstrip("/")
    path = path.removesuffix("/.git").rstrip("/")
    name = re.split(r"[/:]", path)[-1]
    name = name.removesuffix(".git").removesuffix(".bundle")
    if name in ("", ".", "..", ".git") or name.startswith("-"):
        raise UsageError("the address does not tell a name for the folder", "name one: nbledger join URL DIR")
    return name


def same(one: str, other: str) -> bool:
    """Whether two addresses mean the same repository, as far as their text tells."""

    def plain(url: str) -> str:
        url = git.scrub_url(url).removeprefix("file://")
        return url.rstrip("/").removesuffix("/.git").removesuffix(".git")

    return plain(one) == plain(other)
