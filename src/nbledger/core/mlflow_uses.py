"""A room of MLflow's door: which runs read and wrote the files of given hashes, in a few questions to the store.

A dataset input has the full hash of what was read as its digest, and the tag ``nbledger.outputs`` names what was written. A
SQLite store's tables are read as they are; a server is asked by filters.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nbledger.core import mlflow, mlflow_registry, mlflow_runs, mlflow_search, mlflow_tables, runrows, wrote
from nbledger.core.errors import UsageError
from nbledger.core.mlflow import _translated
from nbledger.core.mlflow_tables import Tables
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.wrote import Wrote

_AT_ONCE = 500
_EXPERIMENTS = _NAMES = 100
_ASKED_EACH = 40
"""Hashes up to which a server is asked for each whether a run wrote it; beyond, every run that wrote anything is read."""
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

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        """What these runs say that they wrote; None of those that do not say it."""

    def silent(self) -> list[str] | None:
        """Runs of nbledger that ended and do not say what they wrote, the newest first: older versions did not. None: the
        store cannot be asked that.
        """

    def close(self) -> None: ...


def opened(project: Project) -> Uses:
    """All runs of the project's store, of every experiment. ``Unreachable`` where it does not answer."""
    uri = project.tracking_uri
    known = mlflow_tables.opened(uri, None)
    if known is None:
        return _Server(project)
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

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        known = self._load()
        return {run: known.get(run) for run in runs}

    def silent(self) -> list[str] | None:
        query = """
            select r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid and t.key = ?
            where r.lifecycle_stage = 'active' and r.status not in ('RUNNING', 'SCHEDULED')
            order by r.start_time desc, r.run_uuid"""
        with self._reading():
            ours = [str(row[0]) for row in self._store.execute(query, (_SCHEMA,))]
        known = self._load()
        return [run for run in ours if run not in known]


def _told(known: dict[str, Wrote | None]) -> Iterator[Use]:
    for run, said in known.items():
        for path, md5 in said.files.items() if said is not None else ():
            yield Use(run, path, md5)


# ── any other store ──────────────────────────────────────────────────────────────────────────────────────


