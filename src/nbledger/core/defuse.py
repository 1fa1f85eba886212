"""Which module-level names does a cell define, change and need? Definition and use, from the syntax tree alone."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

_LINE_MAGIC = re.compile(r"^(\s*)(?:(%|!|\?)|([A-Za-z_][\w, ]*=\s*)(%|!))(.*)$")
_HELP = re.compile(r"^\s*[\w.*%]+\?{1,2}\s*$")
_PYTHON_MAGICS = frozenset(
    ("time", "timeit", "capture", "prun", "mlrun", "stage", "memit", "mprun", "debug", "snakeviz")
)
_FOREIGN_MAGICS = frozenset(
    (
        "bash",
        "sh",
        "script",
        "html",
        "HTML",
        "javascript",
        "js",
        "latex",
        "markdown",
        "svg",
        "SVG",
        "writefile",
        "file",
        "perl",
        "ruby",
        "cmd",
        "system",
        "sx",
        "!",
    )
)
_OPAQUE_MAGICS = ("run", "store", "load", "pylab", "cython", "reset", "who_ls", "edit", "macro")
# A discarded call changes its arguments, or why make it? Not these.
_HARMLESS = frozenset(("print", "display", "help", "len", "repr", "type", "dir", "isinstance", "id", "plot", "show"))
# Methods that only show, note down or wait; every other method whose result is dropped may have changed its object.
SHOWING = frozenset(
    (
        "head",
        "tail",
        "describe",
        "info",
        "show",
        "print",
        "sample",
        "to_csv",
        "to_parquet",
        "to_json",
        "to_excel",
        "to_pickle",
        "value_counts",
        "savefig",
        "dump",
        "save",
        "savez",
        "savetxt",
        "urlretrieve",
        "summary",
        "hist",
        "plot",
        "count",
        "items",
        "keys",
        "values",
        "copy",
        "corr",
        "nunique",
        "unique",
        "predict",
        "score",
        "mean",
        "sum",
        "display",
        "sleep",
        "log_metric",
        "log_metrics",
        "log_param",
        "log_params",
        "log_artifact",
        "log_artifacts",
        "log_figure",
        "log_text",
        "log_dict",
        "log_image",
        "log_table",
        "log_model",
        "set_tag",
        "set_tags",
        "title",
        "suptitle",
        "xlabel",
        "ylabel",
        "legend",
        "tight_layout",
    )
)
# What these draw is gone when the cell ends (inline figures are closed then), but for what they set for all figures.
_DRAWING = frozenset(("plt", "sns", "px"))
_FOR_ALL = frozenset(("rc", "rcdefaults", "update", "use", "set", "switch_backend", "ion", "ioff", "xkcd"))
# Methods that change their object even where the result is kept.
CHANGING = frozenset(
    (
        "fit",
        "fit_transform",
        "fit_predict",
        "partial_fit",
        "fit_resample",
        "append",
        "extend",
        "update",
        "add",
        "insert",
        "pop",
        "popitem",
        "remove",
        "clear",
        "sort",
        "reverse",
        "setdefault",
        "discard",
        "load_state_dict",
        "step",
        "backward",
        "train",
        "compile",
        "seed",
        "shuffle",
        "__setitem__",
        "next",
    )
)


@dataclass(frozen=True)
class Names:
    """``binds``: certainly set anew; ``may_bind``: set on some path, or changed in place; ``loads``: needed at once;
    ``later``: needed when a function defined here is called; ``accumulates``: changed by ``+=`` and the like without
    being set here first; ``changes``: those of ``may_bind`` that are changed in place. ``opaque``: the cell cannot be
    read, so it may define and change anything.
    """

    binds: frozenset[str] = frozenset()
    may_bind: frozenset[str] = frozenset()
    loads: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    accumulates: frozenset[str] = frozenset()
    opaque: bool = False
    changes: frozenset[str] = frozenset()


@lru_cache(4096)
def names_of(source: str) -> Names:
    """The names of one cell as it was typed, magics included."""
    body, header, foreign = _without_cell_magic(source)
    if foreign:
        return Names(loads=frozenset(header))
    tree, opaque = _parse(body)
    if tree is None:
        return Names(opaque=True)
    return _names(tree.body, opaque, header)


def names_of_statement(statement: ast.stmt) -> Names:
    """The names of one statement."""
    return _names([statement])


def _names(statements: Iterable[ast.stmt], opaque: bool = False, header: Iterable[str] = ()) -> Names:
    scan = _Scan()
    for statement in statements:
        scan.top(statement)
    return Names(
        frozenset(scan.binds),
        frozenset(scan.may_bind),
        frozenset(scan.loads | (set(header) - scan.binds)),  # looked up when the body has run
        frozenset(scan.later - scan.binds),
        frozenset(scan.accumulates),
        opaque or scan.opaque,
        frozenset(scan.changes),
    )


def header_names(source: str) -> tuple[str, ...]:
    """The variables that the first line of a tracked cell asks for."""
    return tuple(_without_cell_magic(source)[1])


def body_of(source: str) -> list[ast.stmt] | None:
    """The statements of a cell, with those that its cell magic stands for (``%%capture out`` sets a name); None where
    it is not Python.
    """
    tree = _parse(_without_cell_magic(source)[0])[0]
    return None if tree is None else tree.body


def tree_of(source: str) -> ast.Module | None:
    """The syntax tree of a cell as it was typed, every statement on its own line number, magics taken out; None where
    it is not Python (or another language's cell).
    """
    lines = source.splitlines()
    magic = "stage"
    while magic == "stage":
        first = next((i for i, line in enumerate(lines) if line.strip()), 0)
        magic = lines[first][2:].partition(" ")[0] if lines and lines[first].startswith("%%") else ""
        if magic in _FOREIGN_MAGICS:
            return None
        if magic:
            lines[first] = ""
    return _parse("\n".join(lines))[0]


def shared(x: str, y: str) -> frozenset[str]:
    """Names that one of two cells sets and the other sets or needs: why their order matters."""
    m, n = names_of(x), names_of(y)
    sets_m, sets_n = m.binds | m.may_bind, n.binds | n.may_bind
    return (sets_m & (sets_n | n.loads | n.later)) | (sets_n & (m.loads | m.later))


def touch(x: str, y: str) -> bool:
    """Whether the order of two cells may matter, as far as their source tells."""
    return bool(shared(x, y)) or names_of(x).opaque or names_of(y).opaque


def _without_cell_magic(source: str) -> tuple[str, list[str], bool]:
    """(Python body, names in the header, is it another language)."""
    text = source.lstrip()
    if not text.startswith("%%"):
        return source, [], False
    header, _, body = text.partition("\n")
    magic, _, rest = header[2:].partition(" ")
    if magic == "stage" and body.lstrip().startswith("%%"):  # it runs what is below it as a cell of its own
        return _without_cell_magic(body)
    if magic in _FOREIGN_MAGICS:
        return "", [], True
    if magic == "capture" and rest.split() and rest.split()[0].isidentifier():
        body = f"{rest.split()[0]} = None\n{body}"
    elif magic in ("time", "timeit", "prun") and rest and not rest.startswith("-"):
        body = f"{rest}\n{body}"
    if magic not in _PYTHON_MAGICS and _parse(body)[0] is None:
        return "\x00", [], False  # a language of its own: not readable, so anything may depend on it
    return body, _mlrun_names(rest) if magic == "mlrun" else [], False


def _mlrun_names(header: str) -> list[str]:
    """Variables that ``%%mlrun -m NAME -m NAME.PART -p NAME --model NAME`` will look up; ``-p K=V`` gives the value."""
    try:
        words = shlex.split(header)
    except ValueError:
        words = header.split()
    values: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option in ("-m", "-p", "--metric", "--param", "--model", "--example"):
            values.append(value if equals else following)
        elif re.fullmatch(r"-[mp]\S+", word):
            values.append(word[2:])
    names = [v.partition(".")[0] for v in values if "=" not in v]
    return [n for n in names if n.isidentifier()]


def _parse(source: str) -> tuple[ast.Module | None, bool]:
    """(tree, whether something in it may define any name); magic lines are taken out when they stand in the way."""
    tree = _compile(source)
    if tree is not None:
        return tree, False
    lines, opaque = [], False
    for line in source.splitlines():
        plain, unknown = _without_magic(line)
        lines.append(plain)
        opaque |= unknown
    return _compile("\n".join(lines)), opaque


def _compile(source: str) -> ast.Module | None:
    try:
        tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def _without_magic(line: str) -> tuple[str, bool]:
    if _HELP.match(line):
        return re.match(r"\s*", line)[0] + "pass", False  # type: ignore[index]
    match = _LINE_MAGIC.match(line)
    if match is None:
        return line, False
    indent, mark, target, target_mark, rest = match.groups()
    name, _, argument = rest.strip().partition(" ")
    is_magic = (mark or target_mark) == "%"
    if is_magic and name in ("time", "timeit", "prun") and argument and not argument.startswith("-"):
        return f"{indent}{target or ''}{argument}", False
    opaque = is_magic and name in _OPAQUE_MAGICS
    return f"{indent}{target}None" if target else f"{indent}pass", opaque


@dataclass
class _Scan(ast.NodeVisitor):
    """Walks a cell's statements in order. ``certain`` is off inside branches and loops."""

    binds: set[str] = field(default_factory=set)
    may_bind: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    accumulates: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    opaque: bool = False
    certain: bool = True
    comprehension: list[set[str]] = field(default_factory=list)
    maybe: set[str] = field(default_factory=set)  # bound on some path
    blocks: list[set[str]] = field(default_factory=list)  # bound so far in the branches and loops around

    def top(self, statement: ast.stmt) -> None:
        self.visit(statement)

    def _bind(self, name: str) -> None:
        if self.certain:
            self.binds.add(name)
            return
        self.may_bind.add(name)
        self.maybe.add(name)
        if self.blocks:
            self.blocks[-1].add(name)

    def _load(self, name: str) -> None:
        if name not in self.binds and not any(name in scope for scope in (*self.comprehension, *self.blocks)):
            self.loads.add(name)

    def _block(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Visit what runs on some paths only; what it has bound when it ends."""
        before, self.certain = self.certain, False
        self.blocks.append(set())
        for node in nodes:
            self.visit(node)
        self.certain = before
        return self.blocks.pop()

    def _bind_all(self, names: Iterable[str]) -> None:
        for name in names:
            self._bind(name)

    def _change(self, name: str) -> None:
        self._load(name)
        self.may_bind.add(name)
        self.changes.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._load(node.id)
            self.opaque |= node.id in ("exec", "globals") and node.id not in self.binds
        else:
            self._bind(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._target(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self._target(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        root = root_of(node.target)
        if isinstance(node.target, ast.Name) and root not in self.binds and root is not None:
            self.accumulates.add(root)
            self._load(root)
            self._bind(root)
        else:
            self._target(node.target)

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple | ast.List):
            for part in node.elts:
                self._target(part)
        elif isinstance(node, ast.Starred):
            self._target(node.value)
        elif isinstance(node, ast.Attribute | ast.Subscript):
            root = root_of(node)
            self.generic_visit(node)
            if root is not None:
                self._change(root)
        else:
            self.visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target.id)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.opaque |= alias.name == "*"
            self._bind(alias.asname or alias.name)

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(value, ast.Call):
            self._discarded(value)
        self.visit(node.value)

    def _discarded(self, call: ast.Call) -> None:
        """A statement that is a call was made for what it does."""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if isinstance(call.func, ast.Attribute):
            root = root_of(call.func)
            if root in _DRAWING and name not in _FOR_ALL and not name.startswith("set_"):
                return
            if root is not None and name not in SHOWING:
                self._change(root)
        if name not in _HARMLESS | SHOWING:
            for argument in (*call.args, *(k.value for k in call.keywords)):
                if isinstance(argument, ast.Name):
                    self._change(argument.id)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            root = root_of(node.func)
            in_place = any(
                k.arg == "inplace" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
                for k in node.keywords
            )
            if root is not None and (in_place or node.func.attr in CHANGING):
                self._change(root)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        one, other = self._block(node.body), self._block(node.orelse)
        self._bind_all(one & other)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._block(node.body)
        self._block(node.orelse)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        # In the body the loop's variables are set, though after a loop over nothing they are not.
        before, self.certain = self.certain, False
        self.blocks.append(set())
        self._target(node.target)
        for part in node.body:
            self.visit(part)
        self.blocks.pop()
        self.certain = before
        self._block(node.orelse)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_Try(self, node: ast.Try) -> None:
        tried = self._block([*node.body, *node.orelse])
        handled = [self._block([handler]) for handler in node.handlers]
        self._bind_all(tried.intersection(*handled))
        for part in node.finalbody:
            self.visit(part)

    def visit_TryStar(self, node: ast.AST) -> None:
        self._block(ast.iter_child_nodes(node))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.comprehension.append({node.name} if node.name else set())
        self.generic_visit(node)
        self.comprehension.pop()

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        for case in node.cases:
            self._block([case])

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._bind(node.name)

    def _comprehended(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        scope = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        self.visit(node.generators[0].iter)
        self.comprehension.append(scope)
        before, self.certain = self.certain, False
        for number, generator in enumerate(node.generators):
            if number:
                self.visit(generator.iter)
            for test in generator.ifs:
                self.visit(test)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self.certain = before
        self.comprehension.pop()

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehended  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in _defaults(node.args):
            self.visit(default)
        self._deferred([node.body], node.args)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, *_defaults(node.args), *_annotations(node)):
            self.visit(part)
        self._bind(node.name)
        self._deferred(node.body, node.args)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        inner = _Scan(comprehension=[*self.comprehension, set(self.binds)])
        for statement in node.body:
            inner.visit(statement)
        self.loads |= inner.loads - self.binds
        self.later |= inner.later
        self._bind(node.name)

    def _deferred(self, body: Iterable[ast.AST], arguments: ast.arguments) -> None:
        """A function's body runs later: what it needs then, and what it sets through ``global``."""
        inner = _Scan()
        statements = list(body)
        for statement in statements:
            inner.visit(statement)
        declared = {n for s in statements for node in ast.walk(s) if isinstance(node, ast.Global) for n in node.names}
        own = {a.arg for a in _arguments(arguments)} | inner.binds | inner.maybe
        self.later |= (inner.loads | inner.later) - (own - declared)
        self.may_bind |= declared


def root_of(node: ast.expr) -> str | None:
    """``df`` of ``df.loc[0].x``."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (a for a in (arguments.vararg, arguments.kwarg) if a is not None)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [d for d in (*arguments.defaults, *arguments.kw_defaults) if d is not None]


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    found = [a.annotation for a in _arguments(node.args)] + [node.returns]
    return [a for a in found if a is not None]
