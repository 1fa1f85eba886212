"""The room of DVC's door in which two versions of a tracked folder become one: DVC's own merge of their lists of files.

DVC's merge driver stops at the first file that both sides changed, keeps ours, and says so in hashes or not at all; it also
needs both lists in the cache, where that of the other side has never been. Here the lists are fetched, what does not
conflict is joined all the same, and what does is told by file and row.
"""

from __future__ import annotations

import logging
import os
import posixpath
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbledger.core import contents, dvc, dvcfiles, files, git, insides
from nbledger.core.cache import Content
from nbledger.core.causes_data import table_words
from nbledger.core.differences import DataChange
from nbledger.core.dvcfiles import Row
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import Project
from nbledger.core.wording import counted

_LOOKED_INTO = 8  # files in conflict whose contents are compared
_FETCHED = 50_000_000  # bytes up to which one of them is fetched for that
_OF_CONTENT = ("md5", "size", "nfiles", "hash")
_SIDES = ("ours", "theirs")

Files = dict[tuple[str, ...], tuple[Any, Any]]
"""{parts of a path: DVC's (meta, hash)}"""


@dataclass(frozen=True)
class Clash:
    """A file that both sides changed, each to something else; hashes, None where it is not there."""

    name: str
    base: str | None
    ours: str | None
    theirs: str | None


def merge(project: Project, base: Path, ours: Path, theirs: Path, path: str) -> tuple[bool, list[str]]:
    """Join two versions of a ``.dvc`` file into the file ``ours``; (whether they conflict, what to say). ``path`` is the
    pointer's. Raises, and changes nothing, where what differs is not the data alone, or a list of files cannot be had.
    """
    rows = [_row(place, path) for place in (base, ours, theirs)]
    was, left, right = rows
    assert left is not None
    assert right is not None
    name = posixpath.normpath(posixpath.join(posixpath.dirname(path), left.path))
    if left.md5 == right.md5 or (was is not None and was.md5 in (left.md5, right.md5)):
        raise Refused("what differs is not the data alone", "decide between the two")
    if not (left.md5.endswith(".dir") and right.md5.endswith(".dir")):
        known = was.md5 if was is not None and not was.md5.endswith(".dir") else None
        clash = Clash(name, known, left.md5, right.md5)
        return True, [*_told(project, path, "", [clash]), f"{path} is ours; {_take(project, path, name, whole=True)}"]
    if left.legacy or right.legacy:
        raise Refused("a version that DVC 2 made is not merged", "dvc cache migrate --dvc-files on both sides first")
    if _beside(ours) != _beside(theirs):
        raise Refused("both sides changed the data, and what stands beside them", "decide between the two")
    if was is not None and (was.legacy or not was.md5.endswith(".dir")):
        was = None  # a file once, or hashed in another way: nothing of it is in either side
    return dvc.guarded(lambda: _folder(project, ours, (was, left, right), path, name), "merge")


def _row(place: Path, path: str) -> Row | None:
    """The one output of a pointer; None for the empty file that stands for no common version."""
    text = place.read_text(encoding="utf-8")
    if not text.strip():
        return None
    rows = dvcfiles.rows_of(text)
    if len(rows) != 1 or not rows[0].md5 or "://" in rows[0].path:
        raise Refused(f"{path} does not name one file or folder", "decide between the two")
    return rows[0]


def _beside(place: Path) -> Any:
    """What a pointer says beside its version of the data."""
    said = dvcfiles.load_yaml(place.read_text(encoding="utf-8"))
    return {**said, "outs": [{k: v for k, v in out.items() if k not in _OF_CONTENT} for out in said["outs"]]}


