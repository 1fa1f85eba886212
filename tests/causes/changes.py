"""What a case may do to the files of a project: one small function a word, looked up by the ``do`` of the change."""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from causes.case import Change

Rows = list[list[str]]


def apply(root: Path, change: Change) -> None:
    """Do one change; a word that is not known, or a change that changes nothing, is an error."""
    word = change["do"]
    if word in _ROWS:
        _rewrite(root / change["file"], change, _ROWS[word])
    elif word in _FILES:
        _FILES[word](root, change)
    else:
        raise ValueError(f"there is no change {word!r}: {', '.join(sorted({*_ROWS, *_FILES}))}")


def _rewrite(path: Path, change: Change, edit: Callable[[Rows, Change], Rows]) -> None:
    before = path.read_text(encoding="utf-8")
    rows = edit(list(csv.reader(io.StringIO(before))), change)
    _save(path, rows)
    if path.read_text(encoding="utf-8") == before:
        raise ValueError(f"{change['do']} left {path.name} as it was")


def _save(path: Path, rows: Rows, delimiter: str = ",") -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def _set(rows: Rows, change: Change) -> Rows:
    column = rows[0].index(change["column"])
    for row in change["rows"]:
        rows[row][column] = str(change["value"])
    return rows


def _map(rows: Rows, change: Change) -> Rows:
    column = rows[0].index(change["column"])
    for row in rows[1:]:
        row[column] = str(eval(change["to"], {"v": row[column], "row": dict(zip(rows[0], row, strict=True))}))
    return rows


def _drop_column(rows: Rows, change: Change) -> Rows:
    column = rows[0].index(change["column"])
    return [row[:column] + row[column + 1 :] for row in rows]


def _add_column(rows: Rows, change: Change) -> Rows:
    values = [change["column"], *(str(change["value"]) for _ in rows[1:])]
    return [[*row, value] for row, value in zip(rows, values, strict=True)]


def _shuffle(rows: Rows, change: Change) -> Rows:
    body = rows[1:]
    random.Random(change.get("seed", 1)).shuffle(body)
    return [rows[0], *body]


def _sort(rows: Rows, change: Change) -> Rows:
    column = rows[0].index(change["column"])
    return [rows[0], *sorted(rows[1:], key=lambda row: row[column], reverse=change.get("reverse", False))]


def _add(rows: Rows, change: Change) -> Rows:
    return [*rows, *([str(v) for v in row] for row in change["values"])]


def _drop(rows: Rows, change: Change) -> Rows:
    return [row for number, row in enumerate(rows) if number not in change["rows"]]


def _duplicate(rows: Rows, change: Change) -> Rows:
    return [*rows, *(rows[number] for number in change["rows"])]


_ROWS: dict[str, Callable[[Rows, Change], Rows]] = {
    "set-values": _set,
    "map-column": _map,
    "drop-column": _drop_column,
    "add-column": _add_column,
    "shuffle-rows": _shuffle,
    "sort-rows": _sort,
    "add-rows": _add,
    "drop-rows": _drop,
    "duplicate-rows": _duplicate,
}


def _replace(root: Path, change: Change) -> None:
    path = root / change["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(change["old"]) != 1:
        raise ValueError(
            f"{change['file']}: {change['old']!r} stands in it {text.count(change['old'])} times, not once"
        )
    path.write_text(text.replace(change["old"], change["new"]), encoding="utf-8")


def _write(root: Path, change: Change) -> None:
    path = root / change["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(change["text"], encoding="utf-8")


def _delete(root: Path, change: Change) -> None:
    (root / change["file"]).unlink()


def _rename(root: Path, change: Change) -> None:
    (root / change["to"]).parent.mkdir(parents=True, exist_ok=True)
    (root / change["file"]).rename(root / change["to"])


def _copy(root: Path, change: Change) -> None:
    (root / change["to"]).parent.mkdir(parents=True, exist_ok=True)
    (root / change["to"]).write_bytes((root / change["file"]).read_bytes())


def _delimiter(root: Path, change: Change) -> None:
    path = root / change["file"]
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    _save(path, rows, change["to"])


def _encoding(root: Path, change: Change) -> None:
    path = root / change["file"]
    path.write_bytes(path.read_text(encoding="utf-8").encode(change["to"]))


def _python(root: Path, change: Change) -> None:
    """A program of the case's own, for files that are not text."""
    call = [sys.executable, "-c", change["code"]]
    done = subprocess.run(call, cwd=root, check=False, timeout=120, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"the case's program failed: {done.stderr}")


_FILES: dict[str, Callable[[Path, Change], None]] = {
    "replace": _replace,
    "write": _write,
    "delete": _delete,
    "rename": _rename,
    "copy": _copy,
    "delimiter": _delimiter,
    "encoding": _encoding,
    "python": _python,
}
