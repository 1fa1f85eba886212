"""What ``%ledger join`` did, as HTML: a row a step, then what to type now."""

from __future__ import annotations

from nbledger.core.join import Joined, Step
from nbledger_magics.display import _box, escape

_SIGNS = {
    "ready": ("✓", "good"),
    "left out": ("–", "soft"),
    "open": ("…", "warn"),
    "failed": ("✗", "bad"),
}
_WRAPPED = 'style="white-space: normal"'


def html(done: Joined) -> str:
    said: set[str] = set()
    rows = "".join(_row(step, said) for step in done.steps)
    typed = "".join(f"<div><code>{escape(line)}</code></div>" for line in done.next)
    head = f"<div>{escape(done.root)}</div>"
    return _box(f'{head}<table>{rows}</table><div class="soft">next, in a terminal:</div>{typed}')


def _row(step: Step, said: set[str]) -> str:
    """One step; a hint that several share stands at the first of them."""
    sign, kind = _SIGNS[step.state]
    hint = ""
    if step.hint and step.state != "ready" and step.hint not in said:
        said.add(step.hint)
        hint = f'<div class="soft">→ {escape(step.hint)}</div>'
    cells = f'<td><span class="{kind}" title="{step.state}">{sign}</span></td><td>{escape(step.name)}</td>'
    return f"<tr>{cells}<td {_WRAPPED}>{escape(step.text)}{hint}</td></tr>"
