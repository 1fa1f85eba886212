"""While `nbledger track` reads a file of 24 MB (the test waits until the process has it open, then for a random while), the
file is appended to, overwritten in place at its beginning and its end with its size kept and its time of change set back,
truncated, or replaced by another of the same size (renamed over).

nbledger hashes the very bytes that it copies, and compares inode, size and both times before and after (the system alone
sets the time of the inode's change): what it records is the file as it was before or after, or it refuses and writes
nothing. The plain way is `dvc add`; both are judged by the bytes in the cache and the hash in the pointer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import commit_all, data_status, git, run

SIZE = 24 << 20
NBLEDGER = (sys.executable, "-m", "nbledger.cli", "track", "data.bin")
DVC = (sys.executable, "-m", "dvc", "add", "-q", "data.bin")
WAYS = ("append", "overwrite", "truncate", "replace", "append twice")


def change(way: str, data: Path) -> None:
    if way.startswith("append"):
        for _ in range(2 if way.endswith("twice") else 1):
            with data.open("ab") as file:
                file.write(b"more\n")
            time.sleep(0.004)
    elif way == "overwrite":
        before = data.stat()
        file = os.open(data, os.O_WRONLY)
        os.pwrite(file, b"other\n", 0)
        os.pwrite(file, b"other\n", SIZE - 6)
        os.close(file)
        os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif way == "truncate":
        os.truncate(data, SIZE // 2)
    else:
        other = data.with_name("other.tmp")
        other.write_bytes(bytes(SIZE))
        before = data.stat()
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.rename(data)


def wait_until_there(process: subprocess.Popen[bytes], data: Path) -> None:
    """Until the file is there: `dvc add` takes it away for a moment."""
    while not data.exists() and process.poll() is None:
        time.sleep(0.0005)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def wait_until_open(process: subprocess.Popen[bytes], data: Path) -> None:
    """Until the process reads the file, or is done."""
    while process.poll() is None:
        try:
            for number in os.listdir(f"/proc/{process.pid}/fd"):
                if os.readlink(f"/proc/{process.pid}/fd/{number}") == str(data):
                    return
        except OSError:
            continue
        time.sleep(0.0005)


def raced(root: Path, command: tuple[str, ...], way: str, chance: random.Random) -> str:
    """One tracking and one change: ``refused``, ``exact``, ``wrong hash`` (not that of the cache's bytes), or ``mixed`` (of bytes
    that the file never had).
    """
    data = root / "data.bin"
    data.write_bytes(chance.randbytes(1 << 20) * (SIZE >> 20))
    states = {md5_of(data)}
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until_open(process, data)
    time.sleep(chance.random() * 0.06)
    while True:
        wait_until_there(process, data)
        assert data.exists(), f"{command} took the file away: {process.communicate()[1].decode()}"
        with contextlib.suppress(FileNotFoundError):  # taken away between the look and the change
            change(way, data)
            break
    wait_until_there(process, data)
    states.add(md5_of(data))
    said = process.communicate(timeout=120)[1].decode()
    if way == "append twice":
        states.add(hashlib.md5(data.read_bytes()[:-5]).hexdigest())
    if process.returncode:
        assert "Traceback" not in said
        return "refused"
    (md5,) = re.findall(r"md5: ([0-9a-f]{32})\n", (root / "data.bin.dvc").read_text())
    if md5_of(root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]) != md5:
        return "wrong hash"
    return "exact" if md5 in states else "mixed"


def reset(root: Path, base: str) -> None:
    git(root, "reset", "-q", "--hard", base)
    for name in ("data.bin", "data.bin.dvc"):
        (root / name).unlink(missing_ok=True)
    run("rm", "-rf", str(root / ".dvc/cache"), cwd=root)


@pytest.mark.parametrize("part", [0, 1])
def test_refused_or_exact(
    project: Path, part: int, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    base = commit_all(project)
    chance, found = random.Random(part), Counter[str]()
    times = count(25, 5)
    for turn in range(times):
        reset(project, base)
        before = git(project, "rev-parse", "HEAD")
        came = raced(project, NBLEDGER, WAYS[turn % len(WAYS)], chance)
        assert came in ("refused", "exact"), (WAYS[turn % len(WAYS)], came)
        if came == "refused":
            assert not (project / "data.bin.dvc").exists() and git(project, "rev-parse", "HEAD") == before
            assert not [path for path in (project / ".dvc/cache").rglob("*") if path.is_file()]
        found[came] += 1
    run(*NBLEDGER, cwd=project)
    assert f"md5: {md5_of(project / 'data.bin')}\n" in (project / "data.bin.dvc").read_text()
    assert git(project, "status", "--porcelain") == "" and data_status(project) == {}
    seen(", ".join(f"{number} {word}" for word, number in sorted(found.items())) + f" of {times}")


def test_a_folder(project: Path, seen: Callable[[str], None]) -> None:
    """A file of a folder changes between the walk and its reading, and right after it was written."""
    from nbledger.core.errors import Refused
    from nbledger.core.project import find
    from nbledger.core.track import track

    commit_all(project)
    (project / "d").mkdir()
    for place in range(40):
        (project / "d" / str(place)).write_bytes(os.urandom(2 << 20 if place == 7 else 100))
    hit = False

    def late(done: int, total: int, path: str) -> None:
        nonlocal hit
        if not hit:
            hit = True
            for place in range(40):
                with (project / "d" / str(place)).open("r+b") as file:
                    file.write(b"x")

    with pytest.raises(Refused, match="changed while"):
        track(find(project), ["d"], progress=late)
    assert not (project / "d.dvc").exists()
    track(find(project), ["d"])
    assert data_status(project) == {}
    seen("a folder: refused, then exact")


def test_plain_dvc_add(project: Path, count: Callable[[int, int], int], plain: Callable[[bool, str], None]) -> None:
    base = commit_all(project)
    chance, found = random.Random(1), Counter[str]()
    for turn in range(10):
        reset(project, base)
        found[raced(project, DVC, WAYS[turn % len(WAYS)], chance)] += 1
    plain(not found["wrong hash"] + found["mixed"], ", ".join(f"{n} {word}" for word, n in found.items()) + " of 10")
