"""Amazon on loopback: moto's server, as it is after every test that used it."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def amazon() -> Iterator[str]:
    """The address of an account in which nothing is yet.

    moto keeps what it was told for the whole process, whichever server was told: emptied at the beginning, else a file of
    tests would meet what the one before it left.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        asked = urllib.request.Request(f"{address}/moto-api/reset", method="POST")
        urllib.request.urlopen(asked, timeout=60).close()
        yield address
    finally:
        server.stop()
