"""The words of a ``%%stage`` line: what they name, apart from what is to be done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from nbledger.core import stagecells


def of_cells(book: Any, name: str) -> dict[str, Sequence[str]]:
    """What the ``%%stage`` lines of the cells that bear the name declare: {kind: paths or parameters}."""
    found: dict[str, list[str]] = {}
    for cell in book.cells:
        if cell.cell_type == "code" and stagecells.stage_of(cell.source) == name:
            for kind, values in declared(stagecells.header(cell.source) or "").items():
                found.setdefault(kind, []).extend(values)
    return {kind: tuple(dict.fromkeys(values)) for kind, values in found.items()}


def declared(words: str) -> dict[str, list[str]]:
    """{kind: what is named}; words that are wrong name nothing."""
    found: dict[str, list[str]] = {}
    try:
        split = shlex.split(words)
    except ValueError:
        return {}
    for at, word in enumerate(split):
        option, equals, value = word.partition("=")
        if equals and option in stagecells.KINDS:
            found.setdefault(stagecells.KINDS[option], []).append(value)
        elif word in stagecells.KINDS and at + 1 < len(split):
            found.setdefault(stagecells.KINDS[word], []).append(split[at + 1])
        elif word[:2] in stagecells.KINDS and len(word) > 2 and not word.startswith("--"):
            found.setdefault(stagecells.KINDS[word[:2]], []).append(word[2:])
    return found
