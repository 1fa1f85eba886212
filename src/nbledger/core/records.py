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
class CodeState:
    branch: str | None
    commit: str | None
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    ahead: int | None = None
    behind: int | None = None
    operation: str = ""


@dataclass(frozen=True)
class DataState:
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_pushed: tuple[str, ...] = ()
    untracked_inputs: tuple[str, ...] = ()


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
class Status:
    """The joined state of a project (``nbledger status``)."""

    root: str
    clean: bool
    code: CodeState
    data: DataState
    pipeline: PipelineState
    tracking: TrackingState
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    path: str
    md5: str


@dataclass(frozen=True)
class RunRow:
    """One run as the table shows it; times are ISO 8601 UTC."""

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
