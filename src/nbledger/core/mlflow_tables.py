"""A room of MLflow's door that needs no ``import mlflow``: the tables of a SQLite store, read as they are, read-only.

MLflow takes seconds to hand over ten thousand runs; the rows themselves are there in a fraction of one. ``opened`` gives
None where the tables are not those that are known here (a later MLflow): then MLflow itself is asked. Every reading is a
short transaction, so that no writer waits for a reader.
"""

# ruff: noqa: S608 — what is put into the queries are names and marks of this file, never values

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
import threading
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core.errors import Busy, LedgerError, ToolFailed
from nbledger.core.records import Input, RunRow
from nbledger.core.runrows import made, shown

PARENT = "mlflow.parentRunId"
AT_ONCE = 500
"""Runs that one reading asks for."""
_PATIENCE = 10.0
_SLICES = ("", *"123456789abcdef", "\x7f")
"""Where the sixteen parts of all ids begin and end."""
_GROWING = ("runs", "metrics", "params", "tags", "inputs")

_FACTS = """
select r.run_uuid, coalesce(r.name, ''), r.status, r.start_time, r.end_time, r.experiment_id, e.name, r.user_id
from runs r join experiments e on e.experiment_id = r.experiment_id
where r.lifecycle_stage = 'active' and e.lifecycle_stage = 'active'"""
_TAGS = """
select run_uuid, group_concat(key || char(0) || coalesce(value, ''), char(1)) from tags indexed by index_tags_run_uuid
where run_uuid {which} group by run_uuid"""
_INPUTS = """
select i.destination_id, d.name, d.digest from inputs i join datasets d on d.dataset_uuid = i.source_id
where i.destination_type = 'RUN' and i.source_type = 'DATASET' and i.destination_id in ({marks}) order by i.rowid"""
_NEEDED = (
    f"{_FACTS} limit 0",
    _TAGS.format(which="= ''"),
    _INPUTS.format(marks="''"),
    "select key, value, run_uuid, rowid from params limit 0",
    "select key, value, is_nan, run_uuid from latest_metrics limit 0",
    "select key, value, is_nan, timestamp, step, run_uuid, rowid from metrics limit 0",
)


@dataclass(frozen=True)
class Marks:
    """How far the tables that grow had grown: {table: (highest row number, whose it is)}."""

    rows: Mapping[str, tuple[int, str]]

    def as_text(self) -> str:
        return json.dumps(dict(self.rows))

    @classmethod
    def from_text(cls, text: str) -> Marks | None:
        """What ``as_text`` wrote; None if it is anything else."""
        try:
            found = {table: (int(row), str(whose)) for table, (row, whose) in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError):
            return None
        return cls(found) if found.keys() == set(_GROWING) else None


@dataclass(frozen=True)
class Read:
    """A run and a print of everything about it that can change without a new row."""

    row: RunRow
    print: int


