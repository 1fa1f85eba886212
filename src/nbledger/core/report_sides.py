"""Which two commits a report is about: the head, and the commit from which its branch set out."""

from __future__ import annotations

import os

from nbledger.core import git, gitlog
from nbledger.core.errors import Refused, UsageError
from nbledger.core.git import GitRepo
from nbledger.core.project import Project
from nbledger.core.report import Commit

_TARGETS = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
"""Variables in which a CI job is told the branch that the pull (or merge) request goes to."""
_SOURCES = ("GITHUB_HEAD_REF", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
"""Those in which it is told the branch that is to be merged; what is checked out may have no name, or be a trial of the merge."""
_DEFAULTS = ("origin/main", "origin/master", "main", "master")
_SHALLOW = "this clone lacks older commits: fetch them all (actions/checkout: fetch-depth: 0; GitLab: GIT_DEPTH: 0)"


def sides(project: Project, base: str = "", head: str = "") -> tuple[Commit, Commit]:
    """(base, head). ``head``: a branch, tag or commit (default: HEAD); ``base``: where the head's branch left that one
    (default: the branch that the pull request goes to, as CI says, else the remote's default branch).

    Of a head that the base's branch has already, it is its first parent: what the last commit, or merge, brought.
    """
    repo = project.git
    if repo is None:
        raise Refused("a report compares two commits, and there is no Git repository", "git init")
    tip = _commit(repo, head or "HEAD")
    name = base or default(repo)
    other = _commit(repo, name)
    found = gitlog.merge_base(repo, other, tip)
    if found is None:
        if gitlog.is_shallow(repo):
            raise Refused(f"where {head or 'HEAD'} left {name} is not known", _SHALLOW)
        raise Refused(f"{head or 'HEAD'} and {name} have no commit in common", "name another one: --base REF")
    if found == tip and base:
        raise UsageError(f"{base[:80]} has {head or 'HEAD'} already: there is nothing to report", "name another --base")
    if found == tip:
        first = git.commit_named(repo, f"{tip}^1")
        if first is None:
            hint = _SHALLOW if gitlog.is_shallow(repo) else "there is nothing to compare it with"
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
        hint = _SHALLOW if gitlog.is_shallow(repo) else f"git fetch origin {told}" if told.isalnum() else "git fetch"
        raise Refused(f"the branch {told[:80]!r}, which this goes to, is not in this clone", hint)
    pointed = git.text(repo, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", check=False)
    for name in (pointed, *_DEFAULTS):
        if name and git.commit_named(repo, name):
            return name
    raise Refused("which branch this goes to is not known", "name it: --base REF")


def _commit(repo: GitRepo, name: str) -> str:
    found = git.commit_named(repo, name)
    if found is None and name == "HEAD":
        raise Refused("there is no commit yet", 'nbledger checkpoint -m "…" makes one')
    if found is None:
        hint = _SHALLOW if gitlog.is_shallow(repo) else "git branch --all lists the branches"
        raise UsageError(f"there is no commit {name[:80]!r}", hint)
    return found


def _side(repo: GitRepo, name: str, commit: str) -> Commit:
    found = gitlog.logged(repo, commit)
    return Commit(name[:12] if git.is_hex(name) else name, commit, found.message, found.at)
