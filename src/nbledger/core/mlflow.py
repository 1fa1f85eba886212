"""The one door to MLflow's tracking store: clients of it, what it says, and what is looked for in it.

Its rooms are the modules called ``mlflow_…``: ``mlflow_write`` makes and fills runs.

``import mlflow`` takes seconds, so it happens inside functions, and faces ask the keeper instead of calling these.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
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

RETRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
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
    import ssl

    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return _healthy_by_proxy(parts, timeout)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "localhost", parts.port, timeout=timeout)
    except (ValueError, http.client.InvalidURL):  # a port that is no number
        return False
    try:
        connection.request("GET", parts.path.rstrip("/") + "/health")
        return connection.getresponse().status < 500
    except ssl.SSLError:
        return True  # it is there; MLflow may have been told what to trust
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _healthy_by_proxy(parts: urllib.parse.SplitResult, timeout: float) -> bool:
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/health", query="")
    try:
        with urllib.request.urlopen(url.geturl(), timeout=timeout):  # noqa: S310 - http and https alone come here
            return True
    except urllib.error.HTTPError as err:
        return err.code < 500
    except urllib.error.URLError as err:
        return isinstance(err.reason, ssl.SSLError)
    except (OSError, ValueError, http.client.HTTPException):
        return False


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
        _answered.pop(secrets.without_login(uri), None)
        if str(getattr(err, "error_code", "")) in _OF_THE_REQUEST:  # its words may be those of a value
            raise ToolFailed(f"MLflow: {display_uri(' '.join(str(err).split())[:300])}") from err
        raise complaint(uri, str(err), type(err).__name__) from err


_LATER = "runs are kept and published later (nbledger flush)"
_OF_THE_REQUEST = frozenset(
    {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}
)
_STATUS = re.compile(r"too many (\d{3}) error responses|error code (\d{3}) != 200|\b([45]\d\d) (?:Client|Server) Error")


def complaint(uri: str, said: str, kind: str = "") -> LedgerError:
    """What MLflow's client said, in one line. A server that answers 5xx is one whose database or artifact store is away, or
    that cannot take this very value: only the former is true of every run.
    """
    words, place = " ".join(said.split()), display_uri(uri)
    found = _STATUS.search(words)
    status = next(code for code in found.groups() if code) if found else ""
    behind = "artifact store" if "/mlflow-artifacts/" in words else "database"
    if status in ("401", "403"):
        who = "does not know you" if status == "401" else "does not let you do that"
        hint = (
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD say who you are (nbledger server --check URL looks)"
        )
        return ToolFailed(f"the tracking server {place} {who} ({status})", f"{hint}; {_LATER}")
    if status in ("502", "503", "504"):
        return Unreachable(
            f"the tracking server {place} says {status}: its {behind} may be away", f"check it; {_LATER}"
        )
    if status == "500":
        return ToolFailed(
            f"the tracking server {place} failed (500)", f"its log says why; its {behind} may be away; {_LATER}"
        )
    if "CERTIFICATE_VERIFY_FAILED" in words:
        hint = "MLFLOW_TRACKING_SERVER_CERT_PATH names the file of the authority that vouches for it"
        return Unreachable(f"the certificate of the tracking server {place} is not trusted here", f"{hint}; {_LATER}")
    if "Max retries exceeded" in words or "Connection" in kind or "Failed to establish" in words:
        return Unreachable(f"the tracking server {place} does not answer", f"check it, or go on: {_LATER}")
    return ToolFailed(f"MLflow: {display_uri(words[:300])}")


def passing(err: LedgerError) -> bool:
    """Whether what failed may be done when the server, what stands behind it, or the login is there again."""
    return isinstance(err, Unreachable) or shut_out(err) or "artifact store may be away" in err.hint


def shut_out(err: BaseException) -> bool:
    """Whether the store refused the login: then it refuses every other run as well."""
    return isinstance(err, ToolFailed) and "(401)" in err.message


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
        os.environ.setdefault(RETRIES, "1")
        os.environ.setdefault(TIMEOUT, "10")
        with _uncollected():
            import mlflow

        return mlflow


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would look through the hundred thousands of objects that an import makes to stay:
    a fifth of what it costs.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


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
    elif not _answers(where):
        raise Unreachable(f"the tracking server {display_uri(where)} does not answer", f"check it, or go on: {_LATER}")
    mlflow = _imported()
    with _translated(where), _no_stray_folder(where), _uncollected():  # it imports what the kind of store needs
        made: MlflowClient = mlflow.MlflowClient(tracking_uri=where)
        return made if project.scratch or trust.trusted(project) else _looking(made, project)


_LATELY = 1.0
_answered: dict[str, float] = {}


def _answers(uri: str) -> bool:
    """As ``reachable``; a store that answered in the last second is not asked again."""
    key = secrets.without_login(uri)
    if time.monotonic() - _answered.get(key, -_LATELY) < _LATELY:
        return True
    if there := reachable(uri):
        _answered[key] = time.monotonic()
    return there


def _looking(api: MlflowClient, project: Project) -> MlflowClient:
    """The client, with which only artifacts that lie in the project itself are read."""

    def within(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(run_id: str, *words: Any, **options: Any) -> Any:
            refuse_elsewhere(project, str(api.get_run(run_id).info.artifact_uri))
            return ask(run_id, *words, **options)

        return asked

    guarded: Any = api
    for name in ("list_artifacts", "download_artifacts"):
        setattr(guarded, name, within(getattr(api, name)))
    return api


def refuse_elsewhere(project: Project, place: str) -> None:
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
    """Id of the experiment, created if need be; two creators at once end with the same one. That of a server is remembered
    for half a minute: many runs in a row go to the same.
    """
    known = _experiments.get((uri, name))
    if known is not None and time.monotonic() - known[0] < _FRESH:
        return known[1]
    found = _experiment_id(api, project, name, uri)
    if uri.startswith("http"):
        _experiments[uri, name] = time.monotonic(), found
    return found


def forget_experiments() -> None:
    """One of them may have been deleted, or the server may be another."""
    _experiments.clear()


def _experiment_id(api: MlflowClient, project: Project, name: str, uri: str) -> str:
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
    from nbledger.core.mlflow_write import without_bars

    with _translated(uri), without_bars():
        return Path(api.download_artifacts(run_id, path, str(target)))


def artifact_folder(project: Project, run_id: str, place: str, kept: Path | None) -> Path | None:
    """A folder that holds the artifacts of a run under ``place``: where the store keeps them if that is on this machine,
    else a copy below ``kept`` (or, with None, below the ledger's temporary folder); None if there are none.
    """
    api = client(project)
    uri = project.tracking_uri
    with _translated(uri):
        where = str(api.get_run(run_id).info.artifact_uri)
    refuse_elsewhere(project, where)
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
_experiments: dict[tuple[str, str], tuple[float, str]] = {}
_names: dict[tuple[str, str], tuple[float, str]] = {}
