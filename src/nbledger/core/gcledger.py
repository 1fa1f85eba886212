"""``gc --keep``: what else a ledger gathers, beside data. Snapshots of old runs, restored work trees, rebuilt environments,
copies of records, notes of finished batches, and what a crash left of journals.

A run that is let go stays in the store with its numbers; what goes is what bringing it back takes. Never let go are runs
that registered models stand on, runs that are open or not published, and runs that the store does not know.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nbledger.core import files, git, gitremote, rebuild, restored, trust, worktrees
from nbledger.core.errors import Busy, LedgerError, UsageError
from nbledger.core.project import Project
from nbledger.core.runfacts import Fact

DAY = 86_400.0
_UNITS = {"h": DAY / 24, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}
_AGE = re.compile(r"(\d{1,6})([hdwy])")
_LAST = re.compile(r"last:(\d{1,9})")
_YOUNG = DAY
"""Seconds for which what was made or used is left alone, whatever else is said."""
_SAY = "such as 90d (newer than 90 days; also h, w, y), last:100 (the newest 100 runs) or registered (only what models stand on)"
Kind = Literal["work tree", "environment", "record", "table", "batch", "journal", "cluster snapshot"]


@dataclass(frozen=True)
class Keep:
    """Which runs stay whole: those newer than ``age`` seconds, and the ``last`` so many. ``words``: as they were given."""

    age: float | None = None
    last: int | None = None
    words: tuple[str, ...] = ()

    @property
    def old(self) -> float:
        """Seconds after which what was not used goes, of what no run is asked about."""
        return max(self.age, 0.0) if self.age is not None else _YOUNG


def keep(words: Iterable[str]) -> Keep | None:
    """What ``--keep`` says, once or several times; None where it was not given. ``UsageError`` names the word that is wrong."""
    age: float | None = None
    last: int | None = None
    given = tuple(part.strip() for word in words for part in word.split(","))
    for word in given:
        if (found := _AGE.fullmatch(word)) is not None:
            age = max(age or 0.0, int(found[1]) * _UNITS[found[2]])
        elif (found := _LAST.fullmatch(word)) is not None:
            last = max(last or 0, int(found[1]))
        elif word != "registered":
            raise UsageError(f"--keep {word[:40]!r}?", _SAY)
    return Keep(age, last, given) if given else None


@dataclass
class Chosen:
    """``go`` are the runs that are let go; ``kept``: {reason: how many runs}, a run counted once, by the first reason."""

    go: set[str] = field(default_factory=set)
    kept: dict[str, int] = field(default_factory=dict)


def candidates(wanted: Keep, known: Mapping[str, Fact], pending: Collection[str], now: float) -> Chosen:
    """The runs that ``--keep`` does not name. Of those, what models stand on is still to be taken away."""
    found = Chosen()
    ranked = sorted(known, key=lambda run: (-known[run].at, run))
    newest = set(ranked[: wanted.last]) if wanted.last is not None else set()
    for run, fact in known.items():
        if fact.open or run in pending:
            reason = "open or not published"
        elif wanted.age is not None and now - fact.at / 1000 < wanted.age:
            reason = "new enough"
        elif run in newest:
            reason = f"among the newest {wanted.last:,}"
        else:
            found.go.add(run)
            continue
        found.kept[reason] = found.kept.get(reason, 0) + 1
    return found


def spared(found: Chosen, runs: Collection[str], reason: str) -> None:
    """Take these runs away from what goes."""
    held = found.go & set(runs)
    found.go -= held
    if held:
        found.kept[reason] = len(held)


# ── refs ─────────────────────────────────────────────────────────────────────────────────────────────────


def in_branches(repo: git.GitRepo, commits: Collection[str]) -> set[str]:
    """Those of these commits that a branch, a tag, a remote's branch, the stash or a work tree's HEAD holds anyhow."""
    if not commits:
        return set()
    out = git.call(repo, "rev-list", "--exclude=refs/nbledger/*", "--all").stdout.decode().split()
    return set(out) & set(commits)


def freed_objects(repo: git.GitRepo, going: Mapping[str, str]) -> int | None:
    """Bytes of Git's objects that only these refs hold; None where this Git cannot tell (before 2.31)."""
    if not going:
        return 0
    there = git.text(repo, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    refs = {git.RUN_REFS + run for run in going}
    staying = {line.split(" ")[0] for line in there if line.split(" ")[1] not in refs}
    lines = [*(set(going.values()) - staying), *(f"^{commit}" for commit in staying)]
    stdin = "".join(f"{line}\n" for line in lines).encode()
    done = git.call(repo, "rev-list", "--objects", "--disk-usage", "--stdin", stdin=stdin, check=False)
    text = done.stdout.decode().strip()
    return int(text) if done.returncode == 0 and text.isdigit() else None


def elsewhere(project: Project) -> tuple[str, dict[str, str] | None]:
    """(The Git remote, {run: commit} of the snapshots that it has); None for them where it cannot be asked."""
    repo = project.git
    names = gitremote.remotes(repo) if repo is not None else []
    if repo is None or not names:
        return "", {}
    name = "origin" if "origin" in names else names[0]
    if not trust.repository_trusted(repo):
        return name, None
    try:
        there = gitremote.has(repo, name, f"{git.RUN_REFS}*")
    except LedgerError:
        return name, None
    return name, {ref.removeprefix(git.RUN_REFS): commit for ref, commit in there.items()}


def remove_from_remote(repo: git.GitRepo, remote: str, runs: Collection[str]) -> None:
    """Remove the snapshots of these runs from a Git remote, with the person's hooks."""
    listed = sorted(runs)
    for at in range(0, len(listed), 500):
        refs = [git.RUN_REFS + run for run in listed[at : at + 500]]
        route = gitremote.Route("", remote, refs[0], "", new_upstream=False)
        results = gitremote.push(repo, route, [f":{ref}" for ref in refs])
        refused = next((why for flag, why in results.values() if flag == "!"), None)
        if refused is not None:
            raise LedgerError(f"{remote} kept snapshots: {refused}", "ask who looks after that repository")


def cluster_snapshots(repo: git.GitRepo, staying: Collection[str], old: float) -> dict[str, str]:
    """{ref: commit} of snapshots that were made for workers of a cluster, are old, and belong to no run that stays."""
    form = "--format=%(refname) %(objectname) %(committerdate:unix)"
    found = {}
    for line in git.text(repo, "for-each-ref", form, git.SNAPSHOT_REFS).splitlines():
        ref, commit, made = line.split(" ")
        if commit not in staying and time.time() - int(made) > max(old, _YOUNG):
            found[ref] = commit
    return found


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Place:
    """Something in ``.nbledger/`` that goes; ``bytes`` on the disk."""

    kind: Kind
    path: str
    bytes: int


def places(
    project: Project, wanted: Keep, go: Collection[str], models: Collection[str], unfinished: Collection[str]
) -> list[Place]:
    """What of the ledger's own folder no run that stays needs. ``unfinished``: batches that may go on. Reads only."""
    found = [
        *_work_trees(project, wanted),
        *_environments(project, wanted, go, models),
        *_records(project, go),
        *_tables(project, wanted),
        *_batches(project, wanted, unfinished),
    ]
    return sorted(found, key=lambda place: (place.kind, place.path))


def _work_trees(project: Project, wanted: Keep) -> Iterator[Place]:
    """Restored ones in our own folder that are old and as they were restored, and half-made ones. Those that a person asked for
    by ``--into`` are theirs.
    """
    ours = project.state / "reproduced"
    for known in restored.registered(project):
        into = Path(known.into)
        if not into.is_relative_to(ours) or (known.kept and not into.is_dir()):
            continue
        if known.kept and (
            _age(restored.folder(project) / f"{known.name}.json") <= wanted.old or _touched(into, known.commit)
        ):
            continue
        if known.kept or known.abandoned:
            yield Place("work tree", str(into), _size(into) + _size(restored.scratch(project, known.name)))


def _touched(place: Path, commit: str) -> bool:
    """Whether there is anything in a restored work tree that is nowhere else."""
    repo = git.discover(place)
    if repo is None or repo.root != place:
        return True
    try:
        changed, untracked = git.changes(repo)
        return bool(changed or untracked) or git.head(repo).commit != commit
    except LedgerError:
        return True


def _environments(project: Project, wanted: Keep, go: Collection[str], models: Collection[str]) -> Iterator[Place]:
    for folder in _folders(project.state / "environments"):
        users = rebuild.users(folder)
        held = users & set(models) if users else bool(models)
        needed = bool(users - set(go)) if users and wanted.age is None else False
        if not held and not needed and rebuild.unused_for(folder) > wanted.old:
            yield Place("environment", str(folder), _size(folder))


def _records(project: Project, go: Collection[str]) -> Iterator[Place]:
    """Copies of what a server has."""
    for folder in _folders(project.state / "records"):
        if folder.name in go:
            yield Place("record", str(folder), _size(folder))


def _tables(project: Project, wanted: Keep) -> Iterator[Place]:
    """The table's memory of other stores and experiments; it is made anew when it is looked at."""
    with contextlib.suppress(FileNotFoundError):
        for path in sorted((project.state / "table").glob("*.db")):
            if _age(path) > max(wanted.old, _YOUNG):
                yield Place("table", str(path), path.stat().st_size)


def _batches(project: Project, wanted: Keep, unfinished: Collection[str]) -> Iterator[Place]:
    for folder in _folders(project.state / "batches"):
        if folder.name not in unfinished and _age(folder / "journal.jsonl") > max(wanted.old, _YOUNG):
            yield Place("batch", str(folder), _size(folder))


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(Path(item.path) for item in os.scandir(place) if item.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _size(place: Path) -> int:
    """Bytes below a folder; hard links of one file count once."""
    found = 0
    seen: set[tuple[int, int]] = set()
    for folder, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    found += status.st_size
    return found


def remove(project: Project, going: Iterable[Place]) -> None:
    """Remove these; one that is in use by now is left."""
    names = {known.into: known.name for known in restored.registered(project)}
    for place in going:
        path = Path(place.path)
        if place.kind == "work tree":
            restored.remove(project, names.get(place.path, place.path))
        elif place.kind == "environment":
            with contextlib.suppress(Busy), files.lock(path.with_name(f"{path.name}.lock"), 0, "this environment"):
                worktrees.remove_folder(path)
                rebuild.forget_users(path)
        elif place.kind == "batch":
            with contextlib.suppress(Busy), files.lock(path / "lock", 0, "the batch"):
                shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# ── what was let go ──────────────────────────────────────────────────────────────────────────────────────

_MOST = 20_000


def let_go(repo: git.GitRepo, runs: Iterable[str]) -> None:
    """Remember runs that were let go of here, so that a pull does not bring all their snapshots back, and nothing protects
    their data again.
    """
    known = gitremote.let_go(repo)
    lines = [*known, *(run for run in sorted(runs) if run not in set(known))][-_MOST:]
    path = gitremote.let_go_file(repo)
    path.parent.mkdir(exist_ok=True)
    files.write_atomic(path, "".join(f"{line}\n" for line in lines))
