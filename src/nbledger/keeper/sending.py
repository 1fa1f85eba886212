"""The files of a run on their way to the store: its record is completed, its artifacts, models and manifest are sent.

All of it may be sent again: a file of the same name takes the place of the one before, and a model is known by a tag.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbledger.core import files, lineage, manifest, mlflow, mlflow_runs, mlflow_write, modules, wrote
from nbledger.core.project import Project
from nbledger.keeper import journal as journals
from nbledger.keeper.journal import Event
from nbledger.keeper.recorder import data_state, datasets


def finish_hashing(project: Project, api: Any, uri: str, run_id: str, listing: Path) -> None:
    """Hash the large files that the kernel left to us, and log inputs as datasets; a file changed since is said so."""
    content = json.loads(listing.read_text())
    records = lineage.finish(project, [lineage.record_from_dict(r) for r in content["inputs"]])
    content["inputs"] = [lineage.record_to_dict(r) for r in records]
    files.write_atomic(listing, json.dumps(content, indent=1))
    written = listing.with_name("outputs.json")
    held = json.loads(written.read_text())
    outputs = lineage.finish(project, [lineage.record_from_dict(r) for r in held["outputs"]])
    files.write_atomic(written, json.dumps({**held, "outputs": [lineage.record_to_dict(r) for r in outputs]}, indent=1))
    mlflow_write.log_datasets(api, uri, run_id, [(n, d, s) for n, d, s in datasets(records)])
    tags = {"nbledger.data.state": data_state(records), wrote.TAG: wrote.text(outputs)}
    mlflow_write.log(api, uri, run_id, tags=tags)


def finish_environment(project: Project, listing: Path) -> None:
    """Name the distributions that the kernel's modules belong to, and those that the project asks for itself."""
    content = json.loads(listing.read_text(encoding="utf-8", errors="surrogatepass"))
    loaded = content.pop("loaded", None)
    if loaded is None:
        return
    content["imported"] = modules.distributions(loaded["modules"], loaded["path"])
    content["direct"] = modules.direct(project.root)
    files.write_atomic(listing, json.dumps(content, indent=1))


_WORTH_NOTING = 1 << 20
"""Bytes after which is noted what is uploaded: less is sooner sent again than noted on the disk."""


def artifacts(api: Any, uri: str, run_id: str, path: Path, events: Iterable[Event], state: dict[str, Any]) -> None:
    """Send the artifacts, but for those that are known to be there. Models come after them (``models``)."""
    uploaded, sent = set(state.get("uploaded", [])), 0
    for event in events:
        if event["t"] == "artifact" and event["blob"] not in uploaded:
            sent += _upload(api, uri, run_id, path / event["blob"], str(event["place"]))
            state["uploaded"] = sorted(uploaded := uploaded | {event["blob"]})
            if sent >= _WORTH_NOTING:
                journals.save_state(path, state)
                sent = 0
    state["uploaded"] = sorted(uploaded)


def _upload(api: Any, uri: str, run_id: str, blob: Path, place: str) -> int:
    """Bytes that were sent."""
    if blob.is_dir():
        return mlflow_write.log_folder(api, uri, run_id, blob, f"{place}/{blob.name}" if place else blob.name)
    return mlflow_write.log_folder(api, uri, run_id, blob.parent, place) if blob.exists() else 0


def seal(
    project: Project,
    api: Any,
    uri: str,
    run_id: str,
    path: Path,
    events: tuple[Event, ...],
    state: Mapping[str, Any],
) -> str:
    """``nbledger/manifest.json``: every recorded value exactly as it was, and what the store has now; its digest."""
    keys = state["keys"]
    own = {keys.get(name, name) for e in events for name in (e["params"] if e["t"] == "params" else ())}
    own |= {keys.get(e["k"], e["k"]) for e in events if e["t"] == "metric"}
    stored = manifest.Stored()
    if (run := mlflow.get_run(api, uri, run_id)) is not None:
        data = run.data
        history = lambda key: mlflow_runs.history(api, uri, run_id, key)  # noqa: E731
        stored = manifest.held(data.tags, data.params, data.metrics, own, history)
    text = manifest.text(events, state["notices"], keys, stored).encode()
    with tempfile.TemporaryDirectory(dir=path) as scratch:
        (Path(scratch) / manifest.NAME).write_bytes(text)
        mlflow_write.log_folder(api, uri, run_id, Path(scratch), "nbledger")
    manifest.remember(project, run_id, sealed := manifest.digest(text))
    return sealed


def models(
    project: Project, api: Any, uri: str, run_id: str, path: Path, events: Iterable[Event], state: dict[str, Any]
) -> None:
    """Log the models; one that cannot be is kept as a file, which the run says."""
    uploaded = set(state["uploaded"])
    for event in events:
        if event["t"] == "model" and event["blob"] not in uploaded:
            login = mlflow.with_login(project, uri)
            state["notices"] += _model_logged(uri, login, run_id, path, event)
            if (path / "blobs" / "unlogged").exists():
                mlflow_write.log_folder(api, uri, run_id, path / "blobs" / "unlogged", "nbledger/unlogged")
            state["uploaded"] = sorted(uploaded := uploaded | {event["blob"]})
            journals.save_state(path, state)


_MODEL_PATIENCE = 600.0
"""Seconds that a model may take to be logged."""
_one_model = threading.Lock()  # a process that has imported MLflow and a model's libraries is a large one


def _model_logged(uri: str, login: str, run_id: str, path: Path, event: Event) -> list[str]:
    """Log the model in a process of its own (it unpickles the user's object); what failed, in words."""
    spec = path / "model.json"
    spec.write_text(
        json.dumps(
            {
                "pickle": str(path / event["blob"]),
                "uri": uri,
                "run_id": run_id,
                "name": event["name"],
                "requirements": event["requirements"],
                "paths": event["paths"],
                "key": f"{path.name}/{event['blob']}",
                "lock": str(path / "model.lock"),
            }
        )
    )
    try:
        with _one_model:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "nbledger.core.mlflow_model", str(spec)],
                env=mlflow.persons_environment()
                | ({mlflow.LOGIN: login} if login != uri else {})
                | {mlflow.TIMEOUT: str(mlflow_write.patience_for((path / event["blob"]).stat().st_size))},
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=_MODEL_PATIENCE,
                check=False,
            )
        said = [line for line in done.stderr.splitlines() if line.strip()]
        if done.returncode == 0:
            return []
        if mlflow.passing(wrong := mlflow.complaint(uri, " ".join(said[-3:]))):
            raise wrong  # to be tried again: taken for a refusal, the model would be none
    except subprocess.TimeoutExpired:
        said = [f"it took more than {_MODEL_PATIENCE / 60:.0f} minutes"]
    keep = path / "blobs" / "unlogged"
    keep.mkdir(exist_ok=True)
    shutil.copyfile(path / event["blob"], keep / Path(event["blob"]).name)
    return [f"model {event['name']!r} was not logged: {said[-1][:300] if said else 'the process died'}"]
