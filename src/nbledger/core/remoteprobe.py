"""Whether a data remote lets one list, write and read: tried with a small object that is taken away again.

It goes the way that DVC's own transfers go: the same file system, the same calls.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbledger.core import dvcremote, remoteerrors
from nbledger.core.errors import LedgerError, ToolFailed, Unreachable
from nbledger.core.project import Project
from nbledger.core.remoteurl import Kind

PATIENCE = 20.0
"""Seconds after which a remote that has not answered is given up."""
_IMPATIENT: dict[str, dict[str, object]] = {
    "s3": {"connect_timeout": 5, "read_timeout": 10},
    "azure": {"connection_timeout": 5, "read_timeout": 10},
    "ssh": {"timeout": 10},
    "http": {"connect_timeout": 5.0, "read_timeout": 10.0},
    "https": {"connect_timeout": 5.0, "read_timeout": 10.0},
}
"""Options that DVC knows for these kinds, for those who have not set them: the probe does not wait as long as a transfer."""
_FOLDERS = ("", "ssh")
_WORDS = b"nbledger looks whether this place can be written to; it may be removed\n"


@dataclass(frozen=True)
class Probe:
    """What was tried and went well, up to the ``error`` that ended it. ``new``: the remote's folder is not there yet.
    ``left`` names the object that could not be removed.
    """

    listed: bool = False
    written: bool = False
    read: bool = False
    new: bool = False
    left: str = ""
    error: LedgerError | None = None


def probe(project: Project, name: str, kind: Kind, seconds: float = PATIENCE) -> Probe:
    """Write, read, list and remove an object in the remote ``name``. Never raises for what the remote does."""
    found: list[Probe] = []
    dvcremote.import_fs(kind)  # on a busy machine it may take longer than the remote itself

    def work() -> None:
        found.append(_probe(project, name, kind))

    # Some libraries wait for minutes whatever they are told; a thread that is left behind holds nobody up.
    thread = threading.Thread(target=work, name="probe", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        why = f"the data remote {name} did not answer within {seconds:.0f} s"
        return Probe(error=Unreachable(why, "check the network and the remote's address"))
    return found[0]


def _probe(project: Project, name: str, kind: Kind) -> Probe:
    with remoteerrors.listening():
        state = Probe()
        try:
            fs, path = dvcremote.opened_fs(project, name, _IMPATIENT.get(kind.scheme, {}))
            if kind.scheme == "s3":
                _once(fs)
            if kind.scheme == "gs" and (login := getattr(fs.fs, "credentials", None)) is not None:
                login.maybe_refresh()  # in a request, gcsfs would try a refused credential for half a minute
            if kind.scheme in ("http", "https"):
                return _answers(fs, path)
            state = replace(state, new=kind.scheme in _FOLDERS and not fs.exists(path))
            with _folder(fs, path, new=state.new):
                return _object(fs, path, state)
        except Exception as err:
            return replace(state, error=_complaint(err))


def _answers(fs: Any, path: str) -> Probe:
    """Of HTTP only that: nothing can be taken away again there."""
    try:
        fs.info(path)
    except FileNotFoundError as err:  # what fsspec makes of every failure
        if (why := remoteerrors.explain([err])) is not None:
            return Probe(error=why)
    return Probe(listed=True)


def _once(fs: Any) -> None:
    """Try each request once: botocore and s3fs would take a quarter of a minute to give up an address where nobody listens."""
    fs.fs_args.setdefault("config_kwargs", {})["retries"] = {"max_attempts": 0}
    fs.fs.retries = 1


@contextlib.contextmanager
def _folder(fs: Any, path: str, *, new: bool) -> Iterator[None]:
    """The remote's folder for the time of the probe, with those above it that are missing too."""
    made: list[str] = []
    if new:
        for above in (path, *fs.parents(path)):
            if not above or fs.exists(above):
                break
            made.append(above)
        fs.makedirs(path, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(Exception):
                fs.fs.rmdir(folder)


def _object(fs: Any, path: str, state: Probe) -> Probe:
    place = fs.join(path, f".nbledger-probe-{uuid.uuid4().hex}")
    with tempfile.TemporaryDirectory(prefix="nbledger-probe-") as folder:
        sent, came = Path(folder, "sent"), Path(folder, "came")
        sent.write_bytes(_WORDS)
        try:
            fs.put_file(str(sent), place)
        except Exception as err:
            return replace(state, listed=_lists(fs, path), error=_complaint(err, writing=True))
        state = replace(state, written=True)
        try:
            fs.get_file(place, str(came))
            state = replace(state, read=came.read_bytes() == _WORDS, listed=_lists(fs, path))
        except Exception as err:
            state = replace(state, error=_complaint(err))
        try:
            fs.remove(place)
        except Exception as err:
            state = replace(state, left=place, error=state.error or _complaint(err))
    return state


def _lists(fs: Any, path: str) -> bool:
    """Whether what is there can be listed; a place where nothing is yet can."""
    try:
        fs.ls(path, detail=False)
    except FileNotFoundError as err:
        return remoteerrors.explain([err]) is None
    except Exception:
        return False
    return True


def _complaint(err: Exception, *, writing: bool = False) -> LedgerError:
    if isinstance(err, LedgerError):
        return err
    if isinstance(err, ImportError) and (lacking := remoteerrors.missing_plugin(err)) is not None:
        return lacking
    words = " ".join(str(err).split()) or type(err).__name__
    return remoteerrors.explain([err], writing=writing) or ToolFailed(
        f"the data remote: {words[:240]}", "dvc doctor tells more"
    )
