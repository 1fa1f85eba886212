"""The one door to ``nbclient`` and ``jupyter_client``: a notebook's cells, one by one, in a fresh kernel."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from nbledger.core.errors import ToolFailed, UsageError, nearest

_STUCK = 10.0
"""Seconds that an interrupted kernel has to come back before it is killed."""
_STARTS, _TAKEN = 4, "Address already in use"
"""A kernel's ports are chosen before it takes them: where many start at once, another may have been faster. Not every kernel
ends then: ipykernel lives on without an answer where the port is that of what it publishes.
"""


@dataclass
class CellFailed(Exception):
    """A cell raised, and was not expected to. ``name`` and ``value`` are those of its exception."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class KernelDied(Exception):
    """The kernel ended while a cell ran."""

    def __str__(self) -> str:
        return "the kernel died"


class OutOfTime(Exception):
    """A cell took longer than it may."""


class Process(Protocol):
    """A process, as far as kernels are managed by it: what ``subprocess.Popen`` has."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


Launch = Callable[[Sequence[str], Mapping[str, str], Path, Sequence[int]], Process | None]
"""Starts a kernel by other means: (command, environment, folder, descriptors of its standard output and error) → its process,
which leads a group of its own; None where it is to be started as always.
"""


class Running:
    """A kernel and the notebook that it executes; ``notebook`` receives the outputs. ``launched``: by other means."""

    def __init__(self, client: Any, *, launched: bool = False) -> None:
        self._client = client
        self.notebook: Any = client.nb
        self.launched = launched

    def execute(self, index: int) -> None:
        """Execute cell number ``index`` of the notebook. ``CellFailed``, ``KernelDied`` or ``OutOfTime``."""
        with _translated():
            cell = self.notebook.cells[index]
            self._client.execute_cell(cell, index, execution_count=self._client.code_cells_executed + 1)

    def hidden(self, code: str) -> str:
        """Run a line of ours that leaves no trace in the notebook, the kernel's history or its counts; the error that it
        ended with, in words, or nothing.
        """
        said = self._reply(self._client.kc.execute(code, silent=True, store_history=False))
        return f"{said.get('ename')}: {said.get('evalue')}" if said.get("status") == "error" else ""

    def language(self) -> Mapping[str, Any]:
        """What the kernel says of its language, as notebooks keep it."""
        found: Mapping[str, Any] = self._reply(self._client.kc.kernel_info()).get("language_info", {})
        return found

    def interrupt(self) -> None:
        """Interrupt what the kernel does, and what it started; from any thread."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End the kernel and what it started, at once; from any thread."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def settle(self) -> bool:
        """Interrupt what still runs; whether the kernel answers again. One that does not is killed."""
        self.interrupt()
        try:
            self._reply(self._client.kc.kernel_info(), _STUCK)
        except OutOfTime:
            self.kill()
            return False
        except KernelDied:
            return False
        return True

    def _signal(self, number: int) -> None:
        """Signal the kernel's process group; nothing for a kernel that runs elsewhere."""
        provisioner = getattr(self._client.km, "provisioner", None)
        group, pid = getattr(provisioner, "pgid", None), getattr(provisioner, "pid", None)
        with contextlib.suppress(OSError):
            if group and hasattr(os, "killpg"):
                os.killpg(group, number)
            elif pid:
                os.kill(pid, number)

    def _reply(self, message: str, patience: float | None = None) -> Mapping[str, Any]:
        """The content of the reply to ``message``. ``OutOfTime`` after ``patience`` seconds, ``KernelDied``."""
        from jupyter_core.utils import ensure_async, run_sync

        async def wait() -> Mapping[str, Any]:
            from queue import Empty

            kernel, until = self._client.kc, None if patience is None else time.monotonic() + patience
            while until is None or time.monotonic() < until:
                try:
                    said = await ensure_async(kernel.shell_channel.get_msg(timeout=1))
                except Empty:
                    if not await ensure_async(kernel.is_alive()):
                        raise KernelDied from None
                    continue
                if said["parent_header"].get("msg_id") == message:
                    content: Mapping[str, Any] = said["content"]
                    return content
            raise OutOfTime("the kernel does not answer")

        found: Mapping[str, Any] = run_sync(wait)()
        return found


