"""The literals, and the names, in which two sources differ that are otherwise the same."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass

from nbledger.core import defuse
from nbledger.core.syntax import SEED_CALLS, Plain, assignment, body, called, is_literal, is_seed, magics, only_shows


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
        return is_seed(self.name) or (self.place in ("argument", "keyword") and self.call in SEED_CALLS)


def literals(old: str, new: str) -> tuple[Literal, ...] | None:
    """The literals in which two sources differ; None where they differ in more than literals."""
    a, b = (defuse.tree_of(body(text)) for text in (old, new))
    if a is None or b is None or magics(body(old)) != magics(body(new)):
        return None
    for tree in (a, b):
        tree.body = [s for s in Plain().visit(tree).body if not only_shows(s)]
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
    if isinstance(a, ast.arguments) and isinstance(b, ast.arguments):
        return _walk_arguments(a, b, found)
    if isinstance(a, ast.Call) and isinstance(b, ast.Call):
        return _walk_call(a, b, where, found)
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
    pairs = _parts(a, b)
    if pairs is not None:
        place = "assigned" if top else "inside"
        return all(
            _walk(x, y, _Where(name, place if owned else "key" if top else "inside"), found)
            for name, owned, x, y in pairs
        )
    return type(a) is type(b) and _walk_fields(a, b, found, _Where())


def _parts(a: ast.stmt, b: ast.stmt) -> list[tuple[str, bool, ast.expr, ast.expr]] | None:
    """(name, whether it is a variable, old value, new value) of assignments to several names, an item or an attribute."""
    if not (isinstance(a, ast.Assign) and isinstance(b, ast.Assign) and len(a.targets) == len(b.targets) == 1):
        return None
    target, value, other = a.targets[0], a.value, b.value
    if ast.dump(target) != ast.dump(b.targets[0]):
        return None
    if isinstance(target, ast.Attribute):
        return [(target.attr, False, value, other)]
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return [(str(target.slice.value), False, value, other)]
    sides = [x.elts for x in (target, value, other) if isinstance(x, ast.Tuple | ast.List)]
    if len(sides) < 3 or len({len(x) for x in sides}) > 1 or not all(isinstance(x, ast.Name) for x in sides[0]):
        return None
    return [(x.id, True, y, z) for x, y, z in zip(*sides, strict=True) if isinstance(x, ast.Name)]


def _walk_arguments(a: ast.arguments, b: ast.arguments, found: list[Literal]) -> bool:
    """The defaults by the names of their arguments, then the rest."""
    ends = [x.arg for x in (*a.posonlyargs, *a.args)][len(a.posonlyargs) + len(a.args) - len(a.defaults) :]
    if len(a.defaults) != len(b.defaults) or len(a.kw_defaults) != len(b.kw_defaults):
        return False
    pairs = [*zip(ends, a.defaults, b.defaults, strict=True)]
    for argument, x, y in zip(a.kwonlyargs, a.kw_defaults, b.kw_defaults, strict=True):
        if (x is None) != (y is None):
            return False
        if x is not None and y is not None:
            pairs.append((argument.arg, x, y))
    if not all(_walk(x, y, _Where(name, "default"), found) for name, x, y in pairs):
        return False
    bare = [copy.copy(side) for side in (a, b)]
    for side in bare:
        side.defaults, side.kw_defaults = [], []
    return _walk_fields(bare[0], bare[1], found, _Where())


def _walk_call(a: ast.Call, b: ast.Call, where: _Where, found: list[Literal]) -> bool:
    name = called(a)
    place = "key" if name == "dict" and where.place in ("assigned", "key") else "keyword"
    if len(a.args) != len(b.args) or [k.arg for k in a.keywords] != [k.arg for k in b.keywords]:
        return False
    if not _walk(a.func, b.func, _Where(), found):
        return False
    for x, y in zip(a.args, b.args, strict=True):
        if not _walk(x, y, _Where("", "argument", name), found):
            return False
    return all(
        _walk(x.value, y.value, _Where(x.arg or "", place, name), found)
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
    x, y = Plain().visit(a), Plain().visit(b)
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
