"""Bytes into DVC's cache: every file is read once, hashed and copied in that pass, and never touched.

An object appears under its name only when it is complete; a killed process leaves a temporary file that the next
one removes. ``settle`` has what was written on the disk; no pointer names it before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
import stat
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nbledger.core import durable, files
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.files import Signature
from nbledger.core.hashes import TICK_NS, Hashes, pack, settled

Entry = tuple[str, Signature]
Ignore = Callable[[str, list[str], list[str]], tuple[list[str], list[str]]]
Report = Callable[[int], None]

SMALL = 1 << 20  # files up to this many bytes are read whole
_BLOCK = 4 << 20
_PREFIX = ".nbledger-"
_HOST = socket.gethostname()
_FICLONE = 0x40049409
_LONG = 0.05  # seconds of reading after which a folder is walked again, to see whether it changed meanwhile
_MANY = 100  # files from which on a folder's hashes are remembered together
_WIDTH = 32  # bytes of a signature in such a row; zeros where the hash cannot be relied on
_PREFIXES = [f"{number:02x}" for number in range(256)]
_ENTRY = '{"md5": "%s", "relpath": %s}'
_NEVER = frozenset({".git", ".hg", ".dvc"})  # DVC's own default ignores


@dataclass
class Scan:
    """What a folder holds, as DVC would see it. All paths are relative to it, with ``/``."""

    entries: list[Entry] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folder_links: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(signature[1] for _, signature in self.entries)


@dataclass(frozen=True)
class Content:
    """What DVC records of a file or a folder; ``size`` in bytes, ``nfiles`` 1 for a file."""

    md5: str
    size: int
    nfiles: int
    is_dir: bool
    is_exec: bool = False


@dataclass(frozen=True)
class Store:
    """A DVC cache's ``files/md5`` folder. ``shared`` caches have group-writable folders; ``written`` are the objects that
    may not be on the disk yet.
    """

    root: Path
    shared: bool = False
    written: list[str] = field(default_factory=list, compare=False)

    def path(self, md5: str) -> Path:
        return self.root / md5[:2] / md5[2:]

    def has(self, md5: str, size: int | None) -> bool:
        """Whether the object is there, protected, and (where known) of the right size, as DVC itself trusts it."""
        try:
            found = os.stat(f"{self.root}/{md5[:2]}/{md5[2:]}")
        except OSError:
            return False
        return found.st_mode & 0o777 == 0o444 and size in (None, found.st_size)

    def among(self, wanted: set[str]) -> set[str]:
        """Those of ``wanted`` that are there: by listing the cache's folders where that is less work than asking
        for each (told from the first folder, as objects spread evenly).
        """
        by_prefix: dict[str, list[str]] = {}
        for md5 in wanted:
            by_prefix.setdefault(md5[:2], []).append(md5)
        found: set[str] = set()
        listing = True
        for prefix, md5s in by_prefix.items():
            if not listing:
                found.update(md5 for md5 in md5s if self.has(md5, None))
                continue
            with contextlib.suppress(OSError):
                names = set(os.listdir(self.root / prefix))
                found.update(md5 for md5 in md5s if md5[2:] in names)
                listing = len(names) <= 10 * len(md5s)
        return found


def scan(folder: Path, ignore: Ignore | None = None) -> Scan:
    """Walk ``folder`` once: every file's path and signature. Links to folders are named, not followed, like DVC."""
    found = Scan()
    stack = [(str(folder), "")]
    while stack:
        path, prefix = stack.pop()
        with os.scandir(path) as listing:
            items = {item.name: item for item in listing}
        if prefix and ".dvc" in items:  # another DVC repository
            continue
        dirs: list[str] = []
        names: list[str] = []
        for name, item in items.items():
            if name not in _NEVER:
                (dirs if item.is_dir() else names).append(name)
        if ignore is not None:
            dirs, names = ignore(path, dirs, names)
        for name in dirs:
            if items[name].is_symlink():
                found.folder_links.append(prefix + name)
            else:
                stack.append((f"{path}/{name}", f"{prefix}{name}/"))
        _add_files(found, prefix, [items[name] for name in names])
    return found


def _add_files(found: Scan, prefix: str, items: list[os.DirEntry[str]]) -> None:
    regular = stat.S_ISREG
    append = found.entries.append
    for item in items:
        if item.is_symlink():
            found.links.append(prefix + item.name)
        try:
            status = item.stat()
        except FileNotFoundError:
            if item.is_symlink():
                found.broken.append(prefix + item.name)
            continue
        if regular(status.st_mode):
            append((prefix + item.name, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)))
        else:
            found.special.append(prefix + item.name)


