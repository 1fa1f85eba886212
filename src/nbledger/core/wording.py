"""How lists and numbers stand in a sentence."""

from __future__ import annotations

import math
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


def signed(value: float) -> str:
    """``+0.25``: how far something went."""
    return f"{value:+.6g}"


def relative(value: float | None) -> str:
    """``+2.5 %``, of a part of one; empty where there is none."""
    return "" if value is None or not math.isfinite(value) else f"{100 * value:+.3g} %"


def size(count: float) -> str:
    """Bytes for people: powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
