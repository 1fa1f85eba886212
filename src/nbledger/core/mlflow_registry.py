"""The registry of models through MLflow: what is registered, and the ways in. No model is ever loaded."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbledger.core.errors import UsageError, nearest
from nbledger.core.mlflow import _translated
from nbledger.core.mlflow_lock import is_lock
from nbledger.core.wording import some

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_LINKS = "mlflow.modelVersions"
_HISTORY = "mlflow.log-model.history"
_MOST_LOGGED, _MOST_PAGES, _MOST_MODELS = 50, 5, 1_000
_global = threading.Lock()


@dataclass(frozen=True)
class Logged:
    """A model that a run logged. ``source`` is what a version of it is made from: ``models:/m-…`` of MLflow 3, the place
    of the artifacts of a run that an older one recorded.
    """

    name: str
    source: str
    model_id: str | None = None
    at: int = 0


@dataclass(frozen=True)
class Registered:
    """A registered model with its newest versions; ``count`` of them there are."""

    name: str
    description: str
    aliases: dict[str, str]
    versions: list[ModelVersion] = field(default_factory=list)
    whole: bool = True


def models(api: MlflowClient, uri: str, most: int, most_versions: int) -> tuple[list[Registered], bool]:
    """Every registered model by name, at most ``most``, each with its newest versions; whether those are all."""
    with _translated(uri):
        found: list[RegisteredModel] = []
        token = None
        while len(found) <= most:
            page = api.search_registered_models(max_results=100, order_by=["name ASC"], page_token=token)
            found += [one for one in page if not is_lock(one.name)]
            token = page.token
            if not token:
                break
        every = _every_version(api)
        return [_registered(api, one, most_versions, every) for one in found[:most]], len(found) <= most


def _every_version(api: MlflowClient) -> dict[str, list[ModelVersion]] | None:
    """{model: its versions} by few questions; None where there are very many."""
    found: dict[str, list[ModelVersion]] = {}
    token = None
    for _ in range(_MOST_PAGES):
        page = api.search_model_versions(max_results=1000, page_token=token)
        for one in page:
            found.setdefault(str(one.name), []).append(one)
        token = page.token
        if not token:
            return found
    return None


def runs_of_versions(api: MlflowClient, uri: str) -> set[str]:
    """The runs that versions of registered models were made of, every version of every model."""
    found: set[str] = set()
    with _translated(uri):
        token = None
        while True:
            page = api.search_model_versions(max_results=1000, page_token=token)
            for one in page:
                made = str(one.run_id or "")
                source = str(one.source or "")
                if not made and source.startswith("models:/m-"):
                    made = str(api.get_logged_model(source.removeprefix("models:/")).source_run_id or "")
                found.add(made)
            token = page.token
            if not token:
                return found - {""}


def model(api: MlflowClient, uri: str, name: str) -> RegisteredModel | None:
    """The registered model of that name; None where there is none."""
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        # a search reads the newest versions alone, where asking for one model reads every version that it has
        with contextlib.suppress(MlflowException):
            found = [one for one in api.search_registered_models(_named(name), max_results=1) if one.name == name]
            if found:
                return found[0]
        try:
            return api.get_registered_model(name)
        except MlflowException as err:
            if err.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def existing(api: MlflowClient | None, uri: str, name: str) -> RegisteredModel:
    """The registered model of that name; ``UsageError`` with the nearest names where there is none. Without a client there is
    no store yet, and so no model.
    """
    known = model(api, uri, name) if api is not None and name else None
    if known is None:
        raise none_such(api, uri, name)
    return known


def none_such(api: MlflowClient | None, uri: str, name: str) -> UsageError:
    """What to raise where no registered model is called so."""
    names = [one.name for one in models(api, uri, _MOST_MODELS, 1)[0]] if api is not None else []
    hint = nearest(name, names) or (
        f"there are: {some(names, 10)}" if names else "nbledger promote RUN --model NAME makes one"
    )
    return UsageError(f"there is no registered model {name!r}", hint)


def pointed(api: MlflowClient, uri: str, name: str, alias: str) -> str | None:
    """The version that an alias points at, asked for alone: whatever else the model has is not read."""
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            return str(api.get_model_version_by_alias(name, alias).version)
        except MlflowException as err:
            if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _registered(
    api: MlflowClient, known: RegisteredModel, most: int, every: dict[str, list[ModelVersion]] | None
) -> Registered:
    aliases = {str(alias): str(version) for alias, version in known.aliases.items()}
    if every is None:
        page = api.search_model_versions(_named(known.name), max_results=most, order_by=["version_number DESC"])
        listed, whole = [one for one in page if one.name == known.name], not page.token
    else:
        ordered = sorted(every.get(known.name, []), key=lambda one: int(one.version), reverse=True)
        listed, whole = ordered[:most], len(ordered) <= most
    held = {str(one.version) for one in listed}
    used = [number for number in dict.fromkeys(aliases.values()) if number not in held]
    listed += [api.get_model_version(known.name, number) for number in used]  # shown, however old
    return Registered(known.name, known.description or "", aliases, listed, whole)


def _named(name: str) -> str:
    """MLflow's filter for a name. A text with both kinds of quotes cannot be written there: a wildcard stands for one."""
    if "'" not in name:
        return f"name = '{name}'"
    return f'name = "{name}"' if '"' not in name else f"name LIKE '{name.replace(chr(39), '_')}'"


