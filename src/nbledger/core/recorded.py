"""What recorded runs need of DVC's cache: which objects, of which run, how many are protected, and by what else they are named."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbledger.core import dvc, files, git, gitlog, gitremote, kept, pointers
from nbledger.core.errors import LedgerError
from nbledger.core.kept import place
from nbledger.core.project import Project

_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")


# ── what a run stands on ─────────────────────────────────────────────────────────────────────────────────


def named(text: bytes) -> set[str]:
    """Every hash that a pointer or ``dvc.lock`` mentions, whatever its format, conflict marks and all: too many does no
    harm, one too few does.
    """
    return {found.decode() for found in _HASH.findall(text)}


def of_commit(project: Project, commit: str) -> set[str]:
    """The hashes that the pointers of a commit name."""
    return set(_of_commit(project.git, commit)) if project.git is not None and git.is_hex(commit) else set()


@lru_cache(maxsize=256)
def _of_commit(repo: git.GitRepo, commit: str) -> frozenset[str]:
    blobs = {blob for path, blob in git.whole_tree(repo, commit).items() if pointers.is_pointer(path)}
    return frozenset().union(*(named(text) for text in gitlog.contents(repo, sorted(blobs)) if text))


def of_inputs(records: Iterable[dict[str, Any]]) -> set[str]:
    """The hashes of a run's inputs: of each file, and of the tracked output that it belongs to."""
    found = {str(value) for record in records for value in (record.get("digest"), record.get("md5")) if value}
    return {md5 for md5 in found if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5)}


# ── which run needs what ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Noted:
    """A closed run of this project: the store that has it, its snapshot, and the objects that it stands on."""

    run_id: str
    uri: str
    commit: str
    md5s: tuple[str, ...]


def note(project: Project, run_id: str, uri: str, commit: str, md5s: Iterable[str]) -> None:
    """Remember what a run stands on, for ``nbledger gc``."""
    where = place(project) if not project.scratch else None
    if where is None:
        return
    line = json.dumps({"run": run_id, "uri": git.scrub_url(uri), "commit": commit, "md5s": sorted(set(md5s))})
    with contextlib.suppress(OSError, LedgerError), files.lock(where.root / "lock", timeout=30):
        kept.make_folder(where, where.root)
        with open(where.root / "runs.jsonl", "ab+") as file:
            torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")


def noted(project: Project) -> dict[str, Noted]:
    """{run id: what was noted of it}; a line that a crash tore is passed over."""
    where, found = place(project), {}
    if where is None:
        return {}
    with contextlib.suppress(OSError):
        for line in (where.root / "runs.jsonl").read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                one = Noted(str(row["run"]), str(row["uri"]), str(row["commit"]), tuple(map(str, row["md5s"])))
                found[one.run_id] = one
    return found


def forget(project: Project, runs: Iterable[str]) -> None:
    """Drop what was noted of these runs."""
    where, gone = place(project), set(runs)
    if where is None or not gone:
        return
    left = [one for one in noted(project).values() if one.run_id not in gone]
    text = "".join(
        json.dumps({"run": one.run_id, "uri": one.uri, "commit": one.commit, "md5s": list(one.md5s)}) + "\n"
        for one in left
    )
    files.write_atomic(where.root / "runs.jsonl", text)


# ── how they are protected ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Exam:
    """What a look at everything found: ``needed`` by recorded runs and how much that is in bytes; ``bare``: in the cache
    and not protected; ``lost``: kept, and gone from the cache; ``only``: named by no commit of a branch or tag.
    """

    needed: set[str] = field(default_factory=set)
    bytes: int = 0
    bare: set[str] = field(default_factory=set)
    bare_bytes: int = 0
    lost: set[str] = field(default_factory=set)
    only: set[str] = field(default_factory=set)
    only_bytes: int = 0


def examined(project: Project) -> Exam:
    """Look at each object that a run's snapshot names or a closed run noted."""
    found, where, repo = Exam(), place(project), project.git
    if repo is None or project.dvc_root is None:
        return found
    tops = _of_refs(project).union(*(one.md5s for one in noted(project).values()))
    root = dvc.cache_dir(project)
    stores = where.stores if where is not None else ((root / "files" / "md5", None), (root, None))
    others = pointers.blobs_of_history(repo, ("--branches", "--tags", "--remotes", "HEAD"))
    plain = set().union(*(named(text) for text in gitlog.contents(repo, sorted(others)) if text))
    for objects, links in stores:
        inside = {md5: _names(objects, links, md5) for md5 in tops}
        common = set().union(*(names for md5, names in inside.items() if md5 in plain))
        for md5 in set().union(*inside.values()):
            _examine(found, objects, links, md5, common)
    return found


def _of_refs(project: Project) -> set[str]:
    """The hashes that snapshots name, but for those of runs that ``gc --keep`` has let go of."""
    assert project.git is not None
    gone = set(gitremote.let_go(project.git))
    commits = {commit for run, commit in git.run_refs(project.git).items() if run not in gone}
    trees = set(gitlog.trees(project.git, sorted(commits)).values())
    return set().union(*(of_commit(project, tree) for tree in trees))


def _names(objects: Path, links: Path | None, md5: str) -> set[str]:
    roots = (objects,) if links is None else (objects, links, kept.partial(links))
    return {md5}.union(*(kept.entries(root, md5) for root in roots))


def _examine(found: Exam, objects: Path, links: Path | None, md5: str, common: set[str]) -> None:
    sizes = []
    for root in (objects, links):
        with contextlib.suppress(OSError, TypeError):
            sizes.append((root, os.stat(f"{root}/{md5[:2]}/{md5[2:]}").st_size))
    if not sizes:
        return
    size, roots = sizes[0][1], {root for root, _ in sizes}
    found.needed.add(md5)
    found.bytes += size
    if links not in roots and not (links and os.path.exists(kept.partial(links) / md5[:2] / md5[2:])):
        found.bare.add(md5)
        found.bare_bytes += size
    elif objects not in roots:
        found.lost.add(md5)
    if md5 not in common:
        found.only.add(md5)
        found.only_bytes += size


def keep_all(project: Project) -> kept.Done:
    """Protect what every recorded run needs, also of runs that were recorded elsewhere or by an older nbledger."""
    if project.git is None or project.dvc_root is None:
        return kept.Done()
    return kept.keep(project, _of_refs(project).union(*(one.md5s for one in noted(project).values())))
