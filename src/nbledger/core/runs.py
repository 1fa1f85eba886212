"""Runs as rows: read from the store, named by id, prefix, name or ``@last~n``."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from nbledger.core import mlflow, mlflow_runs, mlflow_search, mlflow_tables, people, whoami
from nbledger.core.errors import UsageError, nearest
from nbledger.core.people import Whose
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runrows import iso, row
from nbledger.core.wording import counted

REPRODUCES = "nbledger.reproduces"
"""Tag of a reproduction: the id of the run that it executed again."""
_DRIFT = "nbledger.drift.verdict"
VERDICT = "nbledger.verdict"
"""Tag of a reproduction, and of the run that was reproduced: what the newest one concluded."""
PENDING = "nbledger.pending"
"""Stands among the tags of a row that is not from the store: the run waits on this machine to be published."""
_LAST, _MINE = "@last", "@mine"
_ID = re.compile(r"[0-9a-f]{32}")
__all__ = ["PENDING", "REPRODUCES", "VERDICT", "anywhere", "find", "iso", "listed", "resolve", "row"]

_SORTABLE = ("start", "start_time", "end_time", "name", "run_name", "status", "duration")
_PREFIX, _MOST = 4, 10_000
_LISTS = "%runs (nbledger runs) lists them"


def listed(
    project: Project,
    text: str = "",
    sort: str = "",
    limit: int = 50,
    experiment: str | None = None,
    whose: Whose | None = None,
) -> list[RunRow]:
    """The newest ``limit`` runs (or those sorted by ``sort``) that match ``text`` and are of ``whose``.

    ``text`` is MLflow's filter syntax, or plain words that must all occur in a run's name, parameters or tags.
    An embedded store shows all its experiments, a shared server the project's own.
    """
    plain_words = is_words(text)
    words, asked = (text.split(), "") if plain_words else ([], text)
    if not words and not whose:
        rows = list(itertools.islice(_read(project, asked, sort, limit, experiment), limit))
        _refuse_unknown(sort, rows)
        return rows
    seen: list[RunRow] = []
    found: list[RunRow] = []
    for one in _read(project, asked, sort, _MOST, experiment):
        seen.append(one)
        if holds(one, words) and (not whose or whose.holds(one.user)):
            found.append(one)
            if len(found) == limit:
                break
    _refuse_unknown(sort, seen)
    if not found and seen and whose and whose.name:
        people.refuse_unknown(whose.name, [one.user for one in seen])
    return found


def anywhere(project: Project, text: str, limit: int) -> list[RunRow]:
    """The newest runs that match MLflow's filter ``text`` in whatever experiment: a clone in a folder of another name takes
    another one, unless the settings name it. For what says by itself whose run it is: a commit, a digest.
    """
    names = mlflow.experiments(mlflow.client(project), project.tracking_uri)
    found: list[RunRow] = []
    for page in mlflow_search.pages(project, list(names), limit, text) if names else ():
        found += [row(run, names[str(run.info.experiment_id)]) for run in page]
        if len(found) >= limit:
            break
    return found[:limit]


def matching(project: Project, text: str, limit: int) -> list[str]:
    """Ids of the runs that match MLflow's filter ``text``, the newest first; a filter that is wrong is a ``UsageError``."""
    only = None if project.embedded else project.experiment
    tables = mlflow_tables.opened(project.tracking_uri, only)
    if tables is None:
        names = mlflow.experiments(mlflow.client(project), project.tracking_uri)
        chosen = _experiments(project, names, None)
    else:
        with contextlib.closing(tables):
            chosen = list(tables.experiments())
    return mlflow_search.ids(project, chosen, text, _order(""), limit) if chosen else []


def _read(project: Project, text: str, sort: str, limit: int, experiment: str | None) -> Iterator[RunRow]:
    """The first ``limit`` rows that match MLflow's filter, read as they are asked for."""
    rows = _from_tables(project, text, sort, limit, experiment)
    return _from_mlflow(project, text, sort, limit, experiment) if rows is None else rows


