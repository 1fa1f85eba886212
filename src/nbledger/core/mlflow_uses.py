"""A room of MLflow's door: which runs read and wrote the files of given hashes, in a few questions to the store.

A dataset input has the full hash of what was read as its digest, and the tag ``nbledger.outputs`` names what was written. A
SQLite store's tables are read as they are; a server is asked by filters (``mlflow_uses_server``).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbledger.core import mlflow_registry, mlflow_tables, modeldigest, modeluse, runrows, wrote
from nbledger.core.mlflow import _translated
from nbledger.core.mlflow_tables import Tables
from nbledger.core.modeluse import ModelUse
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.wrote import Wrote

_AT_ONCE = 500
_RUNS = 100
"""Runs whose model versions are asked for in one question."""
_PAGE = 1_000
"""Model versions in one answer of a server."""
_SCHEMA = "nbledger.schema"


@dataclass(frozen=True)
class Use:
    """A run read (or wrote) these bytes at this path. Of a tracked folder it is the folder's, with its hash (``….dir``)."""

    run: str
    path: str
    md5: str


class Uses(Protocol):
    def readers(self, md5s: Collection[str]) -> list[Use]:
        """Active runs that have these hashes among their dataset inputs."""

    def named(self, path: str) -> list[Use]:
        """Active runs that read ``path``, something in it, or a folder that it lies in, whatever the hash."""

    def by_name(self, names: Collection[str]) -> list[Use]:
        """Active runs that have dataset inputs of these very names."""

    def writers(self, md5s: Collection[str]) -> list[Use]:
        """Active runs that say in their tag that they wrote files with these hashes."""

    def rows(self, runs: Collection[str]) -> dict[str, RunRow]:
        """{id: row} of those that are active."""

    def places(self, runs: Collection[str]) -> dict[str, str]:
        """{id: where the run keeps its artifacts} of those that are active."""

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        """What these runs say that they wrote; None of those that do not say it."""

    def loaders(self) -> dict[str, tuple[ModelUse, ...]]:
        """{id: the models that it loaded} of the active runs that loaded any."""

    def silent(self, most: int) -> list[str] | None:
        """The newest ``most`` runs of nbledger that ended and do not say what they wrote: older versions did not. None: the
        store cannot be asked that.
        """

    def close(self) -> None: ...


def opened(project: Project) -> Uses:
    """All runs of the project's store, of every experiment. ``Unreachable`` where it does not answer."""
    uri = project.tracking_uri
    known = mlflow_tables.opened(uri, None)
    if known is None:
        from nbledger.core.mlflow_uses_server import Server

        return Server(project)
    known.close()
    return _Database(Path(urllib.parse.unquote(uri.removeprefix("sqlite:///"))), None)


def related(name: str, path: str) -> bool:
    """Whether one is the other, or lies in it."""
    return name == path or name.startswith(f"{path}/") or path.startswith(f"{name}/")


# ── a SQLite store ───────────────────────────────────────────────────────────────────────────────────────


class _Database(Tables):
    """The tables, over one connection."""

    def __init__(self, path: Path, experiment: str | None) -> None:
        super().__init__(path, experiment)
        self._wrote: dict[str, Wrote | None] | None = None
        self._by_hash: dict[str, list[Use]] = {}

    def readers(self, md5s: Collection[str]) -> list[Use]:
        return self._uses("d.digest in ({marks})", list(md5s))

    def named(self, path: str) -> list[Use]:
        with self._reading():
            names = [str(row[0]) for row in self._store.execute("select distinct name from datasets")]
        return self._uses("d.name in ({marks})", [name for name in names if related(name, path)])

    def by_name(self, names: Collection[str]) -> list[Use]:
        return self._uses("d.name in ({marks})", list(names))

    def _uses(self, condition: str, values: list[str]) -> list[Use]:
        query = """
            select distinct i.destination_id, d.name, d.digest from datasets d
            join inputs i on i.source_id = d.dataset_uuid and i.source_type = 'DATASET' and i.destination_type = 'RUN'
            join runs r on r.run_uuid = i.destination_id
            join experiments e on e.experiment_id = r.experiment_id
            where r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active' and """
        found: list[Use] = []
        for at in range(0, len(values), _AT_ONCE):
            part = values[at : at + _AT_ONCE]
            asked = query + condition.format(marks=",".join("?" * len(part)))
            with self._reading():
                found += [Use(*map(str, row)) for row in self._store.execute(asked, part)]
        return found

    def writers(self, md5s: Collection[str]) -> list[Use]:
        self._load()
        return [use for md5 in md5s for use in self._by_hash.get(md5, ())]

    def _load(self) -> dict[str, Wrote | None]:
        """Every tag of the kind, in one pass."""
        if self._wrote is None:
            query = """
                select t.run_uuid, t.value from tags t join runs r on r.run_uuid = t.run_uuid
                where t.key = ? and r.lifecycle_stage = 'active'"""
            with self._reading():
                told = self._store.execute(query, (wrote.TAG,)).fetchall()
            self._wrote = {str(run): wrote.read(value) for run, value in told}
            for use in _told(self._wrote):
                self._by_hash.setdefault(use.md5, []).append(use)
        return self._wrote

    def rows(self, runs: Collection[str]) -> dict[str, RunRow]:
        return {each.row.run_id: each.row for each in self.read(sorted(runs))}

    def places(self, runs: Collection[str]) -> dict[str, str]:
        query = "select run_uuid, artifact_uri from runs where run_uuid in ({marks})"
        listed, found = list(runs), dict[str, str]()
        for at in range(0, len(listed), _AT_ONCE):
            part = listed[at : at + _AT_ONCE]
            asked = query.format(marks=",".join("?" * len(part)))
            with self._reading():
                found |= {str(run): str(place or "") for run, place in self._store.execute(asked, part)}
        return found

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        known = self._load()
        return {run: known.get(run) for run in runs}

    def loaders(self) -> dict[str, tuple[ModelUse, ...]]:
        query = """
            select t.run_uuid, t.value from tags t join runs r on r.run_uuid = t.run_uuid
            where t.key = ? and r.lifecycle_stage = 'active'"""
        with self._reading():
            told = self._store.execute(query, (modeluse.TAG,)).fetchall()
        return {str(run): modeluse.read(value) for run, value in told}

    def silent(self, most: int) -> list[str] | None:
        query = """
            select r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid and t.key = ?
            where r.lifecycle_stage = 'active' and r.status not in ('RUNNING', 'SCHEDULED')
            order by r.start_time desc, r.run_uuid"""
        with self._reading():
            ours = [str(row[0]) for row in self._store.execute(query, (_SCHEMA,))]
        known = self._load()
        return [run for run in ours if run not in known][:most]


