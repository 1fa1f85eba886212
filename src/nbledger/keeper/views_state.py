"""The joined state as the sidebar shows it (``IState`` of the front end's ``api/types.ts``)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from nbledger.core.project import Project
from nbledger.core.records import plain
from nbledger.keeper import changes, overview
from nbledger.keeper.calls import Args, Progress


def state(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    """``nbledger status`` and where the project lies for a server whose root is ``served``."""
    version = changes.version()  # before looking: what changes meanwhile is asked for again
    found: dict[str, Any] = plain(overview.status(project))
    base, prefix = _place(project.root, args.get("served"))
    return {**found, "project": project.key, "base": base, "prefix": prefix, "version": version, "watching": False}


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
