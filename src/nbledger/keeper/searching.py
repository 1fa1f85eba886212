"""A search in a batch: it gives tasks their parameters as they begin, follows what their notebooks log, stops those that are
hopeless, and is told how each has ended.

What it chooses is in the batch's journal before a kernel starts. The study's own file may lag behind that by what a killed
runner could not write: whoever goes on makes it agree.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbledger.core import batch as plans
from nbledger.core import search as door
from nbledger.core.batch import FINISHED, PRUNED, Batch, Options, Task
from nbledger.core.errors import LedgerError, nearest
from nbledger.core.project import Project
from nbledger.core.search import Past
from nbledger.core.sweep import Search, point_label, search_of, shown
from nbledger.keeper import frames, measured
from nbledger.keeper import journal as journals
from nbledger.keeper.batches import Book
from nbledger.keeper.executor import Say
from nbledger.keeper.notebookrun import Ended

FILE = "optuna.jsonl"
_LOOK = 0.25
"""Seconds between two looks at what notebooks have logged."""
_PATIENCE = 20.0
"""Seconds that a notebook which is stopped as hopeless has to close its run before its kernel is killed."""
_DENSE = 32
"""Points of a series that are all judged; of those after them as many each time their number doubles."""
Prune = Callable[[str, int], bool]


def judged(count: int) -> bool:
    """Whether point number ``count`` (from 0) of a series is shown to the pruner: the same ones in every run, and of a long
    series not all.
    """
    return count < _DENSE or count % (1 << (count.bit_length() - _DENSE.bit_length() + 1)) == 0


class Searching:
    """A batch's sweep at work; ``ask``, ``end`` and the like may be called from several threads."""

    def __init__(
        self, project: Project, book: Book, found: Batch, search: Search, options: Options, say: Say, prune: Prune
    ) -> None:
        self.project, self._book, self.search, self._say = project, book, search, say
        self._study: door.Study | None = None
        self._missed = threading.Lock()
        if search.chooses or search.prune:
            jobs = options.jobs or (2 if options.on else 1)
            study = replace(search, jobs=jobs, trials=len(found.tasks))
            self._study = door.Study(book.path / FILE, study, found.id)
            self._study.settle(_past(found, search))
        self._follower = Follower(project, self._study, search.metric, prune) if self._study and search.prune else None

    def begin(self, task: Task, journal: str) -> Task:
        """The task with its parameters, which are noted; a trial is open from now on."""
        if self._study is None:
            return task
        known = {name: task.params[name] for name in self.search.swept if name in task.params}
        chosen = self._study.ask(journal, known)
        if self.search.chooses and not known:
            label, output = plans.told_point(task, chosen)
            self._book.write("chosen", number=task.number, params=chosen, label=label, output=output)
            task = plans.chosen(task, chosen, label, output)
        if self._follower is not None:
            self._follower.follow(journal)
        return task

    def measured(self, journal: str, ended: Ended) -> dict[str, float]:
        """The metrics of a notebook that has ended; from the store where it logged what is asked for by MLflow itself."""
        found = dict(ended.metrics)
        if self.search.metric and ended.status == FINISHED and self.search.metric not in found:
            with contextlib.suppress(LedgerError, OSError):
                found = {**measured.stored(self.project, journal), **found}
        return found

    def end(self, task: Task, journal: str, status: str, metrics: dict[str, float]) -> None:
        """Tell the study how the attempt has ended."""
        metric = self.search.metric
        value = metrics.get(metric) if status == FINISHED else None
        if self._follower is not None:
            self._follower.forget(journal)
        if (
            status == FINISHED
            and metric
            and (value is None or math.isnan(value))
            and self._missed.acquire(blocking=False)
        ):
            self._say(task, _without(metric, metrics))
        if self._study is not None:
            self._study.end(Past(journal, task.params, value, status == PRUNED))

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()


def _without(metric: str, metrics: dict[str, float]) -> str:
    """What is said, once, of a notebook that did not log what the search is about."""
    if metric in metrics:
        return f"{metric} is not a number: this counts as a failed trial"
    there = ", ".join(sorted(metrics)[:5])
    hint = nearest(metric, metrics) or (f"it logs {there}" if there else "write log(…) or %%mlrun -m in it")
    return f"it logs no metric {metric!r}: {hint}"


def _past(found: Batch, search: Search) -> list[Past]:
    """The attempts that have ended, as the batch's journal tells of them."""
    return [
        Past(
            attempt.journal,
            task.params,
            attempt.metrics.get(search.metric) if attempt.status == FINISHED else None,
            attempt.status == PRUNED,
        )
        for task in found.tasks
        for attempt in found.attempts.get(task.number, ())
        if attempt.status is not None
    ]


