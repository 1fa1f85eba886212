"""``drift --on-drift repro``: what drift begins. The new data are tracked on a branch, the pipeline is brought up to date there,
and what came of it is reported; whether it is promoted is decided by a person, or by a gate.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from pathlib import Path

from nbledger.core import driftbranch, git, mlflow, mlflow_write, stages, tablediff
from nbledger.core.checkpoint import checkpoint
from nbledger.core.driftbranch import Branch
from nbledger.core.driftjob import Files
from nbledger.core.driftrecord import Drift, Loop
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.track import track
from nbledger.keeper import overview, reporting, repro, repros
from nbledger.keeper.repros import Asked, Report, Tell, Told

_MOST_METRICS = 20


def train_again(project: Project, found: Drift, place: str | None, tell: Tell, *, append: bool) -> Loop:
    """Put the data of ``found`` in place of (``append``: after) the tracked data at ``place`` (default: what the model was trained
    on), on a new branch, and bring the pipeline up to date there. No file, branch or index of the user's own changes.

    ``LedgerError`` only where no branch is left behind; what goes wrong after that is told with the branch.
    """
    driftbranch.require_pipeline(project)
    out = driftbranch.target(project, place or found.reference.path)
    data = _files(project, found)
    how = "append" if append else "replace"

    def said(_done: int, _total: int, text: str) -> None:
        tell(Told("note", text=text))

    said(0, 0, "a branch for the new data")
    branch = driftbranch.begin(project, found.model, said)
    report: Report | None = None
    try:
        driftbranch.put(branch, out, data, append=append)
        message = f"New data for {out.path}: drift of {found.model} version {found.version}"
        # the branch begins at HEAD and gets the data by the person's word: nobody's change is undone by them, also where
        # an earlier branch had the same
        (tracked,) = track(branch.there, [out.path], message, take_back=True)
        if not tracked.changed:
            raise LedgerError(f"{out.path} is what it was: the new data are the old ones", "nothing is trained")
        report = repro.run(branch.there, branch.there.dvc_root or branch.there.root, Asked(), tell)
        _commit(branch, report, found)
        loop = _told(project, found, branch, out.path, how, report)
    except LedgerError as err:
        if (tip := driftbranch.tip(project, branch)) == branch.base:
            raise
        loop = _stopped(branch, tip, out.path, how, report, err)
    finally:
        driftbranch.end(project, branch)
    return loop


def _files(project: Project, found: Drift) -> Files:
    place = project.root / found.data.path
    if place.is_file():
        return Files((place,), (str(place),))
    paths = sorted(p for p in place.rglob("*") if p.is_file() and tablediff.suffix_of(p.name))
    return Files(tuple(paths), tuple(map(str, paths)))


def _commit(branch: Branch, report: Report, found: Drift) -> None:
    """What the pipeline wrote into Git's files, ``dvc.lock`` first of all; also of a stage that failed after others had not."""
    repo = branch.there.git
    assert repo is not None
    changed, new = git.changes(repo)
    made = {path for stage in stages.stages(branch.there).values() for path in (*stage.metrics, *stage.plots)}
    paths = [*changed, *(path for path in new if path in made)]
    trained = "trained again" if any(row.status == repros.RAN for row in report.stages) else "brought up to date"
    outcome = trained if report.status == "FINISHED" else report.status.lower()
    checkpoint(branch.there, f"{found.model}: {outcome} on the new data", paths, large=True)


