"""The joined state as the sidebar shows it (``IState`` of the front end's ``api/types.ts``)."""

from __future__ import annotations

import threading
from pathlib import Path, PurePosixPath
from typing import Any

from nbledger.core import trust, whoami
from nbledger.core.project import Project
from nbledger.core.records import plain
from nbledger.keeper import changes, overview, watching
from nbledger.keeper.calls import Args, Progress


def state(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """``nbledger status`` and where the project lies for a server whose root is ``served``."""
    found, version = _looked(project)
    base, prefix = _place(project.root, args.get("served"))
    trouble = watching.trouble(project)
    if trouble:
        found = {**found, "notes": [*found["notes"], f"files are looked at every 2 seconds, not watched: {trouble}"]}
    watched = not trouble and changes.serving()
    here = whoami.me(project)
    person = {"user": here.user, "mine": list(here.keys), "trusted": trust.trusted(project)}
    place = {"project": project.key, "base": base, "prefix": prefix}
    return {**found, **place, **person, "version": version, "watching": watched}


def me(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """By whom what this process does is recorded."""
    return whoami.recorded(project)


class _Flight:
    """One look at a project: those who ask while it has not begun share it, so that a crowd costs two looks."""

    def __init__(self) -> None:
        self.done = False
        self.result: tuple[dict[str, Any], int] | None = None
        self.problem: Exception | None = None


_flights: dict[tuple[str, str, str], _Flight] = {}
_gate: dict[tuple[str, str, str], threading.Lock] = {}
_lock = threading.Lock()


def _looked(project: Project) -> tuple[dict[str, Any], int]:
    """The state, looked at after this was called, and the version that it is at least of."""
    key = (str(project.root), project.tracking_uri, project.experiment)
    with _lock:
        flight = _flights.setdefault(key, _Flight())
        gate = _gate.setdefault(key, threading.Lock())
    with gate:
        if not flight.done:
            with _lock:
                _flights.pop(key, None)  # who comes from now on needs another look
            try:
                version = changes.version()
                flight.result = (plain(overview.status(project)), version)
            except Exception as err:
                flight.problem = err
            flight.done = True
    if flight.problem is not None:
        raise flight.problem
    assert flight.result is not None
    return flight.result


def _place(root: Path, served: Any) -> tuple[str | None, str]:
    """(root relative to the served folder, or None; the served folder relative to the root if that lies above, or "")."""
    if not served:
        return None, ""
    there = Path(str(served)).resolve()
    if root.is_relative_to(there):
        return _words(root.relative_to(there)), ""
    return None, _words(there.relative_to(root)) if there.is_relative_to(root) else ""


def _words(path: Path) -> str:
    text = PurePosixPath(path).as_posix()
    return "" if text == "." else text
