"""Run a batch: notebooks in fresh kernels, so many at a time, each a run; begun anew or gone on with.

It works in the process that asks for it, which a keeper's idle end must not touch. What it does is in the batch's journal
before it is done (``batches``), so that another process can go on where this one was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbledger.core import batch as plans
from nbledger.core import cells, cluster, secrets
from nbledger.core.batch import BATCH_TAG, DONE, FAILED, FINISHED, KILLED, PRUNED, Batch, Options, Task
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import Project
from nbledger.core.sweep import Search, search_of
from nbledger.keeper import batches, client, clusters, guard, local, outcomes, recorder, searching, settling
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher
from nbledger.keeper.batches import Book
from nbledger.keeper.executor import Executor, Render, Tell, Told, Work
from nbledger.keeper.notebookrun import Ended
from nbledger.keeper.searching import Best, Searching

_PATIENCE = 20.0
"""Seconds that interrupted notebooks have to close their runs before their kernels are killed."""


@dataclass(frozen=True)
class Row:
    """One notebook at the batch's end. ``status`` is None if it was not run; ``kept``: it had ended before this time;
    ``metrics``: their last values.
    """

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
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A batch, or what there is of it. ``run_id``: the run that holds the notebooks', None if there is but one. Of a sweep:
    which parameters are ``swept``, what it is to ``maximize`` or minimize (``objective``), and the ``best`` notebook.
    """

    batch: str
    name: str
    status: str
    run_id: str | None
    notebooks: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    swept: tuple[str, ...] = ()
    objective: str = ""
    best: Best | None = None


