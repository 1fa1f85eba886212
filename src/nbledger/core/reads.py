"""Files that runs have read and nothing versions, remembered so that ``status`` can name them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from nbledger.core import dvc, git
from nbledger.core.files import write_atomic
from nbledger.core.project import Project

_FILE, _MOST = "unversioned.json", 1000


def remember(project: Project, paths: Sequence[str]) -> None:
    """Add ``paths`` (relative to the root) to those known; a ledger that cannot be written only forgets them."""
    known = _known(project)
    fresh = [p for p in paths if p not in known]
    if fresh:
        with contextlib.suppress(OSError):
            write_atomic(project.state / _FILE, json.dumps([*known, *fresh][-_MOST:]))


def unversioned(project: Project) -> list[str]:
    """Those remembered that still exist and still are in neither Git nor DVC."""
    present = [p for p in _known(project) if (project.root / p).is_file()]
    loose = [p for p in present if project.dvc_root is None or dvc.lookup(project, p) is None]
    tracked = git.tracked(project.git, loose) if project.git is not None else set()
    return [p for p in loose if p not in tracked]


def _known(project: Project) -> list[str]:
    try:
        known = json.loads((project.state / _FILE).read_text())
    except (OSError, ValueError):
        return []
    return [str(p) for p in known] if isinstance(known, list) else []
