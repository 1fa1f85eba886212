"""The words of ``run`` that ask for a sweep: a grid, a random sample of it, or a search."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import click


@dataclass(frozen=True)
class Asked:
    """A sweep as it was asked for on the command line."""

    sweep: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether a sweep was asked for at all."""
        return bool(self.sweep)

    def tables(self, tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The sets of parameters that a notebook is run with, each of ``tables`` under each point of the sweep."""
        return [dict(table) for table in tables]

    def search(self) -> Mapping[str, Any] | None:
        """What chooses parameters as the batch goes; None for a grid or a sample."""
        return None


def sweep_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; ``function`` gets them as one ``Asked``, named ``sweep``."""

    @click.option("--sweep", multiple=True, metavar="K=A,B,C|A..B", help="Run with each of these values.")
    @functools.wraps(function)
    def asked(*args: Any, **words: Any) -> Any:
        said = {one.name: words.pop(one.name) for one in fields(Asked)}
        return function(*args, sweep=Asked(**said), **words)

    return asked
