"""Files written so that a crash leaves the old or the new, locks between processes, and file signatures."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from nbledger.core.errors import Busy

Signature = tuple[int, int, int, int]
CHUNK = 1 << 20


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace ``path`` by ``data``: write beside it, fsync, rename (the order POSIX makes atomic)."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            with contextlib.suppress(OSError):
                os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def signature(stat: os.stat_result) -> Signature:
    """(inode, size, mtime_ns, ctime_ns): ctime tells of a same-size edit whose mtime was restored."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes, as DVC 3 names its cache objects."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, timeout: float = 10.0, what: str = "the project") -> Iterator[int]:
    """Hold an advisory lock file; ``Busy`` names the holder when ``timeout`` seconds pass. Released by the
    system when the holder dies, and with it whoever was given its descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    deadline = time.monotonic() + timeout
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise Busy(
                    f"{what} is in use by another process (pid {holder})", "wait for it to finish, then try again"
                )
            time.sleep(0.005)
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def share(descriptor: int) -> None:
    """Hold an open file together with others, for as long as it is open; nothing where the system has no such locks."""
    with contextlib.suppress(OSError):
        _share(descriptor)


def shared(path: Path) -> bool | None:
    """Whether a process, in whichever namespace, holds the file by ``share``; None where that cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


try:
    import fcntl

    def _share(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

except ImportError:  # Windows
    import msvcrt

    def _share(descriptor: int) -> None:
        """A locked part of a file could not be written there."""

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
