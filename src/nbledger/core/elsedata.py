"""Data of other commits than the present one, for ``pull``: into the cache; and why the present one's cannot be had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nbledger.core import git, gitlog, needs, whereabouts
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.needs import Need
from nbledger.core.project import Project
from nbledger.core.wording import some

Scope = Literal["branches", "tags", "commits", "runs"]
_PATTERNS: dict[str, tuple[str, ...]] = {
    "branches": ("refs/heads", "refs/remotes"),
    "tags": ("refs/tags",),
    "runs": ("refs/nbledger",),
}


def missing(project: Project, scopes: Sequence[Scope]) -> list[Need]:
    """Versions that these commits name and that the cache has not whole. ``commits``: of every branch and tag, all that
    lead to them.
    """
    if project.git is None or project.dvc_root is None:
        return []
    found: list[Need] = []
    if "commits" in scopes:
        tips = _tips(project, "branches") | _tips(project, "tags")
        found += needs.of_new(project, tips, ()) if tips else []
    for scope in scopes:
        if scope != "commits":
            found += needs.of_trees(project, _tips(project, scope))
    return whereabouts.missing(project, found)


def bring(project: Project, scopes: Sequence[Scope]) -> tuple[int, list[Need]]:
    """Bring them; how many objects came, and what is in no remote."""
    return whereabouts.fetch(project, missing(project, scopes))


def _tips(project: Project, scope: str) -> dict[str, str]:
    assert project.git is not None
    words = ("--format=%(objectname) %(*objectname) %(refname:short)", *_PATTERNS[scope])
    found = {}
    for line in git.text(project.git, "for-each-ref", *words).splitlines():
        first, *_, name = line.split(" ")
        peeled = line.split(" ")[1]
        called = f"run {name.rpartition('/')[2][:8]}" if scope == "runs" else name
        found[peeled or first] = called
    return found


def lost(project: Project, outs: Sequence[Out]) -> list[Need]:
    """Those of these outputs of which the remote has not all, and the cache neither; none where that cannot be told."""
    head = git.head(project.git).commit if project.git is not None else None
    if head is None:
        return []
    wanted = {out.path for out in outs}
    named = [need for need in needs.of_trees(project, {head: "HEAD"}) if need.path in wanted]
    try:
        return [one.need for one in whereabouts.look(project, named) if one.lost and not one.why]
    except LedgerError:
        return []


def explained(project: Project, lost: Sequence[Need], err: LedgerError, before: str) -> LedgerError:
    """The error of a pull, where data are missing in the remote: which, and whose commit names them."""
    repo = project.git
    if not lost or repo is None:
        return type(err)(f"{before}{err.message}", err.hint)
    told, people = [], dict[str, None]()
    for need in lost:
        logged = gitlog.commits_of(repo, need.pointer, 1)
        people |= {one.author: None for one in logged}
        told += [f"{need.path} ({one.author}, {one.commit[:8]} “{one.message[:60]}”)" for one in logged] or [need.path]
    who = " or ".join(list(people)[:3]) or "whoever has them"
    return Refused(
        f"{before}not in the data remote: {some(told)}",
        f"{who} has to nbledger push; then nbledger pull again",
    )
