"""The writer's side of a run: opens a journal, takes the snapshot, collects what the run names, and ends it.

Nothing here may raise into the user's cell: callers go through ``guarded``.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import dvcexp, elsewhere, git, modeluse, reads, secrets, snapshot, trust, values, whoami, wrote
from nbledger.core.curve import Curve
from nbledger.core.errors import LedgerError
from nbledger.core.lineage import FileRecord, Lineage, fix
from nbledger.core.project import Project
from nbledger.core.wording import some
from nbledger.keeper.frames import seal
from nbledger.keeper.journal import SCHEMA, Journal, new_id, now_ms, owner, unwritable

_AGAIN = 1.0
_MOST_DATASETS = 200
_SHORT = 5  # characters: a shorter secret could be any word
_LOOSE = ("untracked", "external", "changed-since-read", "dvc-changed")


@dataclass(frozen=True)
class Plan:
    """What a run is to be called and to hold, as the user asked for it. ``continues``: journals of the run that was closed and
    goes on now; its code is that of its first start.
    """

    name: str = ""
    experiment: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    notebook: str | None = None
    source: str = ""
    parent: str | None = None
    journal_id: str | None = None
    owner: dict[str, Any] | None = None
    continues: tuple[str, ...] = ()


class Recording:
    """An open run. ``notices`` are the lines its summary shows the user."""

    def __init__(self, project: Project, plan: Plan, journal: Journal) -> None:
        self.project, self.plan, self.journal = project, plan, journal
        self.notices: list[str] = []
        self.params: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, Curve] = {}
        self.snapshot: snapshot.Snapshot | None = None
        self.started = time.time()
        self.run_id: str | None = None
        self.status = "RUNNING"
        self.inputs: list[FileRecord] = []
        self.begun = self.closed = self._ending = False
        self._outcome: dict[str, Any] = {"status": "KILLED", "error": "", "ended": 0}
        self._steps: dict[str, int] = {}
        self._concealed: set[str] = set()
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return self.journal.id

    @property
    def waiting(self) -> int:
        """How many bytes of it wait in memory for room on the disk."""
        return self.journal.waiting

    @property
    def name(self) -> str:
        return self.plan.name or f"run-{self.journal.id[:8]}"

    def log(self, step: int | None, metrics: Mapping[str, Any]) -> None:
        """Append metric values; without ``step`` each key counts its own from 0. Microseconds a call."""
        for key, value in metrics.items():
            if type(value) is float and step is not None and value - value == 0.0:
                self.append(key, value, step)
                continue
            for name, number, position in values.flatten(key, value):
                at = step if step is not None and name == key and not position else position
                if step is None and name == key and not position:
                    with self._lock:
                        at = self._steps.get(key, -1) + 1
                self.append(name, number, at)

    def append(self, key: str, value: float, step: int) -> None:
        """Append one point of a metric."""
        self.metrics[key] = value
        self._steps[key] = step
        curve = self.curves.get(key)
        if curve is None:
            curve = self.curves.setdefault(key, Curve())
        curve.add(step, value)
        shown = repr(value) if value - value == 0.0 else f'"{value}"'
        body = f'{{"t":"metric","at":{now_ms()},"k":{json.dumps(key)},"v":{shown},"s":{int(step)}'
        self.journal.write_sealed(seal(body.encode()))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; a name recorded before keeps its first value, as MLflow's parameters do."""
        fresh = {str(k): values.param_text(v) for k, v in params.items() if str(k) not in self.params}
        self.params |= fresh
        if fresh:
            shown, hidden = secrets.hide(fresh)
            self.journal.write("params", params=shown)
            self.params |= shown
            self._hidden("parameter", hidden, fresh)

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        if tags:
            given = {str(k): str(v) for k, v in tags.items()}
            shown, hidden = secrets.hide(given)
            self.journal.write("tags", tags=shown)
            self._hidden("tag", hidden, given)

    def _hidden(self, kind: str, names: Sequence[str], values: Mapping[str, str]) -> None:
        if names:
            self._concealed |= {values[name] for name in names if len(values[name]) > _SHORT}
            self.notice(secrets.notice(kind, names))

    def concealed(self, text: str) -> str:
        """``text`` (cells, as JSON) without the values that were not recorded as parameters or tags: they stand in the cell
        that a batch injects.
        """
        for value in self._concealed:
            for form in {value, json.dumps(value)[1:-1], json.dumps(repr(value)[1:-1])[1:-1]}:
                text = text.replace(form, secrets.HIDDEN)
        return text

    def notice(self, text: str, *, shown: bool = True) -> None:
        """A line the user should read; kept with the run as well. Not ``shown`` where it was said already."""
        text = secrets.scrub(text)
        if text not in self.notices:
            if shown:
                self.notices.append(text)
            self.journal.write("notice", text=text)

    def add_file(self, source: Path, place: str = "") -> None:
        """Copy a file or folder into the run's artifacts under ``place``."""
        with self.new_blob(source.name) as target:
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
        self._artifact(target, place)

    def add_text(self, name: str, text: str | bytes, place: str = "") -> None:
        """Keep text (or bytes) as an artifact called ``name``."""
        with self.new_blob(name) as target:
            target.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
        self._artifact(target, place)

    @contextlib.contextmanager
    def new_blob(self, name: str) -> Iterator[Path]:
        """Where a file of the run is to be written; what is half-written is taken away, as it would fill the disk."""
        target = self.journal.blob(name)
        try:
            yield target
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise

    def _artifact(self, blob: Path, place: str) -> None:
        self.journal.write("artifact", blob=str(blob.relative_to(self.journal.path)), place=place)

    def add_blob(self, blob: Path, place: str = "") -> None:
        """Record a file that the caller wrote to ``blob()`` as an artifact."""
        self._artifact(blob, place)

    def model(self, blob: Path, name: str, paths: Sequence[str]) -> None:
        """Record a serialised model, to be logged through MLflow's flavour for it."""
        self.journal.write(
            "model", blob=str(blob.relative_to(self.journal.path)), name=name, requirements=None, paths=list(paths)
        )

    def lineage(self, found: Lineage, folder: Path, made: Collection[str] = (), *, depends: bool = True) -> None:
        """Record what the run read: dataset inputs for MLflow, the state of the data, a notice for each file unversioned;
        ``made`` are those that its session had written itself. ``depends``: whether the project rests on what was read, so
        that its status names what nothing versions; not what was only looked at.
        """
        folders = sorted({r.dataset for r in found.inputs if r.dataset}) if found.absent else []
        gone = {name: [path for path in found.absent if path.startswith(f"{name}/")] for name in folders}
        loose = [r for r in found.inputs if r.state in _LOOSE and not gone.get(r.dataset or "")]
        self.log_tags({"nbledger.data.state": data_state(found.inputs), wrote.TAG: wrote.text(found.outputs)})
        self.inputs = list(found.inputs)
        models = [use for use in found.models if use.run != self.run_id]
        if models:
            self.log_tags({modeluse.TAG: modeluse.text(models)})
        self.journal.write(
            "lineage",
            models=[use.model_id for use in models if use.model_id],
            datasets=datasets(found.inputs),
            folder=str(folder.relative_to(self.journal.path)),
            pending=any(r.pending for r in (*found.inputs, *found.outputs)),
        )
        if depends:
            reads.remember(self.project, [r.path for r in found.inputs if r.state == "untracked"])
        for name, paths in gone.items():
            if paths:
                self.notice(f"read {name} without {some(paths, 3)}: %track_data {shlex.quote(name)}")
        for record in loose[:5]:
            state = f"{record.state}, written by this session" if record.path in made else record.state
            self.notice(f"read {record.path} ({state}): {fix(record)}")
        if len(loose) > 5:
            self.notice(f"and {len(loose) - 5} more inputs that are not versioned")

    def environment(self, folder: Path) -> None:
        """Note that ``environment.json`` in ``folder`` is to be completed by whoever publishes."""
        self.journal.write("environment", folder=str(folder.relative_to(self.journal.path)))

    def outcome(self, status: str, error: str = "") -> None:
        """Note how the cell ended, before anything that could fail: the run's end carries this time and status."""
        self.status = status
        self._outcome = {"status": status, "error": secrets.scrub(error), "ended": now_ms()}
        self.journal.write("outcome", **self._outcome)

    def end(self) -> None:
        """Close the run with its outcome; on the disk when this returns, ``OSError`` where that has no room. Repeatable: the
        first end counts.
        """
        if self.closed:
            return
        if not self._ending:
            self.journal.write("end", **self._outcome)
            self._ending = True
        self.journal.sync()
        self.closed = True
        self.journal.close()


