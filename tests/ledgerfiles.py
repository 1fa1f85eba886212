"""What lies in a project's `.nbledger`, read without nbledger's own code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


def events(journal: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; none of one that was made this moment, or was published this moment."""
    if not (journal / "events.jsonl").exists():
        return []
    lines = (journal / "events.jsonl").read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line]


def journals(project: Path) -> list[Path]:
    return sorted(p for p in (project / ".nbledger" / "journals").glob("*") if not p.name.startswith("."))


def ends(project: Path, wait: float = 5.0) -> dict[str, str | None]:
    """{journal: the status it was closed with}; one that is open after ``wait`` seconds is None."""
    deadline = time.monotonic() + wait
    while True:
        found = {j.name: next((e["status"] for e in events(j) if e["t"] == "end"), None) for j in journals(project)}
        if None not in found.values() or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
