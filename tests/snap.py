"""*Snap*: all that is the user's in a repository, to be compared before and after."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path


def raw(root: Path, *words: str) -> bytes:
    """Standard output of a Git call that takes no lock."""
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(["git", *words], cwd=root, env=env, capture_output=True, check=False).stdout


def _hash(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"link {os.readlink(path)}"
    if not stat.S_ISREG(mode):
        return f"special {stat.S_IFMT(mode):o}"
    try:
        return f"{mode:o} {path.lstat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    except PermissionError:
        return f"{mode:o} {path.lstat().st_mtime_ns} {path.lstat().st_size}"


def _files(root: Path, skip: tuple[str, ...]) -> dict[str, str]:
    """All files but those below folders called ``skip``, DVC's own ``.dvc/tmp``, where its locks are, and the ledger's own
    folder in the cache.
    """
    own = {(".dvc", "tmp"), ("cache", "nbledger")}
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in skip and (Path(folder).name, f) not in own)
        for name in [*names, *(f for f in folders if (Path(folder) / f).is_symlink())]:
            path = Path(folder) / name
            found[str(path.relative_to(root))] = _hash(path)
    return found


@dataclass(frozen=True)
class Snap:
    """HEAD, the index to the byte, refs except ``refs/nbledger/*``, stash, reflogs, status, operation, config and files."""

    head: str
    index: bytes
    entries: bytes
    refs: bytes
    stash: bytes
    logs: dict[str, str]
    status: bytes
    marks: dict[str, str]
    files: dict[str, str]

    @classmethod
    def take(cls, root: Path) -> Snap:
        git_dir = root / raw(root, "rev-parse", "--git-dir").decode().strip()
        common = root / raw(root, "rev-parse", "--git-common-dir").decode().strip()
        index = git_dir / "index"
        refs = b"\n".join(line for line in raw(root, "for-each-ref").splitlines() if b"\trefs/nbledger/" not in line)
        marks = {
            str(p.relative_to(common)): _hash(p)
            for p in (*common.glob("*"), *git_dir.glob("*"), *git_dir.glob("rebase-*/*"))
            if p.is_file() and p.is_relative_to(common)
        }
        return cls(
            head=(git_dir / "HEAD").read_text(),
            index=index.read_bytes() if index.exists() else b"",
            entries=raw(root, "ls-files", "-s", "-v", "--debug"),
            refs=refs,
            stash=raw(root, "stash", "list"),
            logs=_files(common / "logs", ()),
            status=raw(root, "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all"),
            marks=marks,
            files=_files(root, (".git", ".nbledger")),
        )


def check_same(before: Snap, after: Snap) -> None:
    """Compare field by field, so that a failure names what moved."""
    for name in Snap.__dataclass_fields__:
        assert getattr(after, name) == getattr(before, name), f"{name} moved"
