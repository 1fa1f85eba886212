"""Let a model predict for two tables, in a process of its own: ``python -m nbledger.core.mlflow_predict JOB``.

Loading a model executes what it holds: whoever starts this has checked that its files are those that were promoted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import mlflow as door
from nbledger.core import mlflow_files
from nbledger.core.driftjob import PREDICTIONS, Job
from nbledger.core.mlflow import _translated

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from nbledger.core.project import Project

_MLMODEL = "MLmodel"


def description(project: Project, api: MlflowClient, source: str, target: Path) -> None:
    """Copy what a model says of itself into the new folder ``target``. Nothing of it is loaded."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from nbledger.core.mlflow_write import without_bars

    uri = door.with_login(project, project.tracking_uri)
    where = mlflow_files.place(api, uri, source)
    door.refuse_elsewhere(project, where)
    target.mkdir(parents=True)
    with _translated(uri), without_bars():
        get_artifact_repository(where, tracking_uri=uri).download_artifacts(_MLMODEL, str(target))


def columns(folder: Path) -> tuple[str, ...] | None:
    """The columns that a model takes, by the signature in its description; None where it does not name them."""
    import yaml

    try:
        told = yaml.safe_load((folder / _MLMODEL).read_text(encoding="utf-8"))
        inputs = json.loads(told["signature"]["inputs"])
        names = tuple(str(one["name"]) for one in inputs)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
    return names or None


def predictions(job: Job) -> dict[str, Any]:
    """{"reference": predictions for its rows, "data": …}; the columns that the model takes are those of its signature, else all
    but the target.
    """
    import mlflow

    from nbledger.core import drifttable

    assert job.model is not None
    model = mlflow.pyfunc.load_model(str(job.model))
    inputs = model.metadata.get_input_schema()
    wanted = list(inputs.input_names()) if inputs is not None and inputs.has_input_names() else None
    needed = set(inputs.required_input_names()) if wanted else set()
    found: dict[str, Any] = {}
    for side, files in (("reference", job.reference), ("data", job.data)):
        frame = drifttable.read(files.paths, files.names, job.limits.rows).frame
        if lacking := sorted(needed - set(frame.columns)):
            return {"error": f"it takes the column {lacking[0]!r}, which {_NAMED[side]} not"}
        names = [name for name in wanted if name in frame.columns] if wanted else _features(frame, job)
        found[side] = _flat(model.predict(_fitting(frame[names], inputs)))
        if len(found[side]) != len(frame):
            return {"error": f"it gives {len(found[side])} predictions for {len(frame)} rows"}
    return found


_NAMED = {"reference": "the reference has", "data": "the new data have"}


def _features(frame: pd.DataFrame, job: Job) -> list[str]:
    return [name for name in frame.columns if name not in (job.target, job.prediction)]


def _fitting(frame: pd.DataFrame, inputs: Any) -> pd.DataFrame:
    """Whole numbers that arrived with an empty cell or as fractions, as the signature wants them where nothing is lost."""
    if inputs is None or not inputs.has_input_names():
        return frame
    made = {}
    for spec in inputs.inputs:
        kind, name = str(getattr(spec.type, "name", "")), spec.name
        if name in frame.columns and kind in _KINDS and frame[name].dtype != _KINDS[kind]:
            values = frame[name]
            if values.dtype.kind in "iuf" and not (kind in ("integer", "long") and values.isna().any()):
                made[name] = values.astype(_KINDS[kind])
    return frame.assign(**made) if made else frame


_KINDS = {"integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


def _flat(made: Any) -> list[Any]:
    """Predictions as one value a row. Of several columns (a probability for each class) none is the prediction."""
    import numpy as np

    values = np.asarray(made)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"it predicts a table of shape {values.shape}, not one value a row")
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def main(path: Path) -> int:
    job = Job.load(path)
    try:
        answer = predictions(job)
        text = json.dumps(answer, default=str)
    except Exception as err:  # whatever a model does
        text = json.dumps({"error": " ".join(f"{type(err).__name__}: {err}".split())[:300]})
    (job.folder / PREDICTIONS).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
