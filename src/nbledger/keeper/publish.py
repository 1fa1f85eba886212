"""Turn a journal into an MLflow run. Repeatable: whatever was written before is recognised, nothing is doubled.

A publication goes as far as the journal does. ``state.json`` remembers the run's id and how far it came; a crash
between a write to the store and that note only repeats writes that MLflow takes as the same (parameters and tags
of equal value, metric points of equal key, step, time and value; files of equal name; a model is known by a tag).

``state.json`` may be missing or damaged: then all is written again, to the run that bears the journal's id as a tag. That
there may be one is known by the file ``creating``; only where both are removed by hand is a run made twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core import (
    files,
    mlflow,
    mlflow_write,
    people,
    runrows,
    snapshot,
    trust,
    values,
)
from nbledger.core.batch import FINISHED, KILLED, TASK_TAG
from nbledger.core.errors import Busy, LedgerError, ToolFailed, Unreachable
from nbledger.core.project import Project
from nbledger.core.wording import counted
from nbledger.keeper import abreast, claims, frames, keeping, sending
from nbledger.keeper import journal as journals
from nbledger.keeper.journal import Event

if TYPE_CHECKING:
    from nbledger.keeper.calls import Progress

_LATE = 300.0
"""Seconds after its start from which a run has arrived late: the server was away. Others look for it by that tag."""


@dataclass
class _Batch:
    """What a stretch of events adds to the run, in MLflow's legal form."""

    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[mlflow.MetricPoint] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def publish(project: Project, path: Path) -> bool:
    """Publish what the journal at ``path`` holds so far; True when the run is closed and the journal removed.

    Raises ``Unreachable`` when the store does not answer; the journal then stays as it is. What another process had
    locked, or wrote in the same moment, is tried again for some seconds. Journals that came with a project that is
    not trusted are not published: they name a server, and models to be loaded.
    """
    if project.scratch is None:
        trust.require(project, "publishing a run")
    for pause in (*_PAUSES, None):
        if not path.is_dir():
            return True
        try:
            with files.lock(path / "publish.lock", timeout=60, what=f"journal {path.name}"):
                return _publish(project, path)
        except FileNotFoundError:
            if not path.is_dir():
                return True
            if pause is None:
                raise
            time.sleep(pause)
        except ToolFailed as err:
            if pause is None or not mlflow.overtaken(err):
                raise
            time.sleep(pause)
    return False


_PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between the attempts; at a locked database SQLite itself has waited each time."""


def _publish(project: Project, path: Path) -> bool:
    """One step: only what was written since the last one is read, so that a long run costs what it logs, not more."""
    state = journals.load_state(path)
    fresh = journals.read(path, int(state.get("offset", 0)))
    begun = state.get("begun") or next((e for e in fresh.events if e["t"] == "start"), None)
    if begun is None:
        return _abandon_unstarted(path)
    uri = str(begun["uri"])
    keeping.protect(project, path, begun, fresh.events)
    api = _client(project, path, state, begun)
    if "run_id" not in state:
        state = _create(project, path, api, begun, state)
    run_id = str(state["run_id"])
    batch = _batch(fresh.events, state.setdefault("keys", {}))
    notices = mlflow_write.log(api, uri, run_id, params=batch.params, tags=batch.tags, metrics=batch.metrics)
    state["notices"] = [*state.get("notices", []), *batch.notices, *notices]
    _datasets(api, uri, run_id, fresh.events)
    ended = state.get("ended") or next((e for e in fresh.events if e["t"] == "end"), None)
    state |= {"offset": fresh.offset, "begun": begun, "ended": ended}
    journals.save_state(path, state)
    if ended is None:
        return False
    _close(project, path, api, uri, run_id, journals.read(path), state, ended)
    journals.remove(path)
    return True


def _client(project: Project, path: Path, state: dict[str, Any], begun: Event) -> Any:
    """A client of the store. While that is away the start of the run is kept twice: nothing else tells where it belongs."""
    try:
        return mlflow.client(project, str(begun["uri"]))
    except Unreachable:
        if "begun" not in state:
            journals.save_state(path, {**state, "begun": begun})
        raise


def _abandon_unstarted(path: Path) -> bool:
    """A journal whose start was never written: its kernel died before the cell began, so there is no run."""
    if (path / "events.jsonl").exists() and journals.read(path).events:
        raise LedgerError(
            f"the start of journal {path.name} cannot be read", f"what it holds is in {path / 'events.jsonl'}"
        )
    if time.time() - path.stat().st_ctime > 60:
        journals.remove(path)
        return True
    return False


def _create(project: Project, path: Path, api: Any, begun: Event, state: dict[str, Any]) -> dict[str, Any]:
    uri = str(begun["uri"])
    parent = begun.get("parent")
    if parent and run_id_of(project, str(parent)) is None:
        publish(project, journals.folder(project) / str(parent))  # a child names its parent's run, so that comes first
    experiment = mlflow.experiment_id(api, project, str(begun["experiment"]), uri)
    tags, creating = _start_tags(project, api, experiment, begun), path / "creating"
    run_id = _continued(project, api, experiment, begun)
    if run_id is None and (creating.exists() or state.get("creating")):
        run_id = mlflow_write.find_by_journal(api, uri, experiment, path.name)
        state["doubtful"] = True
    elif run_id is None:
        with open(creating, "wb") as file:
            os.fsync(file.fileno())
    if run_id is None:
        try:
            run_id = mlflow_write.create_run(
                api, uri, experiment, path.name, str(begun["name"]), int(begun["at"]), tags
            )
        except ToolFailed:
            mlflow.forget_experiments()
            raise
    state |= {"run_id": run_id, "begun": begun}
    remember(project, path.name, run_id)
    journals.save_state(path, state)
    return state


def _continued(project: Project, api: Any, experiment: str, begun: Event) -> str | None:
    """The run that a journal goes on with, open again; what earlier journals hold of it comes first."""
    uri, run_id = str(begun["uri"]), None
    for earlier in map(str, begun.get("continues") or ()):
        if not publish(project, journals.folder(project) / earlier):
            raise LedgerError(
                f"the run goes on before its earlier part is closed (journal {earlier})", "nbledger doctor"
            )
        run_id = run_id or run_id_of(project, earlier) or mlflow_write.find_by_journal(api, uri, experiment, earlier)
    if run_id is not None:
        mlflow_write.reopen(api, uri, run_id)
    return run_id


def _start_tags(project: Project, api: Any, experiment: str, begun: Event) -> dict[str, str]:
    tags = {
        "mlflow.user": str(begun["user"]),
        "nbledger.schema": str(begun["schema"]),
        "nbledger.host": str(begun["owner"]["host"]).split("/")[0],
    }
    if begun.get("author"):
        tags[people.AUTHOR] = str(begun["author"])
    if time.time() - int(begun["at"]) / 1000 > _LATE:
        tags["nbledger.arrived"] = str(runrows.iso(int(time.time() * 1000)))
    if begun.get("notebook"):
        tags |= {"mlflow.source.name": str(begun["notebook"]), "mlflow.source.type": "NOTEBOOK"}
    parent = begun.get("parent")
    if parent:
        known = run_id_of(project, str(parent))
        known = known or mlflow_write.find_by_journal(api, str(begun["uri"]), experiment, str(parent))
        if known:
            tags["mlflow.parentRunId"] = known
    return tags


def remember(project: Project, journal_id: str, run_id: str) -> None:
    """Note which run a journal became: children and callers ask after the journal is gone. Kept to 2,000 lines."""
    index = project.state / "published.jsonl"
    with files.lock(project.state / "published.lock", timeout=10):
        before = index.read_bytes() if index.exists() else b""
        line = frames.sealed({"journal": journal_id, "run": run_id})
        if before.count(b"\n") >= 4000:
            files.write_atomic(index, b"\n".join(before.splitlines()[-2000:]) + b"\n" + line)
            return
        with open(index, "ab") as file:
            file.write(line if before.endswith(b"\n") or not before else b"\n" + line)


def run_id_of(project: Project, journal_id: str) -> str | None:
    """The MLflow run that a journal became, if it has been created."""
    state = journals.load_state(journals.folder(project) / journal_id)
    if "run_id" in state:
        return str(state["run_id"])
    with contextlib.suppress(OSError):
        for line in reversed((project.state / "published.jsonl").read_bytes().splitlines()):
            if journal_id.encode() in line and (known := _remembered(line))[0] == journal_id:
                return known[1]
    return None


def _remembered(line: bytes) -> tuple[str, str]:
    """(journal, run) of a line of ``published.jsonl``, which was a bare list before; nothing if it is damaged."""
    if line.startswith(b"{"):
        fields = frames.opened(line) or {}
        return str(fields.get("journal", "")), str(fields.get("run", ""))
    with contextlib.suppress(ValueError, TypeError):
        journal_id, run_id = json.loads(line)
        return str(journal_id), str(run_id)
    return "", ""


def _batch(events: Iterable[Event], keys: dict[str, str]) -> _Batch:
    """``keys`` maps original names to the legal ones given before, so that a name keeps its form."""
    batch = _Batch()
    taken = set(keys.values())

    def legal(key: str, what: str) -> str:
        if key not in keys:
            keys[key] = values.legal_key(key, taken)
            taken.add(keys[key])
            if keys[key] != key:
                batch.notices.append(f"{what} {key!r} is called {keys[key]!r} in MLflow, which allows no such name")
        return keys[key]

    for event in events:
        kind = event["t"]
        if kind == "params":
            for key, text in event["params"].items():
                if len(text) > values.MAX_PARAM:
                    batch.notices.append(
                        f"parameter {key!r} has {len(text)} characters; MLflow keeps {values.MAX_PARAM}"
                    )
                batch.params[legal(key, "parameter")] = text[: values.MAX_PARAM]
        elif kind == "tags":
            for key, text in event["tags"].items():
                if len(text) > values.MAX_TAG:
                    batch.notices.append(f"tag {key!r} has {len(text)} characters; MLflow keeps {values.MAX_TAG}")
                batch.tags[legal(key, "tag")] = text[: values.MAX_TAG]
        elif kind == "metric":
            value = float(event["v"])
            if value in (float("inf"), float("-inf")):
                note = f"metric {event['k']!r} is {value}: MLflow keeps infinities as ±1.8e308"
                batch.notices += [note] if note not in batch.notices else []
            batch.metrics.append((legal(event["k"], "metric"), value, int(event["at"]), int(event["s"])))
        elif kind == "snapshot":
            batch.tags |= _snapshot_tags(event)
    return batch


def _snapshot_tags(event: Event) -> dict[str, str]:
    tags = {"nbledger.dirty": str(bool(event["dirty"])).lower()}
    if event["commit"]:
        # HEAD if the code is as there
        whole = event["commit"] if event["dirty"] else event.get("head") or event["commit"]
        tags |= {"mlflow.source.git.commit": whole, "nbledger.snapshot": event["commit"]}
    if event.get("branch"):
        tags["mlflow.source.git.branch"] = event["branch"]
    if event.get("url"):
        tags["mlflow.source.git.repoURL"] = event["url"]
    if event["left_out"]:
        tags["nbledger.snapshot.left_out"] = "; ".join(event["left_out"])[: values.MAX_TAG]
    return tags


def _datasets(api: Any, uri: str, run_id: str, events: Iterable[Event]) -> None:
    for event in events:
        if event["t"] == "lineage":
            mlflow_write.log_datasets(api, uri, run_id, [tuple(d) for d in event.get("datasets", [])])
            mlflow_write.log_models_loaded(api, uri, run_id, event.get("models", []))


def _close(
    project: Project,
    path: Path,
    api: Any,
    uri: str,
    run_id: str,
    reading: journals.Reading,
    state: dict[str, Any],
    ended: Event,
) -> None:
    events = reading.events
    taken = next((e for e in events if e["t"] == "snapshot"), None)
    if taken and taken["commit"]:
        with contextlib.suppress(LedgerError):
            snapshot.rename_ref(project, path.name, run_id, taken["commit"])
    task, status = _task(events), str(ended["status"])
    if task and status == FINISHED:
        experiment = mlflow.experiment_id(api, project, str(state["begun"]["experiment"]), uri)
        if (by := claims.granted(api, uri, experiment, run_id, task)) is not None:
            claims.supersede(api, uri, run_id, by)
            status = KILLED
    mlflow_write.terminate(api, uri, run_id, status, int(ended.get("ended") or ended["at"]))
    if state.get("doubtful"):
        mlflow_write.drop_doubles(api, uri, run_id, path.name)
    for event in events:
        if event["t"] == "lineage" and event.get("pending"):
            sending.finish_hashing(project, api, uri, run_id, path / event["folder"] / "inputs.json")
        elif event["t"] == "environment":
            sending.finish_environment(project, path / event["folder"] / "environment.json")
    keeping.note(project, path, state["begun"], run_id, events)
    sending.artifacts(api, uri, run_id, path, events, state)
    sending.models(project, api, uri, run_id, path, events, state)
    if reading.damaged:
        many = counted(reading.damaged, "line")
        state["notices"].append(f"{many} of the journal could not be read: damaged, or cut off by a crash")
    if ended.get("lost"):
        state["notices"].append(str(ended["lost"]))
    state["notices"] = values.told(state["notices"])
    tags = {"nbledger.manifest": sending.seal(project, api, uri, run_id, path, events, state)}
    if state["notices"]:
        tags["nbledger.notices"] = "; ".join(state["notices"])[: values.MAX_TAG]
    mlflow_write.log(api, uri, run_id, tags=tags)
    if task and status == FINISHED:
        claims.confirm(api, uri, experiment, run_id, task)


def _task(events: Iterable[Event]) -> str:
    """The task of a batch on a cluster whose run this is; empty for any other."""
    return next((str(e["tags"][TASK_TAG]) for e in events if e["t"] == "tags" and TASK_TAG in e["tags"]), "")


def orphaned(path: Path) -> bool:
    """Whether the journal is still open and everyone who could end it is gone."""
    begun = journals.first(path)
    if begun is None or not journals.abandoned(path, begun):
        return False
    return not any(e["t"] == "end" for e in journals.read(path).events)


_CUT_SHORT = "the cell had finished, but its kernel ended while the run was being recorded: files may be missing"


def close_orphan(path: Path) -> None:
    """End a journal whose kernel is gone: with the outcome of the cell if that had failed, else KILLED at its last sign of
    life. A cell that had finished is no finished run: what was to be recorded of it is not whole.
    """
    with files.lock(path / "publish.lock", timeout=60, what=f"journal {path.name}"):
        if not orphaned(path):
            return  # another process has closed it meanwhile
        last = int((path / "events.jsonl").stat().st_mtime * 1000)
        known = next((e for e in journals.read(path).events if e["t"] == "outcome"), None)
        end: Event = {"status": "KILLED", "error": "the kernel ended before the run did", "ended": last}
        if known is not None and known["status"] == "FINISHED":
            end |= {"ended": known["ended"], "lost": _CUT_SHORT}
        elif known is not None:
            end = {key: known[key] for key in ("status", "error", "ended")}
        log = journals.Journal(path)
        try:
            log.write("end", **end)
        finally:
            log.close()


def flush(project: Project, progress: Progress | None = None) -> tuple[int, list[str]]:
    """Publish every journal as far as it goes: (number left unpublished that could be, reasons)."""
    if project.scratch is None and not trust.trusted(project):
        many = sum(1 for _ in journals.pending(project))
        return many, ["this project is not trusted (nbledger trust)"] if many else []
    reasons: list[str] = []
    dead: set[str] = set()
    left: list[Path] = []

    def one(path: Path) -> None:
        uri = store_of(path)
        if uri in dead:
            left.append(path)
            return
        try:
            if orphaned(path):
                close_orphan(path)
            publish(project, path)
        except Exception as err:
            if isinstance(err, FileNotFoundError) and not path.is_dir():
                return  # another process published it meanwhile
            if isinstance(err, Unreachable) or mlflow.shut_out(err):
                dead.add(uri)
            left.append(path)
            if isinstance(err, Busy) and err.message.startswith(f"journal {path.name} "):  # its lock, not the store's
                reasons.append("another process publishes it just now")
                return
            known = err if isinstance(err, LedgerError | OSError) else ToolFailed(f"journal {path.name}: {err}")
            reasons.append(known.message if isinstance(known, LedgerError) else str(known))

    waiting = list(journals.pending(project))
    over_network = [path for path in waiting if abreast.remote(store_of(path))]
    here = [path for path in waiting if path not in over_network]
    for done, path in enumerate(here):
        if progress is not None:
            progress(done, len(here), "publishing what was recorded")
        one(path)
    abreast.each(over_network, one)
    return len(left), list(dict.fromkeys(reasons))


def store_of(path: Path) -> str:
    """The tracking URI that a journal's run goes to; of one store that is away, only one is tried at a time."""
    begun = journals.first(path)
    return str(begun["uri"]) if begun else ""