def _from_tables(project: Project, text: str, sort: str, limit: int, experiment: str | None) -> Iterator[RunRow] | None:
    """The rows by way of the store's own tables; None where it is no SQLite file, or MLflow has the better error."""
    only = experiment if experiment is not None or project.embedded else project.experiment
    tables = mlflow_tables.opened(project.tracking_uri, only)
    if tables is None:
        return None
    order = _order(sort)
    metric = re.fullmatch(r"metrics\.`([^`]+)` (ASC|DESC)", order[0])
    with contextlib.ExitStack() as stack:
        stack.callback(tables.close)
        names = tables.experiments()
        if not names:
            return None
        if text or (sort and not metric):
            ids = mlflow_search.ids(project, list(names), text, order, limit)
        elif metric:
            ids = tables.best(metric[1], descending=metric[2] == "DESC", limit=limit)
        else:
            ids = tables.ids(limit)
        stack.pop_all()
    return _in_parts(tables, ids)


def _in_parts(tables: mlflow_tables.Tables, ids: Sequence[str]) -> Iterator[RunRow]:
    with contextlib.closing(tables):
        for at in range(0, len(ids), mlflow_tables.AT_ONCE):
            yield from (read.row for read in tables.read(ids[at : at + mlflow_tables.AT_ONCE]))


def _from_mlflow(project: Project, text: str, sort: str, limit: int, experiment: str | None) -> Iterator[RunRow]:
    names = mlflow.experiments(mlflow.client(project), project.tracking_uri)
    chosen = _experiments(project, names, experiment)
    if not chosen:
        return
    left = limit
    for page in mlflow_search.pages(project, chosen, min(1000, limit), text, _order(sort)):
        yield from (row(run, names[str(run.info.experiment_id)]) for run in page[:left])
        left -= len(page)
        if left <= 0:
            return


def _experiments(project: Project, names: dict[str, str], experiment: str | None) -> list[str]:
    if experiment is None:
        if project.embedded:
            return list(names)
        return [i for i, n in names.items() if n == project.experiment]
    chosen = [i for i, n in names.items() if n == experiment]
    if not chosen:
        raise UsageError(f"there is no experiment {experiment!r}", nearest(experiment, names.values()))
    return chosen


def _order(sort: str) -> list[str]:
    if not sort:
        return ["attributes.start_time DESC"]
    key, _, direction = sort.partition(" ")
    descending = not key.startswith("+") if not direction else direction.upper() == "DESC"
    key = key.lstrip("+-")
    if key in _SORTABLE:
        key = {"start": "start_time", "name": "run_name"}.get(key, key)
        return [f"attributes.{key} {'DESC' if descending else 'ASC'}"]
    if not key.startswith(("metrics.", "params.", "tags.", "attributes.")):
        key = f"metrics.`{key}`"
    return [f"{key} {'DESC' if descending else 'ASC'}", "attributes.start_time DESC"]


def _refuse_unknown(sort: str, rows: Sequence[RunRow]) -> None:
    """A metric to sort by that no run has, not even the first of the sorted, is misspelt."""
    key = sort.partition(" ")[0].lstrip("+-")
    if not rows or not key or key in _SORTABLE or key.startswith(("metrics.", "params.", "tags.", "attributes.")):
        return
    known = {name for r in rows for name in r.metrics}
    if key not in known:
        raise UsageError(
            f"no run has a metric {key!r}", nearest(key, known) or f"there are: {', '.join(sorted(known))}"
        )


def is_words(text: str) -> bool:
    """Whether a filter is plain words, not MLflow's syntax."""
    return bool(text) and not re.search(r"[<>=]|\b(I?LIKE|IN|IS)\b", text)


def holds(row: RunRow, words: Sequence[str]) -> bool:
    """Whether each of ``words`` occurs in what names a run, its parameters or its tags."""
    text = " ".join(
        [
            row.name,
            row.run_id,
            row.status,
            row.experiment,
            row.notebook or "",
            row.user or "",
            *(f"{k}={v}" for k, v in (row.params | row.tags).items()),
        ]
    ).lower()
    return all(word.lower() in text for word in words)


