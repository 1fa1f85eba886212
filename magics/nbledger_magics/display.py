"""Results as a notebook shows them: HTML that follows the notebook's own theme, and the same in plain text."""

from __future__ import annotations

import contextlib
import html
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nbledger.commands import text
from nbledger.commands.answer import Answer
from nbledger.core.records import RunRow, Status, Tracked
from nbledger.keeper.recorder import Recording
from nbledger_magics import bundle, curves
from nbledger_magics.attention import attended

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_MARKS = {
    "FINISHED": ("✓", "good"),
    "FAILED": ("✗", "bad"),
    "KILLED": ("■", "warn"),
    "RUNNING": ("▸", "live"),
}
_LINE_MARKS = {"✓": "good", "!": "warn", "·": "soft"}
_ROWS = 1000
_TITLE = 300

# JupyterLab's variables, with fallbacks that read well on light and dark pages that have none. Where a page drops the
# style element (GitHub), plain tables remain.
_STYLE = """<style>
.nbledger { font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: var(--jp-ui-font-size1, 13px);
  line-height: 1.5; color: var(--jp-ui-font-color1, inherit); font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; padding: 2px 0 }
.nbledger .soft { color: var(--jp-ui-font-color2, inherit) }
.nbledger .good { color: var(--jp-success-color1, #2e8b57) }
.nbledger .bad { color: var(--jp-error-color1, #d9463b) }
.nbledger .warn { color: var(--jp-warn-color1, #c77700); font-weight: 600 }
.nbledger .live { color: var(--jp-info-color1, #2a8bc0) }
.nbledger .fact { display: inline-block; margin-right: 1.1em; max-width: 100% }
.nbledger .note { padding-left: 1.2em; text-indent: -1.2em }
.nbledger .scroll { overflow: auto; margin-bottom: 4px; max-height: 34em; width: fit-content; max-width: 100% }
.nbledger.nbledger table { border-collapse: separate; border-spacing: 0; margin: 0; font-size: inherit; table-layout: auto }
.nbledger.nbledger table th, .nbledger.nbledger table td { padding: 2px 14px 2px 0; text-align: left; vertical-align: top;
  white-space: nowrap; max-width: none; border: 0; font-weight: inherit }
.nbledger.nbledger table tr > :first-child { padding-left: 4px }
.nbledger.nbledger table thead th { position: sticky; top: 0; font-weight: 500; color: var(--jp-ui-font-color2, inherit);
  background: var(--jp-layout-color0, Canvas); border-bottom: 1px solid var(--jp-border-color1, #8886) }
.nbledger.nbledger table .num { text-align: right }
.nbledger.nbledger table td.wrap { white-space: normal }
.nbledger.nbledger table .id { font-family: var(--jp-code-font-family, ui-monospace, monospace); font-size: 0.92em }
.nbledger.nbledger table td.new { font-weight: 600 }
.nbledger.nbledger table td.same { color: var(--jp-ui-font-color2, inherit) }
</style>"""


class Shown:
    """A result with a plain-text and an HTML form; ``data`` is the record itself."""

    def __init__(self, answer: Answer) -> None:
        self.data = answer.data
        self._text = answer.text
        self._plain = answer.plain

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        if self._plain:
            return _box(f"<pre>{escape(self._text)}</pre>")
        first = self.data[0] if isinstance(self.data, list) and self.data else None
        if isinstance(first, RunRow):
            return _runs(self.data)
        if isinstance(first, Tracked):
            return _tracked(self.data)
        if isinstance(self.data, Status):
            return _status(self.data)
        from nbledger.core.differences import Comparison

        if isinstance(self.data, Comparison):
            from nbledger_magics import comparison

            return comparison.html(self.data)
        from nbledger.core.sweepview import Sweep

        if isinstance(self.data, Sweep):
            from nbledger_magics import sweepchart

            return sweepchart.html(self.data)
        from nbledger_magics import views

        if (found := views.html(self.data)) is not None:
            return found
        if type(self.data).__module__ == "nbledger.core.join":  # whose import takes long, and who joins has done it
            from nbledger_magics import joining

            return joining.html(self.data)
        return _box("".join(_line(line) for line in self._text.split("\n")))

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __getitem__(self, index: Any) -> Any:
        return self.data[index]


class _Plain:
    def __init__(self, plain: str, markup: str, bundle: dict[str, Any]) -> None:
        self._plain, self._markup, self._bundle = plain, markup, bundle

    def __repr__(self) -> str:
        return self._plain

    def _repr_html_(self) -> str:
        return self._markup

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return dict(self._bundle)


def escape(value: str) -> str:
    """Text that is never markup."""
    return html.escape(value, quote=True)


def _box(inner: str) -> str:
    return f'{_STYLE}<div class="nbledger">{inner}</div>'


