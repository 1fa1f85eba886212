"""The one door to MLflow's tracking store: runs are created, filled, closed and searched here.

``import mlflow`` takes seconds, so it happens inside functions, and faces ask the keeper instead of calling these.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import files, newstore, secrets, trust
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Unreachable, Untrusted, UsageError
from nbledger.core.project import Project, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

JOURNAL_TAG = "nbledger.journal"
MetricPoint = tuple[str, float, int, int]
"""(key, value, timestamp in ms, step)"""

_import_lock = threading.Lock()


def version() -> str:
    return importlib.metadata.version("mlflow")


def reachable(uri: str, timeout: float = 2.0) -> bool:
    """Whether the store answers within ``timeout`` seconds: a server's ``/health``, or a file that can be opened."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return _healthy(parts, timeout)
    if parts.scheme == "sqlite":
        path = Path(urllib.parse.unquote(uri.removeprefix("sqlite:///")))
        return os.access(path if path.exists() else path.parent, os.W_OK)
    return True


def _healthy(parts: urllib.parse.SplitResult, timeout: float) -> bool:
    import http.client

    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "localhost", parts.port, timeout=timeout)
    except (ValueError, http.client.InvalidURL):  # a port that is no number
        return False
    try:
        connection.request("GET", parts.path.rstrip("/") + "/health")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def display_uri(uri: str) -> str:
    """The tracking URI without credentials."""
    from nbledger.core.git import scrub_url

    return scrub_url(uri)


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    """MLflow's exceptions as ours, in one line."""
    try:
        yield
    except LedgerError:
        raise
    except Exception as err:
        words = " ".join(str(err).split())
        first = display_uri(words[:300])
        if "Max retries exceeded" in words or "Connection" in type(err).__name__ or "Failed to establish" in words:
            raise Unreachable(
                f"the tracking server {display_uri(uri)} does not answer",
                "check it, or go on: runs are kept and published later (nbledger flush)",
            ) from err
        raise ToolFailed(f"MLflow: {first}") from err


