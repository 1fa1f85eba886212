"""A comparison of data as plain text: the verdict, its reasons, what drifted, and where the report is."""

from __future__ import annotations

from collections.abc import Sequence

from nbledger.commands.text import clip, number
from nbledger.core.drift import VALUES, Column
from nbledger.core.driftrecord import DRIFT, UNKNOWN, Drift, Loop, Side
from nbledger.keeper import repros

_SHOWN = 15
_SIGNS = {DRIFT: "✗", UNKNOWN: "?"}


def drift(found: Drift) -> str:
    """The verdict first; of the columns those that drifted, or the nearest to it."""
    subject = f"{found.model} version {found.version}" + (f" ({found.alias})" if found.alias else "")
    lines = [f"{_SIGNS.get(found.verdict, '✓')} {clip(subject, 80)}: {found.verdict}"]
    lines += [f"  {clip(reason, 200)}" for reason in found.reasons]
    lines += ["", *_sides(found.reference, found.data)]
    tested = {c.name for c in found.columns}
    moved = [c for c in found.columns if c.drifted]
    if tested:
        count = len({c.name for c in moved})
        lines.append(f"{len(tested)} columns tested, {count} drifted" + (":" if moved else ""))
    lines += _columns(moved[:_SHOWN])
    if len(moved) > _SHOWN:
        lines.append(f"  … and {len(moved) - _SHOWN} more")
    for name, (before, now) in found.performance.items():
        was = "?" if before is None else number(before)
        old = clip(found.reference.path, 60)
        lines.append(f"{clip(name)}: {was} on {old}, {'?' if now is None else number(now)} on the new data")
    lines += [f"  {clip(c.text, 80)}: {' against '.join(number(v) for v in c.values)}" for c in found.clauses]
    told = {*found.reasons}
    lines += [f"  ({clip(f.text, 200)})" for f in found.findings if f.text not in told]
    lines += [f"  ({clip(note, 240)})" for note in found.notes]
    if found.run_id:
        lines.append(f"report: {found.artifacts[0] if found.artifacts else ''} of the run {found.run_id[:12]}")
    return "\n".join([*lines, *(loop(found.loop) if found.loop else ())])


def _sides(reference: Side, data: Side) -> list[str]:
    rows = [(reference.how or "trained on", reference), ("compared with", data)]
    width = max(len(clip(side.path, 60)) for _, side in rows)
    left = max(len(label) for label, _ in rows)
    return [
        f"{label:<{left}} {clip(side.path, 60):<{width}}  {side.rows:,} rows"
        + (f" ({side.compared:,} compared)" if side.compared < side.rows else "")
        + (f"  {side.md5[:10]}" if side.md5 else "")
        for label, side in rows
    ]


def _columns(columns: Sequence[Column]) -> list[str]:
    shown = [clip(c.name if c.of == VALUES else f"{c.name} ({c.of})", 30) for c in columns]
    width = max(map(len, shown), default=0)
    return [
        f"  {name:<{width}}  p {c.adjusted:.2g}  distance {c.distance:.2f}  {clip(c.words, 100)}".rstrip()
        for name, c in zip(shown, columns, strict=True)
    ]


def loop(done: Loop) -> list[str]:
    """What was done about it, and what a person may do now."""
    lines = ["", _outcome(done)]
    lines += [f"  {clip(name, 40)}: {status}" for name, status in done.stages.items()]
    for name, (before, now) in done.metrics.items():
        lines.append(
            f"  {clip(name, 40)}: {'?' if before is None else number(before)} → {'?' if now is None else number(now)}"
        )
    lines += [f"  ({clip(note, 240)})" for note in done.notes]
    return [*lines, "next:", *(f"  {line}" for line in done.next)] if done.next else lines


def _outcome(done: Loop) -> str:
    """Whether anything was trained: DVC executes no stage that has, or finds, what it would make of these data."""
    status = done.status.lower()
    if done.status == "FINISHED" and repros.RAN not in done.stages.values():
        fetched = repros.PULLED in done.stages.values()
        why = "what the stages make of these data was there" if fetched else "every stage was up to date"
        return f"nothing was trained: {why}; the new data are on the branch {done.branch}"
    if done.stages:
        return f"trained again on the branch {done.branch}: {status}"
    return f"not trained; the new data are on the branch {done.branch}: {status}"
