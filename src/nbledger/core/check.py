"""Would a saved notebook, run fresh from top to bottom, give what it shows? What the file alone tells, without running."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbledger.core import defuse, outputs, symbols
from nbledger.core.defuse import header_names
from nbledger.core.errors import Refused, UsageError
from nbledger.core.hidden import is_shell
from nbledger.core.outputs import OutputDifference
from nbledger.core.statements import Statement, statements
from nbledger.core.symbols import Node

ORDER, NOT_RUN, STALE, UNDEFINED, BELOW = "order", "not-run", "stale-output", "undefined", "set-below"


@dataclass(frozen=True)
class Finding:
    """``cell`` counts all cells of the file from 1; ``count`` is the number in its brackets, if it has one."""

    kind: str
    cell: int
    count: int | None
    what: str


@dataclass(frozen=True)
class Check:
    """``findings`` from the file; and, where it was ``ran`` fresh: ``differences`` between what it showed then and what
    is saved, ``error`` that ended the run early, ``notes`` about what could not be as it is.
    """

    notebook: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    ran: bool = False
    differences: tuple[OutputDifference, ...] = ()
    error: str = ""
    compared: int = 0

    @property
    def clean(self) -> bool:
        """What a fresh run gave counts for more than what the file seems to tell."""
        return not (self.differences or self.error) if self.ran else not self.findings


def read(path: Path) -> dict[str, Any]:
    """A notebook (format 4) in Python as JSON holds it. ``UsageError`` where it is not one."""
    try:
        book = json.loads(path.read_bytes())
        cells = book["cells"]
        known = all(isinstance(c, dict) and "cell_type" in c for c in cells)
    except OSError as err:
        raise UsageError(f"{path} cannot be read: {err.strerror}", "name a notebook: nbledger check NB.ipynb") from err
    except (ValueError, KeyError, TypeError) as err:
        raise UsageError(f"{path} is not a notebook of format 4", "open it in JupyterLab and save it") from err
    if not known:
        raise UsageError(f"{path} is not a notebook of format 4", "open it in JupyterLab and save it")
    metadata = book.get("metadata") or {}
    language = (metadata.get("kernelspec") or {}).get("language") or (metadata.get("language_info") or {}).get("name")
    if language and str(language).lower() not in ("python", "ipython"):
        raise Refused(f"{path} is written in {language}", "only notebooks in Python can be checked")
    return dict(book)


def check(book: Mapping[str, Any], name: str) -> Check:
    """What the file tells: the order of execution, cells that never ran, names that are not set above their use."""
    codes = [
        (number, cell)
        for number, cell in enumerate(book["cells"], start=1)
        if cell["cell_type"] == "code" and outputs.source(cell).strip()
    ]
    notes: list[str] = []
    if codes and not any(outputs.has_run(cell) for _, cell in codes):
        notes.append("no cell has outputs or a number: the file tells nothing of how it was run")
    counts = [cell["execution_count"] for _, cell in codes if cell.get("execution_count") is not None]
    more = max(counts) - len(counts) if counts else 0
    if more > 0 and counts == sorted(counts):
        left = f"{more} executions left" if more > 1 else "1 execution left"
        notes.append(f"{left} no trace: cells ran more than once, or were deleted")
    found = [*_order(codes), *_not_run(codes), *_stale(codes), *_names(codes)]
    return Check(name, tuple(sorted(found, key=lambda f: f.cell)), tuple(notes))


Code = tuple[int, Mapping[str, Any]]


def _finding(kind: str, code: Code, what: str) -> Finding:
    number, cell = code
    return Finding(kind, number, cell.get("execution_count"), what)


def label(cell: int, count: int | None) -> str:
    """How people find a cell: by the number in its brackets, else by its place."""
    return f"[{count}]" if count is not None else f"cell {cell}"


def _order(codes: Sequence[Code]) -> Iterator[Finding]:
    """Cells that ran before one above them, where their order matters."""
    above: list[Code] = []
    for code in codes:
        count = code[1].get("execution_count")
        if count is None:
            continue
        later = [c for c in above if c[1]["execution_count"] > count and defuse.touch(_text(c[1]), _text(code[1]))]
        if later:
            number, first = later[-1][1]["execution_count"], outputs.first_line(later[-1][1])
            yield _finding(ORDER, code, f"ran before [{number}] {first}, which stands above it")
        above.append(code)


def _text(cell: Mapping[str, Any]) -> str:
    return "".join(cell.get("source", ""))


def _not_run(codes: Sequence[Code]) -> Iterator[Finding]:
    """Cells without a number above one that has run."""
    ran = [place for place, (_, cell) in enumerate(codes) if outputs.has_run(cell)]
    for code in codes[: max(ran, default=0)]:
        if not outputs.has_run(code[1]):
            yield _finding(NOT_RUN, code, "has not run, though cells below it have")


def _stale(codes: Sequence[Code]) -> Iterator[Finding]:
    for code in codes:
        count = code[1].get("execution_count")
        others = {o.get("execution_count") for o in code[1].get("outputs", ()) if o["output_type"] == "execute_result"}
        wrong = sorted(c for c in others - {count} if isinstance(c, int))
        if wrong and count is not None:
            yield _finding(STALE, code, f"shows the result of another execution, [{wrong[0]}]")


def _names(codes: Sequence[Code]) -> Iterator[Finding]:
    """Names that are needed before they are set, running from top to bottom; each told once."""
    setters: dict[str, Code] = {}
    for code in codes:
        for name in _sets(outputs.source(code[1])):
            setters.setdefault(name, code)
    known: dict[str, Node] = {}
    told: set[str] = set()
    unclear = False
    for code in codes:
        source = outputs.source(code[1])
        unclear |= symbols.unclear(source)
        tags = (code[1].get("metadata") or {}).get("tags") or ()
        for name in _missing(source, known):
            if name in told or is_shell(name) or unclear or "raises-exception" in tags:
                continue
            told.add(name)
            setter = setters.get(name)
            if setter is None:
                yield _finding(UNDEFINED, code, f"needs {name}, which no cell sets")
            elif setter[0] >= code[0]:
                place = label(setter[0], setter[1].get("execution_count"))
                where = "only later in the same cell" if setter[0] == code[0] else f"only below, in {place}"
                yield _finding(BELOW, code, f"needs {name}, which is set {where}")


def _sets(source: str) -> Iterator[str]:
    for statement in statements(source) or ():
        yield from _set_by(statement) - statement.names.accumulates


def _set_by(statement: Statement) -> frozenset[str]:
    names = statement.names
    return names.binds | (names.may_bind - names.changes) | statement.imports.keys()


def _missing(source: str, known: dict[str, Node]) -> list[str]:
    """Names that the cell needs and that are not ``known``; what it sets is added to these."""
    found: dict[str, None] = {}
    for statement in statements(source) or ():
        if not statement.guarded:
            wanted = symbols.needed(symbols.loads(statement) | statement.names.accumulates, known)
            found.update((name, None) for name in sorted(wanted) if wanted[name] is None)
        node = Node(0, statement.key, 0, later=statement.names.later if statement.defines else frozenset())
        known.update((name, node) for name in _set_by(statement))
    found.update((name, None) for name in header_names(source) if name not in known)
    return list(found)
