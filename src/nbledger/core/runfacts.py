"""Of every run that a store has, what decides whether its code and data are still needed, and which runs registered models
stand on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from nbledger.core import (
    files,
    mlflow,
    mlflow_all,
    mlflow_records,
    mlflow_registry,
    mlflow_tables,
    recorded,
    secrets,
)
from nbledger.core.errors import LedgerError, Unreachable
from nbledger.core.mlflow_tables import PARENT
from nbledger.core.project import Project
from nbledger.core.record import FOLDER
from nbledger.core.runs import REPRODUCES

_OPEN = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class Fact:
    """A run: ``at`` is when it ended, or else began (ms since the epoch); ``digests`` those of its inputs; ``parent`` the
    run that it is inside of, ``reproduces`` the one that it executed again.
    """

    at: int
    open: bool
    digests: frozenset[str] = frozenset()
    parent: str = ""
    reproduces: str = ""


def facts(project: Project) -> dict[str, Fact]:
    """{run id: its fact} of all runs, those in the trash too; ``Unreachable`` where the store does not answer."""
    uri = project.tracking_uri
    digests = mlflow_all.runs(project)
    if not digests:
        return {}
    tables = mlflow_tables.opened(uri, None)
    if tables is not None:
        with contextlib.closing(tables):
            found = tables.times((PARENT, REPRODUCES))
        rows = {run: (status, end or start or 0, tags) for run, (status, start, end, tags) in found.items()}
    else:
        rows = mlflow_all.times(mlflow.client(project), uri, (PARENT, REPRODUCES))
    # A run that began since the first look is as new as can be.
    return {
        run: Fact(at, status in _OPEN, digests.get(run, frozenset()), tags.get(PARENT, ""), tags.get(REPRODUCES, ""))
        for run, (status, at, tags) in rows.items()
    }


def of_models(project: Project, known: Mapping[str, Fact], candidates: set[str]) -> tuple[set[str], set[str]]:
    """The runs that registered models stand on, any version of them: those that the versions were made of, what these are
    inside of and hold, the runs that they executed again, and, of ``candidates``, those that wrote what any of these read.
    And those of ``candidates`` of which it cannot be known what they wrote.
    """
    if not mlflow_all.made(project):
        return set(), set()
    api, uri = mlflow.client(project), project.tracking_uri
    roots = mlflow_registry.runs_of_versions(api, uri)
    if not roots:
        return set(), set()
    found = _around(roots, known)
    wrote = written_by(project, api, uri, candidates - found)
    unknown = {run for run, md5s in wrote.items() if md5s is None}
    while True:
        read = set[str]().union(*(known[run].digests for run in found if run in known))
        more = {run for run, md5s in wrote.items() if run not in found and md5s and md5s & read}
        if not more:
            return found, unknown - found
        roots |= more
        found = _around(roots, known)


def _around(runs: Iterable[str], known: Mapping[str, Fact]) -> set[str]:
    """With what they are inside of, what they reproduce, and what they hold."""
    inside: dict[str, list[str]] = {}
    for run, fact in known.items():
        inside.setdefault(fact.parent, []).append(run)
    found: set[str] = set()
    below = list(runs)
    above = list(runs)
    while below:
        run = below.pop()
        if run and run not in found:
            found.add(run)
            below += inside.get(run, [])
    while above:
        run = above.pop()
        found.add(run)
        if run in known:
            above += [other for other in (known[run].parent, known[run].reproduces) if other and other not in found]
    return found


_AT_ONCE = 8
_REMEMBERED = "wrote.json"


def written_by(project: Project, api: Any, uri: str, runs: set[str]) -> dict[str, frozenset[str] | None]:
    """{run: hashes of what it wrote}, None where its record cannot be read. It never changes, and is remembered: a question
    to the server for each run takes long.
    """
    path = project.ensure_state() / _REMEMBERED
    try:
        remembered = json.loads(path.read_bytes())
        known = {str(run): frozenset(map(str, md5s)) for run, md5s in remembered[secrets.without_login(uri)].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = {}
    asked = sorted(run for run in runs if run not in known)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        told = list(pool.map(lambda run: _written(project, api, uri, run), asked))
    fresh = {run: md5s for run, md5s in zip(asked, told, strict=True) if md5s is not None}
    if fresh:
        kept = {run: sorted(md5s) for run, md5s in (known | fresh).items()}
        with contextlib.suppress(OSError):
            files.write_atomic(path, json.dumps({secrets.without_login(uri): kept}))
    return {run: known.get(run, fresh.get(run)) for run in runs}


def _written(project: Project, api: Any, uri: str, run: str) -> frozenset[str] | None:
    """As the record of a run that has ended tells. One without a record wrote nothing that is known."""
    try:
        found = mlflow.get_run(api, uri, run)
        place = str(found.info.artifact_uri) if found is not None else ""
        path = f"{FOLDER}/outputs.json"
        text = mlflow_records.content(project, api, place, path, there=False) if place else None
        return frozenset(recorded.of_inputs(json.loads(text).get("outputs", []))) if text is not None else frozenset()
    except Unreachable:
        raise
    except (LedgerError, OSError, ValueError, AttributeError, TypeError):
        return None
