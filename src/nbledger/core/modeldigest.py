r"""The digest of a model's files: one line that says whether two folders hold the same model. Nothing is ever loaded.

It is the SHA-256 of what ``sha256sum`` prints of the folder's files, sorted by path as bytes, so that anybody can check it:
``find . -type f ! -path ./registered_model_meta -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum``.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from nbledger.core.errors import Refused
from nbledger.core.files import CHUNK

TAG = "nbledger.model.digest"
"""The tag of a model version that holds the digest that its files had when it was promoted."""

_META = b"registered_model_meta"  # MLflow's client writes it into what it downloads from the registry


def digest(folder: Path) -> str:
    """SHA-256 (64 hexadecimal digits) over the sorted lines ``sha256  relative/path`` of every file below ``folder``.

    ``Refused`` where the folder holds anything but files and folders: what a link points at is not the model's.
    """
    whole = hashlib.sha256()
    for line in lines(folder):
        whole.update(line)
    return whole.hexdigest()


def lines(folder: Path) -> list[bytes]:
    """The lines that the digest is of, as ``sha256sum`` writes them (a name with a newline or backslash is escaped)."""
    root = os.fsencode(folder)
    found = []
    for name in sorted(_names(root, b"")):
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"" if escaped == name else b"\\"
        found.append(b"%s%s  %s\n" % (mark, _sha256(os.path.join(root, name)).encode(), escaped))
    return found


def _names(root: bytes, below: bytes) -> Iterator[bytes]:
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _names(root, name)
            elif not entry.is_file(follow_symlinks=False):
                raise Refused(f"the model holds {os.fsdecode(name)!r}, which is neither a file nor a folder")
            elif name != _META:
                yield name


def _sha256(path: bytes) -> str:
    """Of a regular file, opened without following a link that was put there meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(f"the model holds {os.fsdecode(path)!r}, which is no file")
        found = hashlib.sha256()
        while block := file.read(CHUNK):
            found.update(block)
    return found.hexdigest()
