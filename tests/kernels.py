"""A real IPython kernel for the tests: run cells, read what a notebook would show, interrupt and kill it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import KernelManager

# A second interrupt while ipykernel sends a message, or between the end of a cell and its reply, leaves half a message,
# cells that are aborted for ever or no kernel at all, with or without an extension. Sent, the message comes first; after
# the cell it is ignored, as ipykernel itself does as soon as it waits for the next.
SAVE_FROM_INTERRUPTS = """
def saved(kernel):
    import signal, threading

    send, do_execute = kernel.session.send, kernel.do_execute

    def whole(*args, **kwargs):
        if threading.current_thread() is not threading.main_thread():
            return send(*args, **kwargs)
        came = []
        before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
        try:
            return send(*args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)
            if came:
                signal.raise_signal(signal.SIGINT)

    async def executed(*args, **kwargs):
        try:
            return await do_execute(*args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    kernel.session.send, kernel.do_execute = whole, executed


saved(get_ipython().kernel)
del saved
"""


@dataclass
class Cell:
    """What one cell gave: its reply's status and every output a notebook would keep."""

    status: str = ""
    ename: str = ""
    evalue: str = ""
    result: str = ""
    stdout: str = ""
    stderr: str = ""
    displays: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    traceback: str = ""
    count: int = 0

    @property
    def shown(self) -> str:
        return "\n".join([self.stdout, self.result, *self.displays])


class Kernel:
    """A started kernel and its client."""

    def __init__(
        self,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        python: Path | None = None,
        sockets: Path | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """``python`` instead of this interpreter; ``sockets``: how the names of Unix sockets begin, instead of ports;
        ``before``: words before the command, which must end in executing it.
        """
        for more in (2, 1, 0):
            self.manager = KernelManager(kernel_name="python3")
            if sockets is not None:
                self.manager.transport, self.manager.ip = "ipc", str(sockets)
            if python is not None:
                self.manager.kernel_spec.argv[0] = str(python)
            self.manager.kernel_spec.argv[:0] = before
            self.manager.start_kernel(cwd=str(cwd), env={**os.environ, **(env or {})})
            self.client = self.manager.client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=60)
            except RuntimeError:  # another process took one of its ports before it did
                self.close()
                if not more:
                    raise
            else:
                break

    def send(self, code: str, **extra: Any) -> str:
        return str(self.client.execute(code, **extra))

    def run(self, code: str, timeout: float = 90, **extra: Any) -> Cell:
        """Execute a cell and collect its outputs until the kernel is idle again."""
        return self.collect(self.send(code, **extra), timeout)

    def collect(self, message: str, timeout: float = 90) -> Cell:
        cell = Cell()
        deadline = time.monotonic() + timeout
        while True:
            try:
                msg = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            except Empty as err:
                raise TimeoutError(f"no idle after {timeout} s: {cell}") from err
            if msg["parent_header"].get("msg_id") != message:
                continue
            content = msg["content"]
            match msg["msg_type"]:
                case "stream":
                    setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
                case "execute_result":
                    cell.result, cell.count = content["data"].get("text/plain", ""), content["execution_count"]
                    cell.html.append(content["data"].get("text/html", ""))
                case "display_data":
                    cell.displays.append(content["data"].get("text/plain", ""))
                    cell.html.append(content["data"].get("text/html", ""))
                case "error":
                    cell.traceback = "\n".join(content["traceback"])
                case "status" if content["execution_state"] == "idle":
                    break
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == message:
                break
        cell.status = reply["content"]["status"]
        cell.ename, cell.evalue = reply["content"].get("ename", ""), reply["content"].get("evalue", "")
        return cell

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.process.pid)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextmanager
def kernel(
    cwd: Path, env: Mapping[str, str] | None = None, *, load: bool = True, before: Sequence[str] = ()
) -> Iterator[Kernel]:
    """A kernel in ``cwd`` with the extension loaded."""
    started = Kernel(cwd, env, before=before)
    try:
        if load:
            assert started.run("%load_ext nbledger").status == "ok"
        yield started
    finally:
        started.close()
