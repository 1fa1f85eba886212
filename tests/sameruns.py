"""What a project's store holds of each run, read with plain MLflow and Git, without what is another one each time: ids, times
and places. Two executions of one notebook leave the same of it, whatever executed them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ledger
from conftest import git
from nbledger.core import cells

Fields = dict[str, Any]

ALWAYS = {
    "tag mlflow.log-model.history",  # MLflow's own note of the model: ids and times
    "tag nbledger.journal",  # an id
    "tag nbledger.manifest",  # the digest of a file that is compared itself
    "artifact nbledger/environment.json: hashing",  # of the interpreter's own seed of hashes, another in each process
}
_COMMITS = ("mlflow.source.git.commit", "nbledger.snapshot")
_A_TIME = 1_600_000_000_000
"""Milliseconds since the epoch: no number that a notebook of the tests comes to."""
_TIMES = {"at", "started", "start", "end", "ended", "mtime", "mtime_ns", "seconds"}


def records(root: Path) -> dict[str, Fields]:
    """{name of the run: {field: value}} of all published runs of the project's own store."""
    runs = ledger.runs(root, flushed=False)
    ids = _ids(root, runs)
    return {run.info.run_name: {k: v for k, v in _fields(root, run, ids) if k not in ALWAYS} for run in runs}


def _ids(root: Path, runs: Iterable[Any]) -> dict[str, str]:
    """Everything that stands for a run, a commit or a place, and what is put for it."""
    known = {str(root): "<root>", str(root.resolve()): "<root>"}
    known |= dict.fromkeys(git(root, "rev-list", "--all").split(), "<commit>")
    for run in runs:
        name, tags = run.info.run_name, run.data.tags
        known |= {run.info.run_id: f"<run {name}>", tags.get("nbledger.journal", run.info.run_id): f"<journal {name}>"}
        for model in run.outputs.model_outputs if run.outputs else ():
            known[model.model_id] = "<model>"
    return known


def _fields(root: Path, run: Any, ids: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    api = ledger.client(ledger.uri(root))
    yield "status", run.info.status
    yield "experiment", api.get_experiment(run.info.experiment_id).name
    for key, value in run.data.params.items():
        yield f"param {key}", value
    for key in run.data.metrics:
        yield f"metric {key}", [(m.step, repr(m.value)) for m in api.get_metric_history(run.info.run_id, key)]
    for key, value in run.data.tags.items():
        if key in _COMMITS:
            yield f"tag {key}", _tree(root, value)
        else:
            yield f"tag {key}", _settled(value, ids)
    for used in run.inputs.dataset_inputs:
        yield (
            f"input {used.dataset.name}",
            (used.dataset.digest, used.dataset.source, [(t.key, t.value) for t in used.tags]),
        )
    for made in run.outputs.model_outputs if run.outputs else ():
        model = api.get_logged_model(made.model_id)
        yield f"model {model.name}", (model.status, model.model_type)
        yield from _files(_place(model.artifact_location), f"model {model.name}: ", ids)
    yield from _files(_place(run.info.artifact_uri), "artifact ", ids)


def _place(uri: str) -> Path:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))


def _tree(root: Path, commit: str) -> dict[str, str]:
    """What a commit holds; a notebook by its code."""
    found = {}
    for line in git(root, "ls-tree", "-r", commit).splitlines():
        meta, _, path = line.partition("\t")
        blob = meta.split()[2]
        if path.endswith(".ipynb"):
            parsed = cells.parse_notebook(git(root, "cat-file", "blob", blob)) or ()
            blob = cells.digest(cell.source for cell in parsed)
        found[path] = blob
    return found


def _files(folder: Path, prefix: str, ids: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    """Each file; of JSON each of its values."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = f"{prefix}{path.relative_to(folder).as_posix()}"
        try:
            text = _settled(path.read_text(encoding="utf-8"), ids)
        except UnicodeDecodeError:
            yield name, hashlib.md5(path.read_bytes()).hexdigest()
            continue
        if path.suffix in (".json", ".ipynb"):
            found = json.loads(text)
            listed = found.get("cells", ())
            if listed:
                yield f"{name}: cell ids", [cell.pop("id", None) for cell in listed]
            for cell in listed:  # of what was shown its kind: a summary tells the time that a run took
                if "outputs" in cell:
                    cell["outputs"] = [(o["output_type"], sorted(o.get("data", ()))) for o in cell["outputs"]]
            yield from _values(name, found)
        else:
            yield name, text if path.suffix != ".html" else "<page>"


def _values(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The values of a JSON object, in depth, as fields of their own, without times; events by their kind."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if key not in _TIMES:
                yield from _values(f"{name}{'.' if ': ' in name else ': '}{key}", inner)
    elif isinstance(value, list) and value and all(isinstance(one, dict) and "t" in one for one in value):
        for kind, together in itertools.groupby(value, lambda event: event["t"]):
            for number, event in enumerate(together):
                yield from _values(f"{name}.{kind}{number or ''}", {k: v for k, v in event.items() if k != "t"})
    else:
        yield name, _timeless(value)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in _TIMES}
    if not isinstance(value, list):
        return "<time>" if isinstance(value, int) and value > _A_TIME else value
    return [_timeless(v) for v in value]


def _settled(text: str, ids: Mapping[str, str]) -> str:
    for known in sorted(ids, key=len, reverse=True):
        text = text.replace(known, ids[known])
    return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", "<time>", text)


def differences(one: Fields, other: Fields) -> dict[str, tuple[Any, Any]]:
    """{field: (its value in each)} where these differ; None for one that is not there."""
    missing = object()
    return {
        key: (one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key, missing) != other.get(key, missing)
    }
