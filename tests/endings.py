"""When and how runs ended, by asking plain MLflow again and again; and kernels by the handful."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernels import Kernel
from ledger import client, runs, uri

LIMIT = 30.0
"""Seconds within which the run of a dead kernel has to have a final status."""


@dataclass(frozen=True)
class End:
    status: str
    seconds: float


def statuses(root: Path) -> dict[str, str]:
    """{name: status} of all runs of the store."""
    if not (root / ".nbledger" / "mlflow.db").exists():
        return {}
    return {run.info.run_name: run.info.status for run in runs(root, flushed=False)}


def ends(root: Path, killed: Mapping[str, float], limit: float = LIMIT) -> dict[str, End]:
    """How the runs of ``killed`` ({name: when its kernel died}) ended; those that did not in time keep their status."""
    found: dict[str, End] = {}
    while True:
        now, known = time.monotonic(), statuses(root)
        for name, since in killed.items():
            if name in found:
                continue
            status = known.get(name, "no run")
            if status in ("FINISHED", "FAILED", "KILLED") or now - since > limit:
                found[name] = End(status, now - since)
        if len(found) == len(killed):
            return found
        time.sleep(0.2)


def check_ends(found: Mapping[str, End], limit: float = LIMIT) -> str:
    """Each has a final status that is not FINISHED, in time; the figures."""
    wrong = {name: end for name, end in found.items() if end.status not in ("KILLED", "FAILED") or end.seconds > limit}
    assert not wrong, wrong
    told = sorted({end.status for end in found.values()})
    return f"{len(found)} of {len(found)} {' or '.join(told)}, slowest {max(e.seconds for e in found.values()):.1f} s"


def until(true: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wait_running(root: Path, names: Sequence[str], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        known = statuses(root)
        if all(known.get(name) == "RUNNING" for name in names):
            return
        time.sleep(0.2)
    raise AssertionError(f"not all RUNNING: {statuses(root)}")


@contextmanager
def kernels(cwd: Path, count: int, *, load: bool = True) -> Iterator[list[Kernel]]:
    """Several kernels, started at once."""
    started: list[Kernel] = []
    try:
        with ThreadPoolExecutor(count) as pool:
            started.extend(future.result() for future in [pool.submit(Kernel, cwd) for _ in range(count)])
        for k in started if load else ():
            assert k.run("%load_ext nbledger").status == "ok"
        yield started
    finally:
        for k in started:
            k.close()


def no_keeper(root: Path) -> None:
    """Whoever is started then publishes by itself."""
    (root / ".nbledger.toml").write_text("keeper = false\n")


def plain_store(root: Path) -> str:
    """The URI of a store that plain MLflow has made."""
    where = uri(root)
    (root / ".nbledger").mkdir(exist_ok=True)
    client(where).search_experiments()
    return where
