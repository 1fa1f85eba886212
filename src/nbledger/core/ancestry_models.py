"""Models in a lineage that runs loaded: fine-tuning and scoring in batches stand on one, and through it on what it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nbledger.core import mlflow_uses, modeluse
from nbledger.core.ancestry_graph import MODEL, Graph, Node, model_node, run_id_of, run_node
from nbledger.core.ancestry_sources import Sources
from nbledger.core.mlflow_uses_server import each
from nbledger.core.modeluse import ModelUse
from nbledger.core.records import RunRow

_LOOKED_UP = 50
"""Versions of which the registry is asked when they were made, and whether they are there."""


@dataclass(frozen=True)
class Loaded:
    """A model in the graph that a run loaded, and who logged it."""

    node: str
    label: str
    run: str


def loaded(graph: Graph, row: RunRow, step: int) -> list[Loaded]:
    """Add the models that a run loaded. One that it logged itself did not come from elsewhere."""
    found = []
    for use in modeluse.read(row.tags.get(modeluse.TAG)):
        if use.run != row.run_id:
            node = graph.add(_node(use, step))
            graph.tie(node.id, run_id_of(row.run_id), _how(use))
            found.append(Loaded(node.id, use.label, use.run))
    return found


def loggers(
    sources: Sources, graph: Graph, models: Iterable[Loaded], step: int, following: dict[str, RunRow], seen: set[str]
) -> None:
    """Tie these models to the runs that logged them, which come next unless they were ``seen``."""
    listed = list(models)
    rows = sources.find({one.run for one in listed if one.run})
    for one in listed:
        row = rows.get(one.run)
        if row is None:
            why = f"the run {one.run[:8]} is not in the store any more" if one.run else "it names none"
            graph.lack(f"the run that logged the model {one.label}: {why}")
            continue
        graph.add(run_node(row, step))
        graph.tie(run_id_of(row.run_id), one.node, "logged")
        if row.run_id not in seen:
            following[row.run_id] = row


def describe(sources: Sources, graph: Graph) -> None:
    """Say of the versions that were loaded when they were made, their aliases and digest now, and whether they are there."""
    nodes = [one for one in graph.nodes.values() if one.kind == MODEL and one.name and one.at is None][:_LOOKED_UP]
    uri = sources.project.tracking_uri
    known = each(lambda node: mlflow_uses.version(sources.api, uri, node.name, node.version), nodes)
    for node, version in zip(nodes, known, strict=True):
        if version is None:
            graph.change(node.id, missing="it is not in the registry any more")
            graph.lack(f"the model version {node.label}: it is not in the registry any more")
            continue
        graph.change(node.id, at=version.created, aliases=version.aliases, digest=version.digest)


def users(sources: Sources, graph: Graph, rows: Iterable[RunRow], step: int) -> dict[str, RunRow]:
    """Tie runs to the models that they logged and others loaded, and these to who did: {id: row} of them."""
    known: dict[str, list[tuple[str, ModelUse]]] = {}
    for run, uses in sources.loaders().items():
        for use in uses:
            if use.run != run:
                known.setdefault(use.run, []).append((run, use))
    listed = list(rows)
    loaders = sources.find({run for row in listed for run, _ in known.get(row.run_id, ())})
    for row in listed:
        for run, use in known.get(row.run_id, ()):
            if run in loaders:
                node = graph.add(_node(use, step))
                graph.tie(run_id_of(row.run_id), node.id, "logged")
                graph.tie(node.id, run_id_of(run), _how(use))
    return loaders


def users_of(sources: Sources, graph: Graph, root: Node, model_id: str) -> Mapping[str, RunRow]:
    """Tie a version to the runs that loaded it, by whatever name: {id: row} of them."""
    found: dict[str, ModelUse] = {}
    for run, uses in sources.loaders().items():
        for use in uses:
            if (use.name, use.version) == (root.name, root.version) or (model_id and use.model_id == model_id):
                found.setdefault(run, use)
    rows = sources.find(found.keys())
    for run in rows:
        graph.tie(root.id, run_id_of(run), _how(found[run]))
    return rows


def _node(use: ModelUse, step: int) -> Node:
    if use.name:
        return model_node(use.name, use.version, step)
    return Node(f"model:{use.model_id or use.run}", MODEL, use.label, step)


def _how(use: ModelUse) -> str:
    return f"loaded as {use.alias}" if use.alias else "loaded"
