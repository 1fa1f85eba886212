"""A progress bar in a terminal, for work that takes long; nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_PATIENCE = 0.5
_STEPS = 100_000  # a larger total counts bytes


@contextlib.contextmanager
def bar() -> Iterator[Callable[[int, int, str], None]]:
    """Yield ``progress(done, total, text)``: bytes or steps done of total. The bar appears after half a second."""
    begun = time.monotonic()
    terminal = sys.stderr.isatty()
    shown = None
    task = None

    def progress(done: int, total: int, text: str) -> None:
        nonlocal shown, task
        if not terminal or time.monotonic() - begun < _PATIENCE:
            return
        if shown is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            shown = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn() if total >= _STEPS else MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            shown.start()
            task = shown.add_task(text, total=total)
        if task is not None:
            shown.update(task, completed=done, total=total, description=text)

    try:
        yield progress
    finally:
        if shown is not None:
            shown.stop()


@contextlib.contextmanager
def waiting(progress: Callable[[int, int, str], None] | None) -> Iterator[Callable[[int, int, str], None]]:
    """In a terminal, one line that counts the seconds, from the second on: loading MLflow alone takes as long as a person takes to
    doubt. It is gone at the first step that the yielded ``progress`` tells, and when the block ends.
    """
    ended, writing = threading.Event(), threading.Lock()
    shown = False

    def count() -> None:
        nonlocal shown
        begun = time.monotonic()
        while not ended.wait(1.0):
            with writing:
                if not ended.is_set():
                    shown = True
                    _write(f"\r… loading MLflow and looking ({time.monotonic() - begun:.0f} s)")

    def end() -> None:
        nonlocal shown
        with writing:
            ended.set()
            if shown:
                _write("\r\x1b[K")
            shown = False

    def told(done: int, total: int, text: str) -> None:
        end()
        if progress is not None:
            progress(done, total, text)

    if sys.stderr.isatty():
        threading.Thread(target=count, name="nbledger-waiting", daemon=True).start()
    try:
        yield told
    finally:
        end()


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def lines() -> Callable[[int, int, str], None]:
    """Progress as one line on standard error for each cell or step, for work whose steps are worth reading."""
    last = ""

    def progress(done: int, total: int, words: str) -> None:
        nonlocal last
        if words != last:
            last = words
            counted = f"[{min(done + 1, total)}/{total}] " if 0 < total < _STEPS else ""
            sys.stderr.write(f"{counted}{words}\n")
            sys.stderr.flush()

    return progress


@contextlib.contextmanager
def rows(field: str, style: str = "") -> Iterator[Any]:
    """A display of rich for several bars on standard error, each with the text ``field``; whoever has it starts it, and it ends with
    the block.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(f"{{task.fields[{field}]}}", markup=False, style=style or "none"),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    )
    try:
        yield progress
    finally:
        progress.stop()
