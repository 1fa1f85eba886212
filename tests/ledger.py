"""What plain MLflow says of a project's runs, read without nbledger's own code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from forked import FLUSH, shared


def flush(root: Path) -> str:
    """What ``nbledger flush`` says, in a process that need not import MLflow."""
    return shared().run(FLUSH, root).out


def uri(root: Path) -> str:
    return f"sqlite:///{root / '.nbledger' / 'mlflow.db'}"


def client(where: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=where)


def runs(root: Path, where: str | None = None, *, flushed: bool = True) -> list[Any]:
    """All runs of the store, oldest first."""
    if flushed:
        flush(root)
    api = client(where or uri(root))
    found = api.search_runs([e.experiment_id for e in api.search_experiments()], max_results=1000)
    return sorted(found, key=lambda r: r.info.start_time)


def run(root: Path, name: str, where: str | None = None) -> Any:
    """The one run of that name."""
    (found,) = [r for r in runs(root, where) if r.info.run_name == name]
    return found


def artifact(root: Path, run_id: str, path: str, where: str | None = None) -> Path:
    return Path(client(where or uri(root)).download_artifacts(run_id, path))


def wait_for_status(root: Path, name: str, status: str, timeout: float = 120.0) -> Any:
    """Wait, asking MLflow alone, until the run of that name has ``status``."""
    deadline = time.monotonic() + timeout
    seen: list[str] = []
    while time.monotonic() < deadline:
        if (root / ".nbledger" / "mlflow.db").exists():
            found = [r for r in runs(root, flushed=False) if r.info.run_name == name]
            seen = [r.info.status for r in found]
            if seen == [status]:
                return found[0]
        time.sleep(0.3)
    raise AssertionError(f"{name} is {seen}, not {status}, after {timeout} s")
