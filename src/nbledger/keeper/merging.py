"""The merge of a pull request as an approval: what Git shows of it, and where that is not enough what the forge says.

Git is asked first, because it needs nobody's leave. A squash or a rebase leaves it nothing to show; then, and where the one who
merged may not approve, the forge is asked who merged the request and who approved it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nbledger.core import approval, forge, forge_merged, merged, mlflow
from nbledger.core.approval import Given, Party, Pending
from nbledger.core.errors import Refused, UsageError
from nbledger.core.forge import Place
from nbledger.core.forge_http import Api
from nbledger.core.forge_merged import Deed, Request
from nbledger.core.moments import stamp
from nbledger.core.project import Project
from nbledger.keeper import persons


@dataclass(frozen=True)
class Evidence:
    """Approvals by people who may give them, and why there are no more."""

    given: tuple[Given, ...] = ()
    reasons: tuple[str, ...] = ()


def evidence(project: Project, api: Any, seen: Pending, text: str, where: str) -> Evidence:
    """What the merge of the run's commit into ``where`` (a branch of the remote, or the merge commit) is worth as approval
    of ``seen``. What cannot be asked (a forge that is away) is an error; what is not there, or not known, a reason.
    """
    run = mlflow.get_run(api, project.tracking_uri, seen.run_id)
    tags = run.data.tags if run is not None else {}
    commit = str(tags.get("mlflow.source.git.commit", ""))
    if project.git is None or tags.get("nbledger.dirty") != "false":
        return Evidence(reasons=("the run's code is in no commit that could have been merged",))
    try:
        line = merged.line(project.git, where)
    except Refused as err:
        return Evidence(reasons=(str(err),))
    by_git = _by_git(project, seen, text, commit, line)
    missing = seen.needed - len(seen.approved) - len(by_git.given)
    if missing <= 0:
        return by_git
    by_forge = _by_forge(project, seen, text, commit, line)
    return Evidence((*by_git.given, *by_forge.given), (*by_git.reasons, *by_forge.reasons))


def _by_git(project: Project, seen: Pending, text: str, commit: str, line: merged.Line) -> Evidence:
    assert project.git is not None
    try:
        merge = merged.evidence(project.git, commit, line)
    except Refused as err:
        return Evidence(reasons=(str(err),))
    at = stamp(merge.at)
    if approval.before(merge.at, seen.at):
        return Evidence(reasons=(_early(f"{merge.commit[:10]} was merged", at, seen),))
    known = persons.known_as(project, merge.people)
    given = Given(merge.people[0], at, known, "merge", text, merge.commit, merge.branch)
    why = approval.why_not(persons.joined(project, seen), known)
    return Evidence(reasons=(why,)) if why else Evidence((given,))


def _early(what: str, at: str, seen: Pending) -> str:
    return f"{what} at {at}, before approval was asked for at {seen.at}: not knowing the figures"


# ── what the forge says ──────────────────────────────────────────────────────────────────────────────────


def _by_forge(project: Project, seen: Pending, text: str, commit: str, line: merged.Line) -> Evidence:
    """Who merged the request that holds the commit, and who approved it."""
    try:
        place = forge.place(project, number=forge.NO_NUMBER)
        forge.refuse_another(project, place)
    except (Refused, UsageError) as err:
        return Evidence(reasons=(f"and who merged it, no forge was asked: {err.message}",))
    try:
        found = _request(project, place, commit, line)
    except Refused as err:
        return Evidence(reasons=(str(err),))
    known = _with_accounts(project, seen, found)
    given, reasons = [], list(found.left_out)
    for deed in found.deeds:
        keys = persons.known_as(project, deed.person.authors, (deed.person.login.lower(),))
        if why := _why_not(known, found, deed, keys, seen):
            reasons.append(why)
        else:
            how = "merge" if deed.what == forge_merged.MERGED else "review"
            who, at, said = deed.person.authors[0], stamp(deed.at), f"{found.said} of {place.repository}"
            given.append(Given(who, at, keys, how, text, found.commit, line.shown, said))
    return Evidence(tuple(given), tuple(reasons))


def _request(project: Project, place: Place, commit: str, line: merged.Line) -> Request:
    """The request by which the commit came into the branch. ``Refused`` where the forge knows none, or does not let us ask."""
    assert project.git is not None
    repo = project.git
    return forge_merged.request(
        Api(place, most=forge_merged.MOST_BYTES),
        commit,
        merged.name(repo, line),
        lambda one: merged.holds(repo, line, one),
        line.commit or line.tip,
        named=line.named,
    )


def _with_accounts(project: Project, seen: Pending, found: Request) -> Pending:
    """The same with the accounts of its people, as far as the commits of the request tell whose they are, and with who opened
    that request.
    """
    accounts = [(set(persons.known_as(project, [who])), login) for who, login in found.accounts.items()]
    joined = persons.joined(project, seen)
    parties = [
        replace(one, keys=(*one.keys, *(login for mine, login in accounts if mine & set(one.keys))))
        for one in joined.parties
    ]
    opened = Party(found.author, f"opened {found.said}", (found.author,))
    return replace(joined, parties=(*parties, opened))


def _why_not(known: Pending, found: Request, deed: Deed, keys: tuple[str, ...], seen: Pending) -> str:
    """Why what somebody did on the forge does not count; "" if it does."""
    did = f"{found.said} was {deed.what} by {deed.person.login}"
    at = stamp(deed.at)
    if approval.before(deed.at, seen.at):
        return _early(did, at, seen)
    for party in known.parties:
        if set(party.keys) & set(keys):
            return f"{did}, who {party.role}: another person has to approve it"
    logins = {found.author, *found.accounts.values()}
    unknown = [party for party in known.parties if not set(party.keys) & logins]
    if unknown and not deed.person.shown:
        return f"{did}, of whom the forge shows no name and no address: they may be who {unknown[0].role}"
    return ""
