"""Who may ask the keeper, and how much: what stands between its socket and a call.

A connection brings one line. The line begins with ``{"secret": "…"``, whose length is known: so many bytes are read and
compared, within seconds, before anything more is read and long before anything is parsed. On a Unix socket of Linux the
system itself says whose process asks; another user's is not even listened to.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import socket
import struct
import threading
import time
from typing import Any

from nbledger.core.errors import Busy, LedgerError, UsageError
from nbledger.keeper import schemas, words

LINE_LIMIT = 8 << 20
"""Bytes of a request: the paths of fifty thousand files."""
SECRET_SECONDS = 5.0
LINE_SECONDS = 30.0
CONNECTIONS = 256
"""At once; a page of JupyterLab was seen to have 4."""
RATE, BURST = 200.0, 1_000.0
"""Requests a second in the long run, and how many may come together; a page of JupyterLab was seen to send 8 a second."""

_HEAD = b'{"secret": "'
_TAIL = b'"'
_CHUNK = 64 << 10


class Reception:
    """Counts those who are here, and lets in who knows the ``secret``."""

    def __init__(self, secret: str) -> None:
        self._expected = _HEAD + secret.encode() + _TAIL
        self._lock = threading.Lock()
        self._here = 0
        self._left = BURST
        self._at = time.monotonic()

    def enter(self, connection: socket.socket) -> None:
        """Before a connection gets a thread: ``UsageError`` for another user's, ``Busy`` where there are too many."""
        if not _same_user(connection):
            raise UsageError("the keeper answers its own user only")
        with self._lock:
            now = time.monotonic()
            self._left = min(BURST, self._left + (now - self._at) * RATE)
            self._at = now
            if self._here >= CONNECTIONS:
                raise Busy(f"the keeper has {CONNECTIONS} connections already", "try again when some have ended")
            if self._left < 1:
                raise Busy(f"the keeper is asked more than {RATE:.0f} times a second", "try again in a moment")
            self._left -= 1
            self._here += 1

    def leave(self) -> None:
        with self._lock:
            self._here -= 1

    def request(self, connection: socket.socket) -> dict[str, Any] | None:
        """What is asked for, in the form of ``schemas.REQUEST``; None where nothing was said."""
        head = _read(connection, len(self._expected), SECRET_SECONDS)
        if not head:
            return None  # somebody looked whether there is a keeper
        if not hmac.compare_digest(head, self._expected):
            raise UsageError("the keeper was called without its secret")
        line = _rest_of_line(connection)
        try:
            request = json.loads(head + line, parse_constant=_no_number)
        except (ValueError, RecursionError) as err:
            raise UsageError("the request is not JSON") from err
        words.check(request, schemas.REQUEST)
        return dict(request)


def refuse(connection: socket.socket, error: LedgerError) -> None:
    """Say why and hang up, without waiting for anybody."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(json.dumps({"error": error.as_dict()}).encode() + b"\n")


def dismiss(connection: socket.socket) -> None:
    """Let the other side read what was answered before the connection goes: what it still sends is not for us, but unread
    it would take the answer with it.
    """
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + 1.0
        for _ in range(LINE_LIMIT // _CHUNK):
            connection.settimeout(max(until - time.monotonic(), 0.001))
            if not connection.recv(_CHUNK):
                return


def _read(connection: socket.socket, size: int, seconds: float) -> bytes:
    """Exactly ``size`` bytes, or fewer where the other side ends before."""
    until = time.monotonic() + seconds
    held = b""
    while len(held) < size:
        more = _received(connection, size - len(held), until)
        if not more:
            break
        held += more
    return held


def _rest_of_line(connection: socket.socket) -> bytes:
    until = time.monotonic() + LINE_SECONDS
    pieces: list[bytes] = []
    held = 0
    while more := _received(connection, _CHUNK, until):
        line, end, _ = more.partition(b"\n")
        pieces.append(line)
        held += len(line)
        if held > LINE_LIMIT:
            raise UsageError(f"the request is larger than {LINE_LIMIT >> 20} MB", "name a folder instead of its files")
        if end:
            return b"".join(pieces)
    raise UsageError("the request ended before its line did")


def _received(connection: socket.socket, size: int, until: float) -> bytes:
    """The next bytes, none at the end; ``UsageError`` when the time for all of them is over."""
    left = until - time.monotonic()
    try:
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        return connection.recv(size)
    except TimeoutError as err:
        raise UsageError("the request did not come in time") from err
    except ConnectionError:
        return b""


def _same_user(connection: socket.socket) -> bool:
    """Whether the system says so; true where it says nothing of the other side (the secret speaks then)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or connection.family != getattr(socket, "AF_UNIX", None):
        return True
    try:
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    except OSError:
        return False
    return bool(user == os.geteuid())


def _no_number(word: str) -> float:
    raise ValueError(word)
