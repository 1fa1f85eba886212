"""``reproduce``: restore a run, execute it again, say whether the same came out, and record that."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nbledger.core import foreign, git, rebuild, restored, trust
from nbledger.core import record as records
from nbledger.core.batch import BATCH_TAG
from nbledger.core.differences import Cause
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.record import Record
from nbledger.core.records import RunRow
from nbledger.core.restore import Missing, NotRestorable, Restored, put_back, restore
from nbledger.core.runs import REPRODUCES
from nbledger.core.verdict import (
    DIFFERENT,
    NOT_RESTORABLE,
    Judgement,
    MetricPair,
    OutputPair,
    Spread,
    Tolerance,
    spread,
    worst,
)
from nbledger.keeper import client, reproductions
from nbledger.keeper.execute import Batch, Executed, execute
from nbledger.keeper.judging import Counts, judged
from nbledger.keeper.repro import REPRO_TAG
from nbledger.keeper.stagerun import COMMAND_TAG

DEED = "reproducing a run"
"""What executes the project's code, in words."""

_EXECUTING = ("package", "python", "kernel")
_OF_CELLS = ("nbledger/session.ipynb", "nbledger/session.json", "nbledger/outputs.json", "nbledger/manifest.json")
"""What is not needed where nothing is executed: kinds of ``Missing``, and artifacts."""

