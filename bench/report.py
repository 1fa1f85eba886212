"""The table and the page that keeps it. The page is generated: no wall-clock figure in it was typed by hand."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.measure import Row
from bench.reasons import REASONS

_TOOLS = ("nbledger", "mlflow", "dvc", "ipykernel", "IPython", "jupyter_client")
_HEAD = ("case", "beside", "median ours", "median plain", "ratio (min–max)", "target", "met?")


def amount(value: float, unit: str) -> str:
    return seconds(value) if unit == "s" else f"{value:.1f} {unit}"


def seconds(value: float) -> str:
    """A time with three figures."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(value) * factor >= 1 or unit == "µs":
            shown = value * factor
            return f"{shown:.{2 if abs(shown) < 10 else 1 if abs(shown) < 100 else 0}f} {unit}"
    return ""


def number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.01 else f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def cells(row: Row) -> tuple[str, ...]:
    met = {True: "met", False: "**missed**", None: "information"}[row.met]
    target = "" if row.target is None else f"≤ {row.target:g}"
    spread = f"{number(row.ratio)} ({number(min(row.ratios))}–{number(max(row.ratios))})"
    pairs = f" ({len(row.ours)} pairs)"
    return (
        row.case + pairs,
        row.beside,
        amount(statistics.median(row.ours), row.unit),
        amount(statistics.median(row.plain), row.unit),
        spread,
        target,
        met,
    )


def table(rows: Sequence[Row]) -> str:
    lines = [_HEAD, ("---",) * len(_HEAD), *(cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def facts(folder: Path) -> list[str]:
    """The machine and the versions; no host name and no path."""
    installed = [f"{name} {importlib.metadata.version(name)}" for name in _TOOLS]
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, {_file_system(folder)}",
        f"{_system()}, Python {platform.python_version()}, Git {git}, " + ", ".join(installed),
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _file_system(folder: Path) -> str:
    where = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[place] for place in (where, *where.parents) if mounts.get(place)), "unknown file system")


_HOW = """\
## How it is measured

- Both sides run in the same `make bench`, in turns, the order reversed every second time; the ratio is the median of the
  pairs' own ratios, with the smallest and the largest beside it. Times are there to give the ratio a scale; nothing is
  asserted about them, and no test reads a clock.
- Everything is real: kernels started through `jupyter_client`, Git repositories, `dvc` and `git` as typed on a command
  line, `mlflow` on its default SQLite store. Both sides have compiled bytecode, warm page caches, telemetry switched off,
  and a home folder of their own. Nobody else's keeper runs; ours is ended after each fresh-kernel measurement, so that
  its start does not slow the plain side down.
- In a kernel, a cell's time lies between the kernel's own messages `busy` and `idle`: what the next cell waits for. From
  a tracked cell's time (and from that of the plain calls) the time of an empty cell is taken off. The work that the keeper does
  afterwards, in its own process at lower priority, is not in it: the next measurement waits until it has published.
- "Kernel ready" is when `jupyter_client` says so; "first line" is the clock read by the tracked cell's first line,
  `%load_ext` included. The repository has 1,000 files there and in the tracked cell's row.
- Without a keeper, `track` and `status` are the command line, Python's start included; with one, they are the magic in a
  kernel. Data lie in the page cache, written back before the clock starts; every pair of `track` has a fresh project and an
  empty DVC cache. Its rows have fewer pairs than the others.
"""


def page(rows: Sequence[Row], about: Sequence[str], load: str) -> str:
    """docs/performance.md."""
    missed = [row for row in rows if row.met is False]
    judged = [row for row in rows if row.met is not None]
    reasons = [
        f"- **{row.key}** ({row.case}): {number(row.ratio)}, target ≤ {row.target:g}. {REASONS.get(row.key, 'Not explained yet.')}"
        for row in missed
    ]
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return "\n".join(
        [
            "# Performance",
            "",
            f"Generated by `make bench` on {today}; do not edit. Ratios beside the plain tools: below 1, nbledger is faster.",
            "",
            *(f"- {fact}" for fact in about),
            f"- {load}",
            "",
            table(rows),
            "",
            f"{len(judged) - len(missed)} of {len(judged)} targets met.",
            "",
            _HOW,
            "## Missed targets, and why",
            "",
            *(reasons or ["None."]),
            "",
        ]
    )
