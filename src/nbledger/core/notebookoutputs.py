"""Outputs of notebooks that Git does not keep, while Git replaces the notebooks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from nbledger.core import files, git, gitfilters, notebookclean
from nbledger.core.project import Project


@contextlib.contextmanager
def kept(project: Project, paths: Iterable[str]) -> Iterator[None]:
    """While Git replaces ``paths`` in the block: notebooks that were only executed since their last commit are no hindrance
    to it, and cells that come back as they were have their outputs again. Nothing where Git leaves outputs in.
    """
    repo = project.git
    held: dict[str, bytes] = {}
    if repo is not None and gitfilters.installed(project):
        for path in paths:
            place = project.root / path
            if path.endswith(".ipynb") and place.is_file() and not place.is_symlink():
                held[path] = place.read_bytes()
    if repo is not None and held:
        differing = git.differing(repo, list(held))
        alike = {path: blob for path, blob in git.index_blobs(repo, list(held)).items() if path not in differing}
        if alike:  # the same entries, whose dates and sizes Git then does not go by
            git.update_index(repo, dict(alike))
    try:
        yield
    finally:
        for path, old in held.items():
            with contextlib.suppress(OSError, notebookclean.NoNotebook):
                place = project.root / path
                new = place.read_bytes()
                if new != old and (joined := grafted(old, new)) is not None:
                    files.write_atomic(place, joined)


def grafted(old: bytes, new: bytes) -> bytes | None:
    """``new`` with the outputs that ``old`` has for the same cells (same id where there are ids, same source); None where there
    are none to be had, or ``new`` has outputs of its own: somebody committed it without the filter.
    """
    if notebookclean.cleaned(new) != new:
        return None
    have = {_key(cell): cell for cell in notebookclean.read(old)["cells"] if cell.get("outputs")}
    notebook = notebookclean.read(new)
    found = False
    for cell in notebook["cells"]:
        before = have.get(_key(cell))
        if before is not None and not cell.get("outputs"):
            found = True
            cell["outputs"], cell["execution_count"] = before["outputs"], before.get("execution_count")
    return notebookclean.written(notebook) if found else None


def _key(cell: dict[str, Any]) -> tuple[str, str, str]:
    return str(cell.get("cell_type")), str(cell.get("id", "")), str(cell.get("source", ""))