def begin(
    project: Project, name: str, options: Options, tasks: list[Task], render: Render | None, tell: Tell
) -> Report:
    """Run a new batch to its end."""
    ready = clusters.prepare(project, options, tasks) if options.on else None
    kept = [_without_secrets(task) for task in tasks]
    with batches.created(project, name, options, kept) as book:
        found = batches.read(project, book.id)
        assert found is not None
        runner = Runner(project, book, found, tasks, options, render, tell, ready)
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
        settling.settle(project, book)
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
        todo = [tasks[number] for number in decision.todo]
        ready = clusters.prepare(project, wanted, todo) if wanted.on and todo else None
        runner = Runner(project, book, found, tasks, wanted, render(wanted), tell, ready)
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
        ready: clusters.Ready | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self.project, self.book, self.found, self.tasks = project, book, found, tasks
        self.options, self._render, self._tell = options, render, tell
        self.edited: frozenset[int] = frozenset()
        self.notes: list[str] = []
        self._said: set[tuple[str, str]] = set()
        self._todo: deque[int] = deque()
        self._executor: Executor = (
            clusters.Remote(project, book.id, options, ready, render, self.say, tell)
            if ready is not None
            else local.Local(project, options, render, self.say, tell)
        )
        self._stopping = False
        self._broken: Exception | None = None
        self._parent: recorder.Recording | None = None
        self.search: Search | None = search_of(options.search)
        self._searching: Searching | None = None

    def run(self, todo: tuple[int, ...]) -> Report:
        """Run the tasks of these numbers. An interrupt ends them as KILLED, and is told by the report's status."""
        began = time.monotonic()
        wanted = bool(todo) or not self.found.closed
        if wanted:
            self._todo.extend(todo)
            self._tell(Told("plan", None, done=len(self.tasks) - len(todo), total=len(self.tasks)))
            self.book.write("runner", owner=journals.owner())
            with guard.watching(), contextlib.closing(self._executor), self._sweeping(), self._holding():
                self._work(min(self.options.jobs or self._executor.width, len(todo)))
        seconds = time.monotonic() - began
        if wanted:
            self._flush()
        return self._report(set(todo), seconds)

    def say(self, task: Task | None, text: str) -> None:
        """A line about a notebook (or all), which the report repeats; what is true of each point of a sweep is said once."""
        with self._lock:
            if task is not None and (task.notebook, text) in self._said:
                return
            self._said |= {(task.notebook, text)} if task is not None else set()
            self.notes.append(f"{task.label}: {text}" if task else text)
        self._tell(Told("note", task, text))

    @contextlib.contextmanager
    def _sweeping(self) -> Iterator[None]:
        """What chooses parameters and stops hopeless notebooks, while the batch goes."""
        if self.search is None:
            yield
            return
        stop = getattr(self._executor, "prune", lambda journal, step: False)
        with contextlib.closing(
            Searching(self.project, self.book, self.found, self.search, self.options, self.say, stop)
        ) as self._searching:
            yield

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
                    self._tell_best(parent)
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
            tags={BATCH_TAG: self.book.id, **(self.search.tags() if self.search else {})},
            parent=os.environ.get(local.PARENT),
            journal_id=journal,
            continues=tuple(
                known for known, begun in self.found.parents if begun or settling.was_begun(self.project, known)
            ),
        )
        try:
            recording = recorder.start(self.project, plan)
        except LedgerError as err:
            self.say(None, f"the batch's own run is not recorded: {err.message}")
            return None
        self.book.write("parent-begun", journal=journal)
        return recording

    def _tell_best(self, parent: recorder.Recording) -> None:
        """The best notebook so far, on the run that holds all of them."""
        now = batches.read(self.project, self.book.id)
        found = searching.best(now) if now else None
        if found is not None:
            parent.log_tags({"nbledger.best": found.words, "nbledger.best.journal": found.journal})
            parent.append(f"best_{found.metric}", found.value, 0)

    def _conclude(self) -> str:
        """How the batch ended."""
        now = batches.read(self.project, self.book.id)
        statuses = [now.status(task.number) for task in self.tasks] if now else [None]
        if self._stopping or None in statuses:
            return KILLED
        return FINISHED if set(statuses) <= set(DONE) else FAILED

    def _summary(self) -> str:
        now = batches.read(self.project, self.book.id) or self.found
        rows = [
            {
                "notebook": task.notebook,
                "name": task.name,
                "params": _told(task),
                "status": now.status(task.number),
                "metrics": {key: settling.plain(value) for key, value in now.last_metrics(task.number).items()},
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
            if ended.status in DONE or ended.cut or self._stopping:
                return
            task = self.tasks[task.number]  # with the parameters that were chosen

    def _attempt(self, task: Task, attempt: int) -> Ended:
        path = self.project.root / task.notebook
        digest = cells.notebook_digest(path) or ""
        journal = journals.new_id()
        if self._searching is not None:
            task = self.tasks[task.number] = self._searching.begin(task, journal)
        self.book.write("begun", number=task.number, journal=journal, digest=digest, owner=journals.owner())
        self._tell(Told("begun", task, f"attempt {attempt}" if attempt > 1 else ""))
        try:
            ended = self._executor.execute(
                Work(task, attempt, path, journal, self._parent.id if self._parent else None)
            )
        except cluster.Lost:
            raise
        except LedgerError as err:  # it went, or is no notebook any more
            ended = Ended(FAILED, err.message, 0.0, recorded=False)
        for note in ended.notes:
            self.say(task, note)
        if ended.status == FINISHED and not ended.recorded:  # a notebook without its run is none that has finished
            why = next((note for note in ended.notes if note.startswith("not recorded")), "not recorded")
            ended = replace(ended, status=FAILED, error=why)
        if ended.pruned is not None and not ended.cut:
            ended = replace(ended, status=PRUNED, error=f"at step {ended.pruned}")
        metrics = dict(ended.metrics) if self._searching is None else self._searching.measured(journal, ended)
        self.book.write(
            "ended",
            number=task.number,
            journal=journal,
            status=ended.status,
            error=ended.error[:2000],
            seconds=round(ended.seconds, 3),
            cut=ended.cut and ended.status == KILLED,
            output=task.output if ended.recorded else None,
            metrics=settling.few(metrics, self.search),
        )
        if self._searching is not None:
            self._searching.end(task, journal, KILLED if ended.cut else ended.status, metrics)
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
            self.say(None, outcomes.waiting(done))

    def _report(self, todo: set[int], seconds: float) -> Report:
        now = batches.read(self.project, self.book.id) or self.found
        rows = tuple(self._row(now, task, kept=task.number not in todo) for task in self.tasks)
        statuses = {row.status for row in rows}
        status = KILLED if self._stopping else FINISHED if statuses <= set(DONE) else FAILED
        parents = [publisher.run_id_of(self.project, journal) for journal, _ in now.parents]
        parent = next((run for run in parents if run), None)
        best = searching.best(now)
        if best is not None:
            best = replace(best, run_id=publisher.run_id_of(self.project, best.journal))
        swept, objective = (self.search.swept, self.search.objective) if self.search else ((), "")
        notes = tuple(self.notes)
        return Report(self.book.id, self.found.name, status, parent, rows, notes, seconds, swept, objective, best)

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
            dict(now.last_metrics(task.number)),
        )


def _join(workers: list[threading.Thread], patience: float | None = None) -> None:
    until = None if patience is None else time.monotonic() + patience
    while any(worker.is_alive() for worker in workers) and (until is None or time.monotonic() < until):
        time.sleep(0.02)  # an interrupt within Thread.join makes CPython 3.11 take the thread for ended


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
