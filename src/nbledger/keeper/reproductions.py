"""A reproduction in the project's own ledger: a run like any other, tied to the one that it executed again."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nbledger.core import manifest, mlflow, secrets
from nbledger.core.errors import LedgerError
from nbledger.core.evidence import OF_MANIFEST
from nbledger.core.owners import owner
from nbledger.core.project import Project
from nbledger.core.record import FOLDER, Record
from nbledger.core.runs import REPRODUCES, VERDICT
from nbledger.keeper import client, frames
from nbledger.keeper import journal as journals
from nbledger.keeper.execute import Executed
from nbledger.keeper.publish import run_id_of

REPRODUCED_BY = "nbledger.reproduced_by"
"""Tag of a run that was reproduced: the id of the newest reproduction."""


def record_again(project: Project, record: Record, executed: Executed, scratch: Path, verdict: str) -> str | None:
    """Hand the journals of an execution over to the project's ledger and publish them; the new run's id. None when the
    store cannot be reached: the run is published later. ``OSError`` when there is no room for them.
    """
    if executed.journal is None:
        return None
    _own_artifacts(project, executed, scratch)
    tags = {REPRODUCES: record.run_id, VERDICT: verdict}
    if (sealed := manifest.read(record.folder)) is not None:  # a gate asks whether this very record was reproduced
        tags[OF_MANIFEST] = sealed.digest
    _hand_over(project, executed.journal, record, _additions(executed, tags))
    for path in executed.others:
        _hand_over(project, path, record, [{"t": "tags", "tags": {REPRODUCES: record.run_id}}], child=True)
    try:
        known: str | None = client.call(project, "run_id", {"journal": executed.journal.name})
        for path in executed.others:
            client.call(project, "run_id", {"journal": path.name})
    except (LedgerError, OSError):
        client.notify(project)
        return None
    return known


def tag_original(project: Project, run_id: str, verdict: str, new_run_id: str | None) -> None:
    """Say on a run what its newest reproduction concluded. ``Unreachable`` when the store does not answer."""
    tags = {VERDICT: verdict} | ({REPRODUCED_BY: new_run_id} if new_run_id else {})
    client.call(project, "tag", {"run": run_id, "tags": tags})


def _additions(executed: Executed, tags: dict[str, str]) -> list[dict[str, Any]]:
    """Events that the journal lacks: what the cells' own MLflow calls logged, exactly, and the ties to the original."""
    added: list[dict[str, Any]] = [{"t": "tags", "tags": tags}]
    if executed.params:
        added.append({"t": "params", "params": executed.params})
    for key in executed.own:
        for point in executed.metrics[key]:
            value: float | str = point.value if point.value - point.value == 0.0 else str(point.value)
            added.append({"t": "metric", "k": key, "v": value, "s": point.step, "at": point.at})
    return added


def _hand_over(
    project: Project, path: Path, record: Record, added: Sequence[dict[str, Any]], *, child: bool = False
) -> None:
    """Move a journal into the project's ledger, under a hidden name until it is whole."""
    row = record.row
    changes = {
        "uri": secrets.without_login(project.tracking_uri),
        "experiment": row.experiment,
        "root": str(project.root),
        "owner": owner(),
    } | ({} if child else {"name": row.name})
    lines = b"".join(_rewritten(journals.read(path).events, changes, bool(row.dirty), added))
    target = journals.folder(project)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = target / f".new-{path.name}"
    try:
        shutil.copytree(path, draft, ignore=shutil.ignore_patterns("state.json", "creating", "publish.lock"))
        (draft / "events.jsonl").write_bytes(lines)
        os.rename(draft, target / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _rewritten(
    events: Iterable[dict[str, Any]], changes: dict[str, Any], dirty: bool, added: Sequence[dict[str, Any]]
) -> Iterable[bytes]:
    for event in events:
        made = event
        if event["t"] == "start":
            made = {**event, **changes}
        elif event["t"] == "snapshot":
            made = {**event, "dirty": dirty}
        elif event["t"] == "end":
            for more in added:
                yield frames.sealed({"at": event["at"], **more})
        yield frames.sealed(made)


def _own_artifacts(project: Project, executed: Executed, scratch: Path) -> None:
    """Files that the cells' own MLflow calls logged to the scratch store join the journal's."""
    assert executed.journal is not None
    there = Project(project.root, project.home, project.git, project.dvc_root, project.settings, scratch)
    run_id = run_id_of(there, executed.journal.name)
    folder = mlflow.artifact_folder(there, run_id, "", None) if run_id else None
    if folder is None:
        return
    log = journals.Journal(executed.journal)
    for item in sorted(folder.iterdir()):
        if item.name != FOLDER:
            place = executed.journal / "blobs" / uuid.uuid4().hex[:12]
            place.mkdir(parents=True)
            shutil.move(item, place / item.name)
            log.write("artifact", blob=f"blobs/{place.name}/{item.name}", place="")
    log.close()
