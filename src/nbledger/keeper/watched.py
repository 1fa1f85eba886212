"""Which folders of a project are watched, and which changes in them mean anything to its state."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import dvc, git, reads
from nbledger.core.errors import LedgerError
from nbledger.core.project import STATE, Project

MOST_FOLDERS = 30_000
"""Beyond this many the files are looked at every few seconds: the system's memory for watches is everyone's."""
_NEVER = frozenset(
    {
        *(".git", ".hg", ".svn", STATE, ".venv", "venv", "node_modules", "site-packages", "__pycache__"),
        *(".ipynb_checkpoints", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache", ".bench"),
    }
)
_GIT_NAMES = frozenset(
    {
        *("HEAD", "index", "packed-refs", "config", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG"),
        *("rebase-merge", "rebase-apply", "exclude"),
    }
)
_LEDGER_NAMES = frozenset({"unversioned.json", "commits"})
_NO_ONES_WORK = (".jupyter_ystore.db",)  # what collaboration keeps beside the notebooks, written all the time
_MANY = 300  # paths that are checked against Git's ignore rules one by one; of more something surely matters


class TooMany(Exception):
    """More folders than may be watched."""


@dataclass(frozen=True)
class Folders:
    """What to watch of a project: ``work`` are folders of the work tree, ``about`` those of Git, DVC and the ledger."""

    root: str
    work: frozenset[str]
    about: frozenset[str]
    git_dirs: tuple[str, ...]
    pipeline: bool

    def all(self) -> list[str]:
        return sorted(self.work | self.about)


def folders(project: Project) -> Folders:
    """The folders that matter now. Git's ignored ones do only where data that DVC tracks is in them."""
    ignored = _ignored(project)
    found: dict[str, bool] = dict(_walk(str(project.root), ignored, _data_folders(project)))
    about = {str(project.state)} if project.state.is_dir() else set()
    git_dirs: tuple[str, ...] = ()
    if project.git is not None:
        git_dirs = tuple(dict.fromkeys((str(project.git.git_dir), str(project.git.common_dir))))
        about |= set(_git_folders(git_dirs))
    if project.dvc_root is not None:
        about.add(str(project.dvc_root / ".dvc"))
    return Folders(str(project.root), frozenset(found), frozenset(about), git_dirs, any(found.values()))


def _ignored(project: Project) -> set[str]:
    """Folders that Git ignores as a whole."""
    if project.git is None:
        return set()
    return {str(project.root / path.rstrip("/")) for path in git.ignored_folders(project.git)}


def _data_folders(project: Project) -> set[str]:
    """Folders that hold, or are, data that DVC tracks or that a run read."""
    try:
        outs = dvc.outputs(project)[0]
    except LedgerError:
        outs = []
    found = {str(project.root / (out.path if out.is_dir else os.path.dirname(out.path))) for out in outs}
    return found | {str((project.root / path).parent) for path in reads.unversioned(project)}


def _walk(root: str, ignored: set[str], data: set[str]) -> Iterator[tuple[str, bool]]:
    """Folders, and whether they hold a ``dvc.yaml``."""
    above = {str(parent) for folder in data for parent in Path(folder).parents}
    waiting, count = [(root, False)], 0
    while waiting:
        folder, inside = waiting.pop()
        inside = inside or folder in data  # everything below a data set's folder is data
        count += 1
        if count > MOST_FOLDERS:
            raise TooMany
        try:
            with os.scandir(folder) as entries:
                held = list(entries)
        except OSError:
            continue
        yield folder, any(entry.name == "dvc.yaml" for entry in held)
        for entry in held:
            if not entry.is_dir(follow_symlinks=False):
                continue
            known = entry.path in data or entry.path in above
            if entry.name == ".dvc" or (entry.name in _NEVER and not known):
                continue
            if inside or known or entry.path not in ignored:
                waiting.append((entry.path, inside))


def _git_folders(git_dirs: Iterable[str]) -> Iterator[str]:
    """The folders of Git's that tell of commits, branches and what is staged; not those of objects."""
    for git_dir in git_dirs:
        yield git_dir
        if os.path.isdir(f"{git_dir}/info"):
            yield f"{git_dir}/info"
        for folder, below, _ in os.walk(f"{git_dir}/refs"):
            below[:] = [name for name in below if name != "nbledger"]
            yield folder


class Meaning:
    """Tells of changed paths whether they mean something. What Git ignores is remembered until its rules change."""

    def __init__(self, project: Project, watched: Folders) -> None:
        self._project, self._watched = project, watched
        self._data_files = {str(project.root / path) for path in [*_outs(project), *reads.unversioned(project)]}
        self._data_folders = tuple(f"{path}/" for path in self._data_files)
        self._known: dict[str, bool] = {}
        self._state = f"{project.state}/"
        self._dvc = f"{project.dvc_root}/.dvc/" if project.dvc_root else None

    def of(self, paths: Iterable[str]) -> list[str]:
        """Those of ``paths`` that the state may depend on."""
        found, unsure = [], []
        for path in paths:
            said = self._certain(path)
            if said is None:
                unsure.append(path)
            elif said:
                found.append(path)
        return found + self._not_ignored(unsure)

    def _certain(self, path: str) -> bool | None:
        name = os.path.basename(path)
        if path.startswith(self._state):
            return name in _LEDGER_NAMES
        for folder in self._watched.git_dirs:
            if path.startswith(folder + "/"):
                inner = path[len(folder) + 1 :]
                if inner == "index":
                    self._known.clear()  # a file that is tracked now is not ignored any more
                return not inner.endswith(".lock") and (
                    inner in _GIT_NAMES or name == "exclude" or (inner.startswith("refs/") and "nbledger" not in inner)
                )
        if self._dvc is not None and path.startswith(self._dvc):
            return name in ("config", "config.local", ".gitignore")
        if path in self._data_files or path.startswith(self._data_folders):
            return True
        if name in _NEVER or name.startswith(_NO_ONES_WORK):
            return False
        if name in (".gitignore", ".dvcignore"):
            self._known.clear()
            return True
        return True if self._project.git is None else None

    def _not_ignored(self, paths: list[str]) -> list[str]:
        repo = self._project.git
        if repo is None or len(paths) > _MANY:
            return paths
        fresh = [path for path in paths if path not in self._known]
        if fresh:
            names = {os.path.relpath(path, repo.root): path for path in fresh}
            try:
                ignored = git.ignored(repo, list(names), tracked_too=False)
            except LedgerError:
                return paths
            if len(self._known) > 20_000:
                self._known.clear()
            self._known |= {path: name not in ignored for name, path in names.items()}
        return [path for path in paths if self._known.get(path, True)]


def _outs(project: Project) -> list[str]:
    try:
        return [out.path for out in dvc.outputs(project)[0]]
    except LedgerError:
        return []
