"""What a notebook's user waits for: loading, the first line, a tracked cell, one metric."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import Row, in_turns, row
from bench.world import World, kernel, remove, stop_keepers, wait_until_published, warm_keeper

_FILES = 1000
_HEAVY = ("mlflow", "dvc", "pandas", "numpy")


def load_ext(world: World) -> list[Row]:
    """``%load_ext nbledger`` and ``import mlflow``, each the second cell of a fresh kernel."""
    new, used = world.project(), world.project()
    (used / ".nbledger").mkdir()  # a project that was used before: loading also starts its keeper

    def ours(root: Path) -> float:
        with kernel(root) as fresh:
            fresh.run("pass")
            took = fresh.run("%load_ext nbledger").seconds
            found = fresh.run(f"import sys; print(*({{*{_HEAVY}}} & sys.modules.keys()))").stdout.split()
        stop_keepers()
        if found:
            raise RuntimeError(f"%load_ext nbledger imported {found}")
        return took

    def plain() -> float:
        with kernel(new) as fresh:
            fresh.run("pass")
            return fresh.run("import mlflow").seconds

    in_new, in_used, imported = in_turns(world.pairs, lambda: ours(new), lambda: ours(used), plain)
    return [
        Row("load_ext", "`%load_ext nbledger`, project not used before", "`import mlflow`", in_new, imported, 0.02),
        Row(
            "load_ext-used",
            "the same, project used before (starts the keeper)",
            "`import mlflow`",
            in_used,
            imported,
            0.02,
        ),
    ]


def first_line(world: World) -> list[Row]:
    """From a kernel that has just become ready to the clock read by the first line of its first run."""
    typed = "import time; print(time.time())"
    tracked = ("%load_ext nbledger", f"%%mlrun first -p n=10\n{typed}")
    imported = (f"import mlflow; mlflow.start_run()\n{typed}",)

    def until_first_line(root: Path, cells: tuple[str, ...]) -> float:
        with kernel(root) as fresh:
            begun = time.time()
            sent = [fresh.send(cell) for cell in cells]
            printed = [fresh.wait(message).stdout for message in sent][-1]
        stop_keepers()
        return float(printed.split()[0]) - begun

    def in_fresh(cells: tuple[str, ...]) -> Callable[[], float]:
        def measure() -> float:
            root = world.project(world.size(_FILES, 30))
            try:
                return until_first_line(root, cells)
            finally:
                remove(root.parent)

        return measure

    fresh = in_turns(world.pairs, in_fresh(tracked), in_fresh(imported))
    mine, theirs = world.project(world.size(_FILES, 30)), world.project(world.size(_FILES, 30))
    with kernel(mine) as once:
        once.run(tracked[0])
        once.run(tracked[1])
        wait_until_published(mine)
    stop_keepers()
    until_first_line(theirs, imported)
    known = in_turns(world.pairs, lambda: until_first_line(mine, tracked), lambda: until_first_line(theirs, imported))
    case, beside = "kernel ready → first line of the first tracked cell", "`import mlflow; mlflow.start_run()`"
    return [
        row("first-line-fresh", f"{case}, no store yet", beside, fresh, 0.05),
        row("first-line-existing", f"{case}, existing store, no keeper running", beside, known, 0.1),
    ]


_PREPARE = """
values = {f"m{i}": 0.1 * i for i in range(10)}
open("report.txt", "w").write("a report\\n" * 100)
"""
_TRACKED = "%%mlrun again " + " ".join(f"-p p{i}={i}" for i in range(10)) + " -m values -a report.txt\npass"
_PLAIN = """
with mlflow.start_run():
    for i in range(10):
        mlflow.log_param(f"p{i}", i)
    for key, value in values.items():
        mlflow.log_metric(key, value)
    mlflow.log_artifact("report.txt")
    pass
"""


def tracked_cell(world: World) -> list[Row]:
    """How much longer the kernel is busy with a tracked cell than with the same cell untracked, once all is warm."""
    mine, theirs = world.project(world.size(_FILES, 30)), world.project(world.size(_FILES, 30))
    with kernel(mine) as ours, kernel(theirs) as plain:
        ours.run("%load_ext nbledger")
        plain.run("import mlflow")
        for one in (ours, plain):
            one.run(_PREPARE)
        ours.run(_TRACKED)
        warm_keeper(mine)

        def untouched() -> float:
            wait_until_published(mine)
            return ours.run(_TRACKED).seconds - ours.run("pass").seconds

        def edited() -> float:
            wait_until_published(mine)
            with open(mine / "src" / "part000" / "module00003.py", "a") as file:
                file.write("# edited\n")
            return ours.run(_TRACKED).seconds - ours.run("pass").seconds

        def by_hand() -> float:
            wait_until_published(mine)
            return plain.run(_PLAIN).seconds - plain.run("pass").seconds

        in_turns(2, untouched, edited, by_hand)
        still, moved, manual = in_turns(2 * world.pairs, untouched, edited, by_hand)
        wait_until_published(mine)
    stop_keepers()
    case = "what a warm tracked cell costs its kernel (10 parameters, 10 metrics, 1 artifact, snapshot, environment)"
    beside = "the same by single `mlflow` calls, SQLite, no snapshot, no environment"
    return [
        Row("tracked-cell", f"{case}, code as before", beside, still, manual, 0.2),
        Row("tracked-cell-edited", "the same, one file edited since the run before", beside, moved, manual, 0.2),
    ]


def log(world: World) -> list[Row]:
    """One metric value, in a loop, in an open run."""
    mine, theirs = world.project(), world.project()
    calls, fewer = world.size(2000, 100), world.size(100, 10)
    loop = "import time; begun = time.perf_counter()\nfor i in range({n}): {call}\nprint((time.perf_counter() - begun) / {n})"
    with kernel(mine) as ours, kernel(theirs) as plain:
        ours.run("%load_ext nbledger\nfrom nbledger import log")
        plain.run("import mlflow; mlflow.start_run(); mlflow.log_metric('loss', 0.0)")
        ours.run("%%mlrun warm\nlog(loss=0.0)")
        warm_keeper(mine)

        def logged() -> float:
            wait_until_published(mine)
            return float(ours.run("%%mlrun loop\n" + loop.format(n=calls, call="log(loss=1 / (i + 1))")).stdout)

        def by_mlflow() -> float:
            wait_until_published(mine)
            return float(plain.run(loop.format(n=fewer, call="mlflow.log_metric('loss', 1 / (i + 1))")).stdout)

        in_turns(1, logged, by_mlflow)
        times = in_turns(world.pairs, logged, by_mlflow)
        wait_until_published(mine)
    stop_keepers()
    return [row("log", "`log(loss=…)`, one call of a loop", "`mlflow.log_metric`", times, 0.01)]
