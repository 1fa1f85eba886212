"""The first request to a served model: its own input example, and whether what comes back is a prediction.

Read from the model's folder as MLflow wrote it (``MLmodel``, ``serving_input_example.json``); nothing of the model is loaded.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core.errors import Refused

EXPECTED = "nbledger.example_predictions"
"""The key of ``MLmodel``'s metadata under which a model that nbledger logged keeps what it said of its input example."""

MOST_EXPECTED = 200
_RTOL, _ATOL = 1e-5, 1e-9
_MOST_BYTES = 8 << 20
_SHOWN = 160


@dataclass(frozen=True)
class Smoke:
    """A request to ``/invocations``, and the predictions that were recorded for it (None: none were)."""

    body: str
    expected: list[Any] | None = None


def described(folder: Path) -> dict[str, Any]:
    """What ``MLmodel`` says. ``Refused`` where it cannot be read."""
    import yaml

    try:
        found = yaml.safe_load((folder / "MLmodel").read_bytes())
    except (OSError, yaml.YAMLError, ValueError) as err:
        raise Refused(f"the model's MLmodel cannot be read: {type(err).__name__}") from err
    if not isinstance(found, dict):
        raise Refused("the model's MLmodel says nothing")
    return found


def of_model(folder: Path, told: dict[str, Any]) -> Smoke | None:
    """The request that the model's own input example makes; None where it has none that a server takes."""
    info = told.get("saved_input_example_info")
    name = info.get("serving_input_path") if isinstance(info, dict) else None
    if not isinstance(name, str) or name != Path(name).name:
        return None
    try:
        raw = (folder / name).read_bytes()
        json.loads(raw)
        if len(raw) > _MOST_BYTES:
            return None
    except (OSError, ValueError):
        return None
    metadata = told.get("metadata")
    expected = metadata.get(EXPECTED) if isinstance(metadata, dict) else None
    return Smoke(raw.decode(), expected if isinstance(expected, list) else None)


def remembered(predicted: Any) -> dict[str, Any] | None:
    """What the metadata of ``MLmodel`` is to say of the predictions that a model made of its example; None where they are many, or
    not such as a server would answer.
    """
    found = predicted.tolist() if hasattr(predicted, "tolist") else predicted
    try:
        text = json.dumps(found, allow_nan=False)
    except (TypeError, ValueError):
        return None
    few = isinstance(found, list) and found and getattr(predicted, "size", len(found)) <= MOST_EXPECTED
    return {EXPECTED: json.loads(text)} if few else None


def wrong_with(status: int, body: bytes, expected: list[Any] | None) -> str:
    """Why an answer is no good one, in one line; empty where it is."""
    if status != 200:
        return f"it answers its own input example with {status}: {_message(body)}"
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return f"what it answers is not JSON: {_clipped(body.decode(errors='replace'))}"
    found = told.get("predictions", told) if isinstance(told, dict) else told
    if found is None or found in ([], {}):
        return "it answers without a prediction"
    if expected is not None and not same(found, expected):
        return f"it predicts {_clipped(json.dumps(found))} where {_clipped(json.dumps(expected))} was recorded"
    return ""


def same(found: Any, expected: Any) -> bool:
    """Whether two predictions are equal, numbers to within a hundred-thousandth."""
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, bool) or isinstance(found, bool) or not isinstance(expected, (int, float)):
        return bool(found == expected)
    return isinstance(found, (int, float)) and math.isclose(found, expected, rel_tol=_RTOL, abs_tol=_ATOL)


def _message(body: bytes) -> str:
    """What MLflow's server says of an error, without the traceback: its last line names the exception."""
    text = body.decode(errors="replace")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return _clipped(text)
    if not isinstance(told, dict):
        return _clipped(text)
    trace = [line for line in str(told.get("stack_trace") or "").strip().splitlines() if line.strip()]
    return _clipped(trace[-1] if trace else str(told.get("message", text)))


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