class _Server:
    """A tracking server, asked through MLflow. Runs that an answer brought are not asked for again."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._api, self._uri = mlflow.client(project), project.tracking_uri
        self._names = mlflow.experiments(self._api, self._uri)
        self._rows: dict[str, RunRow] = {}
        self._said: dict[str, Wrote | None] = {}
        self._everything: list[Use] | None = None

    def close(self) -> None:
        pass

    def readers(self, md5s: Collection[str]) -> list[Use]:
        found: list[Use] = []
        wanted = sorted(md5 for md5 in md5s if md5.replace(".", "").isalnum())
        for part in _parts(wanted, _EXPERIMENTS):
            listed = ", ".join(f"'{md5}'" for md5 in part)
            rows = self._asked(f"dataset.digest IN ({listed})")
            found += [Use(row.run_id, one.path, one.md5) for row in rows for one in row.inputs if one.md5 in part]
        return list(dict.fromkeys(found))

    def named(self, path: str) -> list[Use]:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        rows = [row for name in above for row in self._asked(f"dataset.name {_text(name, '=')}")]
        rows += self._asked(f"dataset.name {_text(f'{path}/%', 'LIKE')}")
        found = (Use(row.run_id, one.path, one.md5) for row in rows for one in row.inputs if related(one.path, path))
        return list(dict.fromkeys(found))

    def by_name(self, names: Collection[str]) -> list[Use]:
        plain = [name for name in sorted(names) if "'" not in name]
        listed = [", ".join(f"'{name}'" for name in part) for part in _parts(plain, _NAMES)]
        filters = [f"dataset.name IN ({text})" for text in listed]
        filters += [f"dataset.name {_text(name, '=')}" for name in sorted(set(names) - set(plain))]
        rows = [row for text in filters for row in self._asked(text)]
        return list(
            dict.fromkeys(Use(r.run_id, one.path, one.md5) for r in rows for one in r.inputs if one.path in names)
        )

    def writers(self, md5s: Collection[str]) -> list[Use]:
        wanted = {md5 for md5 in md5s if md5.replace(".", "").isalnum()}
        if self._everything is None and len(wanted) <= _ASKED_EACH:
            rows = [row for md5 in sorted(wanted) for row in self._asked(f"tags.`{wrote.TAG}` LIKE '%{md5}%'")]
            told = list(_told({row.run_id: self._said[row.run_id] for row in rows}))
        else:
            if self._everything is None:
                rows = self._asked(f"tags.`{wrote.TAG}` LIKE '%:%'")
                self._everything = list(_told({row.run_id: self._said[row.run_id] for row in rows}))
            told = self._everything
        return list(dict.fromkeys(use for use in told if use.md5 in wanted))

    def rows(self, runs: Collection[str]) -> dict[str, RunRow]:
        asked = [run for run in runs if run not in self._rows]
        if asked:
            found = mlflow_runs.by_ids(self._api, self._uri, list(self._names), asked)
            for run in found.values():
                if not mlflow_runs.deleted(run):
                    self._keep(run)
        return {run: self._rows[run] for run in runs if run in self._rows}

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        self.rows(runs)
        return {run: self._said.get(run) for run in runs}

    def silent(self) -> list[str] | None:
        found: list[RunRow] = []
        try:
            found = self._asked(f"tags.`{_SCHEMA}` LIKE '%' and tags.`{wrote.TAG}` IS NULL")
        except UsageError:  # an older server has no such filter
            return None
        ended = (row for row in found if row.status not in ("RUNNING", "SCHEDULED"))
        return [row.run_id for row in sorted(ended, key=lambda row: row.start or "", reverse=True)]

    def _asked(self, text: str) -> list[RunRow]:
        found: list[RunRow] = []
        for part in _parts(list(self._names), _EXPERIMENTS):
            for page in mlflow_search.pages(self._project, part, 1000, text):
                found += [self._keep(run) for run in page]
        return found

    def _keep(self, run: Any) -> RunRow:
        row = runrows.row(run, self._names.get(str(run.info.experiment_id), ""))
        self._rows[row.run_id] = row
        self._said[row.run_id] = wrote.read(run.data.tags.get(wrote.TAG))
        return row


def _parts(items: Sequence[str], size: int) -> Iterable[list[str]]:
    return (list(items[at : at + size]) for at in range(0, len(items), size))


def _text(name: str, comparator: str) -> str:
    """A name in MLflow's filters, where a text with both kinds of quotes cannot be written: a wildcard stands for one."""
    if "'" not in name:
        return f"{comparator} '{name}'"
    return f'{comparator} "{name}"' if '"' not in name else f"LIKE '{name.replace(chr(39), '_')}'"


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class VersionOf:
    """A version of a registered model, and the run that it was made from; empty where it names none."""

    run: str
    name: str
    number: str
    aliases: tuple[str, ...]
    created: str | None


def version(api: Any, uri: str, name: str, number: str) -> VersionOf | None:
    """That version, with the aliases that point at it; None where there is none."""
    found = mlflow_registry.version(api, uri, name, number)
    return None if found is None else _version(api, uri, found, {})


def versions_of(api: Any, uri: str, runs: Collection[str]) -> list[VersionOf]:
    """The versions that were made from these runs: a question for each of few runs, else all versions in one pass."""
    listed: list[Any] = []
    if len(runs) <= _ASKED_EACH:
        for run in runs:
            listed += mlflow_registry.versions_of_run(api, uri, run, 1000)
    else:
        listed = [one for one in _every_version(api, uri) if str(one.run_id) in runs]
    aliases: dict[str, dict[str, str]] = {}
    return [_version(api, uri, one, aliases) for one in listed]


def _every_version(api: Any, uri: str) -> Iterator[Any]:
    token = None
    while True:
        with _translated(uri):
            page = api.search_model_versions(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


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
    return VersionOf(run, name, number, aliases, runrows.iso(found.creation_timestamp))
