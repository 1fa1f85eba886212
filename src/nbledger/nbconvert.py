"""The nbconvert face: ``jupyter nbconvert --to ledger NB`` executes a notebook as one run, its tracked cells as children.

Differs from ``--execute`` in what it keeps: the executed notebook is an artifact of the run even when a cell fails or
the kernel dies, and everything recorded is published when the command returns.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.utils.exceptions import ConversionException
from traitlets import Dict, Integer, Unicode

from nbledger.core import kernels
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project, find
from nbledger.keeper import client
from nbledger.keeper import journal as journals


class LedgerExporter(NotebookExporter):
    """Execute and record a notebook; the output is the executed notebook."""

    export_from_notebook = "Ledger run"

    parameters = Dict(help="Parameters set after the cell tagged `parameters`: --LedgerExporter.parameters=lr=0.1").tag(
        config=True
    )
    parameters_file = Unicode("", help="A JSON or YAML file of parameters.").tag(config=True)
    run_name = Unicode("", help="The run's name; default: the notebook's.").tag(config=True)
    experiment = Unicode("", help="The MLflow experiment; default: the project's.").tag(config=True)
    timeout = Integer(-1, help="Seconds a cell may take; -1: any time.").tag(config=True)
    kernel_name = Unicode("", help="The kernel; default: the notebook's own.").tag(config=True)

    def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> tuple[str, Any]:
        """Execute ``nb`` and return it with its outputs; ``ConversionException`` when a cell failed."""
        resources = self._init_resources(resources)
        meta = resources.get("metadata", {})
        folder = Path(meta.get("path") or Path.cwd()).resolve()
        source = folder / f"{meta.get('name', 'notebook')}.ipynb"
        values = self._values()
        if values:
            nb = _parameterised(nb, values)
        run = _BatchRun(
            nb,
            source,
            folder,
            self.run_name or source.stem,
            self.experiment,
            values,
            timeout=self.timeout if self.timeout > 0 else None,
            kernel_name=self.kernel_name,
        )
        problem = run.execute()
        self._flush(run.project)
        if problem:
            raise ConversionException(f"{source.name}: {problem} — the executed notebook is kept with run {run.name!r}")
        output: tuple[str, Any] = super().from_notebook_node(nb, resources, **kw)
        return output

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if self.parameters_file:
            import yaml

            try:
                loaded = yaml.safe_load(Path(self.parameters_file).read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError) as err:
                raise ConversionException(f"{self.parameters_file}: {err}") from err
            if not isinstance(loaded, dict):
                raise ConversionException(f"{self.parameters_file} holds no table of parameters")
            values |= {str(k): v for k, v in loaded.items()}
        return values | {k: _literal(v) for k, v in self.parameters.items()}

    def _flush(self, project: Project) -> None:
        try:
            done = client.call(project, "flush")
        except (LedgerError, OSError) as err:
            self.log.warning("nbledger: the run waits to be published: %s", err)
            return
        if done["left"]:
            self.log.warning("nbledger: %s runs wait to be published: %s", done["left"], "; ".join(done["reasons"]))


def _literal(text: Any) -> Any:
    """A command-line value as papermill reads it: a number, true/false, null, or text."""
    if not isinstance(text, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)
    return value


def _parameterised(nb: Any, values: dict[str, Any]) -> Any:
    """``nb`` with papermill's injected cell after the one tagged ``parameters``."""
    try:
        from papermill.parameterize import parameterize_notebook
    except ImportError as err:
        raise ConversionException("parameters need papermill: pip install 'nbledger[batch]'") from err
    untagged = [cell for cell in nb.cells if "tags" not in cell.metadata]
    for cell in untagged:
        cell.metadata["tags"] = []
    nb.metadata.setdefault("papermill", {})
    made = parameterize_notebook(nb, values)
    for cell in made.cells:
        if not cell.metadata["tags"]:
            del cell.metadata["tags"]
    return made


class _BatchRun:
    """One notebook executed in a fresh kernel, whose run this process closes whatever becomes of the kernel."""

    def __init__(
        self,
        nb: Any,
        source: Path,
        folder: Path,
        name: str,
        experiment: str,
        values: dict[str, Any],
        *,
        timeout: int | None,
        kernel_name: str,
    ) -> None:
        self.nb, self.source, self.folder, self.name = nb, source, folder, name
        self.project = find(folder)
        self.journal_id = journals.new_id()
        self._begin = {"name": name, "experiment": experiment or None, "params": values}
        self._timeout, self._kernel_name = timeout, kernel_name

    @property
    def _journal(self) -> Path:
        return journals.folder(self.project) / self.journal_id

    def execute(self) -> str:
        """Run every cell; what went wrong, in a line, or nothing."""
        environment = {
            **os.environ,
            "NBLEDGER_BATCH": self.journal_id,
            "NBLEDGER_NOTEBOOK": str(self.source),
            "NBLEDGER_OWNER": json.dumps(journals.owner()),
        }
        status, problem = "FINISHED", ""
        try:
            with kernels.started(
                self.nb, self.folder, environment, kernel_name=self._kernel_name, timeout=self._timeout
            ) as running:
                running.hidden(
                    "import nbledger; nbledger.load_ipython_extension(get_ipython()); "
                    f"get_ipython()._nbledger_session.begin_batch(**{self._begin!r})"
                )
                status, problem = self._cells(running)
                self._close_in_kernel(running, status, problem)
        except KeyboardInterrupt:
            self._close_here("KILLED", "interrupted")
            raise
        except kernels.KernelDied as err:
            status, problem = "KILLED", problem or str(err)
        self._close_here(status, problem)
        return problem

    def _cells(self, running: kernels.Running) -> tuple[str, str]:
        try:
            for index in range(len(self.nb.cells)):
                running.execute(index)
            self.nb.metadata["language_info"] = running.language()
        except kernels.CellFailed as err:
            return "FAILED", str(err)
        except (kernels.OutOfTime, kernels.KernelDied) as err:
            return "KILLED", str(err)
        return "FINISHED", ""

    def _close_in_kernel(self, running: kernels.Running, status: str, problem: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            executed = Path(scratch) / self.source.name
            nbformat.write(self.nb, executed)
            running.hidden(
                f"get_ipython()._nbledger_session.end_batch({status!r}, {problem[:2000]!r}, {str(executed)!r})"
            )

    def _close_here(self, status: str, problem: str) -> None:
        """Close the run where the kernel could not: it died, or was not Python."""
        if not self._journal.is_dir():
            return
        events = journals.read(self._journal).events
        if not events or any(e["t"] == "end" for e in events):
            return
        log = journals.Journal(self._journal)
        blob = log.blob(self.source.name)
        nbformat.write(self.nb, blob)
        log.write("artifact", blob=str(blob.relative_to(self._journal)), place="")
        log.write("end", status=status, error=problem, ended=journals.now_ms(), durable=True)
        log.close()


__all__ = ["LedgerExporter"]
