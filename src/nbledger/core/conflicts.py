"""What is in conflict while a merge, rebase or the like is under way: cells of notebooks, files of tracked folders."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from nbledger.core import contents, datachange, dvcfiles, git, gitlog, joining, notebookclean, pointers
from nbledger.core.errors import LedgerError
from nbledger.core.joining import Files
from nbledger.core.project import Project
from nbledger.core.wording import some

_MARK = re.compile(r"^(`<{7,}` |<{7,} )", re.MULTILINE)
_END = re.compile(r"^(`>{7,}`|>{7,} )", re.MULTILINE)
_NAMED = 5


def told(project: Project) -> list[str]:
    """One line for each notebook and pointer of data in conflict: where, and what to do. Nothing is executed or fetched."""
    repo = project.git
    if repo is None or not git.operation(repo):
        return []
    lines = []
    for path, stages in unmerged(repo).items():
        notebook = path.endswith(".ipynb")
        if not notebook and (not pointers.is_pointer(path) or path.endswith("dvc.lock")):
            continue
        if not {2, 3} <= stages.keys():
            lines.append(_removed(path, stages))
        else:
            lines.append(_notebook(project.root / path, path) if notebook else _pointer(project, repo, path, stages))
    return lines


def left_in(data: bytes) -> str:
    """Which cells of a notebook hold marks of a conflict, from the first line of one to its last: "cell 2", "cells 2, 5";
    empty where there are none, or where it is no notebook.
    """
    if b"<<<<<<<" not in data or b">>>>>>>" not in data:
        return ""
    try:
        sources = [str(cell.get("source", "")) for cell in notebookclean.read(data)["cells"]]
    except notebookclean.NoNotebook:
        return ""
    begins = [number for number, source in enumerate(sources, 1) if _MARK.search(source)]
    ends = [number for number, source in enumerate(sources, 1) if _END.search(source)]
    return _cells([number for number in begins if ends and number <= ends[-1]])


def sent(repo: git.GitRepo, old: str | None, new: str) -> list[str]:
    """One line for each notebook that ``new`` has with such marks and ``old`` (None: nothing) has not so."""
    changed = gitlog.changed_paths(repo, old, new) if old else dict.fromkeys(git.whole_tree(repo, new), "A")
    names = [path for path, kind in changed.items() if path.endswith(".ipynb") and kind != "D"]
    found = zip(names, gitlog.blobs(repo, [(new, path) for path in names]), strict=True)
    return [
        f"{path} has marks of a merge conflict in {where}" for path, data in found if (where := left_in(data or b""))
    ]


def _cells(numbers: Sequence[int]) -> str:
    return (
        f"cell{'s' if len(numbers) > 1 else ''} {some([str(number) for number in numbers], _NAMED)}" if numbers else ""
    )


def unmerged(repo: git.GitRepo) -> dict[str, dict[int, str]]:
    """{path: {stage: blob id}} of what Git's index has in conflict: 1 is the common version, 2 ours, 3 theirs."""
    found: dict[str, dict[int, str]] = {}
    for entry in filter(None, git.call(repo, "ls-files", "-u", "-z").stdout.split(b"\0")):
        facts, _, name = entry.decode("utf-8", "surrogateescape").partition("\t")
        _, blob_id, stage = facts.split(" ")
        found.setdefault(name, {})[int(stage)] = blob_id
    return found


def _removed(path: str, stages: Collection[int]) -> str:
    """Of what a side removed, or gave another name: Git has no version of that side's to check out."""
    named = shlex.quote(path)
    if not {2, 3} & set(stages):
        return f"{path} is in conflict: neither side has it any more. git rm {named}"
    side = "ours" if 2 in stages else "theirs"
    return (
        f"{path} is in conflict: only {side} has it. git add {named} keeps it, git rm {named} takes that it was removed"
    )


def _notebook(place: Path, path: str) -> str:
    named = shlex.quote(path)
    try:
        cells = notebookclean.read(place.read_bytes())["cells"]
    except FileNotFoundError:
        either = f"git checkout --ours {named} or git checkout --theirs {named}, then git add {named}"
        return f"{path} is in conflict, and not in the work tree: {either}; or git rm {named}"
    except (notebookclean.NoNotebook, OSError):
        again = f"git checkout -m {named} merges it by cell"
        return f"{path} is in conflict, and no valid notebook: {again}, once nbledger init --filters has set that up"
    marked = [number for number, cell in enumerate(cells, 1) if _MARK.search(str(cell.get("source", "")))]
    if not marked:
        return f"{path} was in conflict, and has no marks of it any more: git add {named}"
    where = _cells(marked)
    return f"{path} is in conflict in {where}: keep what is right there, then git add {named}"


def _pointer(project: Project, repo: git.GitRepo, path: str, stages: dict[int, str]) -> str:
    texts = gitlog.contents(repo, [stages.get(number, "") for number in (1, 2, 3)])
    name = path.removesuffix(".dvc")
    files: list[Files | None] = []
    for text in texts:
        try:
            row = dvcfiles.rows_of((text or b"").decode("utf-8"))[0]
        except (LedgerError, ValueError, IndexError):
            files.append(None)
            continue
        name = posixpath.normpath(posixpath.join(posixpath.dirname(path), row.path))
        files.append(contents.folder(project, row.md5) if row.md5.endswith(".dir") else {"": row.md5})
    was, left, right = files
    what = ""
    if left and right:
        both = [
            posixpath.join(name, key) if key else name
            for key in sorted({*left, *right})
            if left.get(key) != right.get(key) and (was or {}).get(key) not in (left.get(key), right.get(key))
        ]
        what = f": both sides changed {some(both, _NAMED)}" if both else ""
    kind = "file" if any(listed is not None and "" in listed for listed in (left, right)) else "whole folder"
    quoted = shlex.quote(path)
    return (
        f"{path} is in conflict{what}. git add {quoted} keeps what it says now{_says(project, path, name, texts, files)}, "
        f"git checkout --theirs {quoted} takes the {kind} as theirs was"
    )


def _says(project: Project, path: str, name: str, texts: Sequence[bytes | None], files: Sequence[Files | None]) -> str:
    """What the pointer in the work tree has of both sides, in brackets: it is written anew by ``track``, and by hand. Empty where
    a list of files is not here.
    """
    try:
        row = datachange.pointer_row((project.root / path).read_bytes(), path, name)
    except OSError:
        row = None
    if row is None or not row.md5:
        return ""
    for text, side in zip(texts[1:], ("ours", "theirs"), strict=True):
        other = datachange.pointer_row(text, path, name)
        if other is not None and other.md5 == row.md5:
            alone = side
            break
    else:
        alone = ""
    if not row.md5.endswith(".dir"):
        return f" ({alone or 'what was tracked here'})"
    was, left, right = files
    now = contents.folder(project, row.md5)
    if left is None or right is None or not (left and right and now) or (texts[0] and not was):
        return f" ({alone})" if alone else ""
    lost = joining.taken_back(was or {}, left, right, now)
    if not lost:
        return " (the rest of both sides is joined in it)"
    return f" ({alone or 'as tracked here'}: it takes back {some([posixpath.join(name, key) for key in lost], _NAMED)})"
