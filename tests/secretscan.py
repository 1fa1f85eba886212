"""Looking for secrets in everything that a team leaves: Git, S3, the database, logs, notebooks, journals, caches.

What is looked for is any of the forms in which a program may write a secret down (as it is, base64 as in an HTTP header,
hexadecimal, UTF-16), in the bytes as they are stored and in what they unpack to.
"""

from __future__ import annotations

import base64
import gzip
import io
import os
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from servers import S3, Postgres

_LARGEST = 64 << 20


def forms(secret: str) -> list[bytes]:
    """How the secret may stand in a file."""
    raw = secret.encode()
    shifted = [base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] :] for shift in range(3)]
    inner = [one[: len(one) // 4 * 4 - 4] for one in shifted]  # without the end, which depends on what follows
    return [raw, raw.hex().encode(), secret.encode("utf-16-le"), *inner]


def found(secrets: Mapping[str, str], places: Iterable[tuple[str, bytes]]) -> tuple[list[str], int]:
    """(``secret: where`` of each that was found, how many places were looked through)."""
    wanted = [(name, form) for name, secret in secrets.items() for form in forms(secret)]
    seen, count = [], 0
    for where, data in places:
        count += 1
        seen += [f"{name}: {where}" for name, form in wanted if form in data]
    return list(dict.fromkeys(seen)), count


def of_folder(folder: Path, *, without: Iterable[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below it, but those that are named and the objects of Git's repositories (see ``of_git``)."""
    apart = {Path(os.path.realpath(path)) for path in without}
    for place, folders, names in os.walk(folder):
        here = Path(os.path.realpath(place))
        folders[:] = [name for name in folders if here / name not in apart and not _objects(here / name)]
        for name in names:
            path = here / name
            if path not in apart and path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # the draft of a keeper that goes on working
                    data = path.read_bytes()
                    yield from unpacked(str(path), data)


def _objects(folder: Path) -> bool:
    return folder.name == "objects" and (folder / "pack").is_dir()


def of_git(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Every object of the repository, whether anything leads to it or not, and the names of its refs."""
    for words in (("cat-file", "--batch", "--batch-all-objects"), ("for-each-ref",), ("reflog", "--all")):
        done = subprocess.run(["git", *words], cwd=repository, capture_output=True, check=True)
        yield f"{repository}: git {words[0]}", done.stdout


def of_bucket(bucket: S3) -> Iterator[tuple[str, bytes]]:
    """Every object of the bucket, its name too."""
    client = bucket.client()
    for key in bucket.objects():
        data = client.get_object(Bucket=bucket.bucket, Key=key)["Body"].read()
        yield from unpacked(f"s3://{bucket.bucket}/{key}", key.encode() + b"\n" + data)


def of_database(database: Postgres) -> Iterator[tuple[str, bytes]]:
    """Every row of every table."""
    for name in database.names:
        yield f"database {name}", database.dump(name)


def unpacked(where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what they hold if they are packed: gzip, zlib, zip, a SQLite file's rows."""
    if len(data) > _LARGEST:
        raise ValueError(f"{where} has {len(data):,} bytes: more than is looked through")
    yield where, data
    if data.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError, zlib.error):
            yield f"{where} (gzip)", gzip.decompress(data)
    if data[:1] == b"\x78":
        with suppress(zlib.error):
            yield f"{where} (zlib)", zlib.decompress(data)
    if data.startswith(b"PK\x03\x04"):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield from unpacked(f"{where}!{name}", packed.read(name))
    if data.startswith(b"SQLite format 3\0"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(data)
            yield f"{where} (rows)", "\n".join(database.iterdump()).encode("utf-8", "surrogateescape")
