"""What became of a batch, as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands.text import clip, numeric, table

if TYPE_CHECKING:
    from nbledger.keeper.batch import Report, Row

_MARKS = {"FINISHED": "✓", "FAILED": "✗", "KILLED": "✗", None: "·"}
_WORDS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed", None: "not run"}
_PARAM_COLUMNS, _NOTES = 6, 12


def seconds(count: float) -> str:
    """A length of time for people."""
    if count < 60:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02} min"


def report(found: Report) -> str:
    """A table with a row for each notebook, what there is to say, and the sum in one line."""
    heads, body, right = cells(found.notebooks)
    return "\n".join([table(heads, body, right), *(f"· {line}" for line in said(found)), total(found)])


def said(found: Report) -> list[str]:
    """What there is to say of single notebooks, at most a few lines."""
    lines = [clip(note, 200) for note in found.notes[:_NOTES]]
    left = len(found.notes) - _NOTES
    return [*lines, f"and {left} more lines like these (--json has all)"] if left > 0 else lines


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


def cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table: its heads, its lines, and which columns are numbers."""
    params = _varying(rows)
    heads = ["", "notebook", *map(clip, params), "status", "took", "run", "what went wrong"]
    body = [
        [
            _MARKS[row.status],
            clip(row.name, 40),
            *(clip(_shown(row.params.get(key, "")), 16) for key in params),
            _WORDS[row.status] + (" before" if row.kept and row.status else ""),
            seconds(row.seconds) if row.status else "",
            (row.run_id or "")[:8],
            clip(_more(row), 90),
        ]
        for row in rows
    ]
    right = [
        False,
        False,
        *(all(numeric(_shown(row.params.get(key, ""))) for row in rows) for key in params),
        False,
        True,
        False,
        False,
    ]
    if not any(line[-1] for line in body):
        heads, body, right = heads[:-1], [line[:-1] for line in body], right[:-1]
    return heads, body, right


def _more(row: Row) -> str:
    said = [row.error] if row.error else []
    said += [f"attempt {row.attempts}"] if row.attempts > 1 else []
    said += ["edited since"] if row.edited and row.kept else []
    return "; ".join(said)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _varying(rows: Sequence[Row]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row.params)
    return [key for key in keys if len({_shown(row.params.get(key, "")) for row in rows}) > 1][:_PARAM_COLUMNS]