@contextlib.contextmanager
def started(
    notebook: Any,
    cwd: Path,
    environment: Mapping[str, str],
    *,
    python: Path | None = None,
    kernel_name: str = "",
    timeout: int | None = None,
    launch: Launch | None = None,
) -> Iterator[Running]:
    """A fresh kernel for ``notebook`` (of nbformat): that of the interpreter ``python``, or the kernel of that name
    (default: the notebook's own). ``timeout``: seconds a cell may take; ``launch``: other means to start it. It ends with
    the block, whatever happens in it.
    """
    with quickly():
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient

    options: dict[str, Any] = {"timeout_func": lambda cell: timeout, "resources": {"metadata": {"path": str(cwd)}}}
    if kernel_name:
        options["kernel_name"] = kernel_name
    with contextlib.ExitStack() as stack:
        for attempt in range(1, _STARTS + 1):
            printed = stack.enter_context(
                tempfile.TemporaryFile()
            )  # what is no output of a cell: the kernel's own words
            manager = _manager(python, kernel_name or _kernel_of(notebook), printed)
            try:
                if launch is not None:
                    _launched_by(manager, launch)
                client = NotebookClient(notebook, km=manager, **options)
                stack.enter_context(
                    client.setup_kernel(env=dict(environment), cleanup_kc=True, stdout=printed, stderr=printed)
                )
                break
            except NoSuchKernel as err:
                raise _no_kernel(err.name) from err
            except (RuntimeError, OSError) as err:
                said = _last_words(printed)
                if _TAKEN in said and attempt < _STARTS:
                    continue
                words = " ".join(f"{err} {_last_line(said)}".split())[:300]
                hint = f"is ipykernel installed there? {python} -m pip install ipykernel" if python else ""
                raise ToolFailed(f"no kernel could be started: {words}", hint) from err
        yield Running(client, launched=bool(getattr(client.km.provisioner, "launched", False)))


def _last_words(printed: IO[bytes]) -> str:
    """The end of what a kernel printed, which may go on to print: its place in the file is the kernel's, too."""
    end = os.fstat(printed.fileno()).st_size
    begin = max(0, end - 4000)
    return os.pread(printed.fileno(), end - begin, begin).decode(errors="replace")


def _last_line(said: str) -> str:
    """The line that says what was wrong: of a kernel that hung and was interrupted, not that it was."""
    lines = [line for line in said.strip().splitlines() if not line.startswith("KeyboardInterrupt")]
    return f"({lines[-1]})" if lines else ""


def notebook(cells: Iterable[tuple[str, bool]]) -> Any:
    """A notebook of code cells: (source, whether it may raise)."""
    with quickly():
        import nbformat

    made = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]} if may_raise else {})
        for source, may_raise in cells
    ]
    return nbformat.v4.new_notebook(cells=made)


def load(path: Path) -> Any:
    """The notebook of a file, in the present format. ``UsageError`` where it is none, or is not there."""
    with quickly():
        import nbformat

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise UsageError(f"{path} is not a notebook: it is no text in UTF-8", "name an .ipynb file") from err
    except OSError as err:
        raise UsageError(f"cannot read {path}: {err.strerror}", "name an .ipynb file") from err
    try:
        with quickly():
            return nbformat.reads(text, as_version=4)
    except Exception as err:  # what a broken notebook does to nbformat is any error
        raise UsageError(f"{path} is not a notebook: {_first_words(err)}", "name an .ipynb file") from err


def text(notebook: Any) -> str:
    """A notebook as its file holds it."""
    with quickly():
        import nbformat

    written: str = nbformat.writes(notebook)
    return written if written.endswith("\n") else written + "\n"


def parsed(text: str) -> Any:
    """The notebook that ``text`` wrote."""
    import nbformat

    return nbformat.reads(text, as_version=4)


