"""A report as Markdown for the comment on a pull request: at most as long as the platform takes, with a line for what was
left out. Names are shown as the text they are (``core.markdown``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nbledger.core import report_figures as figures
from nbledger.core.causes_data import table_words
from nbledger.core.curve import sparkline
from nbledger.core.differences import DataChange
from nbledger.core.markdown import (
    Part,
    fenced,
    fitted,
    in_html,
    number,
    size,
    table_head,
    table_row,
    text,
)
from nbledger.core.report import CellChange, Commit, GateView, Pair, Report, Told
from nbledger.core.wording import counted, relative, signed

LIMITS = {"github": 65_536, "gitlab": 1_000_000}
"""Characters of a comment."""
FILE = 300_000
"""Characters of a file: a job's summary on GitHub takes a megabyte, and some characters are three bytes."""
_SPARE, _TEXT, _ROWS, _FEW, _LINES = 2_000, 400, 300, 12, 120
_FOLDED = 12
"""Lines of a diff from which on it is folded."""
_STATES = {"added": "added", "removed": "removed", "unknown": "contents not known"}


def markdown(found: Report, limit: int = LIMITS["github"]) -> str:
    """The whole report in at most ``limit`` characters, as JavaScript counts them (some letters are two)."""
    room = limit
    while True:
        written = _written(found, room)
        over = length(written) - limit
        if over <= 0 or room < _SPARE:
            return written
        room -= over + 100


def length(written: str) -> int:
    """UTF-16 units: what the platforms count is this, or less."""
    return len(written.encode("utf-16-le", "replace")) // 2


def _written(found: Report, limit: int) -> str:
    head = _head(found)
    last, room, _ = fitted([_runs(found), _notes(found)], limit - len(head) - _SPARE)
    parts = [_gates(found), _metrics(found), _curves(found), _causes(found), _parameters(found), _data(found)]
    parts += [_environment(found), _pins(found), _pipeline(found), _graph(found), _cells(found)]
    blocks, _, cut = fitted(parts, room)
    if cut:
        said = f"Left out, since this is too long for a comment: {', '.join(cut)}."
        last.append(f"*{said} `nbledger report` shows it whole.*")
    return "\n\n".join([head, *blocks, *last]) + "\n"


def _head(found: Report) -> str:
    count = counted(found.commits, "commit")
    lines = [
        f"## {text(found.head.name)} against {text(found.base.name)}",
        "",
        f"{_commit(found.head)} against {_commit(found.base)}, {count}",
        "",
    ]
    lines += [
        f"- {_verdict(gate)}" + (f": {text(figures.foremost(gate), _TEXT)}" if gate.reasons else "")
        for gate in found.gates[:_FEW]
    ]
    lines += [f"- ⚠️ {text(lack, _TEXT)}" for lack in found.lacks[:_FEW]]
    told = figures.headline(found)
    lines += [f"- **{kind}**: {text(said, _TEXT)}" for kind, said in told]
    if not told and not found.gates and not found.lacks:
        lines.append("- nothing that is known of both differs")
    return "\n".join(lines)


def _commit(side: Commit) -> str:
    return f"{text(side.commit[:10])} ({text(side.subject)})" if side.subject else text(side.commit[:10])


# ── gates and figures ────────────────────────────────────────────────────────────────────────────────────


def _verdict(gate: GateView) -> str:
    if gate.held:
        return f"✅ {text(gate.name)} **is** {text(gate.alias)} of {text(gate.model)} (version {text(gate.held)})"
    word = "passes" if gate.passed else "does not pass"
    named = f" {text(gate.gate)}" if gate.gate else ""
    return f"{'✅' if gate.passed else '❌'} {text(gate.name)} **{word}** the gate{named} of {text(gate.model)}"


