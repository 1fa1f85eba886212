"""What a model, a run or data came from or led to, as a graph: the records, and what builds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from nbledger.core.records import RunRow
from nbledger.core.runs import REPRODUCES
from nbledger.core.wording import counted

MODEL, RUN, CODE, STAGE, DATA = "model", "run", "code", "stage", "data"
MOST_NODES = 2_000
"""Nodes at which a graph ends; what is beyond is said."""
DEPTH = 20
"""Steps from the root, a run being one, unless others are asked for."""


@dataclass(frozen=True)
class Node:
    """One thing. ``step``: how many runs away from what was asked for; ``at`` ISO 8601 UTC.

    ``model``: ``name``, ``version`` (both empty: a logged model that was loaded by its id, or as a run's), ``aliases`` of now,
    ``digest`` of the version's files, if it was promoted. ``run``: ``run_id``, ``status``, ``ended``, ``by``, ``source`` (notebook or script),
    ``reproduces``. ``code``: ``commit``, ``dirty`` (the commit is a snapshot of changed code). ``stage``:
    ``source`` (its ``dvc.yaml``), ``cmd``. ``data``: ``path``, ``md5`` (of a folder ``….dir``; empty: not known), ``size`` in
    bytes, ``state`` (as the run that read it recorded it: dvc, git, untracked, …), ``where`` its bytes are now, ``source``
    that it was imported from. ``missing``: why the thing itself is not there, empty where it is.
    """

    id: str
    kind: str
    label: str
    step: int = 0
    at: str | None = None
    by: str | None = None
    name: str = ""
    version: str = ""
    aliases: tuple[str, ...] = ()
    run_id: str = ""
    status: str = ""
    ended: str | None = None
    reproduces: str = ""
    commit: str = ""
    dirty: bool | None = None
    source: str = ""
    cmd: str = ""
    path: str = ""
    md5: str = ""
    size: int | None = None
    state: str = ""
    where: tuple[str, ...] = ()
    missing: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Ancestry:
    """``edges`` lead from what was there first to what came of it: {"from", "to", "how"} of node ids. ``back``: the roots are
    data, and the graph is what came of them; else it is what the root came from. ``missing`` names what is not known or not
    there, ``notes`` what was left out.
    """

    asked: str
    back: bool = False
    roots: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    edges: tuple[dict[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Graph:
    """A graph in the making."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], str] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    """{id of data: a commit that may hold them}"""

    def full(self) -> bool:
        """Whether no more is to be added."""
        return len(self.nodes) >= MOST_NODES

    def add(self, node: Node) -> Node:
        """The node, or the one of its id that is there already."""
        return self.nodes.setdefault(node.id, node)

    def change(self, node_id: str, **fields: object) -> None:
        self.nodes[node_id] = replace(self.nodes[node_id], **fields)  # type: ignore[arg-type]

    def tie(self, first: str, then: str, how: str) -> None:
        self.edges.setdefault((first, then), how)

    def lack(self, text: str) -> None:
        self.missing[text] = None

    def note(self, text: str) -> None:
        self.notes[text] = None

    def ends(self, steps: int) -> None:
        """Say that there is more."""
        why = f"at {MOST_NODES:,} things" if self.full() else "at the depth that was asked for"
        self.note(f"the graph ends here, {counted(steps, 'run')} away, {why}: there is more")

    def done(self, asked: str, roots: Iterable[str], *, back: bool = False) -> Ancestry:
        """The nodes in the order of their steps; on the way ``back`` the roots, then the models that came of them, which are
        what one asks for.
        """
        kinds, first = (MODEL, RUN, CODE, STAGE, DATA), tuple(roots)

        def place(node: Node) -> tuple[bool, bool, int, int]:
            return back and node.id not in first, back and node.kind != MODEL, node.step, kinds.index(node.kind)

        nodes = sorted(self.nodes.values(), key=place)
        edges = tuple({"from": a, "to": b, "how": how} for (a, b), how in self.edges.items())
        return Ancestry(asked, back, first, tuple(nodes), edges, tuple(self.missing), tuple(self.notes))


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────


def run_node(row: RunRow, step: int) -> Node:
    return Node(
        run_id_of(row.run_id),
        RUN,
        row.name or row.run_id[:8],
        step,
        row.start,
        row.user,
        run_id=row.run_id,
        status=row.status,
        ended=row.end,
        reproduces=row.tags.get(REPRODUCES, ""),
        source=row.notebook or "",
    )


def run_id_of(run: str) -> str:
    """The node's id of a run."""
    return f"run:{run}"


def data_node(path: str, md5: str, step: int, *, of: str = "", state: str = "", size: int | None = None) -> Node:
    """``of``: the run that read it, where its hash is not known: then nobody else read the same as far as can be told."""
    label = path if len(path) <= 200 else f"…{path[-199:]}"
    key = f"data:{path}@{md5}" if md5 else f"data:{path}@?{of}"
    return Node(key, DATA, label, step, path=path, md5=md5, state=state, size=size)


def model_node(name: str, version: str, step: int, aliases: Iterable[str] = (), at: str | None = None) -> Node:
    return Node(
        f"model:{name}/{version}", MODEL, f"{name}/{version}", step, at, name=name, version=version, aliases=(*aliases,)
    )
