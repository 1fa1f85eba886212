"""What a pipeline itself writes into Git's work tree: ``dvc.lock``, metrics and plots. Their change is no change of code.

The first stage of ``nbledger repro`` writes ``dvc.lock`` before the second begins; without this the second would be the run of
code that differs from the last commit, in a clean clone too.
"""

from __future__ import annotations

import posixpath

from nbledger.core import git, gitlog
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_CODE = (".py", ".ipynb", ".sh", ".r", ".jl", ".sql")


def only(project: Project, repo: git.GitRepo, old: str | None, new: str) -> bool:
    """Whether the trees ``old`` and ``new`` differ in nothing but what the stages of ``dvc.yaml``, which is the same in both,
    write. What cannot be told is no.
    """
    if old is None or project.dvc_root is None:
        return False
    try:
        changed = gitlog.changed_paths(repo, old, new)
        locks = {path for path in changed if posixpath.basename(path) == "dvc.lock"}
        if not changed or any(posixpath.basename(path) in ("dvc.yaml", "dvc.yml") for path in changed):
            return False
        rest = changed.keys() - locks
        return not rest or rest <= _declared(project)
    except (LedgerError, OSError, ValueError):
        return False


def _declared(project: Project) -> set[str]:
    """The metrics and plots of all stages, from the project's root."""
    from nbledger.core import stages  # a project without a pipeline needs none of it

    found = {path for stage in stages.stages(project).values() for path in (*stage.metrics, *stage.plots)}
    return {path for path in found if not path.lower().endswith(_CODE)}
