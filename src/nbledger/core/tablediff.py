"""Two versions of a table: which rows and columns were added, removed and changed, and whose distribution moved.

pandas and PyArrow are imported only here, and only when two tables are compared.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core.differences import ColumnChange, TableChange
from nbledger.core.wording import counted, percent, some

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt.gz",
    ".csv.gz",
    ".tsv.gz",
    ".parquet",
    ".pq",
    ".jsonl",
    ".ndjson",
    ".feather",
    ".arrow",
)
_WHOLE = 200_000_000  # bytes up to which a file is read whole
_ROWS = 500_000  # rows that are read of a larger one
_IDS = re.compile(r"(^|[_\W])(id|key|uuid|guid|index|nr|no|number|code)$|^unnamed: 0$", re.IGNORECASE)
_MOVED = 0.02  # a two-sample distance from which a distribution has moved
_CATEGORIES = 50
_NAMED = 8  # columns that are named of a table that is there on one side only
_SEVERAL = 400  # columns looked at


def suffix_of(path: str) -> str | None:
    """The kind of table a file is by its name; None if it is none."""
    name = path.lower()
    return next((s for s in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(s)), None)


def compare(a: Path | bytes, b: Path | bytes, suffix: str, other: str | None = None) -> TableChange | None:
    """What differs between two tables in files of the kinds ``suffix`` and ``other`` (default: the same); None where one
    of them cannot be read as such.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about columns of mixed types and the like: both sides are read alike
            (left, whole_a), (right, whole_b) = _read(a, suffix), _read(b, other or suffix)
    except Exception:  # whatever a parser makes of a file that is no table
        return None
    sampled = None if whole_a and whole_b else min(len(left), len(right))
    return frames(left, right, sampled)


def shape(source: Path | bytes, suffix: str) -> str:
    """The rows and columns of a single table, in words; empty where it cannot be read as one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, whole = _read(source, suffix)
    except Exception:  # whatever a parser makes of a file that is no table
        return ""
    names = some((str(c)[:60] for c in found.columns), _NAMED)
    rows = counted(len(found), "row") if whole else f"more than {len(found):,} rows"
    return f"{rows}, {counted(len(found.columns), 'column')}: {names}"


def _read(source: Path | bytes, suffix: str) -> tuple[pd.DataFrame, bool]:
    """(the table, whether all of it). Text stays as written where pandas would guess a date."""
    import pandas as pd

    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    rows = None if size <= _WHOLE else _ROWS
    opened: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    if suffix in (".parquet", ".pq"):
        return _parquet(opened, rows)
    if suffix in (".feather", ".arrow"):
        return pd.read_feather(opened), True
    if suffix in (".jsonl", ".ndjson"):
        return pd.read_json(opened, lines=True, nrows=rows, dtype=False), rows is None
    separator = "\t" if suffix.startswith((".tsv", ".txt")) else ","
    packed = "gzip" if suffix.endswith(".gz") else None
    return pd.read_csv(opened, sep=separator, nrows=rows, compression=packed, low_memory=False), rows is None


def _parquet(opened: Any, rows: int | None) -> tuple[pd.DataFrame, bool]:
    from pyarrow import parquet

    table = parquet.ParquetFile(opened)
    if rows is None or table.metadata.num_rows <= rows:
        return table.read().to_pandas(), True
    first = next(table.iter_batches(batch_size=rows))
    return first.to_pandas(), False


def frames(a: pd.DataFrame, b: pd.DataFrame, sampled: int | None = None) -> TableChange:
    """What differs between two tables that are at hand."""
    a, b = (_plain(frame) for frame in (a, b))
    shared = [c for c in a.columns if c in set(b.columns)]
    columns = [ColumnChange(str(c), "removed", _held(a[c])) for c in a.columns if c not in set(shared)]
    columns += [ColumnChange(str(c), "added", _held(b[c])) for c in b.columns if c not in set(shared)]
    left, right = a[shared], b[shared]
    rows = _rows(*_alike(left, right), shared)
    touched = [c for c in shared[:_SEVERAL] if str(c) not in rows.key and not _same(left[c], right[c])]
    columns += [change for c in touched if (change := _column(str(c), left[c], right[c])) is not None]
    return TableChange(
        rows=(len(a), len(b)),
        added=rows.added,
        removed=rows.removed,
        changed=rows.changed,
        key=rows.key,
        reordered=rows.reordered,
        columns=tuple(sorted(columns, key=lambda c: (_STATES.index(c.state), -(c.distance or 0)))),
        columns_reordered=shared != [c for c in b.columns if c in set(shared)],
        sampled=sampled,
    )


def _alike(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with one type a column: a single empty cell makes a column of whole numbers one of fractions."""
    import pandas as pd

    kinds: dict[Any, Any] = {}
    for column in a.columns:
        types = (a[column].dtype, b[column].dtype)
        if types[0] != types[1]:
            kinds[column] = float if all(pd.api.types.is_numeric_dtype(t) for t in types) else str
    return (a.astype(kinds), b.astype(kinds)) if kinds else (a, b)


