"""The cells of a notebook that is to be split into stages: what each did when the notebook ran, and which of them are so
cheap that several stages may run them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbledger.core import defuse
from nbledger.core.defuse import names_of

QUICK, IMPORTING = 2.0, 15.0
"""Seconds: what takes less may be run again by another stage, if it fits nothing; a cell that imports may take longer."""
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FENCED = re.compile(r"^( {0,3})(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)
_LOADS = re.compile(
    r"read(_\w+)?|load(s|txt|_\w+)?|open|imread|genfromtxt|fromfile|Path|connect|scan_\w+|from_(csv|json|parquet)"
)
_FITS = re.compile(
    r"(partial_|pre)?(fit|train)(_(?!test_split)\w+)?|backward|step|cross_val\w*|minimi[sz]e|optimi[sz]e|fine_?tune|learn"
)
_SETS = re.compile(
    r"(set|set_\w+|use|rc|seed|manual_seed\w*|filterwarnings|simplefilter|basicConfig|seterr|makedirs|mkdir|chdir)"
)
_TRANSFORMS = ("fit_transform",)


@dataclass(frozen=True)
class Seen:
    """What a cell did when the whole notebook ran: files as paths from the project's root (absolute outside), ``seconds``,
    ``random`` as in ``record.ExecutedCell``, ``outside``: programs it started and hosts it talked to.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    seconds: float = 0.0
    random: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A code cell: its ``index`` among all cells of the notebook, the ``heading`` above it, whether it is the one tagged
    ``parameters``, and what was seen of it.
    """

    index: int
    source: str
    heading: str = ""
    parameters: bool = False
    seen: Seen = field(default_factory=Seen)

    @property
    def title(self) -> str:
        """Its first line."""
        lines = [line.strip() for line in self.source.splitlines() if line.strip()]
        code = [line for line in lines if not line.startswith("#")]
        return next(iter(code or lines), "")


def code_cells(notebook: Any) -> list[Cell]:
    """The cells of a notebook (an nbformat node) that hold code."""
    found, heading = [], ""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            titles = _HEADING.findall(_FENCED.sub("", cell.source))
            heading = titles[-1] if titles else heading
        elif cell.cell_type == "code" and cell.source.strip():
            tags = cell.metadata.get("tags", ())
            found.append(Cell(index, cell.source, heading, "parameters" in tags))
    return found


def cheap(cells: Sequence[Cell]) -> list[bool]:
    """Whether each cell may be run by several stages: it writes no file, asks nobody outside, and only imports, defines, sets
    constants or loads files; or it was quick and fits nothing.
    """
    functions = _functions(cells)
    return [_cheap(cell, functions) for cell in cells]


def _cheap(cell: Cell, functions: Mapping[str, ast.AST]) -> bool:
    if cell.seen.writes or cell.seen.outside:
        return False
    if cell.parameters:
        return True
    tree = defuse.tree_of(cell.source)
    if tree is None:
        return False
    if all(_plain(statement) or (cell.seen.reads and _loads(statement)) for statement in tree.body):
        return True
    imports = any(isinstance(statement, ast.Import | ast.ImportFrom) for statement in tree.body)
    return (
        cell.seen.seconds < (IMPORTING if imports else QUICK)
        and not _fits(_run(tree.body), functions, set())
        and not _builds_up(tree.body)
    )


def _plain(node: ast.stmt) -> bool:
    """Imports, definitions, constants, settings."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Pass):
        return True
    if isinstance(node, ast.Expr):
        call = node.value
        return isinstance(call, ast.Constant) or (isinstance(call, ast.Call) and bool(_SETS.fullmatch(_called(call))))
    return isinstance(node, ast.Assign | ast.AnnAssign) and (node.value is None or _constant(node.value))


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Lambda) or not any(isinstance(inner, ast.Call) for inner in ast.walk(node))


def _loads(node: ast.stmt) -> bool:
    """``df = pd.read_csv("x.csv")``, ``with open(…) as f: data = json.load(f)``."""
    if isinstance(node, ast.With):
        return all(_loads(inner) for inner in node.body)
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    names = [_called(inner) for inner in ast.walk(value) if isinstance(inner, ast.Call)] if value is not None else []
    return bool(names) and any(_LOADS.fullmatch(name) for name in names) and not any(_FITS.fullmatch(n) for n in names)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _run(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """What runs when these do: all below them, but the bodies of functions."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _fits(nodes: Iterable[ast.AST], functions: Mapping[str, ast.AST], known: set[str]) -> bool:
    """Whether something is trained or searched for, by itself or in functions of the notebook that are called."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = _called(node)
        if name in functions and isinstance(node.func, ast.Name):
            if name not in known and _fits(_run(ast.iter_child_nodes(functions[name])), functions, known | {name}):
                return True
        elif _FITS.fullmatch(name) and name not in _TRANSFORMS:
            return True
    return False


def _builds_up(statements: Iterable[ast.stmt]) -> bool:
    """A loop that goes on from its own result: ``for …: w -= step``."""
    loops = [node for node in _run(statements) if isinstance(node, ast.For | ast.While)]
    return any(isinstance(node, ast.AugAssign) for loop in loops for node in _run(loop.body))


def _functions(cells: Sequence[Cell]) -> dict[str, ast.AST]:
    trees = (defuse.tree_of(cell.source) for cell in cells)
    return {
        node.name: node
        for tree in trees
        if tree is not None
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def parameters(cell: Cell) -> dict[str, Any]:
    """{name: value} of the plain values that the cell tagged ``parameters`` sets."""
    tree = defuse.tree_of(cell.source)
    found: dict[str, Any] = {}
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        try:
            plain = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        if _storable(plain):
            found |= {target.id: plain for target in targets if isinstance(target, ast.Name)}
    return found


def _storable(value: Any) -> bool:
    """Whether YAML holds it as it is."""
    if isinstance(value, list):
        return all(map(_storable, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _storable(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def uses(cells: Iterable[Cell]) -> set[str]:
    """The names that these cells need."""
    return {name for cell in cells for name in (*names_of(cell.source).loads, *names_of(cell.source).later)}


def imports(cells: Iterable[Cell]) -> set[str]:
    """Every part of the names of modules that these cells import."""
    found: set[str] = set()
    for cell in cells:
        tree = defuse.tree_of(cell.source)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                found |= {part for alias in node.names for part in alias.name.split(".")}
            elif isinstance(node, ast.ImportFrom):
                found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return found
