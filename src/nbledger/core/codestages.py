"""The stages that write the code of others (``nbledger code NB``): what they would write now, told without running them.

DVC runs such a stage every time, and what depends on it only where its outputs changed. So a stage is stale if the code
that its notebook has for it now is not the code that it ran with.
"""

from __future__ import annotations

import difflib
import hashlib
import posixpath
import shlex
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbledger.core import files, stagecells
from nbledger.core.errors import LedgerError
from nbledger.core.files import Signature
from nbledger.core.project import Project
from nbledger.core.wording import some

_NAMED, _LONG = 3, 50
_CELL = "\n# %%\n"


@dataclass(frozen=True)
class Code:
    """The file at ``path`` (from the root) as ``nbledger code`` would write it now: ``text`` and its ``md5``."""

    path: str
    notebook: str
    stage: str
    text: str
    md5: str


@dataclass(frozen=True)
class Cells:
    """The cells of a notebook's stage: the notebook's path from the root, the id of the first one (empty: it has none)."""

    notebook: str
    cell: str = ""


def notebook_of(cmd: str, base: str = "", verb: str = "code") -> str | None:
    """The notebook of a command ``nbledger VERB NB …``, from the root where ``base`` is the folder it runs in."""
    try:
        words = shlex.split(cmd)
    except ValueError:
        return None
    if len(words) < 3 or posixpath.basename(words[0]) != "nbledger" or words[1] != verb:
        return None
    named = next((word for word in words[2:] if word.endswith(".ipynb")), None)
    return None if named is None else posixpath.normpath(posixpath.join(base, named))


def written(project: Project, notebook: str, paths: Iterable[str]) -> list[Code]:
    """What ``nbledger code`` would write to ``paths`` (``…/NAME.py``) now. ``LedgerError`` where the notebook cannot be
    read or has no cells of such a stage.
    """
    found = []
    for path in paths:
        name = posixpath.basename(path).removesuffix(".py")
        text = _code(*_known(project, notebook), name)
        md5 = hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        found.append(Code(path, notebook, name, text, md5))
    return found


def all_written(
    project: Project, stages: Iterable[tuple[str, str, Sequence[str]]], problems: list[str]
) -> dict[str, Code]:
    """{path: what would be written to it} by those of ``stages`` (command, folder it runs in, outputs) that write code.
    What cannot be told is left out, and said in ``problems``.
    """
    found: dict[str, Code] = {}
    for cmd, base, outs in stages:
        notebook = notebook_of(cmd, base)
        if notebook is not None:
            try:
                found |= {code.path: code for code in written(project, notebook, outs)}
            except LedgerError as err:
                problems.append(f"{notebook}: {err.message}")
    return found


def changes(project: Project, code: Code, before: str) -> str:
    """In words that the notebook's code is not that with the MD5 ``before``, and which cells changed where that is known."""
    said = f"the code of {code.notebook} changed"
    try:
        old = (project.root / code.path).read_bytes()
    except OSError:
        return said
    if hashlib.md5(old, usedforsecurity=False).hexdigest() != before:
        return said  # the file is not what the stage ran with either
    ours, theirs = old.decode("utf-8", "replace").split(_CELL)[1:], code.text.split(_CELL)[1:]
    cells = list(_changed(ours, theirs))
    if not cells:
        return said
    return f"{said}: {some(cells, _NAMED)}"


def _changed(ours: Sequence[str], theirs: Sequence[str]) -> Iterable[str]:
    for kind, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            new = [f"cell {_first(text)}" for text in theirs[c:d]]
            yield from new or [f"without cell {_first(text)}" for text in ours[a:b]]


def _first(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "“" + (line if len(line) <= _LONG else line[: _LONG - 1] + "…") + "”"


def cells(project: Project, notebook: str, name: str) -> Cells:
    """Where the stage ``name`` is in its notebook."""
    try:
        return Cells(notebook, _first_cell(*_known(project, notebook), name))
    except LedgerError:
        return Cells(notebook)


def _known(project: Project, notebook: str) -> tuple[Path, Signature]:
    path = project.root / notebook
    if notebook.startswith(("../", "/")):
        raise LedgerError("the notebook lies outside of the project")
    try:
        found = path.stat()
    except OSError as err:
        raise LedgerError(f"the notebook cannot be read: {err.strerror}") from err
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError("the notebook is not a file")
    return path, files.signature(found)


@lru_cache(64)
def _code(path: Path, signature: Signature, name: str) -> str:
    return stagecells.code(_book(path, signature), name)


@lru_cache(64)
def _first_cell(path: Path, signature: Signature, name: str) -> str:
    book = _book(path, signature)
    own = stagecells.slice_of(book, name).own
    return str(book.cells[own[0]].get("id", "")) if own else ""


@lru_cache(4)
def _book(path: Path, _signature: Signature) -> Any:
    from nbledger.core import kernels

    return kernels.load(path)
