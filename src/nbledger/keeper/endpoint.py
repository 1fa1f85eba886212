"""Where a project's keeper listens: a Unix socket in a private folder, or loopback where there are none.

The endpoint file (mode 0600, in a 0700 folder of Jupyter's runtime directory) holds the address, the secret that
every request must carry, the process id and nbledger's version.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from nbledger.core.errors import Refused
from nbledger.core.files import write_atomic
from nbledger.core.project import Project

_SOCKET_PATH_LIMIT = 100
_WAITING = 512
"""Connections that wait to be taken: a crowd comes when a page opens, or a sweep begins."""


@dataclass(frozen=True)
class Endpoint:
    address: str | tuple[str, int]
    secret: str
    pid: int
    created: float | None
    version: str


def folder() -> Path:
    """The private folder of sockets: in Jupyter's runtime directory, or below the temporary one if that is too long."""
    from jupyter_core.paths import jupyter_runtime_dir

    place = Path(jupyter_runtime_dir()) / "nbledger"
    if len(os.fsencode(place)) + 24 > _SOCKET_PATH_LIMIT:
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        place = Path(tempfile.gettempdir()) / f"nbledger-{user}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        seen = place.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
            raise Refused(f"{place} belongs to someone else", "remove it, or set JUPYTER_RUNTIME_DIR")
        if stat.S_IMODE(seen.st_mode) & 0o077:
            place.chmod(0o700)
    return place


def file_of(project: Project) -> Path:
    return folder() / f"{project.key}.json"


def load(project: Project) -> Endpoint | None:
    """The endpoint that was last announced for this project, whether or not anyone still listens there."""
    try:
        fields = json.loads(file_of(project).read_text())
        address = fields["address"]
        fields["address"] = address if isinstance(address, str) else (str(address[0]), int(address[1]))
        return Endpoint(**fields)
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def announce(project: Project, endpoint: Endpoint) -> None:
    path = file_of(project)
    write_atomic(path, json.dumps(asdict(endpoint)))
    path.chmod(0o600)


def withdraw(project: Project, pid: int) -> None:
    """Remove the announcement if it is still that of process ``pid``."""
    known = load(project)
    if known is not None and known.pid == pid:
        with contextlib.suppress(OSError):
            file_of(project).unlink()
        if isinstance(known.address, str):
            with contextlib.suppress(OSError):
                os.unlink(known.address)


def listen(project: Project) -> tuple[socket.socket, str | tuple[str, int]]:
    """A listening socket and its address."""
    if hasattr(socket, "AF_UNIX"):
        path = folder() / f"{project.key[:12]}-{os.getpid()}.s"
        with contextlib.suppress(OSError):
            path.unlink()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        path.chmod(0o600)
        server.listen(_WAITING)
        return server, str(path)
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.bind(("127.0.0.1", 0))
    server.listen(_WAITING)
    host, port = server.getsockname()
    return server, (host, port)


def connect(endpoint: Endpoint, timeout: float) -> socket.socket:
    family = socket.AF_UNIX if isinstance(endpoint.address, str) else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    until = time.monotonic() + timeout
    while True:
        try:
            connection.connect(endpoint.address)
        except BlockingIOError:  # so many wait already that a Unix socket takes no other one just now
            if time.monotonic() < until:
                time.sleep(0.005)
                continue
            connection.close()
            raise
        except OSError:
            connection.close()
            raise
        return connection
