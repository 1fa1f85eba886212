"""The data of case 19 are tracked twice over: each call that writes is answered by "no space left on device" (strace), that
one and all later ones of its name; and on a real small tmpfs that is filled but for so many KiB, from none to just too few.

After each: every byte of the person's is there, no `.dvc` file is empty, no object in the cache has other bytes than its name
says; on the tmpfs one line says what is the matter. With room again the same command completes and leaves nothing over. The
plain way is `dvc add` on the same tmpfs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kills import calls, failed_at, spread
from smalldisk import tracked_with
from tracking import COMMAND, World

WRITING = ("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "syncfs", "mkdir", "rename", "link", "fallocate")


pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("part", [0, 1])
def test_each_call_that_writes(
    project: Path, tmp_path: Path, part: int, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    world = World.make(project, again=False)
    every = [call for call in calls(COMMAND, project, tmp_path / "trace", only=str(project)) if call.name in WRITING]
    every = spread(every[part::2], count(1000, 3))
    failed = 0
    for call in every:
        world.restore()
        failed += failed_at(call, COMMAND, project).returncode != 0
        world.check_nothing_lost(killed=False)
        world.check_converges(killed=False)
    seen(
        f"no space at {len(every)} calls, one at a time: {failed} refused, {len(every) - failed} not needed for the data"
    )


def test_a_disk_that_is_filled(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    world = World.make(project, again=False)
    disk = tmp_path / "disk"
    disk.mkdir()
    room = spread([*range(0, 160, 8), *range(3000, 3400, 20)], count(40, 3))
    found = tracked_with(disk / "project", world.kept, room)
    refused = [said for _, code, said in found if code]
    assert refused and found[0][1]
    for said in refused:
        assert "Traceback" not in said and said.count("\n") <= 2, said
        assert "No space left" in said or "no room" in said or "disk is full" in said, said
    seen(f"a real disk with {room[0]} to {room[-1]} KiB free: {len(refused)} of {len(found)} refused in one line")


_PLAIN = """
import json, os, subprocess, sys
from pathlib import Path
from smalldisk import _fill
from tracking import PATHS, World, bytes_of
root, kept = Path(sys.argv[1]), Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", root.parent], check=True)
root.mkdir()
world, ballast = World(root, kept), root.parent / "ballast"
for amount in map(int, sys.argv[3:]):
    world.restore()
    _fill(ballast, amount)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", *PATHS], cwd=root, capture_output=True)
    ballast.unlink()
    lost = bytes_of(root) != bytes_of(kept)
    empty = any((root / f"{name}.dvc").is_file() and not (root / f"{name}.dvc").stat().st_size for name in PATHS)
    print(json.dumps([amount, lost, empty]))
"""


def test_plain_dvc_add(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    world = World.make(project, again=False)
    disk = tmp_path / "disk"
    disk.mkdir()
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    room = spread([*range(0, 60, 6), *range(3200, 6800, 200)], 12)
    command = ["unshare", *user, "--mount", sys.executable, "-c", _PLAIN, disk / "project", world.kept, *room]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [*map(str, command)], cwd="/", env=env, capture_output=True, text=True, check=True, timeout=600
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    lost, empty = sum(one[1] for one in found), sum(one[2] for one in found)
    plain(not lost and not empty, f"{len(found)} amounts of room: files gone {lost} times, an empty .dvc {empty} times")
