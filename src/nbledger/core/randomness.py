"""What may make a piece of code give another result the next time: chance, time, order, the network.

Two ways to know. ``states`` tells at run time whether the global generators were drawn from, by digests of their
state. ``suspects`` reads source: draws that no seed fixes, iteration over sets, clocks and so on, each with its line.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from nbledger.core import chance
from nbledger.core.defuse import tree_of

UNSEEDED, SET_ORDER, HASH, TIME = "unseeded", "set-order", "hash", "time"
ENTROPY, NETWORK, THREADS, LISTING, ADDRESS = "entropy", "network", "threads", "listing-order", "address"


@dataclass(frozen=True)
class Suspect:
    """``kind`` is one of the constants above, ``line`` counts from 1 in the source as typed, ``what`` is for people.

    ``generator``: of an unseeded draw, the global generator it draws from (``random``, ``numpy``, ``torch``); empty
    for a generator of its own.
    """

    kind: str
    line: int
    what: str
    generator: str = ""


# --- the state of the global generators ------------------------------------------------------------------------------


def states() -> dict[str, str]:
    """{generator: 16 hex digits of its state} of the global generators that are loaded. About 0.1 ms."""
    found = {}
    for name, read in _STATES.items():
        with contextlib.suppress(Exception):
            raw = read()
            if raw is not None:
                found[name] = hashlib.blake2b(raw, digest_size=8).hexdigest()
    return found


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """{generator: (before, after)} of those whose state differs; one that was not loaded before has moved from "?"."""
    return {name: (before.get(name, "?"), state) for name, state in after.items() if before.get(name) != state}


def hashing() -> str:
    """16 hex digits that tell how this process hashes strings: random unless PYTHONHASHSEED fixes it."""
    return hashlib.blake2b(repr((hash("nbledger"), hash("ledger"))).encode(), digest_size=8).hexdigest()


def _python() -> bytes | None:
    random = sys.modules.get("random")
    if random is None:
        return None
    version, words, gauss = random.getstate()
    return array("L", words).tobytes() + repr((version, gauss)).encode()


def _numpy() -> bytes | None:
    random = sys.modules.get("numpy.random")
    if random is None:
        return None
    state = random.get_state(legacy=False)
    inner = state["state"]
    key = inner.get("key")
    rest = {k: v for k, v in inner.items() if k != "key"}
    text = repr((state["bit_generator"], rest, state.get("has_gauss"), state.get("gauss"))).encode()
    return text if key is None else bytes(key.tobytes()) + text


def _torch() -> bytes | None:
    torch = sys.modules.get("torch")
    return None if torch is None else bytes(torch.get_rng_state().numpy().tobytes())


_STATES: dict[str, Callable[[], bytes | None]] = {"random": _python, "numpy": _numpy, "torch": _torch}


# --- what the source says --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Context:
    """What the cells before have made of names. ``aliases``: {name: dotted name of what was imported}; ``values``:
    {variable: "seeded" | "unseeded" | "set"}; ``seeded``: global generators that were given a seed.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    seeded: frozenset[str] = frozenset()


def suspects(source: str, before: Sequence[str] = ()) -> tuple[Suspect, ...]:
    """What in ``source`` may not be deterministic, by line. ``before`` are the sources of the cells that ran before it,
    in order: their imports, generators and seeds count. Source that is not Python has none.
    """
    context = Context()
    for earlier in before:
        context = scan(earlier, context)[1]
    return scan(source, context)[0]


def unseeded(found: Sequence[Suspect]) -> tuple[str, ...]:
    """The generators made without a seed, in words, among suspects."""
    return tuple(s.what for s in found if s.kind == UNSEEDED and s.what.endswith("() without a seed"))


def scan(source: str, context: Context) -> tuple[tuple[Suspect, ...], Context]:
    """The suspects of a source, and the context for what runs after it."""
    tree = _tree(source)
    if tree is None:
        return (), context
    seeded = set(context.seeded)
    if _header_seeds(source):
        seeded |= {"random", "numpy", "torch"}
    walker = _Walker(dict(context.aliases), dict(context.values), seeded)
    for statement in tree.body:
        walker.visit(statement)
    found = tuple(sorted(dict.fromkeys(walker.found), key=lambda s: s.line))
    return found, Context(walker.aliases, walker.values, frozenset(walker.seeded))


@lru_cache(512)
def _tree(source: str) -> ast.Module | None:
    with contextlib.suppress(RecursionError):
        return tree_of(source)
    return None


