"""What a command gives back: the record for ``--json`` and HTML, its plain text, and the exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbledger.core.project import Project, find


@dataclass(frozen=True)
class Answer:
    """``code``: 0 done, 1 no. ``plain``: the text is what was asked for, also where the record could be drawn."""

    data: Any
    text: str
    code: int = 0
    plain: bool = False


@dataclass(frozen=True)
class Face:
    """What a face lends to the commands: whether to start the keeper, and how to show progress."""

    start_keeper: bool = False
    progress: Callable[[int, int, str], None] | None = None

    def project(self) -> Project:
        return find()
