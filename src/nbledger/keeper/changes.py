"""The hub of the keeper: whoever changes something tells which parts of the project show it, and those who watch hear of it.

One counter of versions serves the whole process. It starts at the clock's milliseconds, so that a version which an older
keeper gave is never taken for one of this keeper's.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from nbledger.core.project import Project

PARTS = ("state", "runs", "models", "pipeline", "jobs")
_lock = threading.Lock()
_version = time.time_ns() // 1_000_000
_watchers: list[Subscription] = []
_serving = _over = False


class Subscription:
    """One watcher: the parts that changed since it last took them. ``bell`` becomes readable when there are some."""

    def __init__(self, project: Project) -> None:
        self.home = project.home
        self.bell, self._rope = socket.socketpair()
        self.bell.setblocking(False)
        self._rope.setblocking(False)
        self._parts: set[str] = set()
        self.closed = False

    def add(self, parts: set[str]) -> None:
        """Under the hub's lock."""
        self._parts |= parts
        self.ring()

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it was rung often enough
            self._rope.send(b"!")

    def take(self) -> tuple[list[str], int]:
        """The parts that changed, and the version they are at now; nothing waits afterwards."""
        with contextlib.suppress(OSError):
            while self.bell.recv(4096):
                pass
        with _lock:
            taken, self._parts = self._parts, set()
            return [part for part in PARTS if part in taken], _version

    def close(self) -> None:
        self.bell.close()
        self._rope.close()


def version() -> int:
    with _lock:
        return _version


def next_version() -> int:
    """A new version: what changes now bears it."""
    global _version
    with _lock:
        _version += 1
        return _version


def serve() -> None:
    """This process is a keeper: it lives on after a call is answered."""
    global _serving, _over
    _serving, _over = True, False


def serving() -> bool:
    return _serving


def tell(project: Project, *parts: str, run: str | None = None) -> None:
    """These parts of the project show something else now; ``run``: because of this one. From any thread; outside a keeper
    nobody listens.
    """
    global _version
    if run is not None:
        from nbledger.keeper import table

        table.touched(project, run)
    with _lock:
        _version += 1
        heard = [watcher for watcher in _watchers if watcher.home == project.home] if _watchers else []
        for watcher in heard:
            watcher.add(set(parts))


@contextlib.contextmanager
def subscribed(project: Project) -> Iterator[Subscription]:
    """Hear of every change of the project from now on."""
    made = Subscription(project)
    with _lock:
        _watchers.append(made)
        made.closed = _over
    try:
        yield made
    finally:
        with _lock:
            _watchers.remove(made)
        made.close()


def watched() -> int:
    """How many watch."""
    with _lock:
        return len(_watchers)


def close() -> None:
    """End every subscription, and those that still come: the keeper stops."""
    global _over
    with _lock:
        _over = True
        for watcher in _watchers:
            watcher.closed = True
            watcher.ring()