_STATES = ("removed", "added", "dtype", "moved", "changed")


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows numbered from zero, and lists and dictionaries in cells as text, so that they can be compared."""
    frame = frame.reset_index(drop=True)
    if frame.columns.has_duplicates:
        frame.columns = [f"{c}.{i}" if frame.columns.get_loc(c) != i else c for i, c in enumerate(frame.columns)]
    nested = [c for c in frame.columns if frame[c].dtype == object and frame[c].map(_nests).any()]
    return frame.assign(**{c: frame[c].map(str) for c in nested}) if nested else frame


def _nests(value: object) -> bool:
    return isinstance(value, list | dict | set) or hasattr(value, "__array__")


def _same(a: pd.Series, b: pd.Series) -> bool:
    return len(a) == len(b) and a.dtype == b.dtype and bool(a.equals(b))


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Rows:
    added: int = 0
    removed: int = 0
    changed: int = 0
    reordered: bool = False
    key: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return self.added + self.removed + self.changed


def _rows(a: pd.DataFrame, b: pd.DataFrame, shared: Sequence[Any]) -> _Rows:
    """What became of the rows: matched by the column that tells them apart, else by place, else as whole rows;
    whichever explains the difference by the fewest rows.
    """
    if not shared or (len(a) == len(b) and all(_same(a[c], b[c]) for c in shared)):
        return _Rows(added=max(0, len(b) - len(a)), removed=max(0, len(a) - len(b)))
    hashed = [_hashes(frame) for frame in (a, b)]
    found = [_whole(*hashed)]
    if len(a) == len(b):
        found.append(_Rows(changed=int((hashed[0] != hashed[1]).sum())))
    key = _key(a, b, shared)
    if key is not None:
        found.append(_by_key(a, b, hashed, key))
        others = [c for c in shared if c != key]
        if others:  # keys that number the rows are given anew when one is taken out
            found.append(_whole(*(_hashes(frame[others]) for frame in (a, b))))
    return min(found, key=lambda r: (r.count, not r.key, not r.changed))


def _hashes(frame: pd.DataFrame) -> Any:
    """A number a row."""
    import pandas as pd

    mixed = {c: str for c in frame.columns if frame[c].dtype == object}
    return pd.util.hash_pandas_object(frame.astype(mixed) if mixed else frame, index=False).to_numpy()


def _whole(left: Any, right: Any) -> _Rows:
    import numpy as np

    _, codes = np.unique(np.concatenate((left, right)), return_inverse=True)
    x, y = codes[: len(left)], codes[len(left) :]
    kinds = int(codes.max()) + 1 if len(codes) else 0
    counts = [np.bincount(side, minlength=kinds) for side in (x, y)]
    added = int(np.maximum(counts[1] - counts[0], 0).sum())
    removed = int(np.maximum(counts[0] - counts[1], 0).sum())
    kept_x, kept_y = x[counts[1][x] > 0], y[counts[0][y] > 0]
    reordered = len(kept_x) == len(kept_y) and bool((kept_x != kept_y).any())
    return _Rows(added, removed, reordered=reordered)


def _key(a: pd.DataFrame, b: pd.DataFrame, shared: Sequence[Any]) -> Any | None:
    """The column whose values tell rows apart in both tables and mostly occur in both: one named like an id first."""
    usable = [c for c in shared[:_SEVERAL] if a[c].dtype.kind in "iuOMSU" or str(a[c].dtype).startswith(("str", "Int"))]
    for column in sorted(usable, key=lambda c: _IDS.search(str(c)) is None):
        left, right = a[column], b[column]
        if left.hasnans or right.hasnans or not left.is_unique or not right.is_unique:
            continue
        common = left.isin(right).sum()
        if common * 2 >= max(len(left), len(right)):
            return column
    return None


def _by_key(a: pd.DataFrame, b: pd.DataFrame, hashed: Sequence[Any], key: Any) -> _Rows:
    import pandas as pd

    left, right = (pd.Series(h, index=frame[key]) for h, frame in zip(hashed, (a, b), strict=True))
    common = left.index[left.index.isin(right.index)]
    changed = int((left.loc[common].to_numpy() != right.loc[common].to_numpy()).sum())
    order = right.index[right.index.isin(left.index)]
    reordered = bool((common.to_numpy() != order.to_numpy()).any())
    return _Rows(len(right) - len(common), len(left) - len(common), changed, reordered, (str(key),))


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────


def _held(column: Any) -> str:
    """What a column holds that only one side has, in a few words."""
    import pandas as pd

    if not isinstance(column, pd.Series):  # two columns of one name
        return ""
    values = column.dropna()
    empty = f", empty {percent(float(column.isna().mean()))}" if len(values) < len(column) else ""
    if not len(values):
        return "empty"
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.astype(float)
        return f"{numbers.min():.4g} to {numbers.max():.4g}, median {numbers.median():.4g}{empty}"
    shares = values.astype(str).value_counts(normalize=True)
    if len(shares) > _CATEGORIES:
        return f"{len(shares):,} different values{empty}"
    return ", ".join(f"{str(name)[:30]} {percent(share)}" for name, share in shares.head(3).items()) + empty


def _column(name: str, a: pd.Series, b: pd.Series) -> ColumnChange | None:
    """How a column's values differ as a whole; None where they are the same in another order."""
    import pandas as pd

    nulls = (float(a.isna().mean()) if len(a) else 0.0, float(b.isna().mean()) if len(b) else 0.0)
    both = [pd.api.types.is_numeric_dtype(x) and not pd.api.types.is_bool_dtype(x) for x in (a, b)]
    said = f"{a.dtype} → {b.dtype}" if a.dtype != b.dtype and any(both) and not all(both) else ""
    if all(both):
        distance, words, stats = _numbers(a.dropna().astype(float), b.dropna().astype(float))
    else:
        distance, words, stats = _shares(a.dropna().astype(str), b.dropna().astype(str))
    if abs(nulls[0] - nulls[1]) > 0:
        words = f"{words}{', ' if words else ''}empty {percent(nulls[0])} → {percent(nulls[1])}"
    if said:
        return ColumnChange(name, "dtype", f"{said}{'; ' + words if words else ''}", distance, stats)
    if distance == 0 and nulls[0] == nulls[1]:
        return None
    state = "moved" if distance >= _MOVED or abs(nulls[0] - nulls[1]) >= _MOVED else "changed"
    return ColumnChange(name, state, words, round(distance, 6), stats)


