"""Run a batch: notebooks in fresh kernels, so many at a time, each a run; begun anew or gone on with.

It works in the process that asks for it, which a keeper's idle end must not touch. What it does is in the batch's journal
before it is done (``batches``), so that another process can go on where this one was killed.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from nbledger.core import batch as plans
from nbledger.core import cells, secrets
from nbledger.core.batch import BATCH_TAG, FAILED, FINISHED, KILLED, Batch, Options, Task
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import Project
from nbledger.keeper import batches, client, guard, local, recorder
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher
from nbledger.keeper.batches import Book
from nbledger.keeper.executor import Executor, Render, Tell, Told, Work
from nbledger.keeper.notebookrun import Ended

_PATIENCE = 20.0
"""Seconds that interrupted notebooks have to close their runs before their kernels are killed."""


@dataclass(frozen=True)
class Row:
    """One notebook at the batch's end. ``status`` is None if it was not run; ``kept``: it had ended before this time."""

    notebook: str
    name: str
    status: str | None
    error: str = ""
    seconds: float = 0.0
    attempts: int = 0
    run_id: str | None = None
    output: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    kept: bool = False
    edited: bool = False


@dataclass(frozen=True)
class Report:
    """A batch, or what there is of it. ``run_id``: the run that holds the notebooks', None if there is but one."""

    batch: str
    name: str
    status: str
    run_id: str | None
    notebooks: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def begin(
    project: Project, name: str, options: Options, tasks: list[Task], render: Render | None, tell: Tell
) -> Report:
    """Run a new batch to its end."""
    kept = [_without_secrets(task) for task in tasks]
    with batches.created(project, name, options, kept) as book:
        found = batches.read(project, book.id)
        assert found is not None
        runner = Runner(project, book, found, tasks, options, render, tell)
        return runner.run(tuple(task.number for task in tasks))


def resume(
    project: Project,
    batch: str,
    options: Callable[[Options], Options],
    given: Mapping[str, Any],
    render: Callable[[Options], Render | None],
    tell: Tell,
    *,
    failed: bool = False,
) -> Report:
    """Go on with a batch: what did not finish is run, as it is now. ``given`` are the values that were not kept."""
    with batches.held(project, batch) as book:
        _settle(project, book)
        found = batches.read(project, batch)
        if found is None:
            raise LedgerError(f"the journal of batch {batch} cannot be read", f"see {book.path}")
        wanted = options(found.options)
        digests = {task.notebook: cells.notebook_digest(project.root / task.notebook) for task in found.tasks}
        other = sorted(given.keys() - {key for task in found.tasks for key in task.withheld})
        if other:
            raise UsageError(
                f"a batch goes on with its own parameters: -p {other[0]}", "begin a new one, or leave it out"
            )
        decision = plans.decide(found, digests, retries=wanted.retries, failed=failed)
        tasks = [_with_secrets(task, given) for task in found.tasks]
        missing = sorted({key for n in decision.todo for key in tasks[n].withheld if key not in tasks[n].params})
        if missing:
            raise LedgerError(
                f"secrets are not kept, so the batch needs them again: {', '.join(missing)}",
                f"nbledger run --resume {batch} -p {missing[0]}=…",
            )
        runner = Runner(project, book, found, tasks, wanted, render(wanted), tell)
        for number in decision.edited:
            runner.say(tasks[number], "edited since it was planned or ran; it runs as it is now")
        for number in decision.stale:
            runner.say(tasks[number], "edited since it finished; not run again")
        runner.edited = frozenset((*decision.edited, *decision.stale))
        return runner.run(decision.todo)


def left(project: Project, batch: Batch, *, failed: bool = False) -> bool:
    """Whether a resume of the batch has something to do."""
    if not batch.closed:
        return True
    asked = [task.notebook for task in batch.tasks if batch.status(task.number) == FAILED]
    digests = {path: cells.notebook_digest(project.root / path) for path in asked}
    return bool(plans.decide(batch, digests, retries=batch.options.retries, failed=failed).todo)


