"""Run a saved notebook fresh, in a copy of the project's present state, and compare what it shows with what is saved."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbledger.core import git, outputs, restore, snapshot, trust
from nbledger.core.check import Check
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import Project
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.keeper.execute import execute

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Place:
    """Where to execute: the ``root`` of a copy (or the project's own), a folder for the ledger's ``scratch``."""

    root: Path
    scratch: Path
    notes: tuple[str, ...] = ()


DEED = "running a notebook"


def run(
    project: Project,
    path: Path,
    book: Mapping[str, Any],
    known: Check,
    *,
    in_place: bool = False,
    timeout: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """``known`` with what a fresh run of the notebook at ``path`` gave. It runs in a linked work tree that holds the
    project as it is now, and is removed afterwards; ``in_place`` in the notebook's own folder.

    ``Refused`` outside of a Git repository unless ``in_place``: the notebook may write files; ``Untrusted`` in a project
    that is not trusted.
    """
    trust.require(project, DEED)
    codes = [c for c in book["cells"] if c["cell_type"] == "code" and outputs.source(c).strip()]
    cells = [ExecutedCell(outputs.source(c), c.get("id"), ok=not _may_fail(c)) for c in codes]
    inner = project.relative(path.resolve())
    if inner is None:
        raise Refused(f"{path} lies outside of the project {project.root}", "go to its folder first")
    if not cells:
        return replace(known, ran=True)
    hashing = os.environ.get("PYTHONHASHSEED")
    with _in_place(project) if in_place else _copy(project, path, inner) as place:
        done = execute(
            project,
            place.root,
            cells,
            cwd=Path(inner).parent.as_posix(),
            seeds={"PYTHONHASHSEED": hashing} if hashing else {},
            scratch=place.scratch,
            timeout=timeout,
            progress=progress,
            notebook=inner,
        )
        roots = (str(project.root), str(place.root))
    executed = codes[: done.cells_run]
    differences = _differences(book, executed, done.notebook, roots)
    compared = sum(outputs.has_run(c) and not outputs.left_out(c) for c in executed)
    return replace(
        known,
        ran=True,
        differences=differences,
        error="" if done.complete and done.status == "FINISHED" else _stopped(done.error, codes, done.cells_run),
        notes=(*known.notes, *place.notes),
        compared=compared,
    )


def _stopped(error: str, codes: Sequence[Mapping[str, Any]], count: int) -> str:
    """What ended the run, unless the saved notebook shows that it ended there as well."""
    last = codes[count - 1] if 0 < count <= len(codes) else None
    if last is not None and count == len(codes) and _may_fail(last):
        return ""
    return error or "the run did not end"


def _may_fail(cell: Mapping[str, Any]) -> bool:
    """Saved with an error, or meant to raise: then it may again, and what it raises is compared."""
    tags = (cell.get("metadata") or {}).get("tags") or ()
    return "raises-exception" in tags or any(o.get("output_type") == "error" for o in cell.get("outputs", ()))


def _differences(
    book: Mapping[str, Any], codes: Sequence[Mapping[str, Any]], executed: Mapping[str, Any], roots: Sequence[str]
) -> tuple[outputs.OutputDifference, ...]:
    """As ``differing_outputs``, with the places that the cells have in the whole notebook."""
    found = outputs.differing_outputs({"cells": list(codes)}, executed, roots)
    places = [place for place, cell in enumerate(book["cells"]) if any(cell is code for code in codes)]
    return tuple(replace(d, index=places[d.index]) for d in found)


@contextlib.contextmanager
def _in_place(project: Project) -> Iterator[_Place]:
    with tempfile.TemporaryDirectory(prefix="nbledger-") as scratch:
        yield _Place(project.root, Path(scratch))


@contextlib.contextmanager
def _copy(project: Project, path: Path, inner: str) -> Iterator[_Place]:
    """A linked work tree with the project's files as they are now, its data by DVC; gone at the end of the block."""
    if project.git is None:
        raise Refused(
            f"{project.root} is not in a Git repository, so the notebook cannot be run in a copy of it",
            "--in-place runs it where it is, where it may write files",
        )
    key = f"check{uuid.uuid4().hex}"[:32]
    taken = snapshot.capture(project, key)
    try:
        if taken.commit is None:
            raise LedgerError("there is nothing in this repository to make a copy of", "commit the notebook first")
        copy = restore.restore(project, _record(key, inner, taken.commit), everything=True)
    finally:
        if taken.ref is not None:
            git.update_refs(project.git, f"delete {taken.ref}\n")
    try:
        if not (copy.into / inner).exists():
            (copy.into / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy.into / inner)
        missing = [f"not in the copy: {m}" for m in copy.missing]
        left_out = [f"not in the copy: {name}" for name in taken.left_out]
        yield _Place(copy.into, copy.scratch, (*left_out, *missing, *copy.notes))
    finally:
        restore.remove(project, copy)


def _record(key: str, notebook: str, commit: str) -> Record:
    """What stands for a run, so that its work tree can be restored: all data, since what it reads is not known yet."""
    row = RunRow(key, "check", "RUNNING", "", None, None, notebook, commit, commit, dirty=None)
    return Record(row, lacking=("nbledger/session.json",))
