"""Several machines on one: a Dask scheduler and workers, Git, data and tracking servers, joined by loopback and nothing else.

Each machine has a home, a temporary folder and a working directory of its own. No path of one is told to another.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import conftest
from batches import judged
from servers import free_port

NBLEDGER = (sys.executable, "-m", "nbledger.cli")


@dataclass
class Machine:
    """A machine: its own folder, and the environment of whatever runs there."""

    folder: Path
    env: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return Path(self.env["HOME"])

    @property
    def name(self) -> str:
        return self.folder.name

    def start(self, *words: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """A process, its words in ``log``."""
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                [str(word) for word in words],
                cwd=cwd or self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def run(
        self, *words: str | Path, cwd: Path | None = None, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.folder,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return judged(done, code)

    def nbledger(self, root: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(*NBLEDGER, *words, cwd=root, code=code)

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        conftest.stop_keepers(Path(self.env["JUPYTER_RUNTIME_DIR"]))


@contextlib.contextmanager
def machine(base: Path, name: str, **env: str) -> Iterator[Machine]:
    """A machine below ``base``; what runs there ends with the block."""
    folder = base / name
    for part in ("home", "tmp"):
        (folder / part).mkdir(parents=True)
    runtime = conftest.short_folder()
    own = conftest.isolated_environment(folder / "home", runtime)
    made = Machine(folder, {**own, "TMPDIR": str(folder / "tmp"), **env})
    try:
        yield made
    finally:
        made.stop()


def scheduler(where: Machine, **settings: str) -> str:
    """Start a scheduler; its address."""
    port = free_port()
    where.env |= {f"DASK_DISTRIBUTED__{key}": value for key, value in settings.items()}
    where.start(sys.executable, "-m", "distributed.cli.dask_scheduler", *_where(port), "--no-dashboard", "--no-show")
    return f"127.0.0.1:{port}"


def _where(port: int) -> tuple[str, ...]:
    return "--host", "127.0.0.1", "--port", str(port)


def worker(where: Machine, address: str, threads: int = 2) -> subprocess.Popen[bytes]:
    """Start a worker without a nanny, so that killing it ends it."""
    words = ("--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--name", where.name, "--host", "127.0.0.1")
    local = ("--local-directory", str(where.folder / "scratch"), "--memory-limit", "0")
    command = (sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{address}")
    return where.start(*command, *words, *local)


@contextlib.contextmanager
def git_daemon(folder: Path) -> Iterator[str]:
    """Serve the bare repositories below ``folder``, to be pushed to as well; the URL of the folder."""
    port = free_port()
    words = ("--reuseaddr", "--export-all", "--enable=receive-pack", f"--base-path={folder}", "--listen=127.0.0.1")
    command = ["git", "daemon", *words, f"--port={port}", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait(lambda: _listens(port), 60)
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait(told: Callable[[], object], seconds: float = 60.0, what: str = "it") -> object:
    """Wait until it holds; what it said then. ``what`` did not, a failure says."""
    deadline = time.monotonic() + seconds
    while not (found := told()):
        assert time.monotonic() < deadline, f"{what} did not come to hold within {seconds:.0f} s"
        time.sleep(0.1)
    return found
