"""What makes, fills and closes a run in the store. Everything here may be repeated: nothing is doubled by it.

A server costs a journey for each request, and a password to check, so that few of them are made: what fits into one goes
together.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import values
from nbledger.core.errors import LedgerError, ToolFailed, Unreachable
from nbledger.core.mlflow import JOURNAL_TAG, RETRIES, TIMEOUT, MetricPoint, _translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LINKS = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_MANY = 300
_ENTRIES, _OF_A_KIND = 1000, 100
"""What MLflow takes in one request: entries in all, of them parameters, and tags."""
_SLOWEST = 500_000
"""Bytes a second at which an upload, and what the server does with it before it answers, is waited for."""

# ── the run itself ───────────────────────────────────────────────────────────────────────────────────────


def create_run(
    api: MlflowClient, uri: str, experiment: str, journal_id: str, name: str, started: int, tags: Mapping[str, str]
) -> str:
    """Create a run (``started`` in ms) marked with its journal's id; its run id."""
    told = {key: storable(uri, text) for key, text in tags.items()}
    with _translated(uri), _asked_once():
        run = api.create_run(
            experiment, start_time=started, tags={**told, JOURNAL_TAG: journal_id}, run_name=storable(uri, name)
        )
        _remember_place(str(run.info.run_id), str(run.info.artifact_uri))
        return str(run.info.run_id)


def drop_doubles(api: MlflowClient, uri: str, run_id: str, journal_id: str) -> None:
    """Delete other runs of this journal: what a server made that was asked in vain and went on with it later."""
    with _translated(uri):
        experiment = api.get_run(run_id).info.experiment_id
        for run in api.search_runs([experiment], f"tags.`{JOURNAL_TAG}` = '{journal_id}'", max_results=100):
            if run.info.run_id != run_id:
                api.delete_run(run.info.run_id)


