"""Two tables compared by Evidently, in a process of its own: ``python -m nbledger.core.driftlib JOB``.

Evidently takes seconds and hundreds of megabytes to import. In this process it can reach no network and start no program:
an audit hook refuses both before anything of it is imported, whatever its telemetry is told. JOB is a JSON file
(``core.driftjob``); the answer goes into its folder.

Evidently's own chi-square test takes the shares of the training data for exact ones, as if they were no sample themselves, and
so raises three to four false alarms where one is meant; a test of two samples is registered with it in its place.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbledger.core.drift import CATEGORICAL, EMPTY, NUMERIC, PREDICTION, Column, judge, shown_threshold
from nbledger.core.driftjob import ANSWER, EVIDENTLY, Files, Job

_CHI2 = "nbledger_chi2"
_KS = "ks"
SHOWN = {_KS: "Kolmogorov–Smirnov", _CHI2: "chi-square of two samples"}
_MOST_SHOWN = 100
"""Columns in Evidently's page, which draws each."""
_REFUSED = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
    "os.exec",
)


def alone() -> None:
    """From now on this process reaches no network and starts no program."""
    os.environ |= {"DO_NOT_TRACK": "1", "EVIDENTLY_DISABLE_TELEMETRY": "1", "MPLBACKEND": "Agg"}

    def refuse(event: str, _args: tuple[Any, ...]) -> None:
        if event in _REFUSED:
            raise PermissionError(f"{event} is not for the process that compares data")

    sys.addaudithook(refuse)


def p_values(pairs: Sequence[Any]) -> list[float]:
    """The p-value of each pair by Evidently's statistical tests; 1 where a test has none."""
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    _register()
    found = []
    for pair in pairs:
        name, kind = (_CHI2, ColumnType.Categorical) if _labels(pair.column) else (_KS, ColumnType.Numerical)
        test = get_stattest(pair.reference, pair.data, kind, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p = float(test(pair.reference, pair.data, kind, None).drift_score)
        found.append(p if math.isfinite(p) else 1.0)
    return found


def _labels(column: Column) -> bool:
    return column.kind == CATEGORICAL or column.of == EMPTY


def _register() -> None:
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    test = StatTest(_CHI2, "chi-square p_value (two samples)", [ColumnType.Categorical])
    register_stattest(test, default_impl=_chi2)


def _chi2(a: Any, b: Any, _kind: Any, threshold: float) -> tuple[float, bool]:
    """The chi-square test of homogeneity of two samples of labels."""
    import numpy as np
    from scipy.stats import chi2_contingency

    counts = [side.value_counts() for side in (a, b)]
    names = counts[0].index.union(counts[1].index)
    table = np.array([[int(count.get(name, 0)) for name in names] for count in counts])
    p = float(chi2_contingency(table, correction=False).pvalue) if len(names) > 1 else 1.0
    return p, p < threshold


def page(pairs: Sequence[Any], columns: Sequence[Column], place: Path) -> None:
    """Evidently's own page of the comparison: one file that fetches nothing. Its thresholds are those that say what the
    verdict does; names and labels stand in it without what HTML would take for markup.
    """
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    _register()
    known = {(pair.column.name, pair.column.of): pair for pair in pairs}
    sides: list[dict[str, Any]] = [{}, {}]
    numbers: list[str] = []
    labels: list[str] = []
    metrics = []
    for column in columns[:_MOST_SHOWN]:
        pair = known[column.name, column.of]
        name = _unused(harmless(column.name + (f" ({column.of})" if column.of != "values" else "")), sides[0])
        is_label = _labels(column)
        for side, values in zip(sides, (pair.reference, pair.data), strict=True):
            side[name] = values.map(lambda value: harmless(str(value))) if is_label else values
        (labels if is_label else numbers).append(name)
        method = _CHI2 if is_label else _KS
        metrics.append(ValueDrift(column=name, method=method, threshold=shown_threshold(column)))
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=labels)
    frames = [pd.DataFrame({k: v.reset_index(drop=True) for k, v in side.items()}) for side in sides]
    reference, data = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    Report(metrics).run(data, reference).save_html(str(place))


_HARMLESS = str.maketrans("<>&\\`", "‹›+/'")


def harmless(text: str) -> str:
    """``text`` without what Evidently's page, which embeds it as it is, would take for markup."""
    flat = "".join(c if c.isprintable() else "·" for c in text[:120])
    return flat.translate(_HARMLESS) or "·"


def _unused(name: str, taken: dict[str, Any]) -> str:
    made, count = name, 1
    while made in taken:
        count += 1
        made = f"{name} ({count})"
    return made


