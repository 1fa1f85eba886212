"""The one door to ``nbclient`` and ``jupyter_client``: a notebook's cells, one by one, in a fresh kernel."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core.errors import ToolFailed


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


class Running:
    """A kernel and the notebook that it executes; ``notebook`` receives the outputs."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.notebook: Any = client.nb

    def execute(self, index: int) -> None:
        """Execute cell number ``index`` of the notebook. ``CellFailed``, ``KernelDied`` or ``OutOfTime``."""
        with _translated():
            cell = self.notebook.cells[index]
            self._client.execute_cell(cell, index, execution_count=self._client.code_cells_executed + 1)

    def hidden(self, code: str) -> str:
        """Run a line of ours that leaves no trace in the notebook, the kernel's history or its counts; the error that it
        ended with, in words, or nothing.
        """
        with _translated():
            reply = self._client.wait_for_reply(self._client.kc.execute(code, silent=True, store_history=False)) or {}
        said: Mapping[str, Any] = reply.get("content", {})
        return f"{said.get('ename')}: {said.get('evalue')}" if said.get("status") == "error" else ""

    def language(self) -> Mapping[str, Any]:
        """What the kernel says of its language, as notebooks keep it."""
        with _translated():
            info = self._client.wait_for_reply(self._client.kc.kernel_info()) or {}
        found: Mapping[str, Any] = info.get("content", {}).get("language_info", {})
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
) -> Iterator[Running]:
    """A fresh kernel for ``notebook`` (of nbformat): that of the interpreter ``python``, or the kernel of that name
    (default: the notebook's own). ``timeout``: seconds a cell may take. It ends with the block, whatever happens in it.
    """
    with _quickly():
        from nbclient import NotebookClient

    options: dict[str, Any] = {"timeout": timeout, "resources": {"metadata": {"path": str(cwd)}}}
    if kernel_name:
        options["kernel_name"] = kernel_name
    if python is not None:
        options["km"] = _manager(python)
    client = NotebookClient(notebook, **options)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(client.setup_kernel(env=dict(environment), cleanup_kc=True))
        except RuntimeError as err:
            words = " ".join(str(err).split())[:200]
            hint = f"is ipykernel installed there? {python} -m pip install ipykernel" if python else ""
            raise ToolFailed(f"no kernel could be started: {words}", hint) from err
        yield Running(client)


def notebook(cells: Iterable[tuple[str, bool]]) -> Any:
    """A notebook of code cells: (source, whether it may raise)."""
    with _quickly():
        import nbformat

    made = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]} if may_raise else {})
        for source, may_raise in cells
    ]
    return nbformat.v4.new_notebook(cells=made)


@contextlib.contextmanager
def _quickly() -> Iterator[None]:
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


def _manager(python: Path) -> Any:
    """A manager of kernels of one interpreter, whatever kernels are registered."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    manager = AsyncKernelManager()
    words = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    manager._kernel_spec = KernelSpec(argv=words, display_name="Python", language="python")  # noqa: SLF001 - no public way
    return manager


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
