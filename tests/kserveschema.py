"""Whether a manifest is what KServe and Kubernetes take: by the models of KServe's own package, by the client of Kubernetes, and
(for the container in it) by the schema of Kubernetes.

KServe's package is not installed as such, for it pins an old pandas: its models are read from ``tests/kserve/site``.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path
from typing import Any

SITE = Path(__file__).parent / "kserve" / "site"
_PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object, "datetime": str}


def _kserve() -> Any:
    """``kserve.models``, without running what ``kserve`` itself imports."""
    if not (SITE / "kserve" / "models").is_dir():
        command = "pip install --no-deps --require-hashes --target tests/kserve/site -r tests/kserve/requirements.txt"
        raise RuntimeError(f"KServe's package is needed for this test: {command}")
    package = sys.modules.setdefault("kserve", types.ModuleType("kserve"))
    package.__path__ = [str(SITE / "kserve")]
    return importlib.import_module("kserve.models")


def check(manifest: dict[str, Any]) -> None:
    """Raise for a key that is not KServe's, a value of the wrong type, or a word that is missing."""
    import kubernetes_validate

    _walk(manifest, "V1beta1InferenceService", "")
    predictor = manifest["spec"]["predictor"]
    containers = predictor.get("containers") or [_as_container(predictor["model"])]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": {"containers": containers}}
    kubernetes_validate.validate(pod, "1.37", strict=True)


def _as_container(model: dict[str, Any]) -> dict[str, Any]:
    """The parts of a model's specification that are those of a container."""
    own = {"modelFormat", "protocolVersion", "storageUri", "runtime", "runtimeVersion", "storage"}
    return {"name": "model", "image": "x"} | {key: value for key, value in model.items() if key not in own}


def _walk(value: Any, kind: str, at: str) -> None:
    if kind in _PLAIN:
        assert isinstance(value, _PLAIN[kind]), f"{at} is no {kind}"
        assert not (kind == "int" and isinstance(value, bool)), f"{at} is no int"
    elif found := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        assert isinstance(value, list), f"{at} is no list"
        for number, one in enumerate(value):
            _walk(one, found[1], f"{at}[{number}]")
    elif found := re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", kind):
        assert isinstance(value, dict), f"{at} is no table"
        for key, one in value.items():
            _walk(one, found[1], f"{at}.{key}")
    else:
        _object(value, _model(kind), at)


def _object(value: Any, model: Any, at: str) -> None:
    assert hasattr(model, "openapi_types"), f"{at} is of an unknown kind"
    assert isinstance(value, dict), f"{at} is no object"
    names = {there: here for here, there in model.attribute_map.items()}
    assert value.keys() <= names.keys(), f"{at} has {value.keys() - names.keys()}"
    for key, one in value.items():
        _walk(one, model.openapi_types[names[key]], f"{at}.{key}")
    model(**{names[key]: one for key, one in value.items()})  # which raises for what is missing


def _model(kind: str) -> Any:
    import kubernetes.client.models as plain

    found = getattr(_kserve(), kind, None)
    return found if found is not None else getattr(plain, kind, None)