def compare(job: Job) -> dict[str, Any]:
    """Read both tables, compare them and write the page; what ``core.driftjob`` reads."""
    from nbledger.core import driftcolumns, drifttable

    sides = [drifttable.read(files.paths, files.names, job.limits.rows) for files in (job.reference, job.data)]
    shown = [_shown(files) for files in (job.reference, job.data)]
    few = [said for name, side in zip(shown, sides, strict=True) if (said := driftcolumns.enough(name, side.rows))]
    frames, name = driftcolumns.with_predictions([side.frame for side in sides], job.read_predictions())
    prediction = job.prediction or name
    pairs, findings = driftcolumns.pairs(frames[0], frames[1], job.limits.kinds, job.target, prediction, job.needed)
    if not pairs and not any(finding.decides for finding in findings):
        raise driftcolumns.TooFew(f"no column of {shown[1]} can be compared{_why(findings)}")
    measured = [
        dataclasses.replace(pair.column, p=p, test=SHOWN[_CHI2 if _labels(pair.column) else _KS])
        for pair, p in zip(pairs, p_values(pairs), strict=True)
    ]
    verdict = judge(measured, findings, job.limits)
    if not verdict.drifted and all(
        column.of == EMPTY for column in measured
    ):  # how many cells are empty is not the data
        raise driftcolumns.TooFew(f"the values of no column of {shown[1]} can be compared{_why(findings)}")
    if pairs:
        page(pairs, verdict.columns, job.folder / EVIDENTLY)
    performance, why = figures(frames, job.target, prediction)
    return {
        "columns": [dataclasses.asdict(column) for column in verdict.columns],
        "findings": [dataclasses.asdict(finding) for finding in findings],
        "rows": [side.rows for side in sides],
        "compared": [len(side.frame) for side in sides],
        "predicted": any(column.role == PREDICTION for column in verdict.columns),
        "performance": performance,
        "unmeasured": why,
        "notes": few,
    }


def _shown(files: Files) -> str:
    """A table as it is called."""
    first = Path(files.names[0])
    return first.name if len(files.names) == 1 else f"{first.parent.name}/"


def _why(findings: Sequence[Any]) -> str:
    said = [finding.text for finding in findings[:3]]
    return f": {'; '.join(said)}" if said else ""


def figures(frames: Sequence[Any], target: str | None, prediction: str | None) -> tuple[dict[str, Any], str]:
    """{figure: [on the reference, on the new data]}, where labels and predictions are there; else why there are none (empty
    where no label was named).
    """
    from nbledger.core import drifttable

    if target is None:
        return {}, ""
    if prediction is None:
        return {}, "there are no predictions to hold against the labels"
    if lacking := [name for name in (target, prediction) if name not in frames[1].columns]:
        return {}, f"the new data have no column {lacking[0][:80]!r}"
    kinds = [drifttable.kind_of(frames[1][name], name) for name in (target, prediction)]
    if kinds[0] != NUMERIC and kinds[1] == NUMERIC:
        return {}, f"{prediction[:80]!r} holds numbers and {target[:80]!r} classes"
    sides = [_usable(frame, target, prediction) for frame in frames]
    positive = _is_zero_or_one(sides)
    known = [_figures(*side, positive=positive) if side is not None else {} for side in sides]
    why = "" if known[1] else "no row of the new data has both a label and a prediction"
    return {key: [known[0].get(key), value] for key, value in known[1].items()}, why


def _usable(frame: Any, target: str, prediction: str) -> tuple[Any, Any] | None:
    """(labels, predictions) of the rows that have both: numbers, or else classes as texts; None where there are none."""
    from nbledger.core import drifttable

    if not {target, prediction} <= set(frame.columns):
        return None
    known = frame[[target, prediction]].dropna()
    if known.empty:
        return None
    if drifttable.kind_of(known[target], target) == NUMERIC:
        truth, made = (drifttable.as_numbers(known[name])[0] for name in (target, prediction))
        usable = truth.notna() & made.notna()
        return (truth[usable], made[usable]) if usable.sum() > 1 else None
    truth, made = (drifttable.as_labels(known[name]).astype(str) for name in (target, prediction))
    if {*truth, *made} <= set(_ZERO_OR_ONE):
        truth, made = truth.map(_ZERO_OR_ONE), made.map(_ZERO_OR_ONE)
    return truth, made


_ZERO_OR_ONE = {"0": "0", "1": "1", "0.0": "0", "1.0": "1", "FALSE": "0", "TRUE": "1"}
"""Texts that mean 0 and 1 where there are no others; ``drifttable.as_labels`` has made the same of numbers and truth values."""


def _is_zero_or_one(sides: Sequence[tuple[Any, Any] | None]) -> bool:
    """Whether 0 and 1 are all the classes that there are. Both tables are asked: of a class that is rare the new data may have none."""
    seen = {str(value) for side in sides if side is not None for column in side for value in column.unique()}
    return seen == {"0", "1"}


def _figures(truth: Any, made: Any, *, positive: bool) -> dict[str, float]:
    """``positive``: F1 is that of the class 1, as ``sklearn.metrics.f1_score`` has it by default: it can be held against what a
    model's run logged. Of other classes, for which there is no default, each counts the same.
    """
    import pandas as pd
    from sklearn import metrics

    if pd.api.types.is_float_dtype(truth):
        return {
            "mae": float(metrics.mean_absolute_error(truth, made)),
            "rmse": float(metrics.root_mean_squared_error(truth, made)),
            "r2": float(metrics.r2_score(truth, made)),
        }
    if positive:
        f1 = metrics.f1_score(truth == "1", made == "1", zero_division=0)
    else:
        f1 = metrics.f1_score(truth, made, average="macro", zero_division=0)
    return {"accuracy": float(metrics.accuracy_score(truth, made)), "f1": float(f1)}


def main(path: Path) -> int:
    job = Job.load(path)
    alone()
    from nbledger.core import driftcolumns, drifttable

    try:
        answer = compare(job)
    except drifttable.NoTable as err:
        answer = {"error": str(err), "hint": "CSV, TSV, Parquet, JSON lines and Feather are read"}
    except driftcolumns.TooFew as err:
        answer = {"error": str(err), "hint": "nothing is said of drift, and nothing recorded: name data with more rows"}
    (job.folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
