"""A comparison in plain text: the causes first, then what differs, a heading a kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nbledger.commands.text import clip, number, table
from nbledger.core.causes_data import table_words
from nbledger.core.curve import sparkline
from nbledger.core.differences import Comparison, DataChange
from nbledger.core.wording import relative, signed, size

_MOST, _FEW, _LINES, _WIDE = 30, 4, 12, 160


def comparison(found: Comparison) -> str:
    """Everything of it that is shown; a part with nothing to say is left out."""
    parts = [_title(found), *_proof(found), *_causes(found), *_metrics(found), *_parameters(found)]
    parts += [*_data(found), *_code(found), *_order(found), *_surroundings(found)]
    return "\n".join([*parts, *(f"note: {clip(note, 300)}" for note in found.notes)])


def _title(found: Comparison) -> str:
    return " ↔ ".join(clip(run.title, 60) for run in found.runs)


def _causes(found: Comparison) -> list[str]:
    if len(found.runs) > 2 or not found.causes:
        return []
    lines = [f"\n{why(found)}"]
    for place, cause in enumerate(found.causes[:_MOST], 1):
        lines.append(f"{place:>3}. {cause.kind}: {clip(cause.what, 300)}")
        if cause.evidence:
            lines.append(f"     {clip(cause.evidence, 300)}")
    return lines


def _proof(found: Comparison) -> list[str]:
    """The shares of each metric's difference, in its own unit and as a part of the recorded difference."""
    proof = found.proof
    if proof is None:
        return []
    lines = [f"\nproved by {proof.executions} executions"]
    for one in proof.attributions:
        whole = one.recorded[1] - one.recorded[0]
        lines.append(f"  {clip(one.metric)} {number(one.recorded[0])} → {number(one.recorded[1])} ({signed(whole)})")
        rows = [(f.name, one.shares[f.name], f.what) for f in proof.factors]
        rows += [("unexplained", one.unexplained, "executing again did not show it")] if one.unexplained else []
        shown = [(name, signed(value), share(value, whole), clip(what, 100)) for name, value, what in rows]
        widths = [max(len(row[i]) for row in shown) for i in range(3)]
        lines += [f"    {n.ljust(widths[0])}  {v.rjust(widths[1])}  {p.rjust(widths[2])}  {w}" for n, v, p, w in shown]
    return [*lines, *(f"  note: {clip(note, 300)}" for note in proof.notes)]


def share(value: float, whole: float) -> str:
    """A part of a difference in percent."""
    return f"{round(100 * value / whole, 1) + 0.0:.1f} %" if whole and math.isfinite(value / whole) else ""


def why(found: Comparison) -> str:
    """What the list of causes is a list of."""
    if found.equal:
        return "what differs, most telling first (the metrics are the same)"
    return "what differs, most telling first" if found.equal is None else "why, most likely first"


def _metrics(found: Comparison) -> list[str]:
    if not found.metrics:
        return []
    pair = len(found.runs) == 2
    heads = ["metric", *_heads(found), *(["difference", "relative"] if pair else [])]
    rows = []
    metrics, left = shown_metrics(found)
    for name, values in list(metrics.items())[:_MOST]:
        row = [clip(name), *(number(v) if v is not None else "" for v in values)]
        if pair:
            delta = found.deltas.get(name)
            row += [signed(delta.absolute), relative(delta.relative)] if delta else ["", ""]
        rows.append(row)
    lines = ["", table(heads, rows, [False] + [True] * (len(heads) - 1)), *_more(metrics, "metrics"), *left]
    for name, series in found.series.items():
        if name in metrics:
            lines += [
                f"  {clip(name)} {clip(run.title)}: {sparkline(one)} {one.count} values, {number(one.low)} to {number(one.high)}"
                for run, one in zip(found.runs, series, strict=True)
                if one is not None
            ]
    return lines


def shown_metrics(found: Comparison) -> tuple[dict[str, tuple[float | None, ...]], list[str]]:
    """The metrics to list, and a line for those left out: what a dict was flattened to, where there are others."""
    plain = {k: v for k, v in found.metrics.items() if "." not in k}
    left = [k for k in found.metrics if k not in plain]
    if found.whole or not plain or len(left) <= _FEW:
        return found.metrics, []
    groups = ", ".join(clip(f"{g}.*") for g in list(dict.fromkeys(k.partition(".")[0] for k in left))[:3])
    return plain, [f"and {len(left)} more that differ ({groups}): --all lists them"]


def _heads(found: Comparison) -> list[str]:
    return [clip(run.title) for run in found.runs]


