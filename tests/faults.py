"""Faults of the disk, in a mount namespace of their own: run as a script, it does a command and says what moved.

``python faults.py ro|full ROOT WORD…`` needs root or unprivileged user namespaces. ``below`` does the same for a kernel: a
folder of its own disk, which the kernel itself fills (``fill``) and frees (``free``) from within its cells.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from snap import Snap

CLI = (sys.executable, "-m", "nbledger.cli")


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, both streams, and which fields of *Snap* moved."""

    code: int
    out: str
    err: str
    moved: tuple[str, ...] = ()


def below(folder: Path, kind: str = "small") -> list[str]:
    """The words before a command for which ``folder`` is a disk of its own: of a few megabytes, or read-only (``ro``)."""
    return [*_unshared(), sys.executable, __file__, "exec", kind, str(folder)]


def _unshared() -> list[str]:
    return ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--mount"]


def seen_by(pid: int, path: Path) -> Path:
    """A path as the process sees it, whatever is mounted there for it alone."""
    return Path(f"/proc/{pid}/root{path}")


def fill(folder: Path | str) -> None:
    """Leave no room on the disk of ``folder``."""
    for size in (65536, 512, 1):
        with contextlib.suppress(OSError), open(Path(folder) / "ballast", "ab", buffering=0) as file:
            while file.write(b"\0" * size):
                pass


def free(folder: Path | str) -> None:
    (Path(folder) / "ballast").unlink()


def on_disk(kind: str, root: Path, *words: str) -> Done:
    """``nbledger WORDS`` in ``root`` on a read-only (``ro``) or a full (``full``) disk; a failure to mount is an error."""
    done = subprocess.run(
        [*_unshared(), sys.executable, __file__, kind, str(root), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=240,
    )
    if done.returncode:
        raise AssertionError(f"no {kind} disk could be made (root or user namespaces are needed): {done.stderr}")
    answer = json.loads(done.stdout)
    return Done(answer["code"], answer["out"], answer["err"], tuple(answer["moved"]))


def _mount(kind: str, root: Path) -> None:
    if kind == "ro":
        subprocess.run(["mount", "--bind", root, root], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
        return
    _small(root, "3m")
    if (root / ".git").exists():
        subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=root, check=False)
    ballast = root / ".nbledger" / "ballast"
    ballast.parent.mkdir(exist_ok=True)
    (ballast.parent / ".gitignore").write_text("*\n")
    try:
        with ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass
    except OSError:
        pass


def _small(root: Path, size: str) -> None:
    """Move what is in the folder to a small disk that is mounted there."""
    kept = root.with_name(f"{root.name}-kept")
    shutil.copytree(root, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", root], check=True)
    shutil.copytree(kept, root, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(kept)


def _main(kind: str, root: Path, words: list[str]) -> None:
    _mount(kind, root)
    repository = (root / ".git").exists()
    os.chdir(root)
    before = Snap.take(root) if repository else sorted(p.name for p in root.iterdir())
    done = subprocess.run([*CLI, *words], cwd=root, capture_output=True, text=True, check=False, timeout=120)
    moved = []
    if isinstance(before, Snap):
        after = Snap.take(root)
        moved = [name for name in Snap.__dataclass_fields__ if getattr(before, name) != getattr(after, name)]
    elif sorted(p.name for p in root.iterdir()) != before:
        moved = ["files"]
    sys.stdout.write(json.dumps({"code": done.returncode, "out": done.stdout, "err": done.stderr, "moved": moved}))


if __name__ == "__main__":
    if sys.argv[1] == "exec":
        if sys.argv[2] == "ro":
            _mount("ro", Path(sys.argv[3]))
        else:
            _small(Path(sys.argv[3]), "8m")
        os.execvp(sys.argv[4], sys.argv[4:])
    _main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
