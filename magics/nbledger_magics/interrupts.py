"""An interrupt that comes while the ledger is at work before or after a cell is the cell's.

IPython calls its event hooks in a way that shows what they raise and goes on: an interrupt raised there would end in a
traceback of the ledger's, and the cell, or those queued behind it, would run all the same.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

Undo = Callable[[], None]


def stop(shell: Any) -> Undo:
    """Interrupt the cell that is about to run, at its first line. The answer takes that back where nothing ran."""
    stopping = _Stopping()
    shell.ast_transformers.insert(0, stopping)

    def undo() -> None:
        if stopping in shell.ast_transformers:
            shell.ast_transformers.remove(stopping)

    return undo


class _Stopping:
    """An AST transformer that puts ``raise KeyboardInterrupt`` before the code it is first given."""

    def __init__(self) -> None:
        self.done = False

    def visit(self, tree: Any) -> Any:
        if self.done or not getattr(tree, "body", None):
            return tree
        self.done = True
        interrupt = ast.copy_location(ast.Raise(ast.Name("KeyboardInterrupt", ast.Load())), tree.body[0])
        tree.body.insert(0, ast.fix_missing_locations(interrupt))
        return tree


def told(shell: Any, result: Any, error: KeyboardInterrupt) -> None:
    """The cell had ended when the interrupt came; whoever sent it still hears of it, and what is queued does not run."""
    if result is None or not result.success:
        return
    line = "KeyboardInterrupt: the cell had ended, its run was being recorded"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    result.error_in_exec = error
    shell.showtraceback((KeyboardInterrupt, error, error.__traceback__))
