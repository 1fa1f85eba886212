"""Bytes out of DVC's cache into a work tree: verified against the name they bear, linked where that is safe, else copied.

An object that was verified once is known by its signature (``core.hashes``) and not read again. A copy and its
verification are one pass.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from nbledger.core import files
from nbledger.core.cache import SMALL
from nbledger.core.errors import Refused
from nbledger.core.hashes import Hashes, pack, settled
from nbledger.core.worktrees import full_disk

Report = Callable[[int], None]

_BLOCK = 8 << 20
_STEP = 64 << 20  # bytes copied by the system between two reports
_FICLONE = 0x40049409
_CANNOT = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.EACCES)


class Mismatch(Refused):
    """A file whose bytes are not those its name promises."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"{path} is damaged: its name says {expected}, its bytes are {found}",
            "remove it, then fetch it again from the remote (dvc fetch)",
        )
        self.path, self.expected, self.found = path, expected, found


@dataclass
class Placer:
    """``links`` are the ways allowed beside copying, most wanted first: ``reflink``, ``hardlink``, ``symlink``.

    ``known`` remembers which objects were verified; ``fresh`` are the rows still to be written to it (``flush``).
    """

    known: Hashes
    links: tuple[str, ...] = ("reflink",)
    report: Report | None = None
    fresh: list[tuple[str, bytes, str]] = field(default_factory=list)
    _folders: set[str] = field(default_factory=set)
    _verified: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def expect(self, sources: list[Path]) -> None:
        """Look up in one go what is known of these objects."""
        self._verified |= self.known.files([str(source) for source in sources])

    def put(self, source: Path, target: Path, md5: str, *, linked: bool = True, executable: bool = False) -> None:
        """Make ``target`` (which does not exist) hold the bytes of ``source``, whose MD5 must be ``md5``: ``Mismatch`` if
        it is not, ``FileNotFoundError`` where there is none. With ``linked`` false never a hard or symbolic link.
        """
        self._folder(os.path.dirname(target))
        status = os.stat(source)
        size = status.st_size
        try:
            if size <= SMALL and not ({"hardlink", "symlink"} & set(self.links) and linked):
                _small(source, target, md5, executable)
                self._told(size)
            else:
                self._large(source, target, md5, status, linked, executable)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise full_disk(target.parent) from err
            raise

    def flush(self) -> None:
        """Remember what was verified."""
        self.known.add_files(self.fresh)
        self.fresh.clear()

    def _told(self, count: int) -> None:
        if self.report is not None:
            self.report(count)

    def _folder(self, folder: str) -> None:
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)

    def _large(
        self, source: Path, target: Path, md5: str, status: os.stat_result, linked: bool, executable: bool
    ) -> None:
        signature = files.signature(status)
        row = self._verified.get(str(source)) or self.known.files([str(source)]).get(str(source))
        sure = row == (pack(signature), md5)
        for way in [way for way in self.links if way == "reflink" or linked]:
            if _linked(way, source, target, executable):
                if not sure:
                    _verify(source, md5)
                now = files.signature(os.stat(source))  # one more name changes an object's ctime, and nothing else
                if now[:3] == signature[:3]:
                    self._remember(source, now, md5)
                self._told(status.st_size)
                return
            self.links = tuple(other for other in self.links if other != way)
        if sure:
            _copy(source, target, executable, self._told)
            if files.signature(os.stat(source)) != signature:
                raise Mismatch(source, md5, "changing while they are read")
        else:
            _copy_verified(source, target, md5, executable, self._told)
            self._remember(source, signature, md5)

    def _remember(self, source: Path, signature: files.Signature, md5: str) -> None:
        """Only where a later edit is bound to change the signature (a new link's ctime is no edit)."""
        if settled((*signature[:3], signature[2])):
            self.fresh.append((str(source), pack(signature), md5))


def _small(source: Path, target: Path, md5: str, executable: bool) -> None:
    descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        data = os.read(descriptor, SMALL + 1)
    finally:
        os.close(descriptor)
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise Mismatch(source, md5, found)
    with _created(target, executable) as descriptor:
        _write(descriptor, data)


def _verify(source: Path, md5: str) -> None:
    found = files.md5_of(source)
    if found != md5:
        raise Mismatch(source, md5, found)


@contextlib.contextmanager
def _created(target: Path, executable: bool) -> Iterator[int]:
    """A new file, never one that a link leads to."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(target, flags, 0o777 if executable else 0o666)
    try:
        yield descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
    finally:
        os.close(descriptor)


def _linked(way: str, source: Path, target: Path, executable: bool) -> bool:
    """Whether this way worked; a file system (or a pair of them) that cannot is no error."""
    try:
        if way == "reflink":
            return _reflink(source, target, executable)
        if way == "hardlink":
            os.link(source, target)
            return True
        if way == "symlink":
            os.symlink(source, target)
            return True
    except OSError as err:
        if err.errno not in (*_CANNOT, errno.EMLINK):
            raise
    return False


def _reflink(source: Path, target: Path, executable: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    with open(source, "rb", buffering=0) as file, _created(target, executable) as descriptor:
        fcntl.ioctl(descriptor, _FICLONE, file.fileno())
    return True


def _copy(source: Path, target: Path, executable: bool, report: Report) -> None:
    """Copy inside the system, without the bytes passing through this process where it can do that."""
    with open(source, "rb", buffering=0) as file, _created(target, executable) as descriptor:
        left = os.fstat(file.fileno()).st_size
        quick = getattr(os, "copy_file_range", None)
        while left > 0:
            try:
                done = quick(file.fileno(), descriptor, min(left, _STEP)) if quick else 0
            except OSError as err:
                if err.errno not in _CANNOT:
                    raise
                quick, done = None, 0
            if done == 0:  # not supported here, or the file has become shorter
                _pump(file.fileno(), descriptor, report)
                return
            left -= done
            report(done)


def _pump(source: int, target: int, report: Report) -> None:
    while block := os.read(source, _BLOCK):
        _write(target, block)
        report(len(block))


def _copy_verified(source: Path, target: Path, md5: str, executable: bool, report: Report) -> None:
    """Copy and hash in one pass: a second thread writes what the first has hashed."""
    digest = hashlib.md5(usedforsecurity=False)
    with (
        open(source, "rb", buffering=0) as file,
        _created(target, executable) as descriptor,
        ThreadPoolExecutor(1) as writer,
    ):
        writing: Future[None] | None = None
        while block := file.read(_BLOCK):
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, descriptor, block)
            digest.update(block)
            report(len(block))
        if writing is not None:
            writing.result()
        if digest.hexdigest() != md5:
            raise Mismatch(source, md5, digest.hexdigest())


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
