"""SIGKILL at each mutating system call of a command, by strace's fault injection: one call at a time, all of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

MUTATING = (
    "write,pwrite64,writev,pwritev,sendfile,copy_file_range,splice,fallocate,truncate,ftruncate,fsync,fdatasync,syncfs,"
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
    return [call for call in read(log) if re.search(only, call.words)]


def read(log: Path) -> list[Call]:
    """The calls of a trace, numbered by name."""
    counted: dict[str, int] = {}
    found = []
    for line in log.read_text(errors="replace").splitlines():
        name, _, words = line.partition("(")
        if name.isidentifier():
            counted[name] = counted.get(name, 0) + 1
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


@dataclass(frozen=True)
class GitCall:
    """A mutating call of the ``nth`` Git process of this ``verb`` that a command starts."""

    verb: str
    nth: int
    call: Call


_GIT = """\
#!/bin/sh
# Stands before git on PATH: traces each Git process (NBL_LOG), or kills one at a call (NBL_VERB, NBL_NTH, NBL_CALL).
git={git}
verb=
skip=
for word; do
    if [ -n "$skip" ]; then skip=; elif [ "$word" = -c ]; then skip=1; else verb=$word; break; fi
done
nth=1
while ! mkdir "$NBL_COUNT/$verb.$nth" 2>/dev/null; do nth=$((nth + 1)); done
if [ -n "$NBL_LOG" ]; then
    exec strace -y -qq -s 200 -e trace={mutating} -e signal=none -o "$NBL_LOG/$verb.$nth" "$git" "$@"
fi
if [ "$verb.$nth" != "$NBL_VERB.$NBL_NTH" ]; then exec "$git" "$@"; fi
strace -qq -e "trace=${{NBL_CALL%:*}}" -e signal=none -o /dev/null \\
    -e "inject=${{NBL_CALL%:*}}:signal=KILL:when=${{NBL_CALL#*:}}" "$git" "$@"
code=$?
if [ -n "$NBL_WHOLE" ]; then kill -9 $PPID; fi
exit $code
"""


def _with_git(folder: Path, env: Mapping[str, str], **words: str) -> dict[str, str]:
    """The environment in which ``_GIT`` is the ``git`` of a command, its counts begun anew."""
    counts = folder / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir(parents=True)
    script = folder / "git"
    script.write_text(_GIT.format(git=shutil.which("git"), mutating=MUTATING))
    script.chmod(0o755)
    return {**env, "PATH": f"{folder}{os.pathsep}{env['PATH']}", "NBL_COUNT": str(counts), **words}


def git_calls(command: Sequence[str | Path], cwd: Path, folder: Path, env: Mapping[str, str]) -> list[GitCall]:
    """The calls by which the Git processes of one undisturbed run of ``command`` change files (``folder``: scratch)."""
    logs = folder / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    traced = _with_git(folder, env, NBL_LOG=str(logs))
    subprocess.run([*map(str, command)], cwd=cwd, env=traced, capture_output=True, check=True, timeout=240)
    found = []
    for log in sorted(logs.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        verb, _, nth = log.name.rpartition(".")
        found += [
            GitCall(verb, int(nth), call)
            for call in read(log)
            if not re.match(r"\d+<(pipe|socket|/dev/null)", call.words)
        ]
    return found


def git_killed_at(
    at: GitCall, command: Sequence[str | Path], cwd: Path, folder: Path, env: Mapping[str, str], *, whole: bool
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` and kill its Git process as it enters this call; ``whole``: the command with it."""
    words = {"NBL_VERB": at.verb, "NBL_NTH": str(at.nth), "NBL_CALL": f"{at.call.name}:{at.call.number}"}
    killing = _with_git(folder, env, **words, **({"NBL_WHOLE": "1"} if whole else {}))
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=killing, capture_output=True, text=True, check=False, timeout=240
    )
