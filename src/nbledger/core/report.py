"""What a reviewer wants to know of a branch: frozen dataclasses, which Markdown, HTML and ``--json`` show.

``keeper.reporting`` puts them together; nothing here asks anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nbledger.core.differences import Comparison, DataChange, PackageChange, Row


@dataclass(frozen=True)
class Commit:
    """One side. ``name`` is what it was asked for as, ``subject`` the first line of its message, ``at`` ISO 8601 UTC."""

    name: str
    commit: str
    subject: str = ""
    at: str = ""


@dataclass(frozen=True)
class Told:
    """A run that stands for a side. ``behind``: how many commits lie between the one that it ran on and the side; 0 where its
    code is the side's. ``verdict``: what its newest reproduction concluded (empty: nobody has reproduced it).
    ``url``: its page on the tracking server, without a login; empty where there is no server. ``left_out`` and ``order`` as
    its tags have them: what its snapshot lacks, and whether its cells ran in order.
    """

    run_id: str
    title: str
    experiment: str
    start: str | None
    user: str | None = None
    url: str = ""
    behind: int = 0
    dirty: bool | None = None
    verdict: str = ""
    reproduced_by: str = ""
    data_state: str = ""
    order: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class Pair:
    """What was run under one name, on each side; None on a side where nothing was. ``values``: {metric: (base, head)}, also
    of what is the same. ``comparison``: what differs and why; None unless both sides have a run.
    """

    name: str
    source: str
    base: Told | None
    head: Told | None
    values: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Measured:
    """A value of DVC's metrics files on each side; one that is no number is a text."""

    file: str
    name: str
    values: tuple[float | None, ...]
    texts: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class CellChange:
    """A cell of a notebook file. ``kind``: code, markdown or raw; ``state``: added, removed or changed; ``number``: its place
    among the notebook's cells, from 1 (a removed one's in the old notebook); ``diff``: lines of a unified diff.
    """

    kind: str
    state: str
    number: int
    first: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotebookChange:
    """A notebook file. ``state``: added, removed or changed; ``note``: why its cells are not told."""

    path: str
    state: str
    cells: tuple[CellChange, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class StageChange:
    """A stage of a ``dvc.yaml``. ``state``: added, removed, changed (its declaration) or run (only its entry in ``dvc.lock``);
    ``what``: each thing that differs, in words.
    """

    name: str
    file: str
    state: str
    what: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pins:
    """A file that declares or locks the environment, with the packages that differ in it; none where they cannot be read."""

    path: str
    state: str
    packages: tuple[Row, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class GateView:
    """What the gate of a model would say of a run now; nothing was promoted. ``clauses``: each part of the condition with its
    figures and whether it holds; ``reasons``: why not. ``held``: the version that the alias points at, where this very run
    made it; then there is nothing to promote, ``passed`` is true, and it is not held against itself.
    """

    model: str
    alias: str
    gate: str
    run_id: str
    name: str
    condition: str
    passed: bool
    clauses: tuple[Row, ...] = ()
    reasons: tuple[str, ...] = ()
    held: str = ""


@dataclass(frozen=True)
class Report:
    """``commits``: how many ``head`` has that ``base`` has not. ``mermaid``: the pipeline of ``head`` as a flowchart, where a
    stage of it changed. ``lacks``: what a reviewer might take for told and is not, as no run stands for it. ``params``: values
    of files of parameters, as texts, where no two runs say what they had. What has nothing to tell is empty.
    """

    base: Commit
    head: Commit
    commits: int
    pairs: tuple[Pair, ...] = ()
    metrics: tuple[Measured, ...] = ()
    params: tuple[Measured, ...] = ()
    gates: tuple[GateView, ...] = ()
    data: tuple[DataChange, ...] = ()
    environment: tuple[PackageChange, ...] = ()
    pins: tuple[Pins, ...] = ()
    notebooks: tuple[NotebookChange, ...] = ()
    stages: tuple[StageChange, ...] = ()
    mermaid: str = ""
    notes: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def heads(self) -> tuple[Told, ...]:
        """The runs of the head."""
        return tuple(pair.head for pair in self.pairs if pair.head is not None)
