"""A report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. All text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from nbledger.core import markdown
from nbledger.core import report_charts as charts
from nbledger.core import report_figures as figures
from nbledger.core.causes_data import table_words
from nbledger.core.differences import DataChange
from nbledger.core.report import CellChange, Commit, GateView, Report
from nbledger.core.report_charts import escape
from nbledger.core.report_markdown import code_words, link
from nbledger.core.report_style import GUEST, PAGE, WITHIN
from nbledger.core.wording import counted, relative

_MOST, _LINES = 1_000, 400
_STATES = {"added": "added", "removed": "removed", "unknown": "contents not known"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(found: Report) -> str:
    """The whole report; parts with nothing to say are left out."""
    title = escape(f"{found.head.name} against {found.base.name}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">\n'
        f'<style>{PAGE}</style></head>\n<body><main class="{WITHIN}">\n{_body(found)}\n</main></body></html>\n'
    )


def fragment(found: Report) -> str:
    """The same to stand in a notebook, in its theme; its headings are none of the notebook's."""
    body = _body(found)
    for tag in ("h1", "h2", "h3"):
        body = body.replace(f"<{tag}>", f'<div class="{tag}">').replace(f"</{tag}>", "</div>")
    return f'<style>{GUEST}</style><div class="{WITHIN}">\n{body}\n</div>'


def _body(found: Report) -> str:
    parts = [
        *_head(found),
        *_part("Gate", map(_gate, found.gates)),
        *_part("Metrics", _metrics(found)),
        *_part("Curves", _curves(found)),
        *_part("Why, most likely first", _causes(found)),
        *_part("Parameters", _parameters(found)),
        *_part("Data", map(_data, found.data[:_MOST])),
        *_part("Environment", _environment(found)),
        *_part("Pipeline", _pipeline(found)),
        *_part("Cells", _cells(found)),
        *_part("Runs", _runs(found)),
        *_part("Notes", _notes(found)),
    ]
    return "\n".join(parts)


def _name(value: object, most: int = 200) -> str:
    """A name that may be written from right to left, and leaves the direction of the rest alone."""
    return f"<bdi>{escape(value, most)}</bdi>"


def _part(title: str, rows: Iterable[str]) -> Iterator[str]:
    body = "\n".join(row for row in rows if row)
    if body:
        yield f"<section><h2>{title}</h2>\n{body}\n</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of markup; ``numbers``: columns that stand to the right."""
    if not rows:
        return ""
    kinds = [' class="num"' if at in numbers else "" for at in range(len(heads))]
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(heads, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>"
        for row in rows[:_MOST]
    )
    more = f'<p class="soft">and {len(rows) - _MOST:,} more</p>' if len(rows) > _MOST else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _head(found: Report) -> Iterator[str]:
    count = counted(found.commits, "commit")
    yield f"<h1>{_name(found.head.name)} <span class='soft'>against</span> {_name(found.base.name)}</h1>"
    yield f"<p>{_commit(found.head)} against {_commit(found.base)}, {count}</p>"
    told = [f"<li>{_verdict(gate)}</li>" for gate in found.gates]
    told += [f"<li><b>⚠</b> {_name(lack, 500)}</li>" for lack in found.lacks]
    told += [f"<li><b>{kind}</b>: {escape(said)}</li>" for kind, said in figures.headline(found)]
    yield f"<ul class='told'>{''.join(told) or '<li>nothing that is known of both differs</li>'}</ul>"


def _commit(side: Commit) -> str:
    at = f" title='{escape(side.at)}'" if side.at else ""
    return f"<code{at}>{escape(side.commit[:10])}</code>" + (f" {_name(side.subject)}" if side.subject else "")


# ── gates and figures ────────────────────────────────────────────────────────────────────────────────────


def _verdict(gate: GateView) -> str:
    if gate.held:
        is_it = f"<b class='better'>is</b> {_name(gate.alias)} of {_name(gate.model)}"
        return f"{_name(gate.name)} {is_it} (version {escape(gate.held)})"
    word = "<b class='better'>passes</b>" if gate.passed else "<b class='worse'>does not pass</b>"
    named = f" {_name(gate.gate)}" if gate.gate else ""
    return f"{_name(gate.name)} {word} the gate{named} of {_name(gate.model)}"


