"""A tracking server that refuses connections, or accepts them and never answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import free_port, mlflow_server

LISTEN = """import signal, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
print("listening", flush=True)
signal.pause()"""
KINDS = ("refuses", "never answers")


@contextmanager
def dead_server(kind: str, folder: Path, *, real: bool) -> Iterator[str]:
    """Its URI. ``real``: an `mlflow server` that was there and is killed or stopped; else a port that nobody listens on, or
    a listening process that is stopped, which a client cannot tell from the other (the system accepts for both).
    """
    if real:
        with mlflow_server(folder, f"sqlite:///{folder / 'server.db'}") as server:
            if kind == "refuses":
                server.stop()
            else:
                server.signal(signal.SIGSTOP)
            yield server.uri
        return
    port = free_port()
    if kind == "refuses":
        yield f"http://127.0.0.1:{port}"
        return
    process = subprocess.Popen([sys.executable, "-c", LISTEN, str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def use(project: Path, uri: str) -> None:
    """Make it the project's tracking server."""
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{uri}"\n')