def versions_of_run(api: MlflowClient, uri: str, run_id: str, most: int) -> list[ModelVersion]:
    """The model versions that were made from a run."""
    with _translated(uri):
        return list(api.search_model_versions(f"run_id = '{run_id}'", max_results=most))


def version(api: MlflowClient, uri: str, name: str, number: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            return api.get_model_version(name, number)
        except MlflowException as err:
            if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def logged_by(api: MlflowClient, uri: str, run: Run) -> list[Logged]:
    """The models that a run logged, the newest first; those of MLflow 2 lie among its artifacts."""
    with _translated(uri):
        found = [
            Logged(one.name, f"models:/{one.model_id}", one.model_id, int(one.creation_timestamp))
            for one in _logged_models(api, run)
            if getattr(one.status, "value", one.status) == "READY"
        ]
    names = {one.name for one in found}
    return sorted([*found, *(one for one in _artifacts(run) if one.name not in names)], key=lambda m: -m.at)


def _logged_models(api: MlflowClient, run: Run) -> Iterator[Any]:
    """Those that name the run as their source, and those that the run names, which may belong to another experiment."""
    from mlflow.exceptions import MlflowException

    known = set()
    try:
        text = f"source_run_id = '{run.info.run_id}'"
        for one in api.search_logged_models([run.info.experiment_id], filter_string=text, max_results=_MOST_LOGGED):
            known.add(one.model_id)
            yield one
    except (MlflowException, NotImplementedError):  # a server of MLflow 2 knows no such models
        return
    named = [output.model_id for output in run.outputs.model_outputs] if run.outputs else []
    for model_id in [i for i in dict.fromkeys(named) if i not in known][:_MOST_LOGGED]:
        with contextlib.suppress(MlflowException):  # deleted
            yield api.get_logged_model(model_id)


def _artifacts(run: Run) -> list[Logged]:
    try:
        told = json.loads(run.data.tags.get(_HISTORY, "[]"))
        paths = [str(one["artifact_path"]) for one in told if not one.get("model_id")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    place = str(run.info.artifact_uri).rstrip("/")
    return [Logged(path, f"{place}/{path}") for path in dict.fromkeys(paths) if path]


def chosen(found: list[Logged], wanted: str, run: str) -> Logged:
    """The model of that name or id, the newest of several; without one the run's only model."""
    if not found:
        raise UsageError(f"the run {run} logged no model", "%%mlrun --model VARIABLE logs one with the run")
    names = list(dict.fromkeys(m.name for m in found))
    if not wanted and len(names) > 1:
        raise UsageError(f"the run logged {len(names)} models", f"choose one: {', '.join(names[:10])}")
    fitting = [m for m in found if wanted in ("", m.name, m.model_id)]
    if not fitting:
        hint = nearest(wanted, names) or f"there are: {', '.join(names[:10])}"
        raise UsageError(f"the run logged no model {wanted!r}", hint)
    return fitting[0]


def version_made_of(api: MlflowClient, uri: str, name: str, run_id: str, logged: Logged) -> str | None:
    """The version of the registered model ``name`` that this very logged model is already, the newest of several."""
    made = versions_of_run(api, uri, run_id, 200)
    same = [int(v.version) for v in made if v.name == name and v.source == logged.source]
    return str(max(same)) if same else None


def writer(api: MlflowClient) -> Any:
    """By what a model that is known to be one is written to. MLflow's own client reads the whole model, each of its versions,
    before every single write, lest it be a prompt; the registry behind it does not.
    """
    behind = getattr(api, "_get_registry_client", None)
    return behind() if behind is not None else api


def tag_version(api: MlflowClient, uri: str, name: str, number: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version of a registered model."""
    with _translated(uri):
        for key, text in tags.items():
            writer(api).set_model_version_tag(name, number, key, text)


def versions_tagged(api: MlflowClient, uri: str, key: str, text: str, most: int) -> list[ModelVersion]:
    """At most ``most`` versions of any model that have this tag with this text (a word without quotes)."""
    with _translated(uri):
        return list(api.search_model_versions(f"tags.`{key}` = '{text}'", max_results=most))


def check_names(name: str, alias: str) -> None:
    """``UsageError`` where MLflow does not take the name of a model, or (unless it is empty) the alias."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import (
        _validate_model_alias_name,
        _validate_model_alias_name_reserved,
        _validate_model_name,
    )

    try:
        _validate_model_name(name)
        if is_lock(name):
            raise UsageError(f"{name[:60]!r} is the name of a lock, and no model's")
    except MlflowException as err:
        raise UsageError(f"{name!r} cannot be a model's name", " ".join(str(err).split())[:200]) from err
    try:
        if alias:
            _validate_model_alias_name(alias)
            _validate_model_alias_name_reserved(alias)
    except MlflowException as err:
        raise UsageError(f"{alias!r} cannot be an alias", " ".join(str(err).split())[:200]) from err


def register(api: MlflowClient, uri: str, name: str, logged: Logged, run_id: str) -> str:
    """Make a logged model the newest version of the registered model ``name``, which is made if need be; its number."""
    from mlflow.exceptions import MlflowException

    with _translated(uri), _as_global(uri):
        try:
            api.create_registered_model(name)
        except MlflowException as err:
            if err.error_code == "INVALID_PARAMETER_VALUE":
                raise UsageError(f"{name!r} cannot be a model's name: {str(err)[:200]}") from err
            if err.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise
        made = api.create_model_version(name, logged.source, run_id, model_id=logged.model_id)
        if logged.model_id:
            _link(api, logged.model_id, name, made.version)
        return str(made.version)


def _link(api: MlflowClient, model_id: str, name: str, number: Any) -> None:
    """Say on the logged model which versions were made of it, as ``mlflow.register_model`` does; servers do it by themselves."""
    known = api.get_logged_model(model_id).tags.get(_LINKS)
    try:
        links = [link for link in json.loads(known or "[]") if isinstance(link, dict)]
    except (ValueError, TypeError):
        links = []
    if not any(link.get("name") == name and str(link.get("version")) == str(number) for link in links):
        api.set_logged_model_tags(model_id, {_LINKS: json.dumps([*links, {"name": name, "version": number}])})


@contextlib.contextmanager
def _as_global(uri: str) -> Iterator[None]:
    """MLflow's SQL store looks a logged model up where its module-wide setting points, not where the client does."""
    if uri.startswith(("http://", "https://")):
        yield
        return
    from mlflow.tracking._tracking_service import utils

    held = vars(utils)  # not by set_tracking_uri, which writes to the environment as well
    with _global:
        before = held["_tracking_uri"]
        held["_tracking_uri"] = uri
        try:
            yield
        finally:
            held["_tracking_uri"] = before


def point(api: MlflowClient, uri: str, name: str, alias: str, number: str | None) -> None:
    """Point an alias at a version, or take it away."""
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            if number is None:
                writer(api).delete_registered_model_alias(name, alias)
            else:
                writer(api).set_registered_model_alias(name, alias, number)
        except MlflowException as err:
            if err.error_code == "INVALID_PARAMETER_VALUE":
                raise UsageError(f"{alias!r} cannot be an alias: {str(err)[:200]}") from err
            raise
