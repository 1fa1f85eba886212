"""KServe's ``InferenceService`` for a version of a model, as data. https://kserve.github.io/website/docs/reference/crd-api

Either the cluster fetches the model's files and serves them by its MLflow runtime (protocol v2), or it runs an image that holds
them (``deploy --to docker``), named by its digest. Nothing here speaks to a cluster.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

from nbledger.core.errors import Refused, UsageError

STORES = ("s3", "gs", "hdfs", "webhdfs", "http", "https", "pvc", "oci", "hf")
"""The schemes that KServe's storage initializer reads."""

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")
_PINNED = re.compile(r"[a-z0-9][\w.:/-]*@sha256:[0-9a-f]{64}", re.ASCII)
_CPU = re.compile(r"[0-9]+(\.[0-9]+)?m?")
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?")
_SERVER = 8080


@dataclass(frozen=True)
class Wanted:
    """``image`` pinned by its digest, or ``storage``: where the cluster finds the files; ``canary``: percent of the traffic."""

    model: str
    version: str
    digest: str
    run_id: str | None
    storage: str | None = None
    image: str | None = None
    namespace: str | None = None
    canary: int | None = None
    cpu: str = "1"
    memory: str = "2Gi"


def name_of(model: str) -> str:
    """The name of the service: the model's, if that is a DNS label of at most 52 characters; else one made of it, the same each time."""
    if _LABEL.fullmatch(model):
        return model
    words = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:40].strip("-")
    return f"{'' if words[:1].isalpha() else 'm-'}{words}{'-' if words else ''}{hashlib.sha256(model.encode()).hexdigest()[:8]}"


def storage_of(place: str, given: str | None) -> str:
    """Where the cluster is to fetch the files: ``given``, else where MLflow keeps them, if a cluster can read that."""
    uri = given or place
    scheme = urllib.parse.urlsplit(uri).scheme
    if scheme in STORES:
        return uri
    if given:
        raise UsageError(f"KServe cannot fetch {given!r}", f"it reads {', '.join(f'{one}://' for one in STORES)}")
    where = "behind the tracking server" if scheme == "mlflow-artifacts" else f"at {place}"
    raise Refused(
        f"the model's files are {where}, where no cluster can fetch them",
        "--image NAME@sha256:… serves an image that holds them (deploy --to docker --push); --storage-uri says where they are as well",
    )


def manifest(wanted: Wanted) -> dict[str, Any]:
    """The ``InferenceService``. ``UsageError`` for what Kubernetes would not take."""
    for text, rule, what in ((wanted.cpu, _CPU, "CPU"), (wanted.memory, _MEMORY, "memory")):
        if not rule.fullmatch(text):
            raise UsageError(f"{text!r} is no amount of {what}", "e.g. --cpu 500m --memory 2Gi")
    if wanted.namespace is not None and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", wanted.namespace):
        raise UsageError(f"{wanted.namespace!r} is no name of a namespace")
    told = {
        "nbledger/model": wanted.model,
        "nbledger/version": wanted.version,
        "nbledger/model-digest": f"sha256:{wanted.digest}",
    }
    if wanted.run_id:
        told["nbledger/run"] = wanted.run_id
    metadata: dict[str, Any] = {
        "name": name_of(wanted.model),
        "labels": {"app.kubernetes.io/managed-by": "nbledger", "app.kubernetes.io/version": wanted.version},
        "annotations": told,
    }
    if wanted.namespace:
        metadata["namespace"] = wanted.namespace
    predictor: dict[str, Any] = {"minReplicas": 1}
    if wanted.canary is not None:
        predictor["canaryTrafficPercent"] = wanted.canary
    predictor |= _container(wanted) if wanted.image else _runtime(wanted)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {"predictor": predictor},
    }


def _runtime(wanted: Wanted) -> dict[str, Any]:
    """Files that the cluster fetches, served by the MLflow runtime."""
    return {
        "model": {
            "modelFormat": {"name": "mlflow"},
            "protocolVersion": "v2",
            "storageUri": wanted.storage,
            "resources": _resources(wanted),
            "readinessProbe": _probe(f"/v2/models/{name_of(wanted.model)}/ready", 5),
            "livenessProbe": _probe("/v2/health/live", 30),
        }
    }


def _container(wanted: Wanted) -> dict[str, Any]:
    """An image that MLflow built, by its digest: what runs is what was checked."""
    if not _PINNED.fullmatch(wanted.image or ""):
        raise UsageError(
            f"{wanted.image!r} is not pinned by a digest", "NAME@sha256:…, which deploy --to docker --push prints"
        )
    return {
        "containers": [
            {
                "name": "kserve-container",
                "image": wanted.image,
                "ports": [{"containerPort": _SERVER, "protocol": "TCP"}],
                "resources": _resources(wanted),
                "startupProbe": _probe("/ping", 5) | {"failureThreshold": 60},
                "readinessProbe": _probe("/ping", 5),
                "livenessProbe": _probe("/ping", 30),
            }
        ]
    }


def _resources(wanted: Wanted) -> dict[str, dict[str, str]]:
    amount = {"cpu": wanted.cpu, "memory": wanted.memory}
    return {"requests": amount, "limits": dict(amount)}


def _probe(path: str, every: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": _SERVER},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


def text(found: dict[str, Any]) -> str:
    """As YAML that anybody can read and ``kubectl apply``."""
    import yaml

    return str(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=1000))
