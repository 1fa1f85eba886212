"""What became of the files of parameters between two commits: told where no run says which parameters it had."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from nbledger.core import dvcfiles, gitlog
from nbledger.core.git import GitRepo
from nbledger.core.report import Measured

_NAMED = frozenset({"params.yaml", "params.yml", "params.json"})
_MOST, _DEPTH, _FILES = 500, 20, 20


def changes(repo: GitRepo, base: str, head: str) -> tuple[list[Measured], list[str]]:
    """(each value that differs, as it is written, what could not be read)."""
    paths = [p for p in gitlog.changed_paths(repo, base, head) if posixpath.basename(p) in _NAMED][:_FILES]
    contents = gitlog.blobs(repo, [(commit, path) for path in paths for commit in (base, head)])
    found: list[Measured] = []
    notes: list[str] = []
    for path, before, after in zip(paths, contents[0::2], contents[1::2], strict=True):
        try:
            old, new = (dict(_flat(_parsed(data), "", _DEPTH)) for data in (before, after))
        except (dvcfiles.Damaged, ValueError) as err:
            notes.append(f"{path} cannot be read: {' '.join(str(err).split())[:200]}")
            continue
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        found += [Measured(path, name, (None, None), (old.get(name), new.get(name))) for name in names]
    if len(found) > _MOST:
        notes.append(f"{len(found) - _MOST:,} more values of files of parameters are left out")
    return found[:_MOST], notes


def _parsed(data: bytes | None) -> Any:
    return dvcfiles.load_yaml(data.decode("utf-8")) if data is not None else None


def _flat(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key), depth - 1)
    elif value is not None:
        told = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
        yield name or "value", told[:200]
