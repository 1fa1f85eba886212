"""A cell's source as statements, each with the names it needs and sets and how it changes what is there already."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from nbledger.core.defuse import CHANGING, SHOWING, Names, body_of, names_of_statement, root_of

# Doing these twice is not doing them once.
_ADDING = frozenset(
    (
        "append",
        "appendleft",
        "extend",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "partial_fit",
        "step",
        "backward",
        "shuffle",
        "next",
        "reverse",
        "rotate",
        "reset_index",
        "write",
        "send",
    )
)
_MUTATORS = frozenset(
    (
        "shuffle",
        "heappush",
        "heappop",
        "heapify",
        "insort",
        "copyto",
        "put",
        "fill_diagonal",
        "setattr",
        "delattr",
        "next",
    )
)


@dataclass(frozen=True)
class Statement:
    """``key`` is the same for statements that do the same: comments, layout and docstrings do not count.

    ``sets`` and ``adds`` are the names changed in place, so that doing it twice is as once, or not; ``calls`` are
    (function, names given as arguments) of calls by plain name. ``imports``: {name: what is imported}. ``mutates``: of a
    function's definition, the positions of the parameters that it changes in place. ``defines``: it only defines a
    function or class, whose body runs later. ``guarded``: it is prepared for names that are not there.
    """

    key: str
    names: Names
    sets: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()
    calls: tuple[tuple[str, tuple[str | None, ...]], ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)
    mutates: frozenset[int] = frozenset()
    defines: bool = False
    guarded: bool = False


@lru_cache(2048)
def statements(source: str) -> tuple[Statement, ...] | None:
    """The statements of a cell as it was typed; None where it is not Python."""
    body = body_of(source)
    return (
        None if body is None else tuple(_statement(node, shown=node is body[-1]) for node in body if not _is_text(node))
    )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _statement(node: ast.stmt, *, shown: bool) -> Statement:
    """``shown``: the value of this statement is what the cell shows, so a call need not be made for what it changes."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return Statement("import", names_of_statement(node), imports=dict(_imported(node)))
    found = _Changes(shown=shown)
    found.visit(node)
    mutates: frozenset[int] = frozenset()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        mutates = _mutated(node)
    defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or (
        isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
    )
    _strip(node)
    sets, adds = frozenset(found.sets - found.adds), frozenset(found.adds)
    return Statement(
        ast.dump(node),
        names_of_statement(node),
        sets,
        adds,
        tuple(found.calls),
        {},
        mutates,
        defines,
        _is_guarded(node),
    )


def _is_guarded(node: ast.stmt) -> bool:
    """``try: x`` … ``except NameError:`` or wider."""
    handlers = [h.type for n in ast.walk(node) if isinstance(n, ast.Try) for h in n.handlers]
    kinds = {n.id for h in handlers if h is not None for n in ast.walk(h) if isinstance(n, ast.Name)}
    return None in handlers or not kinds.isdisjoint(("NameError", "Exception", "BaseException"))


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}:{alias.name}"
        else:
            yield (
                alias.asname or alias.name.partition(".")[0],
                alias.name if alias.asname else alias.name.partition(".")[0],
            )


def _strip(node: ast.stmt) -> None:
    """Take the docstrings out of a definition and those inside it."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and len(inner.body) > 1:
            inner.body = [s for s in inner.body if not _is_text(s)] or inner.body[:1]


def _mutated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[int]:
    found = _Changes()
    for statement in node.body:
        found.visit(statement)
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    changed = found.adds | found.sets
    return frozenset(i for i, name in enumerate(names) if name in changed)


class _Changes(ast.NodeVisitor):
    """Which names does this change in place? Bodies of functions are not entered: they run when called."""

    def __init__(self, *, shown: bool = False) -> None:
        self._shown = shown
        self.sets: set[str] = set()
        self.adds: set[str] = set()
        self.calls: list[tuple[str, tuple[str | None, ...]]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Not entered."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Not entered."""

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Not entered."""

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._target(target, node.value)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._target(node.target, node.value)
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        root = root_of(node.target)
        if root is not None and not isinstance(node.target, ast.Name):
            self.adds.add(root)
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            root = root_of(target)
            if root is not None and not isinstance(target, ast.Name):
                self.adds.add(root)

    def _target(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._target(part, value)
        elif isinstance(target, ast.Attribute | ast.Subscript):
            root = root_of(target)
            if root is not None:
                (self.adds if _reads(value, root, _part(target)) else self.sets).add(root)

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and not self._shown:
            root = root_of(value.func)
            if root is not None and value.func.attr not in SHOWING:
                self.sets.add(root)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        given = tuple(a.id if isinstance(a, ast.Name) else None for a in node.args)
        if isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _MUTATORS and given and given[0]:
            self.adds.add(given[0])
        elif isinstance(node.func, ast.Name) and any(given):
            self.calls.append((node.func.id, given))
        self.generic_visit(node)

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        root = root_of(function)
        if root is None:
            return
        in_place = any(
            k.arg == "inplace" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
            for k in node.keywords
        )
        if function.attr in _ADDING and (in_place or function.attr != "reset_index"):
            self.adds.add(root)
        elif in_place or function.attr in CHANGING:
            self.sets.add(root)


def _part(target: ast.expr) -> str | None:
    """``'a'`` of ``df['a']`` and ``df.a``, the part that is set; None if it cannot be told."""
    if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
        return target.slice.value if _is_name(target.slice) else None  # type: ignore[attr-defined]
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr
    return None


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _reads(value: ast.expr, root: str, part: str | None) -> bool:
    """Does the value come from the part that is being set? ``df['a'] = df['a'] * 2`` does, ``df['c'] = df['a']`` not."""
    seen = _Uses(root)
    seen.visit(value)
    return seen.whole or (bool(seen.parts) and part is None) or part in seen.parts


class _Uses(ast.NodeVisitor):
    """The parts of ``root`` that an expression reads, and whether it may read all of it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.parts: set[str] = set()
        self.whole = False

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == self.root:
            if _is_name(node.slice):
                self.parts.add(node.slice.value)  # type: ignore[attr-defined]
            elif isinstance(node.slice, ast.List) and all(map(_is_name, node.slice.elts)):
                self.parts.update(e.value for e in node.slice.elts)  # type: ignore[attr-defined]
            else:
                self.whole = True
                self.visit(node.slice)
        else:
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == self.root:
            self.parts.add(node.attr)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.whole |= node.id == self.root
