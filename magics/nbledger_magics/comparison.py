"""A comparison as a notebook shows it: the causes, then what differs by kind; charts are drawn without any script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands import compare_text as words
from nbledger.commands.answer import Answer
from nbledger.commands.text import clip, number, numeric
from nbledger.core import direction
from nbledger.core.differences import Cause, CodeChange, Comparison, DataChange, Series
from nbledger.core.wording import relative, signed
from nbledger_magics import child
from nbledger_magics.display import Shown, _box, _facts, escape

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_ROWS, _LINES, _AXES, _LINES_DRAWN, _NAMED = 50, 80, 8, 60, 12

_STYLE = """<style>
.nbledger .part { margin: 8px 0 2px; font-weight: 600 }
.nbledger .cause { margin: 2px 0 2px 2.2em; text-indent: -2.2em }
.nbledger .cause > div { text-indent: 0 }
.nbledger .kind { font-weight: 600; color: var(--jp-info-color1, #2a8bc0) }
.nbledger .rank { display: inline-block; width: 1.6em; text-align: right; margin-right: 0.6em; text-indent: 0 }
.nbledger details { margin: 2px 0 }
.nbledger summary { cursor: pointer }
.nbledger.nbledger pre { font-family: var(--jp-code-font-family, ui-monospace, monospace); font-size: 0.92em; margin: 2px 0 6px 1.2em;
  padding: 0; overflow-x: auto; background: none; color: inherit; white-space: pre; line-height: 1.4 }
.nbledger.nbledger table td.best { font-weight: 600; color: var(--jp-success-color1, #2e8b57) }
.nbledger svg { display: block; color: var(--jp-ui-font-color1, inherit); max-width: 100% }
.nbledger td svg { display: inline-block; vertical-align: middle }
</style>"""


def proven(session: Session, split: Sequence[str]) -> Any:
    """``%compare_runs A B --prove --yes``: the executions are another process's work; their number is said without --yes."""
    found = child.asked(session, list(split), Comparison)
    return None if found is None else Shown(Answer(found, words.comparison(found)))


def html(found: Comparison) -> str:
    """The whole comparison as one piece of markup."""
    pair = len(found.runs) == 2
    parts = [f"<div>{' ↔ '.join(f'<b>{_name(run.title, 60)}</b>' for run in found.runs)}</div>"]
    parts += _proof(found)
    parts += _causes(found) if pair else []
    parts += [*_metrics(found), *_chart(found), *_parameters(found)]
    parts += [*_data(found), *_code(found), *_order(found), *_surroundings(found)]
    parts += [f'<div class="soft">{escape(clip(note, 300))}</div>' for note in found.notes]
    return _STYLE + _box("".join(parts))


def _name(text: str, width: int = 40) -> str:
    return f"<bdi>{escape(clip(text, width))}</bdi>"


def _part(title: str) -> str:
    return f'<div class="part">{escape(title)}</div>'


def _proof(found: Comparison) -> Iterator[str]:
    """The shares of each metric's difference that were found by executing."""
    if found.proof is None:
        return
    yield _part(f"proved by {found.proof.executions} executions")
    for one in found.proof.attributions:
        whole = one.recorded[1] - one.recorded[0]
        shares = [(factor.name, one.shares.get(factor.name, 0.0), factor.what) for factor in found.proof.factors]
        shares += [("unexplained", one.unexplained, "executing again did not show it")] if one.unexplained else []
        rows: list[list[Entry]] = [
            [
                ("", _name(name)),
                ("num", escape(signed(value))),
                ("num", escape(words.share(value, whole))),
                ("wrap", escape(clip(what, 200))),
            ]
            for name, value, what in shares
        ]
        yield f"<div>{_name(one.metric)} {escape(number(one.recorded[0]))} → {escape(number(one.recorded[1]))}</div>"
        yield _table(["factor", "difference", "share", ""], rows)
    yield from (f'<div class="soft">{escape(clip(note, 300))}</div>' for note in found.proof.notes)


def _causes(found: Comparison) -> Iterator[str]:
    if not found.causes:
        return
    yield _part(words.why(found))
    for place, cause in enumerate(found.causes[:_ROWS], 1):
        yield _cause(place, cause)


def _cause(place: int, cause: Cause) -> str:
    evidence = f'<div class="soft">{escape(clip(cause.evidence, 300))}</div>' if cause.evidence else ""
    return (
        f'<div class="cause"><span class="rank soft">{place}.</span><span class="kind">{escape(cause.kind)}</span> '
        f"{escape(clip(cause.what, 400))}{evidence}</div>"
    )


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────

Entry = tuple[str, str]
"""(class names, markup) of one entry of a table"""


def _table(heads: Sequence[str], rows: Iterable[Sequence[Entry]], left: int = 0) -> str:
    listed = [list(row) for row in rows]
    right = [bool(listed) and all("num" in row[i][0] for row in listed) for i in range(len(heads))]
    head = "".join(f"<th{_class('num' * r)}>{escape(clip(h, 40))}</th>" for h, r in zip(heads, right, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{_class(kind)}>{inner}</td>" for kind, inner in row) + "</tr>" for row in listed
    )
    more = f'<div class="soft">and {left:,} more</div>' if left > 0 else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _class(kind: str) -> str:
    right = ' align="right"' if "num" in kind else ""
    return (f' class="{kind}"' if kind else "") + right


def _titles(found: Comparison) -> list[str]:
    return [run.title for run in found.runs]


def _metrics(found: Comparison) -> Iterator[str]:
    if not found.metrics:
        return
    pair = len(found.runs) == 2
    metrics, left = words.shown_metrics(found)
    series = {name for name in found.series if name in metrics}
    heads = ["metric", *_titles(found), *(["difference", "relative"] if pair else []), *([""] if series else [])]
    rows: list[list[Entry]] = []
    for name, values in list(metrics.items())[:_ROWS]:
        best = _best(name, values)
        row = [("", _name(name))]
        row += [
            ("num best" if i == best else "num", escape(number(v)) if v is not None else "")
            for i, v in enumerate(values)
        ]
        if pair:
            delta = found.deltas.get(name)
            row += [("num", escape(signed(delta.absolute)) if delta else "")]
            row += [("num soft", escape(relative(delta.relative)) if delta else "")]
        if series:
            row.append(("", "".join(_spark(one) for one in found.series.get(name, ()) if one is not None)))
        rows.append(row)
    yield _table(heads, rows, len(metrics) - _ROWS)
    yield from (f'<div class="soft">{escape(line)}</div>' for line in left)


def _best(name: str, values: Sequence[float | None]) -> int | None:
    """The side with the best value, where the metric's name says which way is better and the values differ."""
    known = [(v, i) for i, v in enumerate(values) if v is not None and math.isfinite(v)]
    way = direction.of(name)
    if len(known) < 2 or way == direction.UNKNOWN or len({v for v, _ in known}) == 1:
        return None
    return min(known)[1] if way == direction.LOWER else max(known, key=lambda k: k[0])[1]


def _parameters(found: Comparison) -> Iterator[str]:
    if found.params:
        rows = [
            [("", _name(name)), *_values(found, "parameter", values)]
            for name, values in list(found.params.items())[:_ROWS]
        ]
        yield _table(["parameter", *_titles(found)], rows, len(found.params) - _ROWS)


def _values(found: Comparison, kind: str, values: Sequence[str | None]) -> list[Entry]:
    """An entry for each side; a dash for none, a question mark where nobody recorded that kind of thing."""
    return [
        ("soft", blank) if v is None else ("num" if numeric(v) and v else "", _name(v))
        for v, blank in zip(values, found.blanks(kind), strict=True)
    ]


def _ids(found: Comparison, kind: str, values: Sequence[str | None]) -> list[Entry]:
    """The same, of digests."""
    return [("id", _name(v[:8]) if v else blank) for v, blank in zip(values, found.blanks(kind), strict=True)]


def _data(found: Comparison) -> Iterator[str]:
    if not found.data:
        return
    if len(found.runs) > 2:
        rows = [[("", _name(c.path, 80)), *_ids(found, "data", c.values)] for c in found.data]
        yield _table(["data", *_titles(found)], rows[:_ROWS], len(rows) - _ROWS)
        return
    yield _part("data")
    for change in found.data[:_ROWS]:
        yield _change_of_data(change)


def _change_of_data(change: DataChange) -> str:
    first, *rest = words.data_lines(change)
    if not rest:
        return f"<div>{escape(first)}</div>"
    lines = "".join(f'<div class="soft" style="padding-left: 1.2em">{escape(line.strip())}</div>' for line in rest)
    return f"<details><summary>{escape(first)}</summary>{lines}</details>"


def _code(found: Comparison) -> Iterator[str]:
    if not found.code:
        return
    if len(found.runs) > 2:
        rows = [[("", _name(c.where, 80)), *_ids(found, "code", c.values)] for c in found.code]
        yield _table(["code", *_titles(found)], rows[:_ROWS], len(rows) - _ROWS)
        return
    yield _part("code")
    for change in found.code[:_ROWS]:
        yield _change_of_code(change)


def _change_of_code(change: CodeChange) -> str:
    head = f"{_name(change.where, 120)}: {escape(change.words)}"
    if not change.diff:
        return f"<div>{head}</div>"
    lines = "\n".join(_diff_line(line) for line in change.diff[:_LINES])
    more = f"\n… {len(change.diff) - _LINES} more lines" if len(change.diff) > _LINES else ""
    shown = " open" if change.needed and change.effect not in ("layout", "shows") else ""
    return f"<details{shown}><summary>{head}</summary><pre>{lines}{more}</pre></details>"


def _diff_line(line: str) -> str:
    kind = {"+": "good", "-": "bad", "@": "soft"}.get(line[:1])
    text = escape(clip(line, 200))
    return f'<span class="{kind}">{text}</span>' if kind else text


def _order(found: Comparison) -> Iterator[str]:
    if found.order:
        yield _part("order of cells")
    for change in found.order:
        evidence = f' <span class="soft">{escape(clip(change.evidence, 200))}</span>' if change.evidence else ""
        yield f"<div>{escape(clip(change.what, 300))}{evidence}</div>"


def _surroundings(found: Comparison) -> Iterator[str]:
    for head, listed in (("seed", found.seeds), ("hardware", found.hardware)):
        if listed:
            kind = "environment" if head == "hardware" else head
            rows = [[("", _name(r.name)), *_values(found, kind, r.values)] for r in listed[:_ROWS]]
            yield _table([head, *_titles(found)], rows, len(listed) - _ROWS)
    if found.environment:
        rows = [
            [("", _name(p.name)), *_values(found, "environment", p.values), ("soft", escape(p.role))]
            for p in found.environment[:_ROWS]
        ]
        yield _table(["environment", *_titles(found), ""], rows, len(found.environment) - _ROWS)


# ── charts ───────────────────────────────────────────────────────────────────────────────────────────────


def _spark(series: Series, width: int = 72, height: int = 16) -> str:
    """A series as a small line; gaps where values are no numbers."""
    reach = (series.high - series.low) or 1.0
    step = width / max(1, len(series.shown) - 1)
    runs: list[list[str]] = [[]]
    for place, value in enumerate(series.shown):
        if math.isfinite(value) and math.isfinite(reach):
            runs[-1].append(f"{place * step:.1f},{height - 1 - (height - 2) * (value - series.low) / reach:.1f}")
        elif runs[-1]:
            runs.append([])
    lines = "".join(
        f'<polyline points="{" ".join(points)}" fill="none" stroke="currentColor" stroke-width="1"/>'
        for points in runs
        if points
    )
    title = (
        f"{series.count:,} values from {number(series.low)} to {number(series.high)}, the last {number(series.last)}"
    )
    return f'<svg width="{width}" height="{height}" role="img"><title>{escape(title)}</title>{lines}</svg> '


def _chart(found: Comparison) -> Iterator[str]:
    """Parallel coordinates of three runs or more: an axis for each parameter and metric that differs, a line a run."""
    axes = _axes(found)
    if len(found.runs) < 3 or len(axes) < 2:
        return
    width, height, top, side = 130 * (len(axes) - 1) + 160, 210, 34, 80
    places = [side + 130 * i for i in range(len(axes))]
    parts = [f"<title>{len(found.runs)} runs, an axis for each of {len(axes)} values that differ</title>"]
    for number_of_run, run in enumerate(found.runs[:_LINES_DRAWN]):
        points = [
            f"{x},{top + (height - 2 * top) * (1 - axis.share(number_of_run)):.1f}"
            for x, axis in zip(places, axes, strict=True)
            if axis.known(number_of_run)
        ]
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{_colour(number_of_run)}" stroke-width="1.8">'
            f"<title>{escape(clip(run.title, 60))}</title></polyline>"
        )
    for x, axis in zip(places, axes, strict=True):
        parts.append(
            f'<line x1="{x}" x2="{x}" y1="{top}" y2="{height - top}" stroke="currentColor" stroke-opacity="0.4"/>'
        )
        for y, text in ((14, axis.name), (28, axis.high), (height - top + 14, axis.low)):
            weight = ' font-weight="600"' if text is axis.name else ""
            parts.append(
                f'<text x="{x}" y="{y}" text-anchor="middle" font-size="11" fill="currentColor"{weight}>'
                f"{escape(clip(text, 18))}</text>"
            )
    yield f'<div class="scroll"><svg width="{width}" height="{height}" role="img">{"".join(parts)}</svg></div>'
    if len(found.runs) <= _NAMED:
        swatch = '<span style="color: {}">━</span> {}'
        yield f"<div>{_facts(swatch.format(_colour(i), _name(run.title)) for i, run in enumerate(found.runs))}</div>"


# Okabe and Ito's colours, which all can tell apart, without those that a white or a black page swallows.
_COLOURS = ("#0f8fd6", "#e08a00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")


def _colour(run: int) -> str:
    """The line of a run; beyond the first few, hues at golden-angle distances."""
    return _COLOURS[run] if run < len(_COLOURS) else f"hsl({round(run * 137.5) % 360},60%,50%)"


class _Axis:
    """One axis: where each run stands on it, from 0 to 1; names stand at even distances."""

    def __init__(self, name: str, values: Sequence[float | str | None]) -> None:
        self.name = name
        if all(v is None or isinstance(v, float) for v in values):
            known = [v for v in values if isinstance(v, float) and math.isfinite(v)]
            low, high = min(known, default=0.0), max(known, default=0.0)
            self._shares = [
                ((v - low) / (high - low) if high > low else 0.5) if isinstance(v, float) and math.isfinite(v) else None
                for v in values
            ]
            self.low, self.high = number(low), number(high)
        else:
            names = sorted({str(v) for v in values if v is not None})
            last = max(1, len(names) - 1)
            self._shares = [names.index(str(v)) / last if v is not None else None for v in values]
            self.low, self.high = names[0], names[-1]

    def known(self, run: int) -> bool:
        return self._shares[run] is not None

    def share(self, run: int) -> float:
        return self._shares[run] or 0.0


def _axes(found: Comparison) -> list[_Axis]:
    axes = []
    for name, values in found.params.items():
        if len(set(values)) > 1:
            numbers = all(v is None or (numeric(v) and v) for v in values)
            axes.append(_Axis(name, [float(v) if numbers and v is not None else v for v in values]))
    axes = axes[: _AXES // 2]
    metrics = [
        _Axis(k, [None if x is None else float(x) for x in v]) for k, v in found.metrics.items() if len(set(v)) > 1
    ]
    return axes + metrics[: _AXES - len(axes)]
