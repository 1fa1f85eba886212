"""Notebooks executed on the workers of a Dask cluster: the executor of a batch with ``--on``, and what must hold for it.

The batch stays here: its journal, the run that holds the others, attempts. Workers get the snapshot through the Git remote
and the data through DVC's; they record to the shared tracking server (``remote``). That one run of a task is finished and
none is open is settled there (``claims``), as each task ends and once more at the end.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import nbledger
from nbledger.core import cluster, dvc, dvcremote, files, git, gitremote, mlflow, secrets, snapshot
from nbledger.core.batch import FAILED, FINISHED, KILLED, Batch, Options, Task
from nbledger.core.cluster import Cluster
from nbledger.core.elsewhere import Elsewhere
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.gitremote import Route
from nbledger.core.project import Project
from nbledger.core.wording import counted, some
from nbledger.keeper import claims, client, recorder, remote
from nbledger.keeper import publish as publisher
from nbledger.keeper.executor import Render, Say, Tell, Told, Work
from nbledger.keeper.notebookrun import INTERRUPTED, Ended

_ANSWER = 10.0
"""Seconds that the tracking server has to answer."""
_GROW = 120.0
"""Seconds that a cluster without workers has to start one."""


@dataclass(frozen=True)
class Ready:
    """A cluster that can do it: connected, and what every order to it says. ``store``: where runs go."""

    connection: Cluster
    threads: int
    url: str
    commit: str
    told: Elsewhere
    notes: tuple[str, ...] = field(default=())


# ── before anything starts ───────────────────────────────────────────────────────────────────────────────────


def prepare(project: Project, options: Options, tasks: Sequence[Task]) -> Ready:
    """Find out whether the cluster can do it, and send the snapshot. Each thing that is wanting is a line of its own."""
    cluster.parsed(options.on)
    _require_store(project)
    repo, name, url = _remote(project)
    hidden = sorted({key for task in tasks for key, value in task.params.items() if secrets.secret(key, value)})
    hidden += sorted({key for task in tasks for key in task.withheld} - set(hidden))
    if hidden:
        raise Refused(
            f"{hidden[0]} is a secret, and is not sent through a cluster",
            f"set it in the workers' environment, and read os.environ[{hidden[0].upper()!r}] in the notebook",
        )
    _require_data(project)
    connection = Cluster(options.on)
    try:
        return _ready(project, options, tasks, connection, repo, name, url)
    except BaseException:
        connection.close()
        raise


def _require_store(project: Project) -> None:
    uri = project.tracking_uri
    if project.embedded or uri.startswith(("sqlite:", "file:", "/")) or "://" not in uri:
        raise Refused(
            "workers record to a shared tracking server, and this project's store is a file of this machine",
            "mlflow server …, then nbledger init --tracking-uri http://HOST:PORT",
        )
    if not mlflow.reachable(uri, _ANSWER):
        raise LedgerError(f"the tracking server {mlflow.display_uri(uri)} does not answer", "start it, or check it")


def _remote(project: Project) -> tuple[git.GitRepo, str, str]:
    """The repository, and name and URL of the Git remote that workers clone."""
    if project.git is None:
        raise Refused("workers get the code through Git, and there is no repository here", "nbledger init")
    names = gitremote.remotes(project.git)
    name = "origin" if "origin" in names else names[0] if len(names) == 1 else ""
    if not name:
        raise Refused(
            "workers get the code through a Git remote, and there is "
            + (f"none called origin: {', '.join(names)}" if names else "none"),
            "git remote add origin URL",
        )
    return project.git, name, git.scrub_url(git.config(project.git, f"remote.{name}.url"))


def _require_data(project: Project) -> None:
    """Workers bring the data that pointers name: those must be what is here, and be there."""
    if project.dvc_root is None:
        return
    outs = [out for out in dvc.outputs(project)[0] if out.cached]
    if not outs:
        return
    if dvcremote.default_remote(project) is None:
        raise Refused(
            "workers get the data through DVC's default remote, and there is none", "nbledger init --remote URL"
        )
    changed = dvc.data_status(project, outs).changed
    if changed:
        raise Refused(
            f"changed since it was tracked, so that workers would get other data: {some(changed)}",
            f"nbledger track {changed[0]} --push",
        )
    if lacking := dvcremote.not_in_remote(project):
        raise Refused(f"the data remote lacks {some(lacking)}", "nbledger push")


def _ready(
    project: Project,
    options: Options,
    tasks: Sequence[Task],
    connection: Cluster,
    repo: git.GitRepo,
    name: str,
    url: str,
) -> Ready:
    workers = connection.awaken(_GROW)
    if not workers:
        raise Refused(f"the cluster at {connection.address} has no workers", f"dask worker {connection.address}")
    _require_same(connection.ask(remote.facts))
    taken = snapshot.capture(project, key := uuid.uuid4().hex)
    try:
        commit = _known(repo, _require_held(repo, taken, tasks))
        _send(repo, name, f"{git.SNAPSHOT_REFS}{commit}", commit)
    finally:
        git.update_refs(repo, f"delete {git.RUN_REFS}{key}\n")
    store = secrets.without_login(project.tracking_uri)
    answers = connection.ask(remote.reaches, url, f"{git.SNAPSHOT_REFS}{commit}", store)
    for address, problem in sorted(answers.items()):
        if problem:
            raise Refused(f"worker {address} cannot reach {problem}", "what workers need: docs/scale.md")
    facts = {k: v for k, v in asdict(taken).items() if k != "ref"} | {"commit": commit}
    who = recorder.user(), recorder.author(project)
    told = Elsewhere(store, options.experiment or project.experiment, who[0], facts, who[1])
    threads = sum(worker.threads for worker in workers)
    many = counted(len(workers), "worker")
    notes = [f"{many}, {threads} at a time; snapshot {commit[:12]} is at {name}"]
    notes += [f"the snapshot does not hold {path}" for path in taken.left_out[:5]]
    return Ready(connection, threads, url, commit, told, tuple(notes))


def _require_same(answers: Mapping[str, Any]) -> None:
    """Every worker with this nbledger and this Python."""
    mine, other = remote.facts(), []
    for address, found in sorted(answers.items()):
        if isinstance(found, BaseException):
            there = "no nbledger" if isinstance(found, ImportError) else " ".join(str(found).split())[:100]
        elif found != mine:
            there = f"nbledger {found['version']} with Python {found['python']}"
        else:
            continue
        other.append(f"{address} has {there}")
    if other:
        raise Refused(
            f"workers differ from this machine (nbledger {mine['version']} with Python {mine['python']}): {some(other)}",
            "install the same there",
        )


def _require_held(repo: git.GitRepo, taken: snapshot.Snapshot, tasks: Sequence[Task]) -> str:
    """The snapshot's commit, which holds every notebook."""
    if taken.commit is None:
        raise LedgerError("there is nothing in this repository to send to workers", "commit the notebook first")
    wanted = sorted({task.notebook for task in tasks})
    inside = [path for path in wanted if not path.startswith(("/", "../"))]
    held = git.tree_blobs(repo, taken.commit, inside)
    if absent := [path for path in wanted if path not in held]:
        raise Refused(f"the snapshot does not hold {absent[0]}", "is it ignored by Git, or outside of the repository?")
    return taken.commit


