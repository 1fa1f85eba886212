"""The runs inside a run as plain text: a table, and what a metric is by each parameter as bars."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from nbledger.commands.text import Column, clip, duration, number, numeric, table
from nbledger.core import direction
from nbledger.core.records import RunRow
from nbledger.core.sweepview import PANELS, Sweep
from nbledger.core.wording import counted

_PARAMS, _METRICS, _BARS, _BAR = 8, 4, 4, 24
_DIGITS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_PARENT = "mlflow.parentRunId"


def sweep(found: Sweep) -> str:
    """Everything of it that a terminal shows."""
    if not found.runs:
        return nothing(found)
    shown = columns(found)
    lines = zip(*(c.cells for c in shown), strict=True)
    heads = [clip(c.head) for c in shown]
    parts = [headline(found), table(heads, lines, [c.right for c in shown])]
    return "\n".join([*parts, *notes(found), *bars(found)])


def nothing(found: Sweep) -> str:
    """Why there is nothing to see, in one line."""
    name = f"{clip(found.parent.name, 60)} ({found.parent.run_id[:8]})"
    if found.filtered:
        return f"no run inside {name} matches"
    above = found.parent.tags.get(_PARENT)
    return f"no run is inside {name}" + (f"; it is itself inside {above[:8]}: --parent {above[:8]}" if above else "")


def headline(found: Sweep) -> str:
    """What was run, how it ended, and the best of it, in one line."""
    counts = {s: sum(row.status == s for row in found.runs) for s in dict.fromkeys(row.status for row in found.runs)}
    ended = ", ".join(f"{count:,} {status.lower()}" for status, count in counts.items())
    if len(counts) == 1:
        ended = ended.partition(" ")[2]
    runs = counted(len(found), "run")
    line = f"{clip(found.parent.name, 60)} ({found.parent.run_id[:8]}): {runs}, {ended}"
    if found.best is not None and found.metric is not None:
        line += f"; best {clip(found.metric)} {number(found.best.metrics[found.metric])} in {found.best.run_id[:8]}"
        given = [
            f"{clip(k)}={value_of(found.best.params[k])}" for k in found.params[:_PARAMS] if k in found.best.params
        ]
        line += f" ({', '.join(given)})" if given else ""
    return line


def notes(found: Sweep) -> list[str]:
    """What is not shown or not known, a line each."""
    lines = []
    if len(found) > found.limit:
        lines.append(f"the first {found.limit:,} of {len(found):,} runs; -n shows more, --sort others first")
    if len(found.metrics) > 1:
        others = ", ".join(map(clip, found.metrics[1:5])) + (", …" if len(found.metrics) > 5 else "")
        lines.append(f"by {clip(found.metrics[0])}; --metric chooses another: {others}")
    if found.metric and found.known and not found.way:
        name = clip(found.metric)
        lines.append(f"which way {name} is better is not known: --sort {name}, or --sort +{name} for the smallest")
    if len(found.params) > _PARAMS:
        left = found.params[_PARAMS:]
        lines.append(f"not shown: {len(left)} more parameters that differ ({', '.join(map(clip, left[:4]))}…)")
    losses = found.losses() if found.metric else {}
    if losses and found.known:
        lines.append("without a value: " + ", ".join(f"{count:,} {clip(why, 40)}" for why, count in losses.items()))
    return lines


def columns(found: Sweep) -> list[Column]:
    """The parameters that vary come first, then metrics, then what identifies the run."""
    rows = found.runs[: found.limit]

    def column(kind: str, head: str, value: Callable[[RunRow], str], show: Callable[[str], str] = clip) -> Column:
        full = tuple(value(row) for row in rows)
        return Column(kind, head, tuple(show(text) if text else "" for text in full), full)

    def measured(key: str) -> Column:
        shown = tuple(number(r.metrics[key]) if key in r.metrics else "" for r in rows)
        return Column("metric", key, shown, tuple(repr(r.metrics[key]) if key in r.metrics else "" for r in rows))

    return [
        column("run", "run", lambda r: r.run_id, lambda t: t[:8]),
        *(column("param", key, lambda r, k=key: r.params.get(k, ""), value_of) for key in found.params[:_PARAMS]),  # type: ignore[misc]
        *(measured(key) for key in found.metrics[:_METRICS]),
        column("status", "status", lambda r: "PRUNED" if found.lacks(r) == "pruned" else r.status),
        column("took", "took", duration),
        column("name", "name", lambda r: r.name),
    ]


def bars(found: Sweep) -> list[str]:
    """For each parameter that varies the median of the metric by its values, as bars on one scale."""
    if len(found.known) < 2 or not found.params:
        return []
    lines = []
    for name in found.telling[:_BARS]:
        lines += ["", *_bars_of(found, name)]
    left = len(found.params) - _BARS
    return [*lines, "", f"and {left} more parameters"] if left > 0 else lines


def _bars_of(found: Sweep, name: str) -> list[str]:
    axis, low = found.axes[name], found.scale
    body, single = [], True
    for label, members in axis.groups():
        values = [v for i in members if (v := found.values[i]) is not None]
        if not values:
            body.append([clip(label), "", "", "", f"0 of {len(members)}"])
            continue
        middle = statistics.median(values)
        best = max(values) if found.way == direction.HIGHER else min(values)
        single = single and len(values) == 1
        runs = f"{len(values)}" if len(values) == len(members) else f"{len(values)} of {len(members)}"
        body.append([clip(label), bar(low.place(middle)), number(middle), number(best), runs])
    heads = [clip(name), clip(found.metric or "", 40), "median", "best" if found.way else "least", "runs"]
    keep = [0, 1, 2, *([] if single else [3]), *([] if single else [4])]
    right = [all(numeric(row[0]) for row in body), False, True, True, True]
    if single:
        heads[2] = ""
    return table([heads[i] for i in keep], [[row[i] for i in keep] for row in body], [right[i] for i in keep]).split(
        "\n"
    )


def bar(share: float, width: int = _BAR) -> str:
    """A bar of eighths of a character, never quite empty."""
    eighths = max(1, round(share * width * 8))
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def value_of(text: str) -> str:
    """A parameter's value: of a number with many digits six."""
    return number(float(text)) if len(text) > _DIGITS and text[-1:].isdigit() and numeric(text) else clip(text)


def words_of(found: Sweep, row: RunRow, params: Sequence[str] = ()) -> str:
    """A run in one line: its parameters, what the metric came to, its name."""
    given = ", ".join(f"{clip(k)}={value_of(row.params.get(k, '—'))}" for k in (params or found.params)[:PANELS])
    came = found.lacks(row) or f"{clip(found.metric or '')} {number(row.metrics.get(found.metric or '', math.nan))}"
    return f"{clip(row.name)}: {given}: {came}" if given else f"{clip(row.name)}: {came}"