# ── what came out ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Best:
    """The best notebook of a sweep."""

    name: str
    metric: str
    value: float
    params: dict[str, Any]
    run_id: str | None = None
    journal: str = ""
    notebook: str = ""

    @property
    def words(self) -> str:
        """``accuracy 0.97 with lr=0.1 depth=3``, and of which notebook if there are several."""
        point = point_label(self.params, tuple(self.params))
        where = f" in {self.notebook}" if self.notebook else ""
        return f"{self.metric} {shown(self.value)}{where}" + (f" with {point}" if point else "")


def best(now: Batch) -> Best | None:
    """The best of the notebooks that finished; None where there is none, or nothing says what is good."""
    search = search_of(now.options.search)
    found: Best | None = None
    several = len({task.notebook for task in now.tasks}) > 1
    for task in now.tasks if search is not None and search.metric else ():
        assert search is not None
        last = now.last(task.number)
        value = last.metrics.get(search.metric) if last is not None and last.status == FINISHED else None
        if last is None or value is None or math.isnan(value):
            continue
        if found is None or search.better(value, found.value):
            params = {name: task.params[name] for name in search.swept if name in task.params}
            notebook = task.notebook if several else ""
            found = Best(task.name, search.metric, value, params, journal=last.journal, notebook=notebook)
    return found


# ── following what notebooks log ─────────────────────────────────────────────────────────────────────────────


@dataclass
class _Followed:
    """One attempt: the journals of its run and of the tracked cells in it, as far as they were read."""

    files: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, bytes] = field(default_factory=dict)
    steps: set[int] = field(default_factory=set)
    count: int = 0
    pruned: float | None = None
    at: int = 0


class Follower:
    """Reads the series of ``metric`` as notebooks log it, and stops those that the study holds for hopeless.

    A journal that was found stays open, so that what is in it is read to its end though it was published in the meantime.
    """

    def __init__(self, project: Project, study: door.Study, metric: str, prune: Prune) -> None:
        self._folder, self._study, self._metric, self._prune = journals.folder(project), study, metric, prune
        self._active: dict[str, _Followed] = {}
        self._belongs: dict[str, str] = {}
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="follower", daemon=True)
        self._thread.start()

    def follow(self, journal: str) -> None:
        """From now on."""
        with self._lock:
            self._active[journal] = _Followed()
            self._belongs[journal] = journal

    def forget(self, journal: str) -> None:
        """It is over: what is left of its series is noted, as later ones are compared with it."""
        with self._lock:
            followed = self._active.get(journal)
            if followed is None:
                return
            with contextlib.suppress(LedgerError, OSError):
                self._look()
                self._read(journal, followed, over=True)
            del self._active[journal]
            self._belongs = {one: owner for one, owner in self._belongs.items() if owner != journal}
            for file in followed.files.values():
                file.close()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(5)
        for journal in tuple(self._active):
            self.forget(journal)

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK):
            with self._lock, contextlib.suppress(LedgerError, OSError):
                self._look()
                for journal, followed in self._active.items():
                    self._read(journal, followed)

    def _look(self) -> None:
        """Find the journals of tracked cells that have begun."""
        for entry in os.scandir(self._folder):
            name = entry.name
            if name in self._known or name.startswith("."):
                continue
            if name in self._belongs:
                self._known.add(name)
            elif (begun := journals.first(Path(entry.path))) is not None:
                self._known.add(name)
                if (owner := self._belongs.get(str(begun.get("parent")))) is not None:
                    self._belongs[name] = owner
        for name, owner in self._belongs.items():
            followed = self._active.get(owner)
            if followed is not None and name not in followed.files:
                with contextlib.suppress(OSError):
                    followed.files[name] = open(self._folder / name / "events.jsonl", "rb")  # noqa: SIM115 - it stays

    def _read(self, journal: str, followed: _Followed, *, over: bool = False) -> None:
        for name, file in followed.files.items():
            for step, value in self._points(followed, name, file):
                self._judge(journal, followed, step, value, over=over)
        if followed.pruned is not None and not over and time.monotonic() - followed.pruned > _PATIENCE:
            self._prune(journal, followed.at)

    def _points(self, followed: _Followed, name: str, file: Any) -> Iterator[tuple[int, float]]:
        whole, newline, rest = (followed.rest.get(name, b"") + file.read()).rpartition(b"\n")
        followed.rest[name] = rest
        for line in whole.split(b"\n") if newline else ():
            if b'"t":"metric"' not in line:
                continue
            event = frames.opened(line)
            if event is not None and event.get("k") == self._metric:
                yield int(event["s"]), float(event["v"])

    def _judge(self, journal: str, followed: _Followed, step: int, value: float, *, over: bool) -> None:
        if step < 0 or step in followed.steps:
            return
        followed.steps.add(step)
        followed.count += 1
        if not judged(followed.count - 1) or followed.pruned is not None:
            return
        hopeless = self._study.report(journal, step, value)
        if hopeless and not over and self._prune(journal, step):
            followed.pruned, followed.at = time.monotonic(), step