def _gates(found: Report) -> Part:
    rows = []
    for gate in found.gates:
        demands = f", which demands {text(gate.condition, _TEXT)}" if gate.condition and not gate.held else ""
        lines = [f"- {_verdict(gate)}{demands}"]
        lines += [f"  - {row.note} {text(row.name)}: {_against(row.values)}" for row in gate.clauses]
        lines += [f"  - {text(reason, _TEXT)}" for reason in figures.reasons(gate)]
        rows.append("\n".join(lines))
    return Part("Gate", rows, what="gates")


def _against(values: Sequence[str | None]) -> str:
    return " against ".join(text(value) for value in values if value is not None)


def _metrics(found: Report) -> Part:
    listed = figures.figures(found)
    whose = len({figure.whose for figure in listed}) > 1
    looked, quiet = figures.apart(listed)
    rows = [
        table_row(
            [
                *([text(figure.whose, 40)] if whose else []),
                text(figure.name),
                *(_value(v, t) for v, t in zip(figure.values, figure.texts, strict=True)),
                signed(figure.absolute) if figure.absolute else "",
                relative(figure.relative),
                _course(figure),
            ]
        )
        for figure in looked[:_ROWS]
    ]
    heads = [*(["run"] if whose else []), "metric", text(found.base.name, 40), text(found.head.name, 40)]
    head = table_head([*heads, "difference", "relative", ""], len(heads) - 2)
    said = figures.unlike(found)
    head = f"⚠️ {text(said, _TEXT)}\n\n{head}" if said else head
    same = (f"*{len(quiet):,} more are the same*",) if quiet else ()
    return Part("Metrics", rows, head, "metrics", len(looked) - len(rows), same)


def _value(value: float | None, said: str | None) -> str:
    return number(value) if value is not None else text(said, 40) if said is not None else "—"


def _course(figure: figures.Figure) -> str:
    """Which way it went, and how far: a block for each doubling from one percent on."""
    mark = figures.MARKS[figure.course]
    far = abs(figure.relative or 0.0)
    blocks = next((n for n in range(5) if far < 0.01 * 4**n), 5) if far else 0
    return f"{mark} {figure.course}" + (f" {'▮' * blocks}" if blocks else "")


def _curves(found: Report) -> Part:
    rows = []
    for pair, name, series in figures.curves(found):
        low, high = figures.bounds(series)
        for side, one in zip((found.base, found.head), series, strict=True):
            if one is not None:
                drawn = sparkline(one, (low, high))
                said = f"{one.count:,} values, {number(one.low)} to {number(one.high)}, last {number(one.last)}"
                rows.append(table_row([text(pair.name, 40), text(name), text(side.name, 40), drawn, said]))
    return Part(
        "Curves", rows[:_ROWS], table_head(["run", "metric", "", "", ""], 99), "curves", max(0, len(rows) - _ROWS)
    )


# ── why, and what differs ────────────────────────────────────────────────────────────────────────────────


def _causes(found: Report) -> Part:
    rows = []
    several = len(found.pairs) > 1
    for pair in found.pairs:
        causes = pair.comparison.causes if pair.comparison is not None else ()
        lines = [
            f"1. **{cause.kind}**: {text(cause.what, _TEXT)}"
            + (f" — {text(cause.evidence, _TEXT)}" if cause.evidence else "")
            for cause in causes[:_FEW]
        ]
        lines += [f"1. and {len(causes) - _FEW} more"] if len(causes) > _FEW else []
        title = [f"**{text(pair.name)}**{_where(pair)}{_moved(pair)}", ""] if several else []
        rows += ["\n".join([*title, *lines, ""])] if lines else []
    return Part("Why, most likely first", rows, what="runs")


def _where(pair: Pair) -> str:
    return f" ({text(pair.source)})" if pair.source else ""


def _moved(pair: Pair) -> str:
    equal = pair.comparison.equal if pair.comparison is not None else None
    return ": the metrics are the same; what differs" if equal else ""


