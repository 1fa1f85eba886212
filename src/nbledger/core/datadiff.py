"""Which of the files that two runs read differ: changed, read by one side only, or another file in its place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nbledger.core import codediff
from nbledger.core.differences import DataChange, Row
from nbledger.core.lineage import EXTERNAL, MOVED, FileRecord
from nbledger.core.record import Record
from nbledger.core.sides import Side
from nbledger.core.syntax import Literal

CODE_SUFFIXES = (".py", ".pyx", ".pyi", ".ipynb")
_TOGETHER = 4  # so many differing files of one folder are told of as one data set


def changes(a: Side, b: Side, *, everything: bool = False) -> list[DataChange]:
    """The inputs that differ (with ``everything`` all), files of one data set together. Code is not data."""
    left, right = _inputs(a.record), _inputs(b.record)
    found = []
    for path in dict.fromkeys((*left, *right)):
        one, two = left.get(path), right.get(path)
        if one and two and one.md5 == two.md5 and one.md5 is not None:
            if everything:
                found.append(_change(a, b, one, two, "same"))
            continue
        if one and two:
            known = one.md5 is not None and two.md5 is not None
            found.append(_change(a, b, one, two, "changed" if known else "unknown"))
        elif "nbledger/inputs.json" not in (b if one else a).record.lacking:
            found.append(_change(a, b, one, two, "removed" if one else "added"))
    return _together(_moved(found, left, right), left, right)


def _inputs(record: Record) -> dict[str, FileRecord]:
    return {r.path: r for r in record.inputs if not r.path.endswith(CODE_SUFFIXES)}


def _change(a: Side, b: Side, one: FileRecord | None, two: FileRecord | None, state: str) -> DataChange:
    here = one or two
    assert here is not None
    where = [_reader(side, here.path) for side in (a, b)]
    moved = [r.path for r in (one, two) if r is not None and r.state == MOVED]
    return DataChange(
        path=here.path,
        values=(one.md5 if one else None, two.md5 if two else None),
        state=state,
        sizes=(one.size if one else None, two.size if two else None),
        derived=all(_written(side, r.path) for side, r in ((a, one), (b, two)) if r is not None),
        outside=here.state == EXTERNAL,
        needed=any(needed for _, needed in where),
        read_by=where[1][0] or where[0][0],
        note="it was changed while the run went on: what was read is not known" if moved else "",
    )


def _reader(side: Side, path: str) -> tuple[str, bool]:
    """(the cell that read the file, whether the run's cell depends on it); nothing is known where no cell says."""
    every = side.record.cells
    readers = [i for i, cell in enumerate(every) if path in cell.reads]
    within = [i for i in readers if i in side.needed]
    if not readers:
        return "", True
    return codediff.label(every[(within or readers)[-1]]), bool(within)


def _written(side: Side, path: str) -> bool:
    """Whether a cell of this session wrote the file before one that read it did."""
    every = side.record.cells
    readers = [i for i, cell in enumerate(every) if path in cell.reads] or [len(every)]
    return any(path in cell.writes for cell in every[: max(readers)])


def _moved(found: list[DataChange], left: dict[str, FileRecord], right: dict[str, FileRecord]) -> list[DataChange]:
    """Files that one side read and the other did not, joined where they are the same bytes, or the only ones."""
    removed, added = ([c for c in found if c.state == s] for s in ("removed", "added"))
    joined: list[DataChange] = []
    for gone in list(removed):
        same = next((c for c in added if c.values[1] == gone.values[0] and gone.values[0] is not None), None)
        if same is not None:
            joined.append(_joined(gone, same, "moved"))
            removed.remove(gone)
            added.remove(same)
    removed = [c for c in removed if not c.outside]
    added = [c for c in added if not c.outside]
    if len(removed) == len(added) == 1 and _suffix(removed[0].path) == _suffix(added[0].path):
        joined.append(_joined(removed[0], added[0], "replaced"))
    return _with(found, joined)


def _joined(gone: DataChange, new: DataChange, state: str) -> DataChange:
    return replace(
        gone,
        state=state,
        other=new.path,
        values=(gone.values[0], new.values[1]),
        sizes=(gone.sizes[0], new.sizes[1]),
        derived=gone.derived and new.derived,
        needed=gone.needed or new.needed,
        read_by=new.read_by or gone.read_by,
    )


def _with(found: list[DataChange], joined: Sequence[DataChange]) -> list[DataChange]:
    """The list with the joined ones in place of their two parts."""
    parts = {(c.path, "removed") for c in joined} | {(c.other, "added") for c in joined}
    return [*joined, *(c for c in found if (c.path, c.state) not in parts)]


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def by_literals(found: list[DataChange], literals: Iterable[Literal]) -> tuple[list[DataChange], set[Literal]]:
    """(the changes with files joined that a changed literal leads from and to, the literals that did).

    ``"a.csv"`` → ``"b.csv"``, but also ``fold = 1`` → ``2`` where one side read ``fold_1.csv`` and the other ``fold_2.csv``.
    """
    explained: set[Literal] = set()
    joined: list[DataChange] = []
    for literal in literals:
        old, new = (_text(x) for x in (literal.old, literal.new))
        if not old or not new or old == new:
            continue
        for gone in (c for c in found if c.state in ("removed", "replaced", "moved")):
            target = _led(gone.path, old, new)
            if gone.other is not None:
                if gone.other == target or (_ends(gone.path, old) and _ends(gone.other, new)):
                    explained.add(literal)
                continue
            other = next((c for c in found if c.state == "added" and c.path == target), None) or next(
                (c for c in found if c.state == "added" and _ends(gone.path, old) and _ends(c.path, new)), None
            )
            taken = other is None or any(other.path == j.other for j in joined)
            if other is not None and not taken and gone.path not in {j.path for j in joined}:
                joined.append(_joined(gone, other, "moved" if gone.values[0] == other.values[1] else "replaced"))
                explained.add(literal)
    return _with(found, joined), explained


def _text(written: str) -> str:
    """What a literal says: ``'a.csv'`` → ``a.csv``, ``1`` → ``1``."""
    text = written.strip("'\"") if written[:1] in "'\"" else written
    return text.removeprefix("./")


def _led(path: str, old: str, new: str) -> str:
    """The path with the last occurrence of ``old`` replaced by ``new``."""
    head, found, tail = path.rpartition(old)
    return head + new + tail if found else ""


def _ends(path: str, text: str) -> bool:
    name = text.replace("\\", "/")
    while name.startswith("../"):
        name = name[3:]
    return bool(name) and ("/" + path).endswith("/" + name)


def _together(found: list[DataChange], left: dict[str, FileRecord], right: dict[str, FileRecord]) -> list[DataChange]:
    """Changes of one data set (a tracked folder, or many files of a folder) as one, its files listed."""
    groups: dict[str, list[DataChange]] = {}
    for change in found:
        group = _group(change, left, right)
        groups.setdefault(group, []).append(change)
    joined = []
    for folder, members in groups.items():
        if folder and len(members) >= _TOGETHER:
            joined.append(_folder(folder, members, left, right))
        else:
            joined += members
    return joined


def _group(change: DataChange, left: dict[str, FileRecord], right: dict[str, FileRecord]) -> str:
    if change.state not in ("changed", "added", "removed") or change.derived:
        return ""
    known = left.get(change.path) or right.get(change.path)
    if known is not None and known.dataset and known.dataset != change.path:
        return known.dataset
    return posixpath.dirname(change.path) if not change.outside else ""


def _folder(
    folder: str, members: Sequence[DataChange], left: dict[str, FileRecord], right: dict[str, FileRecord]
) -> DataChange:
    digests = []
    for side in (left, right):
        known = {r.digest for r in side.values() if r.dataset == folder and r.digest}
        digests.append(known.pop() if len(known) == 1 else None)
    states = {m.state for m in members}
    sizes = [[m.sizes[k] for m in members] for k in (0, 1)]
    return DataChange(
        path=folder + "/",
        values=tuple(digests),
        state=states.pop() if len(states) == 1 else "changed",
        sizes=tuple(sum(s or 0 for s in side) for side in sizes),
        outside=all(m.outside for m in members),
        needed=any(m.needed for m in members),
        read_by=members[-1].read_by,
        files=tuple(Row(m.path, m.values, m.state) for m in members),
        table=None,
    )
