"""``%ledger check NB --run``: the notebook runs in a process of its own, its answer is shown here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbledger.commands import check
from nbledger.commands.answer import Answer
from nbledger.core.check import Check
from nbledger.keeper.calls import built
from nbledger_magics import child, display

if TYPE_CHECKING:
    from nbledger_magics.session import Session


def proven(session: Session, words: list[str]) -> Any:
    """What ``nbledger check … --run`` answers, with its progress below the cell."""
    answer = child.run(session, words)
    if isinstance(answer, str):
        print(answer)
        return None
    if "--json" in words:
        print(json.dumps(answer, ensure_ascii=False))
        return None
    found: Check = built(Check, answer)
    return display.Shown(Answer(found, check.text(found), int(not found.clean)))