Stats = dict[str, tuple[float | None, float | None]]


def _numbers(a: pd.Series, b: pd.Series) -> tuple[float, str, Stats]:
    """The Kolmogorov–Smirnov distance of two samples, and where their mean, spread and quantiles were and are."""
    import numpy as np

    if not len(a) or not len(b):
        return (0.0 if len(a) == len(b) else 1.0), "", {}
    x, y = np.sort(a.to_numpy()), np.sort(b.to_numpy())
    if len(x) == len(y) and bool((x == y).all()):
        return 0.0, "", {}
    every = np.concatenate((x, y))
    below = [np.searchsorted(side, every, side="right") / len(side) for side in (x, y)]
    distance = float(np.abs(below[0] - below[1]).max())
    stats: Stats = {"mean": (float(x.mean()), float(y.mean())), "std": (float(x.std()), float(y.std()))}
    for share in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0):
        stats[f"q{round(100 * share)}"] = (float(np.quantile(x, share)), float(np.quantile(y, share)))
    shown = {"mean": "mean", "std": "sd", "q50": "median"}
    words = [f"{label} {stats[k][0]:.4g} → {stats[k][1]:.4g}" for k, label in shown.items() if _differ(*stats[k])]
    if not words:
        ends = {"q0": "lowest", "q100": "highest"}
        words = [
            f"{label} {stats[k][0]:.6g} → {stats[k][1]:.6g}" for k, label in ends.items() if stats[k][0] != stats[k][1]
        ]
    return distance, ", ".join(words), stats


def _differ(a: float | None, b: float | None) -> bool:
    return f"{a:.4g}" != f"{b:.4g}"


def _shares(a: pd.Series, b: pd.Series) -> tuple[float, str, Stats]:
    """The total variation distance of two samples of categories, and whose share moved most."""
    if not len(a) or not len(b):
        return (0.0 if len(a) == len(b) else 1.0), "", {}
    left, right = a.value_counts(normalize=True), b.value_counts(normalize=True)
    names = left.index.union(right.index)
    moved = (right.reindex(names, fill_value=0.0) - left.reindex(names, fill_value=0.0)).abs()
    distance = float(moved.sum() / 2)
    if distance < 1e-12:
        return 0.0, "", {}
    gone, new = left.index.difference(right.index), right.index.difference(left.index)
    if len(names) > _CATEGORIES:
        came = [f"{len(one):,} values {word}" for one, word in ((new, "are new"), (gone, "are gone")) if len(one)]
        return distance, ", ".join(came) or f"other shares of {len(names):,} values", {}
    most = moved.sort_values(ascending=False, kind="stable").index[:3]
    stats: Stats = {str(n): (float(left.get(n, 0.0)), float(right.get(n, 0.0))) for n in most}
    words = ", ".join(f"{n[:30]} {percent(s[0] or 0)} → {percent(s[1] or 0)}" for n, s in stats.items())
    return distance, words, stats