def _flat(entries: list[Entry]) -> tuple[bytes, bytes]:
    """Names and signatures (``_WIDTH`` bytes each), in the order of the walk."""
    names = "\0".join([name for name, _ in entries]).encode("utf-8", "surrogatepass")
    try:
        return names, array("q", [number for _, signature in entries for number in signature]).tobytes()
    except OverflowError:  # inode numbers beyond 63 bits
        return names, b"".join([hashlib.blake2b(repr(s).encode(), digest_size=_WIDTH).digest() for _, s in entries])


def fingerprint(entries: list[Entry]) -> bytes:
    """A digest of names and signatures, in the order of the walk (which is stable while nothing changes)."""
    return _mark(*_flat(entries))


def _mark(names: bytes, signatures: bytes) -> bytes:
    digest = hashlib.blake2b(names, digest_size=16)
    digest.update(signatures)
    return digest.digest()


def manifest(hashes: dict[str, str]) -> bytes:
    """DVC's ``.dir`` object for {relative path: md5}: JSON as its encoder writes it."""
    quote = json.encoder.encode_basestring_ascii
    return f"[{', '.join([_ENTRY % (hashes[path], quote(path)) for path in sorted(hashes)])}]".encode()


def hash_file(path: Path, known: Hashes, store: Store | None = None, report: Report | None = None) -> Content:
    """Hash one file, and with ``store`` put its bytes there, unless both are already so."""
    status = os.stat(path)
    signature = files.signature(status)
    executable = bool(status.st_mode & 0o111)
    row = known.files([str(path)]).get(str(path))
    if row is not None and row[0] == pack(signature) and (store is None or store.has(row[1], signature[1])):
        return Content(row[1], signature[1], 1, False, executable)
    safe = settled(signature) or (store is not None and _settles(signature))
    md5 = _take(str(path), signature, store, report)
    if safe:
        known.add_files([(str(path), pack(signature), md5)])
    return Content(md5, signature[1], 1, False, executable)


def hash_folder(
    folder: Path,
    known: Hashes,
    ignore: Ignore | None = None,
    store: Store | None = None,
    report: Report | None = None,
    seen: Scan | None = None,
) -> Content:
    """Hash a folder as DVC does, reading only files whose signature is new; with ``store``, objects and the
    ``.dir`` object are put there. ``Refused`` if the folder changes meanwhile (only with ``store``).
    """
    entries = (seen or scan(folder, ignore)).entries
    names, signatures = _flat(entries)
    mark = _mark(names, signatures)
    row = known.folder(str(folder), mark)
    work = _Folder(folder, entries, known, store, report)
    if store is None:
        if row is not None:
            return Content(row[0], row[1], row[2], True)
        work.hash_known()
    else:
        moved = _changed_at(store)
        base = known.base(str(folder), str(store.root)) if len(entries) >= _MANY else None
        if base is None and row is not None and _complete(store, row[0]):
            return Content(row[0], row[1], row[2], True)
        if base is None:
            work.hash_known()
        else:
            work.hash_from(base, names, signatures)
        if work.began is not None and time.monotonic() - work.began > _LONG:
            _refuse_if_changed(folder, entries, scan(folder, ignore).entries)
        if len(entries) >= _MANY:
            work.remember(base, names, signatures, moved)
    known.add_files(work.fresh)
    data = manifest(work.hashes)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir"
    if store is not None and not store.has(md5, len(data)):
        _write_object(store, md5, data)
    size = sum([signature[1] for _, signature in entries])
    if not work.shaky and row is None:
        known.add_folder(str(folder), mark, md5, size, len(entries))
    return Content(md5, size, len(entries), True)


def folder_hashes(folder: Path, known: Hashes, ignore: Ignore | None = None) -> dict[str, str]:
    """{path relative to ``folder``: MD5} of its files as they are now."""
    work = _Folder(folder, scan(folder, ignore).entries, known, None, None)
    work.hash_known()
    known.add_files(work.fresh)
    return work.hashes


def _complete(store: Store, md5: str) -> bool:
    entries = read_manifest(store.path(md5))
    wanted = set(entries.values()) if entries is not None else set()
    return entries is not None and len(store.among(wanted)) == len(wanted)


def read_manifest(path: Path) -> dict[str, str] | None:
    """{relative path: md5} of a ``.dir`` object; None where it is missing or damaged."""
    try:
        return manifest_of(path.read_bytes())
    except OSError:
        return None


