"""Cells and modules below their text: what stays the same under formatting, and the literals in which two differ."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nbledger.core import defuse

_HEADER = re.compile(r"\s*(?:# )?%%mlrun\b[^\n]*\n?")
_MAGIC = re.compile(r"^\s*(?:[A-Za-z_][\w, ]*=\s*)?([%!].*)$")
_TIMING = re.compile(r"%(?:time|timeit|prun)\s+[^-\s]")
_SEED_NAME = re.compile(r"(?:^|_)(?:seeds?|random_?state|rng|random_seed)(?:$|_|\d)", re.IGNORECASE)
_SEED_CALLS = frozenset(
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


@dataclass(frozen=True)
class Literal:
    """One literal that is ``old`` in one source and ``new`` in the other (as written; empty where absent).

    ``name`` is what it is called there: the variable it is assigned to, the key, the keyword; ``place``: assigned
    (at the top level of a cell), key, keyword, argument, default or inside. ``call`` is the function it is given to.
    """

    name: str
    old: str
    new: str
    place: str = "inside"
    call: str = ""

    @property
    def seed(self) -> bool:
        return is_seed(self.name) or (self.place in ("argument", "keyword") and self.call in _SEED_CALLS)


def is_seed(name: str) -> bool:
    """Whether a name is one that seeds are given: ``seed``, ``random_state``, ``SEED_SPLIT``, ``rng``."""
    return _SEED_NAME.search(name) is not None


def body(source: str) -> str:
    """The source without the header of a tracked cell, which names the run and says what to record."""
    return _HEADER.sub("", source, count=1) if _HEADER.match(source) else source


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
    tree = _Plain().visit(tree)
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
    return "\n".join(line.partition(" ")[0] if _TIMING.match(line) else line for line in found)


def _compiles(text: str) -> bool:
    try:
        compile(text, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


class _Plain(ast.NodeTransformer):
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
    statements = _Plain().visit(tree).body
    found = [assignment(s) for s in statements]
    return bool(found) and all(x is not None and is_literal(x[1]) for x in found)


class _Seedless(ast.NodeTransformer):
    """Takes out seeds: their keywords, the arguments of generators' constructors, and calls that only set one."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [k for k in node.keywords if not (k.arg and is_seed(k.arg))]
        if called(node) in _SEED_CALLS:
            node.args = []
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Call) and called(node.value) in _SEED_CALLS:
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


def literals(old: str, new: str) -> tuple[Literal, ...] | None:
    """The literals in which two sources differ; None where they differ in more than literals."""
    a, b = (defuse.tree_of(body(text)) for text in (old, new))
    if a is None or b is None or magics(body(old)) != magics(body(new)):
        return None
    for tree in (a, b):
        tree.body = [s for s in _Plain().visit(tree).body if not only_shows(s)]
    found: list[Literal] = []
    return tuple(found) if _walk(a, b, _Where(top=True), found) else None


@dataclass(frozen=True)
class _Where:
    name: str = ""
    place: str = "inside"
    call: str = ""
    top: bool = False


def _walk(a: ast.AST, b: ast.AST, where: _Where, found: list[Literal]) -> bool:
    """Whether the trees are the same but for literals, which are added to ``found``."""
    if isinstance(a, ast.Dict) and isinstance(b, ast.Dict) and _same_keys(a, b):
        return _walk_dict(a, b, where, found)
    if is_literal(a) and is_literal(b):
        old, new = ast.unparse(a), ast.unparse(b)
        if old != new:
            found.append(Literal(where.name, old, new, where.place, where.call))
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, ast.Module) and isinstance(b, ast.Module):
        if len(a.body) != len(b.body):
            return False
        return all(_walk_statement(x, y, found, top=True) for x, y in zip(a.body, b.body, strict=True))
    if isinstance(a, ast.Call) and isinstance(b, ast.Call):
        return _walk_call(a, b, found)
    if isinstance(a, ast.stmt) and isinstance(b, ast.stmt):
        return _walk_statement(a, b, found, top=False)
    return _walk_fields(a, b, found, where if isinstance(a, ast.Dict) else _Where())


