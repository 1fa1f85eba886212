"""The nbconvert face: ``jupyter nbconvert --to ledger NB`` executes a notebook as one run, its tracked cells as children.

Differs from ``--execute`` in what it keeps: the executed notebook is an artifact of the run even when a cell fails or
the kernel dies, and everything recorded is published when the command returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbconvert.utils.exceptions import ConversionException
from traitlets import Dict, Integer, Unicode

from nbledger.commands.page import render
from nbledger.core import papermill
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project, find
from nbledger.keeper import client
from nbledger.keeper.notebookrun import Job, NotebookRun


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
        try:
            values = self._values()
            nb = papermill.parameterised(nb, values)
        except LedgerError as err:
            raise ConversionException(str(err)) from err
        job = Job(
            source,
            self.run_name or source.stem,
            self.experiment or None,
            values,
            timeout=self.timeout if self.timeout > 0 else None,
            kernel=self.kernel_name,
        )
        project = find(folder)
        ended = NotebookRun(project, nb, job, render=render).execute()
        for line in ended.notes:
            self.log.warning("nbledger: %s: %s", source.name, line)
        self._flush(project)
        if ended.error:
            kept = f" — the executed notebook is kept with run {job.name!r}" if ended.recorded else ""
            raise ConversionException(f"{source.name}: {ended.error}{kept}")
        output: tuple[str, Any] = super().from_notebook_node(nb, resources, **kw)
        return output

    def _values(self) -> dict[str, Any]:
        values = papermill.table_of(Path(self.parameters_file)) if self.parameters_file else {}
        return values | {k: papermill.literal(v) for k, v in self.parameters.items()}

    def _flush(self, project: Project) -> None:
        try:
            done = client.call(project, "flush")
        except (LedgerError, OSError) as err:
            self.log.warning("nbledger: the run waits to be published: %s", err)
            return
        if done["left"]:
            self.log.warning("nbledger: %s runs wait to be published: %s", done["left"], "; ".join(done["reasons"]))


__all__ = ["LedgerExporter"]
