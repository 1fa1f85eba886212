"""A comparison of data as a run: its report, its figures, what it read; and what is said of it on the model version."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from nbledger.core import driftpage, lineage, mlflow, mlflow_registry
from nbledger.core.driftjob import EVIDENTLY
from nbledger.core.driftrecord import TAG, Drift
from nbledger.core.errors import LedgerError
from nbledger.core.lineage import FileRecord, Lineage
from nbledger.core.project import Project
from nbledger.core.records import plain
from nbledger.core.values import MAX_TAG
from nbledger.keeper import changes, client, publish, recorder

PAGE, RECORD = "report.html", "drift.json"
_FOLDER = "drift"
_MOST_METRICS = 300


def recorded(project: Project, found: Drift, folder: Path, inputs: Sequence[FileRecord]) -> Drift:
    """The comparison as a run with its report, what it read and what it found; the model version says so, too."""
    plan = recorder.Plan(
        name=f"drift {found.model}",
        tags={
            f"{TAG}verdict": found.verdict,
            f"{TAG}model": f"{found.model}/{found.version}",
            f"{TAG}trained": found.trained,
            f"{TAG}reference": f"{found.reference.path} {found.reference.md5}".strip(),
            f"{TAG}data": f"{found.data.path} {found.data.md5}".strip(),
            "mlflow.source.name": "nbledger drift",
            "mlflow.source.type": "LOCAL",
        },
    )
    recording = recorder.start(project, plan)
    try:
        for key, value in _metrics(found):
            recording.append(key, value, 0)
        drawn = folder / EVIDENTLY
        artifacts = [PAGE, RECORD, *([EVIDENTLY] if drawn.is_file() else [])]
        found = dataclasses.replace(found, artifacts=tuple(f"{_FOLDER}/{name}" for name in artifacts))
        recording.add_text(PAGE, driftpage.page(found, EVIDENTLY if drawn.is_file() else ""), _FOLDER)
        recording.add_text(RECORD, json.dumps(plain(found), indent=1, ensure_ascii=False), _FOLDER)
        if drawn.is_file():
            recording.add_file(drawn, _FOLDER)
        _read(recording, inputs)
        for note in found.notes:
            recording.notice(note, shown=False)
        recording.outcome("FINISHED")
    except BaseException as err:
        recording.outcome("FAILED", f"{type(err).__name__}: {err}")
        raise
    finally:
        recording.end()
        client.notify(project)
    return _published(project, found, recording)


def _metrics(found: Drift) -> Iterator[tuple[str, float]]:
    tested = {c.name for c in found.columns}
    yield "drift.share", found.share
    yield "drift.columns", float(len(tested))
    yield "drift.drifted", float(len({c.name for c in found.columns if c.drifted}))
    for column in found.columns[:_MOST_METRICS]:
        name = column.name if column.of == "values" else f"{column.name} ({column.of})"
        yield f"p/{name}", column.adjusted
        yield f"distance/{name}", column.distance
    for name, (before, now) in found.performance.items():
        for where, value in (("reference", before), ("live", now)):
            if value is not None:
                yield f"{where}.{name}", value


def _read(recording: recorder.Recording, inputs: Sequence[FileRecord]) -> None:
    """Both tables as what the run read, on which nothing of the project depends."""
    found = Lineage(tuple(inputs))
    with recording.new_blob("nbledger") as blob:
        blob.mkdir()
        (blob / "inputs.json").write_text(json.dumps(lineage.to_dict(found)), errors="surrogatepass")
        (blob / "outputs.json").write_text(json.dumps({"outputs": []}))
    recording.lineage(found, blob, depends=False)
    recording.add_blob(blob)


def _published(project: Project, found: Drift, recording: recorder.Recording) -> Drift:
    left, reasons = publish.flush(project)
    run_id = publish.run_id_of(project, recording.id)
    if run_id is None:
        waiting = f"the run waits to be published: {'; '.join(reasons)}" if left else "the run waits to be published"
        return dataclasses.replace(found, notes=(*found.notes, waiting))
    said = {"verdict": found.verdict, "at": found.at, "run_id": run_id, "data": found.data.path, "by": found.by}
    said |= {"reference": found.reference.path, "how": found.reference.how}
    tags = {f"{TAG}{key}": value[:MAX_TAG] for key, value in said.items() if value}
    try:
        mlflow_registry.tag_version(mlflow.client(project), project.tracking_uri, found.model, found.version, tags)
    except LedgerError as err:
        found = dataclasses.replace(found, notes=(*found.notes, f"the version does not say it: {err.message}"))
    changes.tell(project, "models", "runs", run=run_id)
    return dataclasses.replace(found, run_id=run_id)
