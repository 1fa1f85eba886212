"""The verdict of a reproduction: what was recorded beside what came out again, bit by bit or within a tolerance.

Nothing here reads a file or asks a store: bytes of outputs come from the caller.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nbledger.core.lineage import FileRecord
from nbledger.core.record import Point

Verdict = Literal["identical", "within-tolerance", "different", "not-restorable"]
IDENTICAL: Verdict = "identical"
WITHIN: Verdict = "within-tolerance"
DIFFERENT: Verdict = "different"
NOT_RESTORABLE: Verdict = "not-restorable"
_WORST = (IDENTICAL, WITHIN, DIFFERENT, NOT_RESTORABLE)

Contents = Callable[[str], tuple[bytes, bytes] | None]
"""The recorded and the reproduced bytes of an output; None where either is not at hand."""


@dataclass(frozen=True)
class Tolerance:
    """|a - b| ≤ atol + rtol · |a|, with a the recorded value. Both 0: only what is bit-equal is accepted."""

    rtol: float = 0.0
    atol: float = 0.0

    def __bool__(self) -> bool:
        return self.rtol > 0 or self.atol > 0

    def accepts(self, recorded: float, reproduced: float) -> bool:
        if same(recorded, reproduced):
            return True
        if not self or not (math.isfinite(recorded) and math.isfinite(reproduced)):
            return False
        return abs(recorded - reproduced) <= self.atol + self.rtol * abs(recorded)


@dataclass(frozen=True)
class Outcome:
    """What a run gave. ``error`` names the exception that ended it; ``cells`` are differences between the outputs of
    notebook cells, found by the caller (on the reproduced side alone).
    """

    status: str
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    outputs: Sequence[FileRecord] = ()
    error: str = ""
    cells: Sequence[str] = ()


@dataclass(frozen=True)
class MetricPair:
    """A metric's last values; ``equal`` and ``within`` speak of the whole series, ``why`` of where it parts."""

    recorded: float | None
    reproduced: float | None
    equal: bool
    within: bool
    why: str = ""


