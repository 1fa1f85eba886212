"""The network before a server: ``losing`` loses answers, so that the server did what was asked and who asked never hears of
it; a ``Wire`` is cut at a moment that is chosen.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@contextmanager
def losing(port: int, times: Mapping[bytes, int]) -> Iterator[tuple[str, Counter[bytes]]]:
    """(URI, what was lost): of ``{how a request begins: times}`` the first so many answers."""
    server = socket.create_server(("127.0.0.1", 0))
    lost: Counter[bytes] = Counter()

    def serve(caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", port)) as upstream, suppress(OSError):
            request = _message(caller)
            upstream.sendall(request)
            answer = b"".join(iter(lambda: upstream.recv(65536), b""))
            for words, most in times.items():
                if request.startswith(words) and lost[words] < most:
                    lost[words] += 1
                    return
            caller.sendall(answer)

    def accept() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(caller,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", lost
    finally:
        server.close()


def _message(caller: socket.socket) -> bytes:
    """One HTTP request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = caller.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(body) < length:
        body += caller.recv(65536)
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close", b"", body])


class Wire:
    """The network between somebody and a server on this machine: it can be cut in the middle of what passes, and mended.

    ``port`` is this end of it. While it is cut, nobody is let in, and what was under way was reset.
    """

    def __init__(self, server: int) -> None:
        self._server, self._listener = server, socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sent = 0
        self.asked = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._tripped: list[_Trip] = []
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def at(
        self, words: bytes, deed: Callable[[], object], *, after: bool = False, bytes_on: int = 0
    ) -> threading.Event:
        """Do ``deed``, once, when a request that contains ``words`` has come: before it is passed on, or (``after``) when it
        is, so that it is its answer which is lost; or in its middle, so many bytes on. Tells when it is done.
        """
        trip = _Trip(words, deed, after, bytes_on, threading.Event())
        self._tripped.append(trip)
        return trip.done

    def cut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            gone, self._open = self._open, set()
        for end in gone:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(16384):
                trip = self._trip(data) if up else None
                if trip is not None and not trip.after:
                    trip.go()
                target.sendall(data)
                if trip is not None and trip.after:
                    trip.go()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {source, target}

    def _trip(self, data: bytes) -> _Trip | None:
        with self._lock:
            self.sent += len(data)
            self.asked += data.startswith((b"GET ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ", b"HEAD "))
            for trip in self._tripped:
                if trip.begun:
                    trip.left -= len(data)
                elif trip.words in data:
                    trip.begun, trip.left = True, trip.left - len(data)
                if trip.begun and trip.left <= 0:
                    self._tripped.remove(trip)
                    return trip
        return None


@dataclass
class _Trip:
    """What is to happen at a moment: ``left`` bytes after a request of these words has begun."""

    words: bytes
    deed: Callable[[], object]
    after: bool
    left: int
    done: threading.Event
    begun: bool = False

    def go(self) -> None:
        try:
            self.deed()
        finally:
            self.done.set()


@contextmanager
def wire(server: int) -> Iterator[Wire]:
    """A wire to a server's port."""
    made = Wire(server)
    try:
        yield made
    finally:
        made.cut()
