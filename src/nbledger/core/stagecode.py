"""``code``: the code of a notebook's stages, a file each, on which the stages depend."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import files, stagecells, stages
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project, find
from nbledger.core.stages import FOLDER

_OURS = "# The code of the stage "


@dataclass(frozen=True)
class Code:
    """The file of a stage's code, from the project's root; ``written``: it was not what it should be. ``borrowed``: stages
    whose cells it needs; ``left_out``: nbledger's own line magics that a stage skips.
    """

    stage: str
    path: str
    written: bool
    borrowed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook."""

    cell_type: str
    source: str
    metadata: Mapping[str, Any]
    cell_id: str | None = None


@dataclass(frozen=True)
class Notebook:
    """As much of a notebook as says which stages there are, read without nbformat, which takes long to import."""

    cells: tuple[Cell, ...]


def read(path: Path) -> Notebook:
    """The notebook of a file. ``UsageError`` where it is none, or is not there."""
    try:
        return parsed(path.read_bytes(), path)
    except OSError as err:
        raise UsageError(f"cannot read {path}: {err.strerror}", "name an .ipynb file") from err


def parsed(raw: bytes, path: Path) -> Notebook:
    """The notebook that ``path`` holds as ``raw``."""
    try:
        data = json.loads(raw)
        sheets = data.get("worksheets") or [data]
        return Notebook(tuple(_cell(each) for sheet in sheets for each in sheet["cells"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise UsageError(f"{path} is not a notebook", "name an .ipynb file") from err


def _cell(cell: Mapping[str, Any]) -> Cell:
    source = "".join(cell.get("source", cell.get("input", "")))
    return Cell(str(cell.get("cell_type")), source, cell.get("metadata") or {}, cell.get("id"))


def located(notebook: Path) -> tuple[Project, Path]:
    """(the project, the notebook's file), a link in its last part not followed."""
    whole = Path(os.path.abspath(notebook))
    path = Path(os.path.realpath(whole.parent)) / whole.name
    return find(path.parent), path


def write(project: Project, path: Path) -> list[Code]:
    """Write the code of every stage of ``dvc.yaml`` that runs this notebook, where a file does not hold it already."""
    name = project.relative(path)
    if name is None:
        raise UsageError(f"{path} lies outside of the project", f"name a notebook below {project.root}")
    notebook = read(path)
    wanted = _wanted(project, name)
    if not wanted:
        raise UsageError(f"no stage of dvc.yaml runs {name}", f"nbledger stage {name} makes one")
    made = [(stage, stages.code_path(project, stage), _code(notebook, name, stage)) for stage in wanted]
    for _, place, _ in made:
        target = project.root / place
        if target.exists() and not is_ours(target):
            raise Refused(f"{place} is not a file that nbledger wrote", "move it, or name the stage otherwise")
    return [_written(project, notebook, *each) for each in made]


def made_true(project: Project, notebook: Any, name: str) -> None:
    """Before DVC's command executes the stage: have the file of its code hold what ``notebook`` has now. It may have been
    edited since ``nbledger code`` ran, and DVC looks at the file when the command has ended: another code in ``dvc.lock``
    than the one that made the outputs would be believed for ever.
    """
    place = stages.code_path(project, name)
    target = project.root / place
    if not target.exists() or is_ours(target):
        _written(project, notebook, name, place, stages.code(notebook, name))


def _code(notebook: Any, path: str, stage: str) -> str:
    """``Refused`` where no cell bears the stage's name any more."""
    try:
        return stages.code(notebook, stage)
    except UsageError as err:
        raise Refused(
            f"{path} has no stage {stage} any more, and dvc.yaml has it",
            f"bring its cell back, or run `dvc remove {stage}` and take {FOLDER}/{stage}.py out of dvc.yaml",
        ) from err


def _wanted(project: Project, notebook: str) -> list[str]:
    """The stages that run the notebook, and those whose files the stage that writes them promises."""
    found = [stage.name for stage in stages.notebook_stages(project, notebook)]
    base = stages.prefix(project)
    command = stages.code_command(posixpath.relpath(notebook, base or "."))
    for file, declared in stages.declared(project).items():
        for entry in declared.values():
            if posixpath.dirname(file) == base and str(entry.get("cmd")) == command:
                found += [posixpath.basename(out).removesuffix(".py") for out in stages.paths_of(entry.get("outs"))]
    return list(dict.fromkeys(found))


def is_ours(path: Path) -> bool:
    """Whether a file holds a stage's code as it is written here."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(_OURS)
    except OSError:
        return False


def _written(project: Project, notebook: Any, stage: str, place: str, text: str) -> Code:
    target = project.root / place
    chosen = stagecells.slice_of(notebook, stage)
    told = (tuple(chosen.borrowed), tuple(stagecells.left_out(notebook, chosen)))
    if _text(target) == text:
        return Code(stage, place, False, *told)
    if target.is_symlink():
        target.unlink()  # a link into DVC's cache must not be written through
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(target, text)
    except OSError as err:
        raise LedgerError(f"cannot write {place}: {os.strerror(err.errno or 0)}", "make it writable") from err
    return Code(stage, place, True, *told)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
