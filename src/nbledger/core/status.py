"""The joined state of code, data, pipeline and tracking (shape in ``records.Status``)."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from nbledger.core import (
    catchup,
    conflicts,
    dvc,
    dvcremote,
    git,
    gitfilters,
    halfplaced,
    kept,
    reads,
    takenback,
    underway,
    undo,
)
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError
from nbledger.core.git import scrub_url
from nbledger.core.project import Project
from nbledger.core.reasons import because, cut_short
from nbledger.core.records import CodeState, DataState, Large, PipelineState, Remote, Status, TrackedOut, TrackingState

MOST_TRACKED = 2000
"""Data sets that a state names; the rest is counted."""
_MOST_ENTRIES = 20_000  # files below untracked folders that are looked at for their size


Pushed = Callable[[Project, Sequence[Out]], tuple[tuple[str, ...] | None, str]]
"""Tells what the remote lacks of these outputs (None: not known), and why that cannot be told."""


def status(
    project: Project, *, pending: int = 0, reachable: bool | None = None, pushed: Pushed | None = None
) -> Status:
    """What is changed, missing or untracked now; reads only. ``clean`` means a run now could be brought back."""
    notes: list[str] = []
    about_data: list[str] = []
    with ThreadPoolExecutor(1) as beside:  # Git's processes run while the data is walked
        asked = beside.submit(_code, project, notes)
        data, stale, outs = _data(project, about_data, pushed)
        code = asked.result()
    notes += about_data
    unfinished = underway.cut_short(project, outs)
    notes += [f"tracking {path} was cut short: nbledger track {path} completes it" for path in unfinished]
    notes += [f"{halfplaced.told([path])}: nbledger pull" for path in sorted(halfplaced.paths(project, outs))]
    code = dataclasses.replace(code, large=_large(project, code, outs))
    notes += [*_off(project), *conflicts.told(project)]
    tracking = TrackingState(scrub_url(project.tracking_uri), project.experiment, reachable, pending)
    reasons = (*cut_short(unfinished), *because(code, data, project.settings.large_file_mb))
    return Status(
        str(project.root), not reasons, code, data, PipelineState(tuple(stale)), tracking, tuple(notes), reasons
    )


def _off(project: Project) -> list[str]:
    """What is not done or asked because the project is not trusted, one line each."""
    notes = []
    if project.git is not None and (filters := git.switched_off(project.git)):
        named = ", ".join(map(repr, filters[:5]))
        notes.append(f"this repository's own filters are off until you trust it: {named} (nbledger trust)")
    if gitfilters.asked(project) and not gitfilters.installed(project):
        notes.append(
            "notebooks are kept without outputs here, and this clone does not do so yet: nbledger init --filters"
        )
    if project.stranger_uri is not None:
        where = scrub_url(project.stranger_uri)
        notes.append(f"this project names {where} for its runs, which is not asked until you trust it (nbledger trust)")
    return notes


def _code(project: Project, notes: list[str]) -> CodeState:
    if project.git is None:
        notes.append("no Git repository: run %ledger init")
        return CodeState(None, None, repository=False)
    head = git.head(project.git)
    changed, untracked = git.changes(project.git)
    ahead = behind = upstream = None
    if head.commit and head.branch and (found := git.upstream(project.git, head.branch)):
        upstream, ahead, behind = found
    return CodeState(
        head.branch,
        head.commit,
        tuple(changed),
        tuple(untracked),
        ahead,
        behind,
        git.operation(project.git),
        undo=undo.available(project),
        upstream=upstream,
    )


def _data(project: Project, notes: list[str], pushed: Pushed | None) -> tuple[DataState, list[str], Sequence[Out]]:
    loose = tuple(reads.unversioned(project))
    if project.dvc_root is None:
        notes.append("no DVC repository: run %ledger init")
        return DataState(untracked_inputs=loose, repository=False), [], ()
    outs, problems = dvc.outputs(project)
    state = dvc.data_status(project, outs)
    notes += [str(problem) for problem in problems]
    state = _apart(project, outs, state, notes)
    listed = _tracked(outs, state)
    remote = lacking = None
    try:
        remote = dvcremote.default_remote(project)
        lacking, problem = pushed(project, outs) if pushed is not None else (None, "")
        notes += [problem] if problem else []
    except LedgerError as err:
        notes.append(str(err))
    recorded = kept.summary(project)
    notes += [told] if recorded is not None and (told := kept.told(recorded)) else []
    state = dataclasses.replace(
        state,
        kept=recorded,
        untracked_inputs=loose,
        not_pushed=lacking or (),
        pushed_known=lacking is not None,
        tracked=tuple(listed[:MOST_TRACKED]),
        tracked_count=len(listed),
        remote=Remote(*remote) if remote else None,
    )
    try:
        return state, list(dvc.stale_stages(project)), outs
    except LedgerError as err:
        notes.append(str(err))
        return state, [], outs


def _apart(project: Project, outs: Sequence[Out], state: DataState, notes: list[str]) -> DataState:
    """The state with what is older than its pointer told apart from what was edited."""
    if not state.changed:
        return state
    listed = [out for out in outs if out.path in set(state.changed)]
    found = catchup.among(project, listed, dvc.hashes_now(project, listed))
    notes += [takenback.told(one) for one in found]
    older = {one.path for one in found if one.older or one.unknown}
    return dataclasses.replace(
        state,
        changed=tuple(path for path in state.changed if path not in older),
        older=tuple(path for path in state.changed if path in older),
    )


def _tracked(outs: Sequence[Out], state: DataState) -> list[TrackedOut]:
    """What DVC versions, by path; what is not as it should be comes first, so that a cut list names it."""
    changed, missing = {*state.changed, *state.older}, set(state.missing)
    found = [
        TrackedOut(
            out.path,
            "missing" if out.path in missing else "changed" if out.path in changed else "clean",
            out.is_dir,
            out.size or None,
        )
        for out in outs
        if out.cached and out.md5
    ]
    return sorted(found, key=lambda one: (one.state == "clean", one.path))


def _large(project: Project, code: CodeState, outs: Sequence[Out]) -> tuple[Large, ...]:
    """Files above ``large_file_mb`` that a commit of everything would bring into Git's history."""
    repo, limit = project.git, project.settings.large_file_mb * 1_000_000
    if repo is None:
        return ()
    versioned = {out.path for out in outs}
    found = {path: size for path, size in _sizes(str(repo.root), code.untracked) if size > limit}
    if found:
        left_out = git.ignored(repo, list(found))
        found = {path: size for path, size in found.items() if path not in left_out}
    staged = {path: size for path, size in _sizes(str(repo.root), code.changed) if size > limit}
    if staged:
        old = git.in_head(repo, list(staged))
        found |= {path: size for path, size in staged.items() if path not in old}
    return tuple(Large(path, size) for path, size in sorted(found.items()) if path not in versioned)


def _sizes(root: str, paths: Sequence[str]) -> Iterator[tuple[str, int]]:
    """(path, bytes) of these files and of those below these folders (``folder/``), of very many only the first."""
    waiting, left = list(reversed(paths)), _MOST_ENTRIES
    while waiting and left > 0:
        path = waiting.pop()
        try:
            if path.endswith("/"):
                with os.scandir(f"{root}/{path}") as entries:
                    names = [entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries]
                waiting += [] if ".git/" in names or ".git" in names else [path + name for name in names]
            else:
                facts = os.lstat(f"{root}/{path}")
                left -= 1
                if stat.S_ISREG(facts.st_mode):
                    yield path, facts.st_size
        except OSError:
            continue
