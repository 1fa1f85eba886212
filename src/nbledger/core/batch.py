"""A batch of notebooks: what is planned, what its journal tells of it, and what a resume is to run. Pure: nothing is
read or executed here.

The journal's events: ``batch`` (its name and options), ``task`` (one a notebook and set of parameters), ``planned`` (the
plan is whole), ``runner`` (a process works on it), ``parent`` and ``parent-begun`` (the run that holds the others),
``begun`` and ``ended`` (one attempt at a task), ``closed`` (all have ended, the run that holds them too).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
BATCH_TAG = "nbledger.batch"
"""Tag of the run that holds those of a batch's notebooks: the batch's id."""
ATTEMPT_TAG = "nbledger.attempt"
"""Tag of the run of a notebook that had not finished before in the same batch: which attempt it is."""
Event = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One notebook with one set of parameters. ``notebook`` is its path from the project's root, ``digest`` that of its
    code when it was planned, ``name`` its run's, ``label`` tells it from the batch's others; ``output`` is the file for the
    executed notebook. The values of ``withheld`` parameters are not kept. ``stage``: only what that stage of ``dvc.yaml``
    needs is executed.
    """

    number: int
    notebook: str
    digest: str
    name: str
    label: str
    params: Mapping[str, Any] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()
    output: str | None = None
    stage: str = ""


@dataclass(frozen=True)
class Options:
    """How a batch is run. ``timeout``: the seconds a cell may take; ``retries``: further attempts at a notebook; ``fresh``:
    each notebook in an interpreter that was started for it; ``on``: the address of a cluster, empty for this machine;
    ``search``: what chooses parameters as the batch goes, as ``core.sweep`` describes it.
    """

    jobs: int = 1
    timeout: int | None = None
    retries: int = 0
    kernel: str = ""
    experiment: str | None = None
    html: bool = True
    fresh: bool = True
    on: str = ""
    search: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Attempt:
    """One execution: the journal of its run, the digest of the code it ran; ``status`` is None while no end is known.
    ``cut`` tells of one that was ended from outside: it counts for no attempt.
    """

    journal: str
    digest: str
    status: str | None = None
    error: str = ""
    seconds: float = 0.0
    cut: bool = False
    owner: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """A batch as its journal tells of it. ``planned``: the whole plan was written; ``parents``: (journal of the run that
    holds the others, whether its start is known to be written), one a runner.
    """

    id: str
    name: str
    created: int
    options: Options
    tasks: tuple[Task, ...]
    attempts: Mapping[int, tuple[Attempt, ...]]
    parents: tuple[tuple[str, bool], ...] = ()
    planned: bool = False
    closed: bool = False

    def last(self, number: int) -> Attempt | None:
        return next(reversed(self.attempts.get(number, ())), None)

    def status(self, number: int) -> str | None:
        """How the task ended; None if it did not, or never began."""
        last = self.last(number)
        return last.status if last else None

    def tried(self, number: int) -> int:
        """Attempts that came to an end of their own."""
        return sum(a.status is not None and not a.cut for a in self.attempts.get(number, ()))

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Tasks that never began or were cut short."""
        return tuple(t.number for t in self.tasks if self.status(t.number) not in (FINISHED, FAILED))


def folded(events: Iterable[Event]) -> Batch | None:
    """The batch that a journal's events tell of; None where even its first line is missing."""
    head: Event | None = None
    tasks: dict[int, Task] = {}
    attempts: dict[int, list[Attempt]] = {}
    parents: dict[str, bool] = {}
    planned = closed = False
    for event in events:
        kind = event["t"]
        if kind == "batch":
            head = event
        elif kind == "task":
            known = {k: event[k] for k in Task.__dataclass_fields__ if k in event}
            tasks[int(event["number"])] = Task(**{**known, "withheld": tuple(event.get("withheld", ()))})
        elif kind == "planned":
            planned = len(tasks) == int(event["tasks"])
        elif kind in ("runner", "closed"):
            closed = kind == "closed"
        elif kind in ("parent", "parent-begun"):
            parents[str(event["journal"])] = kind == "parent-begun"
        elif kind == "begun":
            attempts.setdefault(int(event["number"]), []).append(
                Attempt(str(event["journal"]), str(event["digest"]), owner=event.get("owner", {}))
            )
        elif kind == "ended":
            _end(attempts.get(int(event["number"]), []), event)
    if head is None:
        return None
    options = Options(**{k: v for k, v in head["options"].items() if k in Options.__dataclass_fields__})
    return Batch(
        str(head["id"]),
        str(head["name"]),
        int(head["at"]),
        options,
        tuple(tasks[number] for number in sorted(tasks)),
        {number: tuple(found) for number, found in attempts.items()},
        tuple(parents.items()),
        planned,
        closed,
    )


