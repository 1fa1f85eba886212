"""A disk with little room left, in a mount namespace of its own: run as a script, it tracks data on a small tmpfs with so
many KiB free, again with room, and says what it saw.

``python smalldisk.py ROOT KEPT KIB…`` needs root or unprivileged user namespaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tracking import World, track


def tracked_with(root: Path, kept: Path, room: Sequence[int]) -> list[tuple[int, int, str]]:
    """(KiB free, exit code, what was said) of a tracking in each; a world that was harmed, or a mount that fails, is an error."""
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--mount", sys.executable, __file__, str(root), str(kept), *map(str, room)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=env, timeout=600)
    if done.returncode:
        raise AssertionError(f"{done.stdout}\n{done.stderr}")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]  # type: ignore[misc]


def _fill(ballast: Path, room: int) -> None:
    """Leave so many KiB."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 16)):
            pass
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    os.truncate(ballast, max(0, ballast.stat().st_size - room * 1024))


def _main(root: Path, kept: Path, room: Sequence[int]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", root.parent], check=True)
    root.mkdir()
    world, ballast = World(root, kept), root.parent / "ballast"
    for amount in room:
        world.restore()
        _fill(ballast, amount)
        done = track(root)
        ballast.unlink()
        world.check_nothing_lost(killed=False)
        world.check_converges(killed=False)
        sys.stdout.write(json.dumps((amount, done.returncode, done.stderr)) + "\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), [int(word) for word in sys.argv[3:]])