Turn = tuple[Executed, Judgement, Counts]
_MUCH = 200_000_000
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a reproduction. ``env``: ``same`` or ``rebuild``; ``timeout`` seconds a cell; ``keep`` None
    decides by the outcome; ``all_data`` restores also what the run did not read.
    """

    into: Path | None = None
    restore_only: bool = False
    all_data: bool = False
    env: str = "same"
    tolerance: Tolerance = field(default_factory=Tolerance)
    times: int = 1
    timeout: int | None = None
    keep: bool | None = None
    record: bool = True


@dataclass(frozen=True)
class Reproduction:
    """The outcome. ``verdict`` is None when the run was only restored; ``into`` is where it was executed, and is there
    still if ``kept``. ``cells`` counts executed cells; ``causes`` explain the verdict ``different``.
    """

    run_id: str
    name: str
    verdict: str | None
    into: str | None = None
    missing: tuple[Missing, ...] = ()
    metrics: dict[str, MetricPair] = field(default_factory=dict)
    outputs: tuple[OutputPair, ...] = ()
    new_run_id: str | None = None
    commit: str | None = None
    kept: bool = False
    notes: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    cells: int = 0
    times: int = 0
    spread: dict[str, Spread] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)
    compared: Counts | None = None


def reproduce(project: Project, name: str, wanted: Wanted, progress: Progress | None = None) -> Reproduction:
    """Reproduce the run that ``name`` means. What cannot be had is a verdict, what goes wrong here an error; ``Untrusted``
    where cells are to be executed and the person has not trusted the project.
    """
    if not wanted.restore_only:
        trust.require(project, DEED)
    record = _named(project, name)
    done = _reproduced(project, record, wanted, progress)
    which = _which(project, record, name)
    return replace(done, notes=(which, *done.notes)) if which else done


def _named(project: Project, name: str) -> Record:
    try:
        return read(project, name)
    except UsageError as err:
        known = _only_a_snapshot(project, name)
        if known is None:
            raise
        if known[0] != name:  # a part of an id is looked for in the project's experiment alone
            with contextlib.suppress(UsageError):
                return read(project, known[0])
        gone = Missing("run", f"run {known[0]}", _GONE.format(known[1][:12]), f"git show {known[1][:12]}")
        raise NotRestorable((gone,)) from err


def _which(project: Project, record: Record, name: str) -> str:
    """Which run was meant by a name that others have too; nothing where it could be no other."""
    row = record.row
    if name != row.name or "'" in name or row.run_id.startswith(name):
        return ""
    text = f"attributes.run_name = '{name}'"
    same: list[RunRow] = []
    with contextlib.suppress(LedgerError):
        same = client.call(project, "runs", {"text": text, "limit": _SAME})
    older = [one for one in same if one.run_id != row.run_id and REPRODUCES not in one.tags]
    older = [one for one in older if (one.start or "") <= (row.start or "")]
    if not older:
        return ""
    who, when = f" of {row.user}" if row.user else "", f", {row.start[:16].replace('T', ' ')} UTC" if row.start else ""
    count = "an older run has" if len(older) == 1 else f"{len(older)} older runs have"
    return f"{name} is the run {row.run_id[:12]}{who}{when}; {count} this name too ({name}~1 is the one before)"


_SAME = 200


def _reproduced(project: Project, record: Record, wanted: Wanted, progress: Progress | None) -> Reproduction:
    if record.row.status == "RUNNING":
        raise Refused(f"the run {record.row.name!r} is still running", "wait for its end")
    if BATCH_TAG in record.row.tags:
        raise Refused(f"{record.row.name!r} only holds the runs of a batch's notebooks", "reproduce one of these")
    if REPRO_TAG in record.row.tags:
        raise Refused(f"{record.row.name!r} only holds the runs of a pipeline's stages", "reproduce one of these")
    if COMMAND_TAG in record.row.tags and not wanted.restore_only:
        hint = "--restore-only brings its code and data back; run it there"
        raise Refused(f"{record.row.name!r} is no notebook but a command: {record.row.tags[COMMAND_TAG]}", hint)
    if record.row.foreign and not record.cells:
        return _of_plain_mlflow(project, record, wanted, progress)
    surroundings, lacking, python = _environment(project, record, wanted, progress)
    lacking = (*_unrecorded(record), *lacking)
    outcome = Reproduction(record.run_id, record.row.name, None, environment=surroundings, tolerance=wanted.tolerance)
    try:
        place = restore(project, record, wanted.into, everything=wanted.all_data, progress=_bytes(progress))
    except NotRestorable as err:
        return _concluded(project, wanted, replace(outcome, verdict=NOT_RESTORABLE, missing=(*err.missing, *lacking)))
    outcome = replace(
        outcome,
        into=str(place.into),
        commit=place.commit,
        missing=(*place.missing, *lacking),
        notes=place.notes,
    )
    keep = False
    try:
        outcome = _executed(project, record, place, outcome, wanted, python, progress)
        keep = _keeps(wanted, outcome)
        return replace(outcome, kept=keep)
    finally:
        if keep:
            restored.keep(project, place.name)
            _drop_scratch(place)
        else:
            restored.remove(project, place)


def _of_plain_mlflow(project: Project, record: Record, wanted: Wanted, progress: Progress | None) -> Reproduction:
    """Of a run that nbledger did not record: what is missing; with ``restore_only`` the commit that MLflow noted."""
    outcome = Reproduction(record.run_id, record.row.name, None, tolerance=wanted.tolerance)
    lacking = tuple(replace(m, needed=not wanted.restore_only) for m in foreign.missing(project, record.row))
    if not wanted.restore_only:
        return replace(outcome, verdict=NOT_RESTORABLE, missing=lacking)
    try:
        place = restore(project, record, wanted.into, everything=wanted.all_data, progress=_bytes(progress))
    except NotRestorable as err:
        return replace(outcome, verdict=NOT_RESTORABLE, missing=(*err.missing, *lacking))
    if wanted.keep is False:
        restored.remove(project, place)
        return outcome
    restored.keep(project, place.name)
    _drop_scratch(place)
    found = (*place.missing, *lacking)
    return replace(outcome, into=str(place.into), commit=place.commit, missing=found, notes=place.notes, kept=True)


_GONE = "the store has no such run any more (mlflow gc?); its code is kept as the snapshot {}"


def _only_a_snapshot(project: Project, name: str) -> tuple[str, str] | None:
    """(run id, commit) where a snapshot is all that is left of the run that ``name`` is the id of."""
    if project.git is None or not re.fullmatch(r"[0-9a-f]{6,32}", name):
        return None
    found = [(run, commit) for run, commit in git.run_refs(project.git).items() if run.startswith(name)]
    return found[0] if len(found) == 1 else None


def _unrecorded(record: Record) -> tuple[Missing, ...]:
    """Artifacts that nbledger wrote for the run and the store has not. Without some of them one can still execute, but
    would not know what the run had read or given.
    """
    if record.row.tags.get("nbledger.schema", "1") == "1":
        return ()
    why, hint = "the store has no such artifact of the run", "bring the store's artifacts back from a backup"
    lacking = [n for n in record.lacking if COMMAND_TAG not in record.row.tags or n not in _OF_CELLS[:2]]
    return tuple(Missing("record", n, why, hint, n != "nbledger/environment.json") for n in lacking)


def _bytes(progress: Progress | None) -> Progress | None:
    """Restoring counts bytes: told as a step of its own, and for much data tenth by tenth."""
    if progress is None:
        return None

    def told(done: int, total: int, text: str) -> None:
        tenth = f": {10 * (10 * done // total)} %" if total > _MUCH else ""
        progress(0, 0, f"{text}{tenth}")

    return told


def read(project: Project, name: str) -> Record:
    """The record of a run, by the keeper where one runs: it knows MLflow already."""
    found: records.Located = client.call(project, "record", {"run": name})
    return records.read(found.row, Path(found.folder) if found.folder else None)


def _keeps(wanted: Wanted, outcome: Reproduction) -> bool:
    """A restored work tree stays where somebody asked for it, or has to look into it."""
    if wanted.keep is not None:
        return wanted.keep
    return wanted.restore_only or wanted.into is not None or outcome.verdict == DIFFERENT


def _drop_scratch(place: Restored) -> None:
    from nbledger.core.worktrees import remove_folder

    with contextlib.suppress(LedgerError):
        remove_folder(place.scratch)


def _environment(
    project: Project, record: Record, wanted: Wanted, progress: Progress | None
) -> tuple[tuple[str, ...], tuple[Missing, ...], Path | None]:
    """(differences in words, what is missing, the interpreter to use: None for this one)."""
    if record.environment is None:
        return ("the run's environment was not recorded",), rebuild.without_kernel(), None
    if wanted.env == "rebuild" and not wanted.restore_only:
        made = rebuild.of_record(project, record, progress=progress)
        return made.notes, made.missing, made.python
    found = rebuild.against_this(record.environment, record.imported)
    kernel = rebuild.without_kernel()
    packages = [one for one in found.missing if not (kernel and one.what.startswith("ipykernel "))]
    return found.lines, (*packages, *kernel), None


def _executed(
    project: Project,
    record: Record,
    place: Restored,
    outcome: Reproduction,
    wanted: Wanted,
    python: Path | None,
    progress: Progress | None,
) -> Reproduction:
    """Execute as often as asked for, judge, record and explain."""
    blocking = [m for m in outcome.missing if m.needed]
    if wanted.restore_only:
        blocking = [m for m in blocking if m.kind not in _EXECUTING and m.what not in _OF_CELLS]
        return outcome if not blocking else replace(outcome, verdict=NOT_RESTORABLE)
    if blocking:
        return _concluded(project, wanted, replace(outcome, verdict=NOT_RESTORABLE))
    if not record.cells:
        gone = Missing("code", "the executed cells", "the run recorded none: it was not made in a notebook by nbledger")
        return _concluded(project, wanted, replace(outcome, verdict=NOT_RESTORABLE, missing=(*outcome.missing, gone)))
    done: list[Turn] = []
    for turn in range(wanted.times):
        if turn:
            put_back(project, record, place, _written(done[-1][0], record))
        scratch = place.scratch / str(turn + 1)
        executed = _once(project, record, place, wanted, python, scratch, _numbered(progress, turn, wanted.times))
        done.append((executed, *judged(project, record, place, executed, wanted.tolerance)))
    return _conclusion(project, record, place, outcome, wanted, done)


def _numbered(progress: Progress | None, turn: int, times: int) -> Progress | None:
    if progress is None or times == 1:
        return progress
    return lambda done, total, text: progress(done, total, f"({turn + 1} of {times}) {text}")


def _once(
    project: Project,
    record: Record,
    place: Restored,
    wanted: Wanted,
    python: Path | None,
    scratch: Path,
    progress: Progress | None,
) -> Executed:
    return execute(
        project,
        place.into,
        record.cells,
        cwd=record.cwd,
        seeds=record.seeds,
        scratch=scratch,
        python=python,
        timeout=wanted.timeout,
        progress=progress,
        environment=record.environment,
        notebook=record.row.notebook,
        batch=_batch(record),
    )


def _batch(record: Record) -> Batch | None:
    failed = record.row.status != "FINISHED"
    return Batch(record.row.name, record.params, record.first, failed) if record.batch else None


def _written(executed: Executed, record: Record) -> list[str]:
    paths = {r.path for r in executed.outputs} | {path for cell in record.cells for path in cell.writes}
    return sorted(path for path in paths if not os.path.isabs(path))


def _conclusion(
    project: Project,
    record: Record,
    place: Restored,
    outcome: Reproduction,
    wanted: Wanted,
    done: Sequence[Turn],
) -> Reproduction:
    verdict = worst([one.verdict for _, one, _ in done])
    turn = next(number for number, (_, one, _) in enumerate(done) if one.verdict == verdict)
    executed, shown, counts = done[turn]  # what the verdict is about is what is recorded and explained
    notes = [*outcome.notes, *executed.notes, *shown.notes, *_beyond(project, executed)]
    if not (counts.metrics or counts.files or counts.texts) and verdict != DIFFERENT:
        notes.insert(0, "nothing was recorded that can be compared: only that it runs again was verified")
    outcome = replace(
        outcome,
        verdict=verdict,
        compared=counts,
        metrics=shown.metrics,
        outputs=shown.outputs,
        cells=executed.cells_run,
        times=len(done),
        spread=_spread([e for e, _, _ in done]) if len(done) > 1 else {},
        notes=tuple(dict.fromkeys(notes)),
    )
    if wanted.record:
        new, said = None, "the store does not answer: it is recorded later"
        try:
            new = reproductions.record_again(project, record, executed, place.scratch / str(turn + 1), verdict)
        except OSError as err:  # what was found out is worth more than its record
            said = f"the reproduction could not be recorded: {err.strerror or err}"
        outcome = replace(outcome, new_run_id=new)
        if new is None and executed.journal is not None:
            outcome = replace(outcome, notes=(*outcome.notes, said))
    outcome = _concluded(project, wanted, outcome)
    if verdict == DIFFERENT and outcome.new_run_id is not None:
        outcome = replace(outcome, causes=_causes(project, record.run_id, outcome.new_run_id))
    return outcome


def _beyond(project: Project, executed: Executed) -> list[str]:
    """Files of the user's own work tree that the code reads by their absolute paths, whatever was restored."""
    root = str(project.root) + os.sep
    named = sorted(r.path for r in executed.inputs if r.path.startswith(root))
    if not named:
        return []
    return [f"the code names {named[0]} by its absolute path: it read the present file, not the restored one"]


def _spread(done: Sequence[Executed]) -> dict[str, Spread]:
    keys = sorted(set.intersection(*({k for k, v in e.metrics.items() if v} for e in done)))
    return {key: spread([e.metrics[key][-1].value for e in done]) for key in keys}


def _causes(project: Project, run_id: str, new_run_id: str) -> tuple[Cause, ...]:
    """Why the reproduction differs, as ``compare`` sees it."""
    with contextlib.suppress(LedgerError):
        found = client.call(project, "compare", {"names": [run_id, new_run_id]})
        return tuple(found.causes)
    return ()


def _concluded(project: Project, wanted: Wanted, outcome: Reproduction) -> Reproduction:
    """Note the verdict on the original run."""
    if not wanted.record or wanted.restore_only or outcome.verdict is None:
        return outcome
    try:
        reproductions.tag_original(project, outcome.run_id, outcome.verdict, outcome.new_run_id)
    except LedgerError as err:
        return replace(outcome, notes=(*outcome.notes, f"the verdict could not be noted on the run: {err.message}"))
    return outcome


__all__ = ["Reproduction", "Wanted", "read", "reproduce"]
