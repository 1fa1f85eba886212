"""Work of the keeper that takes a while: tracking in a thread, pushing, pulling and reproducing in a process each.

One job at a time writes to the work tree or to a remote; a second is refused, and named is what it would wait for.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbledger.core import inside, trust
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.moments import now as this_moment
from nbledger.core.project import Project
from nbledger.core.records import plain
from nbledger.core.wording import some
from nbledger.keeper import changes, children, outcomes, previews, sharing, table
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.schemas import JOBS

_ONE_AT_A_TIME = ("track", "push", "pull")
_KEPT = 20
_REPRODUCTIONS = 4
_PACE = 0.1  # seconds between two tellings of progress
_PARTS = {
    "track": ("state", "pipeline"),
    "push": ("state",),
    "pull": ("state", "runs", "pipeline"),
    "reproduce": ("state", "runs"),
    "deploy": ("models",),
    "drift": ("state", "runs", "models"),
}


class Stopped(BaseException):
    """The job was told to stop. No ``Exception``: nothing on the way may take it for a failure."""


@dataclass
class Job:
    """A job as ``jobs`` tells of it (``IJob``), and what runs it."""

    id: str
    kind: str
    title: str
    project: Project
    started: str
    state: str = "running"
    done: int = 0
    total: int = 0
    text: str = ""
    ended: str | None = None
    result: Any = None
    problem: dict[str, Any] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    told: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        names = ("id", "kind", "title", "state", "done", "total", "text", "started", "ended", "result", "problem")
        return {name: getattr(self, name) for name in names}

    def progress(self, done: int, total: int, text: str) -> None:
        """How far it is; ends the work (by ``Stopped``) where it was told to."""
        if self.stopping.is_set():
            raise Stopped
        self.done, self.total, self.text = done, total, text
        if (now := time.monotonic()) - self.told >= _PACE:
            self.told = now
            changes.tell(self.project, "jobs")


_lock = threading.Lock()
_jobs: dict[str, Job] = {}


def jobs(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """The project's jobs, the newest first."""
    with _lock:
        return {"jobs": [job.as_dict() for job in reversed(_jobs.values()) if job.project.key == project.key]}


