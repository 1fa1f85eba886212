"""What a worker of a cluster does: bring the snapshot and its data, execute one notebook among them, and publish its run.

Nothing but words comes from the machine that asked: the files come from the Git remote and the data remote, with what this
worker's own environment and configuration let it in with. A folder of the worker's own keeps one clone of each repository
and DVC's cache, for all its tasks:

``NBLEDGER_WORKER_DIR`` (else Dask's folder of this worker, which goes with it) ``/<digest of the URL>/``
  ``code/``            a clone that holds snapshots alone; its ``.nbledger/`` has the open journals and the tasks' work trees
  ``code.lock``        held while something is brought into it
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbledger
from nbledger.core import cluster, elsewhere, files, git, mlflow, restore, secrets, trust, worktrees
from nbledger.core import restored as registry
from nbledger.core.batch import FAILED, KILLED, TASK_TAG, Options, Task
from nbledger.core.elsewhere import Elsewhere
from nbledger.core.errors import Busy, LedgerError, Refused, Unreachable
from nbledger.core.project import Project, find
from nbledger.core.record import Record
from nbledger.core.records import RunRow
from nbledger.keeper import claims, guard, local
from nbledger.keeper import journal as journals
from nbledger.keeper import publish as publisher
from nbledger.keeper.executor import Render, Told, Work
from nbledger.keeper.notebookrun import INTERRUPTED, Ended

FOLDER = "NBLEDGER_WORKER_DIR"
_LIVE = 2.0
"""Seconds between two publications of a run that goes on."""
_PATIENCE = 900.0
"""Seconds for which the tracking server may be away at a run's end."""
_OTHERS = 3600.0
"""Seconds that another task of this worker may take to bring the snapshot's data."""
_WORD = 0.5
"""Seconds between two words about cells."""


@dataclass(frozen=True)
class Order:
    """One attempt at a task, in plain words. ``url``: where the repository is, without credentials; ``commit``: the snapshot;
    ``parent``: (journal, run) of the run that holds this one's.
    """

    version: str
    batch: str
    topic: str
    url: str
    commit: str
    told: Mapping[str, Any]
    task: Mapping[str, Any]
    options: Mapping[str, Any]
    attempt: int = 1
    parent: tuple[str, str] | None = None


@dataclass(frozen=True)
class Answer:
    """What became of it. ``superseded``: the run that took this one's place; ``spent``: the seconds of each part."""

    ended: Mapping[str, Any]
    run_id: str | None = None
    superseded: str | None = None
    worker: str = ""
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)


# ── what a batch asks of all workers ─────────────────────────────────────────────────────────────────────────


def facts() -> dict[str, str]:
    """What this worker runs."""
    return {"version": nbledger.__version__, "python": ".".join(platform.python_version_tuple()[:2])}


async def reaches(url: str, ref: str, uri: str) -> str:
    """What this worker cannot reach of a batch's remotes, in a line; nothing if it can."""
    import asyncio

    return await asyncio.to_thread(_reaches, url, ref, uri)


