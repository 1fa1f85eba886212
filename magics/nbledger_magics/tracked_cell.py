"""One tracked cell (or span of cells): what happens before its first line and after its last."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
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

_EMBEDDED_PATIENCE, _SERVER_PATIENCE = 20.0, 2.0


def begin(session: Session, options: argparse.Namespace, source: str) -> TrackedCell | None:
    """Open a run; None, after one line that says why, when it cannot be recorded. Never raises."""
    try:
        project = session.project()
        return TrackedCell(session, project, options, source)
    except LedgerError as err:
        session.say(f"this cell is not recorded: {err}")
    except Exception as err:
        session.say(f"this cell is not recorded: {err!r}")
    return None


class TrackedCell:
    """An open run of this kernel."""

    def __init__(self, session: Session, project: Project, options: argparse.Namespace, source: str) -> None:
        self.session, self.project, self.options = session, project, options
        notebook = session.notebook()
        self.is_span = not source.startswith("%%mlrun")
        present = len(session.cells) - bool(source)  # that of a whole notebook is begun between cells
        self.scope = collect.Scope(
            os.path.realpath(getattr(session.shell, "starting_dir", os.curdir)),
            max(present, 0) if self.is_span else None,
            bool(getattr(options, "batch", False)),
        )
        self.before = collect.kept(session.shell.user_ns, [*options.metric, *options.model, *options.artifact])
        self.recording = recorder.start(project, self._plan(notebook, source))
        self.active: mlflow_active.Active | None = None
        self.lost: list[str] = []
        client.notify(project)
        recorder.push(self.recording)
        self._step("seeds", self._seed)
        self._step("missing", self._say_what_is_missing)
        self.warned = self._step("hidden state", self._warn) or ""
        self._step("mlflow", self._join_mlflow)
        self.observer: observe.Observer | None = self._step(
            "observation", lambda: observe.Observer(project, notebook).start()
        )
        self.panel: Panel | None = None
        self.follow()

    def _plan(self, notebook: Any, source: str) -> recorder.Plan:
        options, session = self.options, self.session
        params: dict[str, Any] = {}
        for text in options.param:
            name, given, value = text.partition("=")
            if given:
                params[name] = value
            elif name in session.shell.user_ns and name not in _set_by(source):
                params[name] = session.shell.user_ns[name]
        with contextlib.suppress(Exception):
            params = {**collect.notebook_parameters(session, notebook), **params}
        parent = recorder.current()
        batch = os.environ.get("NBLEDGER_BATCH")
        first = batch is not None and not recorder.opened() and getattr(options, "batch", False)
        return recorder.Plan(
            name=options.name,
            experiment=options.experiment or os.environ.get("NBLEDGER_EXPERIMENT"),
            params=params,
            tags=dict(tag.split("=", 1) for tag in options.tag),
            source=source,
            notebook=collect.notebook_name(self.project, notebook),
            parent=parent.id if parent else None,
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
        patience = _EMBEDDED_PATIENCE if self.project.embedded else _SERVER_PATIENCE
        run_id = client.call(self.project, "run_id", {"journal": self.recording.id}, start=True, timeout=patience)
        if run_id is not None:
            self.recording.run_id = run_id
            self.active = mlflow_active.Active(run_id, uri, self.recording.notice)

    def finish(
        self,
        error: BaseException | None,
        *,
        status: str | None = None,
        metrics: Sequence[str] = (),
        artifacts: Sequence[str] = (),
        quiet: bool = False,
    ) -> None:
        """End the run with the cell's outcome and show its summary. Never raises an ``Exception``."""
        status = status or outcome(error)
        observation = self._step("observation", self.observer.stop) if self.observer is not None else None
        forget("mlflow", self._on_import)
        if self.active is not None:
            self._step("mlflow", self.active.deactivate)
        recorder.pop(self.recording)
        recording = self.recording
        said = "" if error is None else f"{type(error).__name__}: {error}"[:2000]
        try:
            recording.outcome(status, said)
            with observe.unwatched():
                self._collect(observation, status, metrics, artifacts)
                for line in self.lost:
                    recording.notice(line)
                recording.end()
        except KeyboardInterrupt:
            with contextlib.suppress(OSError):
                recording.end()
            raise
        except OSError as err:
            recording.notices.append(
                f"the rest of this run could not be recorded: {err.strerror} ({self.project.state})"
            )
        client.notify(self.project)
        if not quiet:
            self._show()
        elif self.panel is not None:
            self.panel.end()

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
        folder = recording.blob("nbledger")
        folder.mkdir()
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
        with observe.unwatched():
            from nbledger_magics import live

            self.panel = live.begin(self.session, self.recording, self._cell())

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
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


def _owner_of_batch() -> dict[str, Any] | None:
    """The process that executes this notebook and will close its run even if the kernel dies."""
    import json

    text = os.environ.get("NBLEDGER_OWNER")
    return json.loads(text) if text else None
