"""What a model was really trained on: the tables of the run that made what the model's run logged, by lineage.

A stage that evaluates a model reads the model as a file, beside data that the model has never seen. What it logs was trained by the
run (or the stage) that wrote that file, and so the tables of that one count.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nbledger.core import ancestry, driftreference, tablediff
from nbledger.core.ancestry_graph import DATA, RUN, STAGE, Ancestry, Node, run_id_of
from nbledger.core.driftreference import Reference
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.lineage import DVC, FileRecord
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.record import load as load_record
from nbledger.keeper import overview

TRAINED, READ, NAMED = "trained on", "read by its run", "held against"
"""What the reference is to the model: what it was trained on; one of several tables that its run read, or one beside a model that
it read; what somebody named.
"""
_STEPS = 6
_TEXTS = (".py", ".ipynb", ".sh", ".r", ".jl", ".sql", ".md", ".rst", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".lock")


@dataclass(frozen=True)
class Origin:
    """The tables that one run (or stage) read. ``record``: where their bytes are looked for; ``via``: the file of the model, and
    who wrote it; empty for the model's own run. ``model``: it read what may be a model that was made elsewhere.
    """

    record: Record
    tables: tuple[Reference, ...]
    via: str = ""
    model: bool = False


@dataclass(frozen=True)
class Chosen:
    """The table, where it comes from, what it is to the model, and what is to be said about that."""

    origin: Origin
    reference: Reference
    how: str
    notes: tuple[str, ...] = ()


def origins(project: Project, record: Record, notes: list[str]) -> list[Origin]:
    """The model's own run, and those that made the models which it read, the nearest first."""
    own = tuple(driftreference.of_run(project, record))
    files = [one for one in record.inputs if _may_be_model(one.path, one.state)]
    if not files:
        return [Origin(record, own)]
    try:
        graph = ancestry.of_run(project, record.row, record.run_id, _STEPS)
        earlier = list(_earlier(project, record, graph))
    except LedgerError as err:
        notes.append(f"what made the files that the model's run read is not known: {err}")
        earlier = []
    return [Origin(record, own, model=True), *earlier]


def choose(
    known: Sequence[Origin],
    wanted: str | None,
    columns: Sequence[str],
    columns_of: Callable[[Origin, Reference], Sequence[str]],
) -> Chosen:
    """The table of that path, else the one that is most like ``columns``, of those that are so the one that is nearest to where
    the model was made.
    """
    if wanted is not None:
        for origin in known:
            if any(wanted in (one.path, *(r.path for r in one.records)) for one in origin.tables):
                one, _ = driftreference.chosen(origin.tables, wanted, (), lambda _: ())
                return Chosen(origin, one, NAMED)
    best: tuple[float, Origin, Reference, list[str]] | None = None
    refused: Refused | None = None
    for origin in reversed(known):  # the farthest first
        if not origin.tables and origin.via:
            continue
        try:
            one, others = driftreference.chosen(origin.tables, wanted, columns, partial(columns_of, origin))
        except Refused as err:
            refused = err  # at last that of the model's own run
            continue
        score = driftreference.alike(columns, columns_of(origin, one))
        if best is None or score > best[0]:
            best = score, origin, one, others
    if best is None:
        assert refused is not None
        raise refused
    _, origin, one, others = best
    notes = []
    if origin.via:
        notes.append(f"the model's run read {origin.via}: what that one read is what it was trained on")
    elif origin.model:
        notes.append("the model's run read a model that another one may have trained (--reference PATH names its data)")
    if others:
        listed = ", ".join(others[:3])
        notes.append(f"the run read other tables with these columns, too: {listed} (--reference PATH takes another)")
    return Chosen(origin, one, READ if others or (origin.model and not origin.via) else TRAINED, tuple(notes))


def _may_be_model(path: str, state: str) -> bool:
    """Whether a file may hold a model that somebody trained: no table, no text that a person writes. A person's own are in Git."""
    suffix = posixpath.splitext(path)[1].lower()
    return tablediff.suffix_of(path) is None and suffix not in _TEXTS and not state.startswith("git")


def _earlier(project: Project, record: Record, graph: Ancestry) -> list[Origin]:
    """Who wrote the models, and who wrote those that these read."""
    nodes = {node.id: node for node in graph.nodes}
    found: list[Origin] = []
    level, seen = [run_id_of(record.run_id)], {run_id_of(record.run_id)}
    while level:
        made: list[str] = []
        for who in level:
            for file in _before(graph, nodes, who, (DATA,)):
                if not _may_be_model(file.path, file.state):
                    continue
                for maker in _before(graph, nodes, file.id, (RUN, STAGE)):
                    if maker.id not in seen:
                        seen.add(maker.id)
                        made.append(maker.id)
                        found.append(_origin(project, record, graph, nodes, maker, file.path))
        level = made
    return found


def _before(graph: Ancestry, nodes: dict[str, Node], node: str, kinds: Sequence[str]) -> list[Node]:
    ids = dict.fromkeys(edge["from"] for edge in graph.edges if edge["to"] == node)
    return [nodes[one] for one in ids if one in nodes and nodes[one].kind in kinds]


def _origin(
    project: Project, record: Record, graph: Ancestry, nodes: dict[str, Node], maker: Node, path: str
) -> Origin:
    read = _before(graph, nodes, maker.id, (DATA,))
    if maker.kind == RUN:
        theirs = load_record(project, overview.run(project, maker.run_id))
        said = f"{path}, which the run {maker.label} ({maker.run_id[:8]}) wrote"
        return Origin(theirs, tuple(driftreference.of_run(project, theirs)), said, False)
    tables = [FileRecord(one.path, one.size or 0, one.md5, DVC) for one in read if tablediff.suffix_of(one.path)]
    made = tuple(Reference(one.path, (one,)) for one in tables if one.md5 and not one.md5.endswith(".dir"))
    return Origin(record, made, f"{path}, which the stage {maker.label} made", False)