def failure(cell: Any, name: str, value: str) -> None:
    """Add to a cell's outputs that it was cut short, where the kernel could not say so."""
    from nbformat.v4 import new_output

    cell.outputs.append(new_output("error", ename=name, evalue=value, traceback=[f"{name}: {value}"]))


def kernel_name(notebook: Any) -> str:
    """The kernel that a notebook asks for."""
    return _kernel_of(notebook)


def _kernel_of(notebook: Any) -> str:
    return str(notebook.metadata.get("kernelspec", {}).get("name") or "python3")


def require(name: str) -> str:
    """The language of the kernel ``name``. ``UsageError`` where there is no such kernel."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        return str(KernelSpecManager().get_kernel_spec(name).language)
    except NoSuchKernel as err:
        raise _no_kernel(name) from err


def _no_kernel(name: str) -> UsageError:
    from jupyter_client.kernelspec import KernelSpecManager

    known = sorted(KernelSpecManager().find_kernel_specs())
    near = nearest(name, known)
    return UsageError(f"there is no kernel {name!r}", near or f"there are: {', '.join(known) or 'none'}")


def _first_words(err: Exception) -> str:
    return " ".join((str(err).splitlines() or [type(err).__name__])[0].split())[:200]


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """Import without a parser of internationalised addresses, which costs more than all the rest: schemas of notebooks
    name no such format, and ``jsonschema`` does without it where it is not installed.
    """
    name = "rfc3987_syntax"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[name]


def _manager(python: Path | None, name: str, printed: IO[bytes]) -> Any:
    """A manager of the kernel ``name``; or of one interpreter, whatever kernels are registered. It prints to ``printed``."""
    from jupyter_client.asynchronous import AsyncKernelClient
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Client(AsyncKernelClient):  # type: ignore[misc]
        async def wait_for_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its name there
            """Until it answers, and what it publishes is heard. (Jupyter's own then waits until there was silence for a
            fifth of a second. That is for those who take any message for an answer to theirs.)
            """
            from queue import Empty

            until = time.monotonic() + (timeout or float("inf"))
            while time.monotonic() < until:
                self.kernel_info()
                with contextlib.suppress(Empty):
                    said = await self.shell_channel.get_msg(timeout=1)
                    await self.iopub_channel.get_msg(timeout=0.2)
                    self._handle_kernel_info_reply(said)
                    return
                if not await self.is_alive():
                    raise RuntimeError("it died before it was ready")
                if _TAKEN in _last_words(printed):
                    raise RuntimeError("it got no port")
            raise RuntimeError(f"it was not ready within {timeout} s")

    manager = AsyncKernelManager(kernel_name=name)
    manager.client_factory = Client
    if python is not None:
        words = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        spec = KernelSpec(argv=words, display_name="Python", language="python")
        manager._kernel_spec = spec  # noqa: SLF001 - no public way
    return manager


def _launched_by(manager: Any, launch: Launch) -> None:
    """Have the manager start its kernel by ``launch``, or where that cannot, as always."""
    from jupyter_client.provisioning import LocalProvisioner

    class Launched(LocalProvisioner):  # type: ignore[misc]
        """Starts the process through ``launch``; its signals, death and exit are as any other's."""

        launched = False

        async def launch_kernel(self, cmd: list[str], **words: Any) -> Any:
            streams = [words[stream].fileno() for stream in ("stdout", "stderr")]
            process = launch(cmd, words["env"], Path(words["cwd"]), streams)
            if process is None:
                return await super().launch_kernel(cmd, **words)
            self.process, self.pid, self.pgid, self.launched = process, process.pid, process.pid, True
            self.cwd = words["cwd"]
            return self.connection_info

    if "kernel_provisioner" not in manager.kernel_spec.metadata:  # another has its own ways to start a kernel
        manager.provisioner = Launched(kernel_spec=manager.kernel_spec, parent=manager)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        yield
    except CellExecutionError as err:
        raise CellFailed(err.ename, err.evalue) from err
    except DeadKernelError as err:
        raise KernelDied from err
    except (CellTimeoutError, CellControlSignal) as err:
        raise OutOfTime(str(err).splitlines()[0]) from err
