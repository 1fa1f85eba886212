"""What a comparison is made of: frozen dataclasses that every face renders and ``--json`` prints."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbledger.core.literals import Literal
from nbledger.core.proof import Proof

DATA, CODE, PARAMETER, ENVIRONMENT = "data", "code", "parameter", "environment"
SEED, ORDER, HARDWARE, NONDETERMINISM = "seed", "order", "hardware", "nondeterminism"


@dataclass(frozen=True)
class Compared:
    """One side. ``kind``: run, present or commit; ``title`` is what a person calls it. ``user`` and ``origin`` as those of a
    ``RunRow``; ``unknown``: what nobody recorded of a run (code, data, environment, seed), so that nothing is said of it.
    """

    title: str
    kind: str
    run_id: str = ""
    status: str = ""
    experiment: str = ""
    start: str | None = None
    end: str | None = None
    notebook: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    user: str | None = None
    origin: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delta:
    """The second value of a metric less the first; ``relative`` to the first, None where that is zero."""

    absolute: float
    relative: float | None


@dataclass(frozen=True)
class Series:
    """A metric that was logged more than once; ``shown`` are at most some dozens of its values, evenly spaced."""

    count: int
    last: float
    low: float
    high: float
    shown: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """Something with a name that has a value on each side (None: not recorded, or absent)."""

    name: str
    values: tuple[str | None, ...]
    note: str = ""


@dataclass(frozen=True)
class PackageChange:
    """``role``: imported (by the run), direct (named by the project), installed, or system (Python, platform)."""

    name: str
    values: tuple[str | None, ...]
    role: str


@dataclass(frozen=True)
class ColumnChange:
    """What became of a column of a table. ``state``: added, removed, dtype, moved (its distribution did) or changed.

    ``distance`` is a two-sample measure from 0 (alike) to 1; ``stats`` {mean, std, q50 …, or a category: (was, is)}.
    """

    name: str
    state: str
    what: str = ""
    distance: float | None = None
    stats: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableChange:
    """What differs between two tables. ``key``: the columns by which rows were matched, empty for whole rows;
    ``reordered``: the same rows in another order; ``sampled``: how many rows were looked at where it was not all.
    """

    rows: tuple[int, int]
    added: int = 0
    removed: int = 0
    changed: int = 0
    key: tuple[str, ...] = ()
    reordered: bool = False
    columns: tuple[ColumnChange, ...] = ()
    columns_reordered: bool = False
    sampled: int | None = None

    @property
    def count(self) -> int:
        """How many rows were added, removed or changed."""
        return self.added + self.removed + self.changed

    @property
    def same(self) -> bool:
        """The same values in the same order: only how they are written differs."""
        return not (
            self.added or self.removed or self.changed or self.reordered or self.columns or self.columns_reordered
        )


@dataclass(frozen=True)
class DataChange:
    """A file that was read. ``state``: changed, added (only the second side read it), removed, moved (the same bytes
    under another name), replaced (another file in its place: ``other``), unknown (no hash). ``values`` are MD5s.

    ``derived``: the session itself wrote it. ``outside``: not in the project. ``read_by`` is the cell that read it;
    ``needed`` whether the run's cell depends on that. ``files``: for a data set of several files, what became of each; ``keys``: for a file of settings those that differ.
    ``alike``: the same contents, written in another way. ``whole``: nothing was left out for want of the contents.
    """

    path: str
    values: tuple[str | None, ...]
    state: str = "changed"
    other: str | None = None
    sizes: tuple[int | None, ...] = ()
    derived: bool = False
    outside: bool = False
    needed: bool = True
    read_by: str = ""
    files: tuple[Row, ...] = ()
    keys: tuple[Row, ...] = ()
    table: TableChange | None = None
    alike: bool = False
    whole: bool = True
    note: str = ""


@dataclass(frozen=True)
class CodeChange:
    """A cell, module or script. ``kind``: cell or module; ``state``: changed, added, removed.

    ``effect``: code, literals (all that differs), seed, shows (only what is displayed), names (only what
    variables are called), layout (comments, formatting).
    ``needed``: what the run recorded depends on it; ``inside``: on other statements of the cell only. ``ids`` are the cell's ids, ``diff`` the lines of a unified diff. ``values``: of
    more than two sides, a digest of each one's version.
    """

    kind: str
    where: str
    state: str
    effect: str
    needed: bool = True
    inside: bool = False
    literals: tuple[Literal, ...] = ()
    ids: tuple[str | None, str | None] = (None, None)
    diff: tuple[str, ...] = ()
    values: tuple[str | None, ...] = ()

    @property
    def words(self) -> str:
        """``changed``, with what limits it."""
        effect = {
            "literals": "only literals",
            "seed": "only seeds",
            "shows": "only what it displays",
            "names": "only names",
        }.get(self.effect, "")
        idle = "" if self.needed else "the run does not depend on it"
        return ", ".join(filter(None, [self.state, effect, idle]))


@dataclass(frozen=True)
class OrderChange:
    """Cells that were run in another order, twice, not at all, or that their notebook no longer has.

    ``matters``: what the cells set and use says that the result depends on it.
    """

    what: str
    evidence: str = ""
    matters: bool = True


@dataclass(frozen=True)
class Cause:
    """Why the metrics may differ, in one sentence with its evidence; ``weight`` from 0 (they do not) to 1.

    ``kind``: data, code, parameter, environment, seed, order, hardware or nondeterminism.
    """

    kind: str
    what: str
    evidence: str
    weight: float


@dataclass(frozen=True)
class Comparison:
    """What differs between two or more sides, and for two of them why: ``causes``, the strongest first.

    ``equal``: whether the metrics that both have are the same, and no reproduction found otherwise; None where there are
    none. ``recorded`` are the names of all parameters.
    """

    runs: tuple[Compared, ...]
    params: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    metrics: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    data: tuple[DataChange, ...] = ()
    code: tuple[CodeChange, ...] = ()
    environment: tuple[PackageChange, ...] = ()
    seeds: tuple[Row, ...] = ()
    order: tuple[OrderChange, ...] = ()
    causes: tuple[Cause, ...] = ()
    hardware: tuple[Row, ...] = ()
    deltas: dict[str, Delta] = field(default_factory=dict)
    series: dict[str, tuple[Series | None, ...]] = field(default_factory=dict)
    equal: bool | None = None
    recorded: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    proof: Proof | None = None
    whole: bool = False

    def blanks(self, kind: str) -> tuple[str, ...]:
        """What stands for a side that has no value: a dash, or a question mark where nobody recorded that kind of thing."""
        return tuple("?" if kind in run.unknown else "—" for run in self.runs)

    def factors(self) -> tuple[str, ...]:
        """Which of data, code, parameter, environment and seed differ in a way that can move a metric."""
        found = {cause.kind for cause in self.causes if cause.weight >= _COUNTS}
        return tuple(kind for kind in (DATA, CODE, PARAMETER, ENVIRONMENT, SEED) if kind in found)


_COUNTS = 0.3
