"""Which of the files a process opens are data of the project's, and which are the machinery around it."""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import os
import sys
import sysconfig
import tempfile
import urllib.parse
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from nbledger.core.project import Project

_SYSTEM = (
    "/proc",
    "/sys",
    "/dev",
    "/etc",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/run",
    "/snap",
    "/nix",
    "/var/tmp",  # noqa: S108
    "/var/cache",
    "/var/lib",
    "/var/run",
    "/System",
    "/Library",
)
_HOME = (
    ".cache",
    ".config",
    ".local",
    ".ipython",
    ".jupyter",
    ".matplotlib",
    ".fonts",
    ".dvc",
    ".gitconfig",
    ".netrc",
    ".ssh",
    ".aws",
    ".conda",
    ".condarc",
    ".nv",
    ".triton",
    "Library",
)
_VARIABLES = (
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
)
_PARTS = frozenset(
    (
        ".git",
        ".dvc",
        ".nbledger",
        "__pycache__",
        ".ipynb_checkpoints",
        "mlruns",
        "mlartifacts",
        "site-packages",
        "dist-packages",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        "node_modules",
    )
)
_NAMES = frozenset((".git", ".gitignore", ".gitattributes", ".dvcignore", ".nbledger.toml", "dvc.lock"))


class Sieve:
    """Keeps what a run's lineage is about. ``prefixes`` is for the hot path, ``keeps`` for the end of a window."""

    def __init__(self, project: Project, notebook: Path | None = None) -> None:
        root = str(project.root)
        self._root = root + os.sep
        # A project may live in a temporary folder, in ~/.local or in /usr/local: what holds the root is no reason.
        self.prefixes = tuple(p for p in _machinery() if not self._root.startswith(p))
        self._notebook = {os.path.abspath(notebook), os.path.realpath(notebook)} if notebook else set()
        self._ignored = project.settings.ignore_inputs
        store = urllib.parse.unquote(project.tracking_uri.partition("sqlite:///")[2])
        self._store = {os.path.join(root, store + end) for end in ("", "-wal", "-shm", "-journal")} if store else set()

    def keeps(self, path: str) -> bool:
        """Is this path (absolute, as named) data?"""
        if path.startswith(self.prefixes) or path in self._notebook or path in self._store:
            return False
        inside = path.removeprefix(self._root)
        *folders, name = inside.replace(os.sep, "/").split("/")
        if not _PARTS.isdisjoint(folders) or name in _NAMES or name.startswith("mlflow.db"):
            return False
        if name.endswith((".pyc", ".dvc")):
            return False
        return not any(_matches(inside, name, pattern) for pattern in self._ignored)


def _matches(path: str, name: str, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatch.fnmatch(name, pattern)
    return fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, pattern.rstrip("/") + "/*")


def import_path() -> list[str]:
    """``sys.path`` without what some put there and Python passes over: a ``Path``, bytes."""
    given: list[Any] = sys.path
    return [entry for entry in given if isinstance(entry, str)]


def _machinery() -> tuple[str, ...]:
    """Folders of the interpreter, the system and its caches, each with a separator at its end."""
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    packages = tuple(p for p in import_path() if p.rstrip("/\\").endswith(("site-packages", "dist-packages")))
    return _with_environment(
        prefixes, packages, tuple(os.environ.get(v, "") for v in _VARIABLES), tempfile.gettempdir()
    )


@cache
def _with_environment(
    prefixes: tuple[str, ...], packages: tuple[str, ...], folders: tuple[str, ...], temporary: str
) -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    library = [paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib", "scripts", "include")]
    home = os.path.expanduser("~")
    own = [place for name in ("nbledger", "nbledger_magics") for place in _package(name)]
    named = [
        *own,
        *prefixes,
        *packages,
        *folders,
        *library,
        *_SYSTEM,
        temporary,
        *(os.path.join(home, n) for n in _HOME),
    ]
    ways = {way for n in named if n for way in (os.path.abspath(n), os.path.realpath(n))}
    return tuple(sorted(w.rstrip(os.sep) + os.sep for w in ways if w != os.sep))


def _package(name: str) -> list[str]:
    """Where nbledger's own packages are: a development install has them beside the project's own code."""
    with contextlib.suppress(ImportError, ValueError):
        if (spec := importlib.util.find_spec(name)) is not None:
            return list(spec.submodule_search_locations or ())
    return []


def modules_below(root: str, sieve: Sieve) -> list[str]:
    """Source files of the project that this process has imported, sorted."""
    start, found = root + os.sep, set()
    for module in list(sys.modules.values()):
        with contextlib.suppress(Exception):
            # Lazy modules import themselves when an attribute is asked for; their dictionary does not.
            name = object.__getattribute__(module, "__dict__").get("__file__")
            if isinstance(name, str) and (path := _path_below(name, start, sieve.prefixes)) and sieve.keeps(path):
                found.add(path)
    return sorted(found)


@lru_cache(maxsize=20_000)
def _path_below(name: str, start: str, prefixes: tuple[str, ...]) -> str | None:
    """The module file's path if it lies below ``start``; remembered, since a kernel holds thousands of modules."""
    path = os.path.abspath(name)
    if path.startswith(prefixes):
        return None
    path = path if path.startswith(start) else os.path.realpath(path)
    return path if path.startswith(start) else None
