"""The manifest of a run, ``nbledger/manifest.json``: every recorded value exactly as it was, and what the store held of the
run when it was closed.

A store changes some values (infinities, long texts, names) and lets everybody edit the rest afterwards. The manifest
is written once, as the last artifact; its digest is kept as the run's tag ``nbledger.manifest`` and on the machine that
published the run. Who can write to the store, to its artifacts *and* to that machine can still make up all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import files
from nbledger.core.project import Project
from nbledger.core.runrows import true_value
from nbledger.core.values import MAX_PARAM, encode, storable

NAME = "manifest.json"
TAG = "nbledger.manifest"
MUTABLE = (
    *("mlflow.note.content", "mlflow.runName", "mlflow.log-model.history", "mlflow.loggedArtifacts"),
    *("nbledger.verdict", "nbledger.reproduced_by", "nbledger.notices", "nbledger.gate", TAG),
)
"""Tags that are written after a run's end, by nbledger and by people who look at it."""

_MOST_SEALS = 20_000
_PRIVATE = ("uri", "root", "owner", "paths", "blob", "folder")
"""Fields of events that stay on the machine that recorded them."""

Points = Sequence[tuple[float, int, int]]
"""(value, step, ms)"""


@dataclass(frozen=True)
class Stored:
    """What the store held of a run when it was closed: its tags, and what nbledger did not log itself."""

    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Points] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """``names`` are those that the store has under another name: {recorded: stored}. ``stored`` is None in manifests of
    older versions, which say nothing of the store. ``digest`` is that of the file.
    """

    params: Mapping[str, str]
    metrics: Mapping[str, Points]
    events: tuple[Mapping[str, Any], ...]
    notices: tuple[str, ...]
    names: Mapping[str, str]
    stored: Stored | None
    digest: str

    @property
    def status(self) -> str:
        return next((str(e.get("status", "")) for e in self.events if e.get("t") == "end"), "")

    @property
    def error(self) -> str:
        """The exception that ended the run, as the run itself noted it; empty where none did."""
        return next((str(e.get("error") or "") for e in self.events if e.get("t") == "end"), "")

    def all_metrics(self) -> dict[str, Points]:
        """The recorded series, and those that the user's own MLflow calls had logged by the run's end."""
        return {**(self.stored.metrics if self.stored else {}), **self.metrics}


def latest(points: Points) -> float:
    """The value of a series that MLflow calls its metric's: that of the highest step, of equal ones the newest."""
    return max(points, key=lambda p: (p[1], p[2], -math.inf if math.isnan(p[0]) else p[0]))[0]


# ── writing it ───────────────────────────────────────────────────────────────────────────────────────────


def text(
    events: Iterable[Mapping[str, Any]], notices: Sequence[str], names: Mapping[str, str], stored: Stored | None = None
) -> str:
    """The manifest of what a journal's events recorded."""
    params: dict[str, str] = {}
    metrics: dict[str, list[list[Any]]] = {}
    kept: list[Mapping[str, Any]] = []
    for event in events:
        if event["t"] == "params":
            params |= event["params"]
        elif event["t"] == "metric":
            metrics.setdefault(event["k"], []).append([event["v"], event["s"], event["at"]])
        else:
            kept.append({k: v for k, v in event.items() if k not in _PRIVATE})
    found: dict[str, Any] = {"params": params, "metrics": metrics, "events": kept, "notices": list(notices)}
    found["names"] = {name: legal for name, legal in names.items() if name != legal}
    if stored is not None:
        found["stored"] = {
            "tags": dict(stored.tags),
            "params": dict(stored.params),
            "metrics": {k: [[encode(v), step, at] for v, step, at in points] for k, points in stored.metrics.items()},
        }
    return json.dumps(found, indent=1)


def held(
    tags: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Iterable[str],
    names: Iterable[str],
    history: Callable[[str], Points],
) -> Stored:
    """What the store has of a run that is about to be sealed, without what nbledger logged under ``names``."""
    own = set(names)
    return Stored(
        {k: v for k, v in tags.items() if not mutable(k)},
        {k: v for k, v in params.items() if k not in own},
        {k: history(k) for k in metrics if k not in own},
    )


