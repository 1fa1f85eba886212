"""What are the names of a session worth? Not their values: how they came about, statement by statement.

Running statements symbolically gives each name a node: the statement that set it and the nodes of what that statement
needed. Two executions that give a name equal digests computed it in the same way, whatever else happened meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nbledger.core.defuse import names_of
from nbledger.core.statements import Statement, statements

_BRINGING = re.compile(r"\bget_ipython\b|^\s*%(?:re)?load_ext\s+(?!nbledger\b|autoreload\b)", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Node:
    """How a name came about. ``key`` of the statement, ``cell`` the index of its cell, ``inputs`` what it needed,
    ``before`` what it changed in place, ``later`` the names that a function looks up when it is called, ``mutates`` the
    positions of those parameters that it changes.
    """

    digest: int
    key: str
    cell: int
    inputs: Mapping[str, Node] = field(default_factory=dict)
    before: Node | None = None
    later: frozenset[str] = frozenset()
    mutates: frozenset[int] = frozenset()
    imported: bool = False


@dataclass(frozen=True)
class Names:
    """The nodes of a session's names after some cells. ``applied``: changes that may be repeated without effect.
    ``unclear``: a cell could not be read (another kernel language, ``exec``, ``%run``, star imports): names that nothing
    binds may come from there.
    """

    nodes: Mapping[str, Node] = field(default_factory=dict)
    applied: Mapping[str, frozenset[int]] = field(default_factory=dict)
    unclear: bool = False


_NEAR = 32

Source = tuple[str, bool]
"""A cell's source, and whether it ran to its end."""


class Memory:
    """Remembers the names after cells of a sequence, so that the next one, mostly the same, costs what is new: after each
    of the last cells, and of those before after every so many, as a long session has many names.
    """

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._states: dict[int, Names] = {}

    def after(self, sources: Sequence[Source]) -> Names:
        """The names after these cells."""
        same = 0
        while same < min(len(sources), len(self._sources)) and sources[same] == self._sources[same]:
            same += 1
        self._states = {count: names for count, names in self._states.items() if count <= same}
        start = max(self._states, default=0)
        state = self._states.get(start, Names())
        for index in range(start, len(sources)):
            state = self._states[index + 1] = run(sources[index], index, state)
            if (index + 1 - _NEAR) % _NEAR:
                self._states.pop(index + 1 - _NEAR, None)
        self._sources = list(sources)
        return state


def run(source: Source, cell: int, names: Names) -> Names:
    """The names after one more cell."""
    text, succeeded = source
    found = statements(text)
    if found is None:
        return names if text.lstrip().startswith("%%") else Names(names.nodes, names.applied, unclear=True)
    nodes, applied = dict(names.nodes), dict(names.applied)
    for statement in found:
        _step(statement, cell, nodes, applied, certain=succeeded)
    return Names(nodes, applied, names.unclear or unclear(text))


def unclear(source: str) -> bool:
    """May this cell bring names that cannot be read in it? Star imports, ``exec``, ``%run``, another extension, or the
    shell asked by hand.
    """
    return names_of(source).opaque or _BRINGING.search(source) is not None


def needed(names: Iterable[str], nodes: Mapping[str, Node]) -> dict[str, Node | None]:
    """These names and, of functions among them, those that they look up when they are called."""
    found: dict[str, Node | None] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = node = nodes.get(name)
            pending.extend(node.later if node else ())
    return found


def _step(
    statement: Statement, cell: int, nodes: dict[str, Node], applied: dict[str, frozenset[int]], *, certain: bool
) -> None:
    for name, what in statement.imports.items():
        nodes[name] = Node(hash(("import", what)), f"import {what}", cell, imported=True)
        applied.pop(name, None)
    if statement.imports:
        return
    names = statement.names
    adds, sets = changed(statement, nodes)
    inputs = {n: node for n, node in needed(loads(statement), nodes).items() if node is not None}
    value = _digest(statement, inputs, ())
    for name in names.binds | (names.may_bind - names.changes):
        old = nodes.get(name)
        if certain and name in names.binds:
            applied.pop(name, None)
            nodes[name] = Node(value, statement.key, cell, inputs, None, names.later, statement.mutates)
        elif value not in applied.get(name, frozenset()):
            applied[name] = applied.get(name, frozenset()) | {value}
            digest = hash((value, old.digest if old else 0))
            nodes[name] = Node(digest, statement.key, cell, inputs, old, names.later, statement.mutates)
    for name in adds | sets:
        _change(statement, name, cell, inputs, nodes, applied, once=name not in adds)


def loads(statement: Statement) -> frozenset[str]:
    """The names that a statement needs when it runs; a lambda that is handed on is taken to be called."""
    return statement.names.loads if statement.defines else statement.names.loads | statement.names.later


def changed(statement: Statement, nodes: Mapping[str, Node]) -> tuple[set[str], set[str]]:
    """(names that repeating it changes again, names that it changes), imported modules apart. Functions of the session
    change the arguments that their bodies change.
    """
    adds, sets = set(statement.adds), set(statement.sets)
    for function, given in statement.calls:
        node = nodes.get(function)
        if node is not None:
            sets |= {given[i] for i in node.mutates if i < len(given) and given[i]}  # type: ignore[misc]
    loose = {n for n in adds | sets if n not in nodes or nodes[n].imported}
    return adds - loose, sets - loose - adds


def _change(
    statement: Statement,
    name: str,
    cell: int,
    inputs: Mapping[str, Node],
    nodes: dict[str, Node],
    applied: dict[str, frozenset[int]],
    *,
    once: bool,
) -> None:
    value, old = _digest(statement, inputs, (name,)), nodes[name]
    done = applied.get(name, frozenset())
    if once and value in done:
        return
    applied[name] = done | {value} if once else frozenset()
    kept = {n: node for n, node in inputs.items() if n != name}
    nodes[name] = Node(
        hash((value, old.digest)), statement.key, cell, kept, old, old.later, old.mutates, imported=old.imported
    )


def _digest(statement: Statement, inputs: Mapping[str, Node], without: tuple[str, ...]) -> int:
    return hash((statement.key, frozenset((n, node.digest) for n, node in inputs.items() if n not in without)))
