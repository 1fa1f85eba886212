"""``diff``: a file of the work tree against the last commit; what DVC tracks against the pointer in it. Reads only:
neither Git's filters nor anything that a repository configures is run.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbledger.core import datachange, git, gitlog, inside, notebookdiff
from nbledger.core.differences import DataChange
from nbledger.core.errors import UsageError
from nbledger.core.project import Project

NOTEBOOK, TEXT, DATA, BINARY = "notebook", "text", "data", "binary"
_LINES = 5000
_LINE = 2000  # characters of a line
_MOST = 20_000_000  # bytes of a text that is compared
_MOST_NOTEBOOK = 60_000_000
_EMPTY: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
_CANDIDATES = 50


@dataclass(frozen=True)
class NotebookDiff:
    """What nbdime's views take; ``a`` and ``b`` say what was compared."""

    a: str
    b: str
    base: Any
    diff: Any


@dataclass(frozen=True)
class Diff:
    """``kind``: notebook, text, data or binary. ``lines`` are the hunks of a unified diff, ``cut`` says that there are more;
    ``against`` what it was compared with.
    """

    path: str
    kind: str
    against: str
    notebook: NotebookDiff | None = None
    lines: tuple[str, ...] = ()
    cut: bool = False
    data: DataChange | None = None
    note: str = ""


@dataclass(frozen=True)
class _Sides:
    """Both contents of a file (None: there is none, or it is too large: ``sizes`` tells), and what is to be said of them."""

    path: str
    against: str
    before: bytes | None
    after: bytes | None
    sizes: tuple[int | None, int | None]
    notes: tuple[str, ...] = ()


def diff(project: Project, file: str) -> Diff:
    """What changed in ``file`` (relative to the root) since the last commit."""
    path = inside.relative(project, file)
    repo = git.required(project.git)
    commit = git.head(repo).commit
    if (change := datachange.since(project, path, commit)) is not None:
        note = "" if commit else "there is no commit yet"
        return Diff(change.path, DATA, f"{commit[:10]} (HEAD)" if commit else "nothing", data=change, note=note)
    sides = _sides(project, repo, path, commit)
    if path.endswith(".ipynb") and (found := _notebook(sides)) is not None:
        return found
    return _text(sides)


def _sides(project: Project, repo: git.GitRepo, path: str, commit: str | None) -> _Sides:
    most = _MOST_NOTEBOOK if path.endswith(".ipynb") else _MOST
    now = inside.size(project.root / path)
    after = inside.read(project.root / path, most)
    source, notes = path, []
    was = gitlog.size_of(repo, commit, path) if commit and "\n" not in path else None
    if commit and "\n" in path:  # asked for one by one: such a name fits on no line
        blob = git.read_blob(repo, f"{commit}:{path}")
        was = None if blob is None else len(blob)
    if was is None and now is None:
        raise UsageError(f"there is no {path[:200]}, and the last commit has none", "check the spelling")
    if was is None and after is not None and commit:
        moved = _moved_from(repo, commit, path, after)
        if moved is not None:
            source, was = moved, gitlog.size_of(repo, commit, moved)
            notes.append(f"renamed from {moved}")
    if was is None:
        notes.append("a new file: the last commit does not have it" if commit else "there is no commit yet")
    elif now is None:
        notes.append("deleted")
    before = git.read_blob(repo, f"{commit}:{source}") if was is not None and was <= most else None
    return _Sides(path, f"{commit[:10]} (HEAD)" if commit else "nothing", before, after, (was, now), tuple(notes))


def _moved_from(repo: git.GitRepo, commit: str, path: str, after: bytes) -> str | None:
    """The file that is gone and has these bytes, or most of these lines."""
    suffix = posixpath.splitext(path)[1]
    names = [name for name in gitlog.gone(repo) if posixpath.splitext(name)[1] == suffix][:_CANDIDATES]
    found, best = None, 0.5
    lines = set(after.splitlines())
    for name, data in zip(names, gitlog.blobs(repo, [(commit, name) for name in names]), strict=True):
        if data is None or len(data) > _MOST:
            continue
        if data == after and data:
            return name
        others = set(data.splitlines())
        alike = len(lines & others) / max(len(lines | others), 1)
        if alike > best:
            found, best = name, alike
    return found


def _notebook(sides: _Sides) -> Diff | None:
    """The cells that changed; None where one side is no notebook of format 4."""
    before, after = (
        _EMPTY if size is None else _parsed(data)
        for data, size in zip((sides.before, sides.after), sides.sizes, strict=True)
    )
    if before is None or after is None:
        return None
    base, changes = notebookdiff.diff(before, after)
    shown = NotebookDiff(sides.against, "the work tree", base, changes)
    notes = list(sides.notes)
    if not changes and sides.before != sides.after and None not in sides.sizes:
        notes.append("no cell changed: only outputs, counts or metadata differ")
    return Diff(sides.path, NOTEBOOK, sides.against, shown, note="; ".join(notes))


def _parsed(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    good = isinstance(found, dict) and found.get("nbformat") == 4 and isinstance(found.get("cells"), list)
    return found if good and all(isinstance(cell, dict) for cell in found["cells"]) else None


def _text(sides: _Sides) -> Diff:
    notes = list(sides.notes)
    if sides.path.endswith(".ipynb"):
        notes.append("not a valid notebook of format 4: shown as text")
    too_large = any(
        data is None and size is not None for data, size in zip((sides.before, sides.after), sides.sizes, strict=True)
    )
    if too_large:
        notes.append(f"too large to compare: {_sizes(sides.sizes)}")
        return Diff(sides.path, TEXT, sides.against, cut=True, note="; ".join(notes))
    before, after = sides.before or b"", sides.after or b""
    if b"\0" in before[:8000] or b"\0" in after[:8000]:
        notes.append(f"binary: {_sizes(sides.sizes)}" if before != after else "binary, unchanged")
        return Diff(sides.path, BINARY, sides.against, note="; ".join(notes))
    if before != after and before and b"\r\n" in after and b"\r\n" not in before:
        after = after.replace(b"\r\n", b"\n")
        notes.append("line ends are CRLF in the work tree")
    lines = gitlog.unified(before, after) if before != after else []
    if not lines and not notes:
        notes.append("nothing changed")
    shown, cut = _clipped(lines)
    return Diff(sides.path, TEXT, sides.against, lines=shown, cut=cut, note="; ".join(notes))


def _clipped(lines: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    cut = len(lines) > _LINES or any(len(line) > _LINE for line in lines[:_LINES])
    return tuple(line if len(line) <= _LINE else line[:_LINE] + "…" for line in lines[:_LINES]), cut


def _sizes(sizes: tuple[int | None, int | None]) -> str:
    was, now = (None if size is None else f"{size:,} bytes" for size in sizes)
    if was and now:
        return f"{was} before, {now} now"
    return f"{now} now" if now else f"{was} before"
