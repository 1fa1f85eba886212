"""What comes together in a pointer while a merge, rebase or the like is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nbledger.core import contents, datachange, git, gitlog
from nbledger.core.gitlog import Logged
from nbledger.core.project import Project

_OTHER = ("MERGE_HEAD", "REBASE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")

Files = dict[str, str]
"""{path in a folder: MD5}; a file alone has one, with an empty path."""


@dataclass(frozen=True)
class Sides:
    """The pointer's versions as MD5s, None where there is none: the common one, those of the two commits, and what the
    pointer in the work tree names.
    """

    base: str | None
    ours: str | None
    theirs: str | None
    pointer: str
    commits: tuple[str | None, str, str]
    under_way: str


@dataclass(frozen=True)
class Stale:
    """``older`` are files that are here as before either side changed them, with the pointer's hash (None: it has them no
    more); ``both`` those that were changed here and, in a version that was never here, by one of the sides.
    """

    older: dict[str, str | None]
    edited: tuple[str, ...]
    both: tuple[str, ...]
    undone: tuple[Logged, ...]
    unknown: bool = False


def sides(project: Project, path: str, pointer: str) -> Sides | None:
    """None where nothing is under way, or Git does not say between what."""
    repo = project.git
    if repo is None or (under_way := git.operation(repo)) in ("", "bisect"):
        return None
    found = _commits(repo)
    if found is None:
        return None
    try:
        text = (project.root / pointer).read_bytes()
    except OSError:
        return None
    row = datachange.pointer_row(text, pointer, path)
    if row is None or not row.md5 or row.legacy:
        return None
    rows = [
        datachange.pointer_row(blob, pointer, path)
        for blob in gitlog.blobs(repo, [(commit or "", pointer) for commit in found])
    ]
    was, ours, theirs = (one.md5 if one is not None and not one.legacy else None for one in rows)
    return Sides(was, ours, theirs, row.md5, found, under_way)


def _commits(repo: git.GitRepo) -> tuple[str | None, str, str] | None:
    """(the common version, ours, theirs). What is picked or reverted has its parent for the first, or for the last."""
    name = next((name for name in _OTHER if (repo.git_dir / name).is_file()), None)
    head = git.head(repo).commit
    if name is None or head is None:
        return None
    other = (repo.git_dir / name).read_text().split()[0]
    if name == "MERGE_HEAD":
        return gitlog.merge_base(repo, head, other), head, other
    parent = next(iter(gitlog.parents(repo, [other]).get(other, [])), None)
    if name != "REVERT_HEAD":
        return parent, head, other
    return (other, head, parent) if parent is not None else None


def stale(project: Project, pointer: str, found: Sides, md5: str, now: Callable[[], Files]) -> Stale | None:
    """What tracking the output of ``pointer``, whose hash is ``md5`` now, would take back of what the pointer has; None for
    nothing. A file that both sides changed is for the person to decide.
    """
    if md5 == found.pointer:
        return None
    folder = found.pointer.endswith(".dir") and md5.endswith(".dir")
    if folder and not contents.folder(project, found.pointer):
        return Stale({}, (), (), _undone(project, pointer, found, _changed(found, md5)), unknown=True)
    was, ours, theirs, named = (
        _files(project, one, folder) for one in (found.base, found.ours, found.theirs, found.pointer)
    )
    have = now() if folder else {"": md5}
    older: dict[str, str | None] = {}
    edited, both, undone = [], [], set[int]()
    for name in sorted({*named, *have}):
        mine, wanted, before = have.get(name), named.get(name), was.get(name)
        if mine == wanted:
            continue
        changed = {number for number, side in ((1, ours), (2, theirs)) if side.get(name) != before}
        clash = len(changed) == 2 and ours.get(name) != theirs.get(name)
        unseen = wanted is not None and not clash and contents.cached(project, wanted) is None
        if mine == before or (mine is None and unseen):
            older[name] = wanted
        else:
            edited.append(name)
            if not unseen:
                continue
            both.append(name)
        undone |= changed
    if not older and not both:
        return None
    return Stale(older, tuple(edited), tuple(both), _undone(project, pointer, found, undone or _changed(found, md5)))


def _changed(found: Sides, md5: str) -> set[int]:
    """The sides that changed the output as a whole, without one whose version ``md5`` is: that one would stay. Both where Git
    knows of neither, and the pointer in the work tree came otherwise.
    """
    changed = {number for number, side in ((1, found.ours), (2, found.theirs)) if side != found.base}
    return {number for number in changed if (found.ours, found.theirs)[number - 1] != md5} or changed or {1, 2}


def taken_back(was: Files, ours: Files, theirs: Files, now: Files) -> list[str]:
    """Files that one side alone changed, and that ``now`` has as they were before."""
    names = sorted({*was, *ours, *theirs})
    return [
        name
        for name in names
        if now.get(name) == was.get(name) and sum(side.get(name) != was.get(name) for side in (ours, theirs)) == 1
    ]


def _files(project: Project, md5: str | None, folder: bool) -> Files:
    if not md5:
        return {}
    return contents.folder(project, md5) if folder else {"": md5}


def _undone(project: Project, pointer: str, found: Sides, numbers: set[int]) -> tuple[Logged, ...]:
    """The newest commit of each of these sides that changed the pointer."""
    repo = project.git
    assert repo is not None
    base = found.commits[0]
    listed = []
    for number in sorted(numbers):
        commit = found.commits[number]
        assert commit is not None
        since = (commit, *([f"^{base}"] if base else []))
        listed.append(next(iter(gitlog.commits_of(repo, pointer, 1, since)), None) or gitlog.logged(repo, commit))
    return tuple(listed)
