"""Which distributions do the modules come from that a process has imported?

The process itself only notes names (a millisecond); who owns them is looked up where nobody waits, from the lists of
files that installers leave (``RECORD``), remembered per folder until the folder changes.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from nbledger.core import environment
from nbledger.core.environment import canonical

_CODE = (".py", ".so", ".pyd")
_LEVELS = 3  # of a namespace package: google.cloud.storage

_listed_once = threading.Lock()  # it takes a second: threads that publish runs wait for the first of them
_noted: tuple[int, list[str]] = (-1, [])


def loaded() -> list[str]:
    """Top-level names of what this process has imported beside the standard library; of namespace packages the parts."""
    global _noted
    if _noted[0] == len(sys.modules):
        return _noted[1]
    modules = list(sys.modules)
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    shared = {top for top in tops if _is_namespace(top)}
    parts = {
        ".".join(name.split(".")[:level])
        for name in modules
        if shared and name.partition(".")[0] in shared
        for level in range(2, _LEVELS + 1)
    }
    _noted = (len(sys.modules), sorted(n for n in (tops - shared) | parts if n and not n.startswith("__")))
    return _noted[1]


def _is_namespace(name: str) -> bool:
    # Lazy modules import themselves when an attribute is asked for; their dictionary does not.
    try:
        own = object.__getattribute__(sys.modules[name], "__dict__")
    except (KeyError, AttributeError, TypeError):
        return False
    return own.get("__file__") is None and "__path__" in own


def distributions(modules: Iterable[str], path: Sequence[str]) -> dict[str, str]:
    """{distribution: version} that own ``modules``, found on the ``sys.path`` of the process that imported them."""
    with _listed_once:
        listings = [
            _listing(folder, os.stat(folder).st_mtime_ns) for folder in path if folder and os.path.isdir(folder)
        ]
    found: dict[str, str] = {}
    for module in modules:
        for listing in listings:
            owners = listing.get(module)
            if owners:
                found.update((name, version) for name, version in owners.items() if name not in found)
                break
    return dict(sorted(found.items()))


@lru_cache(64)
def _listing(folder: str, _mtime: int) -> Mapping[str, Mapping[str, str]]:
    """{module: {distribution: version}} of one folder of ``sys.path``."""
    found: dict[str, dict[str, str]] = {}
    for name, version, info in environment.scanned(folder):
        for module in _modules_of(name, Path(info)):
            found.setdefault(module, {})[name] = version
    return found


def _modules_of(name: str, info: Path) -> set[str]:
    """The modules that a distribution installs: from RECORD; of a development install what it says, else its name."""
    files = _recorded(info / "RECORD") if info.is_dir() else []
    found = {part for file in files for part in _names(file)}
    found -= {n for n in found if n.startswith("__editable__")}
    if not found:
        listed = _text(info / "top_level.txt").split() if info.is_dir() else []
        found = set(listed) or {name.replace("-", "_")}
    return found


def _recorded(record: Path) -> list[str]:
    lines = (line.partition(",")[0].strip('"') for line in _text(record).splitlines())
    return [path for path in lines if path.endswith(_CODE) and not path.startswith(("..", "/"))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _names(file: str) -> list[str]:
    """``google``, ``google.cloud`` and ``google.cloud.storage`` of ``google/cloud/storage/__init__.py``."""
    *folders, last = file.split("/")
    if folders and folders[0].endswith((".dist-info", ".data")):
        return []
    parts = [*folders, last.partition(".")[0]] if last != "__init__.py" else folders
    return [".".join(parts[:level]) for level in range(1, min(len(parts), _LEVELS) + 1)]


def direct(root: Path) -> list[str]:
    """Distributions that the project in ``root`` names itself: in ``pyproject.toml``, ``requirements*.txt`` and conda's
    ``environment.yml``; normalised names.
    """
    found: list[str] = []
    for file in sorted(root.glob("requirements*.txt")):
        found += [line.split("#")[0].strip() for line in _text(file).splitlines()]
    found += _of_pyproject(_text(root / "pyproject.toml"))
    for name in ("environment.yml", "environment.yaml"):
        found += re.findall(r"^\s*-\s*([\w.-]+)", _text(root / name), flags=re.MULTILINE)
    names = (re.match(r"[A-Za-z0-9][\w.-]*", text) for text in found)
    return sorted({canonical(match[0].strip("-_.")) for match in names if match})


def _of_pyproject(text: str) -> list[str]:
    import tomllib

    try:
        project = tomllib.loads(text).get("project", {})
        extras = project.get("optional-dependencies", {}).values()
        return [str(name) for group in (project.get("dependencies", []), *extras) for name in group]
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        return []
