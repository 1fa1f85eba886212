"""Data and code: ``track``, ``status``, snapshots."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Row, Side, in_turns, row, timed, timed_call
from bench.world import World, kernel, remove, stop_keepers, warm_keeper
from nbledger.core import snapshot
from nbledger.core.project import find

_BLOCK = 8 << 20
_DVC_ADD = "`dvc add` + `git commit`"
_numbers = itertools.count()


def _random_file(path: Path, size: int) -> str:
    """A file of random bytes; its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "wb") as file:
        for start in range(0, size, _BLOCK):
            block = os.urandom(min(_BLOCK, size - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _random_folder(folder: Path, files: int) -> None:
    for number in range(files):
        path = folder / f"{number // 100:03}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1024))


def _change_one(folder: Path) -> None:
    (folder / "000" / "000007.bin").write_bytes(os.urandom(1024))


@dataclass(frozen=True)
class _Ways:
    """How a user tracks the same data: each takes the project's root and gives the tracking of ``name`` there."""

    name: str

    @contextlib.contextmanager
    def cold(self, root: Path) -> Iterator[Side]:
        """The command line, with no keeper."""
        yield lambda: timed(["nbledger", "track", self.name, "-m", self._message()], cwd=root)

    @contextlib.contextmanager
    def warm(self, root: Path) -> Iterator[Side]:
        """The magic, in a kernel whose keeper is warm."""
        with kernel(root) as notebook:
            notebook.run("%load_ext nbledger")
            warm_keeper(root)
            notebook.run("%ledger status")
            yield lambda: notebook.run(f"%track_data {self.name} -m '{self._message()}'").seconds
        stop_keepers()

    @contextlib.contextmanager
    def plain(self, root: Path) -> Iterator[Side]:
        """As typed today."""
        name = self.name
        yield lambda: timed(
            ["dvc", "add", "-q", name],
            ["git", "add", f"{name}.dvc", ".gitignore"],
            ["git", "commit", "-qm", self._message()],
            cwd=root,
        )

    @contextlib.contextmanager
    def floor(self, root: Path) -> Iterator[Side]:
        """The least that can be done: read once, hash, write once."""
        yield lambda: timed([sys.executable, "-c", _FLOOR, self.name, "copy.bin"], cwd=root)

    def _message(self) -> str:
        return f"track {self.name} {next(_numbers)}"


_Way = Callable[[Path], contextlib.AbstractContextManager[Side]]


def track_large(world: World) -> list[Row]:
    """One large file in a fresh project; its bytes are in the page cache, written back to the disk before the clock."""
    source = world.place("large") / "data.bin"
    md5 = _random_file(source, world.size(1 << 30, 16 << 20))
    ways = _Ways("data.bin")

    def measured(way: _Way) -> Side:
        def measure() -> float:
            root = world.project()
            shutil.copyfile(source, root / "data.bin")
            with way(root) as track:
                os.sync()
                took = track()
            pointer = root / "data.bin.dvc"
            if way != ways.floor and md5 not in pointer.read_text():
                raise RuntimeError("the pointer names another MD5 than the file has")
            remove(root.parent)
            os.sync()
            return took

        return measure

    cold, warm, plain, floor = in_turns(world.few, *map(measured, (ways.cold, ways.warm, ways.plain, ways.floor)))
    first = f"`nbledger track`, {'16 MiB' if world.quick else '1 GiB'} file, no keeper"
    bare = "floor: MD5 and one copy in one Python loop"
    return [
        row("track-large", first, _DVC_ADD, (cold, plain), 0.5),
        row("track-large-keeper", "`%track_data` of it, warm keeper", _DVC_ADD, (warm, plain), 0.5),
        row("track-large-floor", first, bare, (cold, floor), 1.5),
        row("track-large-keeper-floor", "`%track_data` of it, warm keeper", bare, (warm, floor), 1.5),
    ]


_FLOOR = """
import hashlib, sys
digest = hashlib.md5(usedforsecurity=False)
with open(sys.argv[1], "rb", buffering=0) as source, open(sys.argv[2], "wb", buffering=0) as copy:
    while block := source.read(8 << 20):
        digest.update(block)
        copy.write(block)
"""


def track_many(world: World) -> list[Row]:
    """A folder of many small files in a fresh project; then once more with one of them changed."""
    count = world.size(10_000, 200)
    source = world.place("many") / "data"
    _random_folder(source, count)
    ways = _Ways("data")
    again: dict[str, list[float]] = {"cold": [], "warm": [], "plain": []}

    def measured(name: str, way: _Way) -> Side:
        def measure() -> float:
            root = world.project()
            shutil.copytree(source, root / "data")
            with way(root) as track:
                os.sync()
                first = track()
                _change_one(root / "data")
                os.sync()
                again[name].append(track())
            remove(root.parent)
            os.sync()
            return first

        return measure

    cold, warm, plain = in_turns(
        world.few, measured("cold", ways.cold), measured("warm", ways.warm), measured("plain", ways.plain)
    )
    repeated = {name: tuple(times) for name, times in again.items()}
    first = f"`nbledger track`, {count:,} files of 1 KiB, no keeper"
    return [
        row("track-many", first, _DVC_ADD, (cold, plain), 0.5),
        row("track-many-keeper", "`%track_data` of them, warm keeper", _DVC_ADD, (warm, plain), 0.5),
        row("track-again", f"{first}, again with one changed", _DVC_ADD, (repeated["cold"], repeated["plain"]), 0.1),
        row(
            "track-again-keeper",
            "`%track_data` of them, warm keeper, again with one changed",
            _DVC_ADD,
            (repeated["warm"], repeated["plain"]),
            0.1,
        ),
    ]


def status(world: World) -> list[Row]:
    """The joined state of a project with many tracked data files; each tool has seen them before."""
    count = world.size(10_000, 200)
    root = world.project()
    _random_folder(root / "data", count)
    timed(["nbledger", "track", "data"], cwd=root)
    rows: list[Row] = []
    plain_words = (["git", "status"], ["dvc", "data", "status"])

    def plain() -> float:
        return timed(*plain_words, cwd=root)

    def changed(work: Callable[[], float]) -> Callable[[], float]:
        def measure() -> float:
            _change_one(root / "data")
            return work()

        return measure

    def cli() -> float:
        return timed(["nbledger", "status"], cwd=root)

    plain()
    cli()
    cold = in_turns(world.pairs, cli, plain)
    with kernel(root) as notebook:
        notebook.run("%load_ext nbledger")
        warm_keeper(root)

        def magic() -> float:
            return notebook.run("%ledger status").seconds

        magic()
        warm = in_turns(world.pairs, magic, plain)
        after = in_turns(world.pairs, changed(magic), changed(plain))
    stop_keepers()
    cold_after = in_turns(world.pairs, changed(cli), changed(plain))
    beside = "`git status` + `dvc data status`"
    rows.append(
        row("status", f"`%ledger status`, {count:,} tracked files, warm keeper, nothing changed", beside, warm, 0.02)
    )
    rows.append(row("status-changed", "the same after one file changed", beside, after, 0.05))
    rows.append(row("status-cold", "`nbledger status`, no keeper, nothing changed", beside, cold, 0.6))
    rows.append(row("status-cold-changed", "the same after one file changed", beside, cold_after, 0.6))
    return rows


def snapshots(world: World) -> list[Row]:
    """``capture`` as a kernel calls it, beside ``git status`` as it is typed."""
    rows: list[Row] = []
    for full, quick in ((1000, 40), (10_000, 80)):
        count = world.size(full, quick)
        rows += _snapshots(world, count)
    return rows


def _snapshots(world: World, count: int) -> list[Row]:
    root = world.project(count)
    project = find(root)

    def capture() -> float:
        return timed_call(lambda: snapshot.capture(project, f"{next(_numbers):032x}"))

    def edited() -> float:
        with open(root / "src" / "part000" / "module00003.py", "a") as file:
            file.write("# edited\n")
        return capture()

    def plain() -> float:
        return timed(["git", "status"], cwd=root)

    in_turns(2, capture, plain)
    still = in_turns(2 * world.pairs, capture, plain)
    edited()
    moved = in_turns(2 * world.pairs, edited, plain)
    remove(root.parent)
    return [
        row(f"snapshot-{count}", f"snapshot, {count:,} files, nothing changed", "`git status`", still, 0.2),
        row(f"snapshot-{count}-edited", "the same, one file edited since", "`git status`", moved, 1.2),
    ]