def mutable(tag: str) -> bool:
    return tag in MUTABLE or tag.startswith("nbledger.gate.")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def remember(project: Project, run_id: str, sealed: str) -> None:
    """Keep the digest of a run's manifest on this machine as well, out of reach of those who share the store."""
    path = project.state / "seals.jsonl"
    with files.lock(project.state / "seals.lock", timeout=10, what="the list of manifests"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(line := json.dumps([run_id, sealed]) + "\n")
            many = file.tell() > 2 * _MOST_SEALS * len(line)
        if many:
            lines = path.read_text(encoding="utf-8").splitlines()
            files.write_atomic(path, "\n".join(lines[-_MOST_SEALS:]) + "\n")


def remembered(project: Project, run_id: str) -> set[str]:
    """The digests that this machine gave a run's manifest: one, or two where a publication was repeated."""
    found = set()
    with contextlib.suppress(OSError):
        for line in (project.state / "seals.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                known, sealed = json.loads(line)
                found |= {str(sealed)} if known == run_id else set()
    return found


# ── reading it ───────────────────────────────────────────────────────────────────────────────────────────


def read(folder: Path | None) -> Manifest | None:
    """The manifest in a run's folder of artifacts; None where there is none, or none that can be understood."""
    try:
        data = (folder / NAME).read_bytes() if folder is not None else b""
        found = json.loads(data)
        stored = found.get("stored")
        return Manifest(
            {str(k): str(v) for k, v in found["params"].items()},
            _series(found["metrics"]),
            tuple(e for e in found["events"] if isinstance(e, dict)),
            tuple(str(line) for line in found.get("notices", ())),
            {str(k): str(v) for k, v in found.get("names", {}).items()},
            None if stored is None else Stored(stored["tags"], stored["params"], _series(stored["metrics"])),
            digest(data),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _series(found: Mapping[str, Any]) -> dict[str, Points]:
    return {
        str(key): [(float(value), int(step), int(at)) for value, step, at in points] for key, points in found.items()
    }


def edits(
    found: Manifest,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    history: Callable[[str], Points],
    whole: Iterable[str] = (),
) -> list[str]:
    """What the store says otherwise than the manifest does, in words: edited after the run had ended. Of the metrics in
    ``whole`` (recorded names) every point is compared, of the others the last value.
    """
    if found.stored is None:
        return []
    said = []
    wanted = {found.names.get(k, k): v[:MAX_PARAM] for k, v in found.params.items()} | dict(found.stored.params)
    said += _differing("parameter", wanted, params)
    said += _differing("tag", found.stored.tags, {k: v for k, v in tags.items() if k in found.stored.tags})
    series = found.all_metrics()
    places = {found.names.get(key, key): key for key in series}
    said += [f"the metric {key!r} was added" for key in sorted(set(metrics) - set(places))]
    checked = set(whole)
    for place, key in sorted(places.items()):
        points = series[key]
        if place not in metrics:
            said.append(f"the metric {key!r} was removed")
            continue
        recorded, now = latest(points), metrics[place]
        equal = _same(recorded, now)
        if equal and key not in checked:
            continue
        if {_point(p) for p in history(place)} != {_point(p) for p in points}:
            more = " in its series" if equal else f" from {recorded!r} to {true_value(now)!r}"
            said.append(f"the metric {key!r} was changed{more}")
    return said


def _differing(what: str, recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    said = [f"the {what} {k!r} was removed" for k in sorted(set(recorded) - set(now))]
    said += [f"the {what} {k!r} was added" for k in sorted(set(now) - set(recorded))]
    return said + [
        f"the {what} {k!r} was changed from {_clip(recorded[k])} to {_clip(now[k])}"
        for k in sorted(recorded)
        if k in now and now[k] not in (recorded[k], storable(recorded[k]))
    ]


def _clip(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:59] + "…")


def _same(a: float, b: float) -> bool:
    a, b = true_value(a), true_value(b)
    return a == b or (math.isnan(a) and math.isnan(b))


def _point(point: tuple[float, int, int]) -> tuple[str, int, int]:
    """Comparable, NaN too; stores keep infinities as the largest double."""
    return repr(true_value(float(point[0]))), int(point[1]), int(point[2])
