"""A run's data brought back from the local cache."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

from bench.cases_data import _random_file, _random_folder
from bench.measure import Row, in_turns, row, timed, timed_call
from bench.world import World, kernel, remove, stop_keepers, wait_until_published, warm_keeper
from nbledger.core.project import find
from nbledger.core.restore import restore
from nbledger.keeper.reproduce import read

_numbers = itertools.count()
_READ = """%%mlrun reads
import os
for folder, _, names in os.walk("data.bin"):
    for name in names[:1]:
        open(f"{folder}/{name}", "rb").read(1)
if os.path.isfile("data.bin"):
    open("data.bin", "rb").read(1)
"""


def restore_data(world: World) -> list[Row]:
    """``reproduce --restore-only`` and ``dvc checkout`` of the same bytes, each into a work tree without them."""
    size, count = world.size(1 << 30, 4 << 20), world.size(10_000, 50)
    large, many = "a 1 GiB file" if size == 1 << 30 else f"a {size >> 20} MiB file", f"{count:,} files of 1 KiB"
    rows = _restored(world, "restore-large", large, lambda path: _random_file(path, size), 0.8)
    return rows + _restored(world, "restore-many", many, lambda path: _random_folder(path, count))


def _restored(
    world: World, key: str, what: str, fill: Callable[[Path], object], target: float | None = None
) -> list[Row]:
    root = world.project()
    fill(root / "data.bin")
    with kernel(root) as notebook:
        notebook.run("%load_ext nbledger")
        notebook.run("%track_data data.bin")
        notebook.run(_READ)
    wait_until_published(root)
    warm_keeper(root)
    beside = root.parent / "beside"
    timed(["git", "worktree", "add", "-q", "--detach", str(beside)], cwd=root)
    timed(["dvc", "config", "--local", "cache.dir", str(root / ".dvc" / "cache")], cwd=beside)

    def ours() -> float:
        place = root.parent / f"restored-{next(_numbers)}"
        seconds = timed(["nbledger", "reproduce", "reads", "--restore-only", "--into", str(place)], cwd=root)
        _check(place)
        _gone(place)
        return seconds

    def core() -> float:
        place = root.parent / f"restored-{next(_numbers)}"
        record = read(find(root), "reads")
        seconds = timed_call(lambda: restore(find(root), record, place))
        _gone(place)
        return seconds

    def plain() -> float:
        _gone(beside / "data.bin")
        seconds = timed(["dvc", "checkout", "-q"], cwd=beside)
        _check(beside)
        return seconds

    in_turns(1, ours, core, plain)  # the objects are verified once, and known by their signatures from then on
    with_cli, within, theirs = in_turns(world.few, ours, core, plain)
    stop_keepers()
    remove(root.parent)
    case = f"restore a run with {what} from the cache, verified, code included: `nbledger reproduce RUN --restore-only`"
    return [
        row(key, case, "`dvc checkout`", (with_cli, theirs), target),
        row(f"{key}-within", "the same within a running process", "`dvc checkout`", (within, theirs)),
    ]


def _check(place: Path) -> None:
    if not (place / "data.bin").exists():
        raise RuntimeError(f"nothing was restored in {place}")


def _gone(place: Path) -> None:
    """Remove it and let the disk be done with it, so that no side waits for what the other has written."""
    if place.is_file():
        place.unlink()
    else:
        remove(place)
    os.sync()
