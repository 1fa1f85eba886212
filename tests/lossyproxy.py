"""A proxy before a server that loses answers: the server did what was asked, and who asked never hears of it."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


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
