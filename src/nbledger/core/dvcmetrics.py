"""The room of DVC's door in which DVC reads the metrics files of two commits: what ``dvc metrics diff`` compares."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from nbledger.core import dvc, dvcfiles, git
from nbledger.core.project import Project
from nbledger.core.report import Measured

_READ = ("dvc.yaml", "dvc.lock")
_MOST = 2_000
_DEPTH = 20


def diff(project: Project, base: str, head: str) -> tuple[list[Measured], list[str]]:
    """(every metric of either commit, why files could not be read). Nothing where no commit has stages or metrics files."""
    if project.git is None or project.dvc_root is None or not _declares(project.git, base, head):
        return [], []
    shown = dvc.guarded(lambda: _shown(project, base, head), "metrics diff")
    notes: list[str] = []
    tables: list[dict[tuple[str, str], Any]] = []
    for commit in (base, head):
        found = shown.get(commit, {})
        if "error" in found:
            notes.append(f"DVC cannot read the metrics of {commit[:8]}: {_line(found['error'])}")
        table: dict[tuple[str, str], Any] = {}
        for file, result in found.get("data", {}).items():
            if "error" in result:
                notes.append(f"{file} of {commit[:8]}: {_line(result['error'])}")
            table |= {(file, name): value for name, value in _flat(result.get("data"), "", _DEPTH)}
        tables.append(table)
    names = list(dict.fromkeys((*tables[1], *tables[0])))
    if len(names) > _MOST:
        notes.append(f"{len(names) - _MOST:,} more values of metrics files are left out")
    return [_measured(file, name, tables) for file, name in names[:_MOST]], notes


def _declares(repo: git.GitRepo, base: str, head: str) -> bool:
    """Whether a commit has stages at all. What DVC would load is looked at first: a reader of YAML can be taken down."""
    found = False
    for commit in (base, head):
        files = [p for p in git.whole_tree(repo, commit) if posixpath.basename(p) in (*_READ, "params.yaml")]
        for path, (_, _, raw) in git.objects_at(repo, commit, files).items():
            dvcfiles.refuse_bomb(raw.decode("utf-8", "replace"))
            found = found or posixpath.basename(path) in _READ
    return found


def _shown(project: Project, base: str, head: str) -> Mapping[str, Any]:
    with dvc.opened(dvc.require_root(project)) as repo:
        found: Mapping[str, Any] = repo.metrics.show(revs=[base, head], hide_workspace=False)
        return found


def _flat(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items() if depth else ():
            yield from _flat(inner, f"{name}.{key}" if name else str(key), depth - 1)
    elif value is not None:
        yield name or "value", value


def _measured(file: str, name: str, tables: list[dict[tuple[str, str], Any]]) -> Measured:
    values = [table.get((file, name)) for table in tables]
    numbers = tuple(_number(value) for value in values)
    texts = tuple(str(v) if v is not None and n is None else None for v, n in zip(values, numbers, strict=True))
    return Measured(file, name, numbers, texts)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _line(err: object) -> str:
    return " ".join(str(err).split())[:300] or type(err).__name__
