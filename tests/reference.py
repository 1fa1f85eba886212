"""The server that ``nbledger server`` describes, started without containers: PostgreSQL that asks for a password, SeaweedFS and
MLflow with the command lines and variables of ``compose.yaml``; and a proxy before it that can be as wrong as proxies are.
"""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import http.server
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from conftest import run
from nbledger.core import serverfiles
from servers import Postgres, free_port, wait_for, weed_port

BIN = Path(sys.executable).parent
Before = Callable[[str, str, dict[str, str]], int | None]
After = Callable[[str, int, dict[str, str]], int]


def environment(folder: Path) -> dict[str, str]:
    lines = [line for line in (folder / ".env").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def filled(what: Any, words: Mapping[str, str]) -> Any:
    """As Compose puts variables in: ${NAME:?why}, ${NAME:-default}."""
    if isinstance(what, dict):
        return {key: filled(value, words) for key, value in what.items()}
    if isinstance(what, list):
        return [filled(value, words) for value in what]
    if not isinstance(what, str):
        return what

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found[1], found[2], found[3]
        assert words.get(name) or kind == ":-", f"{name} {rest}"
        return words.get(name) or rest

    return re.sub(r"\$\{(\w+)(:[?-])([^}]*)\}", value, what)


def compose(folder: Path) -> dict[str, Any]:
    found = filled(yaml.safe_load((folder / "compose.yaml").read_text()), environment(folder))
    assert isinstance(found, dict)
    return found


class Reference:
    """What ``compose.yaml`` starts, started here: the addresses are of this machine, everything else is as it says there."""

    def __init__(self, place: Path) -> None:
        self.place, self.files, self.ini = place, place / "files", place / "basic_auth.ini"
        serverfiles.write(self.files)
        self.words, self.services = environment(self.files), compose(self.files)["services"]
        self.port, self.s3_port = free_port(), weed_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started: list[subprocess.Popen[bytes]] = []
        self.server: subprocess.Popen[bytes] | None = None
        (place / "pg").mkdir()
        self.postgres = Postgres(place / "pg")

    def open(self) -> None:
        self._ask_for_password()
        self._objects()
        self.ini.write_text(self._here((self.files / "basic_auth.ini").read_text()))
        assert "made the bucket mlflow" in self.script("admin.py", "prepare")
        assert "is there" in self.script("admin.py", "prepare")

    def _ask_for_password(self) -> None:
        """A database that belongs to mlflow, who must give the password of .env."""
        psql = ("psql", "-qX", "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "ledger", "-d", "mlflow", "-c")
        word = self.words["POSTGRES_PASSWORD"]
        run(*psql, f"create role mlflow login password '{word}'; alter database mlflow owner to mlflow", cwd=self.place)
        rules = self.postgres.data / "pg_hba.conf"
        rules.write_text("host all mlflow 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        run(*psql, "select pg_reload_conf()", cwd=self.place)

    def _objects(self) -> None:
        service, data = self.services["objects"], self.place / "objects"
        data.mkdir()
        words = [word.replace("/data", str(data)).replace("8333", str(self.s3_port)) for word in service["command"]]
        words += [f"-{name}.port={weed_port()}" for name in ("master", "volume", "filer")]
        self._start([str(BIN / "weed"), *words], service["environment"], data)
        health = service["healthcheck"]["test"][-1]
        assert "8333" in health
        wait_for(health.replace("8333", str(self.s3_port)), 120)

    def _here(self, text: str) -> str:
        text = text.replace("database:5432", f"127.0.0.1:{self.postgres.port}")
        text = text.replace("objects:8333", f"127.0.0.1:{self.s3_port}")
        return text.replace("/srv/basic_auth.ini", str(self.ini))

    def env(self, service: str) -> dict[str, str]:
        words = {key: self._here(str(value)) for key, value in self.services[service]["environment"].items()}
        words |= {"PGHOST": "127.0.0.1", "PGPORT": str(self.postgres.port)}
        return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.place), **words}

    def _start(self, command: list[str], env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
        whole = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.place), **env}
        with open(self.place / "log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, env=whole, start_new_session=True)
        self.started.append(process)
        return process

    def start(self) -> None:
        """MLflow, with one worker instead of several."""
        command = [str(word) for word in self.services["mlflow"]["command"]]
        for option, value in (("--port", str(self.port)), ("--workers", "1"), ("--host", "127.0.0.1")):
            command[command.index(option) + 1] = value
        self.server = self._start(command, self.env("mlflow"), self.place)
        wait_for(f"{self.url}/health", 180)

    def stop(self) -> None:
        if self.server is not None:
            self._end(self.server)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()

    def close(self) -> None:
        for process in self.started:
            self._end(process)
        self.postgres.close()

    def script(self, name: str, *words: str, said: str = "", ok: bool = True, **more: str) -> str:
        """What a script of the image prints, run with the variables of its service."""
        env = self.env("mlflow" if name == "admin.py" else "backup")
        env |= {"MLFLOW_ADDRESS": self.url, "BACKUP_FOLDER": str(self.place / "backups"), **more}
        done = subprocess.run(
            [sys.executable, str(self.files / name), *words],
            input=said,
            capture_output=True,
            text=True,
            env=env,
            timeout=60,
        )
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        assert "Traceback" not in done.stderr and not any(word in done.stdout for word in self.words.values())
        return done.stdout

    def ask(self, who: str, method: str, path: str, what: dict[str, Any] | bytes | None = None) -> Any:
        """(what it answers as JSON or bytes); ``HTTPError`` where it refuses."""
        data = what if isinstance(what, bytes) or what is None else json.dumps(what).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header(
            "Content-Type", "application/octet-stream" if isinstance(what, bytes) else "application/json"
        )
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"{who}:{self.password(who)}".encode()).decode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if "json" in answer.headers.get("Content-Type", "") else body

    def password(self, who: str) -> str:
        return self.words["MLFLOW_ADMIN_PASSWORD"] if who == "admin" else f"the-password-of-{who}"

    def objects(self) -> dict[str, bytes]:
        store = self.store()
        pages = store.get_paginator("list_objects_v2").paginate(Bucket="mlflow")
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: store.get_object(Bucket="mlflow", Key=key)["Body"].read() for key in keys}

    def store(self) -> Any:
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.s3_port}",
            aws_access_key_id=self.words["S3_ACCESS_KEY"],
            aws_secret_access_key=self.words["S3_SECRET_KEY"],
            region_name="us-east-1",
        )


