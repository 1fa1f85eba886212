"""Real projects, kernels and keepers to measure in, with nothing of the person's own configuration."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import KernelManager

from bench.measure import timed
from nbledger.core.project import find
from nbledger.keeper import client

_LEAKY = ("MLFLOW_", "JUPYTER", "IPYTHON", "DVC_", "GIT_", "NBLEDGER_", "PAPERMILL_", "XDG_", "PYTHONDONTWRITE", "JPY_")
_GIT_CONFIG = """\
[user]
    name = Ada Bench
    email = ada@example.org
[init]
    defaultBranch = main
[gc]
    auto = 0
[maintenance]
    auto = false
"""
NOTEBOOK = "analysis.ipynb"


@dataclass(frozen=True)
class World:
    """Where the benchmark works; ``quick`` makes everything small, to see that it runs."""

    folder: Path
    quick: bool = False
    pairs: int = 10
    few: int = 5

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def place(self, name: str) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def project(self, files: int = 30) -> Path:
        """A new Git and DVC repository of ``files`` small Python files and a notebook, all committed, its index fresh."""
        template = self.folder / f"template-{files}"
        if not template.exists():
            _make_project(template, files)
        root = self.place("project") / "work"
        shutil.copytree(template, root, symlinks=True)
        timed(["git", "update-index", "-q", "--refresh"], cwd=root)
        return root


def _make_project(root: Path, files: int) -> None:
    for number in range(files):
        path = root / "src" / f"part{number // 50:03}" / f"module{number:05}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"def function_{number}_{line}(x):\n    return x + {line}\n\n\n" for line in range(10)))
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "c0",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": ["1 + 1"],
    }
    root.mkdir(exist_ok=True)
    (root / NOTEBOOK).write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    (root / ".gitignore").write_text("report.txt\n.ipynb_checkpoints/\n")
    timed(
        ["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "Start"], cwd=root
    )


def remove(root: Path) -> None:
    """Delete a place; what lies below it may be read-only."""
    shutil.rmtree(root, ignore_errors=True)


@contextlib.contextmanager
def isolated(scratch: Path) -> Iterator[Path]:
    """This process's environment and its children's: their own home, configuration and caches below ``scratch``."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=scratch.resolve()))
    runtime = Path(tempfile.mkdtemp(prefix="nbl-"))  # holds sockets, whose paths must be short
    home = folder / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(_GIT_CONFIG)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(_LEAKY)]:
        del os.environ[name]
    os.environ.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_CACHE_HOME=str(home / ".cache"),
        XDG_DATA_HOME=str(home / ".local"),
        IPYTHONDIR=str(home / ".ipython"),
        JUPYTER_CONFIG_DIR=str(home / ".jupyter"),
        JUPYTER_DATA_DIR=str(home / ".local/jupyter"),
        JUPYTER_RUNTIME_DIR=str(runtime),
        JUPYTER_PLATFORM_DIRS="1",
        DVC_SITE_CACHE_DIR=str(home / ".cache/dvc-site"),
        DVC_GLOBAL_CONFIG_DIR=str(home / ".config/dvc"),
        DVC_SYSTEM_CONFIG_DIR=str(home / ".config/dvc-system"),
        DVC_NO_ANALYTICS="1",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="1",
        GIT_CONFIG_NOSYSTEM="1",
        PATH=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    )
    try:
        yield folder
    finally:
        stop_keepers()
        os.environ.clear()
        os.environ.update(before)
        remove(folder)
        remove(runtime)


def stop_keepers() -> None:
    """End every keeper that this benchmark's kernels and commands started, and wait until it is gone."""
    runtime = os.environ["JUPYTER_RUNTIME_DIR"]
    ours = []
    for process in psutil.process_iter(["cmdline"]):
        if "nbledger.keeper" not in (process.info["cmdline"] or []):
            continue
        with contextlib.suppress(psutil.Error):
            if process.environ().get("JUPYTER_RUNTIME_DIR") == runtime:
                process.kill()
                ours.append(process)
    psutil.wait_procs(ours, timeout=10)


def warm_keeper(root: Path) -> None:
    """A keeper for the project that has imported MLflow, opened the store, and answered each kind of question once."""
    project = find(root)
    for name in ("runs", "status"):
        client.ask(project, name, start=True)


def wait_until_published(root: Path, timeout: float = 120.0) -> None:
    """Until no journal of the project is left to publish."""
    journals = root / ".nbledger" / "journals"
    deadline = time.monotonic() + timeout
    while journals.is_dir() and any(not entry.name.startswith(".") for entry in os.scandir(journals)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the keeper did not publish within {timeout:.0f} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Ran:
    """A cell that ran: how long the kernel was busy with it, and what it printed."""

    seconds: float
    stdout: str


class Kernel:
    """A real IPython kernel, as ``jupyter_client`` starts it for a notebook of the project."""

    def __init__(self, cwd: Path) -> None:
        self._manager: Any = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(cwd), env={**os.environ, "JPY_SESSION_NAME": str(cwd / NOTEBOOK)})
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def run(self, code: str) -> Ran:
        """Run a cell. Its seconds lie between the kernel's own messages ``busy`` and ``idle``."""
        return self.wait(self.send(code))

    def send(self, code: str) -> str:
        return str(self._client.execute(code))

    def wait(self, message: str) -> Ran:
        begun: dt.datetime | None = None
        printed, problem = "", ""
        while True:
            got = self._client.get_iopub_msg(timeout=120)
            if got["parent_header"].get("msg_id") != message:
                continue
            content = got["content"]
            if got["msg_type"] == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif got["msg_type"] == "error":
                problem = "\n".join(content["traceback"])
            elif got["msg_type"] == "status" and content["execution_state"] == "busy":
                begun = got["header"]["date"]
            elif got["msg_type"] == "status" and content["execution_state"] == "idle":
                break
        if problem or begun is None:
            raise RuntimeError(f"a cell failed:\n{problem}")
        return Ran((got["header"]["date"] - begun).total_seconds(), printed)

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def kernel(cwd: Path) -> Iterator[Kernel]:
    """A kernel that has run one empty cell less than it has been started for: it is ready, nothing more."""
    started = Kernel(cwd)
    try:
        yield started
    finally:
        started.close()