def _folder(
    project: Project, target: Path, rows: tuple[Row | None, Row, Row], path: str, name: str
) -> tuple[bool, list[str]]:
    from dvc_data.hashfile import load
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import MergeError
    from dvc_data.hashfile.tree import merge as merged_by_dvc

    logging.getLogger("dvc").setLevel(logging.CRITICAL)  # what cannot be had is told here
    logging.getLogger("dvc_data").setLevel(logging.CRITICAL)
    with dvc.opened(dvc.require_root(project)) as repo:
        cache = repo.cache.local
        infos = [HashInfo("md5", row.md5) if row else None for row in rows]
        _fetch(repo, cache, [info for info in infos if info is not None])
        lists: list[Files] = [load(cache, info).as_dict() if info is not None else {} for info in infos]
        clashes: list[Clash] = []
        try:
            tree = merged_by_dvc(cache, *infos, allowed=["add", "remove", "change"])
        except (MergeError, KeyError):  # its message is about hashes, or about the first of several files
            tree, clashes = _tree(*lists)
        cache.add(tree.path, tree.fs, tree.oid)
        entries: Files = tree.as_dict()
        size = _size(cache, entries, (lists[2], rows[2].size))
        _write(target, tree.oid, len(entries), size)
        came = _changes(lists[1], entries)
        if not clashes:
            return False, [
                f"{path}: joined, {came} of theirs on top of ours. nbledger pull (or dvc pull) brings the data"
            ]
        for clash in clashes[:_LOOKED_INTO]:
            _fetch_small(repo, cache, [md5 for md5 in (clash.base, clash.ours, clash.theirs) if md5])
    told = _told(project, path, name, clashes)
    joined = f"{came} of theirs joined, and of these files it has ours" if came else "it is ours"
    first = posixpath.join(name, clashes[0].name)
    return True, [*told, f"{path}: {joined}; {_take(project, path, first, whole=False)}"]


def _fetch(repo: Any, cache: Any, infos: Sequence[Any]) -> None:
    """Bring the lists of files that are not here; the files themselves stay away."""
    missing = [info for info in infos if not cache.exists(info.value)]
    if not missing:
        return
    try:
        repo.cloud.pull(missing)
    except Exception as err:
        raise LedgerError(
            "the list of the other side's files is not here, and the data remote did not give it: "
            f"{git.scrub_url(' '.join(str(err).split()))}",
            "reach the remote, then git checkout -m the pointer",
        ) from err
    if lacking := [info.value for info in missing if not cache.exists(info.value)]:
        raise LedgerError(
            f"the list of files of {counted(len(lacking), 'version')} is neither here nor on the data remote",
            "whoever made it: nbledger push",
        )


def _fetch_small(repo: Any, cache: Any, md5s: Sequence[str]) -> None:
    """Bring files that are in conflict, if they are small, so that it can be said what differs in them."""
    from dvc_data.hashfile.hash_info import HashInfo

    missing = [md5 for md5 in md5s if not cache.exists(md5)]
    try:
        if not missing:
            return
        remote = repo.cloud.get_remote_odb()
        wanted = [md5 for md5 in missing if remote.fs.size(remote.oid_to_path(md5)) <= _FETCHED]
        if wanted:
            repo.cloud.pull([HashInfo("md5", md5) for md5 in wanted])
    except Exception:
        return  # then it is not said


def _tree(base: Files, ours: Files, theirs: Files) -> tuple[Any, list[Clash]]:
    """All changes of both sides, of files that both changed ours; and what those are."""
    from dvc_data.hashfile.tree import Tree

    tree, clashes = Tree(), []
    for key in sorted({*ours, *theirs}):
        was, left, right = (_hash(side, key) for side in (base, ours, theirs))
        if left != right and was not in (left, right):
            clashes.append(Clash("/".join(key), was, left, right))
        chosen = theirs if left == was else ours
        if key in chosen:
            tree.add(key, *chosen[key])
    tree.digest()
    return tree, clashes


def _hash(side: Files, key: tuple[str, ...]) -> str | None:
    return str(side[key][1].value) if key in side else None


def _changes(before: Files, after: Files) -> str:
    """In how many files a list differs, in words; empty for none."""
    count = sum(_hash(before, key) != _hash(after, key) for key in {*before, *after})
    return counted(count, "change") if count else ""


