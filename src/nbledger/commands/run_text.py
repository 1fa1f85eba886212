"""What became of a batch, as plain text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands.text import clip, number, numeric, shown_metrics, table
from nbledger.core.sweep import point_label, shown

if TYPE_CHECKING:
    from nbledger.keeper.batch import Report, Row

_MARKS = {"FINISHED": "✓", "PRUNED": "–", "FAILED": "✗", "KILLED": "✗", None: "·"}
_WORDS = {"FINISHED": "finished", "PRUNED": "pruned", "FAILED": "failed", "KILLED": "killed", None: "not run"}
_PARAM_COLUMNS, _METRIC_COLUMNS, _NOTES = 6, 3, 12
_ROWS, _TROUBLES = 50, 20


def seconds(count: float) -> str:
    """A length of time for people."""
    if count < 60:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02} min"


def report(found: Report) -> str:
    """A table with a row for each notebook, what there is to say, and the sum in one line."""
    rows, left = listed(found)
    heads, body, right = cells(found, rows)
    return "\n".join(
        [table(heads, body, right), *left, *(f"· {line}" for line in said(found)), *best(found), total(found)]
    )


def listed(found: Report) -> tuple[list[Row], list[str]]:
    """The rows that a table shows, the best first where there is something to be good at; and what it leaves out, in a line.
    What went wrong is not left out before the rest.
    """
    rows = list(found.notebooks)
    metric, sign = found.objective.partition(" ")[2], -1 if found.objective.startswith("maximize") else 1
    if metric:
        order = list(_WORDS)
        rows.sort(key=lambda row: (order.index(row.status), *_worth(row.metrics.get(metric), sign)))
    if len(rows) <= _ROWS:
        return rows, []
    troubles = [id(row) for row in rows if row.status not in ("FINISHED", "PRUNED")][:_TROUBLES]
    others = [id(row) for row in rows if id(row) not in troubles][: _ROWS - len(troubles)]
    kept = {*troubles, *others}
    more = Counter(row.status for row in rows if id(row) not in kept)
    words = ", ".join(f"{more[status]} {_WORDS[status]}" for status in _WORDS if more[status])
    line = f"and {len(rows) - _ROWS} more: {words} (--json has all)"
    return [row for row in rows if id(row) in kept], [line]


def _worth(value: float | None, sign: int) -> tuple[bool, float]:
    """What sorts the best first, and last what has no number."""
    if value is None or math.isnan(value):
        return True, 0.0
    return False, sign * value


def best(found: Report) -> list[str]:
    """The best of a sweep, in a line."""
    if found.best is None:
        return []
    run = f" (run {found.best.run_id[:8]})" if found.best.run_id else ""
    return [f"best: {clip(found.best.words, 120)}{run}"]


def said(found: Report) -> list[str]:
    """What there is to say of single notebooks, at most a few lines."""
    return notes(found.notes)


def notes(told: Sequence[str]) -> list[str]:
    """The first of them, each clipped, and how many more there are."""
    left = len(told) - _NOTES
    more = [f"and {left} more lines like these (--json has all)"] if left > 0 else []
    return [*(clip(note, 200) for note in told[:_NOTES]), *more]


def total(found: Report) -> str:
    """The batch in one line, with what to type next."""
    counts = Counter(row.status for row in found.notebooks)
    ended = ", ".join(f"{counts[status]} {_WORDS[status]}" for status in _WORDS if counts[status])
    several = len(found.notebooks) > 1
    where = f"batch {found.batch}" + (f" (run {found.run_id[:8]})" if found.run_id else "") if several else "in all"
    line = f"{where}: {ended}, {seconds(found.seconds)}"
    if counts["KILLED"] or counts[None]:
        line += f"; nbledger run --resume {found.batch} goes on"
    elif counts["FAILED"]:
        again = f"nbledger run --resume {found.batch} --failed"
        line += f"; {again} runs what failed again"
    return line


def cells(found: Report, rows: Sequence[Row]) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table of ``rows``: its heads, its lines, and which columns are numbers."""
    params, metrics = _varying(found, rows), _measured(found, rows)
    names = [_name(found, row) for row in rows]
    columns: list[tuple[str, list[str], bool]] = [("", [_MARKS[row.status] for row in rows], False)]
    if len(set(names)) > 1 or not params:
        columns.append(("notebook", [clip(name, 40) for name in names], False))
    for key in params:
        texts = [clip(_shown(row.params.get(key, "")), 16) for row in rows]
        columns.append((clip(key), texts, all(map(numeric, texts))))
    columns += [
        (clip(key), [number(row.metrics[key]) if key in row.metrics else "" for row in rows], True) for key in metrics
    ]
    columns += [
        ("status", [_WORDS[row.status] + (" before" if row.kept and row.status else "") for row in rows], False),
        ("took", [seconds(row.seconds) if row.status else "" for row in rows], True),
        ("run", [(row.run_id or "")[:8] for row in rows], False),
    ]
    if any(wrong := [clip(_more(row), 90) for row in rows]):
        columns.append(("what went wrong", wrong, False))
    body = [[texts[at] for _, texts, _ in columns] for at in range(len(rows))]
    return [head for head, _, _ in columns], body, [right for _, _, right in columns]


def _name(found: Report, row: Row) -> str:
    """The notebook's name without the values that stand in columns of their own."""
    point = point_label(row.params, found.swept)
    return row.name.removesuffix(f" {point}") if point else row.name


def _measured(found: Report, rows: Sequence[Row]) -> list[str]:
    """The metrics that are shown: what a sweep is about, else those that all of its notebooks share."""
    metric = found.objective.partition(" ")[2]
    if metric or not found.swept:
        return [metric] if metric and any(metric in row.metrics for row in rows) else []
    finished = [row.metrics for row in rows if row.status == "FINISHED"]
    shared = [key for key in (finished[0] if finished else ()) if all(key in one for one in finished)]
    return shown_metrics(shared, _METRIC_COLUMNS)


def _more(row: Row) -> str:
    said = [row.error] if row.error else []
    said += [f"attempt {row.attempts}"] if row.attempts > 1 else []
    said += ["edited since"] if row.edited and row.kept else []
    return "; ".join(said)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _varying(found: Report, rows: Sequence[Row]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row.params)
    varied = [key for key in keys if len({_shown(row.params.get(key, "")) for row in rows}) > 1]
    return list(dict.fromkeys([*(key for key in found.swept if key in varied), *varied]))[:_PARAM_COLUMNS]