def _name(name: str, width: int = 60) -> str:
    """A name as markup: clipped, and set apart so that right-to-left letters do not turn what stands beside it."""
    return f"<bdi>{escape(text.clip(name, width))}</bdi>"


def _mark(status: str) -> str:
    sign, kind = _MARKS.get(status, ("·", "soft"))
    return f'<span class="{kind}" title="{escape(status)}">{sign}</span>'


def _line(line: str) -> str:
    """A line of plain text; a mark at its beginning gets its colour."""
    sign, space, rest = line.partition(" ")
    if space and sign in _LINE_MARKS:
        return f'<div class="note"><span class="{_LINE_MARKS[sign]}">{sign}</span> {escape(rest)}</div>'
    indent = len(line) - len(line.lstrip())
    return f'<div style="padding-left: {indent * 0.6:g}em">{escape(line)}</div>'


def _facts(facts: Iterable[str]) -> str:
    """Pieces of markup side by side; a narrow page breaks the line between them only."""
    return " ".join(f'<span class="fact">{fact}</span>' for fact in facts)


def _runs(rows: Sequence[RunRow]) -> str:
    placed = text.arranged(rows[:_ROWS])
    columns = text.columns(placed)
    before = [_values_before([row for row, _ in placed], c) if c.kind in ("param", "data") else None for c in columns]
    body = []
    for index in range(len(placed)):
        cells = "".join(_cell(c, index, b[index] if b else None) for c, b in zip(columns, before, strict=True))
        body.append(f"<tr>{cells}</tr>")
    notes = text.footnotes(rows[:_ROWS])
    if len(rows) > _ROWS:
        notes.insert(0, f"the first {_ROWS:,} of {len(rows):,} runs; a filter or --sort brings others up")
    return _box(_table(columns, body) + "".join(f'<div class="soft">{escape(n)}</div>' for n in notes))


