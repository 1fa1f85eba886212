"""Processes in which what costs seconds is imported already: forked from a warm one, each waits until it is let go."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kills import MUTATING, Call, read

FLUSH = "import sys; from nbledger.cli import main; sys.exit(main(['flush']))"


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), and what it wrote."""

    code: int
    out: str


class Warm:
    """A process that imports ``modules`` once and is forked for each piece of code, of which it runs nothing itself."""

    def __init__(self, *modules: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"},
        )
        self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _ask(self, **words: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            return self._answer()
        except BaseException:  # a test that ran out of time: the answer would be taken for the next one's
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, code: str, cwd: Path, env: Mapping[str, str] | None = None) -> int:
        """A process that will run ``code`` in ``cwd``, in the environment ``env`` (that of now); its id."""
        return int(self._ask(do="fork", code=code, cwd=str(cwd), env=dict(os.environ if env is None else env)))

    def go(self, *pids: int) -> list[Ended]:
        """Let these processes go, all at once, and wait until they have ended."""
        return [Ended(code, Path(out).read_text(errors="replace")) for code, out in self._ask(do="go", pids=pids)]

    def let_go(self, *pids: int) -> None:
        """Let these processes go and do not wait for them."""
        self._ask(do="let go", pids=pids)

    def run(self, code: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
        return self.go(self.fork(code, cwd, env))[0]

    def traced(self, code: str, cwd: Path, log: Path) -> list[Call]:
        """The mutating calls of one undisturbed run, as ``kills.calls`` has them of a command."""
        pid = self.fork(code, cwd)
        with _strace(pid, "-y", "-s", "512", "-e", f"trace={MUTATING}", "-o", str(log)):
            ended = self.go(pid)[0]
        assert ended.code == 0, ended.out
        return read(log)

    def killed_at(self, call: Call, code: str, cwd: Path) -> bool:
        """Run ``code`` and kill it as it enters ``call``; whether it came that far."""
        pid = self.fork(code, cwd)
        inject = f"inject={call.name}:signal=KILL:when={call.number}"
        with _strace(pid, "-e", f"trace={call.name}", "-o", "/dev/null", "-e", inject):
            return self.go(pid)[0].code == -9

    def close(self) -> None:
        """End it; those that were forked from it and still live end with it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def warm(*modules: str) -> Iterator[Warm]:
    process = Warm(*modules)
    try:
        yield process
    finally:
        process.close()


LEDGER = ("nbledger.cli", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "nbledger.keeper.publish")
_shared: dict[tuple[str, ...], Warm] = {}


def shared(*modules: str) -> Warm:
    """The one of this test process in which these modules are imported: without any, MLflow and nbledger's publisher."""
    wanted = modules or LEDGER
    if wanted not in _shared or not _shared[wanted].alive:
        _shared[wanted] = Warm(*wanted)
        atexit.register(_shared[wanted].close)
    return _shared[wanted]


@contextmanager
def _strace(pid: int, *words: str) -> Iterator[None]:
    """strace attached to a process that waits."""
    command = ["strace", "-qq", "-e", "signal=none", "-p", str(pid), *words]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while f"TracerPid:\t{tracer.pid}\n" not in Path(f"/proc/{pid}/status").read_text():
            if tracer.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"strace could not be attached: {tracer.communicate()[1]}")
            time.sleep(0.005)
        yield
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(10)  # it ends with the process
        tracer.kill()
        tracer.communicate()


def _serve(modules: Sequence[str]) -> None:
    import ctypes
    import importlib

    for name in modules:
        importlib.import_module(name)
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    gates: dict[int, int] = {}
    _say("ready")
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if asked["do"] == "fork":
            closed, gate = os.pipe()
            pid = os.fork()
            if pid == 0:
                ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER: whoever wants may trace it
                ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: it does not outlive the test
                _become(asked, closed, [gate, *gates.values()], folder)
            os.close(closed)
            gates[pid] = gate
            _say(pid)
            continue
        for pid in asked["pids"]:
            os.write(gates[pid], b"x")
        if asked["do"] == "let go":
            _say("gone")
            continue
        _say([(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), str(folder / str(pid))) for pid in asked["pids"]])
        for pid in asked["pids"]:
            os.close(gates.pop(pid))


def _say(words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _become(asked: dict[str, Any], closed: int, others: Sequence[int], folder: Path) -> None:
    """Be the process that was asked for. Never returns."""
    code = 1
    try:
        for descriptor in others:
            os.close(descriptor)
        told = os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        os.dup2(told, 1)
        os.dup2(told, 2)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        if os.read(closed, 1):
            try:
                exec(asked["code"], {"__name__": "__main__"})
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
