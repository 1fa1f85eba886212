"""Results as a notebook shows them: HTML that follows the notebook's own theme, and the same in plain text."""

from __future__ import annotations

import contextlib
import html
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands import text
from nbledger.commands.answer import Answer
from nbledger.core.records import RunRow, Status
from nbledger.keeper.recorder import Recording

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_MARKS = {
    "FINISHED": ("✓", "var(--jp-success-color1, #2e7d32)"),
    "FAILED": ("✗", "var(--jp-error-color1, #c62828)"),
    "KILLED": ("■", "var(--jp-warn-color1, #b26a00)"),
    "RUNNING": ("▸", "var(--jp-info-color1, #0277bd)"),
}
_SOFT = "color: var(--jp-ui-font-color2, #616161)"
_CELL = "padding: 2px 10px 2px 0; text-align: {align}; white-space: nowrap"
_BOX = (
    "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.5; "
    "color: var(--jp-ui-font-color1, inherit); font-variant-numeric: tabular-nums"
)


class Shown:
    """A result with a plain-text and an HTML form; ``data`` is the record itself."""

    def __init__(self, answer: Answer) -> None:
        self.data = answer.data
        self._text = answer.text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        if isinstance(self.data, list) and self.data and isinstance(self.data[0], RunRow):
            return _runs(self.data)
        if isinstance(self.data, Status):
            return _status(self.data)
        return _box("".join(f"<div>{escape(line)}</div>" for line in self._text.split("\n")))

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __getitem__(self, index: Any) -> Any:
        return self.data[index]


class _Plain:
    def __init__(self, plain: str, markup: str) -> None:
        self._plain, self._markup = plain, markup

    def __repr__(self) -> str:
        return self._plain

    def _repr_html_(self) -> str:
        return self._markup


def escape(value: str) -> str:
    """Text that is never markup."""
    return html.escape(value, quote=True)


def _box(inner: str) -> str:
    return f'<div style="{_BOX}">{inner}</div>'


def _mark(status: str) -> str:
    sign, color = _MARKS.get(status, ("·", "inherit"))
    return f'<span style="color: {color}" title="{escape(status)}">{sign}</span>'


def _runs(rows: Sequence[RunRow]) -> str:
    heads, cells = text.columns(rows)
    numeric = [all(text.numeric(row[i]) for row in cells) for i in range(len(heads))]
    align = ["right" if n and i > 4 else "left" for i, n in enumerate(numeric)]
    head = "".join(
        f'<th style="{_CELL.format(align=a)}; {_SOFT}; font-weight: 500">{escape(text.clip(h))}</th>'
        for h, a in zip(heads, align, strict=True)
    )
    body = []
    for row, line in zip(rows, cells, strict=True):
        shown = [
            f'<td style="{_CELL.format(align=a)}" title="{escape(_full(row, h, c))}">'
            f"{_mark(row.status) + ' ' if h == 'status' else ''}{escape(c)}</td>"
            for c, a, h in zip(line, align, heads, strict=True)
        ]
        body.append(f"<tr>{''.join(shown)}</tr>")
    notes = "".join(f'<div style="{_SOFT}">{escape(note)}</div>' for note in text.footnotes(rows))
    table = (
        f'<table style="border-collapse: collapse; margin: 4px 0"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return _box(f'<div style="overflow-x: auto">{table}</div>{notes}')


def _full(row: RunRow, head: str, shown: str) -> str:
    if head == "run":
        return row.run_id
    if head == "code":
        return row.commit or ""
    return row.params.get(head) or next((i.md5 for i in row.inputs if i.path == head), shown)


def _status(state: Status) -> str:
    first = "clean: a run now could be brought back" if state.clean else "not clean"
    lines = "".join(
        f'<tr><td style="{_CELL.format(align="left")}">{_mark("FINISHED") if ok else _mark("KILLED")}</td>'
        f'<td style="{_CELL.format(align="left")}; {_SOFT}">{escape(name)}</td>'
        f'<td style="padding: 2px 0; text-align: left">{escape(words)}</td></tr>'
        for name, words, ok in text.status_lines(state)
    )
    return _box(f"<div><b>{escape(state.root)}</b>: {first}</div><table>{lines}</table>")


def summary(recording: Recording) -> _Plain:
    """The lines below a tracked cell: outcome, metrics, code, data, and what should be known."""
    seconds = time.time() - recording.started
    metrics = [f"{k} {text.number(v)}" for k, v in list(recording.metrics.items())[:6]]
    if len(recording.metrics) > 6:
        metrics.append(f"and {len(recording.metrics) - 6} more")
    taken = recording.snapshot
    code = (
        "no commit"
        if taken is None or taken.commit is None
        else taken.commit[:8] + (" (snapshot)" if taken.dirty else "")
    )
    facts = [f"{seconds:.1f} s", *metrics, f"code {code}"]
    versioned = [r for r in recording.inputs if r.state in ("dvc", "git")]
    if recording.inputs:
        facts.append(f"{len(versioned)} of {len(recording.inputs)} inputs versioned")
    sign = _MARKS.get(recording.status, ("·", ""))[0]
    plain = [f"{sign} {text.clip(recording.name, 60)} {recording.status} · " + " · ".join(facts)]
    plain += [f"  {notice}" for notice in recording.notices]
    markup = (
        f"<div>{_mark(recording.status)} <b>{escape(text.clip(recording.name, 60))}</b> "
        f'<span style="{_SOFT}">{escape(" · ".join([recording.status.lower(), *facts]))}</span></div>'
    )
    markup += "".join(f'<div style="padding-left: 1.3em">{escape(notice)}</div>' for notice in recording.notices)
    return _Plain("\n".join(plain), _box(markup))


def attended(session: Session) -> bool:
    """Whether a person looks at this kernel's output: not under nbconvert, papermill or a batch run."""
    if os.environ.get("NBLEDGER_BATCH"):
        return False
    return bool(os.environ.get("JPY_SESSION_NAME") or "__vsc_ipynb_file__" in session.shell.user_ns)


@contextlib.contextmanager
def progress(session: Session) -> Iterator[Callable[[int, int, str], None]]:
    """``progress(done, total, text)`` as an ipywidgets bar in an attended notebook, a bar in a terminal, else silent."""
    if not hasattr(session.shell, "kernel"):
        from nbledger.commands.progress import bar

        with bar() as shown:
            yield shown
        return
    begun = time.monotonic()
    widget: Any = None

    def update(done: int, total: int, words: str) -> None:
        nonlocal widget
        if widget is None and attended(session) and time.monotonic() - begun > 0.5:
            widget = _widget()
        if widget is not None:
            widget.max, widget.value = max(total, 1), done
            widget.description = text.clip(words, 40)

    try:
        yield update
    finally:
        if widget is not None:
            widget.close()


def _widget() -> Any:
    try:
        import ipywidgets
    except ImportError:
        return None
    from IPython.display import display

    widget = ipywidgets.FloatProgress(layout={"width": "100%"}, style={"description_width": "initial"})
    display(widget)
    return widget