def manifest_of(text: bytes) -> dict[str, str] | None:
    """The same from the object's bytes."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        return None


_Base = tuple[bytes, bytes, str, bytes]  # names, signatures, md5s, times: see Hashes.base


@dataclass
class _Folder:
    """The hashing of one folder. ``fresh`` are rows for the cache; ``shaky`` the places of files whose signature a
    later edit may not change; ``began`` when the first file was read; ``times`` how the cache's folders were when all
    objects of the base were in them.
    """

    folder: Path
    entries: list[Entry]
    known: Hashes
    store: Store | None
    report: Report | None
    hashes: dict[str, str] = field(default_factory=dict)
    fresh: list[tuple[str, bytes, str]] = field(default_factory=list)
    shaky: list[int] = field(default_factory=list)
    began: float | None = None
    times: bytes = b""
    others: int = 0

    def hash_known(self) -> None:
        """Each file by its own row of the cache."""
        rows = self.known.below(str(self.folder))
        kept = self.store.among({row[1] for row in rows.values()}) if self.store is not None else set()
        for place, (name, signature) in enumerate(self.entries):
            row = rows.get(name)
            if row is not None and row[0] == pack(signature) and (self.store is None or row[1] in kept):
                self.hashes[name] = row[1]
                if self.report is not None:
                    self.report(signature[1])
            else:
                self._read(place)

    def hash_from(self, base: _Base, names: bytes, signatures: bytes) -> None:
        """All files that are as they were by the folder's one row; the others by their own rows."""
        assert self.store is not None
        absent, self.times = _absent(self.store, _split(base[2]), base[3])
        old_signatures, md5s = base[1], _split(base[2])
        if base[0] != names:
            old_signatures, md5s = _realigned(base, [name for name, _ in self.entries])
        others = _differing(old_signatures, signatures)
        if absent:
            others = sorted({*others, *(place for place, md5 in enumerate(md5s) if md5 in absent)})
        self.hashes = dict(zip([name for name, _ in self.entries], md5s, strict=True))
        if self.report is not None:
            left = set(others)
            self.report(sum([entry[1][1] for place, entry in enumerate(self.entries) if place not in left]))
        self.others = len(others)
        rows = self.known.files([f"{self.folder}/{self.entries[place][0]}" for place in others])
        for place in others:
            name, signature = self.entries[place]
            row = rows.get(f"{self.folder}/{name}")
            if row is not None and row[0] == pack(signature) and self.store.has(row[1], signature[1]):
                self.hashes[name] = row[1]
                if self.report is not None:
                    self.report(signature[1])
            else:
                self._read(place)

    def _read(self, place: int) -> None:
        name, signature = self.entries[place]
        path = f"{self.folder}/{name}"
        safe = settled(signature) or (self.store is not None and _settles(signature))
        if self.began is None:
            self.began = time.monotonic()
        self.hashes[name] = _take(path, signature, self.store, self.report)
        if safe:
            self.fresh.append((path, pack(signature), self.hashes[name]))
        else:
            self.shaky.append(place)

    def remember(self, base: _Base | None, names: bytes, signatures: bytes, moved: int) -> None:
        """Keep the folder's one row, and the times of the cache's folders if writing there is seen to change them."""
        assert self.store is not None
        where = str(self.folder), str(self.store.root)
        trusted = os.name != "nt" and moved != _changed_at(self.store)
        if base is None or self.others > _MANY:
            md5s = [self.hashes[name] for name, _ in self.entries]
            sure = bytearray(signatures)
            for place in self.shaky:
                sure[place * _WIDTH : (place + 1) * _WIDTH] = bytes(_WIDTH)
            times = _absent(self.store, md5s, b"")[1] if trusted else b""
            self.known.add_base(*where, (names, bytes(sure), "".join(md5s)), times)
        elif trusted and self.times != base[3]:
            self.known.add_times(*where, self.times)


def _split(md5s: str) -> list[str]:
    return [md5s[at : at + 32] for at in range(0, len(md5s), 32)]


def _realigned(base: _Base, names: list[str]) -> tuple[bytes, list[str]]:
    """The base's signatures and md5s in the order of ``names``; zeros and nothing for those it does not know."""
    old = {name: place for place, name in enumerate(base[0].decode("utf-8", "surrogatepass").split("\0"))}
    places = [old.get(name, -1) for name in names]
    md5s = _split(base[2])
    none = bytes(_WIDTH)
    signatures = [base[1][place * _WIDTH : (place + 1) * _WIDTH] if place >= 0 else none for place in places]
    return b"".join(signatures), [md5s[place] if place >= 0 else "" for place in places]


