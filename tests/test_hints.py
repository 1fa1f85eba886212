"""What messages propose to type can be typed: a command that is named has what it cannot do without."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

import nbledger
import nbledger_magics
from nbledger.commands.tree import ledger

_PLACE = "\0"
"""Stands for what a message fills in."""
_TOLD = {
    "nbledger code ",  # the beginning of commands that a stage may have
    "nbledger code`: edit the notebook.",
    "nbledger code writes",
    "nbledger compare shows it whole.",
    "nbledger drift",  # what made a run
    "nbledger promote makes versions of runs",
    "nbledger stage",
}
"""Texts that only name a command, and propose nothing to be pasted."""
_NAMED = re.compile(r"nbledger ([a-z]+)(?: (\S+))?([^;,—()]*)")


def messages() -> Iterator[tuple[str, str]]:
    """(where it stands, text) of all texts of the program that are no docstrings; what is filled in is a placeholder."""
    for package in (nbledger, nbledger_magics):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            tree = ast.parse(path.read_text())
            inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                where = f"{path.name}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.JoinedStr):
                    yield where, "".join(str(p.value) if isinstance(p, ast.Constant) else _PLACE for p in node.values)
                elif (
                    isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (inside | prose)
                ):
                    yield where, node.value


def required(name: str) -> tuple[bool, list[str]]:
    """Whether a verb takes an argument that it needs, and the options that it needs."""
    command = ledger.commands.get(name)
    params = [one for one in command.params if one.required] if command is not None else []
    options = [one for one in params if isinstance(one, click.Option)]
    return len(options) < len(params), [opt for one in options for opt in one.opts[:1]]


def given(word: str | None) -> bool:
    """Whether a word is an argument: something that is filled in, an example, or the name of one; not the sentence's next word."""
    return word is not None and re.fullmatch(r"[a-z]+[.:]?|–|—|", word) is None


def lacking() -> Iterator[str]:
    for where, text in messages():
        for found in _NAMED.finditer(text):
            argument, options = required(found[1])
            rest = f"{found[2] or ''}{found[3]}"
            missing = [option for option in options if option not in rest]
            if found[0] not in _TOLD and (missing or (argument and not given(found[2]))):
                yield f"{where}: {found[0]}"


def test_hints_can_be_typed() -> None:
    assert list(lacking()) == []
