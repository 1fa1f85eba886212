"""Files that declare or lock a project's environment: which packages differ between two commits."""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Mapping

from nbledger.core import gitlog
from nbledger.core.differences import Row
from nbledger.core.git import GitRepo
from nbledger.core.report import Pins

_NAMED = re.compile(
    r"(.*[-_.])?requirements([-_.].*)?\.(txt|in)|constraints.*\.txt|pyproject\.toml|uv\.lock|poetry\.lock|pdm\.lock|"
    r"pylock(\..+)?\.toml|Pipfile(\.lock)?|environment\.ya?ml|conda-lock\.yml|pixi\.(toml|lock)|setup\.(py|cfg)|\.python-version",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*((?:[=<>!~]=?=?|@)\s*[^;#\s]+(?:\s*,\s*[^;#\s]+)*)?"
)
_LARGEST = 20_000_000
_MOST = 200
_FILES = 30


def changes(repo: GitRepo, base: str, head: str) -> list[Pins]:
    """The files that differ, each with its packages."""
    kinds = {p: k for p, k in gitlog.changed_paths(repo, base, head).items() if _NAMED.fullmatch(posixpath.basename(p))}
    chosen = sorted(kinds)[:_FILES]
    contents = gitlog.blobs(repo, [(commit, path) for path in chosen for commit in (base, head)])
    states = {"A": "added", "D": "removed"}
    found = []
    for path, before, after in zip(chosen, contents[0::2], contents[1::2], strict=True):
        rows = _differing(packages(path, before), packages(path, after))
        if rows or not posixpath.basename(path).startswith("pyproject"):
            state = states.get(kinds[path], "changed")
            found.append(Pins(path, state, tuple(rows[:_MOST]), max(0, len(rows) - _MOST)))
    return found


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[Row]:
    names = sorted({**old, **new})
    return [Row(name, (old.get(name), new.get(name))) for name in names if old.get(name) != new.get(name)]


def packages(path: str, data: bytes | None) -> dict[str, str]:
    """{package: version or range} that a file names; empty where it is of a kind that is not read, or broken."""
    if data is None or len(data) > _LARGEST:
        return {}
    name = posixpath.basename(path).lower()
    try:
        text = data.decode("utf-8")
        if name == "pyproject.toml":
            return _project(tomllib.loads(text))
        if (name.endswith(".lock") and not name.startswith(("pipfile", "pixi"))) or name.startswith("pylock"):
            return _locked(tomllib.loads(text))
        if name == "pipfile.lock":
            sections = json.loads(text)
            return {
                k: str(v.get("version", "")) for s in ("default", "develop") for k, v in sections.get(s, {}).items()
            }
        return _lines(text.splitlines()) if name.endswith((".txt", ".in")) else {}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _locked(table: Mapping[str, object]) -> dict[str, str]:
    rows = table.get("package") or table.get("packages")
    listed = rows if isinstance(rows, list) else []
    return {str(row["name"]): str(row.get("version", "")) for row in listed if isinstance(row, dict) and "name" in row}


def _project(table: Mapping[str, dict[str, object]]) -> dict[str, str]:
    project = table.get("project", {})
    optional = project.get("optional-dependencies", {})
    groups = [project.get("dependencies", []), *(optional.values() if isinstance(optional, dict) else ())]
    found = _lines([str(line) for group in groups if isinstance(group, list) for line in group])
    python = project.get("requires-python")
    return {**found, **({"python": str(python)} if python else {})}


def _lines(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        match = _LINE.match(line.strip())
        if match:
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = " ".join((match[2] or "any").split())
    return found