def _end(attempts: list[Attempt], event: Event) -> None:
    for index, known in enumerate(attempts):
        if known.journal == event["journal"]:
            attempts[index] = Attempt(
                known.journal,
                known.digest,
                str(event["status"]),
                str(event.get("error", "")),
                float(event.get("seconds", 0.0)),
                bool(event.get("cut", False)),
                known.owner,
            )


@dataclass(frozen=True)
class Decision:
    """What a resume does: ``todo`` runs (``edited`` of these have other code than was planned or ran), ``kept`` does not;
    of these, ``stale`` finished with code that has been edited since, and ``failed`` ended with an error of their own.
    """

    todo: tuple[int, ...]
    edited: tuple[int, ...]
    kept: tuple[int, ...]
    stale: tuple[int, ...]
    failed: tuple[int, ...]


def decide(batch: Batch, digests: Mapping[str, str | None], *, retries: int, failed: bool = False) -> Decision:
    """What is left of a batch. ``digests``: of the notebooks' code as it is now, None for one that cannot be read.

    What did not finish runs as it is now. What failed by itself runs again only if its code was edited, attempts are left,
    or ``failed`` asks for it. What finished is not run again.
    """
    todo, edited, kept, stale, gone_wrong = [], [], [], [], []
    for task in batch.tasks:
        last, now = batch.last(task.number), digests.get(task.notebook)
        ran = last.digest if last else task.digest
        changed = now is not None and now != ran
        if last is not None and last.status == FINISHED:
            kept.append(task.number)
            stale += [task.number] if changed else []
            continue
        ended = last is not None and last.status == FAILED and batch.tried(task.number) > retries
        if ended and not changed and not failed:
            kept.append(task.number)
            gone_wrong.append(task.number)
            continue
        todo.append(task.number)
        edited += [task.number] if changed else []
    return Decision(tuple(todo), tuple(edited), tuple(kept), tuple(stale), tuple(gone_wrong))


def plan(
    notebooks: Sequence[tuple[str, str]], tables: Sequence[Mapping[str, Any]], name: str = "", output: str | None = None
) -> list[Task]:
    """The tasks for ``notebooks`` (path from the root, digest), each with each of ``tables`` (at least one); ``name`` is the
    run's if there is but one, ``output`` the folder for executed notebooks.
    """
    wanted = [(path, digest, table) for path, digest in notebooks for table in tables]
    labels = _labels([path for path, _, _ in wanted])
    tasks = []
    for number, ((path, digest, table), label) in enumerate(zip(wanted, labels, strict=True)):
        called = name if name and len(wanted) == 1 else label
        target = f"{output}/{label}.ipynb" if output is not None else None
        tasks.append(Task(number, path, digest, called, label, dict(table), output=target))
    return tasks


def _labels(paths: Sequence[str]) -> list[str]:
    """What tells each of ``paths`` from the others: the file's name without ending, else the path, else with a number."""
    whole = {path: str(PurePosixPath(path).with_suffix("")) for path in paths}
    stems = Counter(PurePosixPath(path).stem for path in dict.fromkeys(paths))
    short = [PurePosixPath(p).stem if stems[PurePosixPath(p).stem] == 1 else whole[p].replace("../", "") for p in paths]
    often, seen, taken = Counter(short), Counter[str](), set(short)
    labels = []
    for label in short:
        if often[label] == 1:
            labels.append(label)
            continue
        seen[label] += 1
        made = f"{label}-{seen[label]}"
        while made in taken:
            made += "x"
        taken.add(made)
        labels.append(made)
    return labels
