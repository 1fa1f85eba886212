"""Recorded data kept from ``dvc gc``: hard links of the objects that runs need, in a folder of the same cache.

No scope of ``dvc gc`` looks at refs/nbledger/*, so what only recorded runs need is garbage to it. It lists ``files/md5``,
and of the cache's own folder what lies in folders of two letters; ``<cache>/nbledger/<project>/`` is neither. A link is
no copy: it takes no space while the object is there, and holds the bytes when DVC has removed the object's name.
``nbledger gc`` removes links that no run needs.

  md5/ab/cdef…, legacy/ab/cdef…   the links; that of a folder's list is made last, when all its files are kept
  md5-partial/ab/cdef….dir        lists of folders of which the cache did not hold every file
  runs.jsonl                      of each closed run: its id, its store, and the objects that it stands on
  owner.json                      whose folder this is: several projects may share one cache
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbledger.core import cache, dvc, files, hashes
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.records import KeptData
from nbledger.core.wording import counted

FOLDER = "nbledger"
PARTS = ("md5", "md5-partial", "legacy", "legacy-partial")
_ABOUT = (
    "Data that recorded runs need: hard links, kept from dvc gc. `nbledger gc` removes what no run needs any more.\n"
)
_REASONS = {
    errno.EPERM: "the system refuses hard links to files of another user",
    errno.EACCES: "the cache's folder cannot be written to",
    errno.EROFS: "the cache is on a read-only disk",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk is full",
    errno.EMLINK: "an object has as many links as its file system allows",
}


@dataclass(frozen=True)
class Place:
    """Where a project's links are: ``root`` is ``<cache>/nbledger/<project>``."""

    cache: Path
    root: Path
    shared: bool

    @property
    def stores(self) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
        """(objects, links) of DVC 3 and of DVC 2."""
        return (self.cache / "files" / "md5", self.root / "md5"), (self.cache, self.root / "legacy")


@dataclass
class Done:
    """What ``keep`` did: the links made, and by object that is not protected (bytes, why); ``absent``: not in the cache."""

    made: list[str] = field(default_factory=list)
    size: int = 0
    bare: dict[str, tuple[int, str]] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)


# ── whose folder ─────────────────────────────────────────────────────────────────────────────────────────


def place(project: Project, *, make: bool = False) -> Place | None:
    """This project's folder of its cache; None where there is none yet (unless ``make``), no DVC or no Git."""
    if project.dvc_root is None or project.git is None:
        return None
    root, shared = dvc.cache_dir(project), dvc.store(project).shared
    marker = project.git.common_dir / "nbledger" / "kept-id"
    name = _text(marker).strip()
    if not re.fullmatch(r"[0-9a-f]{16}", name) or _of_another(root / FOLDER / name, project):
        if not make:
            return None
        name = secrets.token_hex(8)
        marker.parent.mkdir(exist_ok=True)
        files.write_atomic(marker, name + "\n")
    found = Place(root, root / FOLDER / name, shared)
    mine = json.dumps({"home": str(project.home)}) + "\n"
    if make and _text(found.root / "owner.json") != mine:
        make_folder(found, found.root)
        with contextlib.suppress(OSError):
            (root / FOLDER / "README").write_text(_ABOUT)
        files.write_atomic(found.root / "owner.json", mine)
    return found


