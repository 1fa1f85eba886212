"""Who works here: as a run that is recorded now says it."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import git, secrets
from nbledger.core.errors import LedgerError
from nbledger.core.people import IDENTITY, UNKNOWN, addresses, key, name
from nbledger.core.project import Project

_OF_IMAGES = (
    "root",
    "jovyan",
    "app",
    "user",
    "default",
    "admin",
    "administrator",
    "nobody",
    "mlflow",
    "spark",
    UNKNOWN,
)
_OF_CLOUDS = ("ubuntu", "debian", "vscode", "codespace", "gitpod", "runner", "ec2-user", "azureuser", "sagemaker-user")
_SHARED = frozenset((*_OF_IMAGES, *_OF_CLOUDS))
"""Logins that images and clouds give to everybody."""


def tells(login: str) -> bool:
    """Whether a login (or a name) tells one person from others: not one that images give to everybody, nor none."""
    return bool(login) and not login.isdigit() and login.lower() not in _SHARED  # a number: a container's nameless user


@dataclass(frozen=True)
class Me:
    """``user`` as a run is recorded, ``keys`` of all runs that are this person's."""

    user: str
    keys: tuple[str, ...]


def me(project: Project) -> Me:
    """The person here, by every address that the repository's ``.mailmap`` has of them. A login that images give to everybody
    tells nobody: it counts only where Git knows no identity.
    """
    said, called = author(project), login()
    if said is None:
        return Me(called, (key(called),))
    others = addresses(key(said), mailmap(project), name(said)) - {key(said)}
    return Me(said, (key(said), *sorted(others), *(() if key(called) in _SHARED else (key(called),))))


def recorded(project: Project) -> dict[str, str | None]:
    """By whom what this process does is recorded: Git's identity and the login."""
    return {"author": author(project), "login": login()}


def mailmap(project: Project) -> str:
    """``.mailmap`` as Git reads it: at the top of the work tree, and no link."""
    if project.git is None:
        return ""
    path = project.git.root / ".mailmap"
    try:
        if path.is_symlink() or path.stat().st_size > _MOST:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


_MOST = 1 << 20
"""Bytes of a ``.mailmap`` that are read at each look; the Linux kernel's has 50,000."""


# ── the login ────────────────────────────────────────────────────────────────────────────────────────────


def login() -> str:
    """As MLflow itself would note it: the tracking server's login, else the name of the system's user. A token that
    somebody gave in place of a login is a secret, and no name.
    """
    found = os.environ.get("MLFLOW_TRACKING_USERNAME") or _noted()
    if found and not _TOKEN.fullmatch(found) and secrets.scrub(found) == found:
        return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else UNKNOWN


_TOKEN = re.compile(r"(?=.*\d)[\w+/=.~-]{20,}", re.ASCII)


def _noted() -> str:
    """The login in MLflow's own file of credentials."""
    path = os.path.expanduser("~/.mlflow/credentials")
    if not os.path.isfile(path):
        return ""
    import configparser

    found = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
        found.read(path, encoding="utf-8")
    return found.get("mlflow", "mlflow_tracking_username", fallback="")


# ── Git's identity ───────────────────────────────────────────────────────────────────────────────────────


def author(project: Project) -> str | None:
    """``Name <address>`` as Git would write it into a commit made here; None where Git would have to guess. Git is asked
    again when one of its files of settings, or a variable, is another one.
    """
    stamp = _stamp(project)
    known = _known.get(project.home)
    if known is None or known[0] != stamp:
        _known[project.home] = known = (stamp, _asked(project))
    return known[1]


_known: dict[Path, tuple[object, str | None]] = {}


def _asked(project: Project) -> str | None:
    try:
        done = git.call(project.home, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT", check=False)
    except LedgerError:
        return None
    said = re.sub(r"\s\d+ [+-]\d{4}$", "", done.stdout.decode("utf-8", "replace").strip())
    return said if not done.returncode and IDENTITY.fullmatch(said) else None


_VARIABLES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL")


def _stamp(project: Project) -> object:
    """What Git's answer depends on, as far as a look at a few files tells."""
    given = [os.environ.get(word) for word in _VARIABLES]
    there = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    paths = [os.path.expanduser("~/.gitconfig"), os.path.join(there, "git", "config"), given[-1] or ""]
    if project.git is not None:
        paths += [str(project.git.common_dir / "config"), str(project.git.git_dir / "config.worktree")]
    return (*given, *map(_version, paths))


def _version(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
