"""``gc``: what the store and the journals say of runs, and the collection of data that none of them needs."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from nbledger.core import gc as collector
from nbledger.core import gcledger, mlflow_all, recorded, runfacts
from nbledger.core.errors import Refused, Unreachable
from nbledger.core.project import Project
from nbledger.keeper import batches, keeping
from nbledger.keeper import journal as journals
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.publish import flush, orphaned, run_id_of


@dataclass(frozen=True)
class Amount:
    """``bytes`` are those that are freed."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Ledger:
    """What ``--keep`` let go of, or would. ``runs`` of ``whole`` stay in the store without their code and data;
    ``kept``: {reason: runs} that stay whole; ``git`` bytes of Git's objects that ``git gc`` then frees (None: not known);
    ``only_here``: snapshots that the Git remote has not (None: it could not be asked); ``there``: those that go there; ``shared``: snapshots that a branch or
    tag holds anyhow; ``places``: {kind: amount} in ``.nbledger/``, and each of them in ``paths``.
    """

    words: tuple[str, ...]
    whole: int
    runs: tuple[str, ...]
    kept: dict[str, int]
    git: int | None
    git_remote: str
    only_here: int | None
    there: int
    shared: int
    cluster: int
    places: dict[str, Amount] = field(default_factory=dict)
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collected:
    """What went, or (``dry_run``) would. ``links``: of kept data; ``runs``: those that the store has no more, whose
    ``snapshots`` go; ``kept``: what stays in the cache; ``unknown``: folders whose list of files is not here. ``digest``
    names exactly this.
    """

    dry_run: bool
    cache: Amount
    remote: Amount | None
    remote_name: str
    links: int
    runs: tuple[str, ...]
    snapshots: int
    kept: Amount
    unknown: tuple[str, ...]
    digest: str
    ledger: Ledger | None = None


def gc(project: Project, args: Args, progress: Progress | None) -> Collected:
    """Look (``dry_run``), or remove what the plan with the ``digest`` names. Everything recorded is published first."""
    wanted = collector.Wanted(
        tuple(args.get("scopes") or ()),
        bool(args.get("cloud")),
        tuple(Path(path) for path in args.get("projects") or ()),
        bool(args.get("alone")),
        gcledger.keep(args.get("keep") or ()),
    )
    dry_run = bool(args.get("dry_run", True))
    runs = _runs(project, wanted.keep)
    if dry_run:
        return _told(collector.foresee(project, wanted, runs), wanted, runs, dry_run=True)
    done = collector.collect(project, wanted, runs, args.get("digest"))
    if wanted.keep is not None:
        _sweep_journals(project)
    return _told(done, wanted, runs, dry_run=False)


def _runs(project: Project, keep: gcledger.Keep | None) -> collector.Runs:
    """Refuses while anything that was recorded may be unknown here."""
    left, reasons = flush(project)
    if left:
        why = "; ".join(reasons)
        raise Unreachable(f"what {left} recorded runs need is not published: {why}", "nbledger flush, then try again")
    stored = mlflow_all.runs(project)
    if not mlflow_all.made(project) and recorded.noted(project):
        raise Refused(
            "the run store is not there, and runs were recorded in it: what they need cannot be known",
            "put it back, or set the tracking URI to where it is now",
        )
    pending: set[str] = set()
    unpublished: set[str] = set()
    for path in journals.pending(project):
        unpublished |= {path.name, run_id_of(project, path.name) or path.name}
        if not orphaned(path):
            begun = journals.first(path) or {}
            pending |= keeping.needs(keeping.where(project, begun), path, journals.read(path).events)
    if keep is None:
        return collector.Runs(stored, frozenset(pending))
    known = runfacts.facts(project)
    chosen = gcledger.candidates(keep, known, unpublished, time.time())
    models, unknown = runfacts.of_models(project, known, set(chosen.go)) if chosen.go else (set(), set())
    gcledger.spared(chosen, models, "that registered models stand on")
    gcledger.spared(chosen, unknown, "whose record cannot be read")
    unfinished = {batch.id for batch in batches.known(project) if batch.unfinished or not batch.closed}
    return collector.Runs(stored, frozenset(pending), chosen, frozenset(models), frozenset(unfinished))


def _sweep_journals(project: Project) -> None:
    """What a crash left half-made or half-removed beside the journals, when it is old enough to be nobody's."""
    for leftover in journals.leftovers(project):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_ctime > gcledger.DAY:
                leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover, ignore_errors=True)


def _told(plan: collector.Plan, wanted: collector.Wanted, runs: collector.Runs, *, dry_run: bool) -> Collected:
    return Collected(
        dry_run=dry_run,
        cache=Amount(len(plan.objects), plan.size),
        remote=Amount(len(plan.remote), sum(plan.remote.values())) if wanted.cloud else None,
        remote_name=plan.remote_name,
        links=len(plan.links),
        runs=tuple(plan.runs),
        snapshots=len(plan.refs),
        kept=Amount(plan.needed, plan.needed_bytes),
        unknown=tuple(plan.unknown),
        digest=plan.digest,
        ledger=_ledger(plan, wanted.keep, runs) if wanted.keep is not None else None,
    )


def _ledger(plan: collector.Plan, keep: gcledger.Keep, runs: collector.Runs) -> Ledger:
    amounts: dict[str, Amount] = {}
    for place in plan.places:
        before = amounts.get(place.kind, Amount())
        amounts[place.kind] = Amount(before.objects + 1, before.bytes + place.bytes)
    return Ledger(
        words=keep.words,
        whole=len(runs.stored),
        runs=tuple(plan.let_go),
        kept=runs.chosen.kept,
        git=plan.git_bytes,
        git_remote=plan.git_remote,
        only_here=plan.only_here,
        there=len(plan.there),
        shared=len(plan.shared),
        cluster=len(plan.cluster),
        places=amounts,
        paths=tuple(place.path for place in plan.places),
    )
