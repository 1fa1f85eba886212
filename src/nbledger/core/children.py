"""The runs inside a run: those that MLflow's own tag ``mlflow.parentRunId`` ties to it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nbledger.core import mlflow, mlflow_search, mlflow_tables, runs
from nbledger.core.errors import UsageError
from nbledger.core.mlflow_tables import PARENT, Tables
from nbledger.core.project import Project
from nbledger.core.records import RunRow

MOST = 10_000
"""Runs inside one that are looked at."""
_LAST = re.compile(r"@last(?:~(\d+))?")


@dataclass(frozen=True)
class Family:
    """A run and those inside it, the oldest first; ``filtered``: only those that a filter chose."""

    parent: RunRow
    runs: tuple[RunRow, ...] = ()
    filtered: bool = False


def of(project: Project, name: str, text: str = "", experiment: str | None = None) -> Family:
    """The runs inside the run that ``name`` means; ``@last`` is the newest that holds others and is inside none.

    ``text`` chooses among them as ``runs.listed`` does. A metric that a run lacks is taken from the newest run inside it
    that has it: a notebook's tracked cells measure what the notebook is compared by.
    """
    tables = mlflow_tables.opened(project.tracking_uri, None)
    with contextlib.closing(tables) if tables is not None else contextlib.nullcontext():
        parent = _parent(project, tables, name)
        below = _Below(project, tables, parent)
        found = below.children()
        if text:
            wanted = below.chosen(found, text)
            found = [row for row in found if row.run_id in wanted]
        if experiment is not None:
            found = [row for row in found if row.experiment == experiment]
        filtered = bool(text) or experiment is not None
        return Family(parent, tuple(_with_inner(found, below.grandchildren(found))), filtered)


def _parent(project: Project, tables: Tables | None, name: str) -> RunRow:
    last = _LAST.fullmatch(name)
    if last is None:
        return _named(project, tables, name)
    back = int(last[1] or 0)
    if tables is None:
        holders = _holders_of_server(project, back + 1)
    else:
        known = [one.row for one in tables.read(tables.holders(MOST))]
        holders = [row for row in known if _own(project, row)]
    if back >= len(holders):
        count = {0: "no run holds others", 1: "1 run holds others"}.get(
            len(holders), f"{len(holders)} runs hold others"
        )
        raise UsageError(f"there is no run {name} that holds others: {count}", "%runs (nbledger runs) lists all runs")
    return holders[back]


def _named(project: Project, tables: Tables | None, name: str) -> RunRow:
    """The run of that name; MLflow, whose import takes seconds, is asked only where the tables do not know it."""
    if tables is not None:
        known = [row for row in _read(tables, tables.called(name)) if _own(project, row) or row.run_id == name]
        with contextlib.suppress(UsageError):
            return runs.resolve(known, name)
    return runs.find(project, name)


def _own(project: Project, row: RunRow) -> bool:
    return project.embedded or row.experiment == project.experiment


def _holders_of_server(project: Project, count: int) -> list[RunRow]:
    """The newest runs that hold others, by way of the newest runs that are inside one."""
    api, uri = mlflow.client(project), project.tracking_uri
    names = mlflow.experiments(api, uri)
    own = [i for i, n in names.items() if project.embedded or n == project.experiment]
    found: dict[str, RunRow] = {}
    if not own:
        return []
    newest = mlflow.search(api, uri, own, f"tags.`{PARENT}` LIKE '%'", ["attributes.start_time DESC"], MOST)
    for parent in dict.fromkeys(str(run.data.tags[PARENT]) for run in newest):
        run = mlflow.get_run(api, uri, parent)
        if run is not None and PARENT not in run.data.tags:
            found[parent] = runs.row(run, names.get(str(run.info.experiment_id), project.experiment))
        if len(found) >= count:
            break
    return sorted(found.values(), key=lambda row: row.start or "", reverse=True)


class _Below:
    """What stands below one run, read from the store's own tables or asked of MLflow."""

    def __init__(self, project: Project, tables: Tables | None, parent: RunRow) -> None:
        self._project, self._tables, self._parent = project, tables, parent

    def children(self) -> list[RunRow]:
        if self._tables is not None:
            return _read(self._tables, self._tables.inside([self._parent.run_id])[:MOST])
        return self._searched(f"tags.`{PARENT}` = '{self._parent.run_id}'")

    def grandchildren(self, found: Sequence[RunRow]) -> list[RunRow]:
        """The runs inside those found, the oldest first."""
        if self._tables is not None:
            return _read(self._tables, self._tables.inside([row.run_id for row in found])[: 2 * MOST])
        if not found:
            return []
        ids = {row.run_id for row in found}
        began, ended = min(row.start or "" for row in found), max(row.end or "9" for row in found)
        since = f" and attributes.start_time >= {_ms(began)}" if began else ""
        since += f" and attributes.start_time <= {_ms(ended)}" if ended < "9" else ""
        rows = self._searched(f"tags.`{PARENT}` LIKE '%'{since}", 2 * MOST)
        return [row for row in rows if row.tags.get(PARENT) in ids]

    def chosen(self, found: Sequence[RunRow], text: str) -> set[str]:
        """Ids of those that match a filter in MLflow's syntax, or plain words."""
        if runs.is_words(text):
            return {row.run_id for row in found if runs.holds(row, text.split())}
        asked = f"{text} and tags.`{PARENT}` = '{self._parent.run_id}'"
        return set(mlflow_search.ids(self._project, list(self._experiments()), asked, ["attributes.start_time"], MOST))

    def _searched(self, text: str, limit: int = MOST) -> list[RunRow]:
        names = self._experiments()
        api, uri = mlflow.client(self._project), self._project.tracking_uri
        found = mlflow.search(api, uri, list(names), text, ["attributes.start_time ASC"], limit)
        return [runs.row(run, names[str(run.info.experiment_id)]) for run in found]

    def _experiments(self) -> Mapping[str, str]:
        """Where they may be: in the run's own experiment, in an embedded store in any."""
        if self._tables is not None:
            return self._tables.experiments()
        if not self._project.embedded:
            return {self._parent.experiment_id: self._parent.experiment}
        return mlflow.experiments(mlflow.client(self._project), self._project.tracking_uri)


def _read(tables: Tables, ids: Sequence[str]) -> list[RunRow]:
    return [one.row for one in tables.read(ids)]


def _ms(start: str) -> int:
    import datetime as dt

    return int(dt.datetime.fromisoformat(start).timestamp() * 1000)


def _with_inner(found: Iterable[RunRow], inner: Iterable[RunRow]) -> Iterable[RunRow]:
    """The runs with the metrics of those inside them, where they have none of that name themselves."""
    measured: dict[str, dict[str, float]] = {}
    for row in inner:
        measured.setdefault(row.tags[PARENT], {}).update(row.metrics)
    for row in found:
        below = measured.get(row.run_id)
        yield (
            replace(row, metrics={**row.metrics, **{k: v for k, v in below.items() if k not in row.metrics}})
            if below
            else row
        )
