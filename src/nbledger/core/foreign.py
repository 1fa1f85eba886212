"""Runs that nbledger did not record: what stands for their code, where the commit that MLflow noted is at hand.

MLflow notes the commit of a script or a project, not whether its files had changes, and nothing of what was executed. So
the file as the commit holds it stands for the code of such a run, and whoever shows it says so.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from nbledger.core import cells, dvcfiles, git
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.core.restored import Missing
from nbledger.core.runrows import made_by

_CODE = (".py", ".ipynb", ".r", ".rmd", ".qmd", ".sh", ".jl", ".scala", ".java")


def commit(project: Project, row: RunRow) -> str | None:
    """The commit that was noted, if it is in this clone."""
    if project.git is None or row.commit is None or not git.is_hex(row.commit):
        return None
    return row.commit if git.has_commit(project.git, row.commit) else None


def source(project: Project, row: RunRow) -> str | None:
    """The path of the file that ran, in the tree of the commit that was noted; None where that cannot be told.

    MLflow notes a path as it was typed, on whichever machine, or the address of a project.
    """
    there = commit(project, row)
    if there is None or project.git is None:
        return None
    tree = _tree(project.git, there)
    if row.origin == "project":
        return _of_project(project.git, there, tree, row)
    name = (row.notebook or "").replace("\\", "/")
    return within(name, tree) if name.lower().endswith(_CODE) else None


def within(name: str, tree: Collection[str]) -> str | None:
    """The file of ``tree`` that a path of another machine means: the one that has most of its last parts in common."""
    parts = [part for part in posixpath.normpath(name).split("/") if part not in ("", ".", "..")]
    for first in range(len(parts)):
        end = "/".join(parts[first:])
        if end in tree:
            return end
        found = [path for path in tree if path.endswith(f"/{end}")]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


def _of_project(repo: git.GitRepo, there: str, tree: Mapping[str, str], row: RunRow) -> str | None:
    """The file that the run's entry point names in its ``MLproject``; the entry point itself may be a file."""
    address, _, below = (row.notebook or "").partition("#")
    place = f"{address.partition('://')[2] or address}/{below}"
    called = row.tags.get("mlflow.project.entryPoint", "main")
    book, words = within(f"{place}/MLproject", tree), [called]
    if book is not None:
        words = _command(git.objects_at(repo, there, [book])[book][2], called).split() or words
        place = posixpath.dirname(book)
    files = [word.strip("'\"") for word in words if word.strip("'\"").lower().endswith(_CODE)]
    return next((path for file in files if (path := within(f"{place}/{file}", tree)) is not None), None)


def _command(raw: bytes, called: str) -> str:
    try:
        found = dvcfiles.load_yaml(raw.decode("utf-8", "replace"))
        return str(found["entry_points"][called]["command"])
    except (LedgerError, dvcfiles.Damaged, KeyError, TypeError, ValueError):
        return ""


@lru_cache(16)
def _tree(repo: git.GitRepo, there: str) -> Mapping[str, str]:
    return git.whole_tree(repo, there)


def text(project: Project, row: RunRow) -> tuple[str, str] | None:
    """(path, text) of the file that ran, as the commit holds it."""
    path, there = source(project, row), commit(project, row)
    if path is None or there is None or project.git is None:
        return None
    return path, git.objects_at(project.git, there, [path])[path][2].decode("utf-8", "replace")


def standing_in(project: Project, found: Record) -> tuple[Record, str]:
    """(the record with the code as the commit holds it, what is to be said of that): the cells of a notebook; a script as a
    module. The record as it is where there is none.
    """
    row = found.row
    if not row.foreign or found.cells:
        return found, ""
    held = text(project, row)
    if held is None:
        return found, ""
    path, code = held
    said = f"its code is {path} as the commit {str(row.commit)[:8]} holds it, which may not be what ran"
    if row.dirty is False:
        said = f"its code is {path} of the commit {str(row.commit)[:8]}"
    if not path.endswith(".ipynb"):
        return replace(found, modules=(path,)), said
    disk = cells.parse_notebook(code) or ()
    made = tuple(ExecutedCell(c.source, c.cell_id) for c in disk if c.source.strip())
    known = replace(row, notebook=path)
    return replace(found, row=known, cells=made, needed=tuple(range(len(made)))), said


def missing(project: Project, row: RunRow) -> tuple[Missing, ...]:
    """What it would take to execute it again and to say whether the same came out."""
    by = f"{made_by(row)} recorded the run"
    path, found = source(project, row), list[Missing]()
    if row.commit is None:
        found.append(Missing("commit", "the code", f"{by}, and noted no commit"))
    elif commit(project, row) is None:
        why = f"{by} at a commit that this clone does not have"
        found.append(Missing("commit", f"commit {row.commit[:12]}", why, "git fetch brings it if a branch holds it"))
    else:
        again = how_again(row) or f"--restore-only brings {path or 'the commit'} back; run it there"
        found.append(Missing("code", "what was executed", f"{by}, which does not note that", again))
        if row.dirty is not False:
            why = f"MLflow notes the commit, {row.commit[:8]}, not whether files differed from it"
            found.append(Missing("code", "changes to the code", why))
    found.append(Missing("package", "the packages", f"{by} without them"))
    found.append(Missing("input", "the files that it read", f"{by} without them"))
    return tuple(found)


def how_again(row: RunRow) -> str:
    """A command that would execute it again, as far as MLflow noted enough; "" else."""
    if row.origin != "project" or not row.notebook:
        return ""
    words = ["mlflow run", re.sub(r"^file://", "", row.notebook)]
    entry = row.tags.get("mlflow.project.entryPoint", "main")
    words += [f"-e {entry}"] if entry != "main" else []
    words += [f"-v {row.commit}"] if row.commit and "://" in row.notebook and "file://" not in row.notebook else []
    return " ".join([*words, *(f"-P {key}={value}" for key, value in list(row.params.items())[:8])])
