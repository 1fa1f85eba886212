"""A pipeline as a Mermaid flowchart: what GitHub, GitLab and JupyterLab draw of a ``mermaid`` block in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nbledger.core.pipeline import DATA, STAGE, Node, Pipeline

_PLAIN = re.compile(r"[^\w ./,:=+()-]|\b(?:https?:|www\.)", re.ASCII)
_LONG = 60
_CLASSES = (
    "classDef stale fill:#fde2c8,stroke:#b45309,color:#451a03",
    "classDef mayrun stroke:#b45309,stroke-dasharray:4 3",
    "classDef data fill:none,stroke-opacity:0.5",
)


def flowchart(found: Pipeline) -> str:
    """Stages as boxes, with what one makes and another reads on the arrow between them; what no stage makes as a drum.

    Stale stages have the class ``stale``, those after them ``mayrun``.
    """
    stages = [node for node in found.nodes if node.kind == STAGE]
    keys = {node.id: f"s{number}" for number, node in enumerate(stages)}
    makers = {edge["to"]: edge["from"] for edge in found.edges if edge["from"] in keys}
    sources = [
        n for n in found.nodes if n.kind == DATA and not _made_by(n.id, found, makers) and _is_read(n, found, keys)
    ]
    drums = {node.id: f"d{number}" for number, node in enumerate(sources)}
    lines = ["flowchart TD"]
    lines += [f'    {drums[node.id]}[("{label(node.label)}")]:::data' for node in sources]
    lines += [f'    {keys[node.id]}["{label(node.label)}"]{_state(node)}' for node in stages]
    lines += [f"    {line}" for line in dict.fromkeys(_arrows(found, keys, makers, drums))]
    return "\n".join([*lines, *(f"    {line}" for line in _CLASSES)])


def _state(node: Node) -> str:
    return ":::stale" if node.stale else ":::mayrun" if node.may_run else ""


def _is_read(node: Node, found: Pipeline, keys: dict[str, str]) -> bool:
    return any(edge["from"] == node.id and edge["to"] in keys for edge in found.edges)


def _arrows(found: Pipeline, keys: dict[str, str], makers: dict[str, str], drums: dict[str, str]) -> Iterable[str]:
    labels = {node.id: node.label for node in found.nodes}
    passed: dict[tuple[str, str], list[str]] = {}
    for edge in found.edges:
        if edge["to"] not in keys:
            continue
        data = edge["from"]
        for maker in _made_by(data, found, makers):
            passed.setdefault((maker, edge["to"]), []).append(labels.get(data, data))
        if data in drums:
            yield f"{drums[data]} --> {keys[edge['to']]}"
    for (maker, reader), paths in passed.items():
        more = f" +{len(paths) - 2}" if len(paths) > 2 else ""
        yield f'{keys[maker]} -- "{label(", ".join(paths[:2]) + more)}" --> {keys[reader]}'


def _made_by(data: str, found: Pipeline, makers: dict[str, str]) -> list[str]:
    """The stages that make these data, or files of the folder that they are, or the folder that they lie in."""
    if data in makers:
        return [makers[data]]
    inner = [edge["from"] for edge in found.edges if edge["to"] == data]
    return list(dict.fromkeys(makers[one] for one in inner if one in makers))


def label(text: str) -> str:
    """Text that stands for itself between quotes: what Mermaid or HTML would read otherwise is written as its code."""
    shown = text if len(text) <= _LONG else text[: _LONG - 1] + "…"
    return _PLAIN.sub(lambda match: "".join(f"#{ord(char)};" for char in match[0]), shown)