def _reaches(url: str, ref: str, uri: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = git.call(Path(folder), "ls-remote", "--", url, ref, check=False, timeout=30, network=True)
        except LedgerError as err:
            return f"{git.scrub_url(url)}: {err.message}"
    if done.returncode or ref.encode() not in done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"{git.scrub_url(url)}: {git.scrub_url(said[-1]) if said else 'the snapshot is not there'}"
    own = _store(uri)
    return "" if mlflow.reachable(own, 10) else f"the tracking server {mlflow.display_uri(own)} does not answer"


def stop(topic: str) -> None:
    """Interrupt the notebooks of a batch, and begin none."""
    _stopped.add(topic)
    for running in _running(topic):
        running.stop()


def kill(topic: str) -> None:
    """Kill the kernels of a batch's notebooks."""
    _stopped.add(topic)
    for running in _running(topic):
        running.kill()


_stopped: set[str] = set()
_active: dict[int, tuple[str, local.Local]] = {}
_lock = threading.Lock()


def _running(topic: str) -> list[local.Local]:
    with _lock:
        return [running for known, running in _active.values() if known == topic]


# ── one notebook ─────────────────────────────────────────────────────────────────────────────────────────────


def perform(order: Mapping[str, Any], render: Render | None) -> dict[str, Any]:
    """Execute a notebook as its run; an ``Answer`` as a table. Never raises: Dask would log the words of the order."""
    here = cluster.here()
    try:
        if order.get("version") != nbledger.__version__:
            raise Refused(
                f"worker {here.name} has nbledger {nbledger.__version__}, not {order.get('version')}",
                "install the same",
            )
        return asdict(_Execution(Order(**order), here).answer(render))
    except LedgerError as err:
        status = KILLED if isinstance(err, Unreachable | Busy) else FAILED  # what is away may come back
        ended = Ended(status, f"worker {here.name}: {err}", 0.0, recorded=False)
    except Exception as err:
        said = secrets.scrub(" ".join(f"{type(err).__name__}: {err}".split())[:500])
        ended = Ended(FAILED, f"worker {here.name}: {said}", 0.0, recorded=False)
    return asdict(Answer(asdict(ended), worker=here.name))


class _Execution:
    """An order under way on this worker."""

    def __init__(self, order: Order, here: cluster.Here) -> None:
        self.order, self.here = order, here
        self.task = Task(**order.task)
        self.journal = journals.new_id()
        self.notes: list[str] = []
        self.spent: dict[str, float] = {}
        self._said = 0.0
        told = dict(order.told)
        self.told = Elsewhere(**{**told, "uri": _store(str(told["uri"]))})

    def answer(self, render: Render | None) -> Answer:
        self._say("begun")
        if self.order.topic in _stopped:
            return self._answer(Ended(KILLED, INTERRUPTED, 0.0, cut=True, recorded=False))
        _watch()
        with elsewhere.standing(self.told):
            with self._took("restore"):
                clone, restored = self._restored()
            try:
                lacking = [str(missing) for missing in restored.missing if missing.needed]
                if lacking:
                    raise Refused(f"the snapshot is not whole here: {lacking[0]}", "nbledger push, where the data are")
                return self._executed(clone, find(restored.into), render)
            finally:
                with contextlib.suppress(LedgerError, OSError):
                    restore.remove(clone, restored)

    def _answer(self, ended: Ended, **more: Any) -> Answer:
        return Answer(asdict(ended), worker=self.here.name, notes=tuple(self.notes), spent=self.spent, **more)

    # ── code and data ────────────────────────────────────────────────────────────────────────────────────────

    def _restored(self) -> tuple[Project, restore.Restored]:
        """The snapshot, checked out with its data in a folder for this task alone."""
        commit = git.full_id(self.order.commit)
        base = _folder(self.here) / hashlib.sha256(self.order.url.encode()).hexdigest()[:16]
        place, ready = base / "code", base / f"ready-{commit}"
        row = RunRow(self.journal, "task", "RUNNING", "", None, None, self.task.notebook, commit, commit, dirty=None)
        record = Record(row, lacking=("nbledger/session.json",))  # so that all data are brought
        if not ready.exists():
            with files.lock(base / "code.lock", _OTHERS, "this worker's clone"):
                if not ready.exists():
                    clone = _fetched(place, self.order.url, commit)
                    restored = restore.restore(clone, record, everything=True)
                    ready.touch()
                    return clone, restored
        clone = find(place)
        return clone, restore.restore(clone, record, everything=True)

    # ── the run ──────────────────────────────────────────────────────────────────────────────────────────────

    def _executed(self, clone: Project, there: Project, render: Render | None) -> Answer:
        if self.order.parent is not None and publisher.run_id_of(there, self.order.parent[0]) is None:
            publisher.remember(there, *self.order.parent)
        options = Options(**{**self.order.options, "fresh": True, "on": ""})
        with tempfile.TemporaryDirectory(prefix="nbledger-") as kept:
            task = Task(**{**self.order.task, "output": f"{kept}/executed.ipynb" if self.task.output else None})
            running = local.Local(there, options, render, lambda _, text: self.notes.append(text), self._tell)
            work = Work(
                task,
                self.order.attempt,
                there.root / task.notebook,
                self.journal,
                self.order.parent[0] if self.order.parent else None,
                {TASK_TAG: f"{self.order.batch}/{task.number}"},
            )
            with self._took("run"), _listed(self.order.topic, running), _published_live(there):
                ended = running.execute(work)
            with self._took("publish"):
                run_id, by = self._published(clone, there) if ended.recorded else (None, None)
            if by is not None:
                ended = Ended(KILLED, f"run {by[:12]} took its place", ended.seconds, cut=True)
            written = {path.suffix: path.read_text("utf-8", "surrogatepass") for path in Path(kept).iterdir()}
        return self._answer(ended, run_id=run_id, superseded=by, files=written)

    def _published(self, clone: Project, there: Project) -> tuple[str | None, str | None]:
        """Publish the run and those of its cells to the end: its id, and what took its place."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                for path in _journals_of(there):
                    if publisher.orphaned(path):
                        publisher.close_orphan(path)
                    publisher.publish(there, path)
                run_id = publisher.run_id_of(there, self.journal)
                if run_id is None:
                    raise LedgerError("the run was not published", "look at the worker's log")
                run = mlflow.get_run(mlflow.client(there), there.tracking_uri, run_id)
                break
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(5)
        if clone.git is not None:  # the snapshot's own ref holds the commit; one for each run would only slow Git down
            with contextlib.suppress(LedgerError):
                git.update_refs(clone.git, f"delete {git.RUN_REFS}{run_id}\n")
        return run_id, claims.superseded(run) if run is not None else None

    # ── what is told meanwhile ───────────────────────────────────────────────────────────────────────────────

    def _tell(self, told: Told) -> None:
        if told.kind == "cell" and time.monotonic() - self._said > _WORD:
            self._said = time.monotonic()
            self._say("cell", text=told.text, done=told.done, total=told.total)

    def _say(self, kind: str, **words: Any) -> None:
        who = {"number": self.task.number, "execution": self.journal, "at": self.here.name}
        self.here.say(self.order.topic, {"kind": kind, **who, **words})

    @contextlib.contextmanager
    def _took(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[part] = round(time.monotonic() - began, 3)


def _store(uri: str) -> str:
    """Where runs go: this worker may know another address of the store, or a login for it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or uri


def _folder(here: cluster.Here) -> Path:
    own = os.environ.get(FOLDER)
    return Path(own).absolute() if own else here.folder / "nbledger"


def _fetched(place: Path, url: str, commit: str) -> Project:
    """The worker's clone, with the snapshot's commit and nothing that came before it, and its files for DVC to look at."""
    if not (place / ".git").is_dir():
        draft = place.with_name(f"new-{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        git.init(draft)
        git.call(draft, "remote", "add", "origin", url)
        os.rename(draft, place)
    else:
        _mended(find(place))
    ref = git.SNAPSHOT_REFS + commit
    if (fresh := find(place).git) is None or not git.has_commit(fresh, commit):
        words = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        git.call(place, *words, "--", "origin", f"{ref}:{ref}", network=True)
    trust.trust(find(place))  # who can send work to this worker executes whatever they like here
    worktrees.reset(place, commit)
    return find(place)


def _mended(clone: Project) -> None:
    """Take away what tasks left that were killed with their worker, and publish how their runs ended."""
    for known in registry.registered(clone):
        if known.abandoned:
            restore.remove(clone, known.name)
    publisher.flush(clone)


# ── what the tasks of this process share ─────────────────────────────────────────────────────────────────────


def _watch() -> None:
    """Have kernels ended that this process leaves behind, should it be killed."""
    global _guard
    with _lock:
        if _guard is None:
            _guard = guard.watching()
            _guard.__enter__()  # until the process ends, however it does


_guard: Any = None


@contextlib.contextmanager
def _listed(topic: str, running: local.Local) -> Iterator[None]:
    with _lock:
        _active[id(running)] = topic, running
    try:
        if topic in _stopped:
            running.stop()
        yield
    finally:
        with _lock:
            _active.pop(id(running), None)
        running.close()


@contextlib.contextmanager
def _published_live(there: Project) -> Iterator[None]:
    """Publish the runs of a work tree as they go on, so that others see them, and how far they are."""
    done = threading.Event()
    seen: dict[Path, int] = {}

    def publish() -> None:
        while not done.wait(_LIVE):
            for path in _journals_of(there):
                with contextlib.suppress(Exception):  # what fails now is done at the end
                    size = (path / "events.jsonl").stat().st_size
                    if seen.get(path) != size:  # the server is not asked for nothing
                        publisher.publish(there, path)
                        seen[path] = size

    thread = threading.Thread(target=publish, name="nbledger-publisher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _journals_of(there: Project) -> list[Path]:
    """Journals of the runs that began in this work tree, the oldest first."""
    found = []
    for path in journals.pending(there):
        begun = journals.first(path)
        if begun is not None and begun.get("root") == str(there.root):
            found.append(path)
    return found
