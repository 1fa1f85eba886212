"""File names in SQL text, as DuckDB understands them: quoted names that it reads, writes or attaches."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# A comment, or a quoted string with the words before it.
_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"", re.DOTALL)
_COMPARED = re.compile(
    r"(?:=|<>|!=|<|>|\b(?:like|ilike|glob|similar\s+to|not\s+in|\bin)\s*\()\s*$"
    r"|\b(?:like|ilike|glob|as|similar\s+to)\s*$",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"\b(?:delim|sep|header|quote|escape|compression|format|hive\w*|dateformat|nullstr)\s*=\s*$", re.IGNORECASE
)
_TO = re.compile(r"\bcopy\b.*\bto\s*$|\bexport\s+database\s*$", re.IGNORECASE | re.DOTALL)
_IMPORT = re.compile(r"\bimport\s+database\s*$", re.IGNORECASE)
_ATTACH = re.compile(r"\battach\s+(?:or\s+replace\s+)?(?:database\s+)?(?:if\s+not\s+exists\s+)?$", re.IGNORECASE)
_FOLDER = re.compile(r"\b(?:delta_scan|iceberg_scan|lance_scan|import\s+database)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?|s3|gs|gcs|r2|az|azure|abfss|hf|file)://", re.IGNORECASE)


@dataclass
class SqlFiles:
    """Names as they stand in the text. ``folders``: a whole folder may be meant, not only files and patterns."""

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    databases: dict[str, None] = field(default_factory=dict)
    folders: bool = False


def files_of(sql: str, parameters: Sequence[str] = ()) -> SqlFiles:
    """What ``sql`` names; ``parameters`` are bound values, which are files where they look like it."""
    found = SqlFiles(folders=bool(_FOLDER.search(sql)))
    statement = 0
    for match in _TOKEN.finditer(sql):
        quoted = match[1] if match[1] is not None else match[2]
        if quoted is None:
            continue
        cut = sql.rfind(";", statement, match.start())
        statement = cut + 1 if cut >= 0 else statement
        _sort(found, quoted.replace("''", "'").replace('""', '"'), sql[statement : match.start()])
    found.reads.update((p, None) for p in parameters if _likely(p, found.folders))
    return found


def _sort(found: SqlFiles, name: str, before: str) -> None:
    if _TO.search(before):
        found.writes[name] = None
    elif _ATTACH.search(before):
        if not name.startswith(":") and name:
            found.databases[name] = None
    elif _IMPORT.search(before) or (not _compared(before) and _likely(name, found.folders)):
        found.reads[name] = None


def _compared(before: str) -> bool:
    return bool(_COMPARED.search(before) or _OPTION.search(before))


def _likely(name: str, folders: bool) -> bool:
    """An address, a pattern with a folder or an ending, or something that exists."""
    if not name or "\n" in name or len(name) > 4096:
        return False
    if _ADDRESS.match(name):
        return True
    if any(c in name for c in "*?["):
        return "/" in name or "." in name
    path = os.path.expanduser(name)
    return os.path.isfile(path) or (folders and os.path.isdir(path))
