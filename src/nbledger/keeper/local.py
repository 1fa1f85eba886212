"""Notebooks executed on this machine, each in a kernel of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from nbledger.core import files, kernels, papermill
from nbledger.core.batch import ATTEMPT_TAG, KILLED, Options
from nbledger.core.project import Project
from nbledger.keeper.executor import Render, Say, Tell, Told, Work
from nbledger.keeper.notebookrun import INTERRUPTED, Ended, Job, Kept, NotebookRun


class Local:
    """The executor of a batch without ``--on``."""

    def __init__(self, project: Project, options: Options, render: Render | None, say: Say, tell: Tell) -> None:
        self._project, self._options, self._render = project, options, render
        self._say, self._tell = say, tell
        self._active: set[NotebookRun] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def execute(self, work: Work) -> Ended:
        """Execute the notebook with its parameters."""
        task = work.task
        notebook = kernels.load(work.path)
        kernel = self._options.kernel or kernels.kernel_name(notebook)
        if task.params:
            language = kernels.require(kernel)
            for line in papermill.unknown(notebook, task.params) if work.attempt == 1 else ():
                self._say(task, line)
            notebook = papermill.parameterised(notebook, task.params, kernel=kernel, language=language)
        job = Job(
            work.path,
            task.name,
            self._options.experiment,
            task.params,
            tags={ATTEMPT_TAG: str(work.attempt)} if work.attempt > 1 else {},
            parent=work.parent,
            timeout=self._options.timeout,
            kernel=kernel,
            journal=work.journal,
        )

        def keep(kept: Kept) -> None:
            _write_output(self._project.root / str(task.output), kept)

        def step(done: int, total: int, text: str) -> None:
            self._tell(Told("cell", task, text, done, total))

        running = NotebookRun(
            self._project, notebook, job, render=self._render, keep=keep if task.output else None, step=step
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

    def stop(self) -> None:
        """Interrupt the kernels."""
        self._stopping = True
        for running in self._running():
            running.stop()

    def kill(self) -> None:
        """Kill the kernels."""
        self._stopping = True
        for running in self._running():
            running.kill()

    def close(self) -> None:
        """Nothing is held."""

    def _running(self) -> list[NotebookRun]:
        with self._lock:
            return list(self._active)


def _write_output(target: Path, kept: Kept) -> None:
    """The executed notebook, and its page beside it: each is there whole, or as it was."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if kept.html:
        files.write_atomic(target.with_suffix(".html"), kept.html)
    files.write_atomic(target, kept.notebook)
