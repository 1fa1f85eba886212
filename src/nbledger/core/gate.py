"""Whether a run may be promoted: its evidence beside a condition. Everything that is not certain is a reason to deny.

The figures are those of the runs' own manifests (``core.manifest``), not of the store, which anybody may have edited: a
store that says otherwise is itself a reason. Nothing here asks a store, and no model is ever loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from nbledger.core import manifest as manifests
from nbledger.core.errors import nearest
from nbledger.core.gate_language import BASELINE, CHAMPION, RUN, Clause, Condition, Undefined, judge
from nbledger.core.gate_metrics import covered, over, shown
from nbledger.core.manifest import Manifest, Points
from nbledger.core.runrows import true_value

DIRTY, DATA, ORDER = "dirty", "data", "order"
ALLOWABLE = (DIRTY, DATA, ORDER)
"""Reasons that a person may set aside."""

_MOST = 20
_WHOSE = {RUN: "the run", CHAMPION: "the champion's run", BASELINE: "the baseline"}


@dataclass(frozen=True)
class Denial:
    """One reason: ``kind`` is status, manifest, edited, dirty, data, order, model, metric, champion, baseline, condition or
    moved.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """A run as the store has it now, and what it recorded itself. ``remembered``: the digests that this machine gave its
    manifest; ``history`` asks the store for a series.
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    manifest: Manifest | None
    remembered: Collection[str]
    history: Callable[[str], Points]
    models: Sequence[str] = ()


@dataclass(frozen=True)
class Judgement:
    """``figures``: {``champion.accuracy``: value} of all that the condition names and that is known."""

    denials: tuple[Denial, ...]
    figures: dict[str, float] = field(default_factory=dict)
    clauses: tuple[Clause, ...] = ()


def decide(
    condition: Condition,
    run: Evidence,
    champion: Evidence | None,
    baseline: Evidence | None,
    allowed: Collection[str] = (),
) -> Judgement:
    """All reasons against a promotion; none if the condition holds on figures that can be relied on."""
    denials = _reliable(run, RUN, condition)
    denials += [d for d in _clean(run) if d.kind not in allowed]
    if not run.models:
        denials.append(Denial("model", "the run logged no model: there is nothing to promote"))
    values: dict[tuple[str, str], float] = {}
    for whose, evidence in ((RUN, run), (CHAMPION, champion), (BASELINE, baseline)):
        names = condition.names(whose)
        if evidence is None:
            denials += [Denial(whose, _ABSENT[whose])] if names else []
            continue
        if names and whose != RUN:
            denials += _reliable(evidence, whose, condition)
        denials += _figures(evidence, whose, names, values)
    figures = {shown(metric): value for metric, value in values.items()}
    if not all(math.isfinite(values.get(metric, math.nan)) for metric in condition.metrics):
        return Judgement(tuple(denials), figures)
    try:
        holds, clauses = judge(condition, values)
    except Undefined as err:
        return Judgement((*denials, Denial("condition", str(err))), figures)
    if not holds:
        denials += [
            Denial("condition", f"{c.text}: {' against '.join(f'{v:.10g}' for v in c.values)}")
            for c in clauses
            if not c.holds
        ] or [Denial("condition", "the condition as a whole does not hold")]
    return Judgement(tuple(denials), figures, tuple(clauses))


_ABSENT = {
    CHAMPION: 'there is no champion yet, so nothing can be compared with it: --first "accuracy > 0.8" gives the condition for that',
    BASELINE: "the condition names the baseline, and none is given: --baseline RUN",
}


def _reliable(found: Evidence, whose: str, condition: Condition) -> list[Denial]:
    """Whether what the store says of a run is what the run itself recorded."""
    who, known = _WHOSE[whose], found.manifest
    denials = []
    if found.status != "FINISHED":
        denials.append(Denial("status", f"{who} is {found.status}, not FINISHED"))
    if known is None:
        return [*denials, Denial("manifest", f"{who} has no readable {_FILE}: its figures cannot be verified")]
    if known.status != "FINISHED" and found.status == "FINISHED":
        ended = known.status or "no end"
        denials.append(Denial("edited", f"{who} is FINISHED in the store, its manifest says {ended}"))
    sealed = found.tags.get(manifests.TAG)
    if sealed is None or known.stored is None:
        denials.append(Denial("manifest", f"{who} has a manifest without a seal: who wrote it is not known"))
    elif sealed != known.digest or (found.remembered and known.digest not in found.remembered):
        other = sealed if sealed != known.digest else min(found.remembered)
        denials.append(
            Denial("manifest", f"{who} has an altered {_FILE}: sealed as {other[:12]}, it is {known.digest[:12]}")
        )
    names = [one for name in condition.names(whose) for one in covered(name, known.all_metrics())]
    edits = manifests.edits(known, found.params, found.metrics, found.tags, found.history, names)
    denials += [Denial("edited", f"{who} was edited after it had ended: {edit}") for edit in edits[:_MOST]]
    if len(edits) > _MOST:
        denials.append(Denial("edited", f"{who}: and {len(edits) - _MOST} more edits"))
    return denials


_FILE = "nbledger/manifest.json"


def _clean(run: Evidence) -> list[Denial]:
    """Whether the run can be told exactly: its code in a commit of a branch, its data versioned, its cells in order."""
    tags: Mapping[str, str] = dict(run.tags)
    events: Sequence[Mapping[str, object]] = ()
    if run.manifest is not None:
        tags = run.manifest.stored.tags if run.manifest.stored is not None else tags
        events = run.manifest.events
    denials = []
    dirty, state, order = (tags.get(f"nbledger.{name}") for name in ("dirty", "data.state", "order"))
    if dirty != "false":
        why = "the run's code differed from the last commit" if dirty == "true" else "the run's code is in no commit"
        denials.append(Denial(DIRTY, f"{why} (--allow {DIRTY})"))
    elif tags.get("nbledger.snapshot.left_out"):
        left_out = tags["nbledger.snapshot.left_out"][:100]
        denials.append(Denial(DIRTY, f"the run's snapshot lacks {left_out} (--allow {DIRTY})"))
    if state not in ("clean", "none"):
        read = [str(e.get("text")) for e in events if e.get("t") == "notice" and str(e.get("text")).startswith("read ")]
        named = "; ".join(text.partition(": ")[0].removeprefix("read ") for text in read[:5])
        what = (
            "it is not known how the run's inputs are versioned" if state is None else f"the run's inputs are {state}"
        )
        denials.append(Denial(DATA, f"{what}{f': {named}' if named else ''} (--allow {DATA})"))
    if order != "clean":
        what = "the order of the run's cells is not known" if not order else f"the run's cells are {order}"
        denials.append(Denial(ORDER, f"{what} (--allow {ORDER})"))
    return denials


def _figures(found: Evidence, whose: str, names: Sequence[str], values: dict[tuple[str, str], float]) -> list[Denial]:
    """Take the named figures from the manifest (without one, only to show them, from the store)."""
    recorded = (
        {k: manifests.latest(points) for k, points in found.manifest.all_metrics().items()} if found.manifest else {}
    )
    known = recorded if found.manifest else {k: true_value(v) for k, v in found.metrics.items()}
    denials = []
    for name in names:
        value = over(name, known)
        if value is None:
            called = shown((RUN, name)) if "\n" in name else repr(name)
            near = nearest(name.partition("\n")[2] or name, known)
            denials.append(Denial("metric", f"{_WHOSE[whose]} has no metric {called}{f' — {near}' if near else ''}"))
            continue
        values[whose, name] = value
        if not math.isfinite(value):
            denials.append(Denial("metric", f"the metric {shown((whose, name))} is {value}: no number to go by"))
    return denials
