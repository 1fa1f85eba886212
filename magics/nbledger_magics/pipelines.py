"""``%ledger repro``: stages run by a process of their own, which the cell waits for; what became of them is shown below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbledger.commands import repro_text
from nbledger.keeper.repros import Report
from nbledger_magics import child
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_KINDS = {"ran": "good", "failed": "bad", "killed": "bad"}


class Shown:
    """A pipeline's stages with a plain-text and an HTML form; ``data`` is the record itself."""

    def __init__(self, data: Report) -> None:
        self.data = data

    def __repr__(self) -> str:
        return repro_text.report(self.data)

    def _repr_html_(self) -> str:
        heads, body, _ = repro_text.cells(self.data.stages)
        marked = [
            f'<tr><td class="{_KINDS.get(row.status, "soft")}">{escape(line[0])}</td>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in line[1:])
            + "</tr>"
            for row, line in zip(self.data.stages, body, strict=True)
        ]
        table = f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{''.join(marked)}</table>"
        notes = "".join(f'<div class="soft">{escape(line)}</div>' for line in repro_text.said(self.data))
        printed = f"<pre>{escape(chr(10).join(self.data.printed))}</pre>" if self.data.printed else ""
        return box(f"{table if body else ''}{printed}{notes}<div>{escape(repro_text.total(self.data))}</div>")


def run(session: Session, words: list[str]) -> Any:
    """What ``nbledger repro`` answers, with its progress below the cell."""
    found = child.asked(session, words, Report)
    return None if found is None else Shown(found)
