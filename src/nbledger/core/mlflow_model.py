"""Log one model through MLflow's own flavour, in a process of its own: ``python -m nbledger.core.mlflow_model SPEC``.

The kernel only serialises the object; importing MLflow and the flavour, inferring the signature and writing the model
happen here. SPEC is a JSON file: {"pickle", "uri", "run_id", "name", "requirements", "paths", "key", "lock"}.

A publisher that was killed meanwhile is followed by another, perhaps while its child is still at work: the second waits
for ``lock``, and finds by the tag ``nbledger.model`` the model that the first has made, or begun.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import files, smoke

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

MODEL_TAG = "nbledger.model"
_PATIENCE = 540.0
_FLAVORS = {
    "sklearn": ("sklearn", "sk_model"),
    "xgboost": ("xgboost", "xgb_model"),
    "lightgbm": ("lightgbm", "lgb_model"),
    "catboost": ("catboost", "cb_model"),
    "torch": ("pytorch", "pytorch_model"),
    "keras": ("keras", "model"),
    "statsmodels": ("statsmodels", "statsmodels_model"),
    "prophet": ("prophet", "pr_model"),
    "spacy": ("spacy", "spacy_model"),
    "onnx": ("onnx", "onnx_model"),
    "mlflow": ("pyfunc", "python_model"),
}


def flavor_of(model: Any) -> tuple[str, str] | None:
    """(MLflow flavour module, name of its model argument) by the packages of the object's class and its bases."""
    for cls in type(model).__mro__:
        found = _FLAVORS.get(cls.__module__.split(".")[0])
        if found:
            return found
    return None


def log_model(spec: dict[str, Any]) -> str:
    """Log the model that ``spec`` names to its run; the URI MLflow gave it."""
    import cloudpickle
    import mlflow
    from mlflow.models import Model, infer_signature

    sys.path[:0] = [path for path in spec["paths"] if path not in sys.path]
    payload = cloudpickle.loads(Path(spec["pickle"]).read_bytes())
    model, example = payload["model"], payload["example"]
    flavor = flavor_of(model)
    if flavor is None:
        raise TypeError(f"MLflow has no flavour for {type(model).__module__}.{type(model).__qualname__}")
    module = getattr(mlflow, flavor[0])
    uri = os.environ.get("NBLEDGER_STORE") or spec["uri"]  # the latter without its password
    mlflow.set_tracking_uri(uri)
    run = mlflow.get_run(spec["run_id"])
    experiment = run.info.experiment_id
    begun = _begun(mlflow.MlflowClient(uri), experiment, spec)
    if begun is not None and begun.status == "READY":
        return str(begun.model_uri)
    made = run.outputs.model_outputs if run.outputs is not None else []
    if begun is not None and begun.model_id in [output.model_id for output in made]:
        # A SQL store refuses to be told twice that the run made this model. This process logs no other.
        mlflow.MlflowClient.log_outputs = lambda *words, **options: None
    mlflow.set_experiment(experiment_id=experiment)  # else the default one
    signature = metadata = None
    if example is not None and hasattr(model, "predict"):
        predicted = model.predict(example)
        signature = infer_signature(example, predicted)
        if flavor[0] == "sklearn":  # of which a server answers what ``predict`` gives
            metadata = smoke.remembered(predicted)
    extra = {"serialization_format": "cloudpickle"} if flavor[0] == "sklearn" else {}
    info = Model.log(
        artifact_path=None,
        name=spec["name"],
        flavor=module,
        run_id=spec["run_id"],
        model_id=begun.model_id if begun is not None else None,
        tags={MODEL_TAG: spec["key"]},
        signature=signature,
        input_example=example,
        metadata=metadata,
        pip_requirements=spec["requirements"] or module.get_default_pip_requirements(),
        **{flavor[1]: model},
        **extra,
    )
    return str(info.model_uri)


def _begun(client: MlflowClient, experiment: str, spec: dict[str, Any]) -> LoggedModel | None:
    """The logged model that an interrupted publication of this journal made."""
    token = None
    while True:
        page = client.search_logged_models(
            [experiment], f"source_run_id = '{spec['run_id']}'", max_results=50, page_token=token
        )
        for model in page:
            if model.tags.get(MODEL_TAG) == spec["key"]:
                return model
        token = page.token
        if not token:
            return None


def main(spec: dict[str, Any]) -> str:
    with files.lock(Path(spec["lock"]), timeout=_PATIENCE, what="the model"):
        return log_model(spec)


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    sys.stdout.write(json.dumps({"model_uri": main(json.loads(Path(sys.argv[1]).read_text()))}))
