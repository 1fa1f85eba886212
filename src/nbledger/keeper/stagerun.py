"""What a stage's run records besides what its code did: what ``dvc.yaml`` declares of the stage, and what ``dvc.lock`` has.

DVC's metrics files become metrics, its plots files artifacts, its parameters parameters. A digest over what DVC decides by
(the command, its dependencies' hashes, its parameters) ties a run to the entry of ``dvc.lock`` that it made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import dvc, dvcfiles, environment, lineage, stages, values
from nbledger.core.batch import Task
from nbledger.core.dvcfiles import Damaged, Out
from nbledger.core.errors import LedgerError
from nbledger.core.observe import Observation
from nbledger.core.project import Project
from nbledger.core.stages import Stage
from nbledger.keeper import journal as journals
from nbledger.keeper.recorder import Plan, Recording

DIGEST_TAG = "nbledger.stage.digest"
"""Tag of a stage's run: the digest of its command, dependencies and parameters, by which ``dvc.lock`` is matched to it."""
COMMAND_TAG = "nbledger.stage.cmd"
"""Tag of the run of a stage that is no notebook's: its command."""
_MOST_MB = 200.0
"""Megabytes of a plots file or folder that are kept as an artifact."""
_MOST_METRICS = 10_000


@dataclass(frozen=True)
class Entry:
    """What DVC decides by: {dependency, from the project's root: its hash}, {parameter: value}, the command."""

    cmd: str
    deps: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