class Runner:
    """A batch in work. Several threads take tasks, one at a time each, so that no more kernels run than jobs."""

    def __init__(
        self,
        project: Project,
        book: Book,
        found: Batch,
        tasks: list[Task],
        options: Options,
        render: Render | None,
        tell: Tell,
    ) -> None:
        self.project, self.book, self.found, self.tasks = project, book, found, tasks
        self.options, self._render, self._tell = options, render, tell
        self.edited: frozenset[int] = frozenset()
        self.notes: list[str] = []
        self._todo: deque[int] = deque()
        self._executor: Executor = local.Local(project, options, render, self.say, tell)
        self._lock = threading.Lock()
        self._stopping = False
        self._broken: Exception | None = None
        self._parent: recorder.Recording | None = None

    def run(self, todo: tuple[int, ...]) -> Report:
        """Run the tasks of these numbers. An interrupt ends them as KILLED, and is told by the report's status."""
        began = time.monotonic()
        wanted = bool(todo) or not self.found.closed
        if wanted:
            self._todo.extend(todo)
            self._tell(Told("plan", None, done=len(self.tasks) - len(todo), total=len(self.tasks)))
            self.book.write("runner", owner=journals.owner())
            with guard.watching(), contextlib.closing(self._executor), self._holding():
                self._work(min(self.options.jobs, len(todo)))
        seconds = time.monotonic() - began
        if wanted:
            self._flush()
        return self._report(set(todo), seconds)

    def say(self, task: Task | None, text: str) -> None:
        """A line about a notebook (or all), which the report repeats."""
        with self._lock:
            self.notes.append(f"{task.label}: {text}" if task else text)
        self._tell(Told("note", task, text))

    # ── the run that holds the others ────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        """The run that is the parent of the notebooks' runs, if there are several; ended as the batch ends."""
        if len(self.tasks) == 1:
            yield
            if self._conclude() != KILLED:
                self.book.write("closed")
            return
        self._parent = self._open_parent()
        status = KILLED
        try:
            yield
            status = self._conclude()
        finally:
            parent = self._parent
            if parent is not None:
                with contextlib.suppress(OSError):
                    parent.add_text("batch.json", self._summary(), "nbledger")
                    parent.outcome(status)
                    parent.end()
                client.notify(self.project)
        if status != KILLED:
            self.book.write("closed")

    def _open_parent(self) -> recorder.Recording | None:
        journal = journals.new_id()
        self.book.write("parent", journal=journal)
        plan = recorder.Plan(
            name=self.found.name,
            experiment=self.options.experiment,
            tags={BATCH_TAG: self.book.id},
            journal_id=journal,
            continues=tuple(known for known, begun in self.found.parents if begun or _was_begun(self.project, known)),
        )
        try:
            recording = recorder.start(self.project, plan)
        except LedgerError as err:
            self.say(None, f"the batch's own run is not recorded: {err.message}")
            return None
        self.book.write("parent-begun", journal=journal)
        return recording

    def _conclude(self) -> str:
        """How the batch ended."""
        now = batches.read(self.project, self.book.id)
        statuses = [now.status(task.number) for task in self.tasks] if now else [None]
        if self._stopping or None in statuses:
            return KILLED
        return FINISHED if set(statuses) == {FINISHED} else FAILED

    def _summary(self) -> str:
        now = batches.read(self.project, self.book.id) or self.found
        rows = [
            {
                "notebook": task.notebook,
                "name": task.name,
                "params": _told(task),
                "status": now.status(task.number),
                "journals": [attempt.journal for attempt in now.attempts.get(task.number, ())],
            }
            for task in self.tasks
        ]
        return json.dumps({"batch": self.book.id, "notebooks": rows}, indent=1, default=str) + "\n"

    # ── the work ─────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self, jobs: int) -> None:
        workers = [threading.Thread(target=self._take, name=f"batch-{n}", daemon=True) for n in range(jobs)]
        for worker in workers:
            worker.start()
        try:
            _join(workers)
        except KeyboardInterrupt:
            self._stop(workers)
        if self._broken is not None:
            raise self._broken

    def _stop(self, workers: list[threading.Thread]) -> None:
        """Interrupt what runs and let it close its runs; a second interrupt, or patience at its end, kills the kernels."""
        self._stopping = True
        self._tell(Told("note", None, "interrupted: closing what runs"))
        try:
            self._executor.stop()
            _join(workers, _PATIENCE)
        except KeyboardInterrupt:
            pass
        self._executor.kill()
        _join(workers, _PATIENCE)

    def _take(self) -> None:
        """One worker: take tasks until there are none."""
        while not self._stopping:
            try:
                number = self._todo.popleft()
            except IndexError:
                return
            try:
                self._task(self.tasks[number])
            except Exception as err:  # its own journal cannot be written: nothing must be begun that is not noted
                self._broken, self._stopping = err, True
                self._executor.stop()

    def _task(self, task: Task) -> None:
        """A task, as often as it may be tried."""
        tried = self.found.tried(task.number)
        tries = self.options.retries + 1 - tried
        tries = tries if tries > 0 else self.options.retries + 1
        for _ in range(tries):
            tried += 1
            ended = self._attempt(task, tried)
            if ended.status == FINISHED or ended.cut or self._stopping:
                return

    def _attempt(self, task: Task, attempt: int) -> Ended:
        path = self.project.root / task.notebook
        digest = cells.notebook_digest(path) or ""
        journal = journals.new_id()
        self.book.write("begun", number=task.number, journal=journal, digest=digest, owner=journals.owner())
        self._tell(Told("begun", task, f"attempt {attempt}" if attempt > 1 else ""))
        try:
            ended = self._executor.execute(
                Work(task, attempt, path, journal, self._parent.id if self._parent else None)
            )
        except LedgerError as err:  # it went, or is no notebook any more
            ended = Ended(FAILED, err.message, 0.0, recorded=False)
        for note in ended.notes:
            self.say(task, note)
        self.book.write(
            "ended",
            number=task.number,
            journal=journal,
            status=ended.status,
            error=ended.error[:2000],
            seconds=round(ended.seconds, 3),
            cut=ended.cut and ended.status == KILLED,
            output=task.output if ended.recorded else None,
        )
        client.notify(self.project)
        self._tell(Told("ended", task, ended.error, status=ended.status, seconds=ended.seconds))
        return ended

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────

    def _flush(self) -> None:
        self._tell(Told("publishing", None, "publishing"))
        try:
            done = client.call(self.project, "flush")
        except (LedgerError, OSError) as err:
            self.say(None, f"what was recorded waits to be published: {err}")
            return
        if done["left"]:
            runs = "1 run waits" if done["left"] == 1 else f"{done['left']} runs wait"
            self.say(None, f"{runs} to be published: {'; '.join(done['reasons'])}")

    def _report(self, todo: set[int], seconds: float) -> Report:
        now = batches.read(self.project, self.book.id) or self.found
        rows = tuple(self._row(now, task, kept=task.number not in todo) for task in self.tasks)
        statuses = {row.status for row in rows}
        status = KILLED if self._stopping else FINISHED if statuses == {FINISHED} else FAILED
        parents = [publisher.run_id_of(self.project, journal) for journal, _ in now.parents]
        parent = next((run for run in parents if run), None)
        return Report(self.book.id, self.found.name, status, parent, rows, tuple(self.notes), seconds)

    def _row(self, now: Batch, task: Task, *, kept: bool) -> Row:
        last = now.last(task.number)
        return Row(
            task.notebook,
            task.name,
            last.status if last else None,
            last.error if last else "",
            last.seconds if last else 0.0,
            now.tried(task.number),
            publisher.run_id_of(self.project, last.journal) if last else None,
            task.output if last and last.status and task.output else None,
            _told(task),
            kept,
            task.number in self.edited,
        )


