"""A room of MLflow's door: which runs read and wrote files, asked of a server by filters.

A server costs a journey for each question, and a page of a thousand runs seconds: what can be asked in one question is, what
cannot a few at a time, and nothing twice. The number of questions depends on the hashes that are asked for, not on the
number of runs that the server has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from nbledger.core import mlflow, mlflow_runs, modeluse, runrows, wrote
from nbledger.core.errors import UsageError
from nbledger.core.mlflow_uses import Use, quoted, related
from nbledger.core.modeluse import ModelUse
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.wrote import Wrote

SEVERAL = 4
"""Small questions that are under way at once. One that brings many runs keeps a server busy by itself: two of them at once may
take longer than an answer is waited for.
"""
_EXPERIMENTS, _NAMES = 100, 500
"""Experiments that are searched, and names or hashes that are looked for, in one question."""
_FEW, _ASKED_EACH = 8, 400
"""Hashes up to which a server is asked for each whether a run wrote it, at once, or if it has many runs; beyond, every run that
wrote anything is read.
"""
_SCHEMA = "nbledger.schema"
_PAGE, _ALL = 1_000, 1_000_000
"""Runs in one answer of a server, and more than it has."""
_T = TypeVar("_T")
_R = TypeVar("_R")


def each(ask: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """What ``ask`` says to each of these, a few at a time."""
    if len(items) < 2:
        return [ask(item) for item in items]
    with ThreadPoolExecutor(SEVERAL) as pool:
        return list(pool.map(ask, items))


class Server:
    """A tracking server, asked through MLflow. What an answer brought is not asked for again."""

    def __init__(self, project: Project) -> None:
        self._api, self._uri = mlflow.client(project), project.tracking_uri
        self._names = mlflow.experiments(self._api, self._uri)
        self._rows: dict[str, RunRow] = {}
        self._places: dict[str, str] = {}
        self._absent: set[str] = set()
        self._said: dict[str, Wrote | None] = {}
        self._writers: dict[str, list[Use]] = {}
        self._whole = self._many = False

    def close(self) -> None:
        pass

    def readers(self, md5s: Collection[str]) -> list[Use]:
        wanted = sorted(md5 for md5 in md5s if _plain(md5))
        parts = [set(part) for part in _parts(wanted, _NAMES)]
        filters = [f"dataset.digest IN ({quoted(sorted(part))})" for part in parts]
        return _distinct(
            Use(row.run_id, one.path, one.md5)
            for part, rows in zip(parts, map(self._asked, filters), strict=True)
            for row in rows
            for one in row.inputs
            if one.md5 in part
        )

    def named(self, path: str) -> list[Use]:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        filters = [*_called(above), f"dataset.name {_text(f'{path}/%', 'LIKE')}"]
        rows = [row for text in filters for row in self._asked(text)]
        return _distinct(
            Use(row.run_id, one.path, one.md5) for row in rows for one in row.inputs if related(one.path, path)
        )

    def by_name(self, names: Collection[str]) -> list[Use]:
        rows = [row for text in _called(sorted(names)) for row in self._asked(text)]
        return _distinct(Use(r.run_id, one.path, one.md5) for r in rows for one in r.inputs if one.path in names)

    def writers(self, md5s: Collection[str]) -> list[Use]:
        wanted = sorted({md5 for md5 in md5s if _plain(md5)})
        fresh = [md5 for md5 in wanted if md5 not in self._writers]
        if len(fresh) > _FEW and not self._many:
            self._every_writer(_PAGE)
        if not self._whole and len(fresh) > _ASKED_EACH:
            self._every_writer(_ALL)
        if not self._whole:
            answers = each(self._asked, [f"tags.`{wrote.TAG}` LIKE '%{md5}%'" for md5 in fresh])
            for md5, rows in zip(fresh, answers, strict=True):
                self._writers[md5] = [use for use in self._told(rows) if use.md5 == md5]
        return _distinct(use for md5 in wanted for use in self._writers.get(md5, ()))

    def _every_writer(self, most: int) -> None:
        """Read what all runs wrote, if they are fewer than ``most``: then nobody need be asked for a hash any more."""
        rows = self._asked(f"tags.`{wrote.TAG}` LIKE '%:%'", most)
        self._whole, self._many = len(rows) < most, len(rows) >= most
        if self._whole:
            self._writers = {}
            for use in self._told(rows):
                self._writers.setdefault(use.md5, []).append(use)

    def rows(self, runs: Collection[str]) -> dict[str, RunRow]:
        asked = [run for run in runs if run not in self._rows and run not in self._absent]
        if asked:
            self._absent |= set(asked)
            for run in mlflow_runs.by_ids(self._api, self._uri, list(self._names), asked).values():
                if not mlflow_runs.deleted(run):
                    self._keep(run)
        return {run: self._rows[run] for run in runs if run in self._rows}

    def places(self, runs: Collection[str]) -> dict[str, str]:
        self.rows(runs)
        return {run: self._places[run] for run in runs if run in self._places}

    def wrote(self, runs: Collection[str]) -> dict[str, Wrote | None]:
        self.rows(runs)
        return {run: self._said.get(run) for run in runs}

    def loaders(self) -> dict[str, tuple[ModelUse, ...]]:
        rows = self._asked(f"tags.`{modeluse.TAG}` LIKE '%:%'")
        return {row.run_id: modeluse.read(row.tags.get(modeluse.TAG)) for row in rows}

    def silent(self, most: int) -> list[str] | None:
        ended = "attributes.status != 'RUNNING' and attributes.status != 'SCHEDULED'"
        try:
            found = self._asked(f"tags.`{_SCHEMA}` LIKE '%' and tags.`{wrote.TAG}` IS NULL and {ended}", most)
        except UsageError:  # an older server has no such filter
            return None
        return [row.run_id for row in sorted(found, key=lambda row: row.start or "", reverse=True)][:most]

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────

    def _asked(self, text: str, most: int = _ALL) -> list[RunRow]:
        """The active runs of all experiments that match MLflow's filter, the newest first; of 100 experiments ``most``."""
        order = ["attributes.start_time DESC"]
        found: list[Any] = []
        for part in _parts(list(self._names), _EXPERIMENTS):
            found += mlflow.search(self._api, self._uri, part, text, order, most)
        return [self._keep(run) for run in found]

    def _keep(self, run: Any) -> RunRow:
        row = runrows.row(run, self._names.get(str(run.info.experiment_id), ""))
        self._rows[row.run_id] = row
        self._places[row.run_id] = str(run.info.artifact_uri or "")
        self._said[row.run_id] = wrote.read(run.data.tags.get(wrote.TAG))
        return row

    def _told(self, rows: Iterable[RunRow]) -> Iterator[Use]:
        for row in rows:
            said = self._said[row.run_id]
            for path, md5 in said.files.items() if said is not None else ():
                yield Use(row.run_id, path, md5)


# ── MLflow's filters ─────────────────────────────────────────────────────────────────────────────────────


def _plain(md5: str) -> bool:
    return md5.replace(".", "").isalnum()


def _called(names: Sequence[str]) -> list[str]:
    """Filters for dataset inputs of these names: many in one, but for those that a list cannot hold."""
    plain = [name for name in names if "'" not in name]
    others = [name for name in names if "'" in name]
    return [
        *(f"dataset.name IN ({quoted(part)})" for part in _parts(plain, _NAMES)),
        *(f"dataset.name {_text(name, '=')}" for name in others),
    ]


def _text(name: str, comparator: str) -> str:
    """A name in MLflow's filters, where a text with both kinds of quotes cannot be written: a wildcard stands for one."""
    if "'" not in name:
        return f"{comparator} '{name}'"
    return f'{comparator} "{name}"' if '"' not in name else f"LIKE '{name.replace(chr(39), '_')}'"


def _parts(items: Sequence[str], size: int) -> Iterable[list[str]]:
    return (list(items[at : at + size]) for at in range(0, len(items), size))


def _distinct(uses: Iterable[Use]) -> list[Use]:
    return list(dict.fromkeys(uses))
