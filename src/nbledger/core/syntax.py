"""Cells and modules below their text: what stays the same under formatting, and the literals in which two differ."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nbledger.core import defuse

_HEADER = re.compile(r"\s*(?:# )?%%(?:mlrun|stage)\b[^\n]*\n?")
_MAGIC = re.compile(r"^\s*(?:[A-Za-z_][\w, ]*=\s*)?([%!].*)$")
_VERB = re.compile(r"%(?:load_ext\s+nbledger|ledger|track_data|runs|compare_runs|reproduce|mlrun\s+show)\b")
_INERT = ("%%time", "%%capture", "%%prun")
_TIMING = re.compile(r"%(?:time|timeit|prun)\s+[^-\s]")
_SEED_NAME = re.compile(r"(?:^|_)(?:seeds?|random_?state|rng|random_seed)(?:$|_|\d)", re.IGNORECASE)
SEED_CALLS = frozenset(
    (
        "seed",
        "manual_seed",
        "manual_seed_all",
        "default_rng",
        "RandomState",
        "SeedSequence",
        "PRNGKey",
        "PCG64",
        "MT19937",
        "Philox",
        "seed_everything",
        "set_seed",
        "set_random_seed",
    )
)
_SHOWN_CALLS = frozenset(("print", "display", "help", "plot", "show", "savefig", "head", "tail", "describe", "info"))
_PLOTS = frozenset(("plt", "sns", "ax", "axes", "fig", "px", "pylab", "alt"))


def is_seed(name: str) -> bool:
    """Whether a name is one that seeds are given: ``seed``, ``random_state``, ``SEED_SPLIT``, ``rng``."""
    return _SEED_NAME.search(name) is not None


def body(source: str) -> str:
    """The source without the header of a tracked cell, which names the run and says what to record."""
    return _HEADER.sub("", source, count=1) if _HEADER.match(source) else source


def same_number(x: str, y: str) -> bool:
    """``1`` and ``1.0``, ``1e3`` and ``1000``."""
    try:
        return float(x) == float(y)
    except ValueError:
        return False


def only_asks(source: str) -> bool:
    """Whether a cell holds nothing but verbs of nbledger, which version, record and show, and compute nothing."""
    lines = [line.strip() for line in source.splitlines()]
    return all(_VERB.match(line) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True)
class Shape:
    """What of a source its effect depends on: ``exact`` is blind to comments, formatting and docstrings; ``effect``
    also to what only shows something; ``skeleton`` also to literals assigned at the top level, which are ``assigned``;
    ``seedless`` also to seeds.
    """

    exact: str
    effect: str
    skeleton: str
    seedless: str
    assigned: Mapping[str, str]


@lru_cache(8192)
def shape(source: str) -> Shape:
    """The shape of a cell or a module. Text that is not Python is its own shape, trailing white space apart."""
    text = body(source)
    tree = defuse.tree_of(text)
    if tree is None:
        plain = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
        return Shape(plain, plain, plain, plain, {})
    lines = magics(text)
    tree = Plain().visit(tree)
    exact = ast.dump(tree) + lines
    tree.body = [s for s in tree.body if not only_shows(s)]
    effect = ast.dump(tree) + lines
    assigned: dict[str, str] = {}
    bare = _without_assigned(copy.deepcopy(tree), assigned)
    skeleton = ast.dump(bare) + lines
    return Shape(exact, effect, skeleton, ast.dump(_Seedless().visit(bare)) + lines, assigned)


def magics(text: str) -> str:
    """The magic and shell lines of a cell; of those that only time a statement, which is in the tree, their names."""
    if _compiles(text):
        return ""  # a line may look like one inside a string
    found = (match[1].rstrip() for line in text.splitlines() if (match := _MAGIC.match(line)))
    kept = (line for line in found if line.partition(" ")[0] not in _INERT)
    return "\n".join(line.partition(" ")[0] if _TIMING.match(line) else line for line in kept)


def _compiles(text: str) -> bool:
    try:
        compile(text, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


class Plain(ast.NodeTransformer):
    """Takes out docstrings and other statements that are only a constant, and annotations' and types' comments."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> ast.AST | None:
        return None

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        node.kind = None
        return node


def only_shows(statement: ast.stmt) -> bool:
    """A top-level statement whose only effect is what a person sees."""
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    if isinstance(value, ast.Name | ast.Attribute | ast.Subscript | ast.JoinedStr):
        return True
    if not isinstance(value, ast.Call):
        return False
    return called(value) in _SHOWN_CALLS or _root(value.func) in _PLOTS


