"""What the extension costs a Jupyter Server: memory while nobody asks, and how long it holds the event loop."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure import Row, in_turns, row, timed
from bench.world import World, stop_keepers, warm_keeper

ROOT = Path(__file__).resolve().parent.parent
_MEMORY_BUDGET = 30.0
_HOLD_BUDGET = 0.010
_PLAIN = "without it"
_RUNS = "nbledger/api/runs?limit=20000"


@dataclass(frozen=True)
class Server:
    """A running Jupyter Server with JupyterLab."""

    port: int
    token: str
    process: psutil.Process

    def get(self, path: str, *, packed: bool = False) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Authorization": f"token {self.token}"} | ({"Accept-Encoding": "gzip"} if packed else {})
        try:
            connection.request("GET", f"/{path}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:500]!r}")
        return body

    def hold(self) -> float:
        """The longest hold since the last call."""
        return float(json.loads(self.get("bench/hold"))["seconds"])

    def megabytes(self) -> float:
        """Memory that is this process's own."""
        return self.process.memory_full_info().uss / 2**20


@contextlib.contextmanager
def server(root: Path, *, ours: bool, ticking: bool = False, options: tuple[str, ...] = ()) -> Iterator[Server]:
    """Jupyter Server with JupyterLab on ``root``, with nbledger's extension or without it."""
    token = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    extensions = {"nbledger.server": ours, "bench.ticker": ticking}
    process = subprocess.Popen(
        [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}",
            f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
            f"--ServerApp.jpserver_extensions={extensions}", *options,
        ],
        cwd=root, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = Server(port, token, psutil.Process(process.pid))
    try:
        _wait(started)
        yield started
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(started: Server) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            started.get("api/status")
            return
        time.sleep(0.1)
    raise RuntimeError("Jupyter Server did not start")


def extension(world: World) -> list[Row]:
    """Memory when idle, and the event loop while many runs are fetched."""
    root, count = world.project(), world.size(10_000, 300)
    warm_keeper(root)
    timed([sys.executable, str(ROOT / "tests" / "many_runs.py"), str(root), str(count)], cwd=root)
    rows = [*_memory(world, root, count), *_held(world, root, count)]
    stop_keepers()
    return rows


def _memory(world: World, root: Path, count: int) -> list[Row]:
    idle, used = [], []
    for _ in range(world.few):
        with server(root, ours=False) as plain, server(root, ours=True) as ours:
            time.sleep(2)
            idle.append(ours.megabytes() - plain.megabytes())
            for _ in range(3):
                ours.get("nbledger/api/state")
                ours.get(_RUNS, packed=True)
            time.sleep(2)
            used.append(ours.megabytes() - plain.megabytes())
    budget = (_MEMORY_BUDGET,) * world.few
    return [
        row("server-memory", "memory that the extension adds to an idle Jupyter Server, just started", _MEGABYTES, (idle, budget), 1, "MB"),
        row("server-memory-used", f"the same after {count:,} runs were fetched three times", _MEGABYTES, (used, budget), 1, "MB"),
    ]  # fmt: skip


_MEGABYTES = "design.md's 30 MB"


def _held(world: World, root: Path, count: int) -> list[Row]:
    with server(root, ours=True, ticking=True) as here:
        fetched = here.get(_RUNS)
        (root / "runs.json").write_bytes(fetched)
        here.hold()

        def ours(*, packed: bool) -> float:
            here.hold()
            here.get(_RUNS, packed=packed)
            return here.hold()

        def file() -> float:
            here.hold()
            here.get("api/contents/runs.json")
            return here.hold()

        def nothing() -> float:
            here.hold()
            time.sleep(0.3)
            return here.hold()

        in_turns(2, lambda: ours(packed=True), file)
        packed, bare, files, idle = in_turns(
            world.pairs, lambda: ours(packed=True), lambda: ours(packed=False), file, nothing
        )
    noise = statistics.median(idle)
    size = f"{count:,} runs ({len(fetched) / 1e6:.1f} MB)"
    budget = (_HOLD_BUDGET,) * world.pairs
    return [
        row("server-hold", f"longest hold of the event loop while {size} are fetched, compressed", "design.md's 10 ms", (packed, budget), 1),
        row("server-hold-plain", f"the same, not compressed; with nothing fetched it is {noise * 1e3:.1f} ms", "design.md's 10 ms", (bare, budget), 1),
        row("server-hold-file", f"longest hold while {size} are fetched, compressed", "a file of that size, by Jupyter Server's own contents API", (packed, files)),
    ]  # fmt: skip