def _table(columns: Sequence[text.Column], body: Iterable[str]) -> str:
    head = "".join(
        f'<th{_classes(c, "num" if c.right else "")} title="{escape(text.clip(c.head, _TITLE))}">'
        f"{escape(text.clip(c.head.rsplit('/', 1)[-1] if c.kind == 'data' else c.head))}</th>"
        for c in columns
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


def sweep_table(columns: Sequence[text.Column], best: str | None) -> str:
    """The runs inside a run; ``best``: the id of the one that stands out."""
    ids, body = columns[0].full[:_ROWS], []
    for index, run in enumerate(ids):
        cells = "".join(_cell(c, index, None) for c in columns)
        body.append(f'<tr class="{"top" if run == best else "run"}">{cells}</tr>')
    return _table(columns, body)


def _values_before(rows: Sequence[RunRow], column: text.Column) -> list[int | None]:
    """For each run the index of the last one before it that had a value in this column: what it is compared with.

    None for all where nearly every run differs from the one before: what stands out everywhere stands out nowhere.
    """
    latest: int | None = None
    before: list[int | None] = [None] * len(rows)
    for index in sorted(range(len(rows)), key=lambda i: (rows[i].start or "", -i)):
        if column.cells[index] not in ("", text.UNKNOWN):
            before[index], latest = latest, index
    pairs = [(i, b) for i, b in enumerate(before) if b is not None]
    changed = sum(column.full[i] != column.full[b] for i, b in pairs)
    return [None] * len(rows) if len(pairs) > 5 and changed > 0.8 * len(pairs) else before


def _cell(column: text.Column, index: int, before: int | None) -> str:
    shown, full = column.cells[index], column.full[index]
    classes = ["num"] if column.right else []
    title = "not known" if shown == text.UNKNOWN else text.clip(full, _TITLE) if full != shown else ""
    if before is not None:
        changed = full != column.full[before]
        classes.append("new" if changed else "same")
        if changed:
            title = f"{text.clip(full, _TITLE)} (before: {text.clip(column.cells[before])})"
    if column.kind in ("run", "data", "code"):
        classes.append("id")
    if column.kind == "status":
        kind = _MARKS.get(full, ("", "soft"))[1]
        word = "soft" if kind == "good" else kind
        return f'<td>{_mark(full)} <span class="{word}">{escape(shown.lower())}</span></td>'
    inner = escape(shown) if shown.isascii() else _indented(shown) if column.kind == "name" else _bdi(shown)
    tip = f' title="{escape(title)}"' if title else ""
    return f"<td{_classes(column, *classes)}{tip}>{inner}</td>"


def _indented(name: str) -> str:
    """A name in the table, its place under its parent kept."""
    lead, corner, rest = name.partition("└ ")
    if not corner or lead.strip():
        return _bdi(name)
    return f'<span class="soft">{"&nbsp;" * (len(lead) * 2)}└&nbsp;</span>{_bdi(rest)}'


def _bdi(shown: str) -> str:
    return f"<bdi>{escape(shown)}</bdi>"


def _classes(column: text.Column, *names: str) -> str:
    """The class attribute, and the alignment that remains where a page drops the styles."""
    joined = " ".join(name for name in names if name)
    aligned = ' align="right"' if column.right else ""
    return (f' class="{joined}"' if joined else "") + aligned


def _status(state: Status) -> str:
    kind = "good" if state.clean else "warn"
    lines = "".join(
        f'<tr><td><span class="{"good" if ok else "warn"}">{"✓" if ok else "!"}</span></td>'
        f'<td class="soft">{escape(name)}</td><td class="wrap">{escape(words)}</td></tr>'
        for name, words, ok in text.status_lines(state)
    )
    first = f'<b>{_name(state.root, 200)}</b> <span class="{kind}">{escape(text.verdict(state))}</span>'
    return _box(f"<div>{first}</div><table><tbody>{lines}</tbody></table>")


def _tracked(results: Sequence[Tracked]) -> str:
    lines = []
    for one in results:
        mark = '<span class="good">✓</span>' if one.changed else '<span class="soft">·</span>'
        what = "versioned" if one.changed else "unchanged"
        amount, *rest = text.tracked_words(one)
        facts = [escape(amount), *(f'<span class="soft">{escape(word)}</span>' for word in rest)]
        lines.append(f"<div>{mark} {what} <b>{_name(one.path, 200)}</b>&ensp;{_facts(facts)}</div>")
        lines += [f'<div class="soft" style="padding-left: 1.2em">{escape(note)}</div>' for note in one.notes]
    return _box("".join(lines))


def summary(recording: Recording, source: str = "") -> _Plain:
    """The lines below a tracked cell: outcome, metrics, data, code, curves, and what should be known; ``source`` is what
    the cell that shows them holds.
    """
    keys = list(recording.metrics)
    first = text.shown_metrics(sorted(keys, key=lambda k: "." in k))
    pairs = [(text.clip(k, 40), text.number(recording.metrics[k])) for k in first]
    pairs += [("and", f"{len(keys) - len(first)} more metrics")] if len(keys) > len(first) else []
    pairs += _data(recording)
    taken = recording.snapshot
    kept = taken.commit if taken is not None else None
    pairs.append(("code", "no commit" if kept is None else kept[:8] + (" (snapshot)" if taken and taken.dirty else "")))
    took = _took(recording)
    name, status = text.clip(recording.name, 60), recording.status
    sign = _MARKS.get(status, ("·", ""))[0]
    words = [took, *(f"{key} {value}" for key, value in pairs)]
    plain = [f"{sign} {name} {status} · " + " · ".join(words)]
    plain += curves.plain(recording.curves)
    plain += [f"  ! {text.clip(notice, 500)}" for notice in recording.notices]
    facts = [f'<span class="soft">{escape(key)}</span> {_bdi(value)}' for key, value in pairs]
    outcome = f'<span class="soft">{escape(status.lower())} · {took}</span>'
    markup = f"<div>{_mark(status)} <b>{_name(recording.name)}</b> {_facts([outcome, *facts])}</div>"
    markup += curves.html(recording.curves)
    markup += "".join(_line(f"! {text.clip(notice, 500)}") for notice in recording.notices)
    return _Plain("\n".join(plain), _box(markup), {bundle.MIME: bundle.of(recording, source)})


def _took(recording: Recording) -> str:
    """How long the run has taken; whole seconds while it moves."""
    seconds = time.time() - recording.started
    return f"{seconds:.0f} s" if recording.status == "RUNNING" else f"{seconds:.1f} s"


def _data(recording: Recording) -> list[tuple[str, str]]:
    """The data sets that were read, by name and digest; the others counted."""
    sets = dict.fromkeys(
        (r.dataset or r.path, (r.digest or r.md5 or "")[:8]) for r in recording.inputs if r.state == "dvc"
    )
    shown = [(text.clip(name, 40), digest) for name, digest in list(sets)[:2]]
    others = len(sets) - len(shown) + sum(r.state != "dvc" for r in recording.inputs)
    if others:
        shown.append(("other inputs" if shown else "inputs", str(others)))
    return shown


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
    handle: Any = None

    def update(done: int, total: int, words: str) -> None:
        nonlocal widget, handle
        if widget is None and attended(session) and time.monotonic() - begun > 0.5:
            widget, handle = _widget()
        if widget is not None:
            widget.max, widget.value = max(total, 1), done
            widget.description = text.clip(words, 40)

    try:
        yield update
    finally:
        if widget is not None:
            widget.close()
            handle.update({"text/plain": ""}, raw=True)  # a saved notebook would show "Loading widget" for ever


def _widget() -> tuple[Any, Any]:
    """(progress bar, the handle of its display); None where ipywidgets is not installed."""
    try:
        import ipywidgets
    except ImportError:
        return None, None
    from IPython.display import display

    widget = ipywidgets.FloatProgress(layout={"width": "100%"}, style={"description_width": "initial"})
    return widget, display(widget, display_id=True)