def _parameters(found: Report) -> Part:
    rows = [
        table_row([text(pair.name, 40), text(name), *(text(v, 60) if v is not None else "—" for v in values)])
        for pair in found.pairs
        if pair.comparison is not None
        for name, values in pair.comparison.params.items()
    ]
    rows += [
        table_row([text(one.file, 40), text(one.name), *(text(v, 60) if v is not None else "—" for v in one.texts)])
        for one in found.params
    ]
    head = table_head(["run", "parameter", text(found.base.name, 40), text(found.head.name, 40)], 99)
    return Part("Parameters", rows[:_ROWS], head, "parameters", max(0, len(rows) - _ROWS))


def _data(found: Report) -> Part:
    rows = ["\n".join(_data_lines(change)) for change in found.data[:_ROWS]]
    return Part("Data", rows, what="data sets", more=len(found.data) - len(rows))


def _data_lines(change: DataChange) -> Iterator[str]:
    name = f"{text(change.path)} → {text(change.other)}" if change.other else text(change.path)
    sizes = " → ".join(dict.fromkeys(map(size, change.sizes)))
    table = change.table
    said = [_STATES.get(change.state, change.state), sizes, *figures.rows_words(change)]
    words = table_words(change)
    yield f"- **{name}**: {', '.join(said)}" + (f"; {text(words, _TEXT)}" if words else "")
    inner = [f"{text(row.note or 'file')}: {text(row.name)}" for row in change.files]
    inner += [f"{text(r.name)}: {' → '.join(text(v or '—') for v in r.values)}" for r in change.keys]
    inner += [text(change.note, _TEXT)] if change.note else []
    yield from (f"  - {line}" for line in inner[:_FEW])
    if len(inner) > _FEW:
        yield f"  - and {len(inner) - _FEW} more"
    columns = table.columns if table is not None else ()
    if columns:
        yield ""
        yield "  " + table_head(["column", "", "mean", "median", "5 % to 95 %", "distance"], 2).replace("\n", "\n  ")
        for column in columns[:_FEW]:
            numeric = "q5" in column.stats
            stats = [_was_is(column.stats.get(key)) for key in ("mean", "q50")] if numeric else ["", ""]
            # a change of type, or categories: their shares in words; of numbers the figures stand in the row
            words = f"{column.state}: {text(column.what, 120)}" if column.what and not numeric else column.state
            far = f"{column.distance:.2f}" if column.distance is not None else ""
            yield "  " + table_row([text(column.name, 40), words, *stats, _spread(column.stats), far])
        if len(columns) > _FEW:
            yield "  " + table_row([f"and {len(columns) - _FEW} more", "", "", "", "", ""])
        yield ""


def _spread(stats: Mapping[str, tuple[float | None, float | None]]) -> str:
    """Where nine tenths of the values lie, on either side."""
    if "q5" not in stats or "q95" not in stats:
        return ""
    ends = list(zip(stats["q5"], stats["q95"], strict=True))
    return " → ".join(dict.fromkeys(" … ".join(f"{v:.4g}" if v is not None else "—" for v in end) for end in ends))


def _was_is(pair: Sequence[float | None] | None) -> str:
    return " → ".join(dict.fromkeys(f"{v:.4g}" if v is not None else "—" for v in pair)) if pair else ""


def _environment(found: Report) -> Part:
    rows = [
        table_row([text(p.name), *(text(v) if v is not None else "—" for v in p.values), p.role])
        for p in found.environment[:_ROWS]
    ]
    head = table_head(["package", text(found.base.name, 40), text(found.head.name, 40), ""], 99)
    return Part("Environment", rows, head, "packages", len(found.environment) - len(rows))


def _pins(found: Report) -> Part:
    rows = []
    for pins in found.pins:
        lines = [f"- **{text(pins.path)}**: {pins.state}"]
        listed = [f"{text(r.name)}: {' → '.join(text(v) if v else '—' for v in r.values)}" for r in pins.packages]
        more = len(listed) - _LINES + pins.more
        lines += [f"  - {line}" for line in listed[:_LINES]] + ([f"  - and {more} more"] if more > 0 else [])
        rows.append("\n".join(lines))
    return Part("Declared environment", rows, what="files")