def called(node: ast.Call) -> str:
    """The last name of what is called: ``seed`` of ``np.random.seed(1)``."""
    function = node.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def assignment(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """(name, value) of ``name = value`` and ``name: type = value``."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value is not None:
        return statement.target.id, statement.value
    return None


def settings(statement: ast.stmt) -> Iterator[tuple[str, str, ast.expr]]:
    """(what it belongs to or nothing, name, literal) of every name, key and attribute that a statement sets to one."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    target, value = targets[0], statement.value
    if len(targets) > 1:
        return
    if isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        pairs = list(zip(target.elts, value.elts, strict=False)) if len(target.elts) == len(value.elts) else []
    else:
        pairs = [(target, value)]
    for place, item in pairs:
        owner, name = _named(place)
        if name and is_literal(item) and not isinstance(item, ast.Dict):
            yield owner, name, item
        elif isinstance(place, ast.Name):
            yield from ((place.id, key, inner) for key, inner in _items(item) if is_literal(inner))


def _named(target: ast.expr) -> tuple[str, str]:
    if isinstance(target, ast.Name):
        return "", target.id
    if isinstance(target, ast.Attribute):
        return _root(target), target.attr
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return _root(target), str(target.slice.value)
    return "", ""


def _items(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Keys and values of a dictionary written out."""
    if isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, item
    elif isinstance(value, ast.Call) and called(value) == "dict":
        yield from ((k.arg, k.value) for k in value.keywords if k.arg)


def is_literal(node: ast.AST) -> bool:
    """Whether an expression is written out whole: a constant, arithmetic on constants, or containers of such."""
    if isinstance(node, ast.Constant):
        return node.value is not Ellipsis
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd | ast.Not) and is_literal(node.operand)
    if isinstance(node, ast.BinOp):
        return is_literal(node.left) and is_literal(node.right)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return all(is_literal(e) for e in node.elts)
    if isinstance(node, ast.Dict):
        return all(k is not None and is_literal(k) for k in node.keys) and all(is_literal(v) for v in node.values)
    return False


def _without_assigned(tree: ast.Module, assigned: dict[str, str]) -> ast.Module:
    for statement in tree.body:
        found = assignment(statement)
        if found is None or not is_literal(found[1]):
            continue
        name, value = found
        assigned[name] = ast.unparse(value)
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            statement.value = ast.Constant(Ellipsis)
    return tree


def only_sets(source: str) -> bool:
    """Whether a cell does nothing but set names to literals."""
    tree = defuse.tree_of(body(source))
    if tree is None:
        return False
    statements = Plain().visit(tree).body
    found = [assignment(s) for s in statements]
    return bool(found) and all(x is not None and is_literal(x[1]) for x in found)


class _Seedless(ast.NodeTransformer):
    """Takes out seeds: their keywords, the arguments of generators' constructors, and calls that only set one."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [k for k in node.keywords if not (k.arg and is_seed(k.arg))]
        if called(node) in SEED_CALLS:
            node.args = []
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Call) and called(node.value) in SEED_CALLS:
            return None
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if _sets_seed(node) else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return None if _sets_seed(node) else self.generic_visit(node)


def _sets_seed(statement: ast.stmt) -> bool:
    found = assignment(statement)
    return found is not None and is_seed(found[0]) and _is_bare(found[1])


def _is_bare(node: ast.expr) -> bool:
    """A literal, or the place of one."""
    return is_literal(node) or (isinstance(node, ast.Constant) and node.value is Ellipsis)


def defined(source: str) -> dict[str, str]:
    """{name: what it is, formatting aside} of a module's top-level definitions; everything else under an empty name."""
    tree = defuse.tree_of(source)
    if tree is None:
        return {"": source}
    found: dict[str, str] = {}
    for statement in Plain().visit(tree).body:
        for name in _defines(statement) or [""]:
            found[name] = found.get(name, "") + ast.dump(statement)
    return found


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [t.id for t in statement.targets if isinstance(t, ast.Name)]
    found = assignment(statement)
    return [found[0]] if found else []


def words(source: str) -> set[str]:
    """Every identifier in a source: names, attributes, what is imported."""
    tree = defuse.tree_of(body(source))
    return set(_identifiers(tree)) if tree is not None else set(re.findall(r"[A-Za-z_]\w*", source))


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from node.module.split(".")


def imports(source: str) -> set[str]:
    """Top-level names of the packages that a source imports, anywhere in it."""
    tree = defuse.tree_of(body(source))
    found: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def imported_as(source: str) -> set[str]:
    """The names under which a source imports things at its top level."""
    tree = defuse.tree_of(body(source))
    found = [s for s in (tree.body if tree is not None else ()) if isinstance(s, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for s in found for alias in s.names}
