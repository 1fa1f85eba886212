"""Plain-text forms of the records: they read well in a terminal, in nbconvert's output and in a diff."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbledger.core import people, wording
from nbledger.core.records import RunRow, Status, Tracked
from nbledger.core.runs import PENDING, REPRODUCES, only_compares
from nbledger.core.wording import counted, size

if TYPE_CHECKING:
    from nbledger.core.checkpoint import Checkpoint
    from nbledger.keeper.doctor import Finding

UNKNOWN = "?"
"""Stands in a table for what nobody recorded: an empty cell would read as "none"."""
_METRIC_COLUMNS, _PARAM_COLUMNS, _DATA_COLUMNS, _WIDTH = 4, 6, 3, 24
_JOINERS = "\u200c\u200d"  # Persian and Indic words, and many emoji, are spelt with them


def number(value: float) -> str:
    """Six significant digits, as numbers are compared."""
    return f"{value:.6g}"


def duration(row: RunRow) -> str:
    if row.start is None or row.end is None:
        return ""
    seconds = (dt.datetime.fromisoformat(row.end) - dt.datetime.fromisoformat(row.start)).total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02} min"


def when(row: RunRow, *, seconds: bool = False) -> str:
    """The start in local time."""
    if row.start is None:
        return ""
    return dt.datetime.fromisoformat(row.start).astimezone().strftime(f"%Y-%m-%d %H:%M{':%S' if seconds else ''}")


def clip(text: str, width: int = _WIDTH) -> str:
    """One line of at most ``width`` characters; characters that control or turn the text are shown, not sent."""
    flat = "".join(c if c.isprintable() or c in _JOINERS else "�" for c in text[: width + 1])
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def _clip_path(path: str, width: int = _WIDTH) -> str:
    """A path whose end is kept: that is where the file's name is."""
    return clip(path) if len(path) <= width else "…" + clip(path[-(width - 1) :])


def varying(rows: Sequence[RunRow]) -> list[str]:
    """Parameters whose value differs among the runs (or that some lack); what most runs have comes first."""
    keys = _by_presence(row.params for row in rows)
    return [k for k in keys if len({row.params.get(k) for row in rows}) > 1]


def metric_keys(rows: Sequence[RunRow]) -> list[str]:
    """Metrics, the plain ones before those that a dict was flattened to; what most runs have comes first."""
    return sorted(_by_presence(row.metrics for row in rows), key=lambda k: "." in k)


def metric_columns(rows: Sequence[RunRow]) -> list[str]:
    """The metrics that have a column: those of the runs themselves, before what runs that only compare data say of these."""
    return shown_metrics(metric_keys([row for row in rows if not only_compares(row.tags)] or rows))


