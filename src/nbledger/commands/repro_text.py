"""A pipeline as it is brought up to date, and what became of its stages, as plain text."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands.progress import rows
from nbledger.commands.run_text import notes, seconds
from nbledger.commands.text import clip, table

if TYPE_CHECKING:
    from nbledger.keeper.repros import Report, StageRow, Told

_NAME, _LINE = 40, 60
_MARKS = {"ran": "✓", "skipped": "·", "pulled": "↓", "failed": "✗", "killed": "✗", "not run": "·", "would run": "→"}


class Lines:
    """``[1/4] train: begins``, one line a step; with ``verbose`` also what stages print."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose, self._total, self._done = verbose, 0, 0
        self._lock = threading.Lock()

    def __call__(self, told: Told) -> None:
        with self._lock:
            if told.kind == "plan":
                self._total = told.total
                return
            self._done = told.done or self._done
            if told.kind == "printed":
                if self._verbose:
                    sys.stderr.write(told.text)
            elif told.status == "code" or (told.kind == "ended" and not told.status):
                return
            else:
                counted = f"[{self._done}/{self._total}] " if self._total else ""
                sys.stderr.write(f"{counted}{words(told)}\n")
            sys.stderr.flush()


class Bars:
    """A bar for the pipeline and one for the stage that runs, with the last line it printed; the rest scrolls away above."""

    def __init__(self, progress: Any, *, verbose: bool) -> None:
        self._progress, self._verbose = progress, verbose
        self._lock = threading.Lock()
        self._whole: Any = None
        self._row: Any = None

    def __call__(self, told: Told) -> None:
        with self._lock:
            if told.kind == "plan":
                self._whole = self._progress.add_task("stages", completed=0, total=told.total, line="")
                self._progress.start()
            elif told.kind == "begun":
                self._drop()
                self._row = self._progress.add_task(clip(told.stage, _NAME), total=None, line="")
            elif told.kind == "printed":
                self._printed(told.text)
            elif told.kind == "ended":
                self._drop()
                if self._whole is not None:
                    self._progress.update(self._whole, completed=told.done)
                if told.status != "code":
                    self._print(told)
            elif told.kind == "publishing":
                if self._whole is not None:
                    self._progress.update(self._whole, line=told.text)
            else:
                self._print(told)

    def _drop(self) -> None:
        if self._row is not None:
            self._progress.remove_task(self._row)
            self._row = None

    def _printed(self, text: str) -> None:
        lines = [line.rpartition("\r")[2].strip() for line in text.splitlines()]
        last = next((line for line in reversed(lines) if line), "")
        if self._verbose:
            from rich.text import Text

            self._progress.console.print(Text.from_ansi(text.rstrip("\n")), highlight=False)
        elif last and self._row is not None:
            self._progress.update(self._row, line=clip(last, _LINE))

    def _print(self, told: Told) -> None:
        from rich.text import Text

        style = {"ran": "green", "failed": "red", "killed": "red", "skipped": "dim"}.get(told.status, "")
        self._progress.console.print(Text(words(told), style=style), highlight=False)


def words(told: Told) -> str:
    """One step in a line."""
    said = clip(told.text, 600)
    if told.kind == "begun":
        said = "begins"
    elif told.kind == "ended":
        took = f", {seconds(told.seconds)}" if told.status in ("ran", "failed", "killed") else ""
        said = told.status + took + (f": {said}" if said else "")
    return f"{clip(told.stage, 80)}: {said}" if told.stage else said


@contextlib.contextmanager
def shown(*, quiet: bool = False, verbose: bool = False) -> Iterator[Lines | Bars]:
    """What shows a pipeline here: bars where standard error is a terminal and nothing but text is asked for."""
    if quiet or not sys.stderr.isatty():
        yield Lines(verbose=verbose and not quiet)
        return
    with rows("line", "dim") as progress:
        yield Bars(progress, verbose=verbose)


def report(found: Report) -> str:
    """A table with a row for each stage, what a failed one printed last, what there is to say, and the sum in one line."""
    lines = [table(*cells(found.stages))] if found.stages else []
    lines += [f"  | {clip(line, 600)}" for line in found.printed]
    return "\n".join([*lines, *(f"· {line}" for line in said(found)), total(found)])


def said(found: Report) -> list[str]:
    """What there is to say beside the stages, at most a few lines."""
    lines = [f"code of notebooks written: {clip(', '.join(found.code), 200)}"] if found.code and not found.dry else []
    return [*lines, *notes(found.notes)]


def total(found: Report) -> str:
    """The whole in one line."""
    counts = Counter(row.status for row in found.stages)
    ended = ", ".join(f"{counts[status]} {status}" for status in _MARKS if counts[status]) or "no stages"
    where = f"run {found.run_id[:8]}" if found.run_id else "nothing is stale" if _fresh(found) else "pipeline"
    return f"{where}: {ended}, {seconds(found.seconds)}"


def _fresh(found: Report) -> bool:
    return found.status == "FINISHED" and all(row.status == "skipped" for row in found.stages)


def cells(rows: Sequence[StageRow]) -> tuple[list[str], list[list[str]], list[bool]]:
    """The table: its heads, its lines, and which columns are numbers."""
    heads = ["", "stage", "status", "took", "run", ""]
    body = [
        [
            _MARKS[row.status],
            clip(row.stage, _NAME),
            row.status,
            seconds(row.seconds) if row.seconds else "",
            (row.run_id or "")[:8],
            clip(row.error or row.note, 90),
        ]
        for row in rows
    ]
    if not any(line[-1] for line in body):
        heads, body = heads[:-1], [line[:-1] for line in body]
    return heads, body, [False, False, False, True, False, False][: len(heads)]
