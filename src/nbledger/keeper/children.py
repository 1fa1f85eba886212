"""Processes that do a job's work: a call in ``nbledger.keeper.worker``, or a verb of the command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nbledger.core import mlflow
from nbledger.core.errors import LedgerError, UsageError, from_dict
from nbledger.core.project import Project, find
from nbledger.keeper import calls

if TYPE_CHECKING:
    from nbledger.keeper.jobs import Job

_STEP = re.compile(r"\[(\d+)/(\d+)\] (.*)")
_PATIENCE = 20.0
"""Seconds that interrupted work has to take away what is half-made."""
_MOST = 8 << 20  # bytes of an answer


def call(job: Job, name: str, args: Mapping[str, Any]) -> Any:
    """A call of ``calls.TABLE`` in a worker."""
    request = {"context": calls.context(job.project), "call": name, "args": dict(args)}
    with _started(job, ["-m", "nbledger.keeper.worker"], group=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        drained = _read_all(process.stderr)
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if "progress" in said:
                    _tell(job, *said["progress"])
                elif "error" in said:
                    raise from_dict(said["error"])
                else:
                    return said["result"]
        process.wait()
        raise _unanswered(job, process, drained())


def verb(job: Job, words: list[str]) -> Any:
    """``nbledger WORDS --json``: what it answers; its error is raised."""
    with _started(job, ["-m", "nbledger.cli", *words], group=False) as process:
        assert process.stderr is not None
        printed = _read_all(process.stdout)
        said: list[str] = []
        for raw in process.stderr:
            line = raw.decode("utf-8", "replace")
            step = _STEP.match(line)
            if step:
                _tell(job, max(int(step[1]) - 1, 0), int(step[2]), step[3].strip())
            elif line.startswith("{"):
                said.append(line)
            elif line.strip():
                said.append(line)
                _tell(job, job.done, job.total, line.strip()[:500])
        process.wait()
        if process.returncode in (0, 1) and (text := printed().strip()):
            return json.loads(text)
        for line in reversed(said):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                fields = json.loads(line)
                wrong_usage = fields["code"] == UsageError.exit_code
                raise UsageError(fields["error"], fields["hint"]) if wrong_usage else from_dict(fields)
        raise _unanswered(job, process, "".join(said).encode())


def reproduce_words(project: Project, run: str, words: Mapping[str, Any]) -> list[str]:
    """The command line of ``reproduce``; the run's name cannot be read as an option."""
    argv = ["reproduce", "--json"]
    if words.get("restore_only"):
        argv.append("--restore-only")
    elif int(words.get("times") or 1) != 1:
        argv.append(f"--times={int(words['times'])}")
    if words.get("into"):
        argv.append(f"--into={project.root / str(words['into'])}")
    return [*argv, "--", run]


def _tell(job: Job, done: int, total: int, text: str) -> None:
    """As ``Job.progress``, but what stops the work is ``_watch``."""
    from nbledger.keeper.jobs import Stopped

    with contextlib.suppress(Stopped):
        job.progress(done, total, text)


@contextlib.contextmanager
def _started(job: Job, words: list[str], *, group: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when the job is told to stop: interrupted, and after some patience killed. With ``group`` the
    programs that it runs (git) are interrupted with it, as by Ctrl-C in a terminal.
    """
    from nbledger.keeper.jobs import Stopped

    process = subprocess.Popen(
        [sys.executable, "-P", *words],
        stdin=subprocess.PIPE if group else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=job.project.root,
        env=_environment(job.project),
        start_new_session=True,
    )
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(job, process, ended, group), daemon=True)
    watch.start()
    try:
        yield process
    except LedgerError:
        if job.stopping.is_set():
            raise Stopped from None
        raise
    finally:
        _reap(process, group)
        ended.set()
        watch.join()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _watch(job: Job, process: subprocess.Popen[bytes], ended: threading.Event, group: bool) -> None:
    while not ended.is_set():
        if job.stopping.wait(0.1):
            _end(process, group=group)
            return
        if process.poll() is not None:
            return


def _reap(process: subprocess.Popen[bytes], group: bool) -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        _end(process, group=group)


def _end(process: subprocess.Popen[bytes], *, group: bool) -> None:
    deadline = time.monotonic() + _PATIENCE
    _send(
        process, signal.SIGINT if group else signal.SIGTERM, group
    )  # a verb takes both alike, if it is not deaf to one
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is None:
        _send(process, getattr(signal, "SIGKILL", signal.SIGTERM), group)
        process.wait()


def _send(process: subprocess.Popen[bytes], number: int, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group and hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _read_all(stream: Any) -> Any:
    """Read a stream to its end beside; a function that waits for it."""
    parts: list[bytes] = []

    def take() -> None:
        parts.append(stream.read(_MOST))
        while stream.read(1 << 16):  # no more is kept, but who writes must not wait for ever
            pass

    reader = threading.Thread(target=take, daemon=True)
    reader.start()

    def read() -> bytes:
        reader.join(_PATIENCE)
        return b"".join(parts)

    return read


def _unanswered(job: Job, process: subprocess.Popen[bytes], said: bytes) -> LedgerError:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "no word"
    return LedgerError(
        f"{job.title} ended with exit code {process.returncode}: {last}", "try again; nbledger doctor says more"
    )


def _environment(project: Project) -> dict[str, str]:
    """This process's own, without what belongs to a kernel; the store and experiment that the project was asked for with."""
    own = mlflow.persons_environment()
    env = {k: v for k, v in own.items() if not k.startswith(("NBLEDGER_", "JPY_")) and k != "MLFLOW_RUN_ID"}
    plain = find(project.root)
    if plain.tracking_uri != project.tracking_uri:
        env["MLFLOW_TRACKING_URI"] = project.tracking_uri
    if plain.experiment != project.experiment:
        env["MLFLOW_EXPERIMENT_NAME"] = project.experiment
    return env