def _known(repo: git.GitRepo, commit: str) -> str:
    """The same snapshot as it was sent before, if it was: workers have that already."""
    same = "%(tree) %(parent)"
    mine = git.text(repo, "show", "--no-patch", "--format=%T %P", commit)
    lines = git.text(repo, "for-each-ref", f"--format=%(objectname) {same}", git.SNAPSHOT_REFS).splitlines()
    return next((known for known, _, rest in (line.partition(" ") for line in lines) if rest == mine), commit)


def _send(repo: git.GitRepo, name: str, ref: str, commit: str) -> None:
    """Push the snapshot under its own name, with the person's hooks (Git LFS sends its files so); nothing if it is there."""
    if gitremote.has(repo, name, ref).get(ref) == commit:
        return
    git.update_ref(repo, ref, commit)
    results = gitremote.push(repo, Route("", name, ref, "", new_upstream=False), [f"{commit}:{ref}"])
    flag, why = results.get(ref, ("!", "no answer"))
    if flag == "!":
        raise Refused(f"{name} rejected the snapshot: {why}", "ask who looks after that repository")


# ── the executor ─────────────────────────────────────────────────────────────────────────────────────────────


class Remote:
    """The executor of a batch with ``--on``. ``width``: how many notebooks the cluster executes at a time."""

    def __init__(
        self, project: Project, batch: str, options: Options, ready: Ready, render: Render | None, say: Say, tell: Tell
    ) -> None:
        self._project, self._batch, self._options, self._ready = project, batch, options, ready
        self._render, self._say, self._tell = render, say, tell
        self.width = ready.threads
        self._topic = f"nbledger-{batch}-{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        self._tasks: dict[int, Task] = {}
        self._executions: dict[int, list[str]] = {}
        self._refs: set[str] = set()
        self._counted: dict[int, tuple[str, str]] = {}
        self._spent: list[Mapping[str, float]] = []
        self._parents: dict[str, tuple[str, str] | None] = {}
        self._stopping = self._lost = False
        self._api: tuple[Any, str] | None = None
        for note in ready.notes:
            say(None, note)
        ready.connection.listen(self._topic, self._heard)

    def execute(self, work: Work) -> Ended:
        """Have a worker execute the notebook, and settle which run of it counts."""
        task = work.task
        if self._stopping:
            return Ended(KILLED, INTERRUPTED, 0.0, cut=True, recorded=False)
        with self._lock:
            self._tasks[task.number] = task
            self._executions[task.number] = []
        order = remote.Order(
            nbledger.__version__,
            self._batch,
            self._topic,
            self._ready.url,
            self._ready.commit,
            asdict(self._ready.told),
            asdict(task),
            {**asdict(self._options), "search": None, "experiment": self._ready.told.experiment},
            work.attempt,
            self._parent(work.parent) if work.parent else None,
        )
        key = f"nbledger-{self._batch}-{task.number}-{work.journal}"
        try:
            answer = self._ready.connection.execute(key, remote.perform, asdict(order), self._render)
        except cluster.WorkersDied as err:
            return self._ended(work, {"status": KILLED, "error": err.message, "seconds": 0.0, "recorded": False}, None)
        except cluster.Lost:
            self._lost = True
            raise
        if task.output and answer["files"]:
            self._write(task.output, answer["files"])
        for note in answer["notes"] if work.attempt == 1 else ():
            self._say(task, note)
        if "publish" in answer["spent"]:
            self._spent.append(answer["spent"])
        return self._ended(work, answer["ended"], answer["run_id"], superseded=answer["superseded"])

    def _ended(
        self, work: Work, told: Mapping[str, Any], run_id: str | None, *, superseded: str | None = None
    ) -> Ended:
        """How it ended, all executions considered."""
        known = {each.name: told[each.name] for each in fields(Ended) if each.name in told}
        ended = Ended(**{**known, "notes": tuple(known.get("notes", ()))})
        if superseded or len(self._executions[work.task.number]) > 1 or run_id is None:
            best = self._settled(work.task.number)
            if best is not None:
                run_id = str(best.info.run_id)
                if ended.status != FINISHED:
                    ended = Ended(FINISHED, "", ended.seconds)
        if run_id is not None:
            publisher.remember(self._project, work.journal, run_id)
            with self._lock:
                self._refs.add(run_id)
                self._counted[work.task.number] = work.journal, run_id
        return ended

    def _settled(self, number: int) -> Any:
        """The run of a task that counts; others are closed."""
        api, experiment = self._store()
        runs = claims.of_task(api, self._project.tracking_uri, experiment, f"{self._batch}/{number}")
        return claims.settle(api, self._project.tracking_uri, experiment, runs)

    def _store(self) -> tuple[Any, str]:
        with self._lock:
            if self._api is None:
                self._api = _opened(self._project, self._options)
            return self._api

    def _parent(self, journal: str) -> tuple[str, str] | None:
        """The run that holds the others, which has to be on the server before they name it."""
        with self._lock:
            if self._parents.get(journal) is None:
                if publisher.run_id_of(self._project, journal) is None:
                    with contextlib.suppress(LedgerError, OSError):
                        client.call(self._project, "flush", start=True)
                run = publisher.run_id_of(self._project, journal)
                self._parents[journal] = (journal, run) if run else None
            return self._parents[journal]

    def _write(self, output: str, texts: Mapping[str, str]) -> None:
        target = self._project.root / output
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            files.write_atomic(target.with_suffix(suffix), text.encode("utf-8", "surrogatepass"))

    def _heard(self, word: Mapping[str, Any]) -> None:
        """A worker says that it begins a task, or how far it is."""
        number, execution, worker = int(word["number"]), str(word["execution"]), str(word["at"])
        with self._lock:
            task, known = self._tasks.get(number), self._executions.get(number, [])
            again = word["kind"] == "begun" and bool(known) and execution not in known
            if execution not in known:
                known.append(execution)
        if task is None:
            return
        if again:
            self._say(task, f"its worker was lost; {worker} runs it again")
        if word["kind"] == "cell":
            self._tell(Told("cell", task, str(word["text"]), int(word["done"]), int(word["total"])))

    def stop(self) -> None:
        """Interrupt the kernels, wherever they are."""
        self._stopping = True
        self._everywhere(remote.stop)

    def kill(self) -> None:
        """Kill the kernels."""
        self._stopping = True
        self._everywhere(remote.kill)

    def _everywhere(self, what: Any) -> None:
        with contextlib.suppress(LedgerError):
            if not self._lost:
                self._ready.connection.ask(what, self._topic)

    def close(self) -> None:
        """Settle every task's runs, and hang up."""
        self._ready.connection.close()
        try:
            api, experiment = self._store()
            uri = self._project.tracking_uri
            for number, runs in claims.of_batch(api, uri, experiment, self._batch).items():
                # what a lost scheduler leaves open may still be alive: a resume settles that
                if not self._lost or claims.winner(runs) is not None:
                    best = claims.settle(api, uri, experiment, runs)
                    journal, known = self._counted.get(number, ("", ""))
                    if best is not None and journal and str(best.info.run_id) != known:
                        publisher.remember(self._project, journal, str(best.info.run_id))
                self._refs |= {str(run.info.run_id) for run in runs}
        except LedgerError as err:
            self._say(None, f"whether a run was left open is not known: {err.message}")
        with contextlib.suppress(LedgerError):
            self._name_runs()
        if self._spent:
            parts = {"restore": "to bring the files", "run": "in the kernel", "publish": "to record"}
            each = [f"{statistics.median(s[part] for s in self._spent):.1f} s {what}" for part, what in parts.items()]
            self._say(None, f"a notebook took {', '.join(each)} (medians)")

    def _name_runs(self) -> None:
        """Each run's own name for its snapshot, as a run of this machine has it: ``gc`` and ``push`` look for that."""
        repo, commit = self._project.git, self._ready.commit
        assert repo is not None
        known = git.run_refs(repo)
        lines = [f"create {git.RUN_REFS}{run} {commit}\n" for run in sorted(self._refs) if run not in known]
        if lines:
            git.update_refs(repo, "".join(lines))


# ── a batch that is gone on with ─────────────────────────────────────────────────────────────────────────────


def outcome(project: Project, batch: Batch, number: int, journal: str) -> tuple[str | None, float]:
    """How a task ended whose batch was not there to see it, and after how long; what is open of it does not count. None if
    there is no end.
    """
    api, experiment = _opened(project, batch.options)
    runs = claims.of_task(api, project.tracking_uri, experiment, f"{batch.id}/{number}")
    best = claims.settle(api, project.tracking_uri, experiment, runs)
    last = best or (runs[-1] if runs and runs[-1].info.status == FAILED else None)
    if last is None:
        return None, 0.0
    publisher.remember(project, journal, str(last.info.run_id))
    return str(last.info.status), ((last.info.end_time or 0) - (last.info.start_time or 0)) / 1000


def _opened(project: Project, options: Options) -> tuple[Any, str]:
    """A client of the tracking server, and the experiment's id."""
    api = mlflow.client(project)
    name = options.experiment or project.experiment
    return api, mlflow.experiment_id(api, project, name, project.tracking_uri)
