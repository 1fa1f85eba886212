"""Who is at work here: one answer for whatever is decided about a model (promote, approve, rollback, deploy, drift).

A person is who Git says, and the login that the tracking server checked; ``.mailmap`` joins the names and addresses of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from nbledger.core import approval, forge, merged, mlflow_whoami
from nbledger.core.approval import Identity, Pending
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import recorder


def identity(project: Project, api: Any) -> Identity:
    """Who is at work here: as Git has them, and by the login that the tracking server checked, else the system's. Raises
    where a server does not say whom it takes us for.
    """
    checked = mlflow_whoami.login(api, project.tracking_uri)
    return Identity(recorder.author(project) or "", checked or recorder.user(), checked is not None)


def named(project: Project, api: Any) -> str:
    """What who is at work here is called in records. A record is no proof: where the server does not say whom it takes us
    for, the rest is written down.
    """
    try:
        return identity(project, api).text
    except LedgerError:
        return Identity(recorder.author(project) or "", recorder.user()).text


def machine() -> bool:
    """Whether this is a CI job: what it does is nobody's own deed."""
    return forge.is_set("CI")


def known_as(project: Project, authors: Iterable[str], keys: Iterable[str] = ()) -> tuple[str, ...]:
    """The keys of one person: of these Git identities and these addresses among ``keys``, in every spelling that
    ``.mailmap`` has of them.
    """
    mine = set(keys)
    said = [*authors, *(f"<{one}>" for one in sorted(mine) if "@" in one)]
    mapped = merged.spellings(project.git, said) if project.git is not None else {}
    return tuple(sorted(mine | {key for one in (*said, *mapped.values()) for key in approval.keys(one)}))


def keys(project: Project, who: Identity) -> tuple[str, ...]:
    """By what this person is told apart."""
    return known_as(project, [who.author] if who.author else [], who.keys)


def joined(project: Project, found: Pending) -> Pending:
    """The same, to compare people with: each in every spelling that ``.mailmap`` has of them here and now."""
    return replace(
        found,
        parties=tuple(replace(one, keys=known_as(project, [], one.keys)) for one in found.parties),
        approved=tuple(replace(one, keys=known_as(project, [], one.keys)) for one in found.approved),
    )
