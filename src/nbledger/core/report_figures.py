"""The figures of a report as its faces show them: which rows, in which order, and which way they went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nbledger.core import direction, tablediff
from nbledger.core.differences import DataChange, Series
from nbledger.core.report import GateView, Pair, Report
from nbledger.core.wording import counted

BETTER, WORSE, SAME, OTHER, NEW, GONE = "better", "worse", "same", "other", "new", "gone"
MARKS = {BETTER: "▲", WORSE: "▼", SAME: "=", OTHER: "●", NEW: "+", GONE: "−"}
_NAMED = 4
_QUIET = 3
_DATA = ("/", ".npy", ".npz")
DIFFERENT = "the two sides did not read the same data, so a difference may be the data's and not the code's"


@dataclass(frozen=True)
class Figure:
    """A metric on both sides. ``whose``: the run's name, or the file that holds it; ``course``: better or worse as far as its
    name says, same, other, new or gone; ``relative`` to the base's, None where that is none or zero.
    """

    whose: str
    name: str
    values: tuple[float | None, ...]
    texts: tuple[str | None, ...]
    course: str
    absolute: float | None = None
    relative: float | None = None


def figures(found: Report) -> list[Figure]:
    """What the gates name first, then what differs, then what is the same; of flattened tables after plain names."""
    listed = [_figure(p.name, k, v, (None, None)) for p in found.pairs for k, v in p.values.items()]
    listed += [_figure(m.file, m.name, m.values, m.texts or (None, None)) for m in found.metrics]
    named = {name for gate in found.gates for name in gate.condition.replace("champion.", "").split()}
    return sorted(listed, key=lambda f: (f.name not in named, f.course == SAME, "." in f.name))


def apart(listed: Sequence[Figure]) -> tuple[list[Figure], list[Figure]]:
    """(those to look at, those of flattened tables that are the same): a classification report alone has some twenty figures.
    Few are not worth folding away, and where all are of that kind they are looked at.
    """
    quiet = [figure.course == SAME and "." in figure.name for figure in listed]
    if sum(quiet) <= _QUIET or all(quiet):
        return list(listed), []
    both = list(zip(listed, quiet, strict=True))
    return [figure for figure, still in both if not still], [figure for figure, still in both if still]


def _figure(whose: str, name: str, values: Sequence[float | None], texts: Sequence[str | None]) -> Figure:
    old, new = values
    pair, told = (old, new), (texts[0], texts[1])
    sides = [value if value is not None else text for value, text in zip(pair, told, strict=True)]
    if sides[0] is None or sides[1] is None:
        return Figure(whose, name, pair, told, NEW if sides[0] is None else GONE)
    if old is None or new is None:
        return Figure(whose, name, pair, told, SAME if sides[0] == sides[1] else OTHER)
    if old == new or (math.isnan(old) and math.isnan(new)):
        return Figure(whose, name, pair, told, SAME, 0.0)
    better = direction.of(name) * (new - old)
    course = BETTER if better > 0 else WORSE if better < 0 else OTHER
    return Figure(whose, name, pair, told, course, new - old, (new - old) / abs(old) if old else None)


def unlike(found: Report) -> str:
    """That figures which stand side by side were computed from different data; empty where the runs read the same, or
    nothing is known of it.
    """
    told = [
        f"{pair.name}: {', '.join(dict.fromkeys(c.path for c in data[:_NAMED]))}"
        + (f" and {len(data) - _NAMED} more" if len(data) > _NAMED else "")
        for pair in found.pairs
        if pair.values and pair.comparison is not None
        if (data := [c for c in pair.comparison.data if _other_data(c)])
    ]
    more = f"; and {len(told) - _NAMED} more runs" if len(told) > _NAMED else ""
    return f"{DIFFERENT} ({'; '.join(told[:_NAMED])}{more})" if told else ""


def _other_data(change: DataChange) -> bool:
    """Whether a run read other data here than the other one: of tables, arrays and folders; a model that an earlier stage
    made is a file as well, and always another one.
    """
    data = tablediff.suffix_of(change.path) is not None or change.path.endswith(_DATA)
    return (
        data and change.needed and not change.derived and not change.alike and change.state not in ("moved", "unknown")
    )


def rows_words(change: DataChange) -> list[str]:
    """How many rows a table had and has."""
    counts = dict.fromkeys(f"{count:,}" for count in change.table.rows) if change.table is not None else {}
    return [f"{' → '.join(counts)} rows"] if counts else []


def curves(found: Report) -> Iterator[tuple[Pair, str, tuple[Series | None, ...]]]:
    """(pair, metric, its series on each side) of the metrics that a run logged more than once."""
    for pair in found.pairs:
        if pair.comparison is not None:
            for name, series in pair.comparison.series.items():
                if any(series):
                    yield pair, name, series


def bounds(series: Sequence[Series | None]) -> tuple[float, float]:
    """The lowest and the highest value of all of them."""
    known = [one for one in series if one is not None]
    return min(one.low for one in known), max(one.high for one in known)


def reasons(gate: GateView) -> list[str]:
    """Why not, besides the clauses of the condition that do not hold."""
    clauses = tuple(f"{row.name}: " for row in gate.clauses)
    return [reason for reason in gate.reasons if not (clauses and reason.startswith(clauses))]


def foremost(gate: GateView) -> str:
    """Why not, in one line: what the condition says, else the first reason, and how many there are besides."""
    clauses = tuple(f"{row.name}: " for row in gate.clauses)
    first = next((r for r in gate.reasons if clauses and r.startswith(clauses)), next(iter(gate.reasons), ""))
    more = len(gate.reasons) - 1
    return first + (f" (and {counted(more, 'more reason')})" if more > 0 else "")


def verdict(found: Report) -> str:
    """What is known of whether the head's runs can be reproduced, in a few words; empty where nothing was run."""
    runs = found.heads
    if not runs:
        return ""
    known: dict[str, int] = {}
    for run in runs:
        known[run.verdict] = known.get(run.verdict, 0) + 1
    bare = known.pop("", 0)
    if not known:
        return "not reproduced yet"
    parts = [word if len(runs) == 1 else f"{count} of {len(runs)} {word}" for word, count in known.items()]
    return "reproduced: " + ", ".join([*parts, *([f"{bare} not reproduced yet"] if bare else [])])


def headline(found: Report) -> list[tuple[str, str]]:
    """(kind, what differs of it) in a few words, for the top of a report; kinds with nothing to say are left out."""
    cells = sum(len(book.cells) for book in found.notebooks)
    names = {f.name for f in figures(found) if f.course != SAME}
    packages = len({p.name for p in found.environment} | {row.name for pins in found.pins for row in pins.packages})
    rows = [
        ("metrics", counted(len(names), "metric differs", "metrics differ")),
        ("data", counted(len(found.data), "data set differs", "data sets differ")),
        ("environment", counted(packages, "package differs", "packages differ")),
        ("cells", f"{counted(cells, 'cell')} in {counted(len(found.notebooks), 'notebook')}"),
        ("pipeline", counted(len(found.stages), "stage")),
    ]
    there = [bool(names), bool(found.data), bool(packages), bool(found.notebooks), bool(found.stages)]
    told = [row for row, known in zip(rows, there, strict=True) if known]
    said = verdict(found)
    return [*told, *([("reproducibility", said)] if said else [])]
