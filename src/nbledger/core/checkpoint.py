"""``checkpoint``: commit notebooks, data pointers and pipeline files, and nothing else that is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nbledger.core import git, undo
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project

_KINDS = (".ipynb", ".dvc")
_NAMES = ("dvc.yaml", "dvc.lock", ".dvcignore", ".nbledger.toml")


@dataclass(frozen=True)
class Checkpoint:
    """``commit`` is None when nothing had changed; ``left`` are changed paths that it does not hold."""

    commit: str | None
    paths: tuple[str, ...]
    left: tuple[str, ...]


def checkpoint(project: Project, message: str, paths: Sequence[str] = (), *, cwd: Path | None = None) -> Checkpoint:
    """Commit changed and new notebooks, ``.dvc`` files, ``dvc.yaml``, ``dvc.lock``, ``.gitignore`` lines, and ``paths``.

    The user's hooks run, and what they had staged beside it stays staged.
    """
    if project.git is None:
        raise Refused("there is no Git repository here", "%ledger init makes one")
    if not message.strip():
        raise UsageError("the message is empty", 'give one: -m "what changed"')
    named = [_relative(project, path, cwd or project.root) for path in paths]
    changed, untracked = git.changes(project.git, every_file=True)
    wanted = sorted({p for p in [*changed, *untracked] if _ours(p)} | set(named))
    commit = git.commit_pathspecs(project.git, wanted, message.rstrip() + "\n") if wanted else None
    if commit:
        undo.remember(project, commit, message)
    left = tuple(p for p in [*changed, *untracked] if p not in wanted)
    return Checkpoint(commit, tuple(wanted) if commit else (), left)


def _ours(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if ".ipynb_checkpoints/" in path:
        return False
    return name.endswith(_KINDS) or name in _NAMES or name == ".gitignore" or path in (".dvc/config", ".dvc/.gitignore")


def _relative(project: Project, path: str, cwd: Path) -> str:
    full = cwd / path
    relative = project.relative(full.parent.resolve() / full.name)
    if relative is None:
        raise UsageError(f"{path} is outside the project {project.root}")
    if not full.exists() and not (project.git and git.tracked(project.git, [relative])):
        raise UsageError(f"there is no {path}")
    return relative
