"""What a reproduction is judged by: the run's record beside an execution of it, down to the outputs of its cells."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import dvc, files, mlflow
from nbledger.core.errors import LedgerError
from nbledger.core.outputs import Compared, compared, differing_outputs
from nbledger.core.project import SKIPPED, Project
from nbledger.core.record import Record
from nbledger.core.restored import Restored
from nbledger.core.verdict import Judgement, Outcome, Tolerance, judge
from nbledger.keeper.execute import Executed


@dataclass(frozen=True)
class Counts:
    """What the verdict stands on: metrics, output files, and of a whole notebook the cells that show text. Pictures are
    counted, and do not decide.
    """

    metrics: int = 0
    files: int = 0
    texts: int = 0
    pictures: int = 0
    pictures_equal: int = 0


def judged(
    project: Project, record: Record, place: Restored, executed: Executed, tolerance: Tolerance
) -> tuple[Judgement, Counts]:
    """Compare an execution in ``place`` with the record, and say how much there was to compare."""
    cells, seen = _cell_outputs(project, record, place, executed) if record.batch else ((), Compared())
    recorded = Outcome(record.row.status, record.metrics, record.outputs, _error_of(record))
    again = Outcome(executed.status, executed.metrics, executed.outputs, executed.error, cells)
    judgement = judge(recorded, again, tolerance, lambda path: _contents(project, record, place, path))
    counts = Counts(len(record.metrics), len(judgement.outputs), seen.texts, seen.pictures, seen.pictures_equal)
    return judgement, counts


def _error_of(record: Record) -> str:
    """What ended the run, from its manifest."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if record.folder is not None:
            events = json.loads((record.folder / "manifest.json").read_bytes())["events"]
            return next((str(e.get("error", "")) for e in events if e.get("t") == "end"), "")
    return ""


def _contents(project: Project, record: Record, place: Restored, path: str) -> tuple[bytes, bytes] | None:
    """The bytes of an output as recorded (if the work tree or the cache has them still) and as it is now."""
    wanted = next((r.md5 for r in record.outputs if r.path == path), None)
    if wanted is None:
        return None
    candidates = [project.root / path]
    if project.dvc_root is not None:
        candidates.append(dvc.store(project).path(wanted))
    for candidate in candidates:
        with contextlib.suppress(OSError):
            if candidate.is_file() and files.md5_of(candidate) == wanted:
                return candidate.read_bytes(), (place.into / path).read_bytes()
    return None


def _cell_outputs(
    project: Project, record: Record, place: Restored, executed: Executed
) -> tuple[tuple[str, ...], Compared]:
    """Differences between the outputs of the executed notebook that the run kept and those of this execution."""
    kept = _kept_notebook(project, record)
    if kept is None:
        return (), Compared()
    mine, again = _comparable(kept, executed.notebook)
    found = differing_outputs(mine, again, (str(project.root), str(place.into)))
    return tuple(f"cell {d.index + 1} ({d.first_line}): {d.what}" for d in found), compared(mine, again)


def _comparable(kept: dict[str, Any], again: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both notebooks without what nbledger itself displays, and without cells of which something was skipped."""
    skipped = {
        "".join(cell["source"])
        for cell in again["cells"]
        if any(SKIPPED in "".join(output.get("text", "")) for output in cell.get("outputs", ()))
    }

    def cleaned(notebook: dict[str, Any]) -> dict[str, Any]:
        cells = []
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] != "code" or not source.strip():
                cells.append({**cell, "cell_type": "raw", "outputs": []})  # was never sent to the kernel
            else:
                outputs = [] if source in skipped else cell.get("outputs", [])
                cells.append({**cell, "outputs": [output for output in outputs if not _own(output)]})
        return {**notebook, "cells": cells}

    return cleaned(kept), cleaned(again)


def _own(output: dict[str, Any]) -> bool:
    return 'class="nbledger"' in "".join((output.get("data") or {}).get("text/html", ""))


def _kept_notebook(project: Project, record: Record) -> dict[str, Any] | None:
    name = Path(record.row.notebook or "").name
    if not name or record.folder is None:
        return None
    path = record.folder.parent / name
    with contextlib.suppress(LedgerError, OSError, ValueError):
        if path.is_file():
            found = json.loads(path.read_bytes())
        else:
            found = json.loads(_downloaded(project, record.run_id, name))
        return found if isinstance(found, dict) else None
    return None


def _downloaded(project: Project, run_id: str, name: str) -> bytes:
    """An artifact of a run, by way of a folder of its own: two runs may each have one of that name."""
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as scratch:
        return mlflow.download(mlflow.client(project), project.tracking_uri, run_id, name, Path(scratch)).read_bytes()
