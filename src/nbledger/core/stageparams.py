"""A notebook's parameters for a stage: what the cell tagged ``parameters`` sets, what is used of it, what params.yaml has."""

from __future__ import annotations

import ast
import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from nbledger.core import defuse, stages
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.project import Project

NOT_PLAIN = object()


def values(book: Any, indexes: Sequence[int]) -> dict[str, Any]:
    """{variable: value} that the cells tagged ``parameters`` among these set; ``NOT_PLAIN`` for one that is computed."""
    found: dict[str, Any] = {}
    for at in indexes:
        cell = book.cells[at]
        if "parameters" not in (getattr(cell, "metadata", None) or {}).get("tags", ()):
            continue
        for statement in defuse.body_of(cell.source) or ():
            targets = statement.targets if isinstance(statement, ast.Assign) else ()
            if isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets = [statement.target]
            for target in targets:
                if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                    found |= _assigned(target, statement.value)
    return found


def _assigned(target: ast.expr, value: ast.expr) -> dict[str, Any]:
    """The names that an assignment sets; ``a, b = 1, 2`` sets two."""
    if isinstance(target, ast.Name):
        return {target.id: _literal(value)}
    if isinstance(target, ast.Tuple | ast.List):
        same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        parts = value.elts if isinstance(value, ast.Tuple | ast.List) and same else [None] * len(target.elts)
        return {
            inner.id: _literal(part)
            for inner, part in zip(target.elts, parts, strict=True)
            if isinstance(inner, ast.Name)
        }
    return {}


def _literal(node: ast.expr | None) -> Any:
    try:
        value = ast.literal_eval(node) if node is not None else NOT_PLAIN
        json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return NOT_PLAIN
    return list(value) if isinstance(value, tuple) else value


def known_keys(project: Project) -> dict[str, Any]:
    """{dotted key: value} of params.yaml."""
    file = posixpath.join(stages.prefix(project), stages.PARAMS)
    if not (project.root / file).is_file():
        return {}
    found: dict[str, Any] = {}

    def walk(table: Mapping[str, Any], above: str) -> None:
        for key, value in table.items():
            found[f"{above}{key}"] = value
            if isinstance(value, Mapping):
                walk(value, f"{above}{key}.")

    try:
        walk(stages.file_table(project, file), "")
    except UsageError as err:
        raise LedgerError(err.message, err.hint) from err
    return found


def used(book: Any, indexes: Sequence[int]) -> set[str]:
    """The names that these cells need of each other."""
    names = [defuse.names_of(book.cells[at].source) for at in indexes]
    return set[str]().union(*(each.loads | each.later for each in names))
