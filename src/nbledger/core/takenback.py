"""Data that Git has moved on from while nobody brought them: to track what is there now would take back somebody's change.

``git pull``, a rebase or a switch change a pointer and leave the data as they were. From then on what is in the work tree
differs from its pointer just as if it had been edited. The difference is told by three things: who moved the pointer (a
commit made here had the data before it, so what differs since is an edit), what earlier commits say of each file, and
whether the version that HEAD names has ever been here. Reads only, and only this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbledger.core import contents, datachange, git, gitlog, joining
from nbledger.core.errors import Refused
from nbledger.core.gitlog import Logged
from nbledger.core.project import Project
from nbledger.core.wording import some

MOST = 50
"""Commits of a pointer, and places where HEAD has been, that are looked at."""
_MADE_HERE = ("commit:", "commit (initial):", "commit (amend):")
_TAKEN_BACK = ("reset", "nbledger undo")  # what HEAD named before may well be what is meant
_NAMED = 3
APART = "copy yours aside and remove it, then nbledger pull brings the other"

Files = dict[str, str]
"""{path in a folder: MD5}; a file alone has one, with an empty path."""


@dataclass(frozen=True)
class Behind:
    """What in the work tree is behind HEAD's pointer. ``older`` are the files that are as an earlier version has them,
    absent ones too, with HEAD's hash (None: HEAD has them no more); ``edited`` the others that differ; ``undone`` the commits
    whose changes tracking would take back, the newest first.

    ``both``: those of the edited that HEAD has in a version which was never here. ``unknown``: HEAD's list of files is not
    here, so that no file can be named. ``whole``: all of it is an earlier version. ``where`` is what has the newer one, in words:
    while a merge is under way that is the pointer in the work tree, which the merge has joined.
    """

    path: str
    older: dict[str, str | None]
    edited: tuple[str, ...]
    undone: tuple[Logged, ...]
    both: tuple[str, ...] = ()
    unknown: bool = False
    whole: bool = False
    where: str = "HEAD"


@dataclass(frozen=True)
class _Version:
    """``aside``: of a place where HEAD was, not of its history."""

    commit: Logged
    md5: str
    aside: bool = False


def behind(
    project: Project, path: str, pointer: str, hashed: Callable[[], str | None], now: Callable[[], Files]
) -> Behind | None:
    """How the output at ``path`` is behind its ``pointer`` in HEAD; None where it is not: it is the same, or what differs was done
    here. ``hashed()`` tells its hash now, and is asked only where something else than a commit made here moved the pointer;
    ``now()`` tells a folder's files.
    """
    repo = project.git
    if repo is None or (head := git.head(repo).commit) is None:
        return None
    if (found := joining.sides(project, path, pointer)) is not None:
        return _joined(project, path, pointer, found, hashed(), now)
    past = _past(repo, path, pointer, head)
    brought = _moved_by(past[1]) if past is not None else None
    if past is None or brought is None:
        return None
    md5 = hashed()
    if md5 is None or md5 in ("?", past[0]):
        return None
    versions = _versions(repo, path, pointer, past[0], elsewhere="" if brought.startswith(_TAKEN_BACK) else head)
    if len(versions) < 2:
        return None
    whole = next((i for i, version in enumerate(versions) if version.md5 == md5), None)
    if md5.endswith(".dir") and past[0].endswith(".dir"):
        return _folder(project, path, versions, now(), whole)
    if whole is not None:
        return Behind(path, {"": past[0]}, (), _commits(versions[:whole]), whole=True)
    if contents.cached(project, past[0]):
        return None
    return Behind(path, {}, ("",), _commits(versions[:1]), both=("",))


def _joined(
    project: Project, path: str, pointer: str, found: joining.Sides, md5: str | None, now: Callable[[], Files]
) -> Behind | None:
    """The same while a merge, rebase or the like is under way."""
    if md5 is None or md5 == "?":
        return None
    stale = joining.stale(project, pointer, found, md5, now)
    if stale is None:
        return None
    where, whole = f"the {found.under_way}", md5 == found.base
    return Behind(path, stale.older, stale.edited, stale.undone, stale.both, stale.unknown, whole, where)


def _folder(project: Project, path: str, versions: Sequence[_Version], now: Files, whole: int | None) -> Behind | None:
    """The same of a folder, file by file. What is absent, or here only, is behind if the version that is most like the
    present one has it so: a file that was removed here is no earlier state, though there was one without it once.
    """
    lists = [contents.folder(project, version.md5) for version in versions]
    head = lists[0]
    known = [i for i in range(1, len(lists)) if lists[i]]
    if not head:
        at = whole if whole is not None else 1
        return Behind(path, {}, (), _commits(versions[:at]), unknown=True, whole=whole is not None)
    if not known:
        return None
    base = min([0, *known], key=lambda i: (_unlike(lists[i], now), i))
    older: dict[str, str | None] = {}
    edited, both, undone = [], [], set[int]()
    for name in sorted({*head, *now}):
        mine, theirs = now.get(name), head.get(name)
        if mine == theirs:
            continue
        among = known if mine is not None and theirs is not None else [base] if base else []
        was = next((i for i in among if lists[i].get(name) == mine), None)
        if was is None:
            edited.append(name)
            if theirs is not None and not contents.cached(project, theirs):
                both.append(name)
                undone.add(0)
            continue
        older[name] = theirs
        # the last of the versions, seen from the newest, that still has it as HEAD has it, brought it
        undone.add(next((i - 1 for i in range(1, was + 1) if lists[i] and lists[i].get(name) != theirs), was - 1))
    if not older and not both:
        return None
    commits = _commits([versions[i] for i in sorted(undone)])
    return Behind(path, older, tuple(edited), commits, both=tuple(both), whole=whole is not None)


def _unlike(one: Files, other: Files) -> int:
    return sum(1 for name in {*one, *other} if one.get(name) != other.get(name))


def _past(repo: git.GitRepo, path: str, pointer: str, head: str) -> tuple[str, list[tuple[str, str]]] | None:
    """(the hash that HEAD's pointer names, where HEAD has been: what moved it there and the hash then, newest first)."""
    words = ("log", "-g", f"-n{MOST}", "-z", "--no-show-signature", "--format=%H%x1f%gs", "HEAD", "--")
    said = git.call(repo, *words, check=False).stdout.decode("utf-8", "replace")
    found = (entry.partition("\x1f") for entry in said.split("\0") if "\x1f" in entry)
    places = [(commit, how) for commit, _, how in found] or [(head, "")]
    texts = gitlog.blobs(repo, [(head, pointer), *((commit, pointer) for commit, _ in places)])
    rows = [datachange.pointer_row(text, pointer, path) for text in texts]
    if rows[0] is None or not rows[0].md5 or rows[0].legacy:
        return None
    moves = [(how, row.md5 if row is not None else "") for (_, how), row in zip(places, rows[1:], strict=True)]
    return rows[0].md5, moves


def _moved_by(moves: Sequence[tuple[str, str]]) -> str | None:
    """What gave HEAD's pointer its present hash, in the words of Git's reflog (empty: not known); None for a commit here."""
    current, how = moves[0][1], ""
    for said, md5 in moves:
        if md5 != current:
            break
        how = said
    else:
        how = how if how.startswith(("commit (initial):", "clone")) else ""
    return None if how.startswith(_MADE_HERE) else how


def _versions(repo: git.GitRepo, path: str, pointer: str, current: str, elsewhere: str) -> list[_Version]:
    """HEAD's version and the earlier ones, the newest first; after them those of where HEAD was before (with ``elsewhere``)."""
    found = gitlog.commits_of(repo, pointer, MOST, ("HEAD",))
    count = len(found)
    if elsewhere:
        found += gitlog.commits_of(repo, pointer, MOST, ("--reflog", f"^{elsewhere}"))
    rows = [
        datachange.pointer_row(text, pointer, path)
        for text in gitlog.blobs(repo, [(commit.commit, pointer) for commit in found])
    ]
    versions = [
        _Version(commit, row.md5, i >= count)
        for i, (commit, row) in enumerate(zip(found, rows, strict=True))
        if row is not None and row.md5 and not row.legacy
    ]
    while len(versions) > 1 and versions[1].md5 == current == versions[0].md5:  # the oldest in a row brought it
        del versions[0]
    return versions if versions and versions[0].md5 == current else []


def _commits(versions: Iterable[_Version]) -> tuple[Logged, ...]:
    """Those of HEAD's history: where what is here comes from elsewhere, the newest is what it is not."""
    listed = list(versions)
    own = [one for one in listed if not one.aside]
    chosen = own if len(own) == len(listed) else own[:1] or listed[:1]
    return tuple({version.commit.commit: version.commit for version in chosen}.values())


# ── what is said of it ───────────────────────────────────────────────────────────────────────────────────


def whose(one: Behind) -> str:
    """``Ada, 1234abcd`` of the newest of the commits that would be undone."""
    first = one.undone[0]
    more = f" and {len(one.undone) - 1} more" if len(one.undone) > 1 else ""
    return f"{first.author}, {first.commit[:8]}{more}"


def told(one: Behind) -> str:
    """One line for a state."""
    if one.both and not one.older:
        return told_of_both(one)
    part = f" in part, {_some(one.path, one.older)}," if one.older and not one.whole else ""
    return f"{one.path} is{part} older than its pointer ({whose(one)}): nbledger pull"


def told_of_both(one: Behind) -> str:
    """The same, where files were changed on both sides."""
    return f"{_some(one.path, one.both)} was changed here, and in {one.path} of {one.where} too ({whose(one)}): {APART}"


def refusal(found: Sequence[Behind]) -> Refused:
    """The error of ``track``: what would be lost, whose it is, and the way on which loses nothing."""
    first = found[0]
    said = f"tracking would take back “{first.undone[0].message[:60]}” ({whose(first)})"
    others = f" (and {', '.join(one.path for one in found[1:4])})" if len(found) > 1 else ""
    hint = "nbledger pull first: it brings what is older here, and what you changed stays"
    if first.both and not first.older:
        what, hint = f"{_some(first.path, first.both)} is changed here and in {first.where}", APART
    elif first.unknown:
        what = f"{first.where} has another version of {first.path}, which was never here"
    else:
        what = f"older here than in {first.where}: {_some(first.path, first.older)}"
    return Refused(f"{said}: {what}{others}", f"{hint}; --take-back if you mean it")


def _some(path: str, names: Iterable[str]) -> str:
    listed = [name for name in names if name] or [path]
    return some(listed, _NAMED)
