"""SIGKILL at each mutating system call of a command, by strace's fault injection: one call at a time, all of them."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MUTATING = (
    "write,pwrite64,writev,pwritev,sendfile,copy_file_range,splice,fallocate,truncate,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat,"
    "chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,setxattr,fsetxattr,lsetxattr"
)
"""System calls that change files. Opening with O_CREAT is seen by what is written (or not) afterwards."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Call:
    """The ``number``-th call of ``name`` in the command's own process; ``words`` are its arguments as strace shows them."""

    name: str
    number: int
    words: str


def calls(
    command: Sequence[str | Path], cwd: Path, log: Path, only: str = "", env: Mapping[str, str] | None = None
) -> list[Call]:
    """The mutating calls of one undisturbed run of ``command``, in order, its children's left out; ``only``: a regular
    expression that a call's words (paths are shown for descriptors) must match.
    """
    traced = ["strace", "-y", "-qq", "-s", "512", "-e", f"trace={MUTATING}", "-e", "signal=none", "-o", log]
    done = subprocess.run(
        [*map(str, traced), *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=240,
    )
    if done.returncode:
        raise AssertionError(f"undisturbed, the command exits with {done.returncode}: {done.stderr}")
    counted: dict[str, int] = {}
    found = []
    for line in log.read_text(errors="replace").splitlines():
        name, _, words = line.partition("(")
        if not name.isidentifier():
            continue
        counted[name] = counted.get(name, 0) + 1
        if re.search(only, words):
            found.append(Call(name, counted[name], words))
    return found


def killed_at(call: Call, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> bool:
    """Run ``command`` and kill it as it enters ``call``; whether it came that far (a run may take another way)."""
    inject = f"inject={call.name}:signal=KILL:when={call.number}"
    traced = ["strace", "-qq", "-e", f"trace={call.name}", "-e", "signal=none", "-o", "/dev/null", "-e", inject]
    done = subprocess.run(
        [*traced, *map(str, command)], cwd=cwd, capture_output=True, check=False, env=env, timeout=240
    )
    return done.returncode == -signal.SIGKILL


def failed_at(
    call: Call, command: Sequence[str | Path], cwd: Path, error: str = "ENOSPC", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` with ``call`` and all later ones of its name answered by ``error``."""
    inject = f"inject={call.name}:error={error}:when={call.number}+"
    traced = ["strace", "-qq", "-e", f"trace={call.name}", "-e", "signal=none", "-o", "/dev/null", "-e", inject]
    return subprocess.run(
        [*traced, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, env=env, timeout=240
    )


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` of ``items``, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
