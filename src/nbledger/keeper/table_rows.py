"""A run as the table's memory holds it: its JSON, put together once and sent as it is from then on."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass, fields
from typing import Any

from nbledger.core.records import RunRow

_TAGS = frozenset(f"mlflow.{name}" for name in ("user", "parentRunId", "note.content")) | frozenset(
    f"nbledger.{name}" for name in ("order", "verdict", "reproduces", "journal", "host", "pending", "author")
)
_WORDS, _KEYS = 1000, 1000
"""Characters of a value, and values of a kind, that the table carries; a run's detail has all."""
_PLAIN = tuple(field.name for field in fields(RunRow) if field.name not in ("params", "metrics", "inputs", "tags"))
ALIVE = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True, slots=True)
class Entry:
    """``print`` tells whether the store's run is another than it was; ``version`` is that of the last change."""

    run_id: str
    start: str
    status: str
    print: int
    text: str
    version: int = 0


def carried(tag: str) -> bool:
    """Whether a row of the table carries this tag: what its columns show, and the user's own."""
    return tag in _TAGS or not tag.startswith(("mlflow.", "nbledger."))


def entry(row: RunRow, made: int | None = None) -> Entry:
    """``made``: the print that the store itself gives; else that of the row."""
    text = _text(row)
    return Entry(row.run_id, row.start or "", row.status, zlib.crc32(text.encode()) if made is None else made, text)


def _text(row: RunRow) -> str:
    plain: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    plain["name"] = row.name[:_WORDS]
    plain["params"] = _clipped(row.params)
    plain["tags"] = _clipped({key: value for key, value in row.tags.items() if carried(key)})
    metrics = list(row.metrics.items())[:_KEYS]
    plain["metrics"] = {key: value if math.isfinite(value) else str(value) for key, value in metrics}
    inputs = sorted((one.path, one.md5) for one in row.inputs[:_KEYS])
    plain["inputs"] = [{"path": path, "md5": md5} for path, md5 in inputs]
    return json.dumps(plain, separators=(",", ":"), sort_keys=True)  # a server says the same in another order each time


def _clipped(values: dict[str, str]) -> dict[str, str]:
    if len(values) > _KEYS:
        values = dict(list(values.items())[:_KEYS])
    return {key: value if len(value) <= _WORDS else value[: _WORDS - 1] + "…" for key, value in values.items()}
