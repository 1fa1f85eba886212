"""Faults of the disk, in a mount namespace of their own: run as a script, it does a command and says what moved.

``python faults.py ro|full ROOT WORD…`` needs root or unprivileged user namespaces.
"""

from __future__ import annotations

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


def on_disk(kind: str, root: Path, *words: str) -> Done:
    """``nbledger WORDS`` in ``root`` on a read-only (``ro``) or a full (``full``) disk; a failure to mount is an error."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", *user, "--mount", sys.executable, __file__, kind, str(root), *words],
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
    kept = root.with_name("kept")
    shutil.copytree(root, kept, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", root], check=True)
    shutil.copytree(kept, root, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(kept)
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
    _main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