def data_state(records: Sequence[FileRecord]) -> str:
    """How the files that were read are versioned: none, clean, untracked or changed."""
    states = {r.state for r in records}
    loose = states.intersection(_LOOSE)
    return "none" if not states else "clean" if not loose else "untracked" if "untracked" in loose else "changed"


def datasets(records: Sequence[FileRecord]) -> list[list[str]]:
    """[name, digest, source] of MLflow's dataset inputs: one a DVC output (its full hash), one a loose file."""
    named: dict[str, list[str]] = {}
    for record in records:
        digest = record.digest if record.state == "dvc" else record.md5
        name = record.dataset if record.state == "dvc" and record.dataset else record.path
        if digest:
            named.setdefault(name, [name, digest, name])
    return list(named.values())[:_MOST_DATASETS]


def start(project: Project, plan: Plan) -> Recording:
    """Open the journal, write the start, take the snapshot. ``LedgerError`` when the journal cannot be written; then, and
    after an interrupt, no open run is left.
    """
    journal: Journal | None = None
    recording: Recording | None = None
    try:
        journal = Journal.create(project, plan.journal_id or new_id())
        recording = Recording(project, plan, journal)
        if project.scratch is None:
            with contextlib.suppress(Exception):  # else it is asked when something is to be executed
                trust.trust(project)  # whoever runs its cells has executed its code
        _write_start(recording)
        _guarded(recording, "tags", lambda: recording.log_tags({**dvcexp.tags(), **plan.tags}))
        _guarded(recording, "parameters", lambda: recording.log_params(plan.params))
        if not plan.continues:
            _guarded(recording, "snapshot", lambda: _snapshot(recording))
        return recording
    except BaseException as err:
        if recording is not None and recording.begun:
            recording.outcome("KILLED", f"{type(err).__name__}: before the cell began")
            recording.end()
        elif journal is not None:
            journal.discard()
        if isinstance(err, OSError):
            raise unwritable(project, err) from err
        raise