def _more(things: Sequence[object] | dict[str, object] | Iterable[object], what: str, most: int = _MOST) -> list[str]:
    count = len(list(things))
    return [f"and {count - most} more {what}"] if count > most else []


def _parameters(found: Comparison) -> list[str]:
    rows = [[clip(name), *_values(found, "parameter", values)] for name, values in found.params.items()]
    return _table("parameter", found, rows, "parameters")


def _values(found: Comparison, kind: str, values: Sequence[str | None], width: int = 24) -> list[str]:
    """The values of each side; a dash for none, a question mark where nobody recorded that kind of thing."""
    shown = zip(values, found.blanks(kind), strict=True)
    return [blank if v is None or (v == "" and kind != "parameter") else clip(v, width) for v, blank in shown]


def _table(head: str, found: Comparison, rows: list[list[str]], what: str) -> list[str]:
    if not rows:
        return []
    heads = [head, *_heads(found)]
    return ["", table(heads, rows[:_MOST], [False] * len(heads)), *_more(rows, what)]


def _data(found: Comparison) -> list[str]:
    if not found.data:
        return []
    if len(found.runs) > 2:
        rows = [[clip(c.path, 60), *_values(found, "data", [v and v[:8] for v in c.values])] for c in found.data]
        return _table("data", found, rows, "files")
    lines = ["\ndata"]
    for change in found.data[:_MOST]:
        lines += [f"  {line}" for line in data_lines(change)]
    return lines + _more(found.data, "files")


_DATA_WORDS = {
    "added": "read by the second only",
    "removed": "read by the first only",
    "unknown": "contents not recorded",
}


def data_lines(change: DataChange) -> list[str]:
    """One change of data: a line for it, further ones for its files, columns and settings."""
    name = f"{clip(change.path, 100)} → {clip(change.other, 100)}" if change.other else clip(change.path, 100)
    state = _DATA_WORDS.get(change.state, change.state)
    sizes = " → ".join(dict.fromkeys(size(s) if s is not None else "—" for s in change.sizes))
    lines = [f"{name}: {', '.join(filter(None, [state, sizes, clip(table_words(change), 300)]))}"]
    lines += [f"  {row.note}: {clip(row.name, 120)}" for row in change.files[:_LINES]]
    lines += ["  " + x for x in _more(change.files, "files", _LINES)]
    lines += [
        f"  {clip(r.name, 60)}: {clip(r.values[0] or '—', 60)} → {clip(r.values[1] or '—', 60)}"
        for r in change.keys[:_LINES]
    ]
    if change.table is not None:
        lines += [
            f"  column {clip(c.name, 60)} {c.state}{': ' + clip(c.what, 160) if c.what else ''}"
            for c in change.table.columns[:_LINES]
        ]
        lines += ["  " + x for x in _more(change.table.columns, "columns", _LINES)]
    return lines + ([f"  {clip(change.note, 200)}"] if change.note else [])


def _code(found: Comparison) -> list[str]:
    if len(found.runs) > 2:
        rows = [[clip(c.where, 60), *_values(found, "code", c.values, 8)] for c in found.code]
        return _table("code", found, rows, "cells and modules")
    shown = [c for c in found.code if c.effect != "layout"]
    if not found.code:
        return []
    lines = ["\ncode"]
    for change in shown[:_MOST]:
        lines.append(f"  {clip(change.where, 120)}: {change.words}")
        lines += [f"    {clip(line, _WIDE)}" for line in change.diff[:_LINES]]
        lines += ["    " + x for x in _more(change.diff, "lines", _LINES)]
    lines += [f"  {clip(c.where, 120)}: comments or formatting only" for c in found.code if c.effect == "layout"][
        :_LINES
    ]
    return lines + _more(shown, "changes")


def _order(found: Comparison) -> list[str]:
    if not found.order:
        return []
    return [
        "\norder of cells",
        *(f"  {clip(c.what, 300)}{' — ' + clip(c.evidence, 200) if c.evidence else ''}" for c in found.order),
    ]


def _surroundings(found: Comparison) -> list[str]:
    lines = []
    for head, rows in (("seed", found.seeds), ("hardware", found.hardware)):
        kind = "environment" if head == "hardware" else head
        lines += _table(head, found, [[clip(r.name, 40), *_values(found, kind, r.values, 40)] for r in rows], head)
    changed = [[clip(p.name, 40), *_values(found, "environment", p.values, 40), p.role] for p in found.environment]
    if changed:
        heads = ["environment", *_heads(found), ""]
        lines += ["", table(heads, changed[:_MOST], [False] * len(heads)), *_more(changed, "packages")]
    return lines