def partial(links: Path) -> Path:
    """Where lists of folders are of which not every file was there: they stand for nothing that is whole."""
    return links.with_name(f"{links.name}-partial")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _of_another(folder: Path, project: Project) -> bool:
    """Whether the folder is that of a project which this one is a copy of: it may still need what we do not."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        home = Path(json.loads((folder / "owner.json").read_text())["home"])
        return home != project.home and (home / ".git").exists()
    return False


def others(project: Project) -> list[Path]:
    """Folders of links of other projects in the same cache."""
    mine = place(project)
    if mine is None:
        root = dvc.cache_dir(project) / FOLDER if project.dvc_root is not None else None
    else:
        root = mine.root.parent
    if root is None or not root.is_dir():
        return []
    return [one for one in sorted(root.iterdir()) if one.is_dir() and (mine is None or one != mine.root)]


def make_folder(where: Place, path: Path) -> None:
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        if where.shared:
            for one in (path, *path.parents):
                if one == where.cache:
                    break
                with contextlib.suppress(OSError):
                    one.chmod(0o2775)


# ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────


def keep(project: Project, wanted: Iterable[str]) -> Done:
    """Link these objects of the cache, folders with all they hold. Repeatable; what is kept already costs one look.

    No failure is an error: what cannot be protected is noted, and told by ``status`` and ``doctor``.
    """
    done, md5s = Done(), sorted(filter(is_name, set(wanted)))
    if project.scratch or not md5s:
        return done
    where = place(project)
    if where is not None and all(_kept(where, md5) for md5 in md5s):
        return done
    if where is None and not any(_held(dvc.cache_dir(project), md5) for md5 in md5s):
        return done
    try:
        where = place(project, make=True)
        if where is None:
            return done
        with files.lock(where.root / "lock", timeout=30, what="the folder of kept data"):
            _keep(project, where, md5s, done)
    except LedgerError as err:
        _note_bare(project, done, md5s, err.message)
    except OSError as err:
        _note_bare(project, done, md5s, _why(err))
    return done


def _note_bare(project: Project, done: Done, md5s: Iterable[str], reason: str) -> None:
    root = dvc.cache_dir(project)
    for md5 in md5s:
        for name in (md5, *entries(root / "files" / "md5", md5)):
            with contextlib.suppress(OSError):
                done.bare[name] = os.stat(root / "files" / "md5" / name[:2] / name[2:]).st_size, reason
    _add_to_summary(project, done)


def _kept(where: Place, md5: str) -> bool:
    return any(os.path.exists(f"{links}/{md5[:2]}/{md5[2:]}") for _, links in where.stores)


def has(project: Project, md5: str) -> bool:
    """Whether an object is kept, a folder with all its files."""
    where = place(project)
    return where is not None and is_name(md5) and _kept(where, md5)


def _held(root: Path, md5: str) -> bool:
    return any(os.path.exists(f"{store}/{md5[:2]}/{md5[2:]}") for store in (root / "files" / "md5", root))


def _keep(project: Project, where: Place, md5s: list[str], done: Done) -> None:
    linker = _Linker(where, done)
    for objects, links in where.stores:
        for md5 in md5s:
            if not _kept(where, md5) and os.path.exists(f"{objects}/{md5[:2]}/{md5[2:]}"):
                kept = [linker.link(objects, links, name) for name in entries(objects, md5)]
                linker.link(objects, links if all(kept) else partial(links), md5)
                if all(kept):
                    with contextlib.suppress(OSError):
                        (partial(links) / md5[:2] / md5[2:]).unlink()
    done.absent |= {md5 for md5 in md5s if not _kept(where, md5) and not _held(where.cache, md5)}
    if linker.renewed:
        with hashes.opened(project) as known:
            known.renew(linker.renewed)
    if done.made or done.bare:
        _add_to_summary(project, done)


def entries(objects: Path, md5: str) -> list[str]:
    """The files of a folder; nothing for a file. What a list names that is no hash could lead out of the cache."""
    if not md5.endswith(".dir"):
        return []
    return sorted(filter(is_name, set((cache.read_manifest(objects / md5[:2] / md5[2:]) or {}).values())))


def is_name(md5: object) -> bool:
    """Whether it is the hash of an object."""
    return isinstance(md5, str) and re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5) is not None


@dataclass
class _Linker:
    """``renewed``: {signature before: after}. One more name changes an object's ctime and nothing else: who remembers its
    hash (or that of a work-tree file that is a link to it) need not read it again.
    """

    where: Place
    done: Done
    renewed: dict[bytes, bytes] = field(default_factory=dict)
    _folders: set[str] = field(default_factory=set)

    def link(self, objects: Path, links: Path, md5: str) -> bool:
        """Whether the object is kept now."""
        source, folder = f"{objects}/{md5[:2]}/{md5[2:]}", f"{links}/{md5[:2]}"
        target = f"{folder}/{md5[2:]}"
        try:
            before = os.stat(source)
            if folder not in self._folders:
                make_folder(self.where, Path(folder))
                self._folders.add(folder)
            try:
                os.link(source, target)
            except FileExistsError:
                return True
            except OSError as err:
                if err.errno not in (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOSYS):
                    raise
                if not _cloned(source, target):
                    raise
        except FileNotFoundError:
            if os.path.exists(target):
                return True
            self.done.absent.add(md5)
            return False
        except OSError as err:
            with contextlib.suppress(OSError):
                self.done.bare[md5] = os.stat(source).st_size, _why(err)
            return False
        after, old = os.stat(target), files.signature(before)
        if hashes.settled(old) and files.signature(after)[:3] == old[:3]:
            self.renewed[hashes.pack(old)] = hashes.pack(files.signature(after))
        self.done.made.append(md5)
        self.done.size += after.st_size
        return True


def _why(err: OSError) -> str:
    return _REASONS.get(err.errno or 0, f"its file system makes no hard links ({err.strerror})")


def _cloned(source: str, target: str) -> bool:
    """A copy that shares its blocks with the object, where the file system can do that."""
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(source, "rb") as object_, open(temporary, "xb") as copy:
            if not cache.share_blocks(object_, copy):
                return False
            os.fchmod(copy.fileno(), 0o444)
        os.replace(temporary, target)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return True


# ── bringing back ────────────────────────────────────────────────────────────────────────────────────────


def bring_back(project: Project, wanted: Iterable[str] | None = None) -> tuple[list[str], list[str]]:
    """Give objects that the cache lost their names again (None: all that are kept), folders with their files: (those that
    are back, those whose kept bytes are not what their name says and were left). Each is hashed before.
    """
    where = place(project)
    if where is None:
        return [], []
    back: list[str] = []
    damaged: list[str] = []
    for objects, links in where.stores:
        for md5 in _wanted(where, objects, links, wanted):
            held, final = links / md5[:2] / md5[2:], objects / md5[:2] / md5[2:]
            if not held.exists():
                held = partial(links) / md5[:2] / md5[2:]
            if final.exists() or not held.exists():
                continue
            if not _is(held, md5, legacy=objects == where.cache):
                damaged.append(md5)
                continue
            make_folder(where, final.parent)
            with contextlib.suppress(FileExistsError):
                _named_again(held, final)
                back.append(md5)
    return back, damaged


def _wanted(where: Place, objects: Path, links: Path, wanted: Iterable[str] | None) -> Iterator[str]:
    """Files before the lists that name them, so that a list never stands for files that are not there."""
    if wanted is None:
        found = {md5: None for root in (links, partial(links)) for md5 in listed(root)}
        yield from sorted(found, key=lambda md5: md5.endswith(".dir"))
        return
    for md5 in filter(is_name, wanted):
        for root in (links, partial(links), objects):
            yield from entries(root, md5)
        yield md5


def _is(path: Path, md5: str, *, legacy: bool) -> bool:
    from nbledger.core.dvcfiles import Out

    plain = md5.removesuffix(".dir")
    if files.md5_of(path) == plain:
        return True
    return legacy and dvc.verify(path, Out("", plain, 0, 1, False, "", legacy=True)) == plain


def refresh(project: Project) -> int:
    """Link anew what the cache has under another inode: DVC wrote the object again after it was lost or removed. How
    many; an object whose bytes are not what its name says stays beside the kept one.
    """
    where, count = place(project), 0
    if where is None:
        return 0
    for objects, links in where.stores:
        for md5 in listed(links):
            held, there = links / md5[:2] / md5[2:], objects / md5[:2] / md5[2:]
            with contextlib.suppress(OSError):
                if os.stat(there).st_ino != os.stat(held).st_ino and _is(there, md5, legacy=objects == where.cache):
                    temporary = held.with_name(f"{held.name}.{os.getpid()}.tmp")
                    os.link(there, temporary)
                    os.replace(temporary, held)
                    count += 1
    return count


def _named_again(held: Path, final: Path) -> None:
    try:
        os.link(held, final)
    except FileExistsError:
        raise
    except OSError:
        if not _cloned(str(held), str(final)):
            raise


def listed(links: Path) -> Iterator[str]:
    """The objects that have a link here."""
    with contextlib.suppress(OSError):
        for prefix in sorted(os.listdir(links)):
            names: list[str] = []
            if len(prefix) == 2:
                with contextlib.suppress(OSError):  # no folder, or one that was removed meanwhile
                    names = os.listdir(links / prefix)
            yield from (prefix + name for name in names if not name.endswith(".tmp"))


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────


def _summary(project: Project) -> Path:
    return project.state / "kept.json"


def summary(project: Project) -> KeptData | None:
    """What is known of it, from one small file; None before anything was kept."""
    try:
        row = json.loads(_summary(project).read_bytes())
        bare = {str(k): (int(v[0]), str(v[1])) for k, v in row["bare"].items()}
        reason = next(iter(bare.values()))[1] if bare else ""
        more = row.get("more", [0, 0])
        return KeptData(
            int(row["objects"]),
            int(row["bytes"]),
            len(bare) + int(more[0]),
            sum(size for size, _ in bare.values()) + int(more[1]),
            reason,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


_MOST = 5000  # objects without protection that are remembered by name; the others are counted


def _add_to_summary(project: Project, done: Done) -> None:
    path = _summary(project)
    with contextlib.suppress(OSError, LedgerError), files.lock(project.ensure_state() / "kept.lock", timeout=10):
        try:
            row = json.loads(path.read_bytes())
            objects, size, bare = int(row["objects"]), int(row["bytes"]), dict(row["bare"])
        except (OSError, ValueError, KeyError, TypeError):
            objects, size, bare = 0, 0, {}
        made = set(done.made)
        bare = {md5: facts for md5, facts in bare.items() if md5 not in made}
        bare |= {md5: list(facts) for md5, facts in done.bare.items()}
        set_summary(project, objects + len(done.made), size + done.size, bare)


def recount(project: Project) -> KeptData | None:
    """Look at everything that is kept, and remember how much it is; what could not be protected is tried again."""
    where = place(project)
    if where is None:
        return summary(project)
    objects = size = 0
    for _, links in where.stores:
        for md5 in listed(links):
            with contextlib.suppress(OSError):
                size += os.stat(links / md5[:2] / md5[2:]).st_size
                objects += 1
    try:
        bare = dict(json.loads(_summary(project).read_bytes())["bare"])
    except (OSError, ValueError, KeyError, TypeError):
        bare = {}
    bare = {md5: facts for md5, facts in bare.items() if not _kept(where, md5) and _held(where.cache, md5)}
    set_summary(project, objects, size, bare)
    return summary(project)


def set_summary(project: Project, objects: int, size: int, bare: dict[str, Any]) -> None:
    """Write what a look at everything found."""
    named, rest = dict(list(bare.items())[:_MOST]), list(bare.values())[_MOST:]
    row = {
        "objects": objects,
        "bytes": size,
        "bare": named,
        "more": [len(rest), sum(int(facts[0]) for facts in rest)],
    }
    with contextlib.suppress(OSError, LedgerError):
        files.write_atomic(project.ensure_state() / "kept.json", json.dumps(row))


def told(kept: KeptData) -> str:
    """What a ``dvc gc`` would take, in words; empty where it would take nothing."""
    if not kept.bare_objects:
        return ""
    return (
        f"dvc gc would take {amount(kept.bare_objects, kept.bare_bytes)} that recorded runs need: "
        f"they are not protected, {kept.reason} (nbledger gc spares them)"
    )


def amount(objects: int, size: float | None = None) -> str:
    """``3 data objects (1.2 MB)``."""
    said = counted(objects, "data object")
    if size is None:
        return said
    unit = "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{said} ({size:.3g} {unit})"
