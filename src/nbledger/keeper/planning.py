"""From what was typed to the tasks of a batch: everything that would stop it is found before anything is executed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import batch as plans
from nbledger.core import cells, kernels, stages
from nbledger.core.batch import Task
from nbledger.core.errors import UsageError
from nbledger.core.project import STATE, Project, find
from nbledger.core.sweep import MOST


@dataclass(frozen=True)
class Planned:
    """The tasks, and the project that the notebooks belong to."""

    project: Project
    tasks: list[Task]


def planned(
    here: Project,
    notebooks: Sequence[Path],
    tables: Sequence[Mapping[str, Any]],
    *,
    name: str = "",
    output: Path | None = None,
    kernel: str = "",
    stage: str = "",
    swept: Sequence[str] = (),
) -> Planned:
    """The tasks for ``notebooks`` (or what ``stage`` is of them), each with each of ``tables``. ``UsageError`` where one is not there or is no notebook, its
    kernel is missing, it is another project's, or the output would take a notebook's place.
    """
    paths = [_placed(path) for path in notebooks]
    if stage and len(dict.fromkeys(paths)) > 1:
        raise UsageError(f"the stage {stage} is of one notebook", "name one")
    for path in dict.fromkeys(paths):
        book = kernels.load(path)
        try:
            kernels.require(kernel or kernels.kernel_name(book))
        except UsageError as err:
            raise UsageError(f"{path.name}: {err.message}", f"--kernel NAME chooses another; {err.hint}") from err
        if stage:
            stages.slice_of(book, stage)
    project = _project(here, paths)
    known = [(_named(project, path), cells.notebook_digest(path) or "") for path in paths]
    target = None if output is None else _named(project, _placed(output))
    if stage:
        given = stages.given(project, known[0][0], stage)
        given = {key: value for key, value in given.items() if key not in swept}
        tables = [{**given, **table} for table in list(tables) or [{}]]
    if len(paths) * len(tables) > MOST:
        raise UsageError(
            f"that is {len(paths) * len(tables)} notebooks to run", f"at most {MOST}: --sample N takes some"
        )
    tasks = plans.plan(known, list(tables) or [{}], name or stage, target, swept, stage)
    sources = {os.path.realpath(path) for path in paths}
    for task in tasks:
        if task.output and os.path.realpath(project.root / task.output) in sources:
            raise UsageError(f"the executed {task.notebook} would take the notebook's place", "choose another --output")
    return Planned(project, tasks)


def _placed(path: Path) -> Path:
    """Where a path is, a link in its last part not followed."""
    whole = Path(os.path.abspath(path))
    return Path(os.path.realpath(whole.parent)) / whole.name


def _named(project: Project, path: Path) -> str:
    return project.relative(path) or str(path)


def _bare(here: Project, other: Project) -> bool:
    """Whether a folder below ``here`` is a project only because nothing says that it is part of one."""
    marks = (STATE, ".nbledger.toml", ".dvc")
    below = here.git is None and other.root != here.root and here.relative(other.root) is not None
    return below and other.git is None and not any((other.root / mark).exists() for mark in marks)


def _project(here: Project, paths: Sequence[Path]) -> Project:
    """The one project that all are in: that of the working directory, or the one that they lie in elsewhere."""
    folders = list(dict.fromkeys(path.parent for path in paths))
    projects = [find(folder) for folder in folders]
    if any(project.root == folder and _bare(here, project) for folder, project in zip(folders, projects, strict=True)):
        here.ensure_state()  # folders below that nothing marks as a project are part of it from now on
        projects = [find(folder) for folder in folders]
    found, uris = {project.state: project for project in projects}, {project.tracking_uri for project in projects}
    if len(found) > 1 or len(uris) > 1:
        names = ", ".join(sorted(str(project.home) for project in found.values()))
        raise UsageError(f"the notebooks are of several projects: {names}", "run those of each project by themselves")
    return next(iter(found.values()))