def _header_seeds(source: str) -> bool:
    first = source.lstrip().partition("\n")[0]
    return first.startswith("%%mlrun") and " --seed" in first


class _Walker(ast.NodeVisitor):
    """Reads statements in order; functions are read where they are defined, as if they ran there."""

    def __init__(self, aliases: dict[str, str], values: dict[str, str], seeded: set[str]) -> None:
        self.aliases, self.values, self.seeded = aliases, values, seeded
        self.found: list[Suspect] = []
        self._ordered = 0  # inside sorted(…), len(…) and the like, order does not matter

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self.aliases[name] = alias.name if alias.asname else name
            self.values.pop(name, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name
            self.aliases[name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            self.values.pop(name, None)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.aliases.pop(target.id, None)
            self.values.pop(target.id, None)
            kind = self._value(value)
            if kind:
                self.values[target.id] = kind
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                for name in (n for n in ast.walk(part) if isinstance(n, ast.Name)):
                    self.values.pop(name.id, None)
        else:
            self.visit(target)

    def _value(self, node: ast.expr) -> str:
        """Is this a set, or a generator with or without a seed? Empty for anything else."""
        if self._is_set(node):
            return "set"
        if isinstance(node, ast.Call):
            name = self._dotted(node.func)
            if name in chance.MAKERS:
                return "unseeded" if self._lacks_seed(node) else "seeded"
        if isinstance(node, ast.Name):
            return self.values.get(node.id, "")
        return ""

    def _lacks_seed(self, node: ast.Call) -> bool:
        """Made without a seed, or around a bit generator made without one (``Generator(PCG64())``)."""
        given = [*node.args[:1], *(k.value for k in node.keywords if k.arg in ("seed", "x", "bit_generator"))]
        if not given:
            return not any(k.arg is None for k in node.keywords)
        if any(isinstance(g, ast.Constant) and g.value is None for g in given):
            return True
        return any(
            (isinstance(g, ast.Call) and self._dotted(g.func) in chance.MAKERS and self._lacks_seed(g))
            or (isinstance(g, ast.Name) and self.values.get(g.id) == "unseeded")
            for g in given
        )

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set):
            return not all(isinstance(e, ast.Constant) and isinstance(e.value, int) for e in node.elts)
        if isinstance(node, ast.SetComp):
            return True
        if isinstance(node, ast.Name):
            return self.values.get(node.id) == "set"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self._is_set(node.left) or self._is_set(node.right)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
                return bool(node.args) and not self._numbers(node.args[0])
            if isinstance(node.func, ast.Attribute) and node.func.attr in chance.SET_METHODS:
                return self._is_set(node.func.value)
        return False

    @staticmethod
    def _numbers(node: ast.expr) -> bool:
        """Whole numbers hash to themselves, so a set of them has the same order every time."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"

    def _dotted(self, node: ast.expr) -> str:
        """``numpy.random.rand`` for ``np.random.rand``; empty where the root was not imported."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.aliases:
            return ""
        return ".".join([self.aliases[node.id], *reversed(parts)])

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        plain = node.func.id if isinstance(node.func, ast.Name) and not name else ""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        self._seed(node, name)
        for suspect in self._judge(node, name, plain, method):
            self.found.append(suspect)
        still = plain in chance.ORDERLESS
        self._ordered += still
        self.generic_visit(node)
        self._ordered -= still

    def _seed(self, node: ast.Call, name: str) -> None:
        generators = chance.SEEDERS.get(name, ())
        fixed = bool(node.args or node.keywords) and not any(
            isinstance(a, ast.Constant) and a.value is None for a in node.args[:1]
        )
        for generator in generators:
            (self.seeded.add if fixed else self.seeded.discard)(generator)

    def _judge(self, node: ast.Call, name: str, plain: str, method: str) -> Iterator[Suspect]:
        line = node.lineno
        if name:
            yield from self._of_library(node, name)
        if plain == "hash" and node.args and not isinstance(node.args[0], ast.Constant | ast.Tuple):
            yield Suspect(HASH, line, "hash() of text depends on PYTHONHASHSEED")
        elif plain == "id":
            yield Suspect(ADDRESS, line, "id() is a memory address")
        elif plain in chance.ORDERED and node.args and not self._ordered and self._is_set(node.args[0]):
            yield Suspect(SET_ORDER, line, f"{plain}() of a set: its order depends on PYTHONHASHSEED")
        root = node.func.value if isinstance(node.func, ast.Attribute) else None
        if root is not None and not name:
            yield from self._of_method(node, root, method)
        yield from self._of_arguments(node, name, plain or method)

    def _of_library(self, node: ast.Call, name: str) -> Iterator[Suspect]:
        line = node.lineno
        generator = chance.generator_of(name)
        if name in chance.MAKERS:
            if self._lacks_seed(node):
                yield Suspect(UNSEEDED, line, f"{name}() without a seed")
        elif generator and generator not in self.seeded:
            yield Suspect(UNSEEDED, line, f"{name}() draws from a generator that no seed fixes", generator)
        elif (chance.takes_random_state(name) and "numpy" not in self.seeded and self._draws(node, name)) or (
            chance.is_draw_of_scipy(name) and "numpy" not in self.seeded and self._draws(node, name)
        ):
            yield Suspect(UNSEEDED, line, f"{name}() without random_state", "numpy")
        kind = chance.kind_of(name)
        if kind and not (kind == LISTING and self._ordered):
            yield Suspect(kind, line, f"{name}() {chance.SAID[kind]}")

    @staticmethod
    def _draws(node: ast.Call, name: str) -> bool:
        given = {k.arg: k.value for k in node.keywords}
        if None in given:
            return False  # **options: not to be read here
        if name.rpartition(".")[2] in chance.ONLY_SHUFFLED:
            shuffled = given.get("shuffle")
            if shuffled is None or (isinstance(shuffled, ast.Constant) and not shuffled.value):
                return False
        state = given.get("random_state")
        return state is None or (isinstance(state, ast.Constant) and state.value is None)

    def _of_method(self, node: ast.Call, root: ast.expr, method: str) -> Iterator[Suspect]:
        line, given = node.lineno, {k.arg for k in node.keywords}
        if isinstance(root, ast.Name) and self.values.get(root.id) == "unseeded" and method in chance.DRAWS:
            yield Suspect(UNSEEDED, line, f"{root.id}.{method}() draws from a generator made without a seed")
        elif method in ("sample", "rvs") and not given & {"random_state", "seed", None}:
            if "numpy" not in self.seeded and (method == "rvs" or self._has("pandas") or self._has("polars")):
                yield Suspect(UNSEEDED, line, f".{method}() without random_state", "numpy")
        elif method == "pop" and not node.args and self._is_set(root):
            yield Suspect(SET_ORDER, line, "pop() of a set: its order depends on PYTHONHASHSEED")
        elif method == "join" and node.args and self._is_set(node.args[0]):
            yield Suspect(SET_ORDER, line, "join() of a set: its order depends on PYTHONHASHSEED")
        elif method in ("iterdir", "glob", "rglob") and not self._ordered:
            yield Suspect(LISTING, line, f".{method}() {chance.SAID[LISTING]}")

    def _of_arguments(self, node: ast.Call, name: str, last: str) -> Iterator[Suspect]:
        line = node.lineno
        for keyword in node.keywords:
            if keyword.arg in ("n_jobs", "num_workers", "nthread"):
                value = keyword.value
                if not isinstance(value, ast.Constant) or value.value not in (None, 0, 1):
                    yield Suspect(THREADS, line, f"{keyword.arg} makes several workers, whose order varies")
        shown = (name or last).rpartition(".")[2]
        if shown.startswith(chance.FETCHING):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    scheme, mark, _ = argument.value.partition("://")
                    if mark and scheme.lower() not in ("file", "sqlite", "duckdb"):
                        yield Suspect(NETWORK, line, f"{shown}() of {scheme}://… {chance.SAID[NETWORK]}")

    def _has(self, package: str) -> bool:
        return any(a.partition(".")[0] == package for a in self.aliases.values())

    def _iterated(self, node: ast.expr) -> None:
        if not self._ordered and self._is_set(node):
            self.found.append(
                Suspect(SET_ORDER, node.lineno, "goes through a set, whose order depends on PYTHONHASHSEED")
            )

    def visit_For(self, node: ast.For) -> None:
        self._iterated(node.iter)
        self.generic_visit(node)

    def _comprehended(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        for generator in node.generators:
            self._iterated(generator.iter)
        self.generic_visit(node)

    visit_ListComp = visit_GeneratorExp = visit_DictComp = _comprehended  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """What a function binds is its own: generators and sets made inside are not known outside."""
        values, aliases = dict(self.values), dict(self.aliases)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            self.values.pop(argument.arg, None)
            self.aliases.pop(argument.arg, None)
        self.generic_visit(node)
        self.values, self.aliases = values, aliases
        self.values.pop(node.name, None)
        self.aliases.pop(node.name, None)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)
