"""Places for data, on loopback: Azure's own emulator (Azurite), an emulator of Google Cloud Storage, an SFTP server, and
servers that answer as a cloud does to who has no right.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers import free_port, token, wait_for

AZURITE = Path(__file__).parent / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


@contextmanager
def _running(command: list[str], folder: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})}
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Azure:
    """A storage account with one container; ``connection`` is its connection string."""

    account: str
    key: str
    endpoint: str
    container: str

    @property
    def connection(self) -> str:
        return self.with_key(self.key)

    def with_key(self, key: str) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={key};BlobEndpoint={self.endpoint};"
        )

    def blobs(self) -> dict[str, int]:
        """{name: bytes} of what the container holds."""
        from azure.storage.blob import ContainerClient

        with ContainerClient.from_connection_string(self.connection, self.container) as client:
            return {blob.name: blob.size for blob in client.list_blobs()}


@contextmanager
def azure(folder: Path, container: str) -> Iterator[Azure]:
    """Azurite with an account of its own, in memory."""
    from azure.storage.blob import ContainerClient

    node = shutil.which("node")
    if node is None or not AZURITE.is_file():
        raise RuntimeError("Azurite is needed for this test: npm ci --prefix tests/azurite")
    port, account, key = free_port(), "ledgeraccount", base64.b64encode(os.urandom(32)).decode()
    command = [node, str(AZURITE), "--blobPort", str(port), "--inMemoryPersistence"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with _running(command, folder, {"AZURITE_ACCOUNTS": f"{account}:{key}"}):
        endpoint = f"http://127.0.0.1:{port}/{account}"
        wait_for_port(port)
        made = Azure(account, key, endpoint, container)
        with ContainerClient.from_connection_string(made.connection, container) as client:
            client.create_container()
        yield made


@contextmanager
def google(folder: Path, bucket: str) -> Iterator[str]:
    """An emulator of Google Cloud Storage, in memory, with one bucket; its address. It lets everybody in."""
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--in-memory", "--default-bucket", bucket]
    with _running(command, folder):
        endpoint = f"http://127.0.0.1:{port}"
        wait_for(endpoint)
        yield endpoint


@dataclass(frozen=True)
class Sftp:
    """An SFTP server; ``key`` is the private key of who may come in as ``user``, ``root`` the folder that is ``/`` there."""

    port: int
    user: str
    key: Path
    root: Path

    def url(self, path: str) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}/{path}"


@contextmanager
def sftp(folder: Path) -> Iterator[Sftp]:
    """asyncssh's own server, in a process of its own."""
    import asyncssh

    port, root = free_port(), folder / "root"
    root.mkdir()
    for name in ("host", "person"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / name)
        key.write_public_key(folder / f"{name}.pub")
        (folder / name).chmod(0o600)
    with _running([sys.executable, __file__, "sftp", str(port), str(folder)], folder):
        wait_for_port(port)
        yield Sftp(port, "ledger", folder / "person", root)


def _serve_sftp(port: int, folder: Path) -> None:
    import asyncio

    import asyncssh

    class Chrooted(asyncssh.SFTPServer):
        def __init__(self, chan: asyncssh.SSHServerChannel) -> None:
            super().__init__(chan, chroot=str(folder / "root").encode())

    async def serve() -> None:
        await asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[str(folder / "host")],
            authorized_client_keys=str(folder / "person.pub"),
            sftp_factory=Chrooted,
        )
        await asyncio.Event().wait()

    asyncio.run(serve())


def wait_for_port(port: int, timeout: float = 60) -> None:
    import socket
    import time

    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def answering(
    status: int, words: dict[str, object] | bytes, *, certificate: Path | None = None, health: int = 0
) -> Iterator[str]:
    """A server that answers every request with this, but ``/health`` with ``health``; with ``certificate`` (a PEM with its
    key) by TLS. Its address.
    """
    body = words if isinstance(words, bytes) else json.dumps(words).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # some clients wait for the 100 to their Expect

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(health if health and self.path == "/health" else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_POST = do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP, for reading; its address."""
    port = free_port()
    with _running(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(folder)], folder.parent
    ):
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/"


def own_certificate(folder: Path) -> Path:
    """A certificate for loopback that no authority signed, with its key, in one PEM."""
    path = folder / "own.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "own.key", "-out", folder / "own.crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes((folder / "own.key").read_bytes() + (folder / "own.crt").read_bytes())
    return path


def service_account(path: Path, token_uri: str) -> None:
    """A service account's key file, whose tokens are asked for at ``token_uri``."""
    key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout
    account = {
        "type": "service_account",
        "project_id": "ledger",
        "private_key_id": token(),
        "private_key": key,
        "client_email": "ledger@ledger.example",
        "client_id": "1",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))


if __name__ == "__main__" and sys.argv[1:2] == ["sftp"]:
    _serve_sftp(int(sys.argv[2]), Path(sys.argv[3]))
