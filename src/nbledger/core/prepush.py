"""Git's pre-push hook: whoever pushes with plain Git is told which data nobody else could get."""

from __future__ import annotations

from nbledger.core.project import Project


def install(project: Project) -> list[str]:
    """Put the hook into this clone, beside the person's own; what was done, one line a step."""
    raise NotImplementedError


def remove(project: Project) -> list[str]:
    """Undo ``install``; what was done, one line a step."""
    raise NotImplementedError