def _gate(gate: GateView) -> str:
    rows = [f"<li>{escape(r.note)} {_name(r.name)}: {_against(r.values)}</li>" for r in gate.clauses]
    rows += [f"<li class='worse'>{escape(reason)}</li>" for reason in figures.reasons(gate)]
    shown = gate.condition and not gate.held
    demands = f", which demands <code>{escape(gate.condition)}</code>" if shown else ""
    return f"<p>{_verdict(gate)}{demands}</p>" + (f"<ul>{''.join(rows)}</ul>" if rows else "")


def _against(values: Sequence[str | None]) -> str:
    return " against ".join(escape(value) for value in values if value is not None)


def _metrics(found: Report) -> Iterator[str]:
    listed = figures.figures(found)
    whose = len({figure.whose for figure in listed}) > 1
    said = figures.unlike(found)
    if said and listed:
        yield f"<p><b>⚠</b> {_name(said, 500)}</p>"
    looked, quiet = figures.apart(listed)
    yield _figures(found, looked, whose=whose)
    if quiet:
        table = _figures(found, quiet, whose=whose)
        yield f"<details><summary>{len(quiet):,} more are the same</summary>\n{table}</details>"


def _figures(found: Report, listed: Sequence[figures.Figure], *, whose: bool) -> str:
    rows = []
    for figure in listed:
        mark = f"<span class='{figure.course}'>{figures.MARKS[figure.course]} {figure.course}</span>"
        values = [_value(v, t) for v, t in zip(figure.values, figure.texts, strict=True)]
        delta = f"{figure.absolute:+.6g}" if figure.absolute else ""
        row = [_name(figure.name), *values, delta, relative(figure.relative), charts.change(figure), mark]
        rows.append([_name(figure.whose), *row] if whose else row)
    at = 1 if whose else 0
    heads = [*(["run"] if whose else []), "metric", *_titles(found), "difference", "relative", "", ""]
    return _table(heads, rows, range(at + 1, at + 5))


def _titles(found: Report) -> list[str]:
    return [_name(side.name, 40) for side in (found.base, found.head)]


def _value(value: float | None, said: str | None) -> str:
    return f"{value:.6g}" if value is not None else escape(said) if said is not None else "—"


def _curves(found: Report) -> Iterator[str]:
    drawn = []
    for pair, name, series in figures.curves(found):
        svg = charts.course(series, f"{name} of {pair.name}: the base dashed, the head whole")
        if svg:
            drawn.append(
                f"<figure>{svg}<figcaption>{_name(name, 60)} <span class='soft'>{_name(pair.name, 60)}</span></figcaption></figure>"
            )
    if drawn:
        yield f"<p class='soft'>dashed: {_titles(found)[0]}; whole: {_titles(found)[1]}</p><div class='drawn'>{''.join(drawn[:_MOST])}</div>"


# ── why, and what differs ────────────────────────────────────────────────────────────────────────────────


def _causes(found: Report) -> Iterator[str]:
    for pair in found.pairs:
        causes = pair.comparison.causes if pair.comparison is not None else ()
        items = [
            f"<li><b>{escape(cause.kind)}</b> {escape(cause.what)}"
            + (f"<div class='soft'>{escape(cause.evidence)}</div>" if cause.evidence else "")
            + "</li>"
            for cause in causes[:_MOST]
        ]
        if items:
            equal = ": the metrics are the same; what differs" if pair.comparison and pair.comparison.equal else ""
            yield f"<h3>{_name(pair.name)} <span class='soft'>{_name(pair.source)}{equal}</span></h3><ol>{''.join(items)}</ol>"


def _parameters(found: Report) -> Iterator[str]:
    rows = [
        [_name(pair.name), _name(name), *(_name(v) if v is not None else "—" for v in values)]
        for pair in found.pairs
        if pair.comparison is not None
        for name, values in pair.comparison.params.items()
    ]
    rows += [
        [_name(one.file), _name(one.name), *(_name(v) if v is not None else "—" for v in one.texts)]
        for one in found.params
    ]
    yield _table(["run", "parameter", *_titles(found)], rows)


