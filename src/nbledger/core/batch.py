"""A batch of notebooks: what is planned, what its journal tells of it, and what a resume is to run. Pure: nothing is
read or executed here.

The journal's events: ``batch`` (its name and options), ``task`` (one a notebook and set of parameters), ``planned`` (the
plan is whole), ``runner`` (a process works on it), ``parent`` and ``parent-begun`` (the run that holds the others),
``chosen`` (the parameters that a search gave a task), ``begun`` and ``ended`` (one attempt at a task), ``closed`` (all have
ended, the run that holds them too).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from nbledger.core import sweep

FINISHED, FAILED, KILLED, PRUNED = "FINISHED", "FAILED", "KILLED", "PRUNED"
"""How a notebook of a batch ends. ``PRUNED`` is one that was stopped as hopeless: that is as good as finished, though its
run is KILLED.
"""
DONE = (FINISHED, PRUNED)
PRUNED_TAG = "nbledger.pruned"
"""Tag of the run of a notebook that was stopped as hopeless: the step at which it was."""
BATCH_TAG = "nbledger.batch"
"""Tag of the run that holds those of a batch's notebooks: the batch's id."""
ATTEMPT_TAG = "nbledger.attempt"
"""Tag of the run of a notebook that had not finished before in the same batch: which attempt it is."""
TASK_TAG = "nbledger.task"
"""Tag of the run of a notebook that was executed on a cluster: the batch's id and the task's number."""
SUPERSEDED_TAG = "nbledger.superseded"
"""Tag of such a run that does not count, because its worker was lost: the run that does, or why there is none."""
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
    """How a batch is run. ``jobs``: how many notebooks at a time, 0 for as many as the place takes (one here). ``timeout``: the seconds a cell may take; ``retries``: further attempts at a notebook; ``fresh``:
    each notebook in an interpreter that was started for it; ``on``: the address of a cluster, empty for this machine;
    ``search``: what is swept, and what chooses parameters as the batch goes (``core.sweep.Search``).
    """

    jobs: int = 0
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
    ``cut`` tells of one that was ended from outside: it counts for no attempt. ``metrics``: their last values.
    """

    journal: str
    digest: str
    status: str | None = None
    error: str = ""
    seconds: float = 0.0
    cut: bool = False
    owner: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


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

    def last_metrics(self, number: int) -> Mapping[str, float]:
        """What the task's last attempt has measured."""
        last = self.last(number)
        return last.metrics if last else {}

    def tried(self, number: int) -> int:
        """Attempts that came to an end of their own."""
        return sum(a.status is not None and not a.cut for a in self.attempts.get(number, ()))

    @property
    def unfinished(self) -> tuple[int, ...]:
        """Tasks that never began or were cut short."""
        return tuple(t.number for t in self.tasks if self.status(t.number) not in (*DONE, FAILED))


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
        elif kind == "chosen" and (task := tasks.get(int(event["number"]))) is not None:
            tasks[task.number] = chosen(task, event["params"], event.get("label", task.label), event.get("output"))
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
                {key: float(value) for key, value in event.get("metrics", {}).items()},
            )


def chosen(task: Task, params: Mapping[str, Any], label: str, output: str | None = None) -> Task:
    """The task with the parameters that a search gave it."""
    return replace(task, params={**task.params, **params}, label=label, name=label, output=output or task.output)


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
        if last is not None and last.status in DONE:
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
    notebooks: Sequence[tuple[str, str]],
    tables: Sequence[Mapping[str, Any]],
    name: str = "",
    output: str | None = None,
    swept: Sequence[str] = (),
    stage: str = "",
) -> list[Task]:
    """The tasks for ``notebooks`` (path from the root, digest), each with each of ``tables`` (at least one); ``name`` is the
    run's if there is but one, ``output`` the folder for executed notebooks. Labels tell the values of ``swept`` parameters,
    and those of one notebook's ``stage`` bear its name.
    """
    wanted = [(path, digest, table) for path, digest in notebooks for table in tables]
    own = f"{stage}.ipynb" if stage and len(tables) > 1 and len({path for path, _ in notebooks}) == 1 else ""
    labels = _labels(
        [own or path for path, _, _ in wanted], [sweep.point_label(table, swept) for _, _, table in wanted]
    )
    tasks = []
    for number, ((path, digest, table), (label, file)) in enumerate(zip(wanted, labels, strict=True)):
        called = name if name and len(wanted) == 1 else label
        target = f"{output}/{file}.ipynb" if output is not None else None
        tasks.append(Task(number, path, digest, called, label, dict(table), output=target, stage=stage))
    return tasks


def told_point(task: Task, params: Mapping[str, Any]) -> tuple[str, str | None]:
    """The label and the file of a task whose parameters were chosen just now: they tell them, too."""
    point = sweep.point_label(params, tuple(params))
    output = task.output
    if output is not None:
        output = f"{output.removesuffix('.ipynb')}_{sweep.file_part(point)}.ipynb"
    return f"{task.label} {point}", output


def _labels(paths: Sequence[str], points: Sequence[str]) -> list[tuple[str, str]]:
    """What tells each of ``paths`` from the others: the file's name without ending, else the path; with its point of a sweep;
    else with a number. The same as the name of a file.
    """
    whole = {path: str(PurePosixPath(path).with_suffix("")) for path in paths}
    stems = Counter(PurePosixPath(path).stem for path in dict.fromkeys(paths))
    short = [PurePosixPath(p).stem if stems[PurePosixPath(p).stem] == 1 else whole[p].replace("../", "") for p in paths]
    labels = _told_apart([f"{label} {point}" if point else label for label, point in zip(short, points, strict=True)])
    named = [f"{one}_{sweep.file_part(point)}" if point else "" for one, point in zip(short, points, strict=True)]
    files = _told_apart([name or label for name, label in zip(named, labels, strict=True)])
    return list(zip(labels, files, strict=True))


def _told_apart(names: Sequence[str]) -> list[str]:
    """``names`` with numbers where there are several of one, whatever their case: they are names of files, too."""
    often, seen = Counter(name.casefold() for name in names), Counter[str]()
    taken = set(often)
    told = []
    for name in names:
        key = name.casefold()
        if often[key] == 1:
            told.append(name)
            continue
        seen[key] += 1
        made = f"{name}-{seen[key]}"
        while made.casefold() in taken:
            made += "x"
        taken.add(made.casefold())
        told.append(made)
    return told
