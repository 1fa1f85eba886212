"""A proxy before a server that loses answers: the server did what was asked, and who asked never hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def losing(port: int, words: bytes, times: int) -> Iterator[tuple[str, list[bytes]]]:
    """(URI, requests whose answers were lost): the first ``times`` answers to requests that begin with ``words``."""
    server = socket.create_server(("127.0.0.1", 0))
    lost: list[bytes] = []

    def serve(caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", port)) as upstream, suppress(OSError):
            request = _message(caller)
            upstream.sendall(request)
            answer = b"".join(iter(lambda: upstream.recv(65536), b""))
            if request.startswith(words) and len(lost) < times:
                lost.append(request.split(b"\r\n")[0])
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