def _data(change: DataChange) -> str:
    name = " → ".join(_name(path) for path in (change.path, change.other) if path)
    said = [_STATES.get(change.state, change.state), " → ".join(dict.fromkeys(map(markdown.size, change.sizes)))]
    table = change.table
    said += figures.rows_words(change)
    words = f"; {escape(table_words(change))}" if table is not None else ""
    lines = [f"<li>{escape(row.note or 'file')} {_name(row.name)}</li>" for row in change.files[:_MOST]]
    lines += [
        f"<li>{_name(row.name)}: {' → '.join(_name(v or '—') for v in row.values)}</li>" for row in change.keys[:_MOST]
    ]
    lines += [f"<li>{escape(change.note)}</li>"] if change.note else []
    columns = table.columns if table is not None else ()
    rows = [
        [
            _name(c.name),
            escape(c.state),
            escape(c.what),
            f"{c.distance:.2f}" if c.distance is not None else "",
            charts.spread(c),
        ]
        for c in columns
    ]
    listed = f"<ul>{''.join(lines)}</ul>" if lines else ""
    return f"<p><b>{name}</b>: {escape(', '.join(said))}{words}</p>{listed}" + _table(
        ["column", "", "", "distance", "base above, head below"], rows, (3,)
    )


def _environment(found: Report) -> Iterator[str]:
    rows = [[_name(p.name), *(_name(v) if v else "—" for v in p.values), escape(p.role)] for p in found.environment]
    yield _table(["package", *_titles(found), ""], rows)
    for pins in found.pins:
        yield f"<p><b>{_name(pins.path)}</b>: {escape(pins.state)}</p>"
        yield _table(
            ["package", *_titles(found)],
            [[_name(r.name), *(_name(v) if v else "—" for v in r.values)] for r in pins.packages],
        )


def _pipeline(found: Report) -> Iterator[str]:
    words = {"run": "run anew"}
    rows = [
        [_name(stage.name), escape(words.get(stage.state, stage.state)), "<br>".join(_name(one) for one in stage.what)]
        for stage in found.stages
    ]
    yield _table(["stage", "", ""], rows)


def _cells(found: Report) -> Iterator[str]:
    for book in found.notebooks:
        note = f": {escape(book.note)}" if book.note else ""
        yield f"<h3>{_name(book.path)} <span class='soft'>{escape(book.state)}{note}</span></h3>"
        yield from map(_cell, book.cells[:_MOST])


def _cell(cell: CellChange) -> str:
    kinds = {"+": "plus", "-": "minus", "@": "soft"}
    lines = [f"<span class='{kinds.get(line[:1], '')}'>{escape(line)}</span>" for line in cell.diff[:_LINES]]
    kind = "cell" if cell.kind == "code" else f"{cell.kind} cell"
    opened = " open" if len(lines) <= 20 else ""
    head = f"{escape(kind)} {cell.number} {escape(cell.state)} <span class='soft'>{_name(cell.first)}</span>"
    return f"<details{opened}><summary>{head}</summary><pre>{chr(10).join(lines)}</pre></details>"


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────


def _runs(found: Report) -> Iterator[str]:
    rows = []
    for pair in found.pairs:
        for side, run in ((found.base, pair.base), (found.head, pair.head)):
            if run is not None:
                number = f"<code>{escape(run.run_id[:8])}</code>"
                rows.append(
                    [
                        f"{_name(run.title)} <span class='soft'>{_name(pair.source)}</span>",
                        _name(side.name, 40),
                        f'<a href="{html.escape(link(run.url))}" rel="noreferrer">{number}</a>' if run.url else number,
                        escape((run.start or "—")[:16].replace("T", " ")),
                        _name(run.user or "—", 60),
                        escape(code_words(run)),
                        escape(run.verdict or "not yet"),
                    ]
                )
    yield _table(["run", "of", "id", "started (UTC)", "by", "code", "reproduced"], rows)


def _notes(found: Report) -> Iterator[str]:
    notes = [*found.notes]
    notes += [f"{p.name}: {note}" for p in found.pairs if p.comparison is not None for note in p.comparison.notes]
    if notes:
        yield f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes[:_MOST])}</ul>"