def digest(stage: Stage, entry: Entry) -> str:
    """The same for the same entry, wherever it was read from."""
    told = [stage.file, stage.name, entry.cmd, sorted(entry.deps.items()), sorted(entry.params.items())]
    text = json.dumps(told, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def current(project: Project, stage: Stage) -> Entry:
    """The entry as ``dvc.lock`` will have it, of the files as they are now."""
    local = [path for path in stage.deps if not _elsewhere(path)]
    outs = [Out(path, "", 0, 1, (project.root / path).is_dir(), "") for path in local]
    found = dvc.hashes_now(project, outs)
    return Entry(stage.cmd, _named(zip(local, found, strict=True)), stages.parameters(project, stage))


def locked(project: Project, stage: Stage) -> tuple[Entry, dict[str, str]] | None:
    """(the entry that ``dvc.lock`` has, {output: its hash}); None where it has none, or cannot be read."""
    path = (project.root / stage.file).with_suffix(".lock")
    try:
        text = dvcfiles.read_lock(path).get(stage.name)
        if text is None:
            return None
        deps, outs = (
            {placed(stage.wdir, row.path): row.md5 for row in rows}
            for rows in (_rows(text, "deps"), _rows(text, "outs"))
        )
        said = text.get("cmd") or ""
        cmd = "\n".join(map(str, said)) if isinstance(said, list) else str(said)
        params = _typed(path, stage.name) if text.get("params") else {}
    except (Damaged, OSError, AttributeError, TypeError, ValueError):
        return None
    return Entry(cmd, _named(deps.items()), params), _named(outs.items())


def placed(wdir: str, path: str) -> str:
    """A path of a stage's own folder, from the project's root."""
    return posixpath.normpath(posixpath.join(wdir, path))


def _rows(entry: Mapping[str, Any], key: str) -> list[dvcfiles.Row]:
    here = [row for row in entry.get(key) or [] if "://" not in str(row.get("path"))]
    return dvcfiles.lock_rows({key: here}, key)


def _typed(path: Path, name: str) -> dict[str, Any]:
    """The parameters of a stage of ``dvc.lock``, their values as DVC reads them."""
    from ruamel.yaml import YAML

    tables = YAML(typ="safe").load(dvcfiles.read_text(path))["stages"][name]["params"]
    return {str(key): value for table in tables.values() for key, value in (table or {}).items()}


def _named(pairs: Any) -> dict[str, str]:
    return {path: md5 for path, md5 in pairs if md5 and md5 != "?" and not _elsewhere(path)}


def _elsewhere(path: str) -> bool:
    return "://" in path or path.startswith(("../", "/"))


def running(project: Project, notebook: str, name: str) -> tuple[str, Stage] | None:
    """(how ``dvc repro`` calls it, the stage) that executes the stage ``name`` of a notebook here: the one that DVC says it
    runs, else that of this name. None where no ``dvc.yaml`` has it.
    """
    called = os.environ.get("DVC_STAGE", "").rpartition(":")[2] or name
    here = project.relative(Path.cwd())
    found = [
        (address, each)
        for address, each in stages.stages(project).items()
        if each.notebook == notebook and each.name in (called, name)
    ]
    return max(found, key=lambda pair: (pair[1].name == called, pair[1].wdir == here), default=None)


class Declared:
    """What ``dvc.yaml`` declares of the stage that a task executes, if it has it."""

    def __init__(self, project: Project, task: Task) -> None:
        self._project = project
        found = running(project, task.notebook, task.stage) if task.stage else None
        self._address = found[0] if found else ""
        self.stage: Stage | None = found[1] if found else None
        made = (*self.stage.outs, *self.stage.metrics, *self.stage.plots) if self.stage else ()
        for path in made:  # the cell that makes a folder may belong to no stage
            if not _elsewhere(path):
                with contextlib.suppress(OSError):
                    (project.root / path).parent.mkdir(parents=True, exist_ok=True)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Its dependencies, as files. What ``nbledger code`` wrote of its notebook is code, which the snapshot holds, and no data."""
        own = stages.code_path(self._project, self.stage.name) if self.stage else ""
        deps = [path for path in self.stage.deps if path != own] if self.stage else []
        return tuple(str(self._project.root / path) for path in deps if not _elsewhere(path))

    def record(self, journal: Path, status: str) -> None:
        """Add it to the run of the task, which is open."""
        if self.stage is not None:
            recording = Recording(self._project, Plan(), journals.Journal(journal))
            try:
                record(recording, self.stage, status, self._address)
            finally:
                recording.journal.close()


# ── what is recorded ─────────────────────────────────────────────────────────────────────────────────────────────
def record(recording: Recording, stage: Stage, status: str, address: str = "") -> None:
    """After the stage's code, before its run is closed: its parameters and digest, and if it finished, what DVC's metrics
    files and plots files hold. What cannot be read is said with the run.
    """
    project = recording.project
    tags = {stages.TAG: address or stage.name}
    try:
        entry = current(project, stage)
        tags[DIGEST_TAG] = digest(stage, entry)
        known = _known(recording.journal.path)
        recording.log_params({k: v for k, v in entry.params.items() if not {k, stages.variable(k)} & known.params})
    except LedgerError as err:
        recording.notice(f"parameters: {err.message}")
    recording.log_tags(tags)
    if status == "FINISHED":
        metrics(recording, stage)
        plots(recording, stage)


@dataclass(frozen=True)
class _Known:
    """Names that a journal has recorded already."""

    params: frozenset[str]
    metrics: frozenset[str]


def _known(journal: Path) -> _Known:
    events = journals.read(journal).events
    named = {name for event in events if event["t"] == "params" for name in event["params"]}
    return _Known(frozenset(named), frozenset(str(event["k"]) for event in events if event["t"] == "metric"))


def _of_the_whole(project: Project, stage: Stage, kind: str) -> list[str]:
    """Those of the ``metrics`` (or ``plots``) of the whole ``dvc.yaml`` that the stage makes; DVCLive declares them there."""
    try:
        data = dvcfiles.load_yaml(dvcfiles.read_text(project.root / stage.file))
    except (Damaged, OSError):
        return []
    table = data.get(kind) if isinstance(data, dict) else None
    base, made = posixpath.dirname(stage.file), {*stage.outs, *stage.metrics, *stage.plots}
    paths = [placed(base, path) for path in stages.paths_of(table or ())]
    return [path for path in paths if any(out in (path, *_above(path)) for out in made)]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def metrics(recording: Recording, stage: Stage) -> None:
    """The numbers of the stage's metrics files, under their own names; two files with one name: with the file's, too. What
    the code logged itself stays as it logged it.
    """
    project, found = recording.project, dict[str, dict[str, float]]()
    for path in dict.fromkeys((*stage.metrics, *_of_the_whole(project, stage, "metrics"))):
        try:
            found[path] = dict(_numbers(stages.parsed(path, dvcfiles.read_text(project.root / path))))
        except Exception as err:  # whatever a parser makes of it; DVC itself takes any file for metrics
            said = err.strerror if isinstance(err, OSError) else " ".join(str(err).split())[:200]
            recording.notice(f"the metrics file {path} cannot be read: {said}")
    often = [name for table in found.values() for name in table]
    known, count = _known(recording.journal.path).metrics, 0
    for path, table in found.items():
        stem = posixpath.splitext(posixpath.basename(path))[0]
        for name, number in table.items():
            key = f"{stem}.{name}" if often.count(name) > 1 else name
            if key not in known and count < _MOST_METRICS:
                recording.append(key, number, 0)
                count += 1


def _numbers(table: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """(name, number) of a nested table, names joined by dots; all else is passed over, as DVC does."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            yield from _numbers(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(table, int | float) and not isinstance(table, bool):
        yield prefix or "value", values.number(table)


def plots(recording: Recording, stage: Stage) -> None:
    """The stage's plots files and folders, as artifacts under their own paths."""
    for path in dict.fromkeys((*stage.plots, *_of_the_whole(recording.project, stage, "plots"))):
        place = recording.project.root / path
        size = sum(each.stat().st_size for each in _files(place))
        if size > _MOST_MB * 1e6:
            recording.notice(f"{path} is not kept as an artifact: {math.ceil(size / 1e6)} MB")
        elif place.exists():
            recording.add_file(place, posixpath.dirname(path).removeprefix("../"))


def _files(place: Path) -> list[Path]:
    return (
        [each for each in place.rglob("*") if each.is_file()] if place.is_dir() else [place] if place.exists() else []
    )


def command(recording: Recording, stage: Stage, status: str, deps: Mapping[str, str]) -> None:
    """The record of a command that nbledger does not look into: its declared dependencies and outputs stand for what it read
    and wrote, and the hashes of ``dvc.lock`` (``deps``) are dataset inputs.
    """
    project = recording.project
    with recording.new_blob("nbledger") as folder:
        folder.mkdir()
        outs = (*stage.outs, *stage.metrics, *stage.plots) if status == "FINISHED" else ()
        found = lineage.describe(
            project,
            Observation(),
            [project.root / path for path in stage.deps if not _elsewhere(path)],
            [project.root / path for path in outs if not _elsewhere(path)],
            hash_budget_mb=project.settings.hash_max_mb,
        )
        _write(folder / "inputs.json", inputs=found.inputs, modules=[], unseen=[stage.cmd], absent=found.absent)
        _write(folder / "outputs.json", outputs=found.outputs)
    recording.lineage(found, folder)
    named = {(record.dataset or record.path, record.digest or record.md5) for record in found.inputs}
    rest = [[path, md5, path] for path, md5 in deps.items() if (path, md5) not in named]
    if rest:
        place = str(folder.relative_to(recording.journal.path))
        recording.journal.write("lineage", datasets=rest, folder=place, pending=False)
    now = environment.current()
    (folder / "environment.txt").write_text(environment.as_requirements(now))
    (folder / "environment.json").write_text(json.dumps({**environment.to_dict(now), **environment.process()}))
    recording.environment(folder)
    recording.log_tags({"nbledger.env.digest": now.digest})
    recording.add_blob(folder)


def _write(place: Path, **tables: Sequence[Any]) -> None:
    told = {
        name: [lineage.record_to_dict(row) if isinstance(row, lineage.FileRecord) else row for row in rows]
        for name, rows in tables.items()
    }
    place.write_text(json.dumps(told, indent=1), encoding="utf-8", errors="surrogatepass")
