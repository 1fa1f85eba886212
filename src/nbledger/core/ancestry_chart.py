"""A lineage as a Mermaid flowchart, from what was there first to what came of it."""

from __future__ import annotations

from nbledger.core.ancestry_graph import CODE, DATA, MODEL, RUN, STAGE, Ancestry, Node
from nbledger.core.mermaid import label

MOST = 300
"""Nodes drawn: Mermaid draws no more in bearable time, and nobody reads them."""
_SHAPES = {MODEL: ("([", "])"), RUN: ("[", "]"), CODE: ("[/", "/]"), STAGE: ("{{", "}}"), DATA: ("[(", ")]")}
_CLASSES = (
    "classDef model fill:#dcebfb,stroke:#1d5fa8,color:#0b2a4a",
    "classDef data fill:none,stroke-opacity:0.5",
    "classDef missing stroke:#b45309,stroke-dasharray:4 3",
)


def flowchart(found: Ancestry) -> str:
    """Models round, runs as boxes, code slanted, stages as hexagons, data as drums; what is missing has a dashed border."""
    shown = found.nodes[:MOST]
    keys = {node.id: f"n{number}" for number, node in enumerate(shown)}
    lines = ["flowchart TD"]
    for node in shown:
        before, after = _SHAPES[node.kind]
        lines.append(f'    {keys[node.id]}{before}"{label(title(node))}"{after}{_class(node)}')
    drawn = [edge for edge in found.edges if edge["from"] in keys and edge["to"] in keys]
    lines += [f'    {keys[edge["from"]]} -- "{label(edge["how"])}" --> {keys[edge["to"]]}' for edge in drawn]
    if len(found.nodes) > MOST:
        lines.append(f"    %% the first {MOST} of {len(found.nodes)} nodes")
    return "\n".join([*lines, *(f"    {line}" for line in _CLASSES)])


def title(node: Node) -> str:
    """A node in few words."""
    if node.kind == DATA:
        return f"{node.label} {node.md5[:8]}".strip()
    if node.kind == RUN:
        return f"{node.label} ({node.run_id[:8]})"
    if node.kind == MODEL and node.aliases:
        return f"{node.label} ({', '.join(node.aliases)})"
    return f"code {node.label}" if node.kind == CODE else node.label


def _class(node: Node) -> str:
    return ":::missing" if node.missing else f":::{node.kind}" if node.kind in (MODEL, DATA) else ""
