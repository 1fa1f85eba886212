"""``%ledger lineage`` as a notebook shows it: where something comes from as a drawing, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from nbledger.commands import lineage_text as words
from nbledger.commands.text import clip
from nbledger.core.ancestry_graph import CODE, DATA, MODEL, RUN, Ancestry, Node
from nbledger.core.wording import size
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape
from nbledger_magics.tables import lines, moment, notes, table, word

_WIDE, _HIGH, _ACROSS, _DOWN, _EDGE = 214, 44, 52, 12, 6
_LANE = 4
"""Height that a line takes up in a column that it passes."""
_LETTERS = 27
"""Letters that a box holds."""
_MOST = 80
"""Boxes up to which there is a drawing; of more only the table."""
_SWEEPS = 4

_STYLE = """<style>
.nbledger .origins { overflow: auto; max-height: 36em; margin: 4px 0 }
.nbledger .origins svg { display: block; color: var(--jp-ui-font-color1, inherit);
  font-family: var(--jp-ui-font-family, system-ui, sans-serif) }
.nbledger .origins text { fill: currentColor; font-size: 13px }
.nbledger .origins .small { font-size: 12px; opacity: 0.75 }
.nbledger .origins rect { fill: var(--jp-layout-color1, none); stroke: var(--jp-border-color0, #8889); stroke-width: 1 }
.nbledger .origins .data rect { fill: var(--jp-layout-color2, #8882) }
.nbledger .origins .root rect { stroke: var(--jp-brand-color1, #2a8bc0); stroke-width: 2 }
.nbledger .origins .lost rect { stroke: var(--jp-error-color1, #d9463b); stroke-width: 2; stroke-dasharray: 4 3 }
.nbledger .origins path { fill: none; stroke: var(--jp-border-color0, #8889); stroke-width: 1.3 }
.nbledger .origins .head { fill: var(--jp-border-color0, #8889); stroke: none }
</style>"""


def html(found: Ancestry) -> str:
    """The summary, the drawing, the table, and what is missing."""
    drawing = _drawing(found) if 1 < len(found.nodes) <= _MOST else ""
    rows = [
        (
            escape(node.kind),
            word(node.label, 60) + _aliases(node),
            f'<span class="id">{escape(_id(node))}</span>',
            moment(node.at),
            word(node.by or "", 40),
            word(_more(node), 70),
        )
        for node in found.nodes
    ]
    parts = [
        f"<div><b>{escape(words.summary(found))}</b></div>",
        f'<div class="origins">{drawing}</div>' if drawing else "",
        table("", ("kind", "what", "id", "when (UTC)", "by", ""), rows),
        lines(found.missing, "bad"),
        notes(found.notes),
    ]
    return _STYLE + box("".join(parts))


def _aliases(node: Node) -> str:
    return f' <span class="soft">{word(", ".join(f"@{a}" for a in node.aliases), 60)}</span>' if node.aliases else ""


def _id(node: Node) -> str:
    return {RUN: node.run_id, CODE: node.commit, DATA: node.md5}.get(node.kind, "")[:8]


def _more(node: Node) -> str:
    said = [node.status if node.kind == RUN else "", size(node.size) if node.size else "", ", ".join(node.where)]
    said += ["a snapshot of changed code"] if node.dirty else []
    said += [f"MISSING: {node.missing}"] if node.missing else []
    return ", ".join(filter(None, said))


# ── the drawing ──────────────────────────────────────────────────────────────────────────────────────────


def _drawing(found: Ancestry) -> str:
    """Boxes from left (what was there first) to right, and lines between them."""
    nodes = {node.id: node for node in found.nodes}
    edges = [
        (e["from"], e["to"]) for e in found.edges if e["from"] in nodes and e["to"] in nodes and e["from"] != e["to"]
    ]
    depth = _depths(list(nodes), edges)
    lanes = {edge: _lanes(edge, depth) for edge in edges}
    columns = _columns(depth, lanes)
    places = _places(columns, nodes)
    wide = len(columns) * (_WIDE + _ACROSS) - _ACROSS + 2 * _EDGE
    high = max(_tall(column, nodes) for column in columns) + 2 * _EDGE
    paths = "".join(_line(places[a], [places[lane] for lane in lanes[a, b]], places[b]) for a, b in edges)
    boxes = "".join(_rect(node, places[node.id], root=node.id in found.roots) for node in found.nodes)
    label = escape(clip(words.summary(found), 300))
    return (
        f'<svg width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="img" aria-label="{label}">'
        f"{paths}{boxes}</svg>"
    )


def _depths(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The column of each node: right of the last one that leads to it, and what nothing leads to just left of the first one that
    it leads to; what lies in a circle stays where it was reached.
    """
    depth = dict.fromkeys(ids, 0)
    for _ in range(len(ids)):
        moved = False
        for a, b in edges:
            if depth[b] <= depth[a] < len(ids):
                depth[b], moved = depth[a] + 1, True
        if not moved:
            break
    ends = {b for _, b in edges}
    first: dict[str, int] = {}
    for a, b in edges:
        if a not in ends:
            first[a] = min(first.get(a, depth[b]), depth[b])
    depth |= {node: level - 1 for node, level in first.items()}
    column = {level: number for number, level in enumerate(sorted(set(depth.values())))}
    return {node: column[level] for node, level in depth.items()}


def _lanes(edge: tuple[str, str], depth: dict[str, int]) -> list[str]:
    """Names of the places, noted in ``depth``, where a line goes through the columns between its ends: beside their boxes,
    not behind them (K. Sugiyama et al., 1981, call them dummy vertices).
    """
    a, b = edge
    found = []
    for column in range(depth[a] + 1, depth[b]):
        depth[name := f"{a}\n{b}\n{column}"] = column
        found.append(name)
    return found


def _columns(depth: Mapping[str, int], lanes: Mapping[tuple[str, str], Sequence[str]]) -> list[list[str]]:
    """What stands in each column, from top to bottom: near what it is tied to, so that few lines cross."""
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for node, at in depth.items():
        columns[at].append(node)
    near: dict[str, list[str]] = {}
    for (a, b), between in lanes.items():
        for one, other in pairwise([a, *between, b]):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    for _ in range(_SWEEPS):
        rank = {node: row / len(column) for column in columns for row, node in enumerate(column)}
        for column in columns:
            column.sort(key=lambda node: _mean([rank[other] for other in near.get(node, ())], rank[node]))
    return columns


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _height(name: str, nodes: Mapping[str, Node]) -> int:
    return _HIGH if name in nodes else _LANE


def _tall(column: Sequence[str], nodes: Mapping[str, Node]) -> int:
    return sum(_height(name, nodes) + _DOWN for name in column) - _DOWN


def _places(columns: Sequence[Sequence[str]], nodes: Mapping[str, Node]) -> Mapping[str, tuple[float, float]]:
    """{node: its upper left corner}; short columns stand in the middle."""
    tallest = max(_tall(column, nodes) for column in columns)
    found = {}
    for at, column in enumerate(columns):
        top = _EDGE + (tallest - _tall(column, nodes)) / 2
        for name in column:
            found[name] = (_EDGE + at * (_WIDE + _ACROSS), top)
            top += _height(name, nodes) + _DOWN
    return found


def _line(start: tuple[float, float], lanes: Sequence[tuple[float, float]], end: tuple[float, float]) -> str:
    """From the right side of one box to the left side of the other, level where it passes a column, with its head."""
    x, y = start[0] + _WIDE, start[1] + _HIGH / 2
    drawn = f"M{x:g} {y:g}"
    stops = [(left, top + _LANE / 2, _WIDE) for left, top in lanes]
    for left, level, length in [*stops, (end[0], end[1] + _HIGH / 2, 0)]:
        bend = max((left - x) / 2, 20)
        drawn += f"C{x + bend:g} {y:g} {left - bend:g} {level:g} {left:g} {level:g}"
        x, y = left + length, level
        drawn += f"H{x:g}" if length else ""
    return f'<path d="{drawn}"/><path class="head" d="M{x:g} {y:g}l-7 -3.5v7z"/>'


def _rect(node: Node, place: tuple[float, float], *, root: bool) -> str:
    x, y = place
    kinds = [kind for kind, on in (("data", node.kind == DATA), ("root", root), ("lost", bool(node.missing))) if on]
    label = node.label if len(node.label) <= _LETTERS or node.kind != DATA else f"…{node.label[-_LETTERS + 1 :]}"
    below = " ".join(filter(None, [node.kind, _id(node), *(f"@{a}" for a in node.aliases if node.kind == MODEL)]))
    title = f"{node.kind} {node.label}" + (f": {node.missing}" if node.missing else "")
    return (
        f'<g class="{" ".join(kinds)}"><title>{escape(clip(title, 300))}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="{_HIGH / 2 if node.kind == DATA else 4:g}"/>'
        f'<text x="{x + 12:g}" y="{y + 19:g}">{escape(clip(label, _LETTERS))}</text>'
        f'<text class="small" x="{x + 12:g}" y="{y + 35:g}">{escape(clip(below, _LETTERS + 3))}</text></g>'
    )
