"""``drift``: new data beside the very data that a registered model was trained on, recorded as a run.

The reference is found by the model's lineage and brought by its hash. Predictions are compared too, if the model's files are
those that were promoted: it is loaded in a process of its own, and only after its digest was checked.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import drift as drifts
from nbledger.core import (
    driftjob,
    driftreference,
    lineage,
    mlflow,
    mlflow_files,
    mlflow_predict,
    mlflow_registry,
    modeldigest,
    record,
    trust,
)
from nbledger.core.drift import Column, Finding, Limits
from nbledger.core.driftjob import Files, Job
from nbledger.core.driftrecord import DRIFT, NONE, UNKNOWN, Drift, Side
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.gate_language import Clause, Condition
from nbledger.core.lineage import FileRecord
from nbledger.core.moments import now as this_moment
from nbledger.core.observe import Observation
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.keeper import driftdata, driftorigin, driftperformance, driftrun, moving, overview, persons
from nbledger.keeper.calls import Args, Progress, built
from nbledger.keeper.driftorigin import Origin

_STEPS = 5


@dataclass(frozen=True)
class _Model:
    """A version of a registered model, and the run that made it. ``digest``: what its files had when it was promoted."""

    name: str
    alias: str
    number: str
    source: str
    digest: str
    trained: Record


@dataclass(frozen=True)
class _Asked:
    """What is asked for: the data with their ``columns``, and how they are to be looked at. ``demanded``: the condition was named
    for these data, or they have labels, so that it is to be told whether it holds.
    """

    model: _Model
    data: Files
    shown: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    limits: Limits
    condition: Condition | None
    demanded: bool
    reference: str | None = None
    target: str | None = None
    prediction: str | None = None


def drift(project: Project, args: Args, progress: Progress | None) -> Drift:
    """Compare ``data`` with what ``model`` (NAME, NAME@alias or NAME/VERSION; default the champion) was trained on, and record it.
    ``reference`` names one of several inputs of its run, or another file; ``target`` and ``prediction`` are columns.
    """
    trust.require(project, "comparing data with a model's")

    def tell(step: int, text: str) -> None:
        if progress is not None:
            progress(step, _STEPS, text)

    tell(0, "looking for the data that the model was trained on")
    asked = _asked(project, args)
    with tempfile.TemporaryDirectory(dir=project.ensure_scratch(), prefix="drift-") as folder:
        return _compared(project, asked, Path(folder), tell)


def _asked(project: Project, args: Args) -> _Asked:
    table = dict(project.settings.drift)
    target = args.get("target") or table.pop("target", None)
    table.pop("target", None)
    table |= {key: args[key] for key in ("share", "performance") if args.get(key) is not None}
    if args.get("threshold") is not None:
        table["threshold"] = args["threshold"]
    limits = drifts.limits(table)
    condition = driftperformance.parsed(limits.performance)
    shown, data = driftdata.named(project, str(args["data"]))
    notes: list[str] = []
    columns = driftdata.checked(project, data, notes)
    model = _model(project, str(args["model"]))
    driftperformance.require(condition, model.trained.row.metrics)
    demanded = args.get("performance") is not None or target in columns
    words = {"reference": args.get("reference"), "target": target, "prediction": args.get("prediction")}
    given = {key: str(word) if word is not None else None for key, word in words.items()}
    return _Asked(model, data, shown, tuple(columns), tuple(notes), limits, condition, demanded, **given)


def _model(project: Project, name: str) -> _Model:
    """The version that ``name`` means."""
    model, at, alias = name.partition("@")
    number = ""
    if not at:
        model, slash, number = name.partition("/")
        alias = "" if slash else "champion"
        if (slash and not number.isdecimal()) or not model:
            raise UsageError(f"{name[:200]!r} names no version", "NAME, NAME@alias or NAME/3")
    api, uri = mlflow.client(project), project.tracking_uri  # first: it alone imports MLflow in one thread at a time
    mlflow_registry.check_names(model, alias)
    known = mlflow_registry.existing(api, uri, model)
    number = number or {str(k): str(v) for k, v in known.aliases.items()}.get(alias, "")
    if not number:
        way = "give NAME/3"
        if alias not in (moving.CANDIDATE, moving.PREVIOUS):  # nobody points these at a version by hand
            way = f"nbledger promote RUN --model {shlex.quote(model)}{moving.option(alias)} points it at one, or {way}"
        raise UsageError(f"{model}@{alias} points at no version", way)
    found = mlflow_registry.version(api, uri, model, number)
    if found is None:
        raise UsageError(f"{model} has no version {number}", f"nbledger decisions {shlex.quote(model)} lists them")
    if not found.run_id:
        raise Refused(
            f"{model} version {number} names no run, so its data are not known",
            "nbledger promote makes versions of runs",
        )
    row = overview.run(project, str(found.run_id))
    digest = str((found.tags or {}).get(modeldigest.TAG, ""))
    return _Model(model, alias, number, str(found.source or ""), digest, record.load(project, row))


def _compared(project: Project, asked: _Asked, folder: Path, tell: Callable[[int, str], None]) -> Drift:
    notes = list(asked.notes)
    side, files, records = _reference(project, asked, folder, notes)
    driftdata.require(asked.target, "target", files, asked.columns)
    driftdata.require(asked.prediction, "prediction", files, asked.columns)
    tell(1, "looking at the model")
    job = Job(folder, files, asked.data, asked.limits, asked.target, asked.prediction)
    job = _with_model(project, asked.model, job, notes)
    if job.model is not None:
        why = driftjob.predict(job, lambda: tell(2, "the model predicts for both"))
        notes += [f"predictions are not compared: {why}"] if why else []
    answer = driftjob.compare(job, lambda: tell(3, "comparing the columns"))
    tell(4, "recording it")
    data = lineage.describe(project, Observation(), asked.data.paths, hash_budget_mb=math.inf).inputs
    by = persons.named(project, mlflow.client(project))
    found = _judged(asked, answer, (side, Side(asked.shown, _hash_of(data))), by, notes)
    return driftrun.recorded(project, found, folder, (*data, *records))


def _hash_of(records: Sequence[FileRecord]) -> str:
    """The file's hash, of several that of the tracked folder that they are; empty where they are none."""
    if len(records) == 1:
        return records[0].md5 or ""
    digests = {one.digest for one in records}
    return (digests.pop() or "") if len(digests) == 1 else ""


