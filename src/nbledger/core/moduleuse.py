"""Which of a project's own modules some code needs: those it imports, and those that these import, told from the source."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from nbledger.core.defuse import tree_of


def used(root: Path, modules: Sequence[str], sources: Iterable[str]) -> list[str]:
    """Those of ``modules`` (paths of loaded source files, from ``root``) that cells with these sources need.

    Where a source imports by a name that is computed, all of them count.
    """
    names = {path: _names(path) for path in modules}
    wanted: set[str] = set()
    for source in sources:
        tree = tree_of(source)
        if tree is None:
            continue
        found = _imported(tree, "")
        if found is None:
            return list(modules)
        wanted |= found
    chosen: dict[str, None] = {}
    pending = wanted
    while pending:
        more: set[str] = set()
        for path in modules:
            if path in chosen or names[path].isdisjoint(pending):
                continue
            chosen[path] = None
            inner = _of_file(root, path)
            if inner is None:
                return list(modules)
            more |= inner
        pending = more
    return [path for path in modules if path in chosen]


def _names(path: str) -> frozenset[str]:
    """The names under which a module's file may be imported: its path, and each end of it, with dots."""
    stem = path.removesuffix(".py")
    stem = stem.removesuffix("/__init__")
    parts = stem.split("/")
    return frozenset(".".join(parts[at:]) for at in range(len(parts)))


def _of_file(root: Path, path: str) -> set[str] | None:
    try:
        tree = ast.parse((root / path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    return _imported(tree, posixpath.dirname(path))


def _imported(tree: ast.AST, package: str) -> set[str] | None:
    """Names that may be modules, with the packages that hold them; None where one is computed."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _chain(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            for name in (base, *(f"{base}.{alias.name}" for alias in node.names)):
                found |= _chain(name.strip("."))
        elif isinstance(node, ast.Call):
            named = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if named in ("import_module", "__import__", "run_path", "run_module"):
                if not (node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)):
                    return None
                found |= _chain(node.args[0].value)
    return found


def _base(node: ast.ImportFrom, package: str) -> str:
    """The module that names are imported from; of a relative import, by the folder of the file that makes it."""
    if not node.level:
        return node.module or ""
    parts = package.split("/") if package else []
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _chain(name: str) -> set[str]:
    """``a.b.c`` needs ``a`` and ``a.b``, too."""
    parts = name.split(".")
    return {".".join(parts[: at + 1]) for at in range(len(parts))} - {""}