def find(project: Project, name: str) -> RunRow:
    """The run that ``name`` means (see ``resolve``), asked of the store itself: a full id costs one look-up. The id that a
    run bore while it waited to be published means it for ever.
    """
    uri = project.tracking_uri
    api = mlflow.client(project)
    if _ID.fullmatch(name):
        run = mlflow.get_run(api, uri, name)
        if run is not None:
            return row(run, mlflow.experiment_name(api, uri, str(run.info.experiment_id)))
    names = mlflow.experiments(api, uri)
    if _ID.fullmatch(name) and names:
        for run in mlflow_runs.tied(api, uri, list(names), mlflow.JOURNAL_TAG, name, 1):
            return row(run, names[str(run.info.experiment_id)])
    chosen = _experiments(project, names, None)
    others = sorted(set(names.values()) - {"Default"})
    if not chosen and others:
        raise UsageError(
            f"there is no run {name!r}: nothing was recorded in the experiment {project.experiment!r}",
            f"the store has {', '.join(others[:5])}: set MLFLOW_EXPERIMENT_NAME, or experiment in .nbledger.toml",
        )

    def search(text: str, limit: int) -> list[RunRow]:
        found = mlflow.search(api, uri, chosen, text, _order(""), limit) if chosen else []
        return [row(run, names[str(run.info.experiment_id)]) for run in found]

    wanted, back = _split(name)
    keys = whoami.me(project).keys if wanted == _MINE else ()
    for text, limit in (*_likely(wanted, back), ("", _MOST)):
        try:
            return resolve(search(text, limit), name, keys)
        except UsageError:
            if limit == _MOST:
                raise
    raise AssertionError


def _likely(wanted: str, back: int) -> list[tuple[str, int]]:
    """Filters and limits of searches that probably hold the run, so that not all runs need be read."""
    if wanted in (_LAST, _MINE):
        return [("", 10 * (back + 20))]
    found = [(f"attributes.run_name = '{wanted}'", 10 * (back + 10))] if "'" not in wanted else []
    if len(wanted) >= _PREFIX and re.fullmatch(r"[0-9a-f]+", wanted):
        found.append((f"attributes.run_id LIKE '{wanted}%'", 100))
        found.append((f"tags.`{mlflow.JOURNAL_TAG}` LIKE '{wanted}%'", 100))
    return found


def _split(name: str) -> tuple[str, int]:
    """``forest~2`` as (``forest``, 2)."""
    head, tilde, count = name.rpartition("~")
    return (head, int(count)) if tilde and count.isdecimal() else (name, 0)


def only_compares(tags: Mapping[str, str]) -> bool:
    """Whether these are the tags of a run of ``nbledger drift``, which looks at data and makes nothing of them."""
    return _DRIFT in tags


def resolve(rows: Iterable[RunRow], name: str, mine: Sequence[str] = ()) -> RunRow:
    """The run that ``name`` means: full id, unique prefix (4 characters or more), of its journal's too, ``@last``, ``@mine``
    (the last of the person whose keys are ``mine``) or a name, which is that of the newest run so called; ``@last~2`` and
    ``forest~2`` are the second before it.

    Reproductions are not counted: they bear the name of the run that they executed again. Nor are, where the last is asked
    for, runs that only compare data.
    """
    known = sorted(rows, key=lambda r: r.start or "", reverse=True)
    whole = [r for r in known if r.run_id == name]
    if whole:
        return whole[0]
    own = [r for r in known if REPRODUCES not in r.tags]
    if any(r.name == name for r in own):
        return next(r for r in own if r.name == name)
    wanted, back = _split(name)
    kinds: dict[str, tuple[Callable[[RunRow], bool], str]] = {
        _LAST: (lambda r: not only_compares(r.tags), "recorded"),
        _MINE: (lambda r: people.key(r.user) in mine and not only_compares(r.tags), "yours"),
    }
    is_called, what = kinds.get(wanted, (lambda r: r.name == wanted, f"called {wanted!r}"))
    called = [r for r in own if is_called(r)]
    if wanted in kinds or (called and wanted != name):
        if back >= len(called):
            count = counted(len(called), "run is", "runs are")
            raise UsageError(f"there is no run {name}: {count} {what}", _LISTS)
        return called[back]
    found = [r for r in known if len(name) >= _PREFIX and r.run_id.startswith(name)] or [
        r for r in known if len(name) >= _PREFIX and r.tags.get(mlflow.JOURNAL_TAG, "").startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        near = nearest(name, {r.name for r in known} | {r.run_id[: max(8, len(name))] for r in known})
        raise UsageError(f"there is no run {name!r}", near or _LISTS)
    raise UsageError(
        f"{name!r} means {len(found)} runs: {', '.join(r.run_id[:12] for r in found[:6])}",
        "give more of the id, or @last",
    )
