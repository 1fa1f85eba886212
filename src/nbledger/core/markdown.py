"""A comparison as Markdown: for the description of a pull request, or for an issue.

Names come from notebooks, files and servers. They are shown as the text they are: nothing of them becomes markup, a link,
or a mention of somebody.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nbledger.core import wording
from nbledger.core.causes_data import table_words
from nbledger.core.differences import CodeChange, Compared, Comparison, DataChange
from nbledger.core.wording import relative, signed

LIMIT = 60_000
"""Characters: GitHub takes 65,536 in a comment."""
_SPARE = 1_500  # kept for the lines that say what was cut
_NAME, _TEXT, _LINE, _ROWS, _LINES, _FEW = 80, 400, 300, 200, 120, 12
_MARKS = re.compile(r"([\\`*\[\]<|~$]|(?<![^\W_])_|_(?![^\W_]))")
_FIRST = re.compile(r"([-+=>#]|\d+(?=[.)]))")  # what begins a list, a heading or a quotation
_BIDI = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BREAK = "\u200b"
_REFERENCES = re.compile(r"(?:(?<=[@#!%~^])(?=[\w\"])|(?<=://)(?=\S)|(?<=\bwww)(?=\.)|(?<=\bGH-)(?=\d))", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A heading with ``rows`` below it (lines of a table, items, blocks of code), of which as many are shown as there is
    room for; ``head`` stands above the first.
    """

    title: str
    rows: Sequence[str]
    head: str = ""
    what: str = "rows"
    more: int = 0
    tail: tuple[str, ...] = field(default=())


def comparison(found: Comparison, limit: int = LIMIT) -> str:
    """The causes first, then what differs, a table a kind; at most ``limit`` characters, with a line for what was cut."""
    head = f"## {' ↔ '.join(text(run.title) for run in found.runs[:20])}"
    last, room, _ = fitted([_runs(found), _notes(found)], limit - len(head) - _SPARE)
    parts = [_proof(found), _causes(found), _metrics(found), _parameters(found), _data(found), _code(found)]
    blocks, _, cut = fitted([*parts, _environment(found), *_rows(found), _order(found)], room)
    if cut:
        said = f"Cut, since this is too long for a comment: {', '.join(cut)}. nbledger compare shows it whole."
        last.append(f"*{said}*")
    return "\n\n".join([head, *blocks, *last]) + "\n"


def fitted(parts: Iterable[Part | None], room: int) -> tuple[list[str], int, list[str]]:
    """The parts as far as there is room, what room is left, and the names of those that found none."""
    blocks: list[str] = []
    cut: list[str] = []
    for part in parts:
        if part is None or not part.rows:
            continue
        shown = _fitting(part, room)
        if shown:
            blocks.append(_block(part, shown))
            room -= len(blocks[-1]) + 2
        else:
            cut.append(part.title.lower())
    return blocks, room, cut


def _fitting(part: Part, room: int) -> list[str]:
    left = room - len(part.title) - len(part.head) - sum(map(len, part.tail)) - 120
    shown: list[str] = []
    for row in part.rows:
        left -= len(row) + 1
        if left < 0:
            break
        shown.append(row)
    return shown


def _block(part: Part, shown: Sequence[str]) -> str:
    more = part.more + len(part.rows) - len(shown)
    joined = "\n".join([*([part.head] if part.head else []), *shown])
    ends = [*part.tail, *([f"*and {more:,} more {part.what}*"] if more else [])]
    return "\n\n".join([f"### {part.title}", joined, *ends])


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────


def text(value: object, most: int = _NAME) -> str:
    """Untrusted text on one line, of which nothing is markup; a zero-width space keeps it from becoming a reference."""
    line = " ".join(_CONTROL.sub(" ", str(value)).split())
    line = _BIDI.sub(lambda m: f"\\u{ord(m[0]):04x}", line)
    line = line if len(line) <= most else line[: most - 1] + "…"
    line = _REFERENCES.sub(_BREAK, line)
    first = _FIRST.match(line)
    line = _MARKS.sub(r"\\\1", line).replace("&", "&amp;") or "(empty)"
    if first is None:
        return line
    at = first.end() if first[0].isdigit() else 0
    return f"{line[:at]}\\{line[at:]}"


