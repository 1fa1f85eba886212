"""Git's evidence that another person took a commit into a branch of the remote: the merge of a pull request as an approval.

It takes all of this (``evidence``), of what the remote has now (``line``), not of what was last seen of it:

- the commit lies in the branch on the remote;
- it came there by a merge commit of the branch's own line (its first parents). A commit that was pushed there directly, a
  fast-forward, a squash and a rebase leave nothing that says who took it in;
- whoever made that merge is its author and, unless the forge itself is named there, its committer: no machine.

Who may push to the branch is for the forge to say: where it is not protected, anybody makes a commit in any name. Who took in
what left no merge, the forge has to be asked (``core.forge_merged``).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from nbledger.core import git, gitlog, gitremote
from nbledger.core.approval import is_bot
from nbledger.core.errors import Refused, UsageError
from nbledger.core.git import GitRepo
from nbledger.core.people import IDENTITY

_FORGES = ("noreply@github.com", "noreply@gitlab.com", "noreply@bitbucket.org")
"""Addresses with which forges commit what a person did in a browser."""
_SNAPSHOTS = "nbledger@localhost"
_MOST, _DEFAULT = 1_000, "HEAD"
_LAST = 4_000_000_000  # seconds; what claims to be later is not
_LINE = re.compile(r"(?P<who>.*<[^<>]*>) (?P<at>\d+) [+-]\d{4}")


@dataclass(frozen=True)
class Merge:
    """A merge commit ``commit`` of ``branch``. ``people``: its author, and its committer where that is another person;
    ``at``: when it was committed.
    """

    branch: str
    commit: str
    people: tuple[str, ...]
    at: dt.datetime


@dataclass(frozen=True)
class Line:
    """A branch of the remote as it is there: ``branch`` is its ref there (HEAD: the default one), ``tip`` its commit, ``shown``
    what a person calls it. ``named``: it was a commit that was asked for, whose whole id is ``commit``, if it is known.
    """

    remote: str
    branch: str
    tip: str
    shown: str
    named: bool = False
    commit: str = ""


@dataclass(frozen=True)
class _Commit:
    parents: tuple[str, ...]
    author: str
    committer: str
    at: dt.datetime


def line(repo: GitRepo, where: str) -> Line:
    """The branch ``where`` of the remote, or its default branch where that is a commit. Nothing moves: only objects are fetched."""
    remote = _remote(repo)
    branch, tip = _asked(repo, remote, where)
    if not git.has_commit(repo, tip):
        gitremote.fetch(repo, remote, branch, quietly=True)
    shown = f"{remote}/{branch.removeprefix('refs/heads/')}"
    named = branch == _DEFAULT
    return Line(remote, branch, tip, shown, named, (git.commit_named(repo, where) or "") if named else "")


def evidence(repo: GitRepo, commit: str, line: Line) -> Merge:
    """The merge that took ``commit`` into the branch, or that is the commit which was named. ``Refused`` where there is none."""
    shown = line.shown
    if not git.has_commit(repo, commit):
        gitremote.fetch(repo, line.remote, line.branch, quietly=True)
    if not git.has_commit(repo, commit):
        raise Refused(f"the run's commit {commit[:10]} is not here, and not in {shown}", _DEEP)
    merge = _merge(repo, commit, line.tip, shown)
    if line.named and merge != line.commit:
        what = f"the run's commit {commit[:10]} was not taken into {shown} by {line.commit[:10] or 'that commit'}"
        raise Refused(what, f"it came there by {merge[:10]}")
    told = _read(repo, merge)
    by_forge = _address(told.committer) in _FORGES
    who = tuple(dict.fromkeys((told.author, *(() if by_forge else (told.committer,)))))
    if machine := next((one for one in who if is_bot(one) or _address(one) in _FORGES), None):
        raise Refused(
            f"{merge[:10]} was merged by {machine[:100]}, which is no person", "nbledger approve asks a person"
        )
    return Merge(shown, merge, who, told.at)


def holds(repo: GitRepo, line: Line, commit: str) -> bool:
    """Whether a commit lies in the branch, as it is on the remote."""
    return git.has_commit(repo, commit) and gitlog.is_ancestor(repo, commit, line.tip)


def name(repo: GitRepo, line: Line) -> str:
    """What the forge calls the branch."""
    return gitremote.default_branch(repo, line.remote) if line.named else line.branch.removeprefix("refs/heads/")


_DEEP = "a clone for this needs its whole history (fetch-depth: 0)"


def _remote(repo: GitRepo) -> str:
    names = gitremote.remotes(repo)
    if not names:
        raise Refused("this repository has no remote, so nothing was merged there", "nbledger approve asks a person")
    if "origin" not in names and len(names) > 1:
        raise Refused(
            f"there are several remotes: {', '.join(names)}", "the one that pull requests go to is called origin"
        )
    return "origin" if "origin" in names else names[0]


def _asked(repo: GitRepo, remote: str, where: str) -> tuple[str, str]:
    """(full name of the branch on the remote, its commit there); a commit is looked for in the remote's default branch."""
    branch = f"refs/heads/{where}"
    there = gitremote.has(repo, remote, _DEFAULT, branch) if _named(branch) else {}
    name = branch if branch in there else _DEFAULT if _hex(where) else ""
    if name not in there:
        raise UsageError(f"{remote} has no branch {where[:80]!r}", "--merged BRANCH, or the id of the merge commit")
    return name, there[name]


