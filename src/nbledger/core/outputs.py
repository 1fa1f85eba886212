"""Do two executions of a notebook show the same? What is bound to differ does not count.

By nbval's rules: images, execution counts, metadata and tracebacks are not compared; of what is text, memory addresses,
durations, progress bars, colours and the temporary names of a kernel are taken out first. What goes to standard error
is talk about the computation, not its result. ``# NBVAL_IGNORE_OUTPUT`` and ``# NBVAL_SKIP`` (or the tags
``nbval-ignore-output``, ``nbval-skip``) leave a cell out, as they do for nbval.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core.project import SKIPPED

_SHOWN = 100  # characters of a line quoted
_LONG = 2000  # a longer line is no clock's and no progress bar's, and looking for them in it takes too long


@dataclass(frozen=True)
class OutputDifference:
    """``index`` of the cell in the first notebook, its ``first_line`` of code, and ``what`` differs, in a line."""

    index: int
    first_line: str
    what: str


def differing_outputs(a: Mapping[str, Any], b: Mapping[str, Any], roots: Sequence[str] = ()) -> list[OutputDifference]:
    """The cells whose outputs differ, in order. ``a`` and ``b`` are notebooks (format 4) as JSON holds them.

    Cells that never ran in ``a`` have nothing to compare. ``roots`` are folders whose names do not count: where each of
    the two was executed.
    """
    others = _paired(a, b)
    found: list[OutputDifference] = []
    for index, cell in enumerate(a.get("cells", ())):
        if not _holds_code(cell) or left_out(cell) or not has_run(cell):
            continue
        name, other = first_line(cell), others.get(index)
        if other is None:
            found.append(OutputDifference(index, name, "the cell is not there"))
            continue
        again = shown(other, roots)
        what = "" if any(SKIPPED in text for _, text in again) else _difference(shown(cell, roots), again)
        if what:
            found.append(OutputDifference(index, name, what))
    return found


@dataclass(frozen=True)
class Compared:
    """How much there was to compare: cells that show text, and pictures, which are looked at and do not count."""

    texts: int = 0
    pictures: int = 0
    pictures_equal: int = 0


def compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> Compared:
    """What ``differing_outputs`` has to go by in these two, and how many of their pictures are the same to the byte."""
    others = _paired(a, b)
    texts = pictures = equal = 0
    for index, cell in enumerate(a.get("cells", ())):
        if cell.get("cell_type") == "code" and not left_out(cell):
            texts += bool(shown(cell))
            mine, again = _pictures(cell), _pictures(others.get(index, {}))
            pictures += len(mine)
            equal += sum(x == y for x, y in zip(mine, again, strict=False))
    return Compared(texts, pictures, equal)


def _pictures(cell: Mapping[str, Any]) -> list[str]:
    bundles = [output.get("data") or {} for output in cell.get("outputs", ())]
    return [_text(data[key]).strip() for data in bundles for key in sorted(data) if key.startswith("image/")]


def has_run(cell: Mapping[str, Any]) -> bool:
    """Whether a notebook's cell holds a trace of having been run."""
    return cell.get("execution_count") is not None or bool(cell.get("outputs"))


def left_out(cell: Mapping[str, Any]) -> bool:
    """Whether its author says that the outputs of this cell are not to be compared."""
    tags = {str(t).lower() for t in (cell.get("metadata") or {}).get("tags") or ()}
    return not tags.isdisjoint(("nbval-ignore-output", "nbval-skip")) or bool(_MARK.search(source(cell)))


def source(cell: Mapping[str, Any]) -> str:
    return _text(cell.get("source", ""))


def first_line(cell: Mapping[str, Any]) -> str:
    """The first line of code, for people."""
    line = next((line.strip() for line in source(cell).splitlines() if line.strip()), "an empty cell")
    return line[:_SHOWN]


def shown(cell: Mapping[str, Any], roots: Sequence[str] = ()) -> list[tuple[str, str]]:
    """[(kind, text)] of what a cell shows, normalised; what cannot be compared is left out."""
    found: list[tuple[str, str]] = []
    for output in cell.get("outputs", ()):
        kind, text = _read(output)
        if kind == "printed" and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + text)
        elif kind:
            found.append((kind, text))
    cleaned = ((kind, normal(text, roots)) for kind, text in found)
    return [(kind, text) for kind, text in cleaned if text]


