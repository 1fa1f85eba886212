"""Notebooks executed on this machine, each in a kernel of its own."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from nbledger.core import files, kernels, papermill, stagecells, stagecode
from nbledger.core.batch import ATTEMPT_TAG, KILLED, Options
from nbledger.core.project import Project
from nbledger.keeper import stagerun
from nbledger.keeper.executor import Render, Say, Tell, Told, Work
from nbledger.keeper.notebookrun import INTERRUPTED, Ended, Job, Kept, NotebookRun
from nbledger.keeper.warm import Warm

DVC = "DVC_STAGE"
"""Variable of a command that DVC runs: its stage."""
PARENT = "NBLEDGER_PARENT"
"""Variable that names the journal of the run whose children the notebooks' runs are."""


class Local:
    """The executor of a batch without ``--on``."""

    width = 1

    def __init__(self, project: Project, options: Options, render: Render | None, say: Say, tell: Tell) -> None:
        self._project, self._options, self._render = project, options, render
        self._say, self._tell = say, tell
        self._active: set[NotebookRun] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._warm = None if options.fresh else Warm(lambda text: say(None, text))

    def execute(self, work: Work) -> Ended:
        """Execute the notebook with its parameters."""
        task = work.task
        notebook = kernels.load(work.path)
        if task.stage:
            if DVC in os.environ:
                stagecode.made_true(self._project, notebook, task.stage)
            notebook = stagecells.sliced(notebook, task.stage)
        kernel = self._options.kernel or kernels.kernel_name(notebook)
        if task.params:
            language = kernels.require(kernel)
            for line in papermill.unknown(notebook, task.params) if work.attempt == 1 else ():
                self._say(task, line)
            notebook = papermill.parameterised(notebook, task.params, kernel=kernel, language=language)
        declared = stagerun.Declared(self._project, task)
        job = Job(
            work.path,
            task.name,
            self._options.experiment,
            task.params,
            tags={
                **work.tags,
                **({stagecells.TAG: task.stage} if task.stage else {}),
                **({ATTEMPT_TAG: str(work.attempt)} if work.attempt > 1 else {}),
            },
            parent=work.parent or os.environ.get(PARENT),
            timeout=self._options.timeout,
            kernel=kernel,
            journal=work.journal,
            inputs=declared.inputs,
        )

        def keep(kept: Kept) -> None:
            _write_output(self._project.root / str(task.output), kept)

        def step(done: int, total: int, text: str) -> None:
            self._tell(Told("cell", task, text, done, total))

        running = NotebookRun(
            self._project,
            notebook,
            job,
            render=self._render,
            keep=keep if task.output else None,
            step=step,
            launch=self._warm.launcher(notebook) if self._warm else None,
            complete=declared.record if declared.stage else None,
        )
        with self._lock:
            self._active.add(running)
        try:
            if self._stopping:
                return Ended(KILLED, INTERRUPTED, 0.0, cut=True, recorded=False)
            return running.execute()
        finally:
            with self._lock:
                self._active.discard(running)

    def prune(self, journal: str, step: int) -> bool:
        """Stop the notebook of that run as hopeless, unless it is over; asked again, end its kernel."""
        return any(running.prune(step) for running in self._running() if running.job.journal == journal)

    def stop(self) -> None:
        """Interrupt the kernels."""
        self._stopping = True
        if self._warm is not None:
            self._warm.stop()
        for running in self._running():
            running.stop()

    def kill(self) -> None:
        """Kill the kernels."""
        self._stopping = True
        for running in self._running():
            running.kill()

    def close(self) -> None:
        """End the processes that kernels were forked from."""
        if self._warm is not None:
            self._warm.close()

    def _running(self) -> list[NotebookRun]:
        with self._lock:
            return list(self._active)


def _write_output(target: Path, kept: Kept) -> None:
    """The executed notebook, and its page beside it: each is there whole, or as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if kept.html:
        files.write_atomic(target.with_suffix(".html"), kept.html)
    files.write_atomic(target, kept.notebook)