def _pipeline(found: Report) -> Part:
    words = {"run": "run anew"}
    rows = []
    for stage in found.stages:
        name = text(stage.name if stage.file == "dvc.yaml" else f"{stage.file}:{stage.name}")
        said = ", ".join(text(one) for one in stage.what)
        rows.append(f"- **{name}** {words.get(stage.state, stage.state)}" + (f": {said}" if said else ""))
    return Part("Pipeline", rows, what="stages")


def _graph(found: Report) -> Part:
    """What GitHub and GitLab draw of a block of Mermaid."""
    rows = (
        [fenced(found.mermaid.splitlines(), "mermaid")] if found.mermaid and found.mermaid.count("\n") < _ROWS else []
    )
    return Part("The pipeline as it is", rows)


def _cells(found: Report) -> Part:
    rows = []
    for book in found.notebooks:
        note = f": {text(book.note)}" if book.note else ""
        rows.append(f"**{text(book.path)}** {book.state}{note}\n")
        rows += [_cell(cell) for cell in book.cells]
    return Part("Cells", rows, what="cells")


def _cell(cell: CellChange) -> str:
    more = [f"… {len(cell.diff) - _LINES} more lines"] if len(cell.diff) > _LINES else []
    block = fenced([*cell.diff[:_LINES], *more])
    kind = "cell" if cell.kind == "code" else f"{cell.kind} cell"
    if len(cell.diff) < _FOLDED:
        return f"{kind} {cell.number} {cell.state}: {text(cell.first)}\n\n{block}\n"
    head = f"{kind} {cell.number} {cell.state} ({len(cell.diff)} lines): {in_html(cell.first)}"
    return f"<details><summary>{head}</summary>\n\n{block}\n\n</details>\n"


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _runs(found: Report) -> Part:
    rows = [
        _run(pair, side, run)
        for pair in found.pairs
        for side, run in ((found.base, pair.base), (found.head, pair.head))
        if run is not None
    ]
    head = table_head(["run", "of", "id", "started (UTC)", "by", "code", "reproduced"], 99)
    return Part("Runs", rows[: _FEW * 5], head, "runs", max(0, len(rows) - _FEW * 5))


def _run(pair: Pair, side: Commit, run: Told) -> str:
    number_of = text(run.run_id[:8])
    return table_row(
        [
            text(run.title, 40) + _where(pair),
            text(side.name, 40),
            f"[{number_of}](<{link(run.url)}>)" if run.url else number_of,
            text((run.start or "—")[:16].replace("T", " ")),
            text(run.user or "—", 40),
            text(code_words(run)),
            text(run.verdict or "not yet"),
        ]
    )


def link(url: str) -> str:
    """An address between ``<`` and ``>``, of which nothing can end it."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "<>\\ |\"'`" else "%20" for c in url)


def code_words(run: Told) -> str:
    """How the run's code stands to its side, and what speaks against reproducing it."""
    behind = f"{counted(run.behind, 'commit')} before it" if run.behind else "the commit's"
    flaws = [f"lacks {run.left_out}"] if run.left_out else []
    flaws += [f"cells {run.order}"] if run.order not in ("", "clean") else []
    flaws += [f"data {run.data_state}"] if run.data_state not in ("", "clean", "none") else []
    return ", ".join([behind, *flaws])


def _notes(found: Report) -> Part:
    notes = [*found.notes]
    for pair in found.pairs:
        if pair.comparison is not None:
            notes += [f"{pair.name}: {note}" for note in pair.comparison.notes]
    return Part("Notes", [f"- {text(note, _TEXT)}" for note in notes[:_ROWS]], what="notes")