def _paired(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """{index in ``a``: the code cell of ``b``}: by place where the code is the same, else by id, else by place."""
    codes = [c for c in b.get("cells", ()) if _holds_code(c)]
    by_id = {c["id"]: c for c in codes if c.get("id")}
    mine = [i for i, c in enumerate(a.get("cells", ())) if _holds_code(c)]
    found: dict[int, Mapping[str, Any]] = {}
    for place, index in enumerate(mine):
        cell = a["cells"][index]
        beside = codes[place] if place < len(codes) else None
        if beside is not None and source(beside) == source(cell):
            found[index] = beside
        elif cell.get("id") in by_id:
            found[index] = by_id[cell["id"]]
        elif beside is not None and len(codes) == len(mine):
            found[index] = beside
    return found


def _holds_code(cell: Mapping[str, Any]) -> bool:
    """Whether there is something to run: an empty code cell of the one may be left out of the other."""
    return cell.get("cell_type") == "code" and bool(source(cell).strip())


def _read(output: Mapping[str, Any]) -> tuple[str, str]:
    """(kind, text) of one output; an empty kind where there is nothing to compare."""
    match output.get("output_type"):
        case "stream" if output.get("name") == "stdout":
            return "printed", _text(output.get("text", ""))
        case "error":
            return "error", f"{output.get('ename', '')}: {_text(output.get('evalue', ''))}"
        case "execute_result" | "display_data":
            return "result", _bundle(output.get("data") or {})
    return "", ""


def _bundle(data: Mapping[str, Any]) -> str:
    """The text of a mime bundle: its plainest form that says more than an object's name. Pictures, charts and widgets
    have none that could be compared, and what the ledger itself shows of a run is not the notebook's.
    """
    if any(key.startswith(_PICTURES) for key in data) or _OWN in _text(data.get("text/html", "")):
        return ""
    for key in ("text/plain", "text/markdown", "text/latex"):
        if key in data and not (key == "text/plain" and len(data) > 1 and _NAME_ONLY.match(_text(data[key]))):
            return _text(data[key])
    if "application/json" in data:
        return json.dumps(data["application/json"], sort_keys=True)
    return html.unescape(_TAG.sub(" ", _text(data.get("text/html", ""))))


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def normal(text: str, roots: Iterable[str] = ()) -> str:
    """Text without what is bound to differ between two executions of the same code."""
    for root in sorted(roots, key=len, reverse=True):
        text = text.replace(root, "<root>") if root.strip("/") else text
    text = _COLOUR.sub("", text)
    lines = (_line(line) for line in text.replace("\r\n", "\n").split("\n"))
    return "\n".join(line for line in lines if line).strip("\n")


def _line(line: str) -> str:
    line = line.rstrip("\r").rpartition("\r")[2]  # what a terminal shows of a line written over and over
    if "\b" in line:
        line = _struck(line)
    short = len(line) <= _LONG
    if short and (_PROGRESS.search(line) or _CLOCKED.match(line)):
        return ""
    for pattern, instead in _ALWAYS:
        line = pattern.sub(instead, line)
    if short and _ABOUT_TIME.search(line):
        for pattern, instead in _DURATIONS:
            line = pattern.sub(instead, line)
    return line.rstrip()


def _struck(line: str) -> str:
    """A line in which each backspace has taken away what stood before it."""
    kept: list[str] = []
    for character in line:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)


def _difference(mine: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]]) -> str:
    if list(mine) == list(other):
        return ""
    failed = next((text for kind, text in other if kind == "error"), "")
    if failed and not any(kind == "error" for kind, _ in mine):
        return f"now raises {_quoted(failed)}"
    for (kind, text), (other_kind, other_text) in zip(mine, other, strict=False):
        if kind != other_kind:
            return f"a {other_kind} stands where a {kind} was" if kind != "error" else "no longer raises"
        if text != other_text:
            before, after = _first_difference(text, other_text)
            return f"{before!r} is now {after!r}"
    more = other[len(mine) :] or mine[len(other) :]
    return f"{'now also' if len(other) > len(mine) else 'no longer'} shows {_quoted(more[0][1])!r}"


