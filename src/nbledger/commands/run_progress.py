"""A batch as it goes: bars in a terminal, else one plain line a step. Both on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nbledger.commands.progress import rows
from nbledger.commands.run_text import seconds
from nbledger.commands.text import clip

if TYPE_CHECKING:
    from nbledger.keeper.executor import Told

_NAME, _CELL = 32, 60


class Lines:
    """``[3/50] name: cell 2/7 x = load()``: how many notebooks have ended, of how many, and the step."""

    def __init__(self) -> None:
        self._done, self._total = 0, 0
        self._lock = threading.Lock()

    def __call__(self, told: Told) -> None:
        with self._lock:
            if told.kind == "plan":
                self._done, self._total = told.done, told.total
                return
            if told.kind == "ended":
                self._done += 1
            counted = f"[{self._done}/{self._total}] " if self._total else ""
            sys.stderr.write(f"{counted}{words(told)}\n")
            sys.stderr.flush()


class Bars:
    """A bar for the batch, one for each notebook that runs; what has ended scrolls away above them."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._whole: Any = None
        self._rows: dict[int, Any] = {}

    def __call__(self, told: Told) -> None:
        with self._lock:
            task = told.task
            if told.kind == "plan":
                if told.total > 1:
                    self._whole = self._progress.add_task("all", completed=told.done, total=told.total, cell="")
                self._progress.start()
            elif told.kind == "begun" and task is not None:
                self._rows[task.number] = self._progress.add_task(
                    clip(task.label, _NAME), total=None, cell=told.text or "the kernel starts"
                )
            elif told.kind == "cell" and task is not None:
                self._progress.update(
                    self._rows[task.number], completed=told.done, total=told.total, cell=clip(told.text, _CELL)
                )
            elif told.kind == "ended" and task is not None:
                self._progress.remove_task(self._rows.pop(task.number))
                if self._whole is not None:
                    self._progress.advance(self._whole)
                self._print(told)
            elif told.kind == "publishing":
                if self._whole is not None:
                    self._progress.update(self._whole, cell=told.text)
            else:
                self._print(told)

    def _print(self, told: Told) -> None:
        from rich.text import Text

        style = {"FINISHED": "green", "PRUNED": "yellow", "FAILED": "red", "KILLED": "red"}.get(told.status, "")
        self._progress.console.print(Text(words(told), style=style), highlight=False)


def words(told: Told) -> str:
    """One step in a line."""
    said = clip(told.text, 200)
    if told.kind == "begun":
        said = "begins" + (f", {said}" if said else "")
    elif told.kind == "cell":
        said = f"cell {told.done + 1}/{told.total} {said}"
    elif told.kind == "ended":
        said = f"{told.status.lower()}, {seconds(told.seconds)}" + (f": {said}" if said else "")
    return f"{clip(told.task.label, 80)}: {said}" if told.task else said


@contextlib.contextmanager
def shown(*, quiet: bool = False) -> Iterator[Lines | Bars]:
    """What shows a batch here: bars where standard error is a terminal and nothing but text is asked for."""
    if quiet or not sys.stderr.isatty():
        yield Lines()
        return
    with rows("cell") as progress:
        yield Bars(progress)