def _told(known: dict[str, Wrote | None]) -> Iterator[Use]:
    for run, said in known.items():
        for path, md5 in said.files.items() if said is not None else ():
            yield Use(run, path, md5)


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class VersionOf:
    """A version of a registered model; ``run``: that it was made from, empty where it names none; ``digest``: of its files, if it
    was promoted; ``model_id``: of the logged model that it is, if it is one.
    """

    run: str
    name: str
    number: str
    aliases: tuple[str, ...]
    created: str | None
    digest: str = ""
    model_id: str = ""


def version(api: Any, uri: str, name: str, number: str) -> VersionOf | None:
    """That version, with the aliases that point at it; None where there is none."""
    found = mlflow_registry.version(api, uri, name, number)
    return None if found is None else _version(api, uri, found, {})


def versions_of(api: Any, uri: str, runs: Collection[str]) -> list[VersionOf]:
    """The versions that were made from these runs: of many runs, all versions are read, if those fit into one answer."""
    asked = sorted(run for run in runs if run.isalnum())
    listed, whole = _versions(api, uri, "", _PAGE) if len(asked) > _RUNS else ([], False)
    if whole:
        wanted = set(asked)
        listed = [one for one in listed if str(one.run_id) in wanted]
    else:
        parts = [asked[at : at + _RUNS] for at in range(0, len(asked), _RUNS)]
        filters = [f"run_id IN ({quoted(part)})" for part in parts]
        listed = [one for text in filters for one in _versions(api, uri, text, None)[0]]
    aliases: dict[str, dict[str, str]] = {}
    return [_version(api, uri, one, aliases) for one in listed]


def quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _versions(api: Any, uri: str, text: str, most: int | None) -> tuple[list[Any], bool]:
    """The versions that match MLflow's filter, with ``most`` no more than one answer holds, and whether those are all."""
    found: list[Any] = []
    token = None
    while True:
        with _translated(uri):
            page = api.search_model_versions(text or None, max_results=most or _PAGE, page_token=token)
        found += page
        token = page.token
        if not token or most is not None:
            return found, not token


def _run_of(api: Any, uri: str, version: Any) -> str:
    """The run that a version names, or that logged the model that it names."""
    source = str(version.source or "")
    if version.run_id or not source.startswith("models:/m-"):
        return str(version.run_id or "")
    from mlflow.exceptions import MlflowException

    with _translated(uri):
        try:
            return str(api.get_logged_model(source.removeprefix("models:/")).source_run_id or "")
        except MlflowException as err:
            if err.error_code == "RESOURCE_DOES_NOT_EXIST":
                return ""
            raise


def _version(api: Any, uri: str, found: Any, known: dict[str, dict[str, str]]) -> VersionOf:
    name, number = str(found.name), str(found.version)
    if name not in known:
        model = mlflow_registry.model(api, uri, name)
        known[name] = {str(k): str(v) for k, v in model.aliases.items()} if model is not None else {}
    aliases = tuple(sorted(alias for alias, held in known[name].items() if held == number))
    run = _run_of(api, uri, found)
    digest = str((found.tags or {}).get(modeldigest.TAG, ""))
    model_id = str(getattr(found, "model_id", None) or "") or _logged(str(found.source or ""))
    return VersionOf(run, name, number, aliases, runrows.iso(found.creation_timestamp), digest, model_id)


def _logged(source: str) -> str:
    return source.removeprefix("models:/").partition("/")[0] if source.startswith("models:/m-") else ""
