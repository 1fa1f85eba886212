"""The one door to Dask: an existing cluster, the work that is sent there, and what a worker knows of itself.

``import distributed`` takes a second, so it happens inside functions, and only for batches that ask for a cluster. Dask
executes what whoever reaches its scheduler sends: nothing of that is guarded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import urllib.parse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core.errors import LedgerError, Unreachable, UsageError

_CONNECT = 15.0
"""Seconds that the scheduler has to answer."""
_ASK = 60.0
"""Seconds that workers have to answer a question."""
_LOOK = 2.0
"""Seconds between two looks whether the scheduler is still there."""


class Lost(Unreachable):
    """The scheduler is gone: nothing more can be executed there, and what was is not told."""


class WorkersDied(LedgerError):
    """Every worker that executed it went; Dask tries no further one."""


@dataclass(frozen=True)
class Worker:
    """A worker of the cluster, and how many tasks it takes at a time."""

    address: str
    threads: int


def parsed(address: str) -> str:
    """The address as Dask writes it, of ``dask://HOST:PORT`` or ``tls://HOST:PORT``; ``UsageError`` for another."""
    try:
        parts = urllib.parse.urlsplit(address)
        good = parts.scheme in ("dask", "tcp", "tls") and bool(parts.hostname) and parts.port is not None
        good = good and not parts.path.strip("/") and not parts.query and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"--on {address} is no address of a Dask scheduler", "write dask://HOST:PORT (or tls://HOST:PORT)"
        )
    return f"{'tls' if parts.scheme == 'tls' else 'tcp'}://{parts.netloc}"


class Cluster:
    """A connection to a scheduler; its methods may be called from several threads."""

    def __init__(self, address: str) -> None:
        """``Unreachable`` where no scheduler answers, ``LedgerError`` without the library."""
        self.address = parsed(address)
        try:
            import distributed
        except ImportError as err:
            raise LedgerError("--on needs Dask's distributed", "pip install 'nbledger[dask]'") from err
        for name in ("distributed", *logging.root.manager.loggerDict):  # a lost connection is a line of our own
            if name.partition(".")[0] == "distributed":
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # versions are compared by whoever asks
                made: Any = distributed.Client
                self._client: Any = made(self.address, set_as_default=False, timeout=_CONNECT, name="nbledger")
        except (OSError, ValueError, TypeError) as err:
            said = " ".join(str(err).split())[:200]
            raise Unreachable(
                f"no Dask scheduler answers at {self.address}: {said}", "check the address, and dask scheduler"
            ) from err

    def workers(self) -> list[Worker]:
        """The workers that are there now."""
        found = self._client.nthreads()
        return [Worker(str(address), int(threads)) for address, threads in sorted(found.items())]

    def awaken(self, seconds: float) -> list[Worker]:
        """The workers; a cluster that has none is given something to do, so that one that grows by need does."""
        if not (found := self.workers()):
            done = threading.Event()
            task = self._client.submit(_nothing, pure=False)
            task.add_done_callback(lambda _: done.set())
            done.wait(seconds)
            task.cancel()
            found = self.workers()
        return found

    def ask(self, function: Callable[..., Any], *words: Any) -> dict[str, Any]:
        """{address: what ``function`` answers on that worker, or the exception it raised}, beside the tasks there."""

        async def asked() -> Any:
            return await asyncio.wait_for(self._client._run(function, *words, on_error="return"), _ASK)  # noqa: SLF001

        try:
            answers: dict[str, Any] = self._client.sync(asked)
        except (OSError, RuntimeError, TimeoutError) as err:
            raise Lost(f"the workers of {self.address} do not answer", "look at the cluster") from err
        return answers

    def listen(self, topic: str, told: Callable[[dict[str, Any]], None]) -> None:
        """Have ``told`` called with what workers say of ``topic``."""
        self._client.subscribe_topic(topic, lambda event: told(event[1]))

    def execute(self, key: str, function: Callable[..., Any], *words: Any) -> Any:
        """What ``function`` returns on one of the workers; on another one, should the first go. ``Lost`` and
        ``WorkersDied`` where that cannot be known.
        """
        from distributed import KilledWorker

        self._there()
        done = threading.Event()
        task = self._client.submit(function, *words, key=key, pure=False)
        task.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK):
            self._there()
        try:
            return task.result(timeout=_ASK)
        except KilledWorker as err:
            raise WorkersDied("each worker that executed it was lost (out of memory?)", "look at the workers") from err
        except Exception as err:
            if type(err).__name__ in ("CancelledError", "FutureCancelledError", "TimeoutError"):
                raise Lost(f"the scheduler {self.address} was lost", "nbledger run --resume goes on") from err
            said = " ".join(f"{type(err).__name__}: {err}".split())[:300]
            raise LedgerError(
                f"a worker could not do it: {said}", "is nbledger of this version installed there?"
            ) from err
        finally:
            with contextlib.suppress(Exception):
                task.release()

    def _there(self) -> None:
        if self._client.status != "running":
            raise Lost(f"the scheduler {self.address} was lost", "nbledger run --resume goes on")

    def close(self) -> None:
        """Hang up; what is still executed there is forgotten by the scheduler."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)


def _nothing() -> None:
    """Something to do."""


# ── on a worker ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Here:
    """The worker that executes this task. ``folder`` is its own, and goes with it."""

    name: str
    folder: Path
    say: Callable[[str, dict[str, Any]], None]


def here() -> Here:
    """The worker that executes the task of this thread."""
    from distributed import get_worker

    worker: Any = get_worker()

    def say(topic: str, words: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):  # a word that does not come through is no reason to fail
            worker.log_event(topic, words)

    return Here(str(worker.name), Path(worker.local_directory), say)
