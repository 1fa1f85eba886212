"""The data remote as the keeper can use it: with the credentials of its environment, which are those of what started it."""

from __future__ import annotations

from nbledger.core import credentials
from nbledger.core.credentials import Finding
from nbledger.core.project import Project
from nbledger.keeper.calls import Args, Progress


def data_remote(project: Project, args: Args, progress: Progress | None) -> list[Finding]:
    """What is ready and what is missing for the default data remote; it is asked."""
    return credentials.check(project)
