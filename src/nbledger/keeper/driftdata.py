"""The files of a comparison before anything is compared: whether each is a table, and those of a folder are one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from nbledger.core import driftreference, tablediff
from nbledger.core.driftjob import Files
from nbledger.core.errors import ToolFailed, UsageError, nearest
from nbledger.core.project import Project
from nbledger.core.wording import some

_MOST_FILES = 2_000
_LEAST_ALIKE = 0.5


def named(project: Project, name: str, option: str = "--data") -> tuple[str, Files]:
    """(the path as it is shown, the file, or the tables of the folder). ``option`` is the one that named it."""
    place = Path(os.path.abspath(project.root / name))
    if place.is_dir():
        names = sorted(str(p) for p in place.rglob("*") if p.is_file() and tablediff.suffix_of(p.name))
        if len(names) > _MOST_FILES:
            raise UsageError(f"{name[:200]} holds {len(names):,} tables", f"{_MOST_FILES:,} are read at once")
    elif place.is_file():
        names = [str(place)] if tablediff.suffix_of(place.name) else []
    else:
        raise UsageError(f"there is no {name[:200]}", f"{option} names a table, or a folder of tables")
    if not names:
        raise UsageError(f"{name[:200]} is no table", "CSV, TSV, Parquet, JSON lines and Feather are read")
    return project.relative(place) or str(place), Files(tuple(map(Path, names)), tuple(names))


def columns(table: Files) -> list[str]:
    """Those that the first file has; none where it is no table."""
    return _columns(table.paths[0], table.names[0])


def every_column(table: Files) -> list[str]:
    """Those that any of the files has."""
    found: dict[str, None] = {}
    for path, name in zip(table.paths, table.names, strict=True):
        found |= dict.fromkeys(_columns(path, name))
    return list(found)


def checked(project: Project, table: Files, notes: list[str]) -> list[str]:
    """The columns of new data. ``UsageError`` names the file that is empty, that commas do not part, or that is quite another
    table than the others of its folder; of one that has a few other columns a note is taken.
    """
    found = [
        (project.relative(Path(name)) or name, tuple(_own(project, table, i))) for i, name in enumerate(table.names)
    ]
    most, _ = Counter(each for _, each in found).most_common(1)[0]
    usual = next(shown for shown, each in found if each == most)
    for shown, each in found:
        if driftreference.alike(most, each) < _LEAST_ALIKE:
            raise UsageError(
                f"{shown} is another table than {usual}, which lies in the same folder: its columns are {_some(each)}",
                "--data names one table, or a folder in which all are alike",
            )
    other = [shown for shown, each in found if set(each) != set(most)]
    if other:
        notes.append(
            f"not every file has the same columns: {some(other, 3)} against {usual}; what is not there is empty"
        )
    return every_column(table)


def _own(project: Project, table: Files, index: int) -> list[str]:
    """The columns of one file, which has some."""
    path, name = table.paths[index], table.names[index]
    shown = project.relative(Path(name)) or name
    if path.stat().st_size == 0:
        raise UsageError(f"{shown} is empty", "was it written whole? a table begins with a line of names")
    columns_of = _reader()
    try:
        found = columns_of(path, name)
    except Exception as err:  # whatever a parser makes of a file that is no table
        raise _unreadable(shown, err) from err
    if not found:
        raise _without_names(shown)
    if len(found) == 1 and any(mark in found[0] for mark in ";\t|"):
        raise UsageError(
            f"{shown} has one column, {found[0][:60]!r}: something else than a comma parts its columns",
            "write it with commas; a file with tabs is called .tsv",
        )
    return found


def require(wanted: str | None, what: str, reference: Files, data: Sequence[str]) -> None:
    """``UsageError`` where neither side has the column that is to be the target or the prediction (``what``)."""
    if wanted is None or wanted in data:
        return
    known = list(dict.fromkeys((*data, *every_column(reference))))
    if wanted not in known:
        hint = nearest(wanted, known) or f"there are: {_some(known)}"
        raise UsageError(f"neither table has a column {wanted[:80]!r}, which is to be the {what}", hint)


def _some(names: Sequence[str]) -> str:
    return some((name[:60] for name in names), 6)


def _unreadable(shown: str, err: Exception) -> UsageError:
    """What the parser found, in one line: a file with names in its first line may be broken far below."""
    from pandas.errors import EmptyDataError

    if isinstance(err, EmptyDataError):
        return _without_names(shown)
    if isinstance(err, UnicodeDecodeError):
        return UsageError(
            f"{shown} is not UTF-8: the byte 0x{err.object[err.start]:02x} is no text there",
            "write it as UTF-8 (if it is Latin-1: iconv -f latin1 -t utf-8)",
        )
    said = next(iter(str(err).splitlines()), "") or type(err).__name__
    return UsageError(f"{shown} cannot be read as a table: {said[:200]}", "was it written whole?")


def _without_names(shown: str) -> UsageError:
    return UsageError(f"{shown} has no columns: it cannot be read as a table", "CSV begins with a line of names")


def _columns(path: Path, name: str) -> list[str]:
    columns_of = _reader()
    try:
        return columns_of(path, name)
    except Exception:  # whatever a parser makes of a file that is no table
        return []


def _reader() -> Callable[[Path, str], list[str]]:
    """What reads the names of a table's columns. ``ToolFailed`` where the extra that it needs is not installed."""
    try:
        from nbledger.core import drifttable
    except ImportError as err:
        raise ToolFailed(
            "comparing data needs Evidently, which is not installed here", "pip install 'nbledger[drift]'"
        ) from err
    return drifttable.columns