def _named(branch: str) -> bool:
    try:
        return bool(git.ref_name(branch))
    except Refused:
        return False


def _hex(word: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{7,64}", word) is not None


def _merge(repo: GitRepo, commit: str, tip: str, shown: str) -> str:
    """The oldest commit of the branch's own line that holds ``commit``."""
    span = f"{git.full_id(commit)}..{git.full_id(tip)}"
    after = set(git.text(repo, "rev-list", "--ancestry-path", span, "--").split())
    if not after:
        what = "is the newest commit of" if commit == tip else "is not in"
        hint = (
            "nobody merged it"
            if commit == tip
            else "it has not been merged, or by a squash or a rebase, which make other commits"
        )
        raise Refused(f"the run's commit {commit[:10]} {what} {shown}", hint)
    line = [one for one in git.text(repo, "rev-list", "--first-parent", span, "--").split() if one in after]
    parents = _read(repo, line[-1]).parents if line else ()
    if not line or parents[:1] == (commit,) or len(parents) < 2:
        raise Refused(
            f"the run's commit {commit[:10]} was pushed to {shown} itself: no merge says who took it in",
            "nbledger approve asks a person",
        )
    return line[-1]


def authors(repo: GitRepo, commit: str) -> tuple[str, ...]:
    """Who wrote the code of a commit: its author, or of a merge those of what it brought in; of a run's snapshot those of the
    commit that it was taken on. None at all where this clone does not hold enough of its history.
    """
    if not git.has_commit(repo, commit):
        return ()
    told = _read(repo, commit)
    if _address(told.author) == _SNAPSHOTS:
        return authors(repo, told.parents[0]) if told.parents else ()
    if len(told.parents) < 2:
        return (told.author,)
    if not all(git.has_commit(repo, parent) for parent in told.parents):
        return ()
    span = f"{told.parents[0]}..{git.full_id(commit)}"
    words = ("log", f"-n{_MOST}", "-z", "--no-merges", "--no-show-signature", "--format=%an <%ae>", span, "--")
    out = git.call(repo, *words).stdout.decode("utf-8", "replace")
    return tuple(dict.fromkeys(one for one in out.split("\0") if one)) or (told.author,)


def spellings(repo: GitRepo, authors: Iterable[str]) -> dict[str, str]:
    """{author: the same person as ``.mailmap`` has them}."""
    known = [one for one in dict.fromkeys(authors) if IDENTITY.fullmatch(one) and one.isprintable()]
    said = git.call(repo, "check-mailmap", "--stdin", stdin="".join(f"{one}\n" for one in known).encode(), check=False)
    lines = said.stdout.decode("utf-8", "replace").splitlines()
    return dict(zip(known, lines, strict=True)) if len(lines) == len(known) and not said.returncode else {}


def _read(repo: GitRepo, commit: str) -> _Commit:
    """A commit as it is: where a clone is cut off, ``git log`` shows no parents."""
    raw = git.call(repo, "cat-file", "commit", git.full_id(commit)).stdout.decode("utf-8", "replace")
    fields: dict[str, list[str]] = {}
    for line in raw.partition("\n\n")[0].splitlines():
        name, _, rest = line.partition(" ")
        fields.setdefault(name, []).append(rest)
    author, committer = (_LINE.fullmatch(fields.get(name, [""])[0]) for name in ("author", "committer"))
    if author is None or committer is None:
        raise Refused(f"the commit {commit[:10]} does not say who made it")
    at = dt.datetime.fromtimestamp(min(int(committer["at"]), _LAST), dt.UTC)
    return _Commit(tuple(fields.get("parent", ())), author["who"], committer["who"], at)


def _address(who: str) -> str:
    told = IDENTITY.fullmatch(who)
    return told["address"].strip().lower() if told else ""
