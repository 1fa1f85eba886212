"""``%ledger check NB --run``: the notebook runs in a process of its own, its answer is shown here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbledger.commands import check
from nbledger.commands.answer import Answer
from nbledger.core.check import Check
from nbledger_magics import child, display

if TYPE_CHECKING:
    from nbledger_magics.session import Session


def proven(session: Session, words: list[str]) -> Any:
    """What ``nbledger check … --run`` answers, with its progress below the cell."""
    found = child.asked(session, words, Check)
    return None if found is None else display.Shown(Answer(found, check.text(found), int(not found.clean)))
