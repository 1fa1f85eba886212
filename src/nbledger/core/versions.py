"""``versions``: every version of what DVC tracks at a path that Git's history knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nbledger.core import cache, datachange, dvc, gitlog, inside
from nbledger.core.dvcfiles import Out, Row
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project

_MOST = 200
_COMMITS = 4000
_LOOKED_AT = 200_000  # files of folders whose objects are asked for, in all


@dataclass(frozen=True)
class Reader:
    """A run that read a version."""

    run_id: str
    name: str


@dataclass(frozen=True)
class Version:
    """One version; ``commit`` is the one that brought it (empty: the pointer is not committed). ``cached``: all its bytes
    are in the cache. ``current``: the work tree has these bytes.
    """

    md5: str
    size: int | None
    nfiles: int | None
    commit: str
    author: str
    at: str
    message: str
    current: bool
    cached: bool
    runs: tuple[Reader, ...] = ()


@dataclass(frozen=True)
class Versions:
    """The versions of ``path`` (of the folder that holds what was asked for), the newest first, at most 200."""

    path: str
    versions: tuple[Version, ...]


def versions(
    project: Project, file: str, readers: Callable[[str], Mapping[str, Sequence[Reader]]] | None = None
) -> Versions:
    """What history has of ``file``. ``readers(path)`` answers {md5: the runs that read it}."""
    path, pointer, out = place(project, inside.relative(project, file))
    found = history(project, path, pointer)
    now = present(project, out) if out is not None else None
    if out is not None and out.md5 and all(row.md5 != out.md5 for _, row in found):
        found.insert(0, (gitlog.Logged("", "", "", "in the work tree, not committed"), _row_of(out)))
    at_hand = Cached(project)
    known = readers(path) if readers is not None else {}
    return Versions(path, tuple(_version(logged, row, now, at_hand, known) for logged, row in found[:_MOST]))


def _version(
    logged: gitlog.Logged, row: Row, now: str | None, at_hand: Cached, known: Mapping[str, Sequence[Reader]]
) -> Version:
    folder = row.md5.endswith(".dir")
    return Version(
        row.md5,
        row.size or None,
        row.nfiles if folder else None,
        logged.commit,
        logged.author,
        logged.at,
        logged.message,
        row.md5 == now,
        at_hand.has(row),
        tuple(known.get(row.md5, ())),
    )


def place(project: Project, path: str) -> tuple[str, str, Out | None]:
    """(the tracked path, the file that holds its hash, the output as it is tracked now)."""
    if project.dvc_root is None or project.git is None:
        raise Refused("this project has no Git and DVC repository", "%ledger init makes one")
    out = dvc.lookup(project, path)
    if out is not None and out.cached:
        return out.path, datachange.pointer_of(out), out
    pointer = f"{path}.dvc"
    if gitlog.commits_of(project.git, pointer, 1):
        return path, pointer, None
    raise UsageError(f"DVC tracks no {path[:200]}", "track it: %track_data PATH (nbledger track PATH)")


def history(project: Project, path: str, pointer: str) -> list[tuple[gitlog.Logged, Row]]:
    """The commits that brought another version, the newest first."""
    assert project.git is not None
    commits = gitlog.commits_of(project.git, pointer, _COMMITS)
    texts = gitlog.blobs(project.git, [(logged.commit, pointer) for logged in commits])
    rows = [datachange.pointer_row(text, pointer, path) for text in texts]
    found: list[tuple[gitlog.Logged, Row]] = []
    for logged, row, older in zip(commits, rows, [*rows[1:], None][: len(rows)], strict=True):
        if row is not None and row.md5 and (older is None or older.md5 != row.md5):
            found.append((logged, row))
    return found


def _row_of(out: Out) -> Row:
    return Row(out.path, out.md5, out.size, out.nfiles, out.cached, out.legacy, out.executable)


def present(project: Project, out: Out) -> str | None:
    """The hash of what is in the work tree now; None where there is nothing."""
    return dvc.hashes_now(project, [out])[0]


class Cached:
    """Which versions the cache holds whole; of very many files only the first are asked for."""

    def __init__(self, project: Project) -> None:
        self._store, self._legacy = dvc.store(project), dvc.cache_dir(project)
        self._left = _LOOKED_AT
        self._known: dict[str, bool] = {}

    def has(self, row: Row) -> bool:
        """Whether the cache holds all bytes of this version."""
        if row.md5 not in self._known:
            self._known[row.md5] = self._look(row)
        return self._known[row.md5]

    def _look(self, row: Row) -> bool:
        root = self._legacy if row.legacy else self._store.root
        place = root / row.md5[:2] / row.md5[2:]
        if not place.is_file():
            return False
        if not row.md5.endswith(".dir"):
            return row.legacy or not row.size or place.stat().st_size == row.size
        wanted = set((cache.read_manifest(place) or {}).values())
        self._left -= len(wanted)
        if self._left < 0:
            return True
        return len(cache.Store(root).among(wanted)) == len(wanted)