def overtaken(err: BaseException) -> bool:
    """Whether an operation failed because of another process, which had locked the database or wrote the same row (the
    data set that two runs read) in the same moment: it may be done again.
    """
    told: BaseException | None = err
    while told is not None:
        if any(
            words in str(told) for words in ("database is locked", "UNIQUE constraint failed", "duplicate key value")
        ):
            return True
        told = told.__cause__
    return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's and Alembic's progress lines, which would land in a user's cell or terminal."""
    import logging

    loggers = [logging.getLogger(name) for name in ("mlflow", "mlflow.store.db.utils", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _imported() -> Any:
    """``mlflow``, imported once, with few retries: the keeper retries by itself and must stay responsive."""
    with _import_lock:
        os.environ.setdefault(_RETRIES, "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        import mlflow

        return mlflow


_PICKLES = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
_pickles: list[str | None] = []


def refuse_pickles() -> None:
    """No model is unpickled in this process, which only looks at what was recorded."""
    if not _pickles:
        _pickles.append(os.environ.get(_PICKLES))
    os.environ[_PICKLES] = "false"


def persons_environment() -> dict[str, str]:
    """This process's variables as the person has them: for what runs their own code."""
    env = dict(os.environ)
    if _pickles:
        env.pop(_PICKLES, None)
        env |= {_PICKLES: _pickles[0]} if _pickles[0] is not None else {}
    return env


LOGIN = "NBLEDGER_STORE"
_logins: dict[str, str] = {}


def remember_login(uri: str) -> None:
    """Journals name a store without its password; who asks for it in this process may have it."""
    if (bare := secrets.without_login(uri)) != uri:
        _logins[bare] = uri


def with_login(project: Project, uri: str) -> str:
    """The store's address with its password or token, as far as this process was told of it."""
    for known in (os.environ.get(LOGIN, ""), project.tracking_uri):
        remember_login(known)
    return _logins.get(uri, uri)


def client(project: Project, uri: str | None = None) -> MlflowClient:
    """A client of the project's store (or of ``uri``), which is created once if it is the embedded one."""
    where = with_login(project, uri or project.tracking_uri)
    if where == project.embedded_uri:
        ensure_embedded(project)
    elif not reachable(where):
        raise Unreachable(
            f"the tracking server {display_uri(where)} does not answer",
            "check it, or go on: runs are kept and published later (nbledger flush)",
        )
    mlflow = _imported()
    with _translated(where), _no_stray_folder(where):
        made: MlflowClient = mlflow.MlflowClient(tracking_uri=where)
        return made if project.scratch or trust.trusted(project) else _looking(made, project)


def _looking(api: MlflowClient, project: Project) -> MlflowClient:
    """The client, with which only artifacts that lie in the project itself are read."""

    def within(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(run_id: str, *words: Any, **options: Any) -> Any:
            _refuse_elsewhere(project, str(api.get_run(run_id).info.artifact_uri))
            return ask(run_id, *words, **options)

        return asked

    guarded: Any = api
    for name in ("list_artifacts", "download_artifacts"):
        setattr(guarded, name, within(getattr(api, name)))
    return api


def _refuse_elsewhere(project: Project, place: str) -> None:
    """A store that came with a project may say that artifacts are anywhere, on this machine or on another."""
    if project.scratch or trust.trusted(project):
        return
    parts = urllib.parse.urlsplit(place)
    path = Path(os.path.realpath(urllib.parse.unquote(parts.path)))
    if parts.scheme not in ("", "file") or parts.netloc or not path.is_relative_to(os.path.realpath(project.home)):
        raise Untrusted(
            f"artifacts of this run are said to be at {display_uri(place)}, outside of a project that you do not trust yet",
            "nbledger trust",
        )


def _place(folder: Path) -> str:
    """Where MLflow's first experiment keeps artifacts; escaped where the name would end the SQL that MLflow makes of it."""
    return str(folder) if re.fullmatch(r"[\w/. -]*", str(folder), re.ASCII) else folder.as_uri()


@contextlib.contextmanager
def _no_stray_folder(uri: str) -> Iterator[None]:
    """MLflow also makes the folder that a SQLite URI would name if its escapes were none: it goes again."""
    folder = Path(uri.removeprefix("sqlite:///")).parent
    made = [place for place in (folder, folder.parent) if "%" in uri and not place.exists()]
    try:
        yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def ensure_embedded(project: Project) -> None:
    """Create the embedded SQLite store under a lock, beside its place, and rename it there when it is whole.

    Several processes that start on a missing database otherwise run MLflow's migrations into each other.
    """
    database = project.state / "mlflow.db"
    if database.exists():
        return
    try:
        os.fspath(database).encode()
    except UnicodeEncodeError as err:
        raise Refused(
            f"the name of {os.fsencode(project.home)!r} is not UTF-8, which MLflow needs", "rename it"
        ) from err
    project.ensure_state()
    with files.lock(project.state / "store.lock", timeout=60, what="the run store"):
        if database.exists():
            return
        draft, place = project.state / "mlflow.db.new", _place(project.state / "artifacts")
        _remove(draft)
        if not newstore.copy_to(draft, place, version()):
            _remove(draft)
            _imported()
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            uri = store_uri(draft)
            with _translated(uri), _no_stray_folder(uri), _quiet():
                store = SqlAlchemyStore(uri, place)
                store.engine.dispose()
            newstore.keep(draft, version())
        _put(draft, database)


def _remove(draft: Path) -> None:
    for leftover in (draft, draft.with_name(draft.name + "-journal")):
        leftover.unlink(missing_ok=True)


def _put(draft: Path, database: Path) -> None:
    """Name the finished database, unless somebody's own MLflow calls have made one there meanwhile: theirs stays."""
    try:
        os.link(draft, database)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.replace(draft, database)
        return
    draft.unlink()


def experiment_id(api: MlflowClient, project: Project, name: str, uri: str) -> str:
    """Id of the experiment, created if need be; two creators at once end with the same one."""
    with _translated(uri):
        found = api.get_experiment_by_name(name)
        if found is None:
            place = None
            if uri == project.embedded_uri:
                place = (project.state / "artifacts" / _folder_name(name)).as_uri()
            try:
                return str(api.create_experiment(name, artifact_location=place))
            except Exception:
                found = api.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise UsageError(
                f"the experiment {name!r} was deleted",
                "restore it (mlflow experiments restore) or choose another with -e",
            )
        return str(found.experiment_id)


def _folder_name(name: str) -> str:
    return urllib.parse.quote(name, safe=" ")[:120]


def create_run(
    api: MlflowClient, uri: str, experiment: str, journal_id: str, name: str, started: int, tags: Mapping[str, str]
) -> str:
    """Create a run (``started`` in ms) marked with its journal's id; its run id."""
    with _translated(uri), _asked_once():
        run = api.create_run(experiment, start_time=started, tags={**tags, JOURNAL_TAG: journal_id}, run_name=name)
        return str(run.info.run_id)


_RETRIES, _LINKS = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
_variables_lock = threading.Lock()


@contextlib.contextmanager
def _with_variable(name: str, value: str) -> Iterator[None]:
    """With a variable of the environment that MLflow reads as it is called, given back at the end."""
    with _variables_lock:
        before = os.environ.get(name)
        os.environ[name] = value
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


def _asked_once() -> contextlib.AbstractContextManager[None]:
    """Without MLflow's retries: a server that did what it was asked, and whose answer was lost, would do it twice."""
    return _with_variable(_RETRIES, "0")


def _without_links() -> contextlib.AbstractContextManager[None]:
    """Without the lines that MLflow prints of a server's run: what is printed here may be JSON."""
    return _with_variable(_LINKS, "true")


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


def log(
    api: MlflowClient,
    uri: str,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Sequence[MetricPoint] = (),
) -> list[str]:
    """Write to a run in batches of the sizes MLflow allows; repeatable. Returns what the store refused, in words."""
    from mlflow.entities import Metric, Param, RunTag

    refused: list[str] = []
    batches: list[dict[str, list[Any]]] = []
    every = [Param(k, v) for k, v in (params or {}).items()]
    if len(every) <= _MANY or not _at_once(api, run_id, every):
        batches += [{"params": part} for part in _parts(every, 100)]
    batches += [{"tags": [RunTag(k, v) for k, v in part]} for part in _parts(list((tags or {}).items()), 100)]
    batches += [{"metrics": [Metric(k, v, t, s) for k, v, t, s in part]} for part in _parts(list(metrics), 1000)]
    for batch in batches:
        refused += _log_batch(api, uri, run_id, batch)
    return refused


_MANY = 300


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


def _parts(items: list[Any], size: int) -> list[list[Any]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _log_batch(api: MlflowClient, uri: str, run_id: str, batch: dict[str, list[Any]]) -> list[str]:
    """One batch; when the store refuses it as a whole, its entries one by one, so that one bad entry costs only itself."""
    from mlflow.exceptions import MlflowException

    try:
        with _translated(uri):
            api.log_batch(run_id, synchronous=True, **batch)
        return []
    except Unreachable:
        raise
    except LedgerError as err:
        cause = err.__cause__
        (kind, entries), *_ = batch.items()
        if not isinstance(cause, MlflowException) or cause.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        if len(entries) == 1:
            return [f"{kind[:-1]} {entries[0].key!r}: {err.message}"]
        return [line for entry in entries for line in _log_batch(api, uri, run_id, {kind: [entry]})]


def log_datasets(api: MlflowClient, uri: str, run_id: str, datasets: Sequence[tuple[str, str, str]]) -> None:
    """Log dataset inputs (name, digest, source path); the digest is DVC's full hash. Repeatable."""
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(name[:500], digest[:36], "local", json.dumps({"uri": source})),
            [InputTag("mlflow.data.context", "training")],
        )
        for name, digest, source in datasets
    ]
    if inputs:
        with _translated(uri):
            api.log_inputs(run_id, datasets=inputs)


def log_folder(api: MlflowClient, uri: str, run_id: str, folder: Path, place: str = "") -> None:
    """Upload everything below ``folder`` as artifacts under ``place``."""
    with _translated(uri):
        api.log_artifacts(run_id, str(folder), place or None)


def terminate(api: MlflowClient, uri: str, run_id: str, status: str, ended: int) -> None:
    """Close a run as FINISHED, FAILED or KILLED at ``ended`` (ms), whatever was said of it before."""
    with _translated(uri), _without_links():
        api.set_terminated(run_id, status, end_time=ended)


def reopen(api: MlflowClient, uri: str, run_id: str) -> None:
    """A run that was closed goes on."""
    with _translated(uri):
        api.update_run(run_id, status="RUNNING")


def experiments(api: MlflowClient, uri: str) -> dict[str, str]:
    """{experiment id: name} of the active experiments."""
    with _translated(uri):
        found: dict[str, str] = {}
        token = None
        while True:
            page = api.search_experiments(max_results=1000, page_token=token)
            found |= {str(e.experiment_id): e.name for e in page}
            token = page.token
            if not token:
                return found


def search(
    api: MlflowClient,
    uri: str,
    experiment_ids: Sequence[str],
    text: str = "",
    order: Sequence[str] = (),
    limit: int = 100,
) -> list[Run]:
    """Runs that match MLflow's filter ``text``, at most ``limit``."""
    runs: list[Run] = []
    token = None
    with _translated(uri), refusing(text):
        while len(runs) < limit:
            page = api.search_runs(
                list(experiment_ids),
                text,
                max_results=min(1000, limit - len(runs)),
                order_by=list(order) or None,
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                break
    return runs


@contextlib.contextmanager
def refusing(text: str) -> Iterator[None]:
    """A filter or sort that MLflow does not understand is the caller's: its words, and what was probably meant."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as err:
        if err.error_code == "INVALID_PARAMETER_VALUE":
            raise UsageError(
                f"the filter or sort was not understood: {' '.join(str(err).split())[:200]}",
                _filter_hint(text),
            ) from err
        raise


def _filter_hint(text: str) -> str:
    """What was probably meant: MLflow's syntax wants to know of a name whether it is a metric, parameter or tag."""
    bare = re.match(r"\s*([A-Za-z_][\w-]*)\s*(!?=|[<>]=?)\s*(\S+)", text)
    if bare:
        kind = "metrics" if bare[2] in ("<", ">", "<=", ">=") else "params"
        return f"did you mean {kind}.{bare[1]} {bare[2]} {bare[3]}?"
    return "e.g. \"metrics.accuracy > 0.9 and params.depth = '3'\""


def download(api: MlflowClient, uri: str, run_id: str, path: str, target: Path) -> Path:
    """Copy an artifact of a run into ``target``."""
    with _translated(uri):
        return Path(api.download_artifacts(run_id, path, str(target)))


def artifact_folder(project: Project, run_id: str, place: str, kept: Path | None) -> Path | None:
    """A folder that holds the artifacts of a run under ``place``: where the store keeps them if that is on this machine,
    else a copy below ``kept`` (or, with None, below the ledger's temporary folder); None if there are none.
    """
    api = client(project)
    uri = project.tracking_uri
    with _translated(uri):
        where = str(api.get_run(run_id).info.artifact_uri)
    _refuse_elsewhere(project, where)
    parts = urllib.parse.urlsplit(where)
    if parts.scheme in ("", "file"):
        folder = Path(urllib.parse.unquote(parts.path)) / place
        return folder if folder.is_dir() else None
    copy = (kept or project.ensure_state() / "tmp") / run_id
    if kept is None or not copy.is_dir():
        _download(api, uri, run_id, place, copy)
    return copy / place if (copy / place).is_dir() else None


def _download(api: MlflowClient, uri: str, run_id: str, place: str, copy: Path) -> None:
    """Fetch artifacts beside their place and rename them there, so that what is found is whole."""
    import shutil
    import tempfile

    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent) as scratch:
        with _translated(uri):
            listed = api.list_artifacts(run_id, place)
        if not listed:
            return
        download(api, uri, run_id, place, Path(scratch))
        shutil.rmtree(copy, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was faster
            os.rename(scratch, copy)
            os.mkdir(scratch)


def get_run(api: MlflowClient, uri: str, run_id: str) -> Run | None:
    """The run of that id; None where the store has none."""
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            return api.get_run(run_id)
        except MlflowException as err:
            if err.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def values(api: MlflowClient, uri: str, run_id: str) -> tuple[dict[str, str], dict[str, list[tuple[float, int, int]]]]:
    """Parameters, and all points (value, ms, step) of every metric of a run, in the order they were logged."""
    with _translated(uri):
        run = api.get_run(run_id)
        series = {
            key: [(float(m.value), int(m.timestamp), int(m.step)) for m in api.get_metric_history(run_id, key)]
            for key in run.data.metrics
        }
        return dict(run.data.params), series


def experiment_name(api: MlflowClient, uri: str, experiment: str) -> str:
    """The experiment's name, remembered for half a minute: a table or a comparison asks for the same one again and again."""
    now = time.monotonic()
    known = _names.get((uri, experiment))
    if known is not None and now - known[0] < _FRESH:
        return known[1]
    with _translated(uri):
        name = str(api.get_experiment(experiment).name)
    _names[uri, experiment] = now, name
    return name


_FRESH = 30.0
_names: dict[tuple[str, str], tuple[float, str]] = {}
