"""What the extension keeps of a shell: the cells executed so far, the project, and the hooks around each cell.

A cell that begins with ``%%mlrun`` is run by IPython itself as if that line were not there (an input transformer
blanks it), between two event hooks. So its value, ``_``, ``Out``, traceback, ``%debug``, top-level ``await`` and nested
magics are IPython's own, and nothing the ledger does can reach into them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import project as projects
from nbledger.core import readers
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import client
from nbledger_magics import header, interrupts, verbs

if TYPE_CHECKING:
    from nbledger.core.cells import Cell
    from nbledger.core.hidden import Watcher
    from nbledger.core.traces import Trace, Tracer
    from nbledger_magics.tracked_cell import TrackedCell
    from nbledger_magics.whole import Whole


_UNRECORDED = "this cell is not recorded"
_PATIENCE = 15.0
"""Seconds that the run of a whole notebook waits for room on the disk before its kernel ends."""


class Session:
    """The extension's state for one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cells: list[Cell] = []
        self.traces: list[Trace] = []
        self.facts: dict[int, dict[str, Any]] = {}
        self.tracer: Tracer | None = None
        self._tracing: int | None = None
        self._watcher: Watcher | None = None
        self._earlier: list[tuple[str, int, bool]] = []
        self.executing = 0
        self.running: TrackedCell | None = None
        self.span: TrackedCell | None = None
        self._left: list[TrackedCell] = []
        self.whole: Whole | None = None
        self.said: set[str] = set()
        self.stages: dict[str, Any] = {}
        self._notebook: tuple[int, Path | None] = (-1, None)
        self._transform = header.transformer(lambda: self.executing > 0, self._stop)
        self._stopped: interrupts.Undo | None = None

    def register(self) -> None:
        """Hook into the shell and start the keeper of a project that has been used before."""
        self.shell.input_transformers_cleanup.insert(0, self._transform)
        self.shell.events.register("pre_run_cell", self.before_cell)
        self.shell.events.register("post_run_cell", self.after_cell)
        verbs.register(self)
        readers.install()
        self._earlier = self._before_loading()
        try:
            project = self.project()
            if project.state.is_dir() and client.running(project) is None:
                client.spawn(project)
        except (LedgerError, OSError):
            pass  # said when a verb needs the project; loading the extension must not fail

    def unregister(self) -> None:
        self.shell.input_transformers_cleanup.remove(self._transform)
        self.shell.events.unregister("pre_run_cell", self.before_cell)
        self.shell.events.unregister("post_run_cell", self.after_cell)
        verbs.unregister(self)

    def project(self) -> Project:
        """The project of the notebook: that of the working directory."""
        return projects.find()

    def before_cell(self, info: Any) -> None:
        """IPython's ``pre_run_cell``: note the cell; start a run where its first line asks for one."""
        try:
            self._before(info)
        except KeyboardInterrupt:  # raised from here it would be shown, and the cell would run all the same
            self._cut_off("interrupted before the cell began")
            self._stop()
        except Exception as err:
            self.say_unrecorded(repr(err))

    def after_cell(self, result: Any) -> None:
        """IPython's ``post_run_cell``: end the run with the cell's own outcome."""
        try:
            self._after(result, self.executing <= 1)
        except KeyboardInterrupt as err:
            self._cut_off("interrupted while it was being recorded")
            interrupts.told(self.shell, result, err)
        except Exception as err:
            self._cut_off(f"it could not be recorded: {err!r}")
            self.say(f"this run was not fully recorded: {err!r}")
        finally:
            self.executing -= self.executing > 0

    def _stop(self) -> None:
        """Interrupt the cell that is about to run."""
        if self._stopped is None:
            self._stopped = interrupts.stop(self.shell)

    def _cut_off(self, why: str) -> None:
        """Close what this cell has opened, or was about to close."""
        running, self.running = self.running, None
        if running is not None:
            self._left.append(running)
        self._close_left(why)
        if self.whole is not None and self.whole.ended:
            self.whole.run.cut_off(why)
            self.whole = None

    def close(self, run: TrackedCell, why: str) -> None:
        """Close a run that goes no further; where that fails, again with the next cell."""
        self._left.append(run)
        self._close_left(why)

    def _close_left(self, why: str) -> None:
        left, self._left = self._left, []
        while left:
            run = left.pop()
            try:
                run.cut_off(why)
            except Exception:
                self._left.append(run)
            except BaseException:
                self._left += [run, *left]
                raise

    def _before(self, info: Any) -> None:
        self.executing += 1
        noted = False
        if self.executing == 1:
            self._cut_off("interrupted while it was being recorded")  # its end was not heard of
        try:
            noted = self._note(info)
            options = header.tracked(info.raw_cell) if self.executing == 1 else None
            if options is not None and not (getattr(options, "dry", False) or getattr(options, "inside", False)):
                from nbledger_magics import tracked_cell

                self.running = tracked_cell.begin(self, options, source=info.raw_cell)
            elif noted and self.executing == 1 and (around := self._around()) is not None:
                around.follow()
        except LedgerError:
            pass  # wrong words: the transformer left the cell to the magic, which says so
        except Exception as err:
            self.say_unrecorded(repr(err))
        if noted and self.executing == 1:
            self._trace()

    def _after(self, result: Any, outermost: bool) -> None:
        if self._stopped is not None:
            self._stopped()
            self._stopped = None
        # IPython has no result of an awaiting cell that was cancelled; what ended it is on its way.
        error = sys.exc_info()[1] if result is None else result.error_before_exec or result.error_in_exec
        try:
            if outermost:
                self._trace_end()
            if result is not None:
                self._note_end(result, error)
        except Exception as err:  # the run still has to end
            self.say(f"this run was not fully recorded: {err!r}")
        if not outermost:
            return
        try:
            if self.running is not None:
                ended = self.running
                ended.finish(error)
                self.running = None
                if hasattr(ended.options, "stage") and error is None:
                    from nbledger_magics import stage

                    stage.propose(self, ended.options)
            elif (around := self._around()) is not None:
                around.went(getattr(getattr(result, "info", None), "cell_id", None), error)
                around.pause()
            if result is not None and self.whole is not None:
                self.whole.after(getattr(result.info, "cell_id", None), error)
                if self.whole.ended:
                    self.whole = None
        except Exception as err:
            self.say(f"this run was not fully recorded: {err!r}")

    def _around(self) -> TrackedCell | None:
        """The run over several cells that the present one is part of."""
        return self.span or (self.whole.run if self.whole is not None else None)

    def _note(self, info: Any) -> bool:
        if info.silent or not info.raw_cell or not info.store_history:
            return False
        earlier, self._earlier = self._earlier, []
        for source, count, succeeded in earlier:
            self._add(source, None, count, ok=succeeded)
        # The shell's own count may have moved on already; the history has all cells but this one, and an empty first.
        history = getattr(getattr(self.shell, "history_manager", None), "input_hist_raw", ())
        self._add(info.raw_cell, getattr(info, "cell_id", None), len(history) or self.shell.execution_count)
        return True

    def _add(self, source: str, cell_id: str | None, count: int, *, ok: bool = True) -> None:
        from nbledger.core.cells import Cell
        from nbledger.core.traces import Trace

        self.cells.append(Cell(source, cell_id, time.time(), count, ok))
        self.traces.append(Trace())

    def _before_loading(self) -> list[tuple[str, int, bool]]:
        """(source, count, whether it succeeded) of the cells that ran before the extension was loaded, as IPython's
        history has them: what they read was not seen, but a run may depend on their imports and functions.
        """
        history = getattr(self.shell, "history_manager", None)
        failed = getattr(history, "exceptions", {})
        sources = list(getattr(history, "input_hist_raw", ()))
        return [(source, n, n not in failed) for n, source in enumerate(sources) if n and source]

    def _trace(self) -> None:
        """Open the window in which this cell's files, generators and hosts are noted."""
        try:
            if self.tracer is None:
                from nbledger.core.traces import Tracer

                self.tracer = Tracer()
            self.tracer.begin()
            self._tracing = len(self.cells) - 1
        except Exception as err:
            self.say(f"what this cell reads is not noted: {err!r}")

    def _trace_end(self) -> None:
        index, self._tracing = self._tracing, None
        if self.tracer is not None and index is not None:
            from nbledger.core.traces import bound

            try:
                self.traces[index] = self.tracer.end(self.cells[index].source)
                bound(self.traces)
            except Exception as err:  # the run still has to end
                self.say(f"what this cell read is not noted: {err!r}")

    def hidden(self) -> tuple[str, ...]:
        """Why the last cell stands on state that a fresh run of the notebook would not have."""
        if self._watcher is None:
            from nbledger.core.hidden import Watcher

            self._watcher = Watcher()
        own = getattr(self.shell, "user_ns_hidden", ())
        present = {name for name in self.shell.user_ns if name not in own}
        return self._watcher.warnings(self.cells, self.notebook(), present)

    def seeded(self) -> None:
        """The ledger itself has seeded a generator: its state now is the one before the cell."""
        if self.tracer is not None and self._tracing is not None:
            self.tracer.refresh()

    def traced(self) -> list[Trace]:
        """What each of ``cells`` did; of the one that is running, what it did so far."""
        index = self._tracing
        if self.tracer is None or index is None:
            return self.traces
        return [*self.traces[:index], self.tracer.so_far(self.cells[index].source), *self.traces[index + 1 :]]

    def _note_end(self, result: Any, error: BaseException | None) -> None:
        import dataclasses

        if (
            self.cells
            and error is not None
            and result.info is not None
            and self.cells[-1].source == result.info.raw_cell
        ):
            self.cells[-1] = dataclasses.replace(self.cells[-1], ok=False)

    def notebook(self) -> Path | None:
        """The notebook that this kernel runs, found anew while it is unknown."""
        known_at, path = self._notebook
        if path is not None and path.exists():
            return path
        if known_at == len(self.cells):
            return path
        from nbledger.core.identity import find_notebook

        path = find_notebook(self.shell.user_ns, os.environ, self.cells, Path.cwd())
        self._notebook = (len(self.cells), path)
        return path

    def say(self, text: str) -> None:
        """One line on standard error; the same line once."""
        if text not in self.said:
            self.said.add(text)
            print(f"nbledger: {text}", file=sys.stderr)

    def say_unrecorded(self, why: str) -> None:
        """That cells are not recorded: once, and again when one was recorded in between."""
        self.say(f"{_UNRECORDED}: {why}")

    def recorded(self) -> None:
        self.said = {text for text in self.said if not text.startswith(_UNRECORDED)}

    def show(self, thing: Any) -> None:
        """Display in a notebook, print in a terminal."""
        if hasattr(self.shell, "kernel"):
            from IPython.display import display

            display(thing)
        else:
            print(thing)

    def begin_batch(
        self,
        name: str,
        experiment: str | None,
        params: dict[str, Any],
        parent: str | None = None,
        tags: dict[str, str] | None = None,
        inputs: list[str] | None = None,
    ) -> None:
        """Open the run of a whole notebook that another process executes in this kernel."""
        from nbledger.core import values
        from nbledger_magics import tracked_cell, whole

        options = header.parse("", "batch")
        options.name, options.experiment, options.batch = name, experiment, True
        options.param = [f"{key}={values.param_text(value)}" for key, value in params.items()]
        options.parent, options.tag = parent, [f"{key}={value}" for key, value in (tags or {}).items()]
        options.inputs = inputs or []
        run = tracked_cell.begin(self, options, source="")
        self.whole = None if run is None else whole.Whole(run)

    def end_batch(self, status: str, problem: str, executed: str = "") -> None:
        """Close it, keeping the executed notebook where whoever executes it has not done so."""
        whole, self.whole = self.whole, None
        if whole is not None:
            error = RuntimeError(problem) if problem else None
            whole.run.finish(error, status=status, artifacts=[executed] if executed else [], quiet=True)
            recording, until = whole.run.recording, time.monotonic() + _PATIENCE
            while not recording.closed and time.monotonic() < until:  # what has no room is written when there is some
                time.sleep(0.05)
            if not recording.closed:
                raise LedgerError(f"no room on the disk of {whole.run.project.state}", "free some, and run it again")
