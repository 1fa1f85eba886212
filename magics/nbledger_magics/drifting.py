"""``%ledger drift`` as a notebook shows it: the verdict, why, and each column with how far it moved."""

from __future__ import annotations

from nbledger.commands import drift_text as words
from nbledger.commands.text import clip, number
from nbledger.core.drift import VALUES, Column
from nbledger.core.driftrecord import DRIFT, UNKNOWN, Drift, Side
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape
from nbledger_magics.tables import lines, marked, notes, table, word

_BAR = 60
"""Pixels of a bar at distance 1."""

_STYLE = """<style>
.nbledger .bar { display: inline-block; width: 60px; height: 8px; vertical-align: middle; margin-right: 6px;
  background: var(--jp-layout-color2, #8883) }
.nbledger .bar > i { display: block; height: 8px; background: var(--jp-ui-font-color2, #888) }
.nbledger .bar > i.moved { background: var(--jp-error-color1, #d9463b) }
</style>"""


def html(found: Drift) -> str:
    """Headline, sides, columns, figures, and where the report is."""
    alias = f' <span class="soft">@{word(found.alias, 30)}</span>' if found.alias else ""
    name = f"<b>{word(f'{found.model} version {found.version}')}</b>{alias}"
    kind = {DRIFT: "bad", UNKNOWN: "warn"}.get(found.verdict, "good")
    parts = [
        marked(kind, f'{name}: <span class="{kind}">{word(found.verdict)}</span>'),
        lines(found.reasons, "soft" if kind == "good" else kind),
        table(
            "",
            ("", "data", "rows", "md5"),
            [_side(word(found.reference.how or "trained on"), found.reference), _side("compared", found.data)],
            (2,),
        ),
        table(
            f"{len({c.name for c in found.columns})} columns tested",
            ("column", "kind", "distance", "adjusted p", "test", ""),
            [_column(column) for column in found.columns],
        ),
        table(
            "performance",
            ("figure", f"on {clip(found.reference.path, 60)}", "on the new data"),
            [(word(k, 40), _known(before), _known(now)) for k, (before, now) in found.performance.items()],
            (1, 2),
        ),
        *(
            marked("good" if c.holds else "bad", f"{word(c.text)} {escape(' against '.join(map(number, c.values)))}")
            for c in found.clauses
        ),
        lines([f.text for f in found.findings if f.text not in found.reasons], "warn"),
        notes(found.notes),
    ]
    if found.run_id:
        report = found.artifacts[0] if found.artifacts else ""
        parts.append(
            f'<div class="soft">report: {word(report)} of the run <span class="id">{escape(found.run_id[:12])}</span></div>'
        )
    if found.loop:
        parts += [f"<div>{word(line.strip(), 240)}</div>" for line in words.loop(found.loop) if line]
    return _STYLE + box("".join(parts))


def _side(label: str, side: Side) -> tuple[str, ...]:
    rows = f"{side.rows:,}" + (f" ({side.compared:,} compared)" if side.compared < side.rows else "")
    return label, word(side.path), escape(rows), f'<span class="id">{escape(clip(side.md5, 10))}</span>'


def _column(column: Column) -> tuple[str, ...]:
    name = column.name if column.of == VALUES else f"{column.name} ({column.of})"
    wide = round(_BAR * min(max(column.distance, 0.0), 1.0))
    moved = ' class="moved"' if column.drifted else ""
    sign = '<span class="bad">✗</span> ' if column.drifted else ""
    bar = f'<span class="bar"><i{moved} style="width: {wide}px"></i></span>{column.distance:.2f}'
    return (
        sign + word(name, 40),
        escape(column.kind),
        bar,
        f"{column.adjusted:.2g}",
        word(column.test, 30),
        word(column.words, 100),
    )


def _known(value: float | None) -> str:
    return '<span class="soft">?</span>' if value is None else escape(number(value))
