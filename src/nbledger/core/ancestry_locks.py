"""What the ``dvc.lock`` and ``.dvc`` files of a commit say: which stage makes a file, of what, and where data were imported from."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nbledger.core import dvcfiles, git, gitlog, secrets
from nbledger.core.dvcfiles import Damaged
from nbledger.core.errors import LedgerError
from nbledger.core.git import GitRepo
from nbledger.core.project import Project


@dataclass(frozen=True)
class Locked:
    """A stage as a ``dvc.lock`` has it; paths from the project's root, with their MD5s."""

    name: str
    file: str
    cmd: str
    deps: tuple[tuple[str, str], ...]
    outs: tuple[tuple[str, str], ...]


def stages(project: Project, commit: str | None) -> tuple[Locked, ...]:
    """The locked stages of a commit; none where the commit, or a ``dvc.lock`` that can be read, is not here."""
    if project.git is None or not commit or not git.is_hex(commit):
        return ()
    try:
        return _stages(project.git, commit)
    except LedgerError:
        return ()


@lru_cache(maxsize=64)
def _stages(repo: GitRepo, commit: str) -> tuple[Locked, ...]:
    locks = [path for path in git.whole_tree(repo, commit) if path == "dvc.lock" or path.endswith("/dvc.lock")]
    files = [posixpath.join(posixpath.dirname(path), "dvc.yaml") for path in locks]
    texts = gitlog.blobs(repo, [(commit, path) for path in (*locks, *files)])
    found: list[Locked] = []
    for file, lock, declared in zip(files, texts, texts[len(locks) :], strict=False):
        try:
            found += _of(file, _text(lock), _text(declared))
        except (Damaged, AttributeError, TypeError, ValueError):
            continue
    return tuple(found)


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def _of(file: str, lock: str, declared: str) -> list[Locked]:
    entries: Any = (dvcfiles.load_yaml(lock) or {}).get("stages") or {}
    folders = _folders(declared)
    base, found = posixpath.dirname(file), []
    for name, entry in entries.items():
        cmd = entry.get("cmd") or ""
        wdir = folders.get(str(name).partition("@")[0], "")
        found.append(
            Locked(
                str(name),
                file,
                "\n".join(map(str, cmd)) if isinstance(cmd, list) else str(cmd),
                _placed(entry, "deps", base, wdir),
                _placed(entry, "outs", base, wdir),
            )
        )
    return found


def _folders(declared: str) -> dict[str, str]:
    """{stage: its working folder}; nothing of what is a template, or cannot be read."""
    try:
        entries: Any = (dvcfiles.load_yaml(declared) or {}).get("stages") or {}
        plain = {str(name): entry.get("do") or entry for name, entry in entries.items()}
        return {name: str(e["wdir"]) for name, e in plain.items() if "$" not in str(e.get("wdir") or "$")}
    except (Damaged, AttributeError, TypeError):
        return {}


def _placed(entry: dict[str, Any], key: str, base: str, wdir: str) -> tuple[tuple[str, str], ...]:
    here = [row for row in entry.get(key) or [] if "://" not in str(row.get("path"))]
    rows = dvcfiles.lock_rows({key: here}, key)
    return tuple((posixpath.normpath(posixpath.join(base, wdir, row.path)), row.md5) for row in rows)


def maker(project: Project, commit: str | None, path: str, md5: str) -> Locked | None:
    """The stage that made ``path`` with that hash, or the folder that it lies in, as the commit's ``dvc.lock`` has it."""
    for stage in stages(project, commit):
        for out, known in stage.outs:
            if (out == path and known == md5) or path.startswith(f"{out}/"):
                return stage
    return None


def named(project: Project, commit: str | None, name: str) -> Locked | None:
    """The stage of that name, as ``dvc repro`` calls it; of several folders' the first."""
    file, _, stage = name.rpartition(":")
    known = stages(project, commit)
    exact = [one for one in known if one.name == stage and one.file == (file or "dvc.yaml")]
    return next(iter([*exact, *(one for one in known if one.name == stage)]), None)


def imported(project: Project, commit: str | None, pointer: str) -> str:
    """Where the data of a ``.dvc`` file come from, if it imports them; without credentials."""
    if project.git is None or not commit or not git.is_hex(commit) or not pointer.endswith(".dvc"):
        return ""
    try:
        data: Any = dvcfiles.load_yaml(_text(gitlog.blobs(project.git, [(commit, pointer)])[0])) or {}
        dep = next(iter(data.get("deps") or []), None) or {}
        repo = dep.get("repo") or {}
        where = f"{repo.get('url')} {dep.get('path')} at {str(repo.get('rev_lock') or '')[:8]}" if repo else ""
        return secrets.scrub(where or str(dep.get("path") or ""))
    except (LedgerError, Damaged, AttributeError, TypeError, ValueError):
        return ""
