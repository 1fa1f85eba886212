"""``dvc repro`` as runs: one for the whole, inside it one for each stage that was executed.

DVC does what it does without us, in a process of its own (``core.dvcrepro``): which stages are stale, in which order, what
``dvc.lock`` will say. Before each command it waits until the stage's run is begun. A stage that is a notebook's records
itself; it is told whose child it is by a variable of its environment.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import dvc, dvcrepro, mlflow_tables, stages
from nbledger.core.batch import FAILED, FINISHED, KILLED
from nbledger.core.errors import LedgerError, Unreachable, UsageError
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.stages import Stage
from nbledger.keeper import client, outcomes, recorder, stagerun
from nbledger.keeper import publish as publisher
from nbledger.keeper.local import PARENT
from nbledger.keeper.repros import (
    BROKEN,
    CUT,
    PULLED,
    RAN,
    SKIPPED,
    WAITING,
    WOULD,
    Asked,
    Report,
    StageRow,
    Tail,
    Tell,
    Told,
    excerpt,
    plain,
    refusal,
)

REPRO_TAG = "nbledger.repro"
"""Tag of the run that holds those of the stages of one ``nbledger repro``: its targets, or ``dvc.yaml``."""
EXPERIMENT = "NBLEDGER_EXPERIMENT"
_PATIENCE = 25.0
"""Seconds that an interrupted stage has to end before it is killed; a notebook closes its run in them."""


@dataclass
class _Doing:
    """A stage in work."""

    name: str
    began: float
    stage: Stage | None
    executed: bool = False
    pulled: bool = False
    recording: recorder.Recording | None = None
    over: bool = False


class Runner:
    """One ``nbledger repro``."""

    def __init__(self, project: Project, folder: Path, asked: Asked, tell: Tell) -> None:
        self._project, self._folder, self._asked, self._tell = project, folder, asked, tell
        self._plan: dict[str, Stage | None] = {}
        self._rows: dict[str, StageRow] = {}
        self._code: list[str] = []
        self._notes: list[str] = []
        self._doing: _Doing | None = None
        self._parent: recorder.Recording | None = None
        self._tail, self._printed = Tail(), list[str]()
        self._said: list[str] = []
        self._problem = ""
        self._cut = self._refused = False

    def run(self) -> Report:
        """Run it to its end. An interrupt ends what runs as KILLED, and is told by the report's status. Where DVC refuses before
        anything was executed, its reason is raised.
        """
        began = time.monotonic()
        process = dvcrepro.Repro(self._project, self._folder, self._asked.words(), self._print)
        with self._holding():
            self._follow(process)
            code = process.close()
            self._settle()
            if code and not self._cut:
                self._judge()
        if self._parent is not None:
            self._flush()
        return self._report(time.monotonic() - began)

    # ── what the process tells ───────────────────────────────────────────────────────────────────────────────────

    def _follow(self, process: dvcrepro.Repro) -> None:
        try:
            for each in process.told():
                self._take(process, each)
        except KeyboardInterrupt:
            self._cut = True
            self._tell(Told("note", text="interrupted: closing what runs"))
            process.interrupt()
            self._wait_out(process)

    def _wait_out(self, process: dvcrepro.Repro) -> None:
        """Take what is told until the end; a second interrupt, or patience at its end, kills what is left."""
        killer = threading.Timer(_PATIENCE, process.kill)
        killer.daemon = True
        killer.start()
        try:
            for each in process.told():
                self._take(process, each)
        except KeyboardInterrupt:
            process.kill()
        finally:
            killer.cancel()

    def _take(self, process: dvcrepro.Repro, told: dvcrepro.Told) -> None:
        doing = self._doing
        if told.kind == "plan":
            self._plan = dict(told.stages)
            self._tell(Told("plan", total=sum(stage is not None for stage in self._plan.values())))
        elif told.kind == "begun":
            self._doing, self._said = _Doing(told.stage, time.monotonic(), self._plan.get(told.stage)), []
        elif told.kind == "executing" and doing is not None:
            process.answer(self._execute(doing))
        elif told.kind == "executed" and doing is not None:
            doing.over = True
        elif told.kind == "would" and doing is not None:
            doing.executed = True
        elif told.kind == "said":
            if doing is not None and told.text.startswith("Pulling data for "):
                doing.pulled = True
            elif told.text.startswith("ERROR: "):
                self._problem = told.text.removeprefix("ERROR: ")
            else:
                self._said.append(told.text)
        elif told.kind in ("ended", "failed") and doing is not None:
            self._end(doing, told)

    def _execute(self, doing: _Doing) -> dict[str, str]:
        """Begin the run of a stage whose command is about to run; what its environment is to have."""
        doing.executed = True
        code = doing.stage is not None and is_code(doing.stage)
        self._tell(Told("begun", doing.name, status="code" if code else ""))
        self._tail = Tail()
        more = {EXPERIMENT: self._asked.experiment} if self._asked.experiment else {}
        if doing.stage is None or code:
            return more
        parent = self._open_parent()
        if doing.stage.notebook is None:
            doing.recording = self._begin(doing.name, doing.stage, parent)
        known = doing.recording or self._parent
        return {**more, **({PARENT: known.id} if known is not None else {})}

    def _begin(self, name: str, stage: Stage, parent: str | None) -> recorder.Recording | None:
        source = _script(stage)
        plan = recorder.Plan(
            name=name,
            experiment=self._asked.experiment,
            tags={
                stages.TAG: name,
                stagerun.COMMAND_TAG: stage.cmd,
                "mlflow.source.name": source or stage.file,
                "mlflow.source.type": "LOCAL",
            },
            parent=parent,
        )
        try:
            recording = recorder.start(self._project, plan)
        except LedgerError as err:
            self._note(f"{name} is not recorded: {err.message}")
            return None
        client.notify(self._project)
        return recording

    def _end(self, doing: _Doing, told: dvcrepro.Told) -> None:
        """A stage is up to date now, or could not be made so."""
        self._doing = None
        seconds = time.monotonic() - doing.began
        failed = told.kind == "failed"
        status = BROKEN if failed else RAN if doing.executed else PULLED if told.changed or doing.pulled else SKIPPED
        status = CUT if failed and self._cut else WOULD if self._asked.dry and status == RAN else status
        error = "" if not failed else "interrupted" if self._cut else plain(told.text)
        if failed and doing.executed and not self._cut:
            self._printed = self._tail.lines(20)
        self._close(doing, KILLED if status == CUT else FAILED if failed else FINISHED, error)
        if doing.stage is None:  # data that DVC tracks by themselves
            if status == PULLED and not doing.pulled:
                self._note(f"{doing.name}: its data had changed, and are tracked as they are now")
            elif failed:
                self._problem = error
            return
        if is_code(doing.stage) and not failed:
            self._code.append(doing.name)
            status = "code"
        else:
            self._rows[doing.name] = StageRow(doing.name, status, None, seconds if doing.over else 0.0, error)
        over = len(self._rows) + len(self._code)
        self._tell(Told("ended", doing.name, error, status, seconds, over, len(self._plan)))

    def _close(self, doing: _Doing, status: str, error: str) -> None:
        """End the run of a command."""
        recording, stage = doing.recording, doing.stage
        if recording is None or stage is None:
            return
        with contextlib.suppress(OSError):
            recording.outcome(status, error)
            try:
                self._record(recording, doing.name, stage, status)
            except (LedgerError, OSError, ValueError) as err:  # the run is worth more than this part of it
                recording.notice(f"not all of it is recorded: {' '.join(str(err).split())[:200]}")
            finally:
                recording.end()
        client.notify(self._project)

    def _record(self, recording: recorder.Recording, name: str, stage: Stage, status: str) -> None:
        if text := self._tail.text():
            recording.add_text("output.txt", recording.concealed(text))
        stagerun.record(recording, stage, status, name)
        held = stagerun.locked(self._project, stage) if status == FINISHED else None
        stagerun.command(recording, stage, status, held[0].deps if held else {})

    def _settle(self) -> None:
        """The process is gone: a stage that was in work was cut off with it."""
        if self._doing is not None:
            text = "interrupted" if self._cut else self._problem or "dvc repro was ended"
            self._cut = self._cut or not self._problem
            self._end(self._doing, dvcrepro.Told("failed", self._doing.name, text))

    def _judge(self) -> None:
        """DVC ended with an error: one of a stage that was executed is told by its row, any other is a refusal."""
        broken = [row for row in self._rows.values() if row.status == BROKEN]
        if self._parent is None and not any(row.seconds for row in broken):
            stage, said = (broken[0].stage, broken[0].error) if broken else ("", self._problem or excerpt(self._said))
            raise refusal(f"{stage}: {said}" if stage else said)
        self._refused = True
        if not broken:
            self._note(plain(self._problem))

    # ── the run that holds the others ────────────────────────────────────────────────────────────────────────────

    def _open_parent(self) -> str | None:
        if self._parent is None:
            plan = recorder.Plan(
                name="repro",
                experiment=self._asked.experiment,
                tags={
                    REPRO_TAG: " ".join(self._asked.targets) or "dvc.yaml",
                    "mlflow.source.name": "dvc.yaml",
                    "mlflow.source.type": "PROJECT",
                },
            )
            try:
                self._parent = recorder.start(self._project, plan)
            except LedgerError as err:
                self._note(f"nothing is recorded: {err.message}")
        return self._parent.id if self._parent else None

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        """Whatever happens, the run that holds the others is ended truthfully."""
        whole = False
        try:
            yield
            whole = True
        finally:
            parent = self._parent
            if parent is not None:
                with contextlib.suppress(OSError):
                    rows = [{"stage": r.stage, "status": r.status, "error": r.error} for r in self._rows.values()]
                    parent.add_text("repro.json", json.dumps({"stages": rows}, indent=1) + "\n", "nbledger")
                    parent.outcome(self._status() if whole else KILLED)
                    parent.end()
                client.notify(self._project)

    def _status(self) -> str:
        if self._cut:
            return KILLED
        bad = self._refused or any(row.status == BROKEN for row in self._rows.values())
        return FAILED if bad else FINISHED

    # ── what is shown, and the end ───────────────────────────────────────────────────────────────────────────────

    def _print(self, chunk: bytes) -> None:
        """What a stage prints; called in the reader's thread."""
        if chunk:
            self._tail.add(chunk)
            self._tell(Told("printed", text=chunk.decode("utf-8", "replace")))

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._tell(Told("note", text=text))

    def _flush(self) -> None:
        self._tell(Told("publishing", text="publishing"))
        try:
            done = client.call(self._project, "flush")
        except (LedgerError, OSError) as err:
            self._note(f"what was recorded waits to be published: {err}")
            return
        if done["left"]:
            self._note(outcomes.waiting(done))

    def _report(self, seconds: float) -> Report:
        parent = publisher.run_id_of(self._project, self._parent.id) if self._parent else None
        made = _children(self._project, parent) if parent else {}
        rows = []
        for name, stage in self._plan.items():
            if stage is None or name in self._code:
                continue
            row = self._rows.get(name) or StageRow(name, WAITING)
            if row.status in (RAN, BROKEN, CUT):
                row = _with_run(row, made.get(name) or made.get(stage.name))
            rows.append(row)
        rows = self._made_before(rows)
        return Report(
            self._status(),
            parent,
            tuple(rows),
            tuple(self._code),
            tuple(self._notes),
            tuple(self._printed),
            seconds,
            self._asked.dry,
        )

    def _made_before(self, rows: list[StageRow]) -> list[StageRow]:
        """The rows, those of what was not executed with the run that made what the stage has."""
        wanted: dict[str, str] = {}
        for row in rows if not self._asked.dry else ():
            stage = self._plan[row.stage] if row.status in (SKIPPED, PULLED) else None
            if stage is not None and (held := stagerun.locked(self._project, stage)) is not None:
                wanted[row.stage] = stagerun.digest(stage, held[0])
        try:
            found = _tagged(self._project, stagerun.DIGEST_TAG, list(wanted.values())) if wanted else []
        except LedgerError as err:
            self._note(f"which runs made what is skipped cannot be told: {err.message}")
            return rows
        made = {row.tags[stagerun.DIGEST_TAG]: row for row in found if row.status == FINISHED}
        known = {name: made.get(digest) for name, digest in wanted.items()}
        return [
            row if row.stage not in known else _with_run(row, maker) if (maker := known[row.stage]) else _unknown(row)
            for row in rows
        ]


