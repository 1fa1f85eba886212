"""What differs inside the files that two runs read: tables by rows and columns, settings by keys, text by lines."""

from __future__ import annotations

import difflib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbledger.core import contents, settingsdiff, tablediff
from nbledger.core.differences import DataChange, Row, TableChange
from nbledger.core.project import Project
from nbledger.core.sides import Side

_FILES = 8  # looked into in one comparison; the rest is only named
_LINES = 2_000_000
_PAIRS = 50_000  # equal lines, each with each, up to which it is worked out where lines came and went
_KEPT = 256
_ENDS = "only line ends differ"


@dataclass(frozen=True)
class Inside:
    """What differs between two contents, as the fields of a change have it."""

    table: TableChange | None = None
    keys: tuple[Row, ...] = ()
    alike: bool = False
    note: str = ""


_known: OrderedDict[tuple[str, ...], Inside] = OrderedDict()


def look(project: Project, a: Side, b: Side, changes: Sequence[DataChange]) -> list[DataChange]:
    """The changes with what differs inside, where both contents are at hand; else a note that says they are not."""
    left = _FILES
    found = []
    for change in changes:
        if change.path.endswith("/") and not change.files:
            found.append(_folder(project, change))
        elif change.state in ("changed", "replaced") and all(change.values) and not change.files and left:
            left -= 1
            found.append(_looked(project, a, b, change))
        else:
            found.append(change)
    return found


def _folder(project: Project, change: DataChange) -> DataChange:
    """A tracked folder that is known by its hash alone: what became of its files."""
    old, new = (contents.folder(project, value) if value else {} for value in change.values)
    if not old or not new:
        return replace(change, whole=False, note=_also(change.note, "the list of its files is not at hand"))
    rows = [
        Row(change.path + name, (old.get(name), new.get(name)), _became(old.get(name), new.get(name)))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    return replace(change, files=tuple(rows))


def _became(old: str | None, new: str | None) -> str:
    return "added" if old is None else "removed" if new is None else "changed"


def _looked(project: Project, a: Side, b: Side, change: DataChange) -> DataChange:
    """Contents are known by their hash, so two of them are compared once."""
    old, new = change.values[0] or "", change.values[1] or ""
    paths = (change.path, change.other or change.path)
    key = (old, new, *(Path(path).suffix.lower() for path in paths))
    inside = _known.get(key)
    if inside is None:
        bytes_a = contents.find(project, change.path, old, a.commit)
        bytes_b = contents.find(project, paths[1], new, b.commit)
        if bytes_a is None or bytes_b is None:
            title = a.title if bytes_a is None else b.title
            return replace(
                change, whole=False, note=_also(change.note, f"the contents that {title} read are not at hand")
            )
        inside = between(bytes_a, bytes_b, paths)
        _known[key] = inside
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    found = replace(change, table=inside.table, keys=inside.keys, alike=inside.alike)
    return replace(found, note=_also(change.note, inside.note))


def _also(note: str, more: str) -> str:
    return "; ".join(filter(None, (note, more)))


def between(a: Path | bytes, b: Path | bytes, paths: tuple[str, str]) -> Inside:
    """What differs between two contents, told by the kind of file that the names say."""
    kinds = [tablediff.suffix_of(path) for path in paths]
    if kinds[0] is not None and kinds[1] is not None:
        table = tablediff.compare(a, b, kinds[0], kinds[1])
        if table is not None:
            note = "" if table.sampled is None else f"only the first {table.sampled:,} rows were compared"
            return Inside(table, alike=table.same and table.sampled is None, note=note)
    endings = [Path(path).suffix.lower() for path in paths]
    if endings[0] == endings[1] and endings[0] in settingsdiff.SUFFIXES:
        keys = settingsdiff.compare(_bytes(a), _bytes(b), endings[0])
        if keys is not None:
            return Inside(keys=keys, alike=not keys, note="" if keys else "the same settings, written in another way")
    note = _lines(a, b)
    return Inside(alike=note == _ENDS, note=note)


def _bytes(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _lines(a: Path | bytes, b: Path | bytes) -> str:
    """How many lines of a text came and went; nothing of what is no text, or too long to compare."""
    sizes = [len(x) if isinstance(x, bytes) else x.stat().st_size for x in (a, b)]
    if max(sizes) > _LINES:
        return ""
    try:
        left, right = (_bytes(x).decode("utf-8").splitlines() for x in (a, b))
    except UnicodeDecodeError:
        return ""
    if sorted(left) == sorted(right):
        return "the same lines in another order" if left != right else _ENDS
    was, now = Counter(left), Counter(right)
    if sum(count * now[line] for line, count in was.items()) > _PAIRS:
        return f"at least {(now - was).total():,} lines added, {(was - now).total():,} removed"
    added = removed = 0
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, left, right, autojunk=True).get_opcodes():
        if tag != "equal":
            removed, added = removed + i2 - i1, added + j2 - j1
    return f"{added:,} lines added, {removed:,} removed"
