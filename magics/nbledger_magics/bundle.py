"""What a summary tells other programs beside what it shows: which run it is of, and of which source.

JupyterLab's extension marks the cell by it; every other reader of notebooks passes over a type it does not know.
"""

from __future__ import annotations

import math
import re
import time
import zlib
from datetime import UTC, datetime
from typing import Any

from nbledger.keeper.recorder import Recording

MIME = "application/vnd.nbledger.run+json"
_METRICS = 4


def digest(source: str) -> str:
    """CRC-32 of a cell's source, in eight hex digits. Ends of lines, blanks before them, and blank lines around the
    source do not count. ``labextension/src/notebook/digest.ts`` makes the same.
    """
    text = re.sub(r"[ \t]+$", "", source.replace("\r\n", "\n").replace("\r", "\n"), flags=re.MULTILINE).strip("\n")
    return f"{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def of(recording: Recording, source: str) -> dict[str, Any]:
    """The record of a run as it is now; ``source`` is what the cell holds that shows it."""
    from nbledger.commands.text import shown_metrics

    keys = shown_metrics(sorted(recording.metrics, key=lambda key: "." in key))[:_METRICS]
    return {
        "journal": recording.id,
        "run_id": recording.run_id,
        "name": recording.name[:200],
        "status": recording.status,
        "metrics": {key[:200]: _number(recording.metrics[key]) for key in keys},
        "main": keys[0][:200] if keys else "",  # saved notebooks sort the keys of an object
        "started": datetime.fromtimestamp(recording.started, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "took": round(time.time() - recording.started, 3),
        "source": digest(source),
    }


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
