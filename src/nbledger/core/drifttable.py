"""Tables whose columns are compared: read from files, at most so many rows, and what each column holds.

pandas and PyArrow are imported here; the process that imports this is one of its own (``core.driftlib``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nbledger.core.drift import CATEGORICAL, DATETIME, IGNORE, NUMERIC, TEXT
from nbledger.core.tablediff import suffix_of

_CHUNK = 200_000
_FEW, _CATEGORIES = 10, 50
"""Different whole numbers, and different texts, up to which a column is one of categories."""
_ID = re.compile(r"(^|[_\W])(id|key|uuid|guid|index)$|^unnamed: 0$", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d.*)?$|\d\d?[/.]\d\d?[/.]\d{4}\b")


class NoTable(ValueError):
    """A file is no table that can be read."""


@dataclass(frozen=True)
class Table:
    """The rows that are compared, of ``rows`` in all; ``sampled`` where these are more."""

    frame: pd.DataFrame
    rows: int

    @property
    def sampled(self) -> bool:
        return len(self.frame) < self.rows


def read(paths: Sequence[Path], names: Sequence[str], most: int) -> Table:
    """The tables in ``paths`` (``names`` are those by which their kind is known) under each other. Of more than ``most``
    rows a random sample, the same at every reading.
    """
    draw = np.random.default_rng(0)
    kept: list[pd.DataFrame] = []
    keys = np.empty(0)
    rows = 0
    for path, name in zip(paths, names, strict=True):
        try:
            for chunk in _chunks(path, name):
                rows += len(chunk)
                kept.append(_named(chunk))
                keys = np.concatenate((keys, draw.random(len(chunk))))
                if len(keys) > 2 * most:
                    kept, keys = _smallest(kept, keys, most)
        except NoTable:
            raise
        except Exception as err:  # whatever a parser makes of a file that is no table
            raise NoTable(f"{Path(name).name} cannot be read as a table: {' '.join(str(err).split())[:200]}") from err
    kept, _ = _smallest(kept, keys, most)
    if not kept or not len(kept[0].columns):
        raise NoTable(f"{Path(names[0]).name} has no columns")
    return Table(kept[0], rows)


def columns(path: Path, name: str) -> list[str]:
    """The names of a table's columns, without reading the rest of it."""
    suffix = suffix_of(name)
    if suffix in (".parquet", ".pq"):
        from pyarrow import parquet

        return [str(column) for column in parquet.read_schema(path).names]
    return [str(column) for column in _named(next(iter(_chunks(path, name, 50)))).columns]


def _smallest(kept: list[pd.DataFrame], keys: Any, most: int) -> tuple[list[pd.DataFrame], Any]:
    """The rows with the ``most`` smallest keys, in their order."""
    if not kept:
        return [], keys
    whole = pd.concat(kept, ignore_index=True) if len(kept) > 1 else kept[0].reset_index(drop=True)
    if len(whole) <= most:
        return [whole], keys
    chosen = np.sort(np.argpartition(keys, most - 1)[:most])
    return [whole.iloc[chosen].reset_index(drop=True)], keys[chosen]


def _chunks(path: Path, name: str, size: int = _CHUNK) -> Iterator[pd.DataFrame]:
    suffix = suffix_of(name)
    if suffix is None:
        raise NoTable(f"{Path(name).name} is no table by its name (CSV, TSV, Parquet, JSON lines, Feather)")
    with open(path, "rb") as file:  # a path that looks like an address is not one
        if suffix in (".parquet", ".pq"):
            from pyarrow import parquet

            for batch in parquet.ParquetFile(file).iter_batches(batch_size=size):
                yield batch.to_pandas()
        elif suffix in (".feather", ".arrow"):
            yield pd.read_feather(file)
        elif suffix in (".jsonl", ".ndjson"):
            yield from pd.read_json(file, lines=True, chunksize=size, dtype=False)
        else:
            packed: Any = "gzip" if suffix.endswith(".gz") else None
            separator = "\t" if suffix.startswith((".tsv", ".txt")) else ","
            yield from pd.read_csv(file, sep=separator, chunksize=size, compression=packed, low_memory=False)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Every column under a text of its own."""
    names: list[str] = []
    for column in map(str, frame.columns):
        name, count = column, 0
        while name in names:
            count += 1
            name = f"{column}.{count}"
        names.append(name)
    frame.columns = pd.Index(names)
    return frame


# ── what a column holds ──────────────────────────────────────────────────────────────────────────────────


def kind_of(column: pd.Series, name: str) -> str:
    """What a column holds, by its values in the training data."""
    values = column.dropna()
    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return CATEGORICAL
    if pd.api.types.is_datetime64_any_dtype(column):
        return DATETIME
    if pd.api.types.is_numeric_dtype(column):
        if names_rows(values, name):
            return IGNORE
        whole = bool(len(values)) and bool((np.mod(values.astype(float), 1) == 0).all())
        return CATEGORICAL if whole and values.nunique() <= _FEW else NUMERIC
    texts = values.astype(str)
    if len(texts) and texts.map(lambda text: bool(_DATE.match(text))).mean() > 0.95:
        return DATETIME
    if names_rows(texts, name):
        return IGNORE
    different = texts.nunique()
    if different <= max(_CATEGORIES, len(texts) // 20):
        return CATEGORICAL
    return TEXT


def names_rows(values: pd.Series, name: str) -> bool:
    """Whether a column is a name of its rows: called like one, and no value occurs twice."""
    return bool(_ID.search(name)) and len(values) > 1 and bool(values.is_unique)


def as_numbers(column: pd.Series) -> tuple[pd.Series, float]:
    """(the column as numbers, the share of its cells that are there and are none)."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(float), 0.0
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    there = column.notna()
    return numbers, float((there & numbers.isna()).mean()) if len(column) else 0.0


def as_labels(column: pd.Series) -> pd.Series:
    """The column as texts, so that 1, 1.0 and True are the same label wherever they were read; None where it is empty."""
    return column.map(_label, na_action="ignore").astype(object).where(column.notna(), None)


def _label(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    return {"True": "1", "False": "0", "true": "1", "false": "0"}.get(text, text)


def dates(column: pd.Series) -> tuple[str, str]:
    """The first and the last date of a column; empty where there is none."""
    found = pd.to_datetime(column, errors="coerce", utc=True, format="mixed").dropna()
    return (str(found.min())[:19], str(found.max())[:19]) if len(found) else ("", "")