def _walk_fields(a: ast.AST, b: ast.AST, found: list[Literal], where: _Where) -> bool:
    for name in a._fields:
        left, right = getattr(a, name, None), getattr(b, name, None)
        if isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            pairs = list(zip(left, right, strict=True))
        else:
            pairs = [(left, right)]
        for x, y in pairs:
            if isinstance(x, ast.AST) and isinstance(y, ast.AST):
                if not _walk(x, y, where, found):
                    return False
            elif x != y:
                return False
    return True


def _walk_statement(a: ast.stmt, b: ast.stmt, found: list[Literal], *, top: bool) -> bool:
    left, right = assignment(a), assignment(b)
    if left and right and left[0] == right[0]:
        return _walk(left[1], right[1], _Where(left[0], "assigned" if top else "inside"), found)
    if isinstance(a, ast.FunctionDef) and isinstance(b, ast.FunctionDef):
        names = [x.arg for x in (*a.args.posonlyargs, *a.args.args)][-len(a.args.defaults) :] if a.args.defaults else []
        if len(a.args.defaults) != len(b.args.defaults):
            return False
        for name, x, y in zip(names, a.args.defaults, b.args.defaults, strict=True):
            if not _walk(x, y, _Where(name, "default", a.name), found):
                return False
        a, b = copy.copy(a), copy.copy(b)
        a.args, b.args = copy.copy(a.args), copy.copy(b.args)
        a.args.defaults, b.args.defaults = [], []
    return type(a) is type(b) and _walk_fields(a, b, found, _Where())


def _walk_call(a: ast.Call, b: ast.Call, found: list[Literal]) -> bool:
    name = called(a)
    if len(a.args) != len(b.args) or [k.arg for k in a.keywords] != [k.arg for k in b.keywords]:
        return False
    if not _walk(a.func, b.func, _Where(), found):
        return False
    for x, y in zip(a.args, b.args, strict=True):
        if not _walk(x, y, _Where("", "argument", name), found):
            return False
    return all(
        _walk(x.value, y.value, _Where(x.arg or "", "keyword", name), found)
        for x, y in zip(a.keywords, b.keywords, strict=True)
    )


def _same_keys(a: ast.Dict, b: ast.Dict) -> bool:
    keys = [[ast.unparse(k) if k is not None else None for k in d.keys] for d in (a, b)]
    return keys[0] == keys[1]


def _walk_dict(a: ast.Dict, b: ast.Dict, where: _Where, found: list[Literal]) -> bool:
    for key, x, y in zip(a.keys, a.values, b.values, strict=True):
        name = str(key.value) if isinstance(key, ast.Constant) else ""
        if not _walk(x, y, _Where(name, "key" if where.place in ("assigned", "key") else "inside"), found):
            return False
    return True


def defined(source: str) -> dict[str, str]:
    """{name: what it is, formatting aside} of a module's top-level definitions; everything else under an empty name."""
    tree = defuse.tree_of(source)
    if tree is None:
        return {"": source}
    found: dict[str, str] = {}
    for statement in _Plain().visit(tree).body:
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


def renames(old: str, new: str) -> dict[str, str] | None:
    """{name in the old source: name in its place in the new one} of two sources that are the same but for names; None
    where they differ in more. What is imported or an attribute keeps its name.
    """
    if magics(body(old)) != magics(body(new)):
        return None
    a, b = (defuse.tree_of(body(text)) for text in (old, new))
    if a is None or b is None:
        return None
    found: dict[str, str] = {}
    x, y = _Plain().visit(a), _Plain().visit(b)
    return found if _same_but_names(x, y, found) else None


def bound(source: str) -> set[str]:
    """Every name that a source sets, at the top or inside functions; not those that it imports."""
    tree = defuse.tree_of(body(source))
    found: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def _same_but_names(a: object, b: object, found: dict[str, str]) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same_but_names(x, y, found) for x, y in zip(a, b, strict=True))
    if not isinstance(a, ast.AST):
        return a == b
    for field in a._fields:
        left, right = getattr(a, field, None), getattr(b, field, None)
        if (type(a), field) in _NAMED and isinstance(left, str) and isinstance(right, str):
            if found.setdefault(left, right) != right:
                return False
        elif not _same_but_names(left, right, found):
            return False
    return True


_NAMED = {(ast.Name, "id"), (ast.arg, "arg"), (ast.FunctionDef, "name"), (ast.ClassDef, "name")}