class Tables:
    """The store's tables over one connection, which any thread may use. ``experiment``: only its runs; None: all."""

    def __init__(self, path: Path, experiment: str | None) -> None:
        self._lock = threading.Lock()
        self._only = ("", ()) if experiment is None else (" and e.name = ?", (experiment,))
        where = f"file:{urllib.parse.quote(str(path))}?mode=ro"
        self._store = sqlite3.connect(where, uri=True, timeout=_PATIENCE, check_same_thread=False, isolation_level=None)

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def known(self) -> bool:
        """Whether these are the tables that are known here."""
        with self._lock:
            try:
                for query in _NEEDED:
                    self._store.execute(query)
            except sqlite3.OperationalError as err:
                if "locked" in str(err):
                    raise
                return False
        return True

    def version(self) -> int:
        """Another number after every change that another connection made."""
        with self._reading():
            return int(self._one("PRAGMA data_version"))

    def count(self) -> int:
        with self._reading():
            return int(self._one(f"select count(*) from ({_FACTS}{self._only[0]})", self._only[1]))

    def experiments(self) -> dict[str, str]:
        """{id: name} of the active experiments whose runs are read here."""
        query = f"select e.experiment_id, e.name from experiments e where e.lifecycle_stage = 'active'{self._only[0]}"
        with self._reading():
            return {str(each[0]): str(each[1]) for each in self._store.execute(query, self._only[1])}

    def ids(self, limit: int = -1) -> list[str]:
        """Ids of the active runs, the newest first."""
        order = " order by r.start_time desc, r.run_uuid limit ?"
        with self._reading():
            found = self._store.execute(_FACTS + self._only[0] + order, (*self._only[1], limit))
            return [str(row[0]) for row in found]

    def everything(self) -> dict[str, frozenset[str]]:
        """{id: digests of its inputs} of all runs, those in the trash too."""
        query = """
            select r.run_uuid, d.digest from runs r
            left join inputs i on i.destination_id = r.run_uuid and i.destination_type = 'RUN' and i.source_type = 'DATASET'
            left join datasets d on d.dataset_uuid = i.source_id"""
        with self._reading():
            rows = self._store.execute(query).fetchall()
        found: dict[str, set[str]] = {}
        for run, digest in rows:
            found.setdefault(str(run), set()).update([] if digest is None else [str(digest)])
        return {run: frozenset(digests) for run, digests in found.items()}

    def times(self, keys: Sequence[str]) -> dict[str, tuple[str, int | None, int | None, dict[str, str]]]:
        """{id: (status, start, end, those of its tags that are among ``keys``)} of all runs, those in the trash too; in ms."""
        marks = ", ".join("?" * len(keys))
        with self._reading():
            runs = self._store.execute("select run_uuid, status, start_time, end_time from runs").fetchall()
            tags = self._store.execute(
                f"select run_uuid, key, value from tags where key in ({marks})", list(keys)
            ).fetchall()
        held: dict[str, dict[str, str]] = {}
        for run, key, value in tags:
            held.setdefault(str(run), {})[str(key)] = str(value)
        return {str(run): (str(status), start, end, held.get(str(run), {})) for run, status, start, end in runs}

    def best(self, metric: str, *, descending: bool, limit: int) -> list[str]:
        """Ids of the runs in the order of a metric as MLflow sorts: NaN behind the numbers, runs without it behind those."""
        facts = f"select r.run_uuid as id, r.start_time as begun {_FACTS[_FACTS.index('from') :]}{self._only[0]}"
        query = f"""
            select f.id from ({facts}) f left join latest_metrics m on m.key = ? and m.run_uuid = f.id
            order by case when m.is_nan then 1 when m.value is null then 2 else 0 end,
            m.value {"desc" if descending else "asc"}, f.begun desc, f.id limit ?"""
        with self._reading():
            return [str(row[0]) for row in self._store.execute(query, (*self._only[1], metric, limit))]

    def inside(self, parents: Sequence[str]) -> list[str]:
        """Ids of the runs that are tied to one of these as their parent, the oldest first."""
        return self.tagged(PARENT, parents)

    def tagged(self, key: str, values: Sequence[str]) -> list[str]:
        """Ids of the runs whose tag ``key`` has one of these values, the oldest first."""
        found: list[tuple[Any, ...]] = []
        for at in range(0, len(values), AT_ONCE):
            part = values[at : at + AT_ONCE]
            tied = f"select run_uuid from tags where key = ? and value in ({','.join('?' * len(part))})"
            query = f"{_FACTS}{self._only[0]} and r.run_uuid in ({tied})"
            with self._reading():
                found += self._store.execute(query, (*self._only[1], key, *part)).fetchall()
        return [str(row[0]) for row in sorted(found, key=lambda row: (row[3] or 0, row[0]))]

    def holders(self, limit: int) -> list[str]:
        """Ids of the runs that others are tied to and that are tied to none themselves, the newest first."""
        tied = "from tags where key = ? and value is not null"
        query = f"""{_FACTS}{self._only[0]} and r.run_uuid in (select value {tied})
            and r.run_uuid not in (select run_uuid {tied}) order by r.start_time desc, r.run_uuid limit ?"""
        with self._reading():
            return [str(row[0]) for row in self._store.execute(query, (*self._only[1], PARENT, PARENT, limit))]

    def called(self, name: str) -> list[str]:
        """Ids of the runs that bear this name, or the one before its ``~2``, or whose id begins with it."""
        base = name.rpartition("~")[0] or name
        begun = name if len(name) > 3 else "\x7f"  # shorter ones are no names of ids
        query = f"{_FACTS}{self._only[0]} and (r.name in (?, ?) or (r.run_uuid >= ? and r.run_uuid < ?))"
        with self._reading():
            return [
                str(row[0]) for row in self._store.execute(query, (*self._only[1], name, base, begun, begun + "\x7f"))
            ]

    def read(self, ids: Sequence[str], keep: Callable[[str], bool] = shown) -> list[Read]:
        """The runs of these ids that are active, in this order; ``keep`` says which tags a row carries."""
        found: dict[str, Read] = {}
        for at in range(0, len(ids), AT_ONCE):
            found |= self._read(list(ids[at : at + AT_ONCE]), keep)
        return [found[run] for run in ids if run in found]

    def _read(self, ids: list[str], keep: Callable[[str], bool]) -> dict[str, Read]:
        marks = ",".join("?" * len(ids))
        ask = self._store.execute
        with self._reading():
            facts = ask(f"{_FACTS}{self._only[0]} and r.run_uuid in ({marks})", (*self._only[1], *ids)).fetchall()
            prints = dict(ask(_TAGS.format(which=f"in ({marks})"), ids).fetchall())
            tags = _grouped(ask(f"select run_uuid, key, value from tags where run_uuid in ({marks})", ids).fetchall())
            params = ask(f"select run_uuid, key, value from params where run_uuid in ({marks}) order by rowid", ids)
            taken = _grouped(params.fetchall())
            asked = (
                f"select run_uuid, key, value, is_nan from latest_metrics where run_uuid in ({marks}) order by rowid"
            )
            metrics = _grouped((r, (k, float("nan") if bad else v)) for r, k, v, bad in ask(asked, ids).fetchall())
            inputs = _grouped((r, Input(n, d)) for r, n, d in ask(_INPUTS.format(marks=marks), ids).fetchall())
        rows = {}
        for fact in facts:
            run, name, status, start, end, experiment, called, user = fact
            row = made(
                run_id=run,
                name=name,
                status=status,
                experiment=called,
                experiment_id=str(experiment),
                times=(start, end),
                params=dict(taken.get(run, ())),
                metrics=dict(metrics.get(run, ())),
                inputs=tuple(inputs.get(run, ())),
                tags={key: value or "" for key, value in tags.get(run, ())},
                keep=keep,
                user=user or "",
            )
            rows[run] = Read(row, _print(fact, prints.get(run) or ""))
        return rows

    def facts(self) -> dict[str, int]:
        """{id: print of its name, status, times and experiment} of all active runs: the upper half of a run's print."""
        with self._reading():
            rows = self._store.execute(_FACTS + self._only[0], self._only[1]).fetchall()
        return {fact[0]: _print(fact) for fact in rows}

    def tags(self) -> Iterator[dict[str, int]]:
        """{id: print of its tags}, the lower half of a run's print, in sixteen readings; runs without tags are left out."""
        for low, high in itertools.pairwise(_SLICES):
            with self._reading():
                rows = self._store.execute(_TAGS.format(which=">= ? and run_uuid < ?"), (low, high)).fetchall()
            yield {run: _crc(tags) for run, tags in rows}

    def marks(self) -> Marks:
        """Where the tables end now."""
        with self._reading():
            return self._marks()

    def _marks(self) -> Marks:
        found = {}
        for table in _GROWING:
            owner = "destination_id" if table == "inputs" else "run_uuid"
            last = self._store.execute(f"select rowid, {owner} from {table} order by rowid desc limit 1").fetchone()
            found[table] = (int(last[0]), str(last[1])) if last else (0, "")
        return Marks(found)

    def holds(self, marks: Marks) -> bool:
        """Whether the tables have only grown since: none was cut, none is another one."""
        with self._reading():
            for table, (row, whose) in marks.rows.items():
                owner = "destination_id" if table == "inputs" else "run_uuid"
                found = self._store.execute(f"select {owner} from {table} where rowid = ?", (row,)).fetchone()
                if row and (found is None or found[0] != whose):
                    return False
        return True

    def grown(self, marks: Marks, running: Sequence[str]) -> tuple[Marks, list[str]]:
        """Where the tables end now, and the runs that got new rows since, or of ``running`` those that run no more."""
        found: dict[str, None] = {}
        with self._reading():
            now = self._marks()
            for table, (row, _) in marks.rows.items():
                owner = "destination_id" if table == "inputs" else "run_uuid"
                if now.rows[table][0] > row:
                    added = self._store.execute(f"select distinct {owner} from {table} where rowid > ?", (row,))
                    found |= dict.fromkeys(str(each[0]) for each in added)
            for at in range(0, len(running), AT_ONCE):
                part = running[at : at + AT_ONCE]
                query = (
                    f"select run_uuid from runs where run_uuid in ({','.join('?' * len(part))})"
                    " and status not in ('RUNNING', 'SCHEDULED')"
                )
                found |= dict.fromkeys(str(each[0]) for each in self._store.execute(query, part))
        return now, list(found)

    def series(self, run: str, keys: Sequence[str], most: int) -> dict[str, list[tuple[int, float, int]]]:
        """{metric: [(step, value, ms)]} of those of a run's metrics (no keys: of all) that were logged more than once: at
        most ``most`` points, evenly spread, the first and the last among them. The store picks them.
        """
        chosen = f" and key in ({','.join('?' * len(keys))})" if keys else ""
        query = f"""
            with points as (
                select key, step, value, is_nan, timestamp,
                row_number() over (partition by key order by step, timestamp) - 1 as n,
                count(*) over (partition by key) - 1 as last
                from metrics where run_uuid = ?{chosen})
            select key, step, value, is_nan, timestamp from points
            where last > 0 and (last < :most or n = 0 or n * (:most - 1) / last <> (n - 1) * (:most - 1) / last)
            order by key, n""".replace(":most", str(max(2, most)))
        found: dict[str, list[tuple[int, float, int]]] = {}
        with self._reading():
            rows = self._store.execute(query, (run, *keys)).fetchall()
        for key, step, value, bad, at in rows:
            found.setdefault(key, []).append((step, float("nan") if bad else value, at))
        return found

    def _one(self, query: str, values: Sequence[Any] = ()) -> Any:
        return self._store.execute(query, values).fetchone()[0]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One transaction: everything is of the same moment."""
        with self._lock:
            try:
                self._store.execute("begin")
                try:
                    yield
                finally:
                    self._store.execute("commit")
            except sqlite3.OperationalError as err:
                if "locked" in str(err):
                    raise Busy("the run store is in use by another process", "try again") from err
                raise ToolFailed(f"the run store cannot be read: {err}", "nbledger doctor says more") from err
            except sqlite3.Error as err:
                raise ToolFailed(f"the run store cannot be read: {err}", "nbledger doctor says more") from err


def opened(uri: str, experiment: str | None) -> Tables | None:
    """The tables behind a tracking URI; None unless that is a SQLite file with the tables known here."""
    path = Path(urllib.parse.unquote(uri.removeprefix("sqlite:///")))
    if not uri.startswith("sqlite:///") or not path.is_file():
        return None
    try:
        tables = Tables(path, experiment)
    except sqlite3.Error:
        return None
    try:
        if tables.known():
            return tables
    except (sqlite3.Error, LedgerError):
        pass
    tables.close()
    return None


def _grouped(pairs: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for run, *rest in pairs:
        found.setdefault(run, []).append(rest[0] if len(rest) == 1 else tuple(rest))
    return found


def _print(fact: Sequence[Any], tags: str = "") -> int:
    return (_crc(repr(tuple(fact))) & 0x7FFFFFFF) << 32 | _crc(tags)


def _crc(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) if text else 0


UPPER = 0x7FFFFFFF << 32
"""The half of a print that ``facts`` gives."""
