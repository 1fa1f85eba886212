"""What is in conflict while a merge, rebase or the like is under way: cells of notebooks, files of tracked folders."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from nbledger.core import contents, dvcfiles, git, gitlog, notebookclean, pointers
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_MARK = re.compile(r"^(`<{7,}` |<{7,} )", re.MULTILINE)
_NAMED = 5


def told(project: Project) -> list[str]:
    """One line for each notebook and pointer of data in conflict: where, and what to do. Nothing is executed or fetched."""
    repo = project.git
    if repo is None or not git.operation(repo):
        return []
    lines = []
    for path, stages in unmerged(repo).items():
        if path.endswith(".ipynb"):
            lines.append(_notebook(project.root / path, path))
        elif pointers.is_pointer(path) and not path.endswith("dvc.lock"):
            lines.append(_pointer(project, repo, path, stages))
    return lines


def unmerged(repo: git.GitRepo) -> dict[str, dict[int, str]]:
    """{path: {stage: blob id}} of what Git's index has in conflict: 1 is the common version, 2 ours, 3 theirs."""
    found: dict[str, dict[int, str]] = {}
    for entry in filter(None, git.call(repo, "ls-files", "-u", "-z").stdout.split(b"\0")):
        facts, _, name = entry.decode("utf-8", "surrogateescape").partition("\t")
        _, blob_id, stage = facts.split(" ")
        found.setdefault(name, {})[int(stage)] = blob_id
    return found


def _notebook(place: Path, path: str) -> str:
    try:
        cells = notebookclean.read(place.read_bytes())["cells"]
    except FileNotFoundError:
        return f"{path} is in conflict: one side removed it. git rm it, or git checkout --ours or --theirs {path}, and add it"
    except (notebookclean.NoNotebook, OSError):
        again = f"git checkout -m {path} merges it by cell"
        return f"{path} is in conflict, and no valid notebook: {again}, once nbledger init --filters has set that up"
    marked = [str(number) for number, cell in enumerate(cells, 1) if _MARK.search(str(cell.get("source", "")))]
    if not marked:
        return f"{path} was in conflict, and has no marks of it any more: git add {path}"
    where = f"cell{'s' if len(marked) > 1 else ''} {_some(marked)}"
    return f"{path} is in conflict in {where}: keep what is right there, then git add {path}"


def _pointer(project: Project, repo: git.GitRepo, path: str, stages: dict[int, str]) -> str:
    texts = gitlog.contents(repo, [stages.get(number, "") for number in (1, 2, 3)])
    name = path.removesuffix(".dvc")
    files: list[dict[str, str] | None] = []
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
        what = f": both sides changed {_some(both)}" if both else ""
    return (
        f"{path} is in conflict{what}. git add {path} keeps what it says now, git checkout --theirs {path} takes theirs"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