def _join(workers: list[threading.Thread], patience: float | None = None) -> None:
    until = None if patience is None else time.monotonic() + patience
    while any(worker.is_alive() for worker in workers) and (until is None or time.monotonic() < until):
        for worker in workers:
            worker.join(0.05)


# ── what a killed runner left ────────────────────────────────────────────────────────────────────────────────


def _settle(project: Project, book: Book) -> None:
    """Find out how the attempts ended whose end the killed runner could not note, and note it."""
    found = batches.read(project, book.id)
    for number, attempts in (found.attempts if found else {}).items():
        for attempt in attempts:
            if attempt.status is not None:
                continue
            guard.end_left(attempt.owner)
            status, seconds = _outcome(project, attempt.journal)
            book.write(
                "ended",
                number=number,
                journal=attempt.journal,
                status=status or KILLED,
                error={FINISHED: "", FAILED: "a cell failed; its run says which"}.get(
                    status or "", "the runner was killed"
                ),
                seconds=seconds,
                cut=status not in (FINISHED, FAILED),
            )
    for journal, _ in found.parents if found else ():
        path = journals.folder(project) / journal
        if path.is_dir() and publisher.orphaned(path):
            publisher.close_orphan(path)


def _outcome(project: Project, journal: str) -> tuple[str | None, float]:
    """How a run ended whose runner is gone, and after how long: by its journal, or where that is published, by the store. None
    if it never began.
    """
    path = journals.folder(project) / journal
    if path.is_dir() and publisher.orphaned(path):
        publisher.close_orphan(path)
    events = journals.read(path).events
    end = next((e for e in events if e["t"] == "end"), None)
    if end is not None:
        return str(end["status"]), (int(end.get("ended") or end["at"]) - int(events[0]["at"])) / 1000
    if path.is_dir():
        return None, 0.0
    rows = client.call(project, "runs", {"text": f"tags.`nbledger.journal` = '{journal}'", "limit": 1}, start=True)
    if not rows:
        return None, 0.0
    began, ended = (datetime.fromisoformat(at) if at else None for at in (rows[0].start, rows[0].end))
    return rows[0].status, (ended - began).total_seconds() if began and ended else 0.0


def _was_begun(project: Project, journal: str) -> bool:
    """Whether the run of a journal was begun, as far as this machine knows."""
    path = journals.folder(project) / journal
    return journals.first(path) is not None or publisher.run_id_of(project, journal) is not None


def _told(task: Task) -> dict[str, Any]:
    """The task's parameters as they may be shown."""
    return {
        **_without_secrets(task).params,
        **dict.fromkeys((*task.withheld, *_without_secrets(task).withheld), secrets.HIDDEN),
    }


def _without_secrets(task: Task) -> Task:
    """The task as its journal may hold it."""
    withheld = tuple(key for key, value in task.params.items() if secrets.secret(key, value))
    kept = {key: value for key, value in task.params.items() if key not in withheld}
    return replace(task, params=kept, withheld=withheld)


def _with_secrets(task: Task, given: Mapping[str, Any]) -> Task:
    """The task with the values that were withheld, as far as they are given again."""
    return replace(task, params={**task.params, **{key: given[key] for key in task.withheld if key in given}})