def in_html(value: object, most: int = _NAME) -> str:
    """The same where Markdown is not read: within a tag of HTML."""
    line = " ".join(_CONTROL.sub(" ", str(value)).split())
    line = _BIDI.sub(lambda m: f"\\u{ord(m[0]):04x}", line)
    line = line if len(line) <= most else line[: most - 1] + "…"
    return html.escape(_REFERENCES.sub(_BREAK, line)) or "(empty)"


def fenced(lines: Iterable[str], language: str = "diff") -> str:
    """A block of code that nothing within can end."""
    body = [_CONTROL.sub(" ", line.replace("\t", "    "))[:_LINE] for line in lines]
    body = [_BIDI.sub(lambda m: f"\\u{ord(m[0]):04x}", line) for line in body]
    ticks = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    return "\n".join([f"{fence}{language}", *body, fence])


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def size(count: float | None) -> str:
    return "—" if count is None else wording.size(count)


def table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table_head(cells: Sequence[str], right: int) -> str:
    """The head of a table whose columns from ``right`` on hold numbers."""
    return f"{table_row(cells)}\n|{'|'.join('---' if i < right else '--:' for i in range(len(cells)))}|"


def _titles(found: Comparison) -> list[str]:
    return [text(run.title, 40) for run in found.runs]


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────


def _causes(found: Comparison) -> Part | None:
    if len(found.runs) > 2 or not found.causes:
        return None
    title = "Why, most likely first"
    if found.equal or found.equal is None:
        title = "What differs, most telling first" + (" (the metrics are the same)" if found.equal else "")
    rows = [
        f"1. **{cause.kind}**: {text(cause.what, _TEXT)}"
        + (f" — {text(cause.evidence, _TEXT)}" if cause.evidence else "")
        for cause in found.causes[:_ROWS]
    ]
    return Part(title, rows, what="causes", more=len(found.causes) - len(rows))


def _proof(found: Comparison) -> Part | None:
    proof = found.proof
    if proof is None:
        return None
    rows = []
    for one in proof.attributions:
        whole = one.recorded[1] - one.recorded[0]
        shares = [(f.name, one.shares[f.name], f.what) for f in proof.factors if f.name in one.shares]
        shares += [("unexplained", one.unexplained, "executing again did not show it")] if one.unexplained else []
        rows += [
            table_row([text(one.metric), name, signed(value), relative(value / whole if whole else None), text(what)])
            for name, value, what in shares
        ]
    head = table_head(["metric", "factor", "difference", "share", "what differs"], 2)
    notes = tuple(text(note, _TEXT) for note in proof.notes)
    return Part(f"Proved by {proof.executions} executions", rows, head, "shares", tail=notes)


def _metrics(found: Comparison) -> Part | None:
    pair = len(found.runs) == 2
    rows = []
    for name, values in list(found.metrics.items())[:_ROWS]:
        cells = [text(name), *map(number, values)]
        delta = found.deltas.get(name)
        if pair:
            cells += [signed(delta.absolute), relative(delta.relative)] if delta else ["", ""]
        rows.append(table_row(cells))
    head = table_head(["metric", *_titles(found), *(["difference", "relative"] if pair else [])], 1)
    return Part("Metrics", rows, head, "metrics", len(found.metrics) - len(rows))


def _valued(
    title: str,
    what: str,
    found: Comparison,
    rows: Iterable[tuple[str, Sequence[str | None]]],
    role: str = "",
    kind: str = "environment",
) -> Part:
    """A table of names with a value on each side; a side of which nobody recorded that ``kind`` of thing has a "?"."""
    known, blanks = list(rows), found.blanks(kind)
    lines = [
        table_row([text(name), *(text(v) if v is not None else blank for v, blank in zip(values, blanks, strict=True))])
        for name, values in known[:_ROWS]
    ]
    return Part(title, lines, table_head([role or what, *_titles(found)], 99), what, len(known) - len(lines))


def _parameters(found: Comparison) -> Part:
    return _valued("Parameters", "parameters", found, found.params.items(), "parameter", "parameter")


def _environment(found: Comparison) -> Part:
    rows = [(f"{p.name} ({p.role})" if p.role != "imported" else p.name, p.values) for p in found.environment]
    return _valued("Environment", "packages", found, rows, "package")


