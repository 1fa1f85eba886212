"""Which project a path of Jupyter's contents is in, found without holding the server's event loop."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from nbledger.core.errors import UsageError
from nbledger.core.project import Project, find

_FRESH = 2.0
"""Seconds for which a project that was found is not looked for again."""


@dataclass(frozen=True)
class Place:
    """A project, and whether there is more than a folder: looking must not make a ledger of any folder looked at."""

    project: Project
    begun: bool


class NotThere(UsageError):
    """A path that the server does not serve, or that does not exist: the same words for both."""


class Places:
    """The projects of one server's folder."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(os.path.expanduser(root))
        self._found: dict[str, tuple[float, asyncio.Task[Place]]] = {}

    async def at(self, path: str) -> Place:
        """The project that holds ``path``; questions that come together look once."""
        now = time.monotonic()
        known = self._found.get(path)
        if known is None or now - known[0] > _FRESH or _failed(known[1]):
            self._found = {p: (at, task) for p, (at, task) in self._found.items() if now - at <= _FRESH}
            known = (now, asyncio.create_task(asyncio.to_thread(self.look, path)))
            self._found[path] = known
        return await asyncio.shield(known[1])

    def forget(self) -> None:
        """Look anew: an action may have made a repository."""
        self._found.clear()

    def look(self, path: str) -> Place:
        project = find(self.inside(path))
        return Place(project, bool(project.git or project.dvc_root or project.state.is_dir()))

    def inside(self, path: str) -> Path:
        """The file or folder that a path of the contents means. ``NotThere`` outside of the server's root, wherever
        links lead.
        """
        try:
            place = os.path.realpath(os.path.join(self.root, path.lstrip("/")))
            there = os.path.exists(place)
        except (ValueError, OSError):  # a NUL, or a name that no file can have
            there, place = False, ""
        if not there or os.path.commonpath((self.root, place)) != self.root:
            raise NotThere("Jupyter Server serves no such path", "open a file or a folder in the file browser")
        return Path(place)


def _failed(task: asyncio.Task[Place]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
