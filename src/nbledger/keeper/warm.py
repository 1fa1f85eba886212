"""Kernels of ``run --reuse``: forks of a process that has imported what the notebook imports at its top.

There is one such process (``forkserver``) for each interpreter, folder and set of imports. It does nothing that a fresh kernel
would not have done before its first cell but those imports: they are the installed packages that the notebook names before
its first statement that does anything else, so that nothing of the notebook could have had a say in them. What cannot be
imported ahead, or forked, is said in one line; the kernel then imports it itself, or is a fresh one.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbledger.core.kernels import Process
from nbledger.keeper import forkserver

REUSED_TAG = "nbledger.kernel.reused"
"""Tag of a run whose kernel was a fork of a process that had imported ahead."""
Wanted = tuple[tuple[str, tuple[str, ...]], ...]
"""Modules, in order, each with the names that are taken from it."""
_KERNELS = ("ipykernel_launcher", "ipykernel")
_OF_KERNEL = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "ipykernel.datapub",
)
_OF_LEDGER = ("nbledger", "nbledger_magics.session", "nbledger_magics.tracked_cell", "nbledger_magics.whole")
_MOST = 4
"""Processes that wait to be forked: what they have imported stays in memory."""
_PATIENCE, _TICK = 300.0, 0.1
_HARMLESS = re.compile(r"%%(mlrun|time|capture)\b|%(load_ext|matplotlib|config)\b|\?|#")
_MAGIC = re.compile(r"\s*[%!?]")


def imports_of(notebook: Any) -> Wanted:
    """What the notebook's Python imports before its first statement that does anything else."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for kind in _leading(cell.source):
            if kind is None:
                return tuple(dict.fromkeys(found))
            found += kind
    return tuple(dict.fromkeys(found))


