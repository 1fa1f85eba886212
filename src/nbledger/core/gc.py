"""``gc``: the data objects that neither the work trees, nor the commits asked for, nor any recorded run needs, removed.

What is needed is read from the pointers' text, every hash in it, so that a format or a conflict that nobody can parse
keeps too much rather than too little. Whatever cannot be known (a store that does not answer, a pointer that cannot be
read, a cache that other projects share) is a reason to refuse.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nbledger.core import cache, dvc, dvcremote, files, gcledger, git, gitlog, kept, pointers, recorded
from nbledger.core.errors import Refused
from nbledger.core.gcledger import Chosen, Keep, Place
from nbledger.core.project import Project, find

Scope = Literal["workspace", "branches", "tags", "commits"]
_NAME = re.compile(r"[0-9a-f]{30}(\.dir)?")


@dataclass(frozen=True)
class Wanted:
    """What to collect. ``scopes``: whose data stay beside those of the work trees and of recorded runs; none: everything
    that any commit names. ``projects``: others that use the same cache; ``alone``: there are none. ``keep``: let go of the
    code and the data of runs, too, and of what the ledger gathers.
    """

    scopes: tuple[Scope, ...] = ()
    cloud: bool = False
    projects: tuple[Path, ...] = ()
    alone: bool = False
    keep: Keep | None = None


@dataclass(frozen=True)
class Runs:
    """What the store and the journals say: {run id: hashes of its inputs} of every run that the store has, its trash
    included, and the hashes that runs which are not published yet stand on. With ``--keep``: what was ``chosen`` of them, those
    that ``models`` stand on, and batches that are ``unfinished``.
    """

    stored: Mapping[str, frozenset[str]]
    pending: frozenset[str] = frozenset()
    chosen: Chosen = field(default_factory=Chosen)
    models: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()


@dataclass
class Plan:
    """What would go: ``objects`` {path: bytes} of the cache, ``links`` of kept data that no run needs (``freed``: the
    bytes that only they hold), ``remote`` names with sizes, ``runs`` that the store has no more and ``refs`` of theirs.

    With ``--keep`` also: ``let_go`` are runs that the store has, whose ``refs`` and data go; ``git_bytes`` those of Git's objects
    that only these refs hold (None: not known); ``git_remote`` the Git remote, which lacks ``only_here`` of these refs (None:
    not known); ``there``: those that go there, by ``--cloud``; ``shared``: runs whose refs stay, as a branch or tag holds the commit anyway; ``cluster``: refs
    of snapshots for workers; ``places`` in the ledger's folder.
    """

    objects: dict[str, int] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    freed: int = 0
    remote: dict[str, int] = field(default_factory=dict)
    remote_name: str = ""
    runs: list[str] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    let_go: list[str] = field(default_factory=list)
    git_bytes: int | None = 0
    git_remote: str = ""
    only_here: int | None = 0
    there: dict[str, str] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    cluster: dict[str, str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    needed: int = 0
    needed_bytes: int = 0
    unknown: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(self.objects.values()) + self.freed

    @property
    def empty(self) -> bool:
        ledger = self.refs or self.there or self.cluster or self.places
        return not (self.objects or self.links or self.remote or self.runs or ledger)

    @property
    def digest(self) -> str:
        """Names exactly what was foreseen, so that nothing else is done."""
        parts = [sorted(self.objects), sorted(self.links), sorted(self.remote), sorted(self.runs), sorted(self.refs)]
        parts += [sorted(self.let_go), sorted(self.cluster), sorted(place.path for place in self.places)]
        parts += [sorted(self.there)]
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


# ── what is needed ───────────────────────────────────────────────────────────────────────────────────────


def foresee(project: Project, wanted: Wanted, runs: Runs) -> Plan:
    """What ``collect`` would remove. Reads only."""
    _refuse_shared(project, wanted)
    found, noted = Plan(), recorded.noted(project)
    here = git.scrub_url(project.tracking_uri)
    found.runs = sorted(one.run_id for one in noted.values() if one.uri == here and one.run_id not in runs.stored)
    repo = project.git
    assert repo is not None
    refs = git.run_refs(repo)
    found.refs = {run: refs[run] for run in found.runs if run in refs}
    _let_go(project, wanted, runs, refs, found)
    gone = {*found.runs, *found.let_go}
    by_runs = {md5 for one in noted.values() if one.run_id not in gone for md5 in one.md5s}
    by_runs |= set(runs.pending).union(*(md5s for run, md5s in runs.stored.items() if run not in gone))
    snapshots = {commit for run, commit in refs.items() if run not in found.refs and run not in gone}
    by_runs |= _of_commits(project, snapshots)
    needed = by_runs | _of_work_trees(project) | _of_scopes(project, wanted, snapshots)
    for other in wanted.projects:
        there = _other(other)
        theirs = _run_commits(there)
        needed |= _of_work_trees(there) | _of_scopes(there, wanted, theirs) | _of_commits(there, theirs)
    where = kept.place(project)
    run_objects = _expanded(project, by_runs, where, set())
    unknown: set[str] = set()
    everything = run_objects | _expanded(project, needed, where, unknown)
    _cache(project, everything, found)
    _links(project, run_objects, where, found)
    if wanted.cloud:
        _remote(project, everything, unknown, found)
    found.unknown = sorted(unknown)
    return found


def _let_go(project: Project, wanted: Wanted, runs: Runs, refs: Mapping[str, str], found: Plan) -> None:
    """What ``--keep`` adds."""
    repo = project.git
    if wanted.keep is None or repo is None:
        return
    found.let_go = sorted(runs.chosen.go)
    going = {run: refs[run] for run in found.let_go if run in refs}
    held = gcledger.in_branches(repo, set(going.values()))
    found.shared = [run for run, commit in going.items() if commit in held]
    going = {run: commit for run, commit in going.items() if commit not in held}
    found.git_bytes = gcledger.freed_objects(repo, going)
    if going or wanted.cloud:
        found.git_remote, there = gcledger.elsewhere(project)
        found.only_here = None if there is None else sum(there.get(run) != commit for run, commit in going.items())
        if wanted.cloud:
            gone = {run: commit for run, commit in (there or {}).items() if run in runs.chosen.go}
            staying_there = gcledger.in_branches(repo, set(gone.values()))
            found.there = {run: commit for run, commit in gone.items() if commit not in staying_there}
    found.refs |= going
    staying = {commit for run, commit in refs.items() if run not in going}
    if not runs.unfinished:  # such a batch may go on with its workers
        found.cluster = gcledger.cluster_snapshots(repo, staying, wanted.keep.old)
    found.places = gcledger.places(project, wanted.keep, runs.chosen.go, runs.models, runs.unfinished)


def _refuse_shared(project: Project, wanted: Wanted) -> None:
    root = dvc.require_root(project)
    if project.git is None:
        raise Refused("this project has no Git repository: which data are needed cannot be known", "nbledger init")
    folder = dvc.cache_dir(project)
    inside = folder.resolve().is_relative_to(project.home.resolve()) or folder.resolve().is_relative_to(root.resolve())
    if not inside and not wanted.projects and not wanted.alone:
        raise Refused(
            f"the cache {folder} lies outside of this project: others may use it",
            "name them (--projects PATH …), or say that there are none (--alone)",
        )


def _other(path: Path) -> Project:
    there = find(path)
    if there.git is None or there.dvc_root is None:
        raise Refused(f"{path} is no Git and DVC repository", "name the folder of a project")
    return there


def _run_commits(project: Project) -> set[str]:
    return set(git.run_refs(project.git).values()) if project.git is not None else set()


def _of_work_trees(project: Project) -> set[str]:
    """Pointers as they lie in the main work tree, in all linked ones and in their indexes, whatever Git thinks of them."""
    found: set[str] = set()
    assert project.git is not None
    for root in pointers.work_trees(project.git):
        for path in pointers.here(root):
            try:
                found |= recorded.named((root / path).read_bytes())
            except FileNotFoundError:
                continue  # deleted, and still in the index
            except OSError as err:
                raise Refused(f"{root / path} cannot be read: {err.strerror}", "make it readable first") from err
        found |= _of_blobs(project, pointers.blobs_in_index(root))
    return found


def _of_scopes(project: Project, wanted: Wanted, commits: Iterable[str]) -> set[str]:
    assert project.git is not None
    if not wanted.scopes or "commits" in wanted.scopes:
        return _of_blobs(project, pointers.blobs_of_history(project.git, pointers.EVERYTHING, commits))
    patterns = {"branches": ["refs/heads", "refs/remotes"], "tags": ["refs/tags"], "workspace": []}
    heads = pointers.heads(project.git, [p for scope in wanted.scopes for p in patterns[scope]])
    return _of_commits(project, heads)


def _of_commits(project: Project, commits: Iterable[str]) -> set[str]:
    assert project.git is not None
    trees = sorted(set(gitlog.trees(project.git, sorted(set(commits))).values()))
    return set().union(*(recorded.of_commit(project, tree) for tree in trees))


def _of_blobs(project: Project, blobs: set[str]) -> set[str]:
    assert project.git is not None
    texts = gitlog.contents(project.git, sorted(blobs))
    return set().union(*(recorded.named(text) for text in texts if text is not None))


def _expanded(project: Project, md5s: set[str], where: kept.Place | None, unknown: set[str]) -> set[str]:
    """With the files of folders; those whose list is nowhere here are added to ``unknown``."""
    root = dvc.cache_dir(project)
    places = [root / "files" / "md5", root]
    places += [where.root / part for part in kept.PARTS] if where is not None else []
    found = set(md5s)
    for md5 in md5s:
        if md5.endswith(".dir"):
            lists = [cache.read_manifest(place / md5[:2] / md5[2:]) for place in places]
            found.update(*(entries.values() for entries in lists if entries is not None))
            if all(entries is None for entries in lists):
                unknown.add(md5)
    return found


# ── what goes ────────────────────────────────────────────────────────────────────────────────────────────


def _cache(project: Project, needed: set[str], found: Plan) -> None:
    """Objects of the cache that are not needed, nor kept by another project that uses it."""
    root, foreign = dvc.cache_dir(project), _kept_by_others(project)
    for store in (root / "files" / "md5", root):
        for md5, path, size in _objects(store):
            if md5 in needed or md5 in foreign:
                found.needed += 1
                found.needed_bytes += size
            else:
                found.objects[path] = size


def _kept_by_others(project: Project) -> set[str]:
    return {md5 for folder in kept.others(project) for part in kept.PARTS for md5 in kept.listed(folder / part)}


def _objects(store: Path) -> Iterator[tuple[str, str, int]]:
    """(hash, path, bytes) of what is named as an object is; nothing else is ever touched."""
    with contextlib.suppress(FileNotFoundError):
        for prefix in sorted(os.listdir(store)):
            if not re.fullmatch(r"[0-9a-f]{2}", prefix) or not (store / prefix).is_dir():
                continue
            with os.scandir(store / prefix) as listing:
                for item in listing:
                    if _NAME.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                        yield prefix + item.name, item.path, item.stat(follow_symlinks=False).st_size


def _links(project: Project, needed: set[str], where: kept.Place | None, found: Plan) -> None:
    """Links that no run needs; bytes that no other name holds are freed with them."""
    for part in kept.PARTS if where is not None else ():
        assert where is not None
        for md5, path, size in _objects(where.root / part):
            if md5 not in needed:
                found.links.append(path)
                with contextlib.suppress(OSError):
                    found.freed += size if os.stat(path).st_nlink == 1 else 0


def _remote(project: Project, needed: set[str], unknown: set[str], found: Plan) -> None:
    remote = dvcremote.default_remote(project)
    if remote is None:
        raise Refused("this project has no default DVC remote", "leave out --cloud, or: dvc remote add -d NAME URL")
    if dvcremote.versioned(project):
        raise Refused(f"the remote {remote[0]} keeps files by name, not by hash", "remove versions with its own tools")
    found.remote_name = remote[0]
    lists = dvcremote.read_lists(project, sorted(unknown))
    needed = needed.union(*(recorded.named(text) for text in lists.values()))
    unknown.difference_update(lists)
    found.remote = dvcremote.unneeded(project, needed)


# ── the deed ─────────────────────────────────────────────────────────────────────────────────────────────


def collect(project: Project, wanted: Wanted, runs: Runs, seen: str | None = None) -> Plan:
    """Remove it; what was removed. ``seen``: the digest of the plan that was agreed to, and nothing but that is done.

    Lists of folders go before their files, objects before the notes of the runs: a process that is killed leaves what the
    next one completes.
    """
    with dvc.lock(project), _links_lock(project):
        plan = foresee(project, wanted, runs)
        if seen is not None and plan.digest != seen:
            raise Refused("something changed since this was looked at: other objects would go", "look again")
        for path in _lists_first((*plan.objects, *plan.links)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if plan.remote:
            dvcremote.remove(project, _lists_first(plan.remote))
        if project.git is not None:
            _drop_refs(project.git, wanted, plan)
        recorded.forget(project, [*plan.runs, *plan.let_go])
        gcledger.remove(project, plan.places)
        kept.refresh(project)
        kept.recount(project)
    return plan


def _drop_refs(repo: git.GitRepo, wanted: Wanted, plan: Plan) -> None:
    """Those here; with ``--cloud`` those of the Git remote before, so that no pull brings them back."""
    if wanted.keep is not None:
        let_go = [*(run for run in plan.refs if run not in plan.runs), *plan.shared]
        if wanted.cloud and plan.there:
            gcledger.remove_from_remote(repo, plan.git_remote, plan.there)
        gcledger.let_go(repo, let_go)
    lines = [f"delete {git.RUN_REFS}{run} {commit}\n" for run, commit in plan.refs.items()]
    lines += [f"delete {ref} {commit}\n" for ref, commit in plan.cluster.items()]
    if lines:
        git.update_refs(repo, "".join(lines))


def _lists_first(paths: Iterable[str]) -> Sequence[str]:
    return sorted(paths, key=lambda path: (not path.endswith(".dir"), path))


@contextlib.contextmanager
def _links_lock(project: Project) -> Iterator[None]:
    where = kept.place(project)
    if where is None or not where.root.is_dir():
        yield
        return
    with files.lock(where.root / "lock", timeout=30, what="the folder of kept data"):
        yield