def _by_presence(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    count = Counter(key for mapping in mappings for key in mapping)
    return sorted(count, key=lambda k: -count[k])


def shown_metrics(keys: Sequence[str], most: int = _METRIC_COLUMNS) -> list[str]:
    """The first few; flattened ones only where there are no others."""
    return ([k for k in keys if "." not in k] or list(keys))[:most]


def data_names(rows: Sequence[RunRow]) -> list[str]:
    """Data sets whose version differs among the runs."""
    names = dict.fromkeys(i.path for row in rows for i in row.inputs)
    return [n for n in names if len({_digest(row, n) for row in rows}) > 1]


def _digest(row: RunRow, name: str) -> str:
    """The version that was read; of a run that nbledger did not record it is not known whether it read the file at all."""
    return next((i.md5 for i in row.inputs if i.path == name), UNKNOWN if row.foreign else "")


def arranged(rows: Sequence[RunRow]) -> list[tuple[RunRow, int]]:
    """(run, depth): newest first, each run is followed by its children; in any other order the children are only marked."""
    ids = {row.run_id for row in rows}
    parents = {r.run_id: p for r in rows if (p := r.tags.get("mlflow.parentRunId")) in ids and p != r.run_id}
    starts = [row.start or "" for row in rows]
    if starts != sorted(starts, reverse=True):
        return [(row, int(row.run_id in parents)) for row in rows]
    children: dict[str | None, list[RunRow]] = {}
    for row in rows:
        children.setdefault(parents.get(row.run_id), []).append(row)
    order: list[tuple[RunRow, int]] = []
    waiting = [(row, 0) for row in reversed(children.get(None, []))]
    while waiting:
        row, depth = waiting.pop()
        order.append((row, depth))
        waiting += [(child, depth + 1) for child in reversed(children.get(row.run_id, []))]
    return order if len(order) == len(rows) else [(row, 0) for row in rows]


@dataclass(frozen=True)
class Column:
    """A column of the table of runs. ``kind``: run, name, user, status, experiment, time, param, metric, data or code.

    ``cells`` are what is shown, ``full`` what they stand for, ``right`` whether they are numbers.
    """

    kind: str
    head: str
    cells: tuple[str, ...]
    full: tuple[str, ...]

    @property
    def right(self) -> bool:
        return self.kind in ("took", "metric") or (
            self.kind == "param" and any(self.cells) and all(map(numeric, self.cells))
        )


def columns(placed: Sequence[tuple[RunRow, int]]) -> list[Column]:
    """What identifies a run, then only what differs among the runs, then metrics, data and code."""
    rows = [row for row, _ in placed]
    digits = 8 if len({r.run_id[:8] for r in rows}) == len({r.run_id for r in rows}) else 32

    def column(kind: str, head: str, value: Callable[[RunRow], str], show: Callable[[str], str] = clip) -> Column:
        full = tuple(value(row) for row in rows)
        return Column(kind, head, tuple(show(text) if text else "" for text in full), full)

    names = tuple(
        "  " * (depth - 1) + "└ " * (depth > 0) + clip(row.name) + (" ↻" if REPRODUCES in row.tags else "")
        for row, depth in placed
    )
    made = [
        column("run", "run", lambda r: r.run_id, lambda t: t[:digits]),
        Column("name", "name", names, tuple(row.name for row in rows)),
        column("status", "status", lambda r: r.status),
        Column("time", "started", tuple(map(when, rows)), tuple(when(r, seconds=True) for r in rows)),
        column("took", "took", duration),
    ]
    if len({row.experiment for row in rows}) > 1:
        made.insert(2, column("experiment", "experiment", lambda r: r.experiment))
    called = people.labels(row.user for row in rows)
    if len(called) > 1:
        shown = tuple(clip(called[people.key(row.user)]) if row.user else UNKNOWN for row in rows)
        made.insert(2, Column("user", "user", shown, tuple(row.user or people.UNKNOWN for row in rows)))
    made += [column("param", k, lambda r, k=k: r.params.get(k, "")) for k in varying(rows)[:_PARAM_COLUMNS]]  # type: ignore[misc]
    for key in metric_columns(rows):
        made.append(
            Column(
                "metric",
                key,
                tuple(number(r.metrics[key]) if key in r.metrics else "" for r in rows),
                tuple(repr(r.metrics[key]) if key in r.metrics else "" for r in rows),
            )
        )
    made += [
        column("data", n, lambda r, n=n: _digest(r, n), lambda t: t[:8])  # type: ignore[misc]
        for n in data_names(rows)[:_DATA_COLUMNS]
    ]
    return [*made, Column("code", "code", tuple(map(_code, rows)), tuple(row.commit or "" for row in rows))]


def _code(row: RunRow) -> str:
    """The commit: with ``*`` that of changed code, with ``?`` one of which nobody noted whether the code was changed."""
    return (row.commit or "")[:8] + ("*" if row.dirty else UNKNOWN if row.foreign and row.dirty is None else "")


def footnotes(rows: Sequence[RunRow]) -> list[str]:
    """What the table leaves out, in words."""
    notes = []
    if any(PENDING in r.tags for r in rows):
        notes.append("the tracking server does not answer: only runs that wait here to be published are shown")
    if rows:
        first = rows[0]
        same = [k for k in first.params if all(r.params.get(k) == first.params[k] for r in rows)]
        alike = [f"{clip(k)}={clip(first.params[k])}" for k in same]
        alike += [
            f"{_clip_path(i.path)} {i.md5[:8]}" for i in first.inputs if all(_digest(r, i.path) == i.md5 for r in rows)
        ]
        if alike:
            notes.append(("the same in all: " if len(rows) > 1 else "recorded with ") + some(alike, 8))
    for what, keys, shown in (
        ("parameters that differ", varying(rows), varying(rows)[:_PARAM_COLUMNS]),
        ("metrics", metric_keys(rows), metric_columns(rows)),
        ("data sets that differ", data_names(rows), data_names(rows)[:_DATA_COLUMNS]),
    ):
        left = [k for k in keys if k not in set(shown)]
        if left:
            groups = dict.fromkeys(clip(k.split(".")[0], 20) + ".*" if "." in k else clip(k) for k in left)
            notes.append(f"not shown: {len(left)} more {what} ({some(groups, 3)})")
    if any(REPRODUCES in r.tags for r in rows):
        notes.append("↻ a run executed again by reproduce; the name alone means the run itself")
    if any(r.dirty and not r.foreign for r in rows):
        notes.append("* ran from a snapshot: the code had changes that no branch holds")
    if foreign := [r for r in rows if r.foreign]:
        many = counted(len(foreign), "run was", "runs were")
        notes.append(f"? not known: {many} not recorded by nbledger, but by plain MLflow")
        if any(r.dirty for r in foreign):
            notes.append("* of such a run: its code had changes that nobody kept")
    return notes


def table(heads: Sequence[str], cells: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns padded to their widest entry; those of ``right`` to the right."""
    body = [list(row) for row in cells]
    widths = [max(_cells(r[i]) for r in [list(heads), *body]) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        padded = (
            " " * (w - _cells(c)) + c if r else c + " " * (w - _cells(c))
            for c, w, r in zip(row, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(heads), "  ".join("─" * w for w in widths), *map(line, body)])


def _cells(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) or c in _JOINERS else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def numeric(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def runs(rows: Sequence[RunRow], words: str = "", user: str = "", unasked: str | None = None) -> str:
    """The table; ``words`` is the filter that gave these rows, ``user`` whose they are. ``unasked``: the store that the
    project names, where it was not asked because the project is not trusted.
    """
    held = f"the project's run store, {unasked}, is not asked until you trust it: nbledger trust"
    if not rows:
        none = "no runs" if unasked else "no runs yet: put %%mlrun on the first line of a cell and run it"
        if user:
            none = f"no run of {clip(user, 60)}{f' matches {clip(words, 60)}' if words else ''}"
        elif words:
            none = f"no run matches {clip(words, 60)}"
        return f"{none} here; {held}" if unasked else none
    shown = columns(arranged(rows))
    lines = zip(*(c.cells for c in shown), strict=True)
    heads = [_clip_path(c.head) if c.kind == "data" else clip(c.head) for c in shown]
    notes = [*footnotes(rows), *([held] if unasked else [])]
    return "\n".join([table(heads, lines, [c.right for c in shown]), *notes])


def tracked_words(one: Tracked) -> list[str]:
    """What became of one path, in a few words each."""
    files = one.nfiles > 1 or one.md5.endswith(".dir")
    return [
        size(one.size) + (f" in {one.nfiles:,} files" if files else ""),
        f"md5 {one.md5[:8]}",
        *([f"commit {one.commit[:8]}"] if one.commit else []),
        *(["pushed"] if one.pushed else []),
    ]


def tracked(results: Sequence[Tracked]) -> str:
    lines = []
    for one in results:
        what = "versioned" if one.changed else "unchanged"
        lines.append(f"{what} {clip(one.path, 200)} ({', '.join(tracked_words(one))})")
        lines += [f"  {note}" for note in one.notes]
    return "\n".join(lines)


def some(names: Iterable[str], most: int = 5, width: int = 60) -> str:
    """The first of these names, each clipped, and how many more there are."""
    listed = list(names)
    return wording.some([*(clip(name, width) for name in listed[:most]), *listed[most:]], most)


def status_lines(state: Status) -> list[tuple[str, str, bool]]:
    """(what, its state in words, whether it is as it should be), a line each."""
    code, data, tracking = state.code, state.data, state.tracking
    lines: list[tuple[str, str, bool]] = []
    if code.commit or code.branch:
        where = f"{code.branch or 'detached HEAD'} at {code.commit[:8] if code.commit else 'no commit yet'}"
        if code.ahead or code.behind:
            where += f", {code.ahead} ahead, {code.behind} behind"
        lines.append(
            ("branch", where + (f", {code.operation} under way" if code.operation else ""), code.commit is not None)
        )
    if code.changed:
        lines.append(("changed", some(code.changed), False))
    if code.untracked:
        lines.append(("not in Git", some(code.untracked), False))
    for name, paths in (
        ("data changed", data.changed),
        ("data older", data.older),
        ("data missing", data.missing),
        ("not pushed", data.not_pushed),
        ("read, not versioned", data.untracked_inputs),
        ("stale stages", state.pipeline.stale),
    ):
        if paths:
            lines.append((name, some(paths), False))
    store = f"{tracking.uri}, experiment {tracking.experiment}"
    if tracking.reachable is False:
        store += " — does not answer"
    lines.append(
        (
            "runs",
            store + (f", {tracking.pending} waiting to be published" if tracking.pending else ""),
            tracking.reachable is not False,
        )
    )
    return lines + [("note", note, False) for note in state.notes]


def verdict(state: Status) -> str:
    """What the state means for a run that starts now."""
    if state.clean:
        return "clean: a run now could be brought back"
    more = len(state.because) - 1
    return f"not clean: {clip(state.because[0].text, 120)}" + (f", and {more} more" if more else "")


def status(state: Status) -> str:
    lines = status_lines(state)
    width = max(len(name) for name, _, _ in lines)
    return "\n".join(
        [
            f"{clip(state.root, 200)}: {verdict(state)}",
            *(f"{'✓' if ok else '!'} {n.ljust(width)}  {t}" for n, t, ok in lines),
        ]
    )


def checkpoint(made: Checkpoint) -> str:
    if made.commit is None:
        first = "nothing to commit: notebooks, pointers and locks are as in HEAD"
    else:
        first = f"committed {made.commit[:10]}: {some(made.paths, 8)}"
    return first + (f"\nleft as they are: {some(made.left)}" if made.left else "")


def findings(found: Sequence[Finding]) -> str:
    marks = {"ok": "✓", "note": "·", "problem": "!"}
    return "\n".join(
        f"{'✓' if f.fixed else marks[f.severity]} {f.text}"
        + (" — mended" if f.fixed else f" — {f.fix}" if f.fix else "")
        for f in found
    )
