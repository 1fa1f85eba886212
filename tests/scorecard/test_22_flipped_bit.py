"""One bit of an object in DVC's cache is flipped, its size and its protection left as they were; then the work-tree file
is deleted and asked for again.

nbledger hashes what it copies: the restoration is refused in one line that names the object's path, the hash it should
have and the hash it has, and leaves nothing behind. The plain way is `dvc checkout`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import commit_all, dvc
from kernels import kernel
from snap import Snap, check_same

BYTES = b"one,two\n" * 100_000


def flipped(root: Path) -> tuple[Path, str, str]:
    """The object of ``data.csv`` with one bit flipped; the hash in its name, and that of its bytes."""
    md5 = hashlib.md5(BYTES).hexdigest()
    held = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    damaged = bytearray(BYTES)
    damaged[12_345] ^= 1
    held.chmod(0o644)
    held.write_bytes(damaged)
    held.chmod(0o444)
    return held, md5, hashlib.md5(damaged).hexdigest()


def test_reproducing_refuses_and_names_it(project: Path, seen: Callable[[str], None]) -> None:
    (project / "data.csv").write_bytes(BYTES)
    with kernel(project) as k:
        assert k.run("%track_data data.csv").status == "ok"
        assert k.run("%%mlrun reads\nn = len(open('data.csv').read())").status == "ok"
    held, named, found = flipped(project)
    before = Snap.take(project)
    command = [sys.executable, "-m", "nbledger.cli", "reproduce", "reads", "--restore-only"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode not in (0, 2)
    for word in (str(held), named, found):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    check_same(before, Snap.take(project))
    seen(f"exit code {done.returncode}; path and both hashes named")


def test_plain_checkout(project: Path, plain: Callable[[bool, str], None]) -> None:
    (project / "data.csv").write_bytes(BYTES)
    dvc(project, "add", "-q", "data.csv")
    commit_all(project)
    flipped(project)
    (project / "data.csv").unlink()
    command = [sys.executable, "-m", "dvc", "checkout", "data.csv"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    there = project / "data.csv"
    silent = there.exists() and there.read_bytes() != BYTES
    plain(not silent, f"dvc checkout exits with {done.returncode}" + (", the damaged bytes in place" if silent else ""))
