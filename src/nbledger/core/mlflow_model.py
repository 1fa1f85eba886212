"""Log one model through MLflow's own flavour, in a process of its own: ``python -m nbledger.core.mlflow_model SPEC``.

The kernel only serialises the object; importing MLflow and the flavour, inferring the signature and writing the model
happen here. SPEC is a JSON file: {"pickle", "uri", "run_id", "name", "requirements", "paths"}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

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
    mlflow.set_tracking_uri(spec["uri"])
    mlflow.set_experiment(experiment_id=mlflow.get_run(spec["run_id"]).info.experiment_id)  # else the default one
    signature = None
    if example is not None and hasattr(model, "predict"):
        signature = infer_signature(example, model.predict(example))
    extra = {"serialization_format": "cloudpickle"} if flavor[0] == "sklearn" else {}
    info = Model.log(
        artifact_path=None,
        name=spec["name"],
        flavor=module,
        run_id=spec["run_id"],
        signature=signature,
        input_example=example,
        pip_requirements=spec["requirements"] or module.get_default_pip_requirements(),
        **{flavor[1]: model},
        **extra,
    )
    return str(info.model_uri)


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    sys.stdout.write(json.dumps({"model_uri": log_model(json.loads(Path(sys.argv[1]).read_text()))}))
