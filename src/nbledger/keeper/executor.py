"""Where a batch's notebooks are executed: what a runner asks of such a place, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from nbledger.core.batch import Task
from nbledger.keeper.notebookrun import Ended


@dataclass(frozen=True)
class Told:
    """Something to show. ``kind``: plan, begun, cell, ended, note or publishing. ``done`` and ``total`` count cells, in a plan notebooks."""

    kind: str
    task: Task | None
    text: str = ""
    done: int = 0
    total: int = 0
    status: str = ""
    seconds: float = 0.0


Tell = Callable[[Told], None]
Say = Callable[[Task | None, str], None]
"""A line about a notebook (or all), which the report repeats."""
Render = Callable[[Any], str]


@dataclass(frozen=True)
class Work:
    """One attempt at a task: ``path`` is the notebook's file, ``journal`` the id of the journal of its run, ``parent`` that of
    the run that holds it, ``tags`` those of its run.
    """

    task: Task
    attempt: int
    path: Path
    journal: str
    parent: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class Executor(Protocol):
    """A place where notebooks are executed; its methods are called from several threads. ``width``: how many at a time it
    takes by itself.
    """

    width: int

    def execute(self, work: Work) -> Ended:
        """Execute the notebook as a run and wait for its end. ``LedgerError`` where it could not be begun."""

    def stop(self) -> None:
        """Interrupt what runs, and let it close its runs; nothing is begun from now on."""

    def kill(self) -> None:
        """End what runs, at once."""

    def close(self) -> None:
        """Let go of what the place needed."""
