"""The keeper's client: ask it, start it, or do the same work in this process where it cannot run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import nbledger
from nbledger.core import secrets
from nbledger.core.errors import LedgerError, Unreachable, from_dict
from nbledger.core.project import Project
from nbledger.keeper import calls, endpoint, journal
from nbledger.keeper.calls import Progress

_PATIENCE, _MORE_PATIENCE = 8.0, 30.0
"""Seconds that a keeper has to answer, and those while the process that was started lives: on a busy machine it imports long."""


class _Gone(Exception):
    """No keeper answers."""


def call(
    project: Project,
    name: str,
    args: Mapping[str, Any] | None = None,
    *,
    start: bool = False,
    progress: Progress | None = None,
    timeout: float = 600.0,
) -> Any:
    """Do ``name`` (of ``calls.TABLE``): by the keeper if it runs (``start``: start it if not), else in this process."""
    try:
        return ask(project, name, args, start=start, progress=progress, timeout=timeout)
    except _Gone:
        found = calls.perform(project, name, args or {}, progress)
        return calls.encode(found) if isinstance(found, calls.Encoded) else found


def ask(
    project: Project,
    name: str,
    args: Mapping[str, Any] | None = None,
    *,
    start: bool = False,
    progress: Progress | None = None,
    timeout: float = 600.0,
) -> Any:
    """As ``call``, but raises ``LookupError``-like ``_Gone`` where no keeper answers."""
    if not project.settings.keeper:
        raise _Gone
    known = endpoint.load(project)
    if known is None or not _answers(known):
        if not start:
            raise _Gone
        known = _started(project)
    with _connection(known, timeout) as connection:
        return _exchange(connection, known, project, name, args or {}, progress)


def notify(project: Project) -> None:
    """Tell the keeper that a journal changed, starting it if need be; never waits and never raises."""
    if not project.settings.keeper:
        return
    with contextlib.suppress(OSError, LedgerError, ValueError):
        known = endpoint.load(project)
        if known is None or not _answers(known):
            _dismiss(known, project)
            spawn(project)
            return
        with endpoint.connect(known, 0.2) as connection:
            connection.sendall(request(known, project, "notify", {}))


def running(project: Project) -> endpoint.Endpoint | None:
    """The keeper that is alive for this project."""
    known = endpoint.load(project)
    return known if known is not None and _answers(known) else None


def ready(project: Project) -> endpoint.Endpoint | None:
    """The keeper that is alive for this project, started if there was none; None where none can be."""
    with contextlib.suppress(_Gone):
        return running(project) or _started(project)
    return None


def spawn(project: Project) -> subprocess.Popen[bytes] | None:
    """Start the keeper in the background, detached from this process and its terminal; nothing where it is off. What is
    given back ends at once and leaves the keeper, its child, the process group.
    """
    if not project.settings.keeper:
        return None
    project.ensure_state()
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI") and not k.startswith(("JPY_", "NBLEDGER_"))
    }
    uri = project.tracking_uri
    if secrets.without_login(uri) != uri:
        environment["NBLEDGER_STORE"] = uri  # journals name it without its password
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "nbledger.keeper", str(project.home), "--detach"],  # -P: nothing of the project
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
        cwd=project.home,
    )
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def stop(project: Project) -> bool:
    """Ask the keeper, of whichever version, to end; whether one was there."""
    known = endpoint.load(project)
    if known is None or journal.process_started(known.pid) != known.created:
        return False
    with contextlib.suppress(OSError, _Gone, LedgerError), endpoint.connect(known, 2) as connection:
        _exchange(connection, known, project, "stop", {}, None)
    deadline = time.monotonic() + 5
    while journal.process_started(known.pid) == known.created and time.monotonic() < deadline:
        time.sleep(0.02)
    return True


def _answers(known: endpoint.Endpoint) -> bool:
    """Alive and of our version; one of another version is asked to leave."""
    if journal.process_started(known.pid) != known.created:
        return False
    return bool(known.version == nbledger.__version__)


def _dismiss(old: endpoint.Endpoint | None, project: Project) -> None:
    """Ask a living keeper of another version to leave; the next one waits for its lock."""
    if old is None or old.version == nbledger.__version__ or journal.process_started(old.pid) != old.created:
        return
    with contextlib.suppress(OSError, _Gone, LedgerError), endpoint.connect(old, 2) as connection:
        _exchange(connection, old, project, "stop", {}, None)


def _started(project: Project) -> endpoint.Endpoint:
    _dismiss(endpoint.load(project), project)
    try:
        process = spawn(project)
    except (OSError, LedgerError) as err:
        raise _Gone from err
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < _PATIENCE or (waited < _MORE_PATIENCE and _lives(process)):
        known = endpoint.load(project)
        if known is not None and _answers(known):
            with contextlib.suppress(OSError):
                endpoint.connect(known, 1).close()
                return known
        time.sleep(0.02)
    raise _Gone


def _lives(process: subprocess.Popen[bytes] | None) -> bool:
    """Whether the keeper that was started so has not ended."""
    if process is None:
        return False
    if not hasattr(os, "killpg"):
        return process.poll() is None
    try:
        os.killpg(process.pid, 0)
    except OSError:
        return False
    return True


def _connection(known: endpoint.Endpoint, timeout: float) -> socket.socket:
    try:
        connection = endpoint.connect(known, 2)
    except OSError as err:
        raise _Gone from err
    connection.settimeout(timeout)
    return connection


def request(known: endpoint.Endpoint, project: Project, name: str, args: Mapping[str, Any]) -> bytes:
    """The line that asks a keeper for ``name``. The secret comes first: a keeper reads no further without it. A keeper that
    was started by another program may know no login for the tracking server, or one of before: it is told this process's.
    """
    return (
        json.dumps(
            {
                "secret": known.secret,
                "version": nbledger.__version__,
                "call": name,
                "context": calls.context(project),
                "login": secrets.store_login(),
                "args": dict(args),
            }
        ).encode()
        + b"\n"
    )


def _exchange(
    connection: socket.socket,
    known: endpoint.Endpoint,
    project: Project,
    name: str,
    args: Mapping[str, Any],
    progress: Progress | None,
) -> Any:
    for reply in _replies(connection, request(known, project, name, args)):
        if "progress" in reply:
            if progress is not None:
                progress(*reply["progress"])
        elif "error" in reply:
            raise from_dict(reply["error"])
        else:
            return calls.decode(name, reply["result"])
    raise LedgerError("the keeper ended before it answered", "run this again; nbledger doctor says more")


def _replies(connection: socket.socket, asked: bytes) -> Iterator[dict[str, Any]]:
    """The keeper's lines, to the end of what it could say."""
    try:
        with contextlib.suppress(ConnectionError):  # what it said before it hung up is still to be read
            connection.sendall(asked)
        with connection.makefile("rb") as stream:
            for line in stream:
                yield json.loads(line)
    except TimeoutError as err:
        raise Unreachable("the keeper does not answer", "nbledger doctor says more") from err
    except (OSError, ValueError):
        return