def _first_difference(a: str, b: str) -> tuple[str, str]:
    """The first lines that differ, cut around the place where they do."""
    ours, theirs = [*a.split("\n"), ""], [*b.split("\n"), ""]
    pair = next(((x, y) for x, y in zip(ours, theirs, strict=False) if x != y), None)
    if pair is None:
        size = min(len(ours), len(theirs)) - 1
        pair = ours[size], theirs[size]
    same = next((i for i, (x, y) in enumerate(zip(*pair, strict=False)) if x != y), min(map(len, pair)))
    start = max(0, same - _SHOWN // 3) if max(map(len, pair)) > _SHOWN else 0
    cut = [("…" if start else "") + line[start : start + _SHOWN] for line in pair]
    return cut[0].strip(), cut[1].strip()


def _quoted(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


_OWN = '<div class="nbledger">'
_MARK = re.compile(r"^\s*#\s*NBVAL_(?:IGNORE_OUTPUT|SKIP)\b", re.MULTILINE)
_PICTURES = (
    "image/",
    "application/vnd.",
    "application/javascript",
    "application/pdf",
    "audio/",
    "video/",
    "application/geo+json",
)
# A styled table, say, is `<pandas.io.formats.style.Styler at 0x7f…>` in plain text: its numbers are in the HTML.
_NAME_ONLY = re.compile(r"<[\w.]+(?: object)?(?: at 0x[0-9a-f]+)?>\s*\Z", re.IGNORECASE)
_TAG = re.compile(r"<(style|script|svg)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-_])")
_NUMBER = r"[-+]?\d[\d,]*(?:\.\d*)?(?:[eE][-+]?\d+)?"
_UNIT = r"(?:ns|µs|μs|us|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|milliseconds?|microseconds?)"
_PROGRESS = re.compile(
    r"\d+%\|.*\||[█▏▎▍▌▋▊▉━╸╺]{2,}|\[[=>.#\s-]{8,}\]|\b\d+/\d+\s*\[\d+:\d+"
    r"|^The nbledger extension is already loaded|^  %reload_ext nbledger"
    r"|\b\d+(?:\.\d+)?\s?(?:it/s|s/it|[kMG]?i?B/s)\b|^\s*\d+/\d+ .*\d+(?:ms|us|µs|s)/(?:step|epoch)"
)
_CLOCKED = re.compile(
    r"\s*(?:CPU times: |Wall time: |Compiler\s*: |Parser\s*: |peak memory: |time: \d"
    rf"|{_NUMBER}\s?{_UNIT} ± .*per loop|\d+ loops?, best of )"
)
_ALWAYS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b0x[0-9a-fA-F]{6,}\b"), "0x…"),
    (re.compile(r"ipykernel_\d+[/\\]\d+\.py"), "ipykernel"),
    (re.compile(r"/tmp/[\w.-]*[\w-]{6,}"), "/tmp/…"),  # noqa: S108 — a name in a text
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    # What logging puts at the start of a line; dates elsewhere are data.
    (re.compile(r"^\[?\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(?:,\d{3}\b| (?=(?:DEBUG|INFO|WARN|ERROR)))\]?"), "<now>"),
    # The head of a statsmodels summary.
    (re.compile(r"\bDate: +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4}\b"), "Date: <now>"),
    (re.compile(r"(['\"]\w*_time['\"]\s*:\s*array\()\[[^\]]*\]"), r"\1<time>"),
)
_ABOUT_TIME = re.compile(
    r"\b\w*(?:time|took|elapsed|duration|latency|runtime|seconds|wall|cpu|eta)\w*|/step\b", re.IGNORECASE
)
_DURATIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d+:\d\d(?::\d\d)?(?:\.\d+)?\b"), "<time>"),
    (re.compile(rf"(?<![\w.]){_NUMBER}\s?{_UNIT}\b"), "<time>"),
    (
        re.compile(
            rf"\b(\w*(?:time|elapsed|duration|seconds|latency|runtime)\w*['\"]?\s*(?:\([^)]*\))?\s*(?:[:=]|is|was)\s*)"
            rf"{_NUMBER}",
            re.IGNORECASE,
        ),
        r"\1<time>",
    ),
)
