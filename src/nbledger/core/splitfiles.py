"""The files of a notebook that is split: which were written while a cell ran, which hold metrics, which lie in one folder."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbledger.core import files
from nbledger.core.files import Signature
from nbledger.core.project import Project
from nbledger.core.sieve import Sieve
from nbledger.core.split import Part

_SMALL = 64_000
"""Bytes of a file that may be one of metrics."""
_MANY = 10
_PATH = re.compile(r"[^\s'\"`;|&<>(){}$=,]+")
_MOST = 20_000
"""Files: where there are more, they are looked at only before the first cell and after the last."""


class Watch:
    """Which files of a folder change, step by step: what programs write is seen like that, too."""

    def __init__(self, there: Project, notebook: Path) -> None:
        self._root, self._sieve = str(there.root), Sieve(there, notebook)
        self._last = self._listed()
        self.before = frozenset(self._last)
        self._steps: list[frozenset[str]] = []

    def look(self) -> None:
        """A step begins; what changed since the last look belongs to the one before."""
        if len(self._last) > _MOST and self._steps:
            self._steps.append(frozenset())
            return
        now = self._listed()
        self._steps.append(frozenset(path for path, found in now.items() if self._last.get(path) != found))
        self._last = now

    def by_step(self, count: int) -> list[frozenset[str]]:
        """What was written while each of ``count`` steps ran: the first look was before the first of them."""
        steps = [*self._steps[1:], *([frozenset()] * count)]
        return [*steps[: count - 1], frozenset().union(*steps[count - 1 :])] if count else []

    def written(self) -> set[str]:
        """Everything that was written and is there still."""
        return {path for step in self._steps for path in step if path in self._last}

    def _listed(self) -> dict[str, Signature]:
        found: dict[str, Signature] = {}
        pending = [self._root]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if self._sieve.keeps(f"{entry.path}/x") and not entry.name.startswith("."):
                            pending.append(entry.path)
                    elif entry.is_file() and self._sieve.keeps(entry.path):
                        path = os.path.relpath(entry.path, self._root).replace(os.sep, "/")
                        found[path] = files.signature(entry.stat())
        return found


def named(source: str, notebook: str) -> set[str]:
    """Paths from the root that words of a cell may name, which runs in the notebook's folder."""
    folder = posixpath.dirname(notebook)
    return {posixpath.normpath(posixpath.join(folder, word)) for word in _PATH.findall(source)}


def of_numbers(root: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those of ``paths`` that are small JSON or YAML files of numbers: metrics."""
    return frozenset(path for path in paths if _is_of_numbers(root / path))


def _is_of_numbers(path: Path) -> bool:
    if path.suffix not in (".json", ".yaml", ".yml"):
        return False
    try:
        if path.stat().st_size > _SMALL:
            return False
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _numbers(json.loads(text))
        import yaml

        return _numbers(yaml.safe_load(text))
    except (OSError, ValueError, RecursionError):
        return False
    except Exception:  # whatever a parser makes of a file that is none
        return False


def _numbers(value: Any) -> bool:
    """A table whose leaves are numbers."""
    if not isinstance(value, dict) or not value:
        return False
    return all(
        _numbers(item) if isinstance(item, dict) else isinstance(item, int | float) and not isinstance(item, bool)
        for item in value.values()
    )


def made(part: Part, written: Mapping[str, str]) -> set[str]:
    """Those of the written files that are the stage's outputs, or lie in them."""
    outs = (*part.outs, *part.metrics)
    return {path for path in written if any(path == out or path.startswith(out + "/") for out in outs)}


def folded(parts: Sequence[Part]) -> list[Part]:
    """Folders in place of many dependencies that lie in one, where no stage writes."""
    outs = [out for part in parts for out in (*part.outs, *part.metrics)]
    return [replace(part, deps=_folded(part.deps, outs)) for part in parts]


def _folded(deps: Sequence[str], outs: Sequence[str]) -> tuple[str, ...]:
    folders: dict[str, list[str]] = {}
    for path in deps:
        folders.setdefault(posixpath.dirname(path), []).append(path)
    found: dict[str, None] = {}
    for folder, held in folders.items():
        free = folder and not any(out == folder or out.startswith(folder + "/") for out in outs)
        data = not any(path.endswith(".py") for path in held)
        found |= dict.fromkeys([folder] if free and data and len(held) >= _MANY else held)
    return tuple(found)
