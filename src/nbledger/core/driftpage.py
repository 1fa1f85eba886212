"""The report of a comparison as one HTML file that fetches nothing; names and values in it are text, whatever they hold."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from nbledger.core.drift import VALUES, Column
from nbledger.core.driftrecord import DRIFT, UNKNOWN, Drift, Side

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --bad: #ef9a9a; --good: #a5d6a7; --warn: #ffcc80; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td, li { overflow-wrap: anywhere; } .bad { color: var(--bad); font-weight: 600; } .good { color: var(--good); font-weight: 600; } .warn { color: var(--warn); font-weight: 600; } .quiet { opacity: .75; }
td .bad { white-space: nowrap; }
"""

_EXPLAINED = (
    "A column has drifted if its p-value, adjusted by Holm's method over all tests, is below the threshold and the distance of "
    "the distributions matters."
)


def page(found: Drift, evidently: str = "") -> str:
    """The report; ``evidently`` is the name of Evidently's own page beside it, if there is one."""
    mood = {DRIFT: "bad", UNKNOWN: "warn"}.get(found.verdict, "good")
    subject = f"{found.model} version {found.version}" + (f" ({found.alias})" if found.alias else "")
    parts = [
        f"<h1>{_t(subject)}: <span class='{mood}'>{_t(found.verdict)}</span></h1>",
        _list(found.reasons),
        _table(
            ("", "path", "hash", "rows"),
            [_side(found.reference.how or "trained on", found.reference), _side("compared with", found.data)],
            numbers=(3,),
        ),
        _performance(found),
        "<h2>Columns</h2>" if found.columns else "",
        _table(
            ("column", "", "test", "p", "p (Holm)", "threshold", "distance", "what moved"),
            [_column(column) for column in found.columns],
            numbers=(3, 4, 5, 6),
        )
        if found.columns
        else "",
        "<h2>Also</h2>" if found.findings or found.notes else "",
        _list((*(finding.text for finding in found.findings), *found.notes)),
        f"<p><a href='{_t(evidently)}'>The distributions, drawn by Evidently</a></p>" if evidently else "",
        f"<p class='quiet'>{_EXPLAINED} {_t(found.at)}, {_t(found.by)}.</p>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_t(subject)}: {_t(found.verdict)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _t(text: str) -> str:
    shown = text if len(text) <= 300 else text[:299] + "…"
    return html.escape("".join(c if c.isprintable() else "�" for c in shown))


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_t(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _side(label: str, side: Side) -> tuple[str, ...]:
    rows = f"{side.rows:,}" + (f" ({side.compared:,} compared)" if side.compared < side.rows else "")
    return _t(label), _t(side.path), f"<code>{_t(side.md5)}</code>", rows


def _column(column: Column) -> tuple[str, ...]:
    name = _t(column.name) + ("" if column.of == VALUES else f" <span class='quiet'>({_t(column.of)})</span>")
    mark = "<span class='bad'>drift</span>" if column.drifted else ""
    role = "" if column.role in ("feature", column.name) else f" <span class='quiet'>{_t(column.role)}</span>"
    figures = (f"{value:.3g}" for value in (column.p, column.adjusted, column.threshold, column.distance))
    return name + role, mark, _t(column.test), *figures, _t(column.words)


def _performance(found: Drift) -> str:
    if not found.performance:
        return ""
    rows = [
        (_t(name), *("" if value is None else f"{value:.6g}" for value in pair))
        for name, pair in found.performance.items()
    ]
    said = [f"{c.text}: {' against '.join(f'{v:.6g}' for v in c.values)}" for c in found.clauses]
    table = _table(("figure", f"on {_t(found.reference.path)}", "on the new data"), rows, numbers=(1, 2))
    return f"<h2>Performance</h2>{table}{_list(said)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already."""

    def row(cells: Sequence[str], tag: str) -> str:
        mark = [" class='number'" if place in numbers else "" for place in range(len(cells))]
        return "".join(f"<{tag}{mark[i]}>{cell}</{tag}>" for i, cell in enumerate(cells))

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return f"<table><thead><tr>{row(heads, 'th')}</tr></thead><tbody>{body}</tbody></table>"
