"""What was written, on the disk: one large file while it is still being written, very many small ones in one call."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

_FEW = 24  # files up to which each is asked for by itself
_START = 2  # SYNC_FILE_RANGE_WRITE of linux/fs.h: begin, do not wait


@cache
def _libc() -> Any:
    """The C library where it has Linux's calls, else None."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        library.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        library.syncfs.argtypes = [ctypes.c_int]
    except (OSError, AttributeError):
        return None
    return library


def begin(descriptor: int, start: int, count: int) -> None:
    """Have the system begin to write this part of a file to the disk; it goes on beside what is done next."""
    if (library := _libc()) is not None:
        library.sync_file_range(descriptor, start, count, _START)


def settle(paths: Sequence[str], root: str) -> None:
    """Return when these new files of the file system of ``root`` are on the disk, with the folders that name them."""
    if not paths:
        return
    if len(paths) > _FEW and _sync_all(root):
        return
    for path in (*paths, *(dict.fromkeys(os.path.dirname(path) for path in paths) if os.name != "nt" else ())):
        _sync(path)


def _sync(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # gc, or whoever else has the cache
    try:
        os.fsync(descriptor)
    except OSError as err:
        if os.name != "nt":  # where what is read only cannot be asked for
            err.filename = path
            raise
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _sync_all(root: str) -> bool:
    """Everything of one file system; False where the system cannot."""
    library = _libc()
    if library is None:
        return False
    import ctypes

    descriptor = os.open(root, os.O_RDONLY)
    try:
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), root)
    finally:
        os.close(descriptor)
    return True
