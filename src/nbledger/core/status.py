"""The joined state of code, data, pipeline and tracking (shape in ``records.Status``)."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

from nbledger.core import dvc, git, reads
from nbledger.core.errors import LedgerError
from nbledger.core.git import scrub_url
from nbledger.core.project import Project
from nbledger.core.records import CodeState, DataState, PipelineState, Status, TrackingState


def status(project: Project, *, pending: int = 0, reachable: bool | None = None) -> Status:
    """What is changed, missing or untracked now; reads only. ``clean`` means a run now could be brought back."""
    notes: list[str] = []
    about_data: list[str] = []
    with ThreadPoolExecutor(1) as beside:  # Git's processes run while the data is walked
        asked = beside.submit(_code, project, notes)
        data, stale = _data(project, about_data)
        code = asked.result()
    notes += about_data
    tracking = TrackingState(scrub_url(project.tracking_uri), project.experiment, reachable, pending)
    clean = not (code.changed or code.untracked or data.changed or data.missing or data.untracked_inputs)
    return Status(
        str(project.root),
        clean and code.commit is not None,
        code,
        data,
        PipelineState(tuple(stale)),
        tracking,
        tuple(notes),
    )


def _code(project: Project, notes: list[str]) -> CodeState:
    if project.git is None:
        notes.append("no Git repository: run %ledger init")
        return CodeState(None, None)
    head = git.head(project.git)
    changed, untracked = git.changes(project.git)
    counts = git.ahead_behind(project.git) if head.commit else None
    ahead, behind = counts or (None, None)
    return CodeState(
        head.branch, head.commit, tuple(changed), tuple(untracked), ahead, behind, git.operation(project.git)
    )


def _data(project: Project, notes: list[str]) -> tuple[DataState, list[str]]:
    loose = tuple(reads.unversioned(project))
    if project.dvc_root is None:
        notes.append("no DVC repository: run %ledger init")
        return DataState(untracked_inputs=loose), []
    outs, problems = dvc.outputs(project)
    state = dataclasses.replace(dvc.data_status(project, outs), untracked_inputs=loose)
    notes += [str(problem) for problem in problems]
    try:
        return state, list(dvc.stale_stages(project))
    except LedgerError as err:
        notes.append(str(err))
        return state, []
