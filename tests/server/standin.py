"""Faults that a real keeper shows once a year: a process that announces itself as the keeper and says what a test wants."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nbledger
from nbledger.core.project import Project
from nbledger.keeper import endpoint, journal

Say = Callable[[bytes], None]


@contextmanager
def keeper(project: Project, talk: Callable[[Say], None]) -> Iterator[list[bytes]]:
    """Whoever asks is answered by ``talk``, whose argument sends bytes; then the connection ends. The questions so far."""
    asked: list[bytes] = []
    project.ensure_state()
    server, address = endpoint.listen(project)
    pid = os.getpid()
    made = endpoint.Endpoint(address, "secret", pid, journal.process_started(pid), nbledger.__version__)
    endpoint.announce(project, made)

    def answer(connection: Any) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as stream:
            if question := stream.readline():
                asked.append(question)
                talk(connection.sendall)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield asked
    finally:
        endpoint.withdraw(project, pid)
        server.close()
