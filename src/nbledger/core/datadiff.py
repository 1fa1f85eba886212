"""Which of the files that two runs read differ: changed, read by one side only, or another file in its place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nbledger.core import codediff
from nbledger.core.differences import DataChange, Row
from nbledger.core.lineage import DVC, EXTERNAL, MOVED, FileRecord
from nbledger.core.literals import Literal
from nbledger.core.record import Record
from nbledger.core.sides import Side

CODE_SUFFIXES = (".py", ".pyx", ".pyi", ".ipynb")
_TOGETHER = 4  # so many differing files of one folder are told of as one data set


def changes(a: Side, b: Side, *, everything: bool = False) -> list[DataChange]:
    """The inputs that differ (with ``everything`` all), file by file. Code is not data."""
    left, right = inputs(a.record), inputs(b.record)
    uses = _uses(a), _uses(b)
    found = []
    for path in dict.fromkeys((*left, *right)):
        one, two = left.get(path), right.get(path)
        if one and two and one.md5 == two.md5 and one.md5 is not None:
            if everything:
                found.append(_change(uses, one, two, "same"))
            continue
        if one and two:
            known = one.md5 is not None and two.md5 is not None
            found.append(_change(uses, one, two, "changed" if known else "unknown"))
        elif "nbledger/inputs.json" not in (b if one else a).record.lacking:
            found.append(_change(uses, one, two, "removed" if one else "added"))
    return _moved(found)


def inputs(record: Record) -> dict[str, FileRecord]:
    return {r.path: r for r in record.inputs if not r.path.endswith(CODE_SUFFIXES)}


@dataclass(frozen=True)
class _Uses:
    """Who read and wrote each file in a session: indexes of its cells, ascending."""

    side: Side
    reads: dict[str, list[int]]
    writes: dict[str, list[int]]

    def reader(self, path: str) -> tuple[str, bool]:
        """(the cell that read it, whether the run depends on that cell); nothing is known where no cell says."""
        readers = self.reads.get(path, [])
        within = [i for i in readers if i in self.side.needed]
        if not readers:
            return "", True
        return codediff.label(self.side.record.cells[(within or readers)[-1]]), bool(within)

    def made(self, path: str) -> bool:
        """Whether a cell of this session wrote the file before one that read it did."""
        last = self.reads.get(path, [len(self.side.record.cells)])[-1]
        return any(i < last for i in self.writes.get(path, ()))


def _uses(side: Side) -> _Uses:
    found = _Uses(side, {}, {})
    for index, cell in enumerate(side.record.cells):
        for paths, table in ((cell.reads, found.reads), (cell.writes, found.writes)):
            for path in paths:
                table.setdefault(path, []).append(index)
    return found


def _change(uses: tuple[_Uses, _Uses], one: FileRecord | None, two: FileRecord | None, state: str) -> DataChange:
    here = one or two
    assert here is not None
    where = [use.reader(here.path) for use in uses]
    moved = any(r is not None and r.state == MOVED for r in (one, two))
    return DataChange(
        path=here.path,
        values=(one.md5 if one else None, two.md5 if two else None),
        state=state,
        sizes=(one.size if one else None, two.size if two else None),
        derived=all(
            use.made(r.path) and r.state != DVC for use, r in zip(uses, (one, two), strict=True) if r is not None
        ),
        outside=here.state == EXTERNAL,
        needed=any(needed for _, needed in where),
        read_by=where[1][0] or where[0][0],
        note="it was changed while the run went on: what was read is not known" if moved else "",
    )


def _moved(found: list[DataChange]) -> list[DataChange]:
    """Files that one side read and the other did not, joined where they are the same bytes, or the only ones."""
    removed, added = ([c for c in found if c.state == s] for s in ("removed", "added"))
    by_hash: dict[str | None, DataChange] = {c.values[1]: c for c in added if c.values[1] is not None}
    joined: list[DataChange] = []
    for gone in removed:
        same = by_hash.pop(gone.values[0], None)
        if same is not None:
            joined.append(_joined(gone, same, "moved"))
    left = _with(found, joined)
    removed, added = ([c for c in left if c.state == s and not c.outside] for s in ("removed", "added"))
    if len(removed) == len(added) == 1 and _suffix(removed[0].path) == _suffix(added[0].path):
        return _with(left, [_joined(removed[0], added[0], "replaced")])
    return left


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


def by_literals(
    found: list[DataChange],
    literals: Iterable[Literal],
    left: Mapping[str, FileRecord],
    right: Mapping[str, FileRecord],
) -> tuple[list[DataChange], set[Literal]]:
    """(the changes with files joined that a changed literal leads from and to, the literals that did). ``left`` and
    ``right`` are all that either side read.

    ``"a.csv"`` → ``"b.csv"``, but also ``fold = 1`` → ``2`` where one side read ``fold_1.csv`` and the other ``fold_2.csv``.
    """
    explained: set[Literal] = set()
    joined: dict[str, DataChange] = {}
    gone, came = ({c.path: c for c in found if c.state == s} for s in ("removed", "added"))
    paired = [c for c in found if c.other is not None]
    for literal in literals:
        old, new = (_text(x) for x in (literal.old, literal.new))
        if not old or not new or old == new:
            continue
        if any(_leads(c.path, c.other or "", old, new) for c in paired):
            explained.add(literal)
        for path in [p for p in (*gone, *left) if old in p]:
            target = _target(path, old, new, came) or (_target(path, old, new, right) if path in gone else None)
            if target is None or path in joined or (path not in gone and path in right and target not in came):
                continue
            joined[path] = _led_to(gone.get(path), came.get(target), left[path], right[target])
            explained.add(literal)
    return _with(found, list(joined.values())), explained


def _target(path: str, old: str, new: str, others: Mapping[str, object]) -> str | None:
    """The one of ``others`` that a literal leads to where it led to ``path`` before."""
    exact = _led(path, old, new)
    if exact in others:
        return exact
    if not _ends(path, old):
        return None
    return next((other for other in others if _ends(other, new)), None)


def _leads(path: str, other: str, old: str, new: str) -> bool:
    return _led(path, old, new) == other or (_ends(path, old) and _ends(other, new))


def _led_to(gone: DataChange | None, came: DataChange | None, one: FileRecord, two: FileRecord) -> DataChange:
    """The change from one file to another, of which the one may still be read as well, or the other have been before."""
    state = "moved" if one.md5 is not None and one.md5 == two.md5 else "replaced"
    here = gone or came
    assert here is not None
    whole = replace(
        here, path=one.path, other=two.path, state=state, values=(one.md5, two.md5), sizes=(one.size, two.size)
    )
    return replace(whole, needed=(gone or here).needed or (came or here).needed, read_by=(came or here).read_by)


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


def together(
    found: list[DataChange], left: Mapping[str, FileRecord], right: Mapping[str, FileRecord]
) -> list[DataChange]:
    """Changes of one data set (a tracked folder, or many files of a folder) as one, its files listed."""
    groups: dict[tuple[str, str], list[DataChange]] = {}
    for change in found:
        groups.setdefault(_group(change, left, right), []).append(change)
    joined = []
    for (folder, other), members in groups.items():
        if folder and len(members) >= _TOGETHER:
            joined.append(_folder(folder, other, members, left, right))
        else:
            joined += members
    return joined


def _group(change: DataChange, left: Mapping[str, FileRecord], right: Mapping[str, FileRecord]) -> tuple[str, str]:
    """(the folder it belongs to, the one it was replaced from or moved to); empty where it stands for itself."""
    if change.derived or change.outside or change.state not in ("changed", "added", "removed", "moved", "replaced"):
        return "", ""
    if change.other is not None:
        return posixpath.dirname(change.path), posixpath.dirname(change.other) + change.state
    known = left.get(change.path) or right.get(change.path)
    if known is not None and known.dataset and known.dataset != change.path:
        return known.dataset, ""
    return posixpath.dirname(change.path), ""


def _folder(
    folder: str,
    other: str,
    members: Sequence[DataChange],
    left: Mapping[str, FileRecord],
    right: Mapping[str, FileRecord],
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
        other=posixpath.dirname(members[0].other or "") + "/" if other else None,
        sizes=tuple(sum(s or 0 for s in side) for side in sizes),
        needed=any(m.needed for m in members),
        read_by=members[-1].read_by,
        files=tuple(Row(m.path, m.values, m.state) for m in members),
    )
