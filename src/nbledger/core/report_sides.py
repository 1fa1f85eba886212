"""Which two commits a report is about: the head, and the commit from which its branch set out."""

from __future__ import annotations

import os

from nbledger.core import forge, git, gitlog
from nbledger.core.errors import Refused, UsageError
from nbledger.core.git import GitRepo
from nbledger.core.project import Project
from nbledger.core.report import Commit

_TARGETS = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
"""Variables in which a CI job is told the branch that the pull (or merge) request goes to."""
_SOURCES = ("GITHUB_HEAD_REF", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
"""Those in which it is told the branch that is to be merged; what is checked out may have no name, or be a trial of the merge."""
_DEFAULTS = ("origin/main", "origin/master", "main", "master")
_CI = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", *_TARGETS)
_LACKS = "this clone lacks older commits: "
_OF_A_JOB = "fetch them all (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)"
_OF_A_PERSON = 'git fetch --unshallow origin "+refs/heads/*:refs/remotes/origin/*"'
"""All branches are named since a shallow clone is one of a single branch, unless it was told otherwise."""


def sides(project: Project, base: str = "", head: str = "") -> tuple[Commit, Commit]:
    """(base, head). ``head``: a branch, tag or commit (default: HEAD); ``base``: where the head's branch left that one
    (default: the branch that the pull request goes to, as CI says, else the remote's default branch).

    Of a head that the base's branch has already, it is its first parent: what the last commit, or merge, brought.
    """
    repo = project.git
    if repo is None:
        raise Refused("a report compares two commits, and there is no Git repository", "git init")
    head, tip = _commit(repo, head) if head else ("", _commit(repo, "HEAD")[1])
    name, other = _commit(repo, base or default(repo))
    found = gitlog.merge_base(repo, other, tip)
    if found is None:
        if gitlog.is_shallow(repo):
            raise Refused(f"where {head or 'HEAD'} left {name} is not known", _shallow())
        raise Refused(f"{head or 'HEAD'} and {name} have no commit in common", "name another one: --base REF")
    if found == tip and base:
        _uncommitted(repo, tip, base)
        raise UsageError(f"{base[:80]} has {head or 'HEAD'} already: there is nothing to report", "name another --base")
    if found == tip:
        first = git.commit_named(repo, f"{tip}^1")
        if first is None:
            hint = _shallow() if gitlog.is_shallow(repo) else "there is nothing to compare it with"
            raise Refused(f"{head or 'HEAD'} is in {name} already, and has no parent here", hint)
        return _side(repo, f"{head or tip[:8]}^", first), _side(repo, head or _called(repo, tip), tip)
    return _side(repo, name, found), _side(repo, head or _called(repo, tip), tip)


def _called(repo: GitRepo, tip: str) -> str:
    """What is checked out, by the name that a person gives it."""
    told = next((os.environ[name] for name in _SOURCES if os.environ.get(name)), "")
    return told or git.head(repo).branch or tip[:8]


def default(repo: GitRepo) -> str:
    """The branch that work is merged into: as CI says, else the remote's HEAD, else ``main`` or ``master``."""
    told = next((os.environ[name] for name in _TARGETS if os.environ.get(name)), "")
    for name in (f"origin/{told}", told) if told else ():
        if git.commit_named(repo, name):
            return name
    if told:
        hint = _shallow() if gitlog.is_shallow(repo) else f"git fetch origin {told}" if told.isalnum() else "git fetch"
        raise Refused(f"the branch {told[:80]!r}, which this goes to, is not in this clone", hint)
    pointed = git.text(repo, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", check=False)
    for name in (pointed, *_DEFAULTS):
        if name and git.commit_named(repo, name):
            return name
    raise Refused("which branch this goes to is not known", "name it: --base REF")


def _shallow() -> str:
    """What brings the commits that a shallow clone has not: in CI the workflow does, elsewhere a person."""
    return _LACKS + (_OF_A_JOB if forge.is_set(*_CI) else _OF_A_PERSON)


def _uncommitted(repo: GitRepo, tip: str, base: str) -> None:
    """Refuse a report of nothing but what is in no commit, and say that it is."""
    changed = git.changes(repo)[0] if git.head(repo).commit == tip else []
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(
            f"what differs from {base[:80]} is in no commit yet ({changed[0][:80]}{more}), and a report is about commits",
            'git commit, or nbledger checkpoint -m "…" for notebooks and data',
        )


def _commit(repo: GitRepo, name: str) -> tuple[str, str]:
    """(name, commit). A branch that only ``origin`` has is found there, as a clone has it before it is checked out."""
    for one in (name,) if name == "HEAD" else (name, f"origin/{name}"):
        found = git.commit_named(repo, one)
        if found is not None:
            return one, found
    if name == "HEAD":
        raise Refused("there is no commit yet", 'nbledger checkpoint -m "…" makes one')
    hint = "git branch --all lists the branches"
    if gitlog.is_shallow(repo):
        hint += f"; if it is none of them, {_shallow()}"
    raise UsageError(f"there is no commit {name[:80]!r}", hint)


def _side(repo: GitRepo, name: str, commit: str) -> Commit:
    found = gitlog.logged(repo, commit)
    return Commit(name[:12] if git.is_hex(name) else name, commit, found.message, found.at)
