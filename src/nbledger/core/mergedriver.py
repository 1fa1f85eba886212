"""Git's merge drivers: three files in, the joined one in place of the second, and what is to be said about it.

Whatever happens, the second file stays one that opens: a valid notebook, a valid pointer. Both sides of a conflict are in
Git's index all the while (``git show :2:PATH`` and ``:3:PATH``).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbledger.core import files, git, notebookclean, notebookmerge
from nbledger.core.errors import LedgerError
from nbledger.core.notebookclean import NoNotebook, Notebook

OURS, THEIRS = "ours", "theirs"
_EMPTY: Notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
_MOST = 8  # conflicts told one by one


@dataclass
class Outcome:
    """``lines`` are for the person who merges."""

    conflict: bool
    lines: list[str] = field(default_factory=list)


def notebook(base: str, ours: str, theirs: str, path: str, size: int = 7) -> Outcome:
    """Join two versions of a notebook; ``size`` is the length of the marks of a conflict."""
    sides = []
    for name, file in (("the common version", base), (OURS, ours), (THEIRS, theirs)):
        try:
            sides.append(_read(Path(file), may_be_empty=file == base))
        except NoNotebook as err:
            said = f"{path}: {name} cannot be merged by cell: {err}. It is left as ours has it; git show :3:{path} is theirs"
            return Outcome(True, [said])
    labels = _labels()

    def lines(a: str, b: str, c: str) -> tuple[str, bool]:
        return merge_lines(a, b, c, labels, size)

    was, left, right = sides
    made = notebookmerge.merge(was, left, right, lines, labels, size)
    files.write_atomic(Path(ours), notebookclean.written(made.notebook))
    told = [f"{path}, {line}" for line in _some(made.conflicts)]
    if made.conflicts:
        told.append(
            f"{path} is a valid notebook, with marks where it is in conflict: open it, keep what is right, git add it"
        )
    return Outcome(bool(made.conflicts), [*told, *(f"{path}, {note}" for note in _some(made.notes))])


def _read(file: Path, *, may_be_empty: bool) -> Notebook:
    data = file.read_bytes()
    if may_be_empty and not data.strip():  # both sides added the file
        return {**_EMPTY, "cells": [], "metadata": {}}
    found = notebookclean.stripped(notebookclean.read(data))
    cells = found["cells"]
    if len(cells) > 1 and all(cell.get("id") == str(number) for number, cell in enumerate(cells)):
        for cell in cells:  # nbstripout without --keep-id numbers the cells: that says nothing about which is which
            del cell["id"]
    return found


def _some(lines: list[str]) -> list[str]:
    return lines[:_MOST] + ([f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])


def _labels() -> tuple[str, str]:
    """Names of the sides: Git says which branch is merged (``GITHEAD_…``), of other operations nothing."""
    named = [value for name, value in os.environ.items() if name.startswith("GITHEAD_") and value != "HEAD"]
    if len(named) != 1 or not named[0].isprintable():
        return OURS, THEIRS
    return OURS, f"{THEIRS} ({named[0][:10] if git.is_hex(named[0]) else named[0][:60]})"


def merge_lines(base: str, ours: str, theirs: str, labels: tuple[str, str], size: int = 7) -> tuple[str, bool]:
    """(the lines of three texts as one, whether there are conflicts), as ``git merge-file`` has them."""
    with tempfile.TemporaryDirectory(prefix="nbledger-merge-") as folder:
        names = []
        for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            place = Path(folder) / name
            place.write_bytes(f"{text}\n".encode("utf-8", "surrogatepass"))
            names.append(str(place))
        options = ("-p", "-q", f"--marker-size={size}", "-L", labels[0], "-L", "base", "-L", labels[1])
        done = git.call(Path(folder), "merge-file", *options, "--", *names, check=False)
    if done.returncode < 0 or done.returncode > 127:
        raise git.failure("merge-file", done)
    return done.stdout.decode("utf-8", "surrogatepass").removesuffix("\n"), done.returncode > 0


def data(base: str, ours: str, theirs: str, path: str, size: int = 7) -> Outcome:
    """Join two versions of a ``.dvc`` file or of ``dvc.lock``."""
    from nbledger.core import dvcmerge, lockmerge
    from nbledger.core.project import find

    places = Path(base), Path(ours), Path(theirs)
    lock = path.rpartition("/")[2] == "dvc.lock"
    try:
        if lock:
            return Outcome(*lockmerge.merge(*places, path))
        return Outcome(*dvcmerge.merge(find(Path.cwd() / path), *places, path))
    except (LedgerError, OSError, ValueError) as err:
        with _restored(places[1]), contextlib.suppress(LedgerError, OSError, ValueError):
            was, left, right = (_text(place) for place in places)
            text, conflict = merge_lines(was, left, right, _labels(), size)
            if not conflict:  # one side changed the data, the other what is beside them
                files.write_atomic(places[1], f"{text}\n")
                return Outcome(False)
        return Outcome(True, [f"{path}: {err}. It is left as ours has it; git checkout --theirs {path} takes theirs"])


def _text(place: Path) -> str:
    return place.read_bytes().decode().removesuffix("\n")


@contextlib.contextmanager
def _restored(place: Path) -> Iterator[None]:
    """The file as it was, if what is done in the block fails."""
    before = place.read_bytes()
    try:
        yield
    except BaseException:
        files.write_atomic(place, before)
        raise
