"""How lists and numbers stand in a sentence."""

from __future__ import annotations

from collections.abc import Iterable


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of these names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most:,} more" if len(listed) > most else "")


def counted(count: int, word: str, words: str = "") -> str:
    """``1 run``, ``1,000 runs``; ``words`` where the plural is no ``word`` + s."""
    return f"{count:,} {word if count == 1 else words or f'{word}s'}"


def percent(share: float) -> str:
    """``0.5 %``, of a share of one."""
    return f"{100 * share:.3g} %"
