"""What Git does for notebooks here: outputs left out of commits, notebooks and data pointers merged by what they mean."""

from __future__ import annotations

from nbledger.core.project import Project


def install(project: Project) -> list[str]:
    """Set the filter and the merge drivers up in this clone; what was done, one line a step. A second call does nothing."""
    raise NotImplementedError


def remove(project: Project) -> list[str]:
    """Undo ``install``; what was done, one line a step."""
    raise NotImplementedError
