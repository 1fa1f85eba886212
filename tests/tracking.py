"""A project whose tracking is cut short again and again: how it is made, what must hold at any moment, and at the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import commit_all, data_status, git
from nbledger.core import git as door
from nbledger.core import undo
from nbledger.core.project import find
from nbledger.core.status import status

PATHS = ("folder", "big", "old", "given")
COMMAND = (sys.executable, "-m", "nbledger.cli", "track", *PATHS)
STAGED = "M  code.py\nA  new.py"


def written(root: Path, word: str) -> None:
    """The data in a version called ``word``."""
    for name in ("folder/one", "folder/two", "folder/sub/three", "old", "given"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name} {word}\n")
    (root / "folder" / "same").write_text("the same\n")
    (root / "big").write_bytes(hashlib.sha256(word.encode()).digest() * 100_000)


def bytes_of(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for name in PATHS
        for path in ([root / name] if (root / name).is_file() else sorted((root / name).rglob("*")))
        if path.is_file()
    }


def track(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, cwd=root, capture_output=True, text=True, check=False, timeout=120)


@dataclass(frozen=True)
class World:
    """A project as it is before the command, kept beside ``root`` to be put there again and again."""

    root: Path
    kept: Path

    @classmethod
    def make(cls, root: Path, *, again: bool) -> World:
        (root / ".nbledger.toml").write_text("keeper = false\n")
        (root / ".gitignore").write_text("given\n")
        (root / "code.py").write_text("1\n")
        commit_all(root)
        written(root, "first")
        (root / "old").write_text("before\n")
        run = subprocess.run([*COMMAND[:4], "old"], cwd=root, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        written(root, "second")
        if again:
            assert track(root).returncode == 0
            written(root, "third")
        (root / "code.py").write_text("2\n")
        (root / "new.py").write_text("n\n")
        git(root, "add", "code.py", "new.py")
        kept = root.with_name("kept")
        shutil.copytree(root, kept, symlinks=True)
        return cls(root, kept)

    def restore(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root, symlinks=True)
        os.chdir(self.root)  # which is another folder of that name now

    def check_nothing_lost(self, *, killed: bool = True) -> None:
        """What must hold at any moment; a process that was not killed may have said itself what it did not do."""
        root = self.root
        assert bytes_of(root) == bytes_of(self.kept)
        assert git(root, "diff", "--cached", "--", "code.py", "new.py") == git(
            self.kept, "diff", "--cached", "--", "code.py", "new.py"
        )
        check_objects(root)
        noted = any(note.stat().st_size for note in (root / ".nbledger/tracking").glob("*.json"))
        if not noted and objects(root) == objects(self.kept):
            return  # nothing had begun
        state = status(find(root))
        shown = {path.rstrip("/") for path in (*state.code.changed, *state.code.untracked, *state.data.changed)}
        told = " ".join(state.notes)
        for name in PATHS:
            pointer = root / f"{name}.dvc"
            ignored = door.ignored(find(root).git, [name])
            hidden = ignored and not pointer.exists() and (killed or name != "given")
            assert not hidden or f"tracking {name} was cut short" in told, name
            recorded = pointer.exists() and name not in shown and pointer.name not in shown
            shows = recorded or {name, pointer.name} & shown or f"tracking {name} was cut short" in told
            assert shows or not killed, name
            assert not pointer.exists() or pointer.stat().st_size

    def check_converges(self, *, killed: bool = True) -> None:
        """The same command again comes to its end, and leaves nothing behind."""
        root = self.root
        done = track(root)
        for _ in range(3):
            if not done.returncode:
                break
            (lock,) = [path for path in door.locks(find(root).git) if str(path) in done.stderr]
            assert f"rm {lock}" in done.stderr and "Traceback" not in done.stderr
            lock.unlink()
            done = track(root)
        assert done.returncode == 0, done.stderr
        assert bytes_of(root) == bytes_of(self.kept)
        assert git(root, "status", "--porcelain") == STAGED
        assert data_status(root) == {}
        assert set(git(root, "ls-files", "*.dvc").split()) == {f"{name}.dvc" for name in PATHS}
        assert undo.available(find(root)) is not None or not killed  # a list that cannot be written costs that offer
        check_objects(root)
        check_no_leftovers(root)


def objects(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in (root / ".dvc/cache").rglob("*"))


def check_objects(root: Path) -> None:
    for stored in (root / ".dvc/cache/files/md5").glob("??/*"):
        named = (stored.parent.name + stored.name).removesuffix(".dir")
        assert hashlib.md5(stored.read_bytes()).hexdigest() == named, stored


def check_no_leftovers(root: Path) -> None:
    assert [path for path in root.rglob("*") if path.name.endswith(".tmp") and ".git/" not in str(path)] == []
    assert list((root / ".nbledger/tracking").glob("*")) == []
    assert not door.locks(find(root).git)
