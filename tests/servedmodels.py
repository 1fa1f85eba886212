"""Registered models for the tests of deployment, saved by MLflow itself and registered by its plain client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger import client, uri
from nbledger.core import mlflow, modeldigest
from nbledger.core.project import find

BROKEN = """
import os
import threading
import time

import mlflow
import pandas as pd


class Broken(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        if "{kind}" == "silent":
            time.sleep(600)
        if "{kind}" == "dies":
            threading.Timer(2, os._exit, [1]).start()

    def predict(self, context, model_input, params=None):
        if "{kind}" == "raises":
            raise ValueError("no such wine")
        return [2] * len(model_input)


mlflow.models.set_model(Broken())
"""


def saved(folder: Path, factor: float, kind: str = "good", expected: list[Any] | None = None) -> Path:
    """A model that multiplies by ``factor`` what it gets in the column ``x``, or one that is broken."""
    import pandas as pd
    from mlflow import pyfunc, sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    example = pd.DataFrame({"x": [1.0, 2.0]})
    more: dict[str, Any] = {"input_example": example, "pip_requirements": ["scikit-learn"]}
    more["metadata"] = {"nbledger.example_predictions": expected} if expected is not None else None
    if kind == "good":
        data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
        model = LinearRegression(fit_intercept=False).fit(data, data["x"] * factor)
        signature = infer_signature(example, model.predict(example))
        sklearn.save_model(model, folder, signature=signature, serialization_format="cloudpickle", **more)
    else:
        code = folder.with_suffix(".py")
        code.write_text(BROKEN.replace("{kind}", kind))
        signature = infer_signature(example, [2.0, 2.0])
        del more["input_example"]  # or MLflow would ask it for a prediction
        pyfunc.save_model(folder, python_model=str(code), signature=signature, **more)
        (folder / "serving_input_example.json").write_text(
            '{"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}}'
        )
        with open(folder / "MLmodel", "a") as file:
            file.write(
                "saved_input_example_info:\n  artifact_path: input_example.json\n  type: dataframe\n"
                "  serving_input_path: serving_input_example.json\n"
            )
    return folder


def registered(root: Path, name: str, folder: Path, *, where: str | None = None, digest: bool = True) -> str:
    """The number of a new version of the registered model ``name``, made of the model in ``folder``, which is its champion."""
    if where is None:
        mlflow.ensure_embedded(find(root))
    api = client(where or uri(root))
    known = api.get_experiment_by_name("models")
    experiment = known.experiment_id if known else api.create_experiment("models")
    run = api.create_run(experiment, run_name=f"train {folder.name}").info.run_id
    model = api.create_logged_model(experiment, name="model", source_run_id=run)
    api.log_model_artifacts(model.model_id, str(folder))
    api.finalize_logged_model(model.model_id, "READY")
    api.set_terminated(run)
    if name not in [one.name for one in api.search_registered_models()]:
        api.create_registered_model(name)
    import mlflow as plain

    plain.set_tracking_uri(where or uri(root))  # MLflow's own store looks the model up there
    version = api.create_model_version(name, f"models:/{model.model_id}", run, model_id=model.model_id).version
    if digest:
        api.set_model_version_tag(name, version, modeldigest.TAG, modeldigest.digest(folder))
    api.set_registered_model_alias(name, "champion", version)
    return str(version)


def artifacts(root: Path, name: str, version: str) -> Path:
    """Where the store has the files of a version."""
    api = client(uri(root))
    source = api.get_model_version(name, version).source
    place = api.get_logged_model(source.removeprefix("models:/")).artifact_location
    return Path(place.removeprefix("file://"))
