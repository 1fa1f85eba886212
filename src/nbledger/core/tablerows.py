"""How many rows a table has that a run read: counted from its very bytes, found by their hash."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nbledger.core import contents
from nbledger.core.project import Project
from nbledger.core.tablediff import suffix_of

_LINES = (".jsonl", ".ndjson")
_BINARY = (".parquet", ".pq", ".feather", ".arrow")
_LONGEST_FIELD = 1 << 27


def is_table(path: str) -> bool:
    """Whether a file is a table by its name."""
    return suffix_of(path) is not None


def count(project: Project, path: str, md5: str, commit: str | None) -> int | None:
    """The rows of the table that had this hash at ``path``; None where its bytes are not here, or are no table."""
    kind, found = suffix_of(path), contents.find(project, path, md5, commit)
    if kind is None or found is None:
        return None
    try:
        return _rows(found, kind)
    except Exception:  # whatever a parser makes of a file that is no table
        return None


def _rows(source: Path | bytes, kind: str) -> int:
    if kind in _BINARY:
        return _of_arrow(source, kind)
    with _text(source, kind.endswith(".gz")) as text:
        if kind.startswith(_LINES):
            return sum(1 for line in text if line.strip())
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            rows = csv.reader(text, delimiter="\t" if kind.startswith((".tsv", ".txt")) else ",")
            return max(sum(1 for row in rows if row) - 1, 0)  # the first names the columns
        finally:
            csv.field_size_limit(before)


@contextmanager
def _text(source: Path | bytes, packed: bool) -> Iterator[IO[str]]:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as raw:
        opened: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        with io.TextIOWrapper(opened, encoding="utf-8", errors="replace", newline="") as text:
            yield text


def _of_arrow(source: Path | bytes, kind: str) -> int:
    opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    if kind in (".parquet", ".pq"):
        from pyarrow import parquet

        return int(parquet.ParquetFile(opened).metadata.num_rows)
    from pyarrow import feather

    return int(feather.read_table(opened).num_rows)