def _differing(old: bytes, new: bytes) -> list[int]:
    """Places at which the signatures differ."""
    found = []
    step = 64 * _WIDTH
    for start in range(0, len(new), step):
        if old[start : start + step] != new[start : start + step]:
            places = range(start, min(start + step, len(new)), _WIDTH)
            found += [at // _WIDTH for at in places if old[at : at + _WIDTH] != new[at : at + _WIDTH]]
    return found


def _absent(store: Store, md5s: list[str], times: bytes) -> tuple[set[str], bytes]:
    """Those of ``md5s`` that are not there, listing only folders of the cache that changed since ``times``; and the
    times now. What is in a folder cannot change without its ctime, unless within one tick of the clock: such a time,
    and that of a folder where something is missing, is left out.
    """
    before, now = array("q", times or bytes(16 * 256)), array("q", bytes(16 * 256))
    stale: dict[str, set[str]] = {}
    for number, prefix in enumerate(_PREFIXES):
        try:
            found = os.stat(f"{store.root}/{prefix}")
        except OSError:
            stale[prefix] = set()
            continue
        inode, changed = found.st_ino & (1 << 63) - 1, found.st_ctime_ns
        if before[2 * number + 1] != changed or before[2 * number] != inode or not changed:
            stale[prefix] = set()
        if settled(files.signature(found)):
            now[2 * number], now[2 * number + 1] = inode, changed
    for prefix in stale:
        with contextlib.suppress(OSError):
            stale[prefix] = set(os.listdir(f"{store.root}/{prefix}"))
    absent = {md5 for md5 in md5s if md5[:2] in stale and md5[2:] not in stale[md5[:2]]} if stale else set()
    for md5 in absent:
        now[2 * int(md5[:2], 16)] = now[2 * int(md5[:2], 16) + 1] = 0
    return absent, now.tobytes()


def _changed_at(store: Store) -> int:
    """When the cache's own folder last changed, as its file system tells (some never do); 0 where it is not there."""
    try:
        return os.stat(store.root).st_ctime_ns
    except OSError:
        return 0


def _refuse_if_changed(folder: Path, before: list[Entry], after: list[Entry]) -> None:
    if before == after:
        return
    changed = sorted({name for name, _ in set(before) ^ set(after)})
    if changed:
        raise _moving(f"{folder}/{changed[0]}")


def _moving(path: str) -> Refused:
    return Refused(f"{path} changed while it was being read", "wait until nothing writes to it, then track it again")


def _take(path: str, expected: Signature, store: Store | None, report: Report | None) -> str:
    """MD5 of the file's bytes, which with ``store`` are in the cache when this returns."""
    try:
        with open(path, "rb", buffering=0) as source:
            if expected[1] > SMALL:
                md5 = _take_large(source, path, expected, store, report)
            else:
                md5 = _take_small(source, path, expected, store)
                if report is not None:
                    report(expected[1])
    except PermissionError as err:
        raise LedgerError(
            f"cannot read {path} into DVC's cache: {err.strerror}: {err.filename}",
            "mend the permissions, then try again",
        ) from err
    except FileNotFoundError as err:
        if err.filename == path:
            raise _moving(path) from err
        raise
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LedgerError("no room for DVC's cache: the disk is full", "free some space, then try again") from err
        raise
    return md5


def _settles(signature: Signature) -> bool:
    """Wait out the clock's tick in which the file last changed: a change from now on is bound to show."""
    time.sleep(TICK_NS / 1e9)
    return settled(signature)


def _unchanged(path: str, expected: Signature) -> bool:
    try:
        return files.signature(os.stat(path)) == expected
    except FileNotFoundError:
        return False


def _take_small(source: BinaryIO, path: str, expected: Signature, store: Store | None) -> str:
    data = source.read(expected[1] + 1) or b""
    while len(data) <= expected[1] and (more := source.read(expected[1] + 1)):
        data += more
    if not _unchanged(path, expected) or len(data) != expected[1]:
        raise _moving(path)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if store is not None and not store.has(md5, len(data)):
        _write_object(store, md5, data)
    return md5


def _take_large(source: BinaryIO, path: str, expected: Signature, store: Store | None, report: Report | None) -> str:
    if store is None:
        md5 = _stream(source, None, report)
        if not _unchanged(path, expected):
            raise _moving(path)
        return md5
    _require_room(store, expected[1])
    with _temporary(store) as (temporary, target):
        if share_blocks(source, target):
            with open(temporary, "rb", buffering=0) as clone:
                md5 = _stream(clone, None, report)
        else:
            md5 = _stream(source, target, report)
        if not _unchanged(path, expected) or os.fstat(target.fileno()).st_size != expected[1]:
            raise _moving(path)
        _place(store, temporary, target, md5, expected[1])
    return md5


def _stream(source: BinaryIO, target: BinaryIO | None, report: Report | None) -> str:
    """Read to the end, hashing in a second thread (hashlib lets go of the interpreter) while this one copies."""
    digest = hashlib.md5(usedforsecurity=False)
    buffers = [memoryview(bytearray(_BLOCK)) for _ in range(2)]
    jobs: list[Future[None] | None] = [None, None]
    turn = at = 0
    with ThreadPoolExecutor(1, "nbledger-md5") as pool:
        while True:
            if (job := jobs[turn]) is not None:
                job.result()
            count = source.readinto(buffers[turn])  # type: ignore[attr-defined]
            if not count:
                break
            block = buffers[turn][:count]
            jobs[turn] = pool.submit(digest.update, block)
            if target is not None:
                _write_all(target, block)
                durable.begin(target.fileno(), at, count)
                at += count
            if report is not None:
                report(count)
            turn = 1 - turn
    return digest.hexdigest()


def _write_all(target: BinaryIO, block: memoryview) -> None:
    while block:
        block = block[target.write(block) :]


def _require_room(store: Store, size: int) -> None:
    folder = store.root
    while not folder.exists():
        folder = folder.parent
    with contextlib.suppress(AttributeError, OSError):
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < size:
            raise LedgerError(
                f"no room for DVC's cache: {size} bytes needed, {room.f_bavail * room.f_frsize} free",
                "free some space, or move the cache (dvc cache dir)",
            )


def share_blocks(source: BinaryIO, target: BinaryIO) -> bool:
    """Share the blocks where the file system can (btrfs, XFS, …)."""
    try:
        import fcntl

        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except (ImportError, OSError):
        return False
    return True


@contextlib.contextmanager
def _temporary(store: Store) -> Iterator[tuple[str, BinaryIO]]:
    _folder(store, store.root)
    path = f"{store.root}/{_PREFIX}{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    target = open(path, "xb", buffering=0)  # noqa: SIM115
    try:
        yield path, target
    finally:
        target.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


def _folder(store: Store, path: str | Path) -> None:
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        if store.shared:
            with contextlib.suppress(OSError):
                os.chmod(path, 0o2775)  # noqa: S103


def _place(store: Store, temporary: str, target: BinaryIO, md5: str, size: int) -> None:
    if store.has(md5, size):
        return
    _protect(target.fileno(), temporary)
    os.fsync(target.fileno())
    final = store.path(md5)
    _folder(store, final.parent)
    os.replace(temporary, final)
    store.written.append(str(final))


def _write_object(store: Store, md5: str, data: bytes) -> None:
    """Write a small object: complete, then named."""
    temporary = f"{store.root}/{_PREFIX}{_HOST}-{os.getpid()}-{md5}.tmp"
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except FileNotFoundError:
            _folder(store, store.root)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            _protect(descriptor, temporary)
        finally:
            os.close(descriptor)
        final = f"{store.root}/{md5[:2]}/{md5[2:]}"
        try:
            os.replace(temporary, final)
        except FileNotFoundError:
            _folder(store, os.path.dirname(final))
            os.replace(temporary, final)
        store.written.append(final)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _protect(descriptor: int, path: str) -> None:
    os.chmod(descriptor if os.chmod in os.supports_fd else path, 0o444)


def settle(store: Store) -> None:
    """Return when the objects written are on the disk: from then on a pointer may name them."""
    durable.settle(store.written, str(store.root))
    store.written.clear()


def sweep(store: Store) -> None:
    """Remove what killed processes of this machine left half-written."""
    with contextlib.suppress(OSError), os.scandir(store.root) as listing:
        for item in listing:
            if item.name.startswith(f"{_PREFIX}{_HOST}-") and not _alive(item.name):
                with contextlib.suppress(OSError):
                    os.unlink(item.path)


def _alive(name: str) -> bool:
    try:
        pid = int(name[len(f"{_PREFIX}{_HOST}-") :].split("-", maxsplit=1)[0])
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True
