"""One version of a model that is served: the process of ``mlflow models serve`` that has its files, from its start to its end.

Its files are compared with their digest whenever the process is started, and that it is this process which listens on the
port is asked of the system: another one that took the port is never taken for the model.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from nbledger.core import modeldigest
from nbledger.core.errors import Refused
from nbledger.core.owners import process_started

PORT = "{port}"
"""Stands in a command for the port, which is chosen when it is started."""

_GENTLE = 15.0
_LOG_BYTES = 4 << 20
# Of the model's own web server: no line for each request in its log, and no connection closed that is soon used again.
_WEB = {"UVICORN_ACCESS_LOG": "false", "UVICORN_TIMEOUT_KEEP_ALIVE": "75"}
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass
class Served:
    """What is served and by what. ``pid`` 0: nothing runs; ``requests`` and ``failures`` are counted since its start."""

    version: str
    digest: str
    folder: str
    command: list[str]
    log: str
    port: int = 0
    pid: int = 0
    created: float | None = None
    since: str = ""
    requests: int = 0
    failures: int = 0
    inflight: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(kept: dict[str, Any] | None) -> Served | None:
    """What ``as_dict`` made; no request is under way any more."""
    return None if kept is None else Served(**{**kept, "inflight": 0})


def start(served: Served) -> None:
    """Start the process on a free port of loopback, if the files are those of the digest; ``Refused`` if not."""
    found = modeldigest.digest(Path(served.folder))
    if found != served.digest:
        raise Refused(
            f"the files of version {served.version} are not those that were recorded: {found[:12]} in place of "
            f"{served.digest[:12]}"
        )
    served.port = free_port()
    words = [str(served.port) if word == PORT else word for word in served.command]
    with open(served.log, "ab") as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(served.folder).parent,  # a web server may import from where it is started
            env=os.environ | _WEB | {"PATH": f"{Path(words[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        )
    _children[process.pid] = process
    served.pid, served.created = process.pid, process_started(process.pid)
    served.requests = served.failures = served.inflight = 0


def alive(served: Served) -> bool:
    """Whether the process that was started still runs; another one with its number is none."""
    if not served.pid:
        return False
    if (child := _children.get(served.pid)) is not None and child.poll() is not None:
        return False
    return served.created is not None and process_started(served.pid) == served.created


def listens(served: Served) -> bool:
    """Whether it is this process, or one that it started, which listens on the port."""
    try:
        leader = psutil.Process(served.pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return False
    for one in family:
        with contextlib.suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == served.port for c in one.net_connections("tcp")):
                return True
    return False


def end(served: Served, gentle: float = _GENTLE) -> None:
    """End the process and what it started: asked first, killed after ``gentle`` seconds."""
    if not alive(served):
        _reap(served)
        return
    _signal(served, signal.SIGTERM)
    until = time.monotonic() + gentle
    while alive(served) and time.monotonic() < until:
        time.sleep(0.05)
    _signal(served, signal.SIGKILL)  # the leader may be gone, and what it started not
    _reap(served)


def _signal(served: Served, number: signal.Signals) -> None:
    """To the process and all of its group, which it leads."""
    with contextlib.suppress(OSError):
        os.killpg(served.pid, number)


def _reap(served: Served) -> None:
    if (child := _children.pop(served.pid, None)) is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
    served.pid, served.created = 0, None


def last_words(served: Served) -> str:
    """The last line that it wrote, for the person who asks why it ended."""
    with contextlib.suppress(OSError), open(served.log, "rb") as log:
        log.seek(max(log.seek(0, os.SEEK_END) - 20_000, 0))
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        errors = [line for line in lines if line[:1].isalpha() and "Error" in line.split(":")[0]]
        return (errors or [line for line in lines if line] or [""])[-1][:300]
    return ""


def trim(served: Served) -> None:
    """Empty a log that has grown large; the process appends to it."""
    with contextlib.suppress(OSError):
        if os.stat(served.log).st_size > _LOG_BYTES:
            os.truncate(served.log, 0)


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def taken(host: str, port: int) -> bool:
    """Whether something else listens at this port, as far as trying to listen there tells."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the front does: a port that was just left is free
        try:
            probe.bind((host, port))
        except OSError as err:
            return err.errno == errno.EADDRINUSE
    return False