def _told(project: Project, found: Drift, branch: Branch, path: str, how: str, report: Report) -> Loop:
    assert project.git is not None
    tip = driftbranch.tip(project, branch)
    notes = [*report.notes, *(f"missing: {one.what}: {one.why}" for one in branch.tree.missing), *branch.tree.notes]
    notes += [f"printed: {line}" for line in report.printed[-3:]] if report.status != "FINISHED" else []
    if loose := [p for each in git.changes(project.git) for p in each]:
        notes.append(f"the branch begins at the last commit: {len(loose)} changed or new files here are not in it")
    run = _successor(project, found, report)
    metrics = _metrics(project, found, run)
    notes += _reported(project, found, branch)
    again = run.run_id[:12] if run is not None else None
    return Loop(
        branch.name,
        branch.base,
        tip,
        path,
        how,
        report.status,
        run.run_id if run is not None else report.run_id,
        {row.stage: row.status for row in report.stages},
        metrics,
        _next(project, found, branch, report, again),
        tuple(notes),
    )


def _stopped(branch: Branch, tip: str, path: str, how: str, report: Report | None, err: LedgerError) -> Loop:
    """The data are committed on the branch; the pipeline could not be executed there (no ``report``), or its outcome not kept."""
    stages, run = ({row.stage: row.status for row in report.stages}, report.run_id) if report else ({}, None)
    return Loop(branch.name, branch.base, tip, path, how, "FAILED", run, stages, {}, _by_hand(branch), (str(err),))


def _successor(project: Project, found: Drift, report: Report) -> RunRow | None:
    """The run that did now what the model's run had done: that of its stage, else of the only stage that ran."""
    with contextlib.suppress(LedgerError):
        stage = overview.run(project, found.trained).tags.get(stages.TAG)
        ran = [row for row in report.stages if row.run_id is not None and row.status == repros.RAN]
        same = [row for row in ran if row.stage == stage] or (ran if len(ran) == 1 else [])
        return overview.run(project, str(same[0].run_id)) if same else None
    return None


def _metrics(project: Project, found: Drift, run: RunRow | None) -> dict[str, tuple[float | None, float | None]]:
    """Those of the model's run, and of the one that followed it."""
    if run is None:
        return {}
    with contextlib.suppress(LedgerError):
        before = overview.run(project, found.trained).metrics
        names = list(dict.fromkeys((*run.metrics, *before)))[:_MOST_METRICS]
        return {name: (before.get(name), run.metrics.get(name)) for name in names}
    return {}


def _reported(project: Project, found: Drift, branch: Branch) -> list[str]:
    """The reviewer's report of the branch, kept with the run of the comparison; in words what went wrong."""
    if found.run_id is None:
        return []
    from nbledger.core import report_html, report_markdown

    try:
        report = reporting.report(project, {"base": branch.base, "head": branch.name}, None)
        with tempfile.TemporaryDirectory(dir=project.ensure_scratch()) as folder:
            (Path(folder) / "branch.md").write_text(report_markdown.markdown(report), encoding="utf-8")
            (Path(folder) / "branch.html").write_text(report_html.page(report), encoding="utf-8")
            api, uri = mlflow.client(project), project.tracking_uri
            mlflow_write.log_folder(api, uri, found.run_id, Path(folder), "drift")
    except (LedgerError, OSError) as err:
        return [f"the branch's report could not be kept: {err}"]
    return ["drift/branch.html of the comparison's run is the branch's report"]


def _next(project: Project, found: Drift, branch: Branch, report: Report, run: str | None) -> tuple[str, ...]:
    """What a person may do now, each a command. Nothing is promoted by itself."""
    if report.status != "FINISHED":
        return _by_hand(branch)
    said = [f"nbledger report --base {branch.base[:12]} --head {branch.name}"]
    said += [f"git switch {branch.name}", "nbledger pull", "nbledger push"]
    if run is not None:  # after the push, which a gate may require
        demands = (
            isinstance(project.settings.models.get(found.model), dict)
            and "gate" in project.settings.models[found.model]
        )
        condition = "" if demands else ' --if "METRIC >= champion.METRIC"'
        said.append(f"nbledger promote {run} --model {shlex.quote(found.model)}{condition}")
    return tuple(said)


def _by_hand(branch: Branch) -> tuple[str, ...]:
    """How a person goes on where the pipeline did not come to its end."""
    return (f"git switch {branch.name}", "nbledger pull", "nbledger repro")
