"""A cache of file hashes, keyed by absolute path and valid for one file signature.

It only ever saves work: whatever is wrong with the database (locked, damaged, read-only, no room), callers see an
empty cache and hash again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nbledger.core.errors import LedgerError
from nbledger.core.files import Signature
from nbledger.core.project import Project

# The clock that stamps files ticks every 1-10 ms: a file edited again within one tick keeps its signature, so what
# was read so soon after the last change is not remembered.
TICK_NS = 20_000_000
_PACK = struct.Struct("<QQqq").pack
_BATCH = 900  # below SQLite's old limit of 999 parameters
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, signature BLOB, md5 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY, fingerprint BLOB, md5 TEXT, size INTEGER, nfiles INTEGER)
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bases (path TEXT, store TEXT, names BLOB, signatures BLOB, md5s TEXT,
PRIMARY KEY (path, store));
CREATE TABLE IF NOT EXISTS presence (path TEXT, store TEXT, times BLOB, PRIMARY KEY (path, store));
"""


def pack(signature: Signature) -> bytes:
    """The signature as it is stored."""
    return _PACK(*signature)


def settled(signature: Signature) -> bool:
    """Whether a later edit is bound to change this signature; ask before reading the file."""
    last = max(signature[2], signature[3]) if os.name == "nt" else signature[3]
    return time.time_ns() - last > TICK_NS


class Hashes:
    """An open cache. Rows are (path, packed signature, md5); folders have a fingerprint in place of a signature."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def files(self, paths: Sequence[str]) -> dict[str, tuple[bytes, str]]:
        """{path: (packed signature, md5)} for those of ``paths`` that are known."""
        found: dict[str, tuple[bytes, str]] = {}
        for start in range(0, len(paths), _BATCH):
            batch = paths[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            rows = self._rows(f"SELECT path, signature, md5 FROM files WHERE path IN ({marks})", batch)  # noqa: S608
            found.update((path, (signature, md5)) for path, signature, md5 in rows)
        return found

    def below(self, folder: str) -> dict[str, tuple[bytes, str]]:
        """{path relative to ``folder``: (packed signature, md5)} of all known files in it, in one range scan."""
        cut = len(folder) + 1
        rows = self._rows(
            "SELECT path, signature, md5 FROM files WHERE path >= ? AND path < ?", (folder + "/", folder + "0")
        )  # "0" follows "/"
        return {path[cut:]: (signature, md5) for path, signature, md5 in rows}

    def folder(self, folder: str, fingerprint: bytes) -> tuple[str, int, int] | None:
        """(md5 with ``.dir``, bytes, number of files) of a folder that looks as it did; else None."""
        rows = self._rows(
            "SELECT md5, size, nfiles FROM folders WHERE path = ? AND fingerprint = ?", (folder, fingerprint)
        )
        return (str(rows[0][0]), int(rows[0][1]), int(rows[0][2])) if rows else None

    def add_files(self, rows: Iterable[tuple[str, bytes, str]]) -> None:
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def renew(self, signatures: dict[bytes, bytes]) -> None:
        """Keep what is known of files whose packed signature (the key) became another without their bytes having changed."""
        known = self._rows("SELECT path, signature, md5 FROM files", ())
        self.add_files((path, signatures[old], md5) for path, old, md5 in known if old in signatures)

    def add_folder(self, folder: str, fingerprint: bytes, md5: str, size: int, nfiles: int) -> None:
        self._write("INSERT OR REPLACE INTO folders VALUES (?, ?, ?, ?, ?)", [(folder, fingerprint, md5, size, nfiles)])

    def base(self, folder: str, store: str) -> tuple[bytes, bytes, str, bytes] | None:
        """(names, signatures, md5s, times) as ``add_base`` and ``add_times`` were given them; None where unknown."""
        rows = self._rows(
            "SELECT names, signatures, md5s, times FROM bases NATURAL JOIN presence WHERE path = ? AND store = ?",
            (folder, store),
        )
        return rows[0] if rows else None

    def add_base(self, folder: str, store: str, base: tuple[bytes, bytes, str], times: bytes) -> None:
        """Remember a folder's files in one row: what its objects in ``store`` are, and ``times`` by which to tell
        that they are there still. Both or neither.
        """
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError), self._connection:
                self._connection.execute("INSERT OR REPLACE INTO bases VALUES (?, ?, ?, ?, ?)", (folder, store, *base))
                self._connection.execute("INSERT OR REPLACE INTO presence VALUES (?, ?, ?)", (folder, store, times))

    def add_times(self, folder: str, store: str, times: bytes) -> None:
        self._write("INSERT OR REPLACE INTO presence VALUES (?, ?, ?)", [(folder, store, times)])

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeError, OverflowError):
            return []

    def _write(self, query: str, rows: Iterable[tuple[object, ...]]) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError), self._connection:
            self._connection.executemany(query, rows)


@contextlib.contextmanager
def opened(project: Project) -> Iterator[Hashes]:
    """The project's cache, ``.nbledger/hashes.db``; an empty one where it cannot be used."""
    connection = None
    with contextlib.suppress(LedgerError):
        connection = _connect(project.ensure_state() / "hashes.db")
    try:
        yield Hashes(connection)
    finally:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _connect(path: Path) -> sqlite3.Connection | None:
    try:
        return _open(path)
    except sqlite3.OperationalError:  # locked, read-only, no room
        return None
    except sqlite3.DatabaseError:  # damaged: it is only a cache, so begin anew
        with contextlib.suppress(OSError, sqlite3.Error):
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            return _open(path)
    except OSError:
        pass
    return None


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=1.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
