"""One tracked cell (or span of cells): what happens before its first line and after its last."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import hidden, mlflow_active, observe
from nbledger.core.errors import LedgerError
from nbledger.core.importwatch import forget, when_imported
from nbledger.core.mlflow import display_uri, reachable
from nbledger.core.project import Project
from nbledger.keeper import client, recorder
from nbledger_magics import collect

if TYPE_CHECKING:
    from nbledger_magics.live import Panel
    from nbledger_magics.session import Session

_PATIENCE, _SERVER_PATIENCE, _BATCH_PATIENCE = 20.0, 2.0, 300.0
"""Seconds that a cell waits for its run to be made: a person for a server not long; nobody watches a batch, and what it logs counts."""
_INNER = 200
"""Metrics of a tracked cell that the run of its notebook is told."""


def begin(session: Session, options: argparse.Namespace, source: str) -> TrackedCell | None:
    """Open a run; None, after one line that says why, when it cannot be recorded. Raises nothing but an interrupt, which
    leaves no run open.
    """
    begun: TrackedCell | None = None
    try:
        begun = TrackedCell(session, session.project(), options, source)
        begun.open(source)
        return begun
    except KeyboardInterrupt:
        if begun is not None:
            begun.cut_off("interrupted before the cell began")
        raise
    except Exception as err:
        why = str(err) if isinstance(err, LedgerError) else repr(err)
        session.say_unrecorded(why)
        if begun is not None:
            session.close(begun, f"it could not be recorded: {why}")
    return None


class TrackedCell:
    """A run of this kernel; ``open`` starts it."""

    def __init__(self, session: Session, project: Project, options: argparse.Namespace, source: str) -> None:
        self.session, self.project, self.options = session, project, options
        self.is_span = not source.lstrip("\n").startswith(("%%mlrun", "%%stage"))
        present = len(session.cells) - bool(source)  # that of a whole notebook is begun between cells
        self.scope = collect.Scope(
            os.path.realpath(getattr(session.shell, "starting_dir", os.curdir)),
            max(present, 0) if self.is_span else None,
            bool(getattr(options, "batch", False)),
        )
        self.recording: recorder.Recording
        self.before: dict[str, Any] = {}
        self.active: mlflow_active.Active | None = None
        self.observer: observe.Observer | None = None
        self.panel: Panel | None = None
        self.warned = ""
        self.over = False
        self._failed: dict[str | None, BaseException] = {}
        self.lost: list[str] = []
        self.unkept: list[str] = []

    def open(self, source: str) -> None:
        """Write the run's start; what can be done without is a step."""
        notebook = self._step("notebook", self.session.notebook)
        names, options = self.session.shell.user_ns, self.options
        wanted = [*options.metric, *options.model, *options.artifact]
        self.before = self._step("variables", lambda: collect.kept(names, wanted)) or {}
        self.recording = recorder.start(self.project, self._plan(notebook, source))
        recorder.push(self.recording)
        self._step("keeper", lambda: client.notify(self.project))
        self._step("seeds", self._seed)
        self._step("missing", self._say_what_is_missing)
        self.warned = self._step("hidden state", self._warn) or ""
        self._step("mlflow", self._join_mlflow)
        self._step("observation", lambda: self._observe(notebook))
        self._step("panel", self.follow)
        self._step("session", self.session.recorded)

    def _observe(self, notebook: Path | None) -> None:
        self.observer = observe.Observer(self.project, notebook)
        self.observer.start()

    def _plan(self, notebook: Any, source: str) -> recorder.Plan:
        options, session = self.options, self.session
        params: dict[str, Any] = {}
        for text in options.param:
            name, given, value = text.partition("=")
            if given:
                params[name] = value
            elif name in session.shell.user_ns and name not in _set_by(source):
                params[name] = session.shell.user_ns[name]
        found = self._step("parameters", lambda: collect.notebook_parameters(session, notebook)) or {}
        params = {**found, **params}
        parent = recorder.current()
        batch = os.environ.get("NBLEDGER_BATCH")
        first = batch is not None and not recorder.opened() and getattr(options, "batch", False)
        return recorder.Plan(
            name=options.name,
            experiment=options.experiment or os.environ.get("NBLEDGER_EXPERIMENT"),
            params=params,
            tags=dict(tag.split("=", 1) for tag in options.tag),
            source=source,
            notebook=self._step("notebook", lambda: collect.notebook_name(self.project, notebook)),
            parent=parent.id if parent else getattr(options, "parent", None),
            journal_id=batch if first else None,
            owner=_owner_of_batch() if first else None,
        )

    def _step(self, what: str, action: Callable[[], Any]) -> Any:
        """Do one of the ledger's own steps; what fails is said with the run, never raised."""
        try:
            with observe.unwatched():
                return action()
        except LedgerError as err:
            self.lost.append(str(err))
        except OSError as err:
            if no_room(err):
                self.unkept.append(what)
            else:
                self.lost.append(f"{what}: {err.strerror or err}")
        except Exception as err:
            self.lost.append(f"{what}: {err!r}")
        return None

    def _seed(self) -> None:
        if self.options.seed is not None:
            collect.seed(self.options.seed, self.session.seeded)

    def _say_what_is_missing(self) -> None:
        if self.project.git is None:
            self.session.say(
                "no Git repository here: of the code, only this session's cells are kept — %ledger init makes one"
            )

    def _warn(self) -> str:
        """Say in one line, before the cell runs, that it stands on hidden state."""
        text = "" if self.is_span or self.project.scratch else hidden.line(self.session.hidden())
        if text:
            print(f"nbledger: {text}", file=sys.stderr)
        return text

    def _join_mlflow(self) -> None:
        """Make this the active MLflow run: now if MLflow is loaded, else the moment the user's code imports it."""
        if mlflow_active.loaded():
            self._activate()
        else:
            when_imported("mlflow", self._on_import)

    def _on_import(self, _module: Any) -> None:
        self._step("mlflow", self._activate)

    def _activate(self) -> None:
        uri = self.project.tracking_uri
        elsewhere = mlflow_active.set_elsewhere(uri)
        if elsewhere is not None:
            self.recording.notice(
                f"mlflow.* calls go to {display_uri(elsewhere)} (set_tracking_uri) and are not part of this run"
            )
            return
        if not self.project.embedded and not reachable(uri, 1.0):
            self.recording.notice(
                f"{display_uri(uri)} does not answer: mlflow.* calls of this cell are not part of this run"
            )
            return
        local = self.project.embedded or uri.startswith("sqlite:")
        patience = _BATCH_PATIENCE if "NBLEDGER_BATCH" in os.environ else _PATIENCE if local else _SERVER_PATIENCE
        run_id = client.call(self.project, "run_id", {"journal": self.recording.id}, start=True, timeout=patience)
        if run_id is not None:
            self.recording.run_id = run_id
            self.active = mlflow_active.Active(run_id, uri, self.recording.notice)

    def went(self, cell: str | None, error: BaseException | None) -> None:
        """How a cell of a span ended; run again with success, it has not failed."""
        if error is not None:
            self._failed[cell] = error
        else:
            self._failed = {known: err for known, err in self._failed.items() if known not in (cell, None)}

    def left_failed(self) -> BaseException | None:
        """What ended the newest cell of a span that failed, or was interrupted, and was not run again since."""
        return next(reversed(self._failed.values()), None)

    def finish(
        self,
        error: BaseException | None,
        *,
        status: str | None = None,
        metrics: Sequence[str] = (),
        artifacts: Sequence[str] = (),
        quiet: bool = False,
    ) -> None:
        """End the run with the cell's outcome and show its summary. Raises nothing but an interrupt, which leaves the run
        closed as KILLED.
        """
        try:
            self.over = True
            self._finish(error, status or outcome(error), metrics, artifacts)
            if not quiet:
                self._show()
            elif self.panel is not None:
                self.panel.end()
        except KeyboardInterrupt:
            self.cut_off("interrupted while it was being recorded")
            raise

    def _finish(
        self, error: BaseException | None, status: str, metrics: Sequence[str], artifacts: Sequence[str]
    ) -> None:
        recording, observer = self.recording, self.observer
        observation = self._step("observation", observer.stop) if observer is not None else None
        self._step("mlflow", self._leave)
        said = self._step("error", lambda: "" if error is None else f"{type(error).__name__}: {error}"[:2000]) or ""
        self._step("outcome", lambda: recording.outcome(status, said))
        self._step("record", lambda: self._collect(observation, status, metrics, artifacts))
        self._step("metrics", self._tell_around)
        self._step("notices", self._say_what_was_lost)
        self._close()

    def _tell_around(self) -> None:
        """The run of the whole notebook learns what this cell's measured: whoever runs many looks there."""
        whole = self.session.whole
        if whole is None or whole.run is self or not self.recording.metrics:
            return
        kept = list(self.recording.metrics.items())[-_INNER:]
        told = {key: value if value - value == 0.0 else str(value) for key, value in kept}
        whole.run.recording.journal.write("inner", journal=self.recording.id, metrics=told)

    def _leave(self) -> None:
        """The cell is over: what it does from now on is no longer this run's."""
        self._step("mlflow", lambda: forget("mlflow", self._on_import))
        if self.active is not None:
            self._step("mlflow", self.active.deactivate)
        self._step("session", lambda: recorder.pop(self.recording))

    def _say_what_was_lost(self) -> None:
        recording = self.recording
        if self.unkept or recording.waiting:
            kept = f"not kept: {', '.join(dict.fromkeys(self.unkept))}" if self.unkept else "nothing is lost"
            waits = "; the rest is written when there is room, while this kernel runs" if recording.waiting else ""
            recording.notice(f"no room on the disk of {self.project.state}: {kept}{waits}")
        for line in self.lost:
            recording.notice(line)

    def _close(self) -> None:
        """``_end``, whatever it stumbles over."""
        try:
            self._end()
        except Exception:
            recorder.end_later(self.recording, lambda: client.notify(self.project))

    def _end(self) -> None:
        """Write the end; what cannot be written now is, as soon as it can."""
        recording = self.recording
        try:
            with observe.unwatched():
                recording.end()
        except Exception:
            recorder.end_later(recording, lambda: client.notify(self.project))
        self._step("keeper", lambda: client.notify(self.project))

    def cut_off(self, why: str) -> None:
        """Close the run as it is: an interrupt came while the ledger was at work, or the ledger itself failed."""
        recording = getattr(self, "recording", None)
        if recording is None:
            return
        if self.observer is not None:
            self._step("observation", self.observer.close)
        self._step("mlflow", self._leave)
        if self.panel is not None:
            self._step("panel", self.panel.end)
        if recording.closed:
            return  # only its summary was still to be shown
        if recording.status != "FAILED":
            said = f"KeyboardInterrupt: {why}" if why.startswith("interrupted") else why
            self._step("outcome", lambda: recording.outcome("KILLED", said))
        self._step("notices", lambda: recording.notice(why))
        self._close()

    def _collect(
        self, observation: observe.Observation | None, status: str, metrics: Sequence[str], artifacts: Sequence[str]
    ) -> None:
        options, session, recording = self.options, self.session, self.recording
        complete = status == "FINISHED"
        names = session.shell.user_ns
        if self.is_span:
            self._step(
                "parameters", lambda: recording.log_params(collect.notebook_parameters(session, session.notebook()))
            )
        self._step("parameters", lambda: collect.late_parameters(recording, options, names))
        stale = set() if complete else collect.unset(names, self.before)
        for variable in [v for v in (*options.metric, *metrics) if v not in stale]:
            self._step(f"metric {variable}", partial(collect.metric, recording, variable, names, complete))
        for thing in [t for t in (*options.artifact, *artifacts) if t not in stale]:
            self._step(f"artifact {thing}", partial(collect.artifact, recording, thing, names, complete))
        for variable in [v for v in options.model if v not in stale]:
            self._step(
                f"model {variable}", partial(collect.model, recording, variable, names, options.example, complete)
            )
        folder = self._step("record", lambda: collect.new_folder(recording))
        if folder is None:
            return
        self._step("environment", lambda: collect.environment(recording, folder))
        seen = observation or observe.Observation()
        needed = self._step("cells", lambda: collect.needed(session, self.scope)) or []
        reasons = () if self.is_span else self._step("hidden state", session.hidden) or ()
        self._step(
            "cells", lambda: collect.cells(recording, session, self.scope, needed, seen, folder, reasons, self.warned)
        )
        self._step("seeds", lambda: collect.seeds(recording, options.seed))
        if observation is not None:
            self._step("inputs", lambda: collect.lineage(recording, session, self.scope, needed, seen, options, folder))
        recording.add_blob(folder)

    def summary(self) -> Any:
        """The run as it is now, for display."""
        from nbledger_magics import display

        return display.summary(self.recording, self._cell())

    def follow(self) -> None:
        """Show the run as it goes while the present cell runs, if that takes long."""
        from nbledger_magics import live

        self.panel = self._step("panel", lambda: live.begin(self.session, self.recording, self._cell()))

    def pause(self) -> None:
        """The present cell has ended; the run goes on. What was shown of it stays, as it is now."""
        panel, self.panel = self.panel, None
        if panel is not None and panel.end():
            panel.replace(self.session, self.summary())

    def _cell(self) -> str:
        """The source of the cell that runs."""
        return self.session.cells[-1].source if self.session.cells else ""

    def _show(self) -> None:
        try:
            if self.panel is not None and self.panel.end():
                self.panel.replace(self.session, self.summary())
            else:
                self.session.show(self.summary())
        except Exception as err:
            print(f"nbledger: recorded {self.recording.name} ({err!r})", file=sys.stderr)


def _set_by(source: str) -> frozenset[str]:
    """Names that the cell sets before it reads them: what an earlier run of it left there is not its parameter."""
    from nbledger.core.defuse import names_of

    names = names_of(source)
    return (names.binds | names.may_bind) - names.loads


def outcome(error: BaseException | None) -> str:
    """FINISHED, FAILED, or KILLED for an interrupt."""
    if error is None:
        return "FINISHED"
    # An interrupt cancels a cell that awaits: asyncio's CancelledError, which is not worth an import.
    interrupted = isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError"
    return "KILLED" if interrupted else "FAILED"


def no_room(err: OSError) -> bool:
    """Whether the disk is full, over quota or read-only: one reason for everything that could not be kept."""
    return err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _owner_of_batch() -> dict[str, Any] | None:
    """The process that executes this notebook and will close its run even if the kernel dies."""
    import json

    text = os.environ.get("NBLEDGER_OWNER")
    return json.loads(text) if text else None
