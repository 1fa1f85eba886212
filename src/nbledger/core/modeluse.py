"""Models that a run loaded: of MLflow's registry, of the store, or of another run. They are part of what the run came from.

Every way in MLflow of loading a model by name (``mlflow.pyfunc.load_model``, that of each flavour, ``mlflow.artifacts``) fetches
its files through one of two classes, whose ``download_artifacts`` is watched from the moment that the user's code imports
MLflow. What was fetched says itself in its ``MLmodel`` which model it is, and which run logged it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nbledger.core import observe
from nbledger.core.importwatch import when_imported

TAG = "nbledger.models"
"""Tag of a run: ``{name/version: [model id, run that logged it, alias]}`` of the models that it loaded, as JSON in ASCII."""
_LONGEST = 4_000
"""Characters; every store takes as many."""
_MLMODEL = "MLmodel"
_SAID = re.compile(rb"^(model_id|run_id): *['\"]?([\w-]{1,64})['\"]? *$", re.MULTILINE)
_READ = 1 << 20
"""Bytes of an ``MLmodel`` that are looked through."""
_CLASSES = {
    "mlflow.store.artifact.models_artifact_repo": "ModelsArtifactRepository",
    "mlflow.store.artifact.runs_artifact_repo": "RunsArtifactRepository",
}


@dataclass(frozen=True)
class ModelUse:
    """A model that was loaded. ``name`` and ``version`` are empty where it was not named by the registry; ``model_id``
    (``m-…``) is MLflow 3's; ``run``: the run that logged it; ``alias``: by which it was asked for.
    """

    name: str = ""
    version: str = ""
    model_id: str = ""
    run: str = ""
    alias: str = ""

    @property
    def label(self) -> str:
        """``name/version``, or else the model's id, or the run that logged it."""
        return f"{self.name}/{self.version}" if self.name else self.model_id or f"model of {self.run[:8]}"

    @property
    def words(self) -> str:
        """What was used, for people."""
        also = [f"as {self.alias}" if self.alias else "", self.model_id if self.name else ""]
        said = ", ".join(filter(None, also))
        return self.label + (f" ({said})" if said else "")


def text(uses: Iterable[ModelUse]) -> str:
    """The tag's value; what it has no room for is left out."""
    kept: dict[str, list[str]] = {}
    for use in uses:
        longer = {**kept, use.label: [use.model_id, use.run, use.alias]}
        if len(json.dumps(longer, separators=(",", ":"))) <= _LONGEST:
            kept = longer
    return json.dumps(kept, separators=(",", ":"))


def read(value: str | None) -> tuple[ModelUse, ...]:
    """What ``text`` wrote; nothing where it is missing, or is anything else (people can edit tags)."""
    try:
        return tuple(_use(str(label), facts) for label, facts in json.loads(value or "{}").items())
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()


def _use(label: str, facts: Any) -> ModelUse:
    model, run, alias = (str(one) for one in facts)
    name, slash, version = label.rpartition("/")
    return ModelUse(name, version, model, run, alias) if slash else ModelUse("", "", model, run, alias)


def distinct(uses: Iterable[ModelUse]) -> tuple[ModelUse, ...]:
    """Each model once: what is known of it by its name in the registry counts more than its bare id."""
    listed = list(dict.fromkeys(uses))
    named = {use.model_id for use in listed if use.name and use.model_id}
    kept = {use.label: use for use in listed if use.name or use.model_id not in named}
    return tuple(kept.values())


# ── watching ─────────────────────────────────────────────────────────────────────────────────────────────


def install() -> None:
    """Watch MLflow's classes that fetch models, as soon as they are there. MLflow is not imported."""
    for module in _CLASSES:
        when_imported(module, _watch)


def _watch(module: ModuleType) -> None:
    fetcher = getattr(module, _CLASSES[module.__name__])
    original = fetcher.download_artifacts
    if getattr(original, "__nbledger__", False):
        return

    @functools.wraps(original)
    def download_artifacts(self: Any, artifact_path: str, *args: Any, **kwargs: Any) -> Any:
        place = original(self, artifact_path, *args, **kwargs)
        if observe.watching():
            with contextlib.suppress(Exception), observe.unwatched():
                _tell(_found(self, str(place)))
        return place

    download_artifacts.__nbledger__ = True  # type: ignore[attr-defined]
    fetcher.download_artifacts = download_artifacts


def _found(repository: Any, place: str) -> ModelUse | None:
    """The model whose files lie at ``place``; None where that is no model."""
    try:
        with open(os.path.join(place, _MLMODEL), "rb") as file:
            said = {key.decode(): value.decode() for key, value in _SAID.findall(file.read(_READ))}
    except OSError:
        return None
    name, version = (str(getattr(repository, key, None) or "") for key in ("model_name", "model_version"))
    address = str(getattr(repository, "artifact_uri", ""))
    alias = address.rpartition("@")[2] if name and "@" in address.rpartition("/")[2] else ""
    model_id, run = said.get("model_id", ""), said.get("run_id", "")
    return ModelUse(name, version, model_id, run, alias) if name or model_id or run else None


def _tell(use: ModelUse | None) -> None:
    if use is not None:
        observe.saw_model(use)