def job_start(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """Begin the work ``kind`` with its words; the job as it is then. Without a keeper, whose life is longer than a call's,
    the work is done before this returns.
    """
    kind, words = str(args["kind"]), {key: value for key, value in args.items() if key != "kind"}
    title, work = _prepared(project, kind, words)
    now = this_moment()
    job = Job(uuid.uuid4().hex[:12], kind, title, project, now)
    with _lock:
        _refuse_second(job)
        _jobs[job.id] = job
        old = [one.id for one in _jobs.values() if one.state != "running"]
        for name in old[: max(len(_jobs) - _KEPT, 0)]:
            del _jobs[name]
        job.thread = threading.Thread(target=_run, args=(job, work), name=f"job-{kind}", daemon=True)
        job.thread.start()
    changes.tell(project, "jobs")
    if not changes.serving():
        job.thread.join()
    return job.as_dict()


def job_stop(project: Project, args: Args, progress: Progress | None) -> None:
    """Ask the job ``id`` to end; it tells itself when it has."""
    with _lock:
        job = _jobs.get(str(args["id"]))
    if job is None or job.project.key != project.key:
        raise UsageError("there is no such job", "it ended long ago, or the keeper was started anew")
    if job.state == "running":
        job.stopping.set()
        job.text = "stopping"
        changes.tell(project, "jobs")


def busy() -> bool:
    """Whether any job runs: the keeper is needed then."""
    with _lock:
        return any(job.state == "running" for job in _jobs.values())


def close(patience: float = 25.0) -> None:
    """Stop everything and wait for it: the keeper ends."""
    with _lock:
        running = [job for job in _jobs.values() if job.state == "running"]
        for job in running:
            job.stopping.set()
    deadline = time.monotonic() + patience
    for job in running:
        if job.thread is not None:
            job.thread.join(max(deadline - time.monotonic(), 0.1))


def _refuse_second(job: Job) -> None:
    """Under the lock."""
    running = [one for one in _jobs.values() if one.state == "running" and one.project.key == job.project.key]
    if job.kind in _ONE_AT_A_TIME:
        others = [one for one in running if one.kind in _ONE_AT_A_TIME]
        if others:
            raise Refused(f"“{others[0].title}” is still going on", "wait until it has ended, or stop it")
    elif len([one for one in running if one.kind == job.kind]) >= _REPRODUCTIONS:
        raise Refused(f"{_REPRODUCTIONS} runs are being reproduced already", "wait until one has ended, or stop it")


def _run(job: Job, work: Callable[[Job], Any]) -> None:
    try:
        job.result = plain(work(job))
        state = "done"
    except Stopped:
        state = "stopped"
    except LedgerError as err:
        state, job.problem = "failed", _problem(err)
    except Exception as err:
        words = " ".join(f"{type(err).__name__}: {err}".split())
        state, job.problem = "failed", _problem(LedgerError(f"this should not have happened: {words[:300]}"))
    job.ended = this_moment()
    if state == "done":
        job.done = job.total = max(job.total, 1)
    job.text = ""
    if state == "done":
        with contextlib.suppress(KeyError, TypeError, ValueError):  # words only: the result says it all
            job.text = outcomes.said(job.kind, job.result)
    if job.kind in ("track", "push"):
        from nbledger.keeper import pushed

        pushed.forget(job.project)
    with _lock:
        job.state = state
    changes.tell(job.project, "jobs", *_PARTS[job.kind])


def _problem(err: LedgerError) -> dict[str, Any]:
    return {"error": err.message, "hint": err.hint, "code": err.exit_code}


def _prepared(project: Project, kind: str, words: dict[str, Any]) -> tuple[str, Callable[[Job], Any]]:
    """(what to call it, what to do); wrong words raise."""
    if kind == "track":
        paths = [str(path) for path in words.get("paths") or ()]
        if not paths:
            raise UsageError("no path to track", "name a file or a folder")
        return f"Track {some(paths, 3)}", lambda job: _track(job, paths, words)
    if kind in ("push", "pull"):
        return kind.capitalize(), lambda job: children.call(job, kind, sharing.asked(kind, words))
    if kind == "reproduce":
        run = str(words.get("run") or "@last")
        if words.get("into"):
            words = {**words, "into": inside.folder(project, str(words["into"]))}
        argv = children.reproduce_words(project, run, words)
        if not words.get("restore_only"):
            if words.get("trust"):
                trust.trust(project)
            trust.require(project, "reproducing a run")
        verb = "Restore" if words.get("restore_only") else "Reproduce"
        return f"{verb} {_called(project, run)}", lambda job: children.verb(job, argv)
    if kind in ("deploy", "drift"):
        return _of_model(project, kind, words)
    raise UsageError(f"there is no work called {kind[:40]!r}", f"there are: {', '.join(JOBS)}")


def _of_model(project: Project, kind: str, words: dict[str, Any]) -> tuple[str, Callable[[Job], Any]]:
    """Serving a model, or holding live data against those it was trained on: both execute what came with the model."""
    for needed in ("model", "file") if kind == "drift" else ("model", "version"):
        if not words.get(needed):
            raise UsageError(f"{kind} needs to know {needed!r}")
    model, version = str(words["model"]), str(words.get("version") or "")
    named = f"{model}/{version}" if version else model
    if words.get("trust"):
        trust.trust(project)
    trust.require(project, "serving a model" if kind == "deploy" else "comparing data with a model's")
    if kind == "deploy":
        given: dict[str, Any] = {"name": named, "to": "local"} | ({"port": words["port"]} if words.get("port") else {})
        return f"Deploy {named[:100]}", lambda job: children.call(job, "deploy", given)
    file = inside.relative(project, str(words["file"]))
    given = {"model": named, "data": str(project.root / file)}
    if words.get("reference"):
        given["reference"] = str(project.root / inside.relative(project, str(words["reference"])))
    given |= {"target": str(words["target"])} if words.get("target") else {}
    return f"Look for drift in {file[:100]}", lambda job: children.call(job, "drift", given)


def _called(project: Project, run: str) -> str:
    """The run's name where the table of runs knows its id."""
    known = table.known(project)
    text = known.text_of(run) if known is not None else None
    return str(json.loads(text)["name"] if text else run)[:200]


def _track(job: Job, paths: list[str], words: dict[str, Any]) -> Any:
    message = str(words["message"]) if words.get("message") else None
    previews.there(job.project, {"paths": paths})
    if words.get("push"):  # sending can only be stopped from outside
        return children.call(job, "track", {"paths": paths, "message": message, "push": True})
    from nbledger.core.track import track

    return track(job.project, paths, message, progress=job.progress)
