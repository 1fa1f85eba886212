"""The run of a whole notebook, whose cells a front end executes one by one in this kernel.

What executes them says where the run begins; it ends by itself with the last cell, or with the first that fails, so that
it ends truthfully also where the page that began it is closed in the meantime. ``%%mlrun`` cells inside become its children.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nbledger_magics import header

if TYPE_CHECKING:
    from nbledger_magics.session import Session
    from nbledger_magics.tracked_cell import TrackedCell


_ended: dict[str, str] = {}
"""How runs ended that nobody has asked about yet."""


class Whole:
    """An open run of a notebook. ``last``: the id of its last cell; ``allowed``: ids of those that may fail."""

    def __init__(self, run: TrackedCell, last: str | None = None, allowed: Iterable[str] = ()) -> None:
        self.run, self.last, self.allowed = run, last, frozenset(allowed)
        self.ended = False

    @property
    def journal(self) -> str:
        return self.run.recording.id

    def after(self, cell: str | None, error: BaseException | None) -> None:
        """A cell has ended, and with the last (``ended``) the run. Without ``last`` whoever began it ends it."""
        if self.last is None or (error is not None and cell in self.allowed and cell != self.last):
            return
        failed = None if cell in self.allowed else error
        if failed is None and cell != self.last:
            return
        self.ended = True
        try:
            self.run.finish(failed, quiet=True)
        finally:
            _ended[self.journal] = self.run.recording.status


def begin(session: Session, name: str, last: str, allowed: Iterable[str] = ()) -> str | None:
    """Open the run that the cells to come are part of; its journal, or None after one line that says why not."""
    from nbledger_magics import tracked_cell

    abandon(session)
    options = header.parse("", "whole")
    options.name, options.batch = name, True
    run = tracked_cell.begin(session, options, source="")
    session.whole = None if run is None else Whole(run, last, allowed)
    return None if session.whole is None else session.whole.journal


def end(session: Session, journal: str, status: str) -> str:
    """How the run has ended; it is ended with ``status`` if it is still open: its last cell was not executed."""
    if session.whole is not None and session.whole.journal == journal:
        _close(session, status=status)
        return status
    return _ended.pop(journal, "KILLED")


def abandon(session: Session) -> None:
    """A run that nobody ended before the next began was cut off."""
    if session.whole is not None and session.whole.last is not None:
        _close(session, status="KILLED")


def _close(session: Session, **outcome: Any) -> None:
    whole, session.whole = session.whole, None
    if whole is not None:
        whole.run.finish(None, quiet=True, **outcome)
