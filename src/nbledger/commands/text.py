"""Plain-text forms of the records: they read well in a terminal, in nbconvert's output and in a diff."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbledger.core.records import RunRow, Status, Tracked

if TYPE_CHECKING:
    from nbledger.core.checkpoint import Checkpoint
    from nbledger.keeper.doctor import Finding

_METRIC_COLUMNS, _PARAM_COLUMNS, _WIDTH = 4, 6, 24


def size(count: float) -> str:
    """Bytes for people: powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


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


def when(row: RunRow) -> str:
    if row.start is None:
        return ""
    return dt.datetime.fromisoformat(row.start).astimezone().strftime("%m-%d %H:%M:%S")


def clip(text: str, width: int = _WIDTH) -> str:
    """One line of at most ``width`` characters; control characters shown, not sent."""
    flat = "".join(c if c.isprintable() else "�" for c in text)
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def varying(rows: Sequence[RunRow]) -> list[str]:
    """Parameters whose value differs among the runs (or that some lack), in their order of appearance."""
    keys = dict.fromkeys(k for row in rows for k in row.params)
    return [k for k in keys if len({row.params.get(k) for row in rows}) > 1]


def metric_keys(rows: Sequence[RunRow]) -> list[str]:
    """Metrics, the plain ones before the flattened."""
    keys = dict.fromkeys(k for row in rows for k in row.metrics)
    return sorted(keys, key=lambda k: (k.count("."), -sum(k in row.metrics for row in rows)))


def data_names(rows: Sequence[RunRow]) -> list[str]:
    """Data sets whose version differs among the runs."""
    names = dict.fromkeys(i.path for row in rows for i in row.inputs)
    return [n for n in names if len({_digest(row, n) for row in rows}) > 1]


def _digest(row: RunRow, name: str) -> str:
    return next((i.md5 for i in row.inputs if i.path == name), "")


def columns(rows: Sequence[RunRow]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table: what identifies a run, then only what differs, then metrics."""
    params, metrics, data = varying(rows)[:_PARAM_COLUMNS], metric_keys(rows)[:_METRIC_COLUMNS], data_names(rows)[:3]
    heads = ["run", "name", "status", "started", "took", *params, *metrics, *data, "code"]
    cells = [
        [
            row.run_id[:8],
            clip(row.name),
            row.status,
            when(row),
            duration(row),
            *(clip(row.params.get(k, "")) for k in params),
            *(number(row.metrics[k]) if k in row.metrics else "" for k in metrics),
            *(_digest(row, n)[:8] for n in data),
            (row.commit or "")[:8] + ("*" if row.dirty else ""),
        ]
        for row in rows
    ]
    return heads, cells


def footnotes(rows: Sequence[RunRow]) -> list[str]:
    """What the table leaves out, in words."""
    notes = []
    same = {k: rows[0].params[k] for k in rows[0].params if all(r.params.get(k) == rows[0].params[k] for r in rows)}
    if same and len(rows) > 1:
        notes.append("the same in all: " + ", ".join(f"{k}={clip(v)}" for k, v in list(same.items())[:8]))
    hidden = len(metric_keys(rows)) - _METRIC_COLUMNS
    if hidden > 0:
        notes.append(f"and {hidden} more metrics")
    if any(r.dirty for r in rows):
        notes.append("* ran from a snapshot that differs from its commit on the branch")
    return notes


def table(heads: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest entry; numbers to the right."""
    body = [list(row) for row in cells]
    widths = [max(len(r[i]) for r in [list(heads), *body]) for i in range(len(heads))]
    right = [all(numeric(r[i]) for r in body) and any(r[i] for r in body) for i in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(heads), "  ".join("─" * w for w in widths), *map(line, body)])


def numeric(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def runs(rows: Sequence[RunRow]) -> str:
    if not rows:
        return "no runs yet: put %%mlrun on the first line of a cell and run it"
    heads, cells = columns(rows)
    return "\n".join([table([clip(h) for h in heads], cells), *footnotes(rows)])


def tracked(results: Sequence[Tracked]) -> str:
    lines = []
    for one in results:
        files = f", {one.nfiles} files" if one.nfiles > 1 or one.md5.endswith(".dir") else ""
        what = "versioned" if one.changed else "unchanged"
        lines.append(
            f"{what} {one.path} ({size(one.size)}{files}) md5 {one.md5[:8]}"
            + (f", commit {one.commit[:8]}" if one.commit else "")
            + (", pushed" if one.pushed else "")
        )
        lines += [f"  {note}" for note in one.notes]
    return "\n".join(lines)


def _some(paths: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(clip(p, 60) for p in paths[:most])
    return shown + (f" and {len(paths) - most} more" if len(paths) > most else "")


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
        lines.append(("changed", _some(code.changed), False))
    if code.untracked:
        lines.append(("not in Git", _some(code.untracked), False))
    for name, paths in (
        ("data changed", data.changed),
        ("data missing", data.missing),
        ("not pushed", data.not_pushed),
        ("read, not versioned", data.untracked_inputs),
        ("stale stages", state.pipeline.stale),
    ):
        if paths:
            lines.append((name, _some(paths), False))
    store = f"{tracking.uri}, experiment {tracking.experiment}"
    if tracking.reachable is False:
        store += " — does not answer"
    lines.append(
        (
            "runs",
            store + (f", {tracking.pending} waiting to be published" if tracking.pending else ""),
            tracking.reachable is not False and not tracking.pending,
        )
    )
    return lines + [("note", note, False) for note in state.notes]


def status(state: Status) -> str:
    first = "clean: a run now could be brought back" if state.clean else "not clean"
    lines = status_lines(state)
    width = max(len(name) for name, _, _ in lines)
    return "\n".join([f"{state.root}: {first}", *(f"{'✓' if ok else '!'} {n.ljust(width)}  {t}" for n, t, ok in lines)])


def checkpoint(made: Checkpoint) -> str:
    if made.commit is None:
        first = "nothing to commit: notebooks, pointers and locks are as in HEAD"
    else:
        first = f"committed {made.commit[:10]}: {_some(made.paths, 8)}"
    return first + (f"\nleft as they are: {_some(made.left)}" if made.left else "")


def findings(found: Sequence[Finding]) -> str:
    marks = {"ok": "✓", "note": "·", "problem": "!"}
    return "\n".join(
        f"{'✓' if f.fixed else marks[f.severity]} {f.text}"
        + (" — mended" if f.fixed else f" — {f.fix}" if f.fix else "")
        for f in found
    )
