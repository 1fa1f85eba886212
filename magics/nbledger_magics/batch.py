"""``%ledger run``: notebooks run in a process of their own, which the cell waits for; what became of them is shown below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbledger.commands import run_text
from nbledger.keeper.batch import Report
from nbledger_magics import child
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_KINDS = {"FINISHED": "good", "PRUNED": "soft", "FAILED": "bad", "KILLED": "bad", None: "soft"}


class Shown:
    """A batch with a plain-text and an HTML form; ``data`` is the record itself."""

    def __init__(self, data: Report) -> None:
        self.data = data

    def __repr__(self) -> str:
        return run_text.report(self.data)

    def _repr_html_(self) -> str:
        rows, left = run_text.listed(self.data)
        heads, body, _ = run_text.cells(self.data, rows)
        marked = [
            f'<tr><td class="{_KINDS[row.status]}">{escape(line[0])}</td>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in line[1:])
            + "</tr>"
            for row, line in zip(rows, body, strict=True)
        ]
        table = f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{''.join(marked)}</table>"
        notes = "".join(f'<div class="soft">{escape(line)}</div>' for line in (*left, *run_text.said(self.data)))
        best = "".join(f"<div>{escape(line)}</div>" for line in run_text.best(self.data))
        return box(f"{table}{notes}{best}<div>{escape(run_text.total(self.data))}</div>")


def run(session: Session, words: list[str]) -> Any:
    """What ``nbledger run`` answers, with its progress below the cell."""
    found = child.asked(session, words, Report)
    return None if found is None else Shown(found)
