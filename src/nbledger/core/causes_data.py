"""Causes that lie in the data: which file, what of it, and whether it only followed from something else."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from nbledger.core import codediff, syntax
from nbledger.core.differences import DATA, SEED, Cause, DataChange
from nbledger.core.pair import Pair
from nbledger.core.wording import counted, some


def causes(pair: Pair) -> Iterator[Cause]:
    for change in pair.found.data:
        if change.keys and all(syntax.is_seed(row.name.rpartition(".")[2]) for row in change.keys):
            said = _keys(change).removeprefix(": ")
            yield Cause(SEED, f"{change.path} differs: {said}", _evidence(pair, change), _weight(pair, change))
        elif change.state != "same":
            yield Cause(DATA, _words(pair, change), _evidence(pair, change), _weight(pair, change))


def _weight(pair: Pair, change: DataChange) -> float:
    if change.derived:
        return 0.15
    if not change.needed:
        return 0.1
    if change.state == "moved":
        return 0.05
    if change.alike:
        return 0.1
    if change.state == "unknown":
        return 0.25
    if change.outside:
        return 0.35
    if change.state in ("added", "removed") and (_mentioned(pair, change) or _only_there(pair, change)):
        return 0.5  # the edit that reads it is the cause
    if change.keys and _told_as_parameters(pair, change):
        return 0.2
    return 0.95


def _mentioned(pair: Pair, change: DataChange) -> bool:
    """Whether an edit of the code brought the file in, or took it out."""
    name, mark = posixpath.basename(change.path.rstrip("/")), "+" if change.state == "added" else "-"
    edits = (line for c in pair.found.code if c.needed and c.effect == "code" for line in c.diff)
    return any(line.startswith(mark) and name in line for line in edits)


def _only_there(pair: Pair, change: DataChange) -> bool:
    """Whether the cell that read the file ran on one side only."""
    mine, theirs = (pair.b, pair.a) if change.state == "added" else (pair.a, pair.b)
    path = change.files[-1].name if change.files else change.path
    readers = {syntax.shape(c.source).exact for c in pair.slice(mine) if path in c.reads}
    return bool(readers) and readers.isdisjoint(syntax.shape(c.source).exact for c in pair.slice(theirs))


def _told_as_parameters(pair: Pair, change: DataChange) -> bool:
    """Whether every setting that differs is a recorded parameter, which is then the cause."""
    moved = {name.rpartition(".")[2] for name, _ in pair.params()}
    return all(row.name.rpartition(".")[2] in moved for row in change.keys)


def _words(pair: Pair, change: DataChange) -> str:
    a, b = pair.a.title, pair.b.title
    if change.state == "replaced":
        return f"{b} read {change.other} where {a} read {change.path}"
    if change.state == "moved":
        return f"{b} read {change.other} where {a} read {change.path}: the same bytes"
    if change.state == "added":
        return f"{b} also read {change.path}"
    if change.state == "removed":
        return f"{a} also read {change.path}"
    if change.state == "unknown":
        return f"{change.path} may differ: its contents were not recorded"
    return f"{change.path} differs{_files(change)}{_table(change)}{_keys(change)}"


def _files(change: DataChange) -> str:
    if not change.files:
        return ""
    counts = {state: sum(row.note == state for row in change.files) for state in ("added", "removed", "changed")}
    return f" ({', '.join(f'{count} files {state}' for state, count in counts.items() if count)})"


def _keys(change: DataChange) -> str:
    said = [f"{row.name} {row.values[0] or 'absent'} → {row.values[1] or 'absent'}" for row in change.keys]
    return f": {', '.join(said[:3])}{' …' if len(said) > 3 else ''}" if said else ""


def _table(change: DataChange) -> str:
    words = table_words(change)
    return f": {words}" if words else ""


def table_words(change: DataChange) -> str:
    """What became of a table, in a few words; empty where its contents were not compared."""
    table = change.table
    if table is None:
        return ""
    if table.same:
        return "the same values, written in another way"
    parts = []
    if table.reordered:
        parts.append("rows in another order" if table.count else "the same rows in another order")
    counts = (("added", table.added), ("removed", table.removed), ("changed", table.changed))
    parts += [f"{counted(count, 'row')} {state}" for state, count in counts if count]
    for state in ("added", "removed", "dtype"):
        names = [c.name for c in table.columns if c.state == state]
        if names:
            said = "of another type" if state == "dtype" else state
            parts.append(f"column{'s' if len(names) > 1 else ''} {some(names, 4)} {said}")
    if table.columns_reordered:
        parts.append("columns in another order")
    moved = [c for c in table.columns if c.state == "moved"]
    if moved:
        parts.append("; ".join(f"{c.name}: {c.what}" for c in moved[:2]))
    return ", ".join(parts)


def written_by(pair: Pair, change: DataChange) -> str:
    """The last cell of the second side's session (or else the first's) that wrote a file before the run read it."""
    for side in (pair.b, pair.a):
        writers = [c for c in side.record.cells[:-1] if change.path in c.writes]
        if writers:
            return codediff.label(writers[-1])
    return ""


def _evidence(pair: Pair, change: DataChange) -> str:
    parts = []
    hashes = [value[:8] if value else "none" for value in change.values]
    if any(change.values) and change.state not in ("added", "removed", "moved"):
        parts.append(f"MD5 {hashes[0]} → {hashes[1]}")
    if change.read_by:
        parts.append(f"read by {change.read_by}")
    writer = written_by(pair, change)
    if writer and not change.derived:
        parts.append(f"written by {writer}")
    because = [x for x in pair.absorbed if x.old.strip("'\"") in change.path]
    if because and change.other:
        parts.append(f"{because[0].name or 'the name in the code'} was {because[0].old} and is {because[0].new}")
    if change.derived:
        parts.append("the session wrote it itself, so it followed from something else")
    if not change.needed:
        parts.append("the run's cell does not depend on what read it")
    if change.outside:
        parts.append("outside the project")
    return "; ".join([*parts, *([change.note] if change.note else [])])
