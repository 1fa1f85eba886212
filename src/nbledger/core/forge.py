"""Where a report is posted: which pull or merge request of GitHub or GitLab, and with whose token.

A token goes to the address that its owner named: github.com or gitlab.com, or what CI (or the person) says in
``GITHUB_API_URL`` or ``CI_API_V4_URL``. The repository's own configuration is never believed about that.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from nbledger.core import git, gitlog
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project

GITHUB, GITLAB = "github", "gitlab"
KINDS = (GITHUB, GITLAB)
_NAMES = {GITHUB: "GitHub", GITLAB: "GitLab"}
_APIS = {GITHUB: "https://api.github.com", GITLAB: "https://gitlab.com/api/v4"}
_HOSTS = {"github.com": GITHUB, "gitlab.com": GITLAB}
_API_VARIABLES = {GITHUB: "GITHUB_API_URL", GITLAB: "CI_API_V4_URL"}
_NUMBER_HINTS = {
    GITHUB: "name it: --number N (a workflow knows it on pull_request events only)",
    GITLAB: "name it: --number N (a pipeline knows it if it is one of a merge request)",
}
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
_EVENT_MOST = 32 << 20
NO_NUMBER = 0
"""Of a place that is a repository, and no request of it."""


@dataclass(frozen=True)
class Token:
    """``value`` is secret; ``where`` it was found is not. ``header`` is how it is sent."""

    value: str = field(repr=False)
    where: str
    header: str

    def headers(self) -> dict[str, str]:
        return {self.header: f"Bearer {self.value}" if self.header == "Authorization" else self.value}


@dataclass(frozen=True)
class Place:
    """A pull (merge) request: ``api`` the address of the REST interface, ``project`` as that names it in its paths, ``run``
    the number of the CI run (later ones have greater ones; 0: none), ``head`` the commit that the request would merge,
    ``web`` the request's own page (empty: not known).
    """

    kind: str
    api: str
    project: str
    number: int
    token: Token
    run: int = 0
    head: str = ""
    web: str = ""

    @property
    def repository(self) -> str:
        """What a person calls the repository."""
        return self.project.replace("%2F", "/")

    @property
    def said(self) -> str:
        """What a person calls it."""
        if self.number == NO_NUMBER:
            return self.repository
        what = "pull request" if self.kind == GITHUB else "merge request"
        return f"the {what} {'#' if self.kind == GITHUB else '!'}{self.number} of {self.repository}"


def place(
    project: Project,
    *,
    kind: str = "",
    repository: str = "",
    number: int | None = None,
    env: Mapping[str, str] = os.environ,
) -> Place:
    """Where to post, as the words say, else as CI does, else as ``origin`` lies. ``Refused`` where something is not known."""
    kind = kind or kind_of(project, env)
    api = env.get(_API_VARIABLES[kind]) or _APIS[kind]
    _check(api, _API_VARIABLES[kind])
    named = repository or _repository(project, kind, env)
    plain = _REPOSITORY.fullmatch(named) and not {".", ".."} & set(named.split("/"))
    if not (plain or (kind == GITLAB and named.isdecimal())):
        raise UsageError(f"{named[:80]!r} is no repository's name", "give OWNER/NAME: --repo OWNER/NAME")
    if kind == GITHUB and named.count("/") != 1:
        raise UsageError(f"{named[:80]!r} is no repository of GitHub", "give OWNER/NAME: --repo OWNER/NAME")
    found = number if number is not None else _number(kind, env)
    if found is None:
        what = "pull" if kind == GITHUB else "merge"
        raise Refused(f"which {what} request of {_NAMES[kind]} this belongs to is not known", _NUMBER_HINTS[kind])
    quoted = named if kind == GITHUB else quote(named, safe="")
    head, run = told_head(project, kind, env), _run(kind, env)
    return Place(kind, api.rstrip("/"), quoted, found, token(kind, env), run, head, _web(kind, env, found))


def is_set(*names: str, env: Mapping[str, str] = os.environ) -> bool:
    """Whether any of these variables, by which CI says that it is at work, is set to anything but a no."""
    return any(env.get(name, "").strip().lower() not in ("", "0", "false", "no") for name in names)


def kind_of(project: Project, env: Mapping[str, str] = os.environ) -> str:
    """GitHub or GitLab, as CI says, else as ``origin`` lies there."""
    if env.get("GITHUB_ACTIONS"):
        return GITHUB
    if env.get("GITLAB_CI"):
        return GITLAB
    host, _ = _origin(project)
    if host in _HOSTS:
        return _HOSTS[host]
    raise UsageError("whether this is on GitHub or GitLab is not known", "say which: --post github, or --post gitlab")


def token(kind: str, env: Mapping[str, str] = os.environ) -> Token:
    """The token that the environment holds."""
    wanted = {
        GITHUB: (("GITHUB_TOKEN", "Authorization"), ("GH_TOKEN", "Authorization")),
        GITLAB: (("GITLAB_TOKEN", "PRIVATE-TOKEN"), ("CI_JOB_TOKEN", "JOB-TOKEN")),
    }[kind]
    for name, header in wanted:
        value = env.get(name, "").strip()
        if value and not (value.isascii() and value.isprintable()):
            raise UsageError(f"{name} holds what no token does: a space, a line's end or another such character")
        if value:
            return Token(value, name, header)
    hint = {
        GITHUB: "env: GITHUB_TOKEN: ${{ github.token }}, with `permissions: pull-requests: write`",
        GITLAB: "a project access token of the role Reporter with the scope api, as the masked variable GITLAB_TOKEN",
    }[kind]
    raise Refused(f"there is no token for {_NAMES[kind]}: {' or '.join(name for name, _ in wanted)}", hint)


def _check(api: str, variable: str) -> None:
    """Refuse to send a token where everybody on the way can read it."""
    try:
        parts = urlsplit(api)
        host, _ = parts.hostname or "", parts.port
    except ValueError as err:
        raise UsageError(f"{variable} is no address", "such as https://git.example.org/api/v4") from err
    local = host in ("localhost", "::1") or host.startswith("127.")
    if not host or parts.username or parts.query or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise UsageError(f"{variable} is no https:// address: a token would be sent to it", "mend it")


def _origin(project: Project) -> tuple[str, str]:
    """(host, path) of the remote ``origin``, in lower case and without ``.git``; empty where it is none of a server."""
    url = (git.remote_url(project.git) if project.git is not None else None) or ""
    scp = re.fullmatch(r"(?:[^@/:]+@)?([\w.-]+):(?!//)(.+)", url, re.ASCII)
    try:
        parts = urlsplit(url)
        host, path = (scp[1], scp[2]) if scp else (parts.hostname or "", parts.path)
    except ValueError:
        return "", ""
    return host.lower().removeprefix("www."), path.strip("/").removesuffix(".git")


def refuse_another(project: Project, place: Place) -> None:
    """``Refused`` where ``origin`` lies at github.com or gitlab.com, and the place is another repository, or elsewhere."""
    host, path = _origin(project)
    if host not in _HOSTS:
        return
    other = not place.repository.isdecimal() and path.lower() != place.repository.lower()
    if other or place.api != _APIS[_HOSTS[host]]:
        there = f"{place.repository[:80]} at {urlsplit(place.api).hostname}"
        raise Refused(
            f"origin is {path[:80]} at {host}, and {there} was to be asked", "another repository proves nothing"
        )


def _repository(project: Project, kind: str, env: Mapping[str, str]) -> str:
    names = {GITHUB: ("GITHUB_REPOSITORY",), GITLAB: ("CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID")}[kind]
    told = next((env[name] for name in names if env.get(name)), "")
    host, path = _origin(project)
    if not told and _HOSTS.get(host) == kind:
        told = path
    if not told:
        raise Refused(f"which repository of {_NAMES[kind]} this is is not known", "name it: --repo OWNER/NAME")
    return told


def _number(kind: str, env: Mapping[str, str]) -> int | None:
    if kind == GITHUB:
        of_ref = re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", env.get("GITHUB_REF", ""))
        if of_ref:
            return int(of_ref[1])
        event = _event(env)
        for key in ("pull_request", "issue"):
            inner = event.get(key)
            if isinstance(inner, dict) and isinstance(inner.get("number"), int):
                return int(inner["number"])
        return None
    told = env.get("CI_MERGE_REQUEST_IID", "")
    if not told:  # a pipeline of the branch: the requests that it is the source of, "group/project!12,other/project!3"
        opened = env.get("CI_OPEN_MERGE_REQUESTS", "").split(",")
        own = env.get("CI_PROJECT_PATH", "")
        told = next((entry.rpartition("!")[2] for entry in opened if entry.rpartition("!")[0] == own), "")
    return int(told) if told.isdecimal() else None


def _event(env: Mapping[str, str]) -> dict[str, object]:
    """What GitHub says of the event that started the workflow."""
    try:
        path = Path(env["GITHUB_EVENT_PATH"])
        found = json.loads(path.read_bytes()[:_EVENT_MOST])
    except (KeyError, OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _run(kind: str, env: Mapping[str, str]) -> int:
    told = env.get("GITHUB_RUN_ID" if kind == GITHUB else "CI_PIPELINE_ID", "")
    return int(told) if told.isdecimal() else 0


def _web(kind: str, env: Mapping[str, str], number: int) -> str:
    """GitHub says it in its answers, GitLab does not."""
    page = env.get("CI_MERGE_REQUEST_PROJECT_URL") or env.get("CI_PROJECT_URL") or ""
    return f"{page}/-/merge_requests/{number}" if kind == GITLAB and page.startswith(("https://", "http://")) else ""


def told_head(project: Project, kind: str, env: Mapping[str, str] = os.environ) -> str:
    """The commit that the request would merge: CI may have checked out a trial of the merge in its place."""
    told = env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "") if kind == GITLAB else ""
    inner = _event(env).get("pull_request") if kind == GITHUB else None
    if isinstance(inner, dict) and isinstance(inner.get("head"), dict):
        told = str(inner["head"].get("sha", ""))
    if git.is_hex(told):
        return told
    return (git.head(project.git).commit or "") if project.git is not None else ""


def stands_on(project: Project, new: str, old: str) -> bool:
    """Whether a commit is known here to come after another one."""
    repo = project.git
    if repo is None or new == old or not (git.has_commit(repo, new) and git.has_commit(repo, old)):
        return False
    return gitlog.is_ancestor(repo, old, new)
