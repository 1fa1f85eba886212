"""The records that faces exchange: frozen dataclasses whose fields are the keys of ``--json``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tracked:
    """One path that ``track`` versioned. ``size`` is in bytes; ``commit`` is None when nothing was committed."""

    path: str
    md5: str
    size: int
    nfiles: int
    changed: bool
    commit: str | None = None
    pushed: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Large:
    """A file that the next commit would put into Git, above ``large_file_mb``; ``size`` in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Undoable:
    """A commit that ``undo`` would take back; ``message`` is its first line."""

    commit: str
    message: str


@dataclass(frozen=True)
class CodeState:
    """``repository``: whether there is one. ``upstream``: the branch to push to, None without one."""

    branch: str | None
    commit: str | None
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    ahead: int | None = None
    behind: int | None = None
    operation: str = ""
    repository: bool = True
    large: tuple[Large, ...] = ()
    undo: Undoable | None = None
    upstream: str | None = None


@dataclass(frozen=True)
class TrackedOut:
    """What DVC versions: ``state`` is clean, changed or missing; ``size`` in bytes as recorded, None where unknown."""

    path: str
    state: str
    folder: bool
    size: int | None


@dataclass(frozen=True)
class Remote:
    """A DVC remote; no credentials in ``url``."""

    name: str
    url: str


@dataclass(frozen=True)
class KeptData:
    """Data objects of the cache that recorded runs need: ``objects`` are protected from ``dvc gc``, ``bare_objects`` are
    not, and ``reason`` says why.
    """

    objects: int = 0
    bytes: int = 0
    bare_objects: int = 0
    bare_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True)
class DataState:
    """``older`` are data that Git has moved on from and nobody brought. ``not_pushed`` means something only where ``pushed_known``. ``tracked`` are at most 2,000 of ``tracked_count``.
    ``kept`` is None before anything was recorded.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    not_pushed: tuple[str, ...] = ()
    untracked_inputs: tuple[str, ...] = ()
    pushed_known: bool = False
    tracked: tuple[TrackedOut, ...] = ()
    tracked_count: int = 0
    remote: Remote | None = None
    repository: bool = True
    kept: KeptData | None = None


@dataclass(frozen=True)
class PipelineState:
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackingState:
    uri: str
    experiment: str
    reachable: bool | None
    pending: int = 0


@dataclass(frozen=True)
class Reason:
    """Why a run now could not be brought back. ``kind``: git, data-untracked, data-missing, data-changed, data-older, large, code or
    operation.
    """

    kind: str
    text: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """The joined state of a project (``nbledger status``); ``because`` is empty if it is ``clean``."""

    root: str
    clean: bool
    code: CodeState
    data: DataState
    pipeline: PipelineState
    tracking: TrackingState
    notes: tuple[str, ...] = ()
    because: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Input:
    path: str
    md5: str


@dataclass(frozen=True)
class RunRow:
    """One run as the table shows it; times are ISO 8601 UTC.

    ``user``: who made it, as Git names the author of a commit, else a login. ``origin``: what recorded it: nbledger, or of
    plain MLflow: notebook, script, project, job, unknown. None is what nobody noted.
    """

    run_id: str
    name: str
    status: str
    experiment: str
    start: str | None
    end: str | None
    notebook: str | None
    commit: str | None
    snapshot: str | None
    dirty: bool | None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    experiment_id: str = ""
    user: str | None = None
    host: str | None = None
    branch: str | None = None
    origin: str = "nbledger"

    @property
    def foreign(self) -> bool:
        """Whether something else than nbledger recorded it: then no more is known than what MLflow's own fields say."""
        return self.origin != "nbledger"


@dataclass(frozen=True)
class Preview:
    """What an action would do: ``lines`` one a thing, ``overwrites`` those that replace something of the user's;
    ``refused`` is the error (``LedgerError.as_dict``) that it would end with.
    """

    title: str
    lines: tuple[str, ...] = ()
    overwrites: tuple[str, ...] = ()
    refused: dict[str, Any] | None = None


def plain(record: Any) -> Any:
    """Dataclasses, tuples and nested ones as what ``json.dumps`` takes; NaN and infinities as strings."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: plain(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, dict):
        return {str(k): plain(v) for k, v in record.items()}
    if isinstance(record, list | tuple):
        return [plain(v) for v in record]
    if isinstance(record, float) and not math.isfinite(record):
        return str(record)
    return record