@dataclass(frozen=True)
class OutputPair:
    """An output file's hashes (None: it was not written)."""

    path: str
    recorded: str | None
    reproduced: str | None
    equal: bool
    within: bool
    why: str = ""


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    metrics: dict[str, MetricPair]
    outputs: tuple[OutputPair, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Spread:
    """What a metric was in several executions; ``std`` is the sample's standard deviation."""

    values: tuple[float, ...]
    min: float
    max: float
    mean: float
    std: float
    deterministic: bool


def judge(
    recorded: Outcome, reproduced: Outcome, tolerance: Tolerance = Tolerance(), contents: Contents | None = None
) -> Judgement:
    """Compare what a run gave with what it gave again."""
    metrics = {
        key: _metric(recorded.metrics.get(key, ()), reproduced.metrics.get(key, ()), tolerance)
        for key in sorted({*recorded.metrics, *reproduced.metrics})
    }
    outputs, notes = _outputs(recorded.outputs, reproduced.outputs, tolerance, contents)
    ended = _ending(recorded, reproduced)
    pairs: list[MetricPair | OutputPair] = [*metrics.values(), *outputs]
    if ended or reproduced.cells:
        verdict = DIFFERENT
    elif all(pair.equal for pair in pairs):
        verdict = IDENTICAL
    else:
        verdict = WITHIN if all(pair.within for pair in pairs) else DIFFERENT
    return Judgement(verdict, metrics, tuple(outputs), (*ended, *reproduced.cells, *notes))


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Several executions agree with the record only as far as each of them does."""
    return max(verdicts, key=_WORST.index)


def same(a: float, b: float) -> bool:
    """Bit-equal; any NaN equals any other."""
    return (math.isnan(a) and math.isnan(b)) or struct.pack("<d", a) == struct.pack("<d", b)


def spread(values: Sequence[float]) -> Spread:
    """How far a metric's last values of several executions lie apart."""
    finite = [v for v in values if math.isfinite(v)]
    level = all(same(v, values[0]) for v in values)
    if len(finite) < len(values):
        nan = float("nan")
        return Spread(tuple(values), nan, nan, nan, nan, level)
    deviation = 0.0 if level or len(values) < 2 else statistics.stdev(values)
    return Spread(tuple(values), min(values), max(values), statistics.fmean(values), deviation, level)


def _ending(recorded: Outcome, reproduced: Outcome) -> list[str]:
    """A run that ended in another way is another run, whatever it logged before."""
    if recorded.status != reproduced.status:
        said = f": {reproduced.error}" if reproduced.error else ""
        return [f"the run was {recorded.status}, and is {reproduced.status} when executed again{said}"]
    name, again = (_exception(text) for text in (recorded.error, reproduced.error))
    if recorded.status == "FAILED" and name and again and name != again:
        return [f"the run failed with {name}, and fails with {again} when executed again"]
    return []


def _exception(text: str) -> str:
    """The name of the exception that ended a run; a notebook's says first which cell it was."""
    return _CELL.sub("", text, count=1).partition(":")[0].strip()


_CELL = re.compile(r"^(RuntimeError: )?cell \d+( of \d+)?: ")


def _metric(recorded: Sequence[Point], reproduced: Sequence[Point], tolerance: Tolerance) -> MetricPair:
    first = recorded[-1].value if recorded else None
    second = reproduced[-1].value if reproduced else None
    if not recorded or not reproduced:
        return MetricPair(first, second, False, False, "not logged this time" if recorded else "was not logged")
    if len(recorded) != len(reproduced):
        return MetricPair(first, second, False, False, f"{len(recorded)} values, now {len(reproduced)}")
    equal = within = True
    why = ""
    for a, b in zip(recorded, reproduced, strict=True):
        if a.step != b.step or not same(a.value, b.value):
            if equal and len(recorded) > 1:
                why = f"from step {a.step} on" if a.step == b.step else f"step {a.step} is now step {b.step}"
            equal = False
            within = within and a.step == b.step and tolerance.accepts(a.value, b.value)
    return MetricPair(first, second, equal, within, why)


def _outputs(
    recorded: Sequence[FileRecord], reproduced: Sequence[FileRecord], tolerance: Tolerance, contents: Contents | None
) -> tuple[list[OutputPair], list[str]]:
    again = {record.path: record for record in reproduced}
    pairs, notes = [], []
    for record in recorded:
        now = again.get(record.path)
        if record.md5 is None:
            notes.append(f"{record.path} was written, but its bytes were not recorded: it is not compared")
        elif now is None or now.md5 is None:
            pairs.append(OutputPair(record.path, record.md5, None, False, False, "not written this time"))
        elif now.md5 == record.md5:
            pairs.append(OutputPair(record.path, record.md5, now.md5, True, True))
        else:
            pairs.append(_unequal(record, now, tolerance, contents))
    known = {record.path for record in recorded}
    extra = sorted(path for path in again if path not in known)
    if extra:
        notes.append(f"written only this time: {', '.join(extra[:5])}{' …' if len(extra) > 5 else ''}")
    return pairs, notes


def _unequal(record: FileRecord, now: FileRecord, tolerance: Tolerance, contents: Contents | None) -> OutputPair:
    def pair(within: bool, why: str) -> OutputPair:
        return OutputPair(record.path, record.md5, now.md5, False, within, why)

    both = contents(record.path) if contents and tolerance else None
    if both is None:
        return pair(False, "the recorded bytes are not at hand to be compared as numbers" if tolerance else "")
    reader = _reader(record.path)
    if reader is None:
        return pair(False, "not a table or JSON: only its hash is compared")
    try:
        apart = _first_apart(reader(both[0]), reader(both[1]), tolerance, "")
    except ValueError as err:
        return pair(False, f"cannot be read as numbers: {err}")
    return pair(apart is None, apart or "its numbers are within the tolerance")


def _reader(path: str) -> Callable[[bytes], Any] | None:
    """How a file's numbers are read, by its name's ending."""
    lower = path.lower()
    if lower.endswith((".csv", ".tsv", ".txt", ".dat")):
        delimiter = "\t" if lower.endswith(".tsv") else ","
        return lambda data: list(csv.reader(io.StringIO(data.decode("utf-8")), delimiter=delimiter))
    if lower.endswith(".json"):
        return json.loads
    if lower.endswith((".jsonl", ".ndjson")):
        return lambda data: [json.loads(line) for line in data.splitlines() if line.strip()]
    if lower.endswith((".parquet", ".pq", ".feather", ".arrow")):
        return _table
    if lower.endswith(".npy"):
        return _array
    return None


def _table(data: bytes) -> Any:
    try:
        from pyarrow import feather, parquet
    except ImportError as err:
        raise ValueError("pyarrow is not installed") from err
    read = parquet.read_table if data[:4] == b"PAR1" else feather.read_table
    return read(io.BytesIO(data)).to_pydict()


def _array(data: bytes) -> Any:
    try:
        import numpy as np
    except ImportError as err:
        raise ValueError("NumPy is not installed") from err
    return np.load(io.BytesIO(data), allow_pickle=False).tolist()


def _first_apart(a: Any, b: Any, tolerance: Tolerance, where: str) -> str | None:
    """Where two values first part by more than the tolerance, in words; None where they do not."""
    here = where or "the content"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if list(a) != list(b):
            return f"{here}: other keys or columns"
        pairs = [(a[key], b[key], f"{where}.{key}".lstrip(".")) for key in a]
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{here}: {len(a)} entries, now {len(b)}"
        pairs = [(x, y, f"{where}[{index}]") for index, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return None if _alike(a, b, tolerance) else f"{here}: {a!r}, now {b!r}"
    return next((apart for x, y, at in pairs if (apart := _first_apart(x, y, tolerance, at)) is not None), None)


def _alike(a: Any, b: Any, tolerance: Tolerance) -> bool:
    if type(a) is type(b) and a == b:
        return True
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    try:
        return tolerance.accepts(float(a), float(b))
    except (TypeError, ValueError, OverflowError):
        return False
