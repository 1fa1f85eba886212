"""A bare Git repository over ``git http-backend`` with basic authentication, on loopback."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from servers import free_port

_PIECE = 1 << 16


class GitHttp:
    """The server and its one repository, ``ledger.git``: who may read and write are ``logins`` {name: password}.

    ``stop`` ends it as a crash would, answers that are under way included; ``start`` brings it back at the same address.
    """

    def __init__(self, folder: Path, logins: Mapping[str, str]) -> None:
        self.folder, self.logins, self.port = folder, dict(logins), free_port()
        self.repository = folder / "ledger.git"
        self.url = f"http://127.0.0.1:{self.port}/ledger.git"
        self.log = folder / "git.log"
        self.running: set[subprocess.Popen[bytes]] = set()
        self._server: _Server | None = None
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.repository], check=True)
        subprocess.run(["git", "-C", self.repository, "config", "http.receivepack", "true"], check=True)

    def address(self, name: str) -> str:
        """The address with this person's credentials in it, as a credential store has it."""
        return f"http://{name}:{self.logins[name]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.office = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def serves(self, server: _Server) -> bool:
        """Whether this is the server that runs, not one of before."""
        return self._server is server

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        for process in list(self.running):
            with suppress(ProcessLookupError):
                process.kill()


class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, allow_reuse_address = True, False, True
    request_queue_size = 64
    office: GitHttp

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no failure of a test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        with open(self.server.office.log, "a") as log:
            log.write(f"{format % args}\n")

    def _who(self) -> str | None:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        with suppress(ValueError):
            name, _, password = base64.b64decode(given).decode().partition(":")
            if kind.lower() == "basic" and self.server.office.logins.get(name) == password:
                return name
        return None

    def _serve(self) -> None:
        self.close_connection = True
        body = self._body()
        who = self._who()
        if who is None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        office, asked = self.server.office, urlsplit(self.path)
        if not office.serves(self.server):
            raise ConnectionError("the server was ended while the request came")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(office.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROJECT_ROOT": str(office.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_COMMITTER_NAME": who,
            "GIT_COMMITTER_EMAIL": f"{who}@127.0.0.1",
            "REMOTE_USER": who,
            "REMOTE_ADDR": "127.0.0.1",
            "PATH_INFO": asked.path,
            "QUERY_STRING": asked.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        with subprocess.Popen(
            ["git", "http-backend"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as backend:
            office.running.add(backend)
            try:
                if not office.serves(self.server):
                    raise ConnectionError("the server was ended")
                self._answer(backend, body)
            finally:
                backend.kill()  # it has ended, or nobody listens any more
                office.running.discard(backend)

    def _answer(self, backend: subprocess.Popen[bytes], body: bytes) -> None:
        assert backend.stdin is not None and backend.stdout is not None
        threading.Thread(target=_feed, args=(backend.stdin, body), daemon=True).start()
        head: list[tuple[str, str]] = []
        while line := backend.stdout.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            head.append((name, value.strip()))
        if not head:
            raise ConnectionError("git http-backend was ended")  # and the caller's connection with it
        status = next((value for name, value in head if name.lower() == "status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in head:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := backend.stdout.read1(_PIECE):  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if backend.wait():
            raise ConnectionError("git http-backend was ended")  # cut off: no last chunk
        self.wfile.write(b"0\r\n\r\n")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)


def _feed(pipe: Any, body: bytes) -> None:
    with suppress(OSError), pipe:
        pipe.write(body)


@contextmanager
def githttp(folder: Path, logins: Mapping[str, str]) -> Iterator[GitHttp]:
    server = GitHttp(folder, logins)
    try:
        server.start()
        yield server
    finally:
        server.stop()
