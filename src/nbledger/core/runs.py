"""Runs as rows: read from the store, named by id, prefix, name or ``@last~n``."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from nbledger.core import mlflow
from nbledger.core.errors import UsageError, nearest
from nbledger.core.project import Project
from nbledger.core.records import Input, RunRow

_SHOWN_TAGS = ("nbledger.", "mlflow.user", "mlflow.parentRunId")
REPRODUCES = "nbledger.reproduces"
"""Tag of a reproduction: the id of the run that it executed again."""
_LAST = re.compile(r"@last(?:~(\d+))?")
_ID = re.compile(r"[0-9a-f]{32}")
_PREFIX, _MOST = 4, 10_000
_INFINITE = 1.7976931348623157e308


def iso(ms: int | None) -> str | None:
    """Milliseconds since the epoch as ISO 8601 UTC."""
    if ms is None:
        return None
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(run: Any, experiment: str) -> RunRow:
    """A store's run as the table's row."""
    tags = dict(run.data.tags)
    inputs = tuple(Input(i.dataset.name, i.dataset.digest) for i in (run.inputs.dataset_inputs if run.inputs else ()))
    return RunRow(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        experiment=experiment,
        start=iso(run.info.start_time),
        end=iso(run.info.end_time),
        notebook=tags.get("mlflow.source.name"),
        commit=tags.get("mlflow.source.git.commit"),
        snapshot=tags.get("nbledger.snapshot"),
        dirty={"true": True, "false": False}.get(tags.get("nbledger.dirty", "")),
        params=dict(run.data.params),
        metrics={k: _true_value(v) for k, v in run.data.metrics.items()},
        inputs=inputs,
        tags={k: v for k, v in tags.items() if k.startswith(_SHOWN_TAGS)},
    )


def _true_value(value: float) -> float:
    """MLflow keeps infinities as the largest double."""
    return value if math.isnan(value) or abs(value) < _INFINITE else float("inf") * (1 if value > 0 else -1)


def listed(
    project: Project, text: str = "", sort: str = "", limit: int = 50, experiment: str | None = None
) -> list[RunRow]:
    """The newest ``limit`` runs (or those sorted by ``sort``) that match ``text``.

    ``text`` is MLflow's filter syntax, or plain words that must all occur in a run's name, parameters or tags.
    An embedded store shows all its experiments, a shared server the project's own.
    """
    uri = project.tracking_uri
    api = mlflow.client(project)
    names = mlflow.experiments(api, uri)
    chosen = _experiments(project, names, experiment)
    if not chosen:
        return []
    plain_words = bool(text) and not re.search(r"[<>=]|\b(I?LIKE|IN|IS)\b", text)
    found = mlflow.search(api, uri, chosen, "" if plain_words else text, _order(sort), 10_000 if plain_words else limit)
    rows = [row(run, names[str(run.info.experiment_id)]) for run in found]
    return [r for r in rows if _holds(r, text.split())][:limit] if plain_words else rows


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
    if key in ("start", "start_time", "end_time", "name", "run_name", "status", "duration"):
        key = {"start": "start_time", "name": "run_name"}.get(key, key)
        return [f"attributes.{key} {'DESC' if descending else 'ASC'}"]
    if not key.startswith(("metrics.", "params.", "tags.", "attributes.")):
        key = f"metrics.`{key}`"
    return [f"{key} {'DESC' if descending else 'ASC'}", "attributes.start_time DESC"]


def _holds(row: RunRow, words: Sequence[str]) -> bool:
    text = " ".join(
        [
            row.name,
            row.run_id,
            row.status,
            row.experiment,
            row.notebook or "",
            *(f"{k}={v}" for k, v in (row.params | row.tags).items()),
        ]
    ).lower()
    return all(word.lower() in text for word in words)


def find(project: Project, name: str) -> RunRow:
    """The run that ``name`` means (see ``resolve``), asked of the store itself: a full id costs one look-up."""
    uri = project.tracking_uri
    api = mlflow.client(project)
    if _ID.fullmatch(name):
        run = mlflow.get_run(api, uri, name)
        if run is not None:
            return row(run, mlflow.experiment_name(api, uri, str(run.info.experiment_id)))
    names = mlflow.experiments(api, uri)
    chosen = _experiments(project, names, None)
    last = _LAST.fullmatch(name)
    if last:
        found = mlflow.search(api, uri, chosen, "", _order(""), 10 * (int(last[1] or 0) + 20))
        if len([r for r in found if not r.data.tags.get(REPRODUCES)]) <= int(last[1] or 0):
            found = mlflow.search(api, uri, chosen, "", _order(""), _MOST)
    elif "'" in name or not chosen:
        found = mlflow.search(api, uri, chosen, "", _order(""), _MOST) if chosen else []
    else:
        found = mlflow.search(api, uri, chosen, f"attributes.run_name = '{name}'", _order(""), 100)
        if not found and len(name) >= _PREFIX and re.fullmatch(r"[0-9a-f]+", name):
            found = mlflow.search(api, uri, chosen, f"attributes.run_id LIKE '{name}%'", _order(""), 100)
        if not found:
            found = mlflow.search(api, uri, chosen, "", _order(""), _MOST)
    return resolve([row(run, names[str(run.info.experiment_id)]) for run in found], name)


def resolve(rows: Iterable[RunRow], name: str) -> RunRow:
    """The run that ``name`` means: full id, unique prefix (4 characters or more), name, ``@last`` or ``@last~n``.

    Reproductions are not counted by ``@last``: they are about another run.
    """
    known = list(rows)
    last = _LAST.fullmatch(name)
    if last:
        back = int(last[1] or 0)
        known = [r for r in known if REPRODUCES not in r.tags]
        if back >= len(known):
            raise UsageError(f"there is no run {name}: {len(known)} runs are recorded", "%runs lists them")
        return sorted(known, key=lambda r: r.start or "", reverse=True)[back]
    named = [r for r in known if r.name == name]
    originals = [r for r in named if REPRODUCES not in r.tags]  # a reproduction bears the name of its original
    exact = [r for r in known if r.run_id == name] or originals or named
    found = exact or [r for r in known if len(name) >= _PREFIX and r.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        near = nearest(name, {r.name for r in known} | {r.run_id[: max(8, len(name))] for r in known})
        raise UsageError(f"there is no run {name!r}", near or "%runs lists them")
    raise UsageError(
        f"{name!r} means {len(found)} runs: {', '.join(r.run_id[:12] for r in found[:6])}",
        "give more of the id, or @last",
    )
