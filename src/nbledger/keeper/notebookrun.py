"""One notebook executed in a fresh kernel as one run, which this process closes whatever becomes of the kernel.

The kernel records the run as it records a tracked cell, in a journal that is owned by this process: where this process
dies, whoever looks after the project closes the run as KILLED. The executed notebook is one of the run's artifacts from
the start, and is written anew after each cell, so that a run that is cut short keeps what had been executed.
"""

from __future__ import annotations

import contextlib
import errno
import html
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import elsewhere, kernels, papermill, secrets, stagecells
from nbledger.core.batch import PRUNED_TAG
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import journal as journals
from nbledger.keeper import measured, recorder
from nbledger.keeper.guard import OWNER
from nbledger.keeper.warm import REUSED_TAG

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
INTERRUPTED = "interrupted"
Step = Callable[[int, int, str], None]
_SHARE = 0.05
"""Of the time that passes, how much may be spent on writing the notebook after a cell."""
_SHORT = 5
_PATIENCE = 15.0
"""Seconds that what is kept of a notebook waits for room on the disk."""


@dataclass(frozen=True)
class Job:
    """What to execute, and what its run is called and belongs to. ``timeout``: the seconds a cell may take; ``inputs``: files
    that the run stands on, whether or not its cells are seen to read them.
    """

    source: Path
    name: str
    experiment: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    timeout: int | None = None
    kernel: str = ""
    journal: str = field(default_factory=journals.new_id)
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How it ended. ``cut``: from outside, by ``stop``; ``recorded``: whether there is a run of it; ``pruned``: the step at which
    it was stopped as hopeless; ``metrics``: the last values that it, or a tracked cell in it, has logged.
    """

    status: str
    error: str
    seconds: float
    cut: bool = False
    recorded: bool = True
    notes: tuple[str, ...] = ()
    pruned: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """What is kept of an executed notebook: its text, and its HTML where that was made."""

    notebook: str
    html: str = ""


class NotebookRun:
    """``render`` makes the executed notebook HTML, ``keep`` writes both where the person wants them, before the run is
    closed; ``step`` is told of each cell before it is executed: its number, of how many, its first line. ``launch``: other
    means to start the kernel. ``complete`` adds to the record before the run is closed: its journal's folder, its status.
    """

    def __init__(
        self,
        project: Project,
        notebook: Any,
        job: Job,
        *,
        render: Callable[[Any], str] | None = None,
        keep: Callable[[Kept], None] | None = None,
        step: Step | None = None,
        launch: kernels.Launch | None = None,
        complete: Callable[[Path, str], None] | None = None,
    ) -> None:
        self.project, self.notebook, self.job = project, notebook, job
        self._render, self._keep, self._step, self._launch = render, keep, step, launch
        self._complete = complete
        self._running: kernels.Running | None = None
        self._stopped = threading.Event()
        self._pruned: int | None = None
        self._over = False
        self._gate = threading.Lock()
        self._metrics: dict[str, float] = {}
        self._recording: recorder.Recording | None = None
        self._log: journals.Journal | None = None
        self._blob: Path | None = None
        self._due = 0.0
        self._secrets = [str(value) for key, value in job.params.items() if secrets.secret(key, value)]
        self._unkept = ""
        self.notes: list[str] = []

    @property
    def path(self) -> Path:
        """The folder of the run's journal."""
        return journals.folder(self.project) / self.job.journal

    def stop(self) -> None:
        """Interrupt the execution; from any thread."""
        self._stopped.set()
        if (running := self._running) is not None:
            running.interrupt()

    def kill(self) -> None:
        """End the kernel at once; from any thread."""
        self._stopped.set()
        if (running := self._running) is not None:
            running.kill()

    def prune(self, step: int) -> bool:
        """Interrupt it as hopeless, unless its last cell is over; from any thread. The second time the kernel is killed."""
        with self._gate:
            if self._over or self._stopped.is_set() or (running := self._running) is None:
                return False
            if self._pruned is None:
                self._pruned = step
                running.interrupt()
            else:
                running.kill()
            return True

    def _halted(self) -> bool:
        return self._stopped.is_set() or self._pruned is not None

    def execute(self) -> Ended:
        """Execute every cell, or as many as succeed, and close the run."""
        began, status, problem, lost = time.monotonic(), FINISHED, "", ""
        try:
            with kernels.started(
                self.notebook,
                self.job.source.parent,
                self._environment(),
                kernel_name=self.job.kernel,
                timeout=self.job.timeout,
                launch=self._launch,
            ) as running:
                self._running = running
                self._begin(running)
                status, problem = self._judged(*self._cells(running))
                status, problem = self._kept(status, problem)
                self._record_more(status)
                self._metrics = measured.last(self.path)
                lost = self._end(running, status, problem)
        except KeyboardInterrupt:
            self._close(KILLED, INTERRUPTED)
            raise
        except kernels.KernelDied as err:
            status, problem = KILLED, problem or str(err)
        except LedgerError as err:
            status, problem = FAILED, err.message
            if not self.path.is_dir():
                self._begin_here(problem)
        finally:
            self._running = None
        if self._stopped.is_set() and status != FINISHED:
            status, problem = KILLED, INTERRUPTED
        lost = lost or self._unkept
        if lost:
            self.notes.append(f"not recorded whole: {lost}")
        recorded = self._close(FAILED if lost and status == FINISHED else status, problem or lost) and not lost
        seconds = time.monotonic() - began
        cut, pruned = self._stopped.is_set(), self._pruned if status == KILLED else None
        return Ended(status, problem, seconds, cut, recorded, tuple(self.notes), pruned, self._metrics)

    def _judged(self, status: str, problem: str) -> tuple[str, str]:
        """What became of the cells, with the gate closed: from here on nothing is stopped as hopeless."""
        with self._gate:
            self._over = True
        if self._pruned is None or status == FINISHED or self._stopped.is_set():
            return status, problem
        with contextlib.suppress(OSError):
            if self._log is not None:
                self._log.write("tags", tags={PRUNED_TAG: str(self._pruned)})
        return KILLED, f"pruned at step {self._pruned}"

    def _record_more(self, status: str) -> None:
        if self._complete is not None and self.path.is_dir():
            try:
                self._complete(self.path, status)
            except (LedgerError, OSError) as err:
                self.notes.append(f"not all that dvc.yaml says of the stage is recorded: {err}")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "NBLEDGER_BATCH": self.job.journal,
            "NBLEDGER_PARENT": self.job.journal,  # what its cells have nbledger run is inside it
            "NBLEDGER_NOTEBOOK": str(self.job.source),
            OWNER: json.dumps(journals.owner()),
            **({stagecells.RUNNING: self.job.tags[stagecells.TAG]} if stagecells.TAG in self.job.tags else {}),
            **elsewhere.environment(),
            **({"NBLEDGER_EXPERIMENT": self.job.experiment} if self.job.experiment else {}),  # its tracked cells', too
        }

    def _begin(self, running: kernels.Running) -> None:
        """Have the kernel begin the run; one that cannot (another language, no nbledger there) is recorded from here."""
        info = running.language()
        self.notebook.metadata["language_info"] = info
        problem = f"a kernel of {info.get('name') or 'another language'}"
        if info.get("name") == "python":
            begin = {
                "name": self.job.name,
                "experiment": self.job.experiment,
                "params": dict(self.job.params),
                "parent": self.job.parent,
                "inputs": list(self.job.inputs),
                "tags": {**self.job.tags, **({REUSED_TAG: "true"} if running.launched else {})},
            }
            problem = running.hidden(
                "import nbledger; nbledger.load_ipython_extension(get_ipython()); "
                f"get_ipython()._nbledger_session.begin_batch(**{begin!r}); del nbledger"
            )
        if not self.path.is_dir():
            self._begin_here(problem or "the kernel could not write the ledger")
        self._attach()

    def _begin_here(self, why: str) -> None:
        job = self.job
        plan = recorder.Plan(
            name=job.name,
            experiment=job.experiment,
            params=job.params,
            tags=job.tags,
            notebook=self.project.relative(job.source) or str(job.source),
            parent=job.parent,
            journal_id=job.journal,
        )
        try:
            self._recording = recorder.start(self.project, plan)
            self._recording.notice(f"recorded without what its cells read and used: {' '.join(why.split())[:200]}")
        except LedgerError as err:
            self.notes.append(f"not recorded: {err.message}")

    def _attach(self) -> None:
        """Make the notebook an artifact of the run, now; where there is no room, once more at its end."""
        with contextlib.suppress(OSError):
            self._attached()

    def _attached(self) -> None:
        if self._blob is not None or not self.path.is_dir():
            return
        if self._log is None:
            self._log = journals.Journal(self.path)
        self._blob = blob = self._log.blob(self.job.source.name)
        try:
            self._write(self._text())
            self._log.write("artifact", blob=str(blob.relative_to(self.path)), place="")
        except OSError:
            self._blob = None
            raise

    def _write(self, text: str) -> None:
        """Replace the kept notebook: the old one or the new one is there, at any moment, and nothing beside it."""
        if self._blob is not None:
            draft = self.path / "executed.tmp"
            draft.write_text(text, encoding="utf-8", errors="surrogatepass")
            os.replace(draft, self._blob)

    def _text(self) -> str:
        """The notebook as it may be kept."""
        if not self._secrets:
            return kernels.text(self.notebook)
        text = kernels.text(papermill.masked(self.notebook, self.job.params))
        for value in self._secrets:  # where a cell has printed one, too; short ones could be anything
            for form in {value, html.escape(value), html.escape(value, quote=False)}:
                text = text.replace(json.dumps(form)[1:-1], secrets.HIDDEN) if len(form) > _SHORT else text
        return text

    def _cells(self, running: kernels.Running) -> tuple[str, str]:
        """Execute them; (status, what went wrong)."""
        cells = self.notebook.cells
        code = [index for index, cell in enumerate(cells) if cell.cell_type == "code" and cell.source.strip()]
        for number, index in enumerate(code):
            if self._halted():
                return KILLED, INTERRUPTED
            if self._step is not None:
                self._step(number, len(code), _first_line(cells[index].source))
            try:
                running.execute(index)
            except kernels.CellFailed as err:
                if self._halted():
                    return KILLED, INTERRUPTED
                return FAILED, f"cell {number + 1}: {err}"
            except kernels.OutOfTime:
                problem = f"cell {number + 1} took longer than {self.job.timeout} s"
                running.settle()  # the traceback of the interrupt shows where the cell was
                kernels.failure(cells[index], "TimeoutError", problem)
                return KILLED, problem
            except kernels.KernelDied as err:
                kernels.failure(cells[index], "DeadKernelError", str(err))
                return KILLED, INTERRUPTED if self._halted() else f"cell {number + 1}: {err}"
            if number == len(code) - 1:
                with self._gate:
                    self._over = True
            self._checkpoint()
        if code and self._halted() and _was_interrupted(cells[code[-1]]):  # it may fail, so nothing was raised
            return KILLED, INTERRUPTED
        return FINISHED, ""

    def _checkpoint(self) -> None:
        """Keep the notebook as it is now, unless that was done a moment ago and takes long."""
        began = time.monotonic()
        if self._blob is None or began < self._due:
            return
        with contextlib.suppress(OSError):
            self._write(self._text())
        spent = time.monotonic() - began
        self._due = began + spent + spent / _SHARE

    def _kept(self, status: str, problem: str) -> tuple[str, str]:
        """Keep the executed notebook and its HTML, before the run is closed: a run that finished has both."""
        text = self._text()
        kept = Kept(text, self._html(kernels.parsed(text) if self._secrets else self.notebook))
        patience = _PATIENCE if status == FINISHED else 0.0
        for what, write in (
            ("executed notebook", self._attached),
            ("executed notebook", lambda: self._write(kept.notebook)),
            ("page", lambda: self._page(kept)),
        ):
            if why := _patiently(write, patience):
                self._unkept = self._unkept or f"its {what} is not kept: {why}"
        try:
            if self._keep is not None:
                self._keep(kept)
        except OSError as err:
            if status == FINISHED:
                return FAILED, f"cannot write {err.filename}: {err.strerror}"
        return status, problem

    def _page(self, kept: Kept) -> None:
        """Make the HTML an artifact of the run."""
        if kept.html and self._log is not None and self._blob is not None:
            page = self._log.blob(f"{self.job.source.stem}.html")
            page.write_text(kept.html, encoding="utf-8", errors="surrogatepass")
            self._log.write("artifact", blob=str(page.relative_to(self.path)), place="")

    def _html(self, notebook: Any) -> str:
        if self._render is None:
            return ""
        try:
            return self._render(notebook)
        except Exception as err:  # a page that cannot be made is no reason to lose the run
            self.notes.append(f"no HTML was made: {' '.join(str(err).split())[:200]}")
            return ""

    def _end(self, running: kernels.Running, status: str, problem: str) -> str:
        """Have the kernel close the run; in words, why it could not: what it still holds of the run ends with it."""
        if self._recording is not None:
            return ""
        if self._unkept and status == FINISHED:
            status, problem = FAILED, self._unkept
        return running.hidden(f"get_ipython()._nbledger_session.end_batch({status!r}, {problem[:2000]!r})")

    def _close(self, status: str, problem: str) -> bool:
        """Close the run where the kernel could not: it died, or was not Python. Whether there is a run."""
        if self._log is not None:
            self._log.close()
        if self._recording is not None:
            with contextlib.suppress(OSError):
                self._recording.outcome(status, problem)
                self._recording.end()
            return True
        try:
            events = journals.read(self.path).events
            if not events:
                return self._published()
            if not any(e["t"] == "end" for e in events):
                self._write(self._text())
                log = journals.Journal(self.path)
                log.write("end", status=status, error=problem, ended=journals.now_ms(), durable=True)
                log.close()
        except OSError:
            return self._published()
        return True

    def _published(self) -> bool:
        """Whether the run has been published to its end already: its journal is gone then."""
        from nbledger.keeper.publish import run_id_of

        return run_id_of(self.project, self.job.journal) is not None


def _patiently(write: Callable[[], None], patience: float) -> str:
    """Write, where there is no room as soon as there is some; in words, why that did not come to be."""
    until = time.monotonic() + patience
    while True:
        try:
            write()
        except OSError as err:
            if err.errno not in (errno.ENOSPC, errno.EDQUOT) or time.monotonic() > until:
                return str(err.strerror)
            time.sleep(0.2)
        else:
            return ""


def _was_interrupted(cell: Any) -> bool:
    return any(output.get("ename") == "KeyboardInterrupt" for output in cell.outputs)


def _first_line(source: str) -> str:
    line = next((text.strip() for text in source.splitlines() if text.strip()), "")
    return line if len(line) <= 60 else line[:59] + "…"
