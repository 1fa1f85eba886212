"""``checkpoint``: commit notebooks, data pointers and pipeline files, and nothing else that is changed.

A file that Git should not keep for ever, because it is large, is not committed without being asked about.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import conflicts, dvc, git, made, undo
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import STATE, Project
from nbledger.core.wording import some

_KINDS = (".ipynb", ".dvc")
_NAMES = ("dvc.yaml", "dvc.lock", ".dvcignore", ".nbledger.toml")


@dataclass(frozen=True)
class Checkpoint:
    """``commit`` is None when nothing had changed; ``left`` are changed paths that it does not hold."""

    commit: str | None
    paths: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a checkpoint would commit: ``paths``, of which ``large`` are above the setting; ``left`` are changed too."""

    branch: str | None
    paths: tuple[str, ...]
    left: tuple[str, ...]
    large: tuple[tuple[str, int], ...] = ()

    @property
    def message(self) -> str:
        """What to call it where nobody says."""
        names = sorted(self.paths, key=lambda path: (not path.endswith(".ipynb"), path))
        return f"Checkpoint {some((' '.join(name.split()) for name in names), 3)}"[:200]


def plan(project: Project, paths: Sequence[str] = (), *, large: bool = False, cwd: Path | None = None) -> Plan:
    """Changed and new notebooks, ``.dvc`` files, ``dvc.yaml``, ``dvc.lock``, the code of stages that ``nbledger code`` wrote,
    ``.gitignore`` lines, and ``paths``; of a folder among these all that is changed or new in it. Raises where the checkpoint
    would be refused.
    """
    repo = git.required(project.git)
    named = [_relative(project, path, cwd or project.root) for path in paths]
    changed, untracked = git.changes(repo, every_file=True)
    data = {out.path for out in dvc.outputs(project)[0] if out.cached}
    own = [path for path in untracked if not path.endswith("/")]  # another repository, which is none of our submodules
    here = [path for path in dict.fromkeys((*changed, *own)) if not path.startswith(f"{STATE}/")]
    _refuse_data(named, data)
    folders = [name for name in named if _is_folder(project, name, here)]
    below = [path for path in here if _named(path, folders) and not _within(path, data)]
    ours = {path for path in here if _ours(path)}
    if any(path.endswith(".py") for path in here):
        ours |= made.code_files(project) & set(here)
    sizes = {path: _size(project.root / path) for path in {*below, *named, *ours}}
    limit = project.settings.large_file_mb * 1_000_000
    below = [path for path in below if large or sizes[path] <= limit]
    files = [name for name in named if name not in folders]
    chosen = ours | set(below)
    wanted = sorted((chosen - _let_go(project, repo, chosen & set(changed))) | set(files))
    new = set(here)
    too_large = tuple((path, sizes[path]) for path in wanted if path in new and sizes[path] > limit)
    if too_large and not large:
        raise _too_large(project, too_large)
    _refuse_marks(project, [path for path in wanted if path in new])
    left = tuple(p for p in here if p not in wanted)
    return Plan(git.head(repo).branch, tuple(wanted), left, too_large)


def checkpoint(
    project: Project, message: str, paths: Sequence[str] = (), *, large: bool = False, cwd: Path | None = None
) -> Checkpoint:
    """Commit what ``plan`` names. The user's hooks run, and what they had staged beside it stays staged. With ``large``
    also files above the setting ``large_file_mb``.
    """
    repo = git.required(project.git)
    if not message.strip():
        raise UsageError("the message is empty", 'give one: -m "what changed"')
    found = plan(project, paths, large=large, cwd=cwd)
    commit = git.commit_pathspecs(repo, found.paths, message.rstrip() + "\n") if found.paths else None
    if commit:
        undo.remember(project, commit, message)
    return Checkpoint(commit, found.paths if commit else (), found.left)


def _refuse_marks(project: Project, paths: Sequence[str]) -> None:
    """A notebook that a merge left in conflict opens, and does not run."""
    for path in paths:
        if path.endswith(".ipynb") and (project.root / path).is_file():
            where = conflicts.left_in((project.root / path).read_bytes())
            if where:
                raise Refused(f"{path} has marks of a merge conflict in {where}", _way_out(project, path))


def _way_out(project: Project, path: str) -> str:
    """Of marks that are left, and of marks that are meant. While something is under way Git commits no path alone."""
    add = f"git add {shlex.quote(path)}"
    under_way = git.operation(project.git) if project.git else ""
    if under_way in ("", "bisect"):
        return f"keep what is right there; {add} and git commit {shlex.quote(path)} commit it as it is"
    go_on = "git commit" if under_way == "merge" else f"git {under_way} --continue"
    return f"keep what is right there, then {add} and {go_on}"


def _ours(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if git.is_checkpoint(path):
        return False
    return name.endswith(_KINDS) or name in _NAMES or name == ".gitignore" or path in (".dvc/config", ".dvc/.gitignore")


def _relative(project: Project, path: str, cwd: Path) -> str:
    full = cwd / path
    parent = Path(os.path.realpath(full.parent if full.name not in ("", "..") else full))
    relative = project.relative(parent / full.name if full.name not in ("", "..") else parent)
    if relative is None or "\0" in path:
        raise UsageError(f"{path[:200]!r} is outside the project {project.root}")
    if not os.path.lexists(full) and not (project.git and git.known(project.git, [relative])):
        raise UsageError(f"there is no {path[:200]}")
    return relative


def _is_folder(project: Project, name: str, changed: Collection[str]) -> bool:
    """Whether a name is that of a folder, or of one that is gone with all that Git has of it."""
    place = project.root / name
    if name == "." or place.is_dir():
        return True
    return not os.path.lexists(place) and any(path.startswith(f"{name}/") for path in changed)


def _let_go(project: Project, repo: git.GitRepo, changed: Collection[str]) -> set[str]:
    """Those that are still there and that Git is to let go of (``git rm --cached``): a commit of them would take them in
    again.
    """
    there = [path for path in changed if os.path.lexists(project.root / path)]
    return set(there) - git.tracked(repo, there)


def _named(path: str, folders: Sequence[str]) -> bool:
    """Whether a path is one of these folders (a submodule) or lies in one."""
    return any(name in (".", path) or path.startswith(f"{name}/") for name in folders)


def _within(path: str, data: set[str]) -> bool:
    return path in data or any(path.startswith(f"{folder}/") for folder in data)


def _refuse_data(named: Sequence[str], data: set[str]) -> None:
    """Data are never committed, whoever names them: their pointers are."""
    for path in named:
        if _within(path, data):
            raise Refused(
                f"{path} is versioned by DVC: Git keeps its pointer, never the data",
                f"nbledger track {path} versions it",
            )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if not path.is_dir() else 0
    except OSError:
        return 0


def _too_large(project: Project, found: Sequence[tuple[str, int]]) -> Refused:
    limit = f"{project.settings.large_file_mb:g} MB"
    path, size = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    what = f"{path} has {size / 1_000_000:,.1f} MB{more}: Git would keep it for ever (large_file_mb = {limit})"
    if path.endswith(".ipynb"):
        return Refused(what, "clear its outputs and save it; or --large commits it all the same")
    return Refused(what, f"nbledger track {path} lets DVC keep it; or --large commits it all the same")