def _children(project: Project, parent: str) -> dict[str, RunRow]:
    """{stage: its run} of the runs inside ``parent``; of a stage that was tried twice the newest."""
    try:
        found = _tagged(project, mlflow_tables.PARENT, [parent])
    except LedgerError:
        return {}
    return {row.tags[stages.TAG]: row for row in found if stages.TAG in row.tags}


def _tagged(project: Project, tag: str, values: Sequence[str]) -> list[RunRow]:
    """Runs whose ``tag`` has one of these values, the oldest first."""
    tables = mlflow_tables.opened(project.tracking_uri, None)
    if tables is not None:
        with contextlib.closing(tables):
            return [each.row for each in tables.read(tables.tagged(tag, values))]
    found: list[RunRow] = []
    for value in values:
        rows: list[RunRow] = client.call(project, "runs", {"text": f"tags.`{tag}` = '{value}'", "limit": 1000})
        if any(tag not in row.tags for row in rows):  # what waits in journals stands for what the store cannot say
            raise Unreachable("the tracking server does not answer")
        found += reversed(rows)
    return found


def _with_run(row: StageRow, run: RunRow | None) -> StageRow:
    return row if run is None else StageRow(row.stage, row.status, run.run_id, row.seconds, row.error, row.note)


def _unknown(row: StageRow) -> StageRow:
    return StageRow(row.stage, row.status, None, row.seconds, row.error, "made outside of nbledger")


def is_code(stage: Stage) -> bool:
    """Whether the stage only writes the code of a notebook's stages."""
    return stage.always and stage.cmd.split()[:2] == ["nbledger", "code"]


_SCRIPTS = (".py", ".sh", ".R", ".r", ".jl", ".pl", ".js", ".rb", ".lua", ".m", ".sql", ".ipynb")


def _script(stage: Stage) -> str | None:
    """The dependency that the command executes."""
    with contextlib.suppress(ValueError):
        words = {stagerun.placed(stage.wdir, word) for word in shlex.split(stage.cmd)}
        return next((path for path in stage.deps if path in words and path.endswith(_SCRIPTS)), None)
    return None


def run(project: Project, folder: Path, asked: Asked, tell: Tell) -> Report:
    """Bring stages up to date from ``folder``; where that has no ``dvc.yaml`` and no target is named, from the DVC root."""
    root = dvc.require_root(project)
    if not asked.targets and not folder.joinpath("dvc.yaml").exists():
        folder = root
        if not (root / "dvc.yaml").exists():
            raise UsageError("there is no dvc.yaml here", "%%stage in a notebook, or nbledger stage, makes one")
    return Runner(project, folder, asked, tell).run()
