"""Which of a cell's statements does a run's result depend on? An edit of the others moves no metric."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nbledger.core import cells as session_cells
from nbledger.core import defuse, syntax
from nbledger.core.cells import Cell
from nbledger.core.record import ExecutedCell

_METRICS = re.compile(r"(?:^|\s)(?:-m|--metric)[\s=]+([A-Za-z_]\w*)")
_MOST = 300
_LOGGING = ("log", "log_metric", "log_metrics", "mlflow")


@dataclass(frozen=True)
class Reach:
    """Of one side: the statements (as syntax trees in text) that its result depends on, by source of the cell; None: not to be told."""

    needed: dict[str, Counter[str]] | None

    def moves(self, cell: ExecutedCell | None, changed: Counter[str]) -> bool:
        """Whether one of the ``changed`` statements of a cell is among them."""
        if cell is None:
            return False
        if self.needed is None:
            return bool(changed)
        return bool(changed & self.needed.get(syntax.body(cell.source), Counter()))


def reach(executed: Sequence[ExecutedCell]) -> Reach:
    """``executed`` are the cells of a slice, the run's own last."""
    split = [(cell, statements(cell.source)) for cell in executed]
    if not executed or any(parts is None for _, parts in split):
        return Reach(None)
    roots = _roots(executed[-1])
    if roots is None:
        return Reach(None)
    lines = [(cell, key, text) for cell, parts in split for key, text in parts or ()]
    known = [Cell(text, None, 0.0, None) for _, _, text in lines]
    found: dict[str, Counter[str]] = {syntax.body(cell.source): Counter() for cell in executed}
    for index in session_cells.slice_of([*known, Cell(roots, None, 0.0, None)]):
        cell, key, _ = lines[index]
        found[syntax.body(cell.source)][key] += 1
    return Reach(found)


def idle(executed: Sequence[ExecutedCell], name: str) -> bool:
    """Whether ``name`` is a variable of these cells that no statement uses on which the result depends; the run's own
    cell is the last. False where that cannot be told.
    """
    if not executed or not any(name in defuse.names_of(cell.source).binds for cell in executed):
        return False
    found = reach(executed).needed
    return found is not None and not any(f"id='{name}'" in key for keys in found.values() for key in keys)


def changed(old: ExecutedCell | None, new: ExecutedCell | None) -> tuple[Counter[str], Counter[str]] | None:
    """The statements that only the old and only the new version of a cell has; None where one is not to be taken apart,
    or where a statement may do more than set names.
    """
    parts = [statements(cell.source) if cell is not None else () for cell in (old, new)]
    if parts[0] is None or parts[1] is None or any(cell is not None and cell.random for cell in (old, new)):
        return None
    counts = [Counter(key for key, _ in side or ()) for side in parts]
    gone, came = counts[0] - counts[1], counts[1] - counts[0]
    texts = dict((*parts[0], *parts[1]))
    if any(_acts(texts[key]) for key in (*gone, *came)) or _turned(parts[0], parts[1]):
        return None
    return gone, came


def _turned(a: Sequence[tuple[str, str]], b: Sequence[tuple[str, str]]) -> bool:
    """Whether statements that touch the same names stand in another order."""
    place = {key: index for index, (key, _) in enumerate(b)}
    common = [(key, text) for key, text in a[:_MOST] if key in place]
    return any(
        place[later[0]] < place[earlier[0]] and _touch(earlier[1], later[1])
        for index, earlier in enumerate(common)
        for later in common[index + 1 :]
    )


def _touch(x: str, y: str) -> bool:
    return _acts(x) or _acts(y) or defuse.touch(x, y)


@lru_cache(4096)
def statements(source: str) -> tuple[tuple[str, str], ...] | None:
    """(syntax tree in text, source) of each top-level statement; None where the source is not Python alone."""
    text = syntax.body(source)
    tree = defuse.tree_of(text)
    if tree is None or syntax.magics(text):
        return None
    return tuple((ast.dump(node), ast.unparse(node)) for node in tree.body)


@lru_cache(4096)
def _acts(text: str) -> bool:
    """Whether a statement may do more than set plain names: calls whose result is dropped, settings of what is elsewhere."""
    (node,) = ast.parse(text).body
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    if isinstance(node, ast.Assign):
        return not all(isinstance(target, ast.Name) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return not isinstance(node.target, ast.Name)
    return not syntax.only_shows(node)


def _roots(last: ExecutedCell) -> str | None:
    """Source that needs what the run recorded: its ``-m`` names, and what it logged itself; None where it names none."""
    header = last.source[: len(last.source) - len(syntax.body(last.source))]
    names = _METRICS.findall(header)
    logged = [text for _, text in statements(last.source) or () if syntax.words(text) & set(_LOGGING)]
    return "\n".join([*names, *logged]) if names or logged else None