def certificate(folder: Path, days: tuple[float, float]) -> tuple[Path, ssl.SSLContext]:
    """(its file, what a server of it needs): a self-signed one for localhost, valid between these days from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now + dt.timedelta(days[0])).not_valid_after(now + dt.timedelta(days[1]))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    file, secret = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


def through(method: str, path: str, headers: dict[str, str]) -> int | None:
    """Nothing is changed, and the server answers."""
    return None


def as_is(path: str, status: int, headers: dict[str, str]) -> int:
    """As the server answered."""
    return status


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before the server as proxies do: ``before`` may change a request's headers or answer itself, ``after`` an answer's."""

    daemon_threads = True

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.upstream = port
        self.before: Before = through
        self.after: After = as_is
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        name = "localhost" if context else "127.0.0.1"
        self.url = f"{'https' if context else 'http'}://{name}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not accept the certificate is meant."""


class _Passing(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def _pass(self) -> None:
        headers = {name.title(): value for name, value in self.headers.items()}
        path = re.sub(r"^http://[^/]+", "", self.path)  # asked as a forward proxy
        body = self.rfile.read(int(headers.get("Content-Length", 0)))
        status = self.server.before(self.command, path, headers)
        said: dict[str, str] = {}
        answer = b""
        if status is None:
            line = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
            line.request(self.command, path, body, headers)
            got = line.getresponse()
            answer, said = got.read(), {name.title(): value for name, value in got.getheaders()}
            status = self.server.after(path, got.status, said)
            line.close()
        self.send_response_only(status)
        for name, value in said.items():
            if name not in ("Transfer-Encoding", "Content-Length", "Connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815 - the names of http.server

    def log_message(self, *words: Any) -> None:
        """Quiet."""


@contextmanager
def proxied(made: Reference, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    proxy = Proxy(made.port, context)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