def _guarded(recording: Recording, what: str, action: Callable[[], object]) -> None:
    """The run has begun: what fails from here on is said with it."""
    try:
        action()
    except Exception as err:
        recording.notices.append(f"{what}: {err!r}")


def _write_start(recording: Recording) -> None:
    project, plan = recording.project, recording.plan
    recording.journal.write(
        "start",
        durable=True,
        schema=SCHEMA,
        id=recording.id,
        name=recording.name,
        experiment=plan.experiment or project.experiment,
        uri=secrets.without_login(project.tracking_uri),
        owner=plan.owner or owner(),
        notebook=plan.notebook,
        source=plan.source,
        parent=plan.parent,
        continues=list(plan.continues),
        user=user(),
        author=author(project),
        root=str(project.root),
    )
    recording.begun = True


_late: list[tuple[Recording, Callable[[], object]]] = []
_late_lock = threading.Lock()


def end_later(recording: Recording, then: Callable[[], object]) -> None:
    """Write the end, which failed, as soon as there is room for it and while this process lives; then do ``then``."""
    with _late_lock:
        _late.append((recording, then))
        if len(_late) == 1:
            threading.Thread(target=_end_late, name="nbledger-late", daemon=True).start()


def _end_late() -> None:
    while True:
        time.sleep(_AGAIN)
        for recording, then in tuple(_late):
            with contextlib.suppress(Exception):
                recording.end()
                then()
        with _late_lock:
            _late[:] = [(recording, then) for recording, then in _late if not recording.closed]
            if not _late:
                return


def user() -> str:
    """The login that runs are recorded with."""
    told = elsewhere.told()
    return told.user if told is not None else whoami.login()


def author(project: Project) -> str | None:
    """Whom Git would name as the author of a commit: of a run too."""
    told = elsewhere.told()
    return told.author if told is not None else whoami.author(project)


def _snapshot(recording: Recording) -> None:
    project = recording.project
    try:
        if (told := elsewhere.told()) is not None and project.scratch is None:
            taken = snapshot.Snapshot(**{**told.snapshot, "left_out": tuple(told.snapshot.get("left_out", ()))})
        else:
            taken = snapshot.capture(project, recording.id) if project.scratch is None else snapshot.restored(project)
    except Exception as err:
        said = err if isinstance(err, LedgerError | OSError) else repr(err)
        recording.notice(f"no snapshot of the code was taken: {said}")
        recording.journal.write("snapshot", commit=None, head=None, branch=None, dirty=True, left_out=[str(said)])
        return
    recording.snapshot = taken
    recording.journal.write(
        "snapshot",
        commit=taken.commit,
        head=taken.head,
        branch=taken.branch,
        dirty=taken.dirty,
        left_out=list(taken.left_out),
        operation=taken.operation,
        url=git.remote_url(project.git) if project.git else None,
    )
    if project.git is not None:
        for path in taken.left_out[:5]:
            recording.notice(f"the snapshot does not hold {path}")


_open: list[Recording] = []
_warned = False


def current() -> Recording | None:
    """The innermost open run of this process."""
    return _open[-1] if _open else None


def push(recording: Recording) -> None:
    _open.append(recording)


def pop(recording: Recording) -> None:
    if recording in _open:
        _open.remove(recording)


def opened() -> Sequence[Recording]:
    return tuple(_open)


def log(*, step: int | None = None, **metrics: Any) -> None:
    """Record metric values in the open run: ``log(loss=0.3, step=5)``.

    Numbers, NumPy scalars, dicts (flattened with dots) and lists (a series). Without ``step`` each metric counts
    its own steps from 0. Outside a run nothing is recorded, which is said once. Never raises.
    """
    global _warned
    recording = _open[-1] if _open else None
    if recording is None:
        if not _warned:
            _warned = True
            _say("log(): no run is open, so nothing is recorded — use it inside %%mlrun or %mlrun start")
        return
    try:
        recording.log(None if step is None else int(step), metrics)
    except Exception as err:
        _lost(recording, ", ".join(metrics), err)


def _lost(recording: Recording, what: str, err: Exception) -> None:
    text = f"{what} not recorded: {err if not isinstance(err, values.NotNumeric) else f'{err} is not a number'}"
    if text not in recording.notices:
        recording.notices.append(text)


def _say(text: str) -> None:
    import sys

    sys.stderr.write(f"nbledger: {text}\n")