def _reference(
    project: Project, asked: _Asked, folder: Path, notes: list[str]
) -> tuple[Side, Files, Sequence[FileRecord]]:
    """(what it is, its files, what is recorded of them): what the model was trained on, or the file that was named."""
    known = driftorigin.origins(project, asked.model.trained, notes)
    place = project.root / asked.reference if asked.reference is not None else None
    named = None if place is None else project.relative(Path(os.path.abspath(place))) or str(place)
    tables = [one for origin in known for one in origin.tables]
    if place is not None and not any(named in (one.path, *(r.path for r in one.records)) for one in tables):
        shown, files = driftdata.named(project, str(place), "--reference")
        notes.append(f"{shown} is not among what the model's run read: it is taken as it is now")
        found = lineage.describe(project, Observation(), files.paths, hash_budget_mb=math.inf).inputs
        return Side(shown, _hash_of(found), how=driftorigin.NAMED), files, found

    def bring(origin: Origin, one: driftreference.Reference) -> Files:
        at = f"reference-{known.index(origin)}-{origin.tables.index(one)}"
        return driftreference.bring(project, origin.record, one, folder / at)

    columns = [] if named is not None else asked.columns
    chosen = driftorigin.choose(known, named, columns, lambda origin, one: driftdata.columns(bring(origin, one)))
    notes += chosen.notes
    one = chosen.reference
    records = [_apart(each, asked.shown) for each in one.records]
    return Side(one.path, one.md5, how=chosen.how), bring(chosen.origin, one), records