def find_by_journal(api: MlflowClient, uri: str, experiment: str, journal_id: str) -> str | None:
    """The run that an interrupted publication of this journal made, if it made one."""
    with _translated(uri):
        runs = api.search_runs([experiment], f"tags.`{JOURNAL_TAG}` = '{journal_id}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None


def terminate(api: MlflowClient, uri: str, run_id: str, status: str, ended: int) -> None:
    """Close a run as FINISHED, FAILED or KILLED at ``ended`` (ms), whatever was said of it before."""
    with _translated(uri), _without_links():
        api.set_terminated(run_id, status, end_time=ended)


def reopen(api: MlflowClient, uri: str, run_id: str) -> None:
    """A run that was closed goes on."""
    with _translated(uri):
        api.update_run(run_id, status="RUNNING")


# ── what it holds ────────────────────────────────────────────────────────────────────────────────────────


def log(
    api: MlflowClient,
    uri: str,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Sequence[MetricPoint] = (),
) -> list[str]:
    """Write to a run in batches of the sizes MLflow allows; repeatable. Returns what the store refused or has otherwise,
    in words.
    """
    from mlflow.entities import Metric, Param, RunTag

    params, tags = dict(params or {}), dict(tags or {})
    said = _made_storable(uri, "parameter", params) + _made_storable(uri, "tag", tags)
    given = [Param(k, v) for k, v in params.items()]
    if len(given) > _MANY and _at_once(api, run_id, given):
        given = []
    labels = [RunTag(k, v) for k, v in tags.items()]
    for batch in _batches(given, labels, [Metric(k, v, t, s) for k, v, t, s in metrics]):
        said += _log_batch(api, uri, run_id, batch)
    return said


def storable(uri: str, text: str) -> str:
    """``text`` as every database can hold it; as it is where that is SQLite, which takes all."""
    return text if uri.startswith("sqlite:") else values.storable(text)


def _made_storable(uri: str, what: str, found: dict[str, str]) -> list[str]:
    said = []
    for key, text in found.items():
        if (kept := storable(uri, text)) != text:
            found[key] = kept
            said.append(f"{what} {key!r} holds characters that databases refuse; in MLflow they are escaped")
    return said


def _batches(params: list[Any], tags: list[Any], metrics: list[Any]) -> Iterator[dict[str, list[Any]]]:
    """Everything, in as few requests as MLflow allows."""
    at = number = 0
    while number * _OF_A_KIND < max(len(params), len(tags)) or at < len(metrics):
        several = slice(number * _OF_A_KIND, (number + 1) * _OF_A_KIND)
        room = _ENTRIES - len(params[several]) - len(tags[several])
        batch = {"params": params[several], "tags": tags[several], "metrics": metrics[at : at + room]}
        yield {kind: entries for kind, entries in batch.items() if entries}
        number, at = number + 1, at + room


def _at_once(api: MlflowClient, run_id: str, params: list[Any]) -> bool:
    """Write very many parameters in one step, where the store is a database on this machine: with each batch MLflow reads
    all parameters that the run has already. False where it cannot, or refused one: batches tell which.
    """
    from mlflow.utils import validation

    store: Any = vars(api)["_tracking_client"].store
    if not type(store).__module__.startswith("mlflow.store.tracking.sqlalchemy_store"):
        return False
    try:
        _, checked, _ = validation._validate_batch_log_data([], params, [])  # noqa: SLF001 - what log_batch does
        store._log_params(run_id, checked)  # noqa: SLF001
    except Exception:
        return False
    return True


_NOT_OF_THE_ENTRY = re.compile(
    r"OperationalError|InterfaceError|InternalError|PendingRollback|ResourceClosed|IntegrityError|duplicate key|UNIQUE constraint|"
    r"closed the connection|connection (was|is|already) closed|terminating connection|database is locked"
)
"""What a database says that is away, or that another process was faster in: not what it says of a value."""


def _log_batch(api: MlflowClient, uri: str, run_id: str, batch: dict[str, list[Any]]) -> list[str]:
    """One batch; when the store refuses it as a whole, its kinds and then its entries one by one, so that one bad entry
    costs only itself.
    """
    from mlflow.exceptions import MlflowException

    try:
        with _translated(uri):
            api.log_batch(run_id, synchronous=True, **batch)
        return []
    except Unreachable:
        raise
    except LedgerError as err:
        cause = err.__cause__
        if not isinstance(cause, MlflowException) or cause.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        if cause.error_code == "BAD_REQUEST" and _NOT_OF_THE_ENTRY.search(str(cause)):
            raise  # to be tried again: taken for a refusal, the value would be lost
        if len(batch) > 1:
            return [line for kind in batch for line in _log_batch(api, uri, run_id, {kind: batch[kind]})]
        (kind, entries), *_ = batch.items()
        if len(entries) == 1:
            return [f"{kind[:-1]} {entries[0].key!r}: {err.message}"]
        return [line for entry in entries for line in _log_batch(api, uri, run_id, {kind: [entry]})]


def log_datasets(api: MlflowClient, uri: str, run_id: str, datasets: Sequence[tuple[str, str, str]]) -> None:
    """Log dataset inputs (name, digest, source path); the digest is DVC's full hash. Repeatable."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(storable(uri, name)[:500], digest[:36], "local", json.dumps({"uri": source})),
            [InputTag("mlflow.data.context", "training")],
        )
        for name, digest, source in datasets
    ]
    if inputs:
        with _translated(uri):
            api.log_inputs(run_id, datasets=inputs)


def log_models_loaded(api: MlflowClient, uri: str, run_id: str, models: Sequence[str]) -> None:
    """Log model inputs by the ids of MLflow 3 (``m-…``). Repeatable. A server that has no such thing is told nothing: a tag says
    the same.
    """
    if not models:
        return
    with contextlib.suppress(ToolFailed), _translated(uri):
        from mlflow.entities import LoggedModelInput

        api.log_inputs(run_id, models=[LoggedModelInput(model_id) for model_id in models])


# ── its artifacts ────────────────────────────────────────────────────────────────────────────────────────


def log_folder(api: MlflowClient, uri: str, run_id: str, folder: Path, place: str = "") -> int:
    """Upload everything below ``folder`` as artifacts under ``place``; how many bytes that were. A server answers when it has handed a file on to
    where it keeps artifacts: a large one is waited for accordingly.
    """
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    with _translated(uri), _patience(max(sizes, default=0)):
        known = _places.get(run_id, "")
        if known.startswith("mlflow-artifacts:"):  # the server's; else the store is asked for it each time
            _repository(known, str(api.tracking_uri)).log_artifacts(str(folder), place or None)
        else:
            api.log_artifacts(run_id, str(folder), place or None)
    return sum(sizes)


_places: dict[str, str] = {}


def _remember_place(run_id: str, place: str) -> None:
    """Where the artifacts of a run that was just made are to go."""
    if len(_places) > 1000:
        _places.clear()
    _places[run_id] = place


@lru_cache(maxsize=64)
def _repository(place: str, uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=uri)


def patience_for(size: int) -> int:
    """Seconds that the answer to an upload of so many bytes is waited for."""
    usual = _variables[TIMEOUT][1] if TIMEOUT in _variables else os.environ.get(TIMEOUT)
    return (int(usual) if usual and usual.isdecimal() else 10) + size // _SLOWEST


# ── variables that MLflow reads as it is called ──────────────────────────────────────────────────────────

_variables: dict[str, tuple[list[str], str | None]] = {}
_variables_lock = threading.Lock()


@contextlib.contextmanager
def _with_variable(name: str, value: str) -> Iterator[None]:
    """With a variable of the environment that MLflow reads as it is called, given back when the last of the threads that
    want it has ended. Of several numbers the largest holds.
    """
    with _variables_lock:
        wanted, before = _variables.setdefault(name, ([], os.environ.get(name)))
        wanted.append(value)
        os.environ[name] = max(wanted, key=_as_number)
    try:
        yield
    finally:
        with _variables_lock:
            wanted.remove(value)
            if wanted:
                os.environ[name] = max(wanted, key=_as_number)
            else:
                del _variables[name]
                if before is None:
                    del os.environ[name]
                else:
                    os.environ[name] = before


def _as_number(text: str) -> tuple[int, str]:
    return len(text), text


def _asked_once() -> contextlib.AbstractContextManager[None]:
    """Without MLflow's retries: a server that did what it was asked, and whose answer was lost, would do it twice."""
    return _with_variable(RETRIES, "0")


def _without_links() -> contextlib.AbstractContextManager[None]:
    """Without the lines that MLflow prints of a server's run: what is printed here may be JSON."""
    return _with_variable(_LINKS, "true")


def without_bars() -> contextlib.AbstractContextManager[None]:
    """Without the bars that MLflow shows of every download."""
    return _with_variable("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def _patience(size: int) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if size < _SLOWEST else _with_variable(TIMEOUT, str(patience_for(size)))
