"""``gc``: what the store and the journals say of runs, and the collection of data that none of them needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nbledger.core import gc as collector
from nbledger.core import mlflow_all, recorded
from nbledger.core.errors import Refused, Unreachable
from nbledger.core.project import Project
from nbledger.keeper import journal as journals
from nbledger.keeper import keeping
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.publish import flush, orphaned


@dataclass(frozen=True)
class Amount:
    """``bytes`` are those that are freed."""

    objects: int = 0
    bytes: int = 0


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


def gc(project: Project, args: Args, progress: Progress | None) -> Collected:
    """Look (``dry_run``), or remove what the plan with the ``digest`` names. Everything recorded is published first."""
    wanted = collector.Wanted(
        tuple(args.get("scopes") or ()),
        bool(args.get("cloud")),
        tuple(Path(path) for path in args.get("projects") or ()),
        bool(args.get("alone")),
    )
    dry_run = bool(args.get("dry_run", True))
    runs = _runs(project)
    if dry_run:
        return _told(collector.foresee(project, wanted, runs), wanted, dry_run=True)
    return _told(collector.collect(project, wanted, runs, args.get("digest")), wanted, dry_run=False)


def _runs(project: Project) -> collector.Runs:
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
    for path in journals.pending(project):
        if not orphaned(path):
            begun = journals.first(path) or {}
            pending |= keeping.needs(keeping.where(project, begun), path, journals.read(path).events)
    return collector.Runs(stored, frozenset(pending))


def _told(plan: collector.Plan, wanted: collector.Wanted, *, dry_run: bool) -> Collected:
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
    )