def _apart(record: FileRecord, data: str) -> FileRecord:
    """An input of the model's run as one of this run, beside new data that lie where the old ones did."""
    same = data in (record.path, record.dataset)
    return dataclasses.replace(record, path=f"{record.path} ({str(record.md5)[:8]})", dataset=None) if same else record


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────


def _with_model(project: Project, model: _Model, job: Job, notes: list[str]) -> Job:
    """The job with the columns that the model takes, and with the model itself where it is to predict and may be loaded."""
    api, place = mlflow.client(project), job.folder / "model"
    try:
        mlflow_predict.description(project, api, model.source, job.folder / "description")
        needed = mlflow_predict.columns(job.folder / "description")
    except LedgerError as err:
        notes.append(f"the model's description cannot be read: {err.message}")
        return job
    job = dataclasses.replace(job, needed=needed)
    if job.prediction is not None:
        return job
    if not model.digest:
        what = f"{model.name} version {model.number} has no recorded digest"
        notes.append(
            f"predictions are not compared: {what}, so the model is not loaded (--prediction COLUMN names them)"
        )
        return job
    try:
        mlflow_files.fetch(project, api, model.source, place)
    except LedgerError as err:
        notes.append(f"predictions are not compared: {err.message}")
        return job
    if (now := modeldigest.digest(place)) != model.digest:
        raise Refused(
            f"the files of {model.name} version {model.number} are not those that were promoted: their digest is {now[:12]}…,"
            f" recorded is {model.digest[:12]}…",
            "somebody changed them in the store: promote the run again, or roll back",
        )
    return dataclasses.replace(job, model=place)


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────


def _judged(asked: _Asked, answer: Mapping[str, Any], pair: tuple[Side, Side], by: str, notes: list[str]) -> Drift:
    """What the comparison means. The condition on performance is held against the figures on the new data; where that is demanded and
    cannot be done, that nothing else has drifted is not enough to say that nothing has.
    """
    model, columns = asked.model, built(tuple[Column, ...], answer["columns"])
    findings = built(tuple[Finding, ...], answer["findings"])
    verdict = drifts.judge(columns, findings, asked.limits)
    performance = {key: (pair[0], pair[1]) for key, pair in answer["performance"].items()}
    notes += [*answer["notes"]]
    reasons, unknown = list(verdict.reasons), ""
    clauses: tuple[Clause, ...] = ()
    why = str(answer["unmeasured"])
    if asked.condition is not None:
        held = driftperformance.held(
            asked.condition,
            performance,
            model.trained.row.metrics,
            why or "nothing says which column is the label (--target)",
        )
        reasons, clauses, unknown = [*reasons, *held.reasons], held.clauses, held.unknown
    if unknown and (asked.demanded or performance) and not reasons:
        said, reasons_shown = UNKNOWN, [unknown]
    else:
        notes += [text for text in (unknown or (why and f"no performance: {why}"),) if text]
        said, reasons_shown = (DRIFT if reasons else NONE), reasons
    now = this_moment()
    sides = [
        dataclasses.replace(side, rows=rows, compared=compared)
        for side, rows, compared in zip(pair, answer["rows"], answer["compared"], strict=True)
    ]
    own = "the model's own" if asked.prediction is None else f"the column {asked.prediction}"
    return Drift(
        bool(reasons),
        said,
        model.name,
        model.number,
        model.trained.run_id,
        sides[0],
        sides[1],
        model.alias,
        tuple(reasons_shown),
        verdict.columns,
        findings,
        verdict.share,
        performance,
        asked.condition.text if asked.condition else "",
        clauses,
        own if answer["predicted"] else "",
        at=now,
        by=by,
        notes=tuple(notes),
    )