def _rows(found: Comparison) -> Iterator[Part]:
    yield _valued("Seeds", "seeds", found, ((r.name, r.values) for r in found.seeds), "seed", "seed")
    yield _valued("Hardware", "facts", found, ((r.name, r.values) for r in found.hardware), "hardware")


def _data(found: Comparison) -> Part:
    if len(found.runs) > 2:
        shown = ((c.path, [v and v[:8] for v in c.values]) for c in found.data)
        return _valued("Data", "files", found, shown, "file", "data")
    rows = ["\n".join(_data_lines(change)) for change in found.data[:_ROWS]]
    return Part("Data", rows, what="files", more=len(found.data) - len(rows))


_DATA_WORDS = {
    "added": "read by the second only",
    "removed": "read by the first only",
    "unknown": "contents not recorded",
}


def _data_lines(change: DataChange) -> Iterator[str]:
    name = f"{text(change.path)} → {text(change.other)}" if change.other else text(change.path)
    sizes = " → ".join(dict.fromkeys(map(size, change.sizes)))
    said = ", ".join(filter(None, [_DATA_WORDS.get(change.state, change.state), sizes]))
    words = table_words(change)
    yield f"- **{name}**: {said}" + (f", {text(words, _TEXT)}" if words else "")
    inner = [f"{text(row.note or 'file')}: {text(row.name)}" for row in change.files]
    inner += [f"{text(r.name)}: {' → '.join(text(v or '—') for v in r.values)}" for r in change.keys]
    if change.table is not None:
        inner += [
            f"column {text(c.name)} {c.state}" + (f": {text(c.what, _TEXT)}" if c.what else "")
            for c in change.table.columns
        ]
    inner += [text(change.note, _TEXT)] if change.note else []
    yield from (f"  - {line}" for line in inner[:_FEW])
    if len(inner) > _FEW:
        yield f"  - and {len(inner) - _FEW} more"


def _code(found: Comparison) -> Part:
    if len(found.runs) > 2:
        shown = ((c.where, c.values) for c in found.code)
        return _valued("Code", "cells and modules", found, shown, "cell or module", "code")
    told = [c for c in found.code if c.effect != "layout"]
    rows = [_change(c) for c in told[:_ROWS]]
    same = [c for c in found.code if c.effect == "layout"]
    tail = tuple(f"{text(c.where)}: comments or formatting only" for c in same[:_FEW])
    return Part("Code", rows or list(tail), what="changes", more=len(told) - len(rows), tail=tail if rows else ())


def _change(change: CodeChange) -> str:
    if not change.diff:
        return f"\n**{text(change.where)}**: {change.words}"
    more = [f"… {len(change.diff) - _LINES} more lines"] if len(change.diff) > _LINES else []
    return f"\n**{text(change.where)}**: {change.words}\n\n{fenced([*change.diff[:_LINES], *more])}"


def _order(found: Comparison) -> Part:
    rows = [f"- {text(c.what, _TEXT)}" + (f" — {text(c.evidence, _TEXT)}" if c.evidence else "") for c in found.order]
    return Part("Order of cells", rows[:_ROWS], what="differences", more=max(0, len(rows) - _ROWS))


def _runs(found: Comparison) -> Part:
    rows = [
        table_row(
            [
                text(run.title, 40),
                text(run.run_id[:8] or run.kind),
                text(run.status or "—"),
                text((run.start or "—")[:16].replace("T", " ")),
                text(run.notebook or "—"),
                _commit(run),
            ]
        )
        for run in found.runs
    ]
    return Part("Runs", rows, table_head(["", "run", "status", "started (UTC)", "notebook", "code"], 99), "runs")


def _commit(run: Compared) -> str:
    if run.commit is None:
        return "?" if "code" in run.unknown else "—"
    if run.origin not in ("", "nbledger"):
        return text(run.commit[:12]) + ("" if run.dirty is False else " (changes not known)")
    return text(run.commit[:12]) + (" (snapshot)" if run.dirty else "")


def _notes(found: Comparison) -> Part:
    return Part("Notes", [f"- {text(note, _TEXT)}" for note in found.notes], what="notes")