def _size(cache: Any, entries: Files, theirs: tuple[Files, int]) -> int | None:
    """Bytes of all files: those of the other side, whose data are mostly not here, as it has them, with what differs from
    it; None where that is not at hand.
    """
    have, total = theirs
    gone = [_hash(have, key) for key in have if _hash(entries, key) != _hash(have, key)]
    new = [_hash(entries, key) for key in entries if _hash(entries, key) != _hash(have, key)]
    try:
        change = [sum(os.path.getsize(cache.oid_to_path(md5)) for md5 in md5s) for md5s in (new, gone)]
    except OSError:
        return None
    return total + change[0] - change[1] if total else None


def _write(target: Path, md5: str, nfiles: int, size: int | None) -> None:
    """The pointer with the joined version, all else in it as it was."""
    text = target.read_text(encoding="utf-8")
    data = dvcfiles.update_pointer(text, 0, Content(md5, size or 0, nfiles, is_dir=True))
    files.write_atomic(target, data if size is not None else data.replace(b"  size: 0\n", b"", 1))


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────
def _told(project: Project, path: str, folder: str, clashes: Sequence[Clash]) -> list[str]:
    lines = []
    for number, clash in enumerate(clashes):
        where = posixpath.join(folder, clash.name)
        if number >= 40:
            lines.append(f"{path}: and {len(clashes) - number:,} more files that both sides changed")
            break
        if clash.ours is None or clash.theirs is None:
            gone, other = _SIDES if clash.ours is None else reversed(_SIDES)
            lines.append(f"{path}: {where}: {gone} removed it, {other} changed it")
            continue
        said = _inside(project, where, clash) if number < _LOOKED_INTO else ""
        lines.append(f"{path}: {where}: both sides {'changed' if clash.base else 'added'} it{said}")
    return lines


def _inside(project: Project, where: str, clash: Clash) -> str:
    """What differs in a file, where its contents are here."""
    kept = [contents.find(project, "", md5, None) if md5 else None for md5 in (clash.base, clash.ours, clash.theirs)]
    was, left, right = kept
    if left is None or right is None:
        return ""
    if was is None:
        return f" (from ours to theirs: {_words(left, right, where)})"
    return f" (ours: {_words(was, left, where)}; theirs: {_words(was, right, where)})"


def _words(a: Path | bytes, b: Path | bytes, where: str) -> str:
    found = insides.between(a, b, (where, where))
    keys = ", ".join(f"{row.name} {row.values[0] or 'absent'} → {row.values[1] or 'absent'}" for row in found.keys[:3])
    table = found.table
    if table is not None:  # rows and columns; not what became of their values on the whole
        table = replace(table, columns=tuple(column for column in table.columns if column.state != "moved"))
    return table_words(DataChange(where, (None, None), table=table)) or keys or found.note or "other contents"


def _take(project: Project, path: str, file: str, *, whole: bool) -> str:
    """How to have the other side's version instead."""
    if whole:
        return f"theirs: git checkout --theirs {shlex.quote(path)}; then git add {shlex.quote(path)}, and dvc pull"
    get = f"dvc get . {shlex.quote(file)} --rev {_their_commit(project)} -o {shlex.quote(file)} --force"
    return f"git add {shlex.quote(path)} keeps that. Theirs of a file: nbledger pull; {get}; then nbledger track FOLDER"


def _their_commit(project: Project) -> str:
    """The other side's commit; how to find it where Git does not say."""
    ids = [name.removeprefix("GITHEAD_") for name, value in os.environ.items() if name.startswith("GITHEAD_")]
    others = [commit for commit in ids if git.is_hex(commit) and os.environ[f"GITHEAD_{commit}"] != "HEAD"]
    if len(others) == 1:
        return others[0]
    folder = project.git.git_dir if project.git is not None else Path()
    if (folder / "rebase-merge").exists() or (folder / "rebase-apply").exists():
        return "$(git rev-parse REBASE_HEAD)"  # Git writes it once it has stopped
    if (folder / "MERGE_HEAD").exists():  # git checkout -m
        return "$(git rev-parse MERGE_HEAD)"
    return "$(git rev-parse REVERT_HEAD^)" if (folder / "REVERT_HEAD").exists() else "$(git rev-parse CHERRY_PICK_HEAD)"