def _leading(source: str) -> Iterator[list[tuple[str, tuple[str, ...]]] | None]:
    """The modules of each statement, as long as they only import, define or name values; then None."""
    lines = source.splitlines()
    for at, line in enumerate(lines):
        if _MAGIC.match(line):
            if not _HARMLESS.match(line.strip()):
                yield None
                return
            lines[at] = ""
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError):
        yield None
        return
    for node in body:
        if isinstance(node, ast.Import):
            yield [(name.name, ()) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield [(node.module, tuple(name.name for name in node.names if name.name != "*"))]
        elif not _does_nothing(node):
            yield None
            return


def _does_nothing(node: ast.stmt) -> bool:
    """Whether a statement only gives names to plain values or functions."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not node.decorator_list and not node.args.defaults and not any(node.args.kw_defaults)
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign) else node
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", ast.Name("_"))]
    if not all(isinstance(target, ast.Name) for target in targets):
        return False
    try:
        ast.literal_eval(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


class Fork:
    """A forked kernel, as ``subprocess.Popen`` would show it."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def ended(self, code: int) -> None:
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Server:
    """The process that is forked. ``problem``: (number of the module, -1 for the kernel itself; its name; why), if
    there is one.
    """

    def __init__(self, head: Sequence[str], wanted: Wanted, environment: Mapping[str, str], folder: str) -> None:
        self.names: tuple[str, ...] = ()
        self.problem: tuple[int, str, str] | None = None
        self.used = time.monotonic()
        self.forks: dict[int, Fork] = {}
        self._answers: dict[int, Fork] = {}
        self._number = 0
        self._changed, self._asking = threading.Condition(), threading.Lock()
        self._ready = self._gone = False
        self._line, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [*head, forkserver.__file__],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,  # an interrupt of the runner is not its
            )
        with contextlib.suppress(OSError):  # it has ended already: so the listener hears
            self._send({"kernel": _OF_KERNEL, "ledger": _OF_LEDGER, "notebook": wanted})
        threading.Thread(target=self._listen, name="forkserver", daemon=True).start()

    def await_ready(self, given_up: Callable[[], bool]) -> bool:
        """Wait until it has imported. False where it cannot be forked, ``problem`` says why, or nobody waits any more."""
        until = time.monotonic() + _PATIENCE
        with self._changed:
            while not (self._ready or self._gone or self.problem or given_up()):
                if time.monotonic() > until:
                    self.problem = -1, "the kernel", f"takes longer than {_PATIENCE:.0f} s to be imported"
                self._changed.wait(_TICK)
            if self._gone and not self._ready and self.problem is None:
                self.problem = -1, "the kernel", "ends while it is imported"
            return self._ready and not self._gone

    def fork(self, request: dict[str, Any], streams: Sequence[int]) -> Fork | None:
        """A new fork; None where the server has gone."""
        with self._asking:
            self._number += 1
            number = self._number
            self.used = time.monotonic()
            try:
                self._send({**request, "number": number}, streams)
            except OSError:
                return None
            with self._changed:
                while number not in self._answers and not self._gone:
                    self._changed.wait(_TICK)
                return self._answers.pop(number, None)

    @property
    def idle(self) -> bool:
        return all(fork.returncode is not None for fork in list(self.forks.values()))

    def close(self) -> None:
        """End it, and the forks that are left."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._line.close()

    def _send(self, message: Mapping[str, Any], streams: Sequence[int] = ()) -> None:
        text = json.dumps(message).encode() + b"\n"
        socket.send_fds(self._line, [text[:1]], list(streams))
        self._line.sendall(text[1:])

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._line.makefile("rb") as lines:
            for line in lines:
                self._heard(json.loads(line))
        with self._changed:
            self._gone = True
            for fork in self.forks.values():
                if fork.returncode is None:  # its parent is dead, and it is to end with it
                    with contextlib.suppress(OSError):
                        os.killpg(fork.pid, signal.SIGKILL)
                    fork.ended(-signal.SIGKILL)
            self._changed.notify_all()

    def _heard(self, said: Mapping[str, Any]) -> None:
        with self._changed:
            if "ready" in said:
                self.names, self._ready = tuple(said["names"]), True
            elif "unsafe" in said:
                self.problem = int(said["unsafe"]), said["module"], said["why"]
            elif "forked" in said:
                self.forks[said["forked"]] = self._answers[said["number"]] = Fork(said["forked"])
            elif "ended" in said and (fork := self.forks.pop(said["ended"], None)) is not None:
                fork.ended(said["code"])
            self._changed.notify_all()


_Key = tuple[tuple[str, ...], Wanted, str]


class Warm:
    """The processes that a batch's kernels are forked from; ``say`` is told, once each, why one is not."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._said = say, set[str]()
        self._servers: dict[_Key, _Server] = {}
        self._cut: dict[_Key, int] = {}
        self._lock, self._closed = threading.Lock(), False

    def launcher(self, notebook: Any) -> Callable[..., Process | None]:
        """What starts the kernel of ``notebook``, for ``kernels.started``."""
        wanted = imports_of(notebook)

        def launch(
            command: Sequence[str], environment: Mapping[str, str], folder: Path, streams: Sequence[int]
        ) -> Process | None:
            return self._launch(wanted, list(command), environment, folder, streams)

        return launch

    def _launch(
        self, wanted: Wanted, command: list[str], environment: Mapping[str, str], folder: Path, streams: Sequence[int]
    ) -> Process | None:
        """A fork that is that command; None, after a line that says why, where there can be none."""
        if sys.platform != "linux":
            self._tell("no kernel is reused: whether it can be forked is known on Linux only")
            return None
        at = command.index("-m") if "-m" in command else len(command)
        module = command[at + 1] if at + 1 < len(command) else ""
        if module not in _KERNELS:
            self._tell("no kernel is reused: it is not started by ipykernel")
            return None
        server = self._server(tuple(command[:at]), wanted, environment, str(folder))
        if server is None:
            return None
        if (shadow := _shadowed(server.names, folder)) is not None:
            self._tell(f"no kernel is reused: {shadow} in the notebook's folder has the name of an installed module")
            return None
        request = {
            "module": module,
            "words": command[at + 2 :],
            "command": command,
            "environment": dict(environment),
            "folder": str(folder),
        }
        if (forked := server.fork(request, streams)) is None:
            self._tell("a fresh kernel, once: the process that is forked for the others had ended")
        return forked

    def _server(
        self, head: tuple[str, ...], wanted: Wanted, environment: Mapping[str, str], folder: str
    ) -> _Server | None:
        key = head, wanted, folder  # packages look for their settings in the working directory
        with self._lock:  # one that imports is waited for by all who need it
            while not self._closed:
                cut = self._cut.get(key, len(wanted))
                if cut < 0:
                    return None
                server = self._servers.get(key)
                if server is None:
                    self._make_room()
                    server = self._servers[key] = _Server(head, wanted[:cut], environment, folder)
                if server.await_ready(lambda: self._closed):
                    return server
                self._servers.pop(key).close()
                if server.problem is None:  # it was killed, say: the next is like it
                    continue
                number, name, why = server.problem
                self._cut[key] = number
                after = " and what follows it" if number + 1 < len(wanted) else ""
                self._tell(
                    f"imported in each kernel: {name}{after}, as it {why}"
                    if number >= 0
                    else f"no kernel is reused: {name} {why}"
                )
        return None

    def _make_room(self) -> None:
        idle = sorted(
            (key for key, server in self._servers.items() if server.idle), key=lambda k: self._servers[k].used
        )
        for key in idle[: max(0, len(self._servers) - _MOST + 1)]:
            self._servers.pop(key).close()

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def stop(self) -> None:
        """Nobody waits for imports any more."""
        self._closed = True

    def close(self) -> None:
        """End all of them."""
        self._closed = True
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()


def _shadowed(names: Sequence[str], folder: Path) -> str | None:
    """A file or folder that a kernel in ``folder`` would have imported in place of one of ``names``."""
    with contextlib.suppress(OSError):
        there = {entry.name.partition(".")[0]: entry for entry in os.scandir(folder)}
        for name in there.keys() & set(names):
            entry = there[name]
            if entry.name.endswith((".py", ".so", ".pyd", ".pyc")) or (
                entry.is_dir() and any(Path(entry.path).glob("__init__.*"))
            ):
                return entry.name
    return None
