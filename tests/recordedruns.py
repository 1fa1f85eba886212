"""Runs as nbledger records them, made in a moment: what they read and wrote is given, not done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbledger.core import mlflow_write, wrote
from nbledger.core.lineage import DVC, FileRecord, record_to_dict
from nbledger.core.project import find

BEGAN = 1_790_000_000_000
"""ms since the epoch; run number N begins N minutes later, and takes one."""


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def file(path: str, text: str, *, dataset: str = "", digest: str = "") -> FileRecord:
    """A file of that content; with ``dataset``, in a folder that DVC tracks."""
    state = DVC if dataset else "untracked"
    return FileRecord(path, len(text), md5(text), state, digest=digest or None, dataset=dataset or None)


def recorded(
    root: Path,
    api: Any,
    number: int,
    name: str,
    reads: tuple[FileRecord, ...] = (),
    writes: tuple[FileRecord, ...] = (),
    *,
    status: str = "FINISHED",
    tags: Mapping[str, str] | None = None,
    tagged: bool = True,
    record: bool = True,
) -> str:
    """A run; its id. ``tagged``: whether a tag says what it wrote (older versions had none); ``record``: whether it has its
    files of artifacts.
    """
    here = find(root)
    known = api.get_experiment_by_name(here.experiment)
    experiment = known.experiment_id if known else api.create_experiment(here.experiment)
    began = BEGAN + number * 60_000
    given = {"nbledger.schema": "2", "mlflow.source.name": f"{name}.ipynb", "mlflow.source.type": "NOTEBOOK"}
    given |= {wrote.TAG: wrote.text(writes)} if tagged else {}
    run = api.create_run(experiment, start_time=began, run_name=name, tags={**given, **(tags or {})}).info.run_id
    named = {(one.dataset or one.path): one.digest or one.md5 or "" for one in reads}
    mlflow_write.log_datasets(api, here.tracking_uri, run, [(path, digest, path) for path, digest in named.items()])
    if record:
        folder = root / ".nbledger" / "made" / run
        folder.mkdir(parents=True)
        listed = {"inputs": [record_to_dict(one) for one in reads]}
        (folder / "inputs.json").write_text(json.dumps({**listed, "modules": [], "unseen": []}))
        (folder / "outputs.json").write_text(json.dumps({"outputs": [record_to_dict(one) for one in writes]}))
        mlflow_write.log_folder(api, here.tracking_uri, run, folder, "nbledger")
    api.set_terminated(run, status, end_time=began + 60_000)
    return str(run)
