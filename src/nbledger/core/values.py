"""Parameters and metrics as MLflow can keep them: names it accepts, lengths it allows, and a notice for each change.

Limits and legal characters are MLflow 3's (``mlflow.utils.validation``): keys of 250 characters from letters,
digits, ``_ - . : /`` and space, parameter values of 6,000 and tag values of 8,000 characters.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
_ILLEGAL = re.compile(r"[^/\w.\- :]")


class NotNumeric(TypeError):
    """The value is no number, array of numbers or dict of them."""


def legal_key(key: str, taken: set[str] | None = None) -> str:
    """``key`` with what MLflow refuses replaced by ``_``; distinct from all in ``taken``."""
    legal = _ILLEGAL.sub("_", key)[:MAX_KEY] or "_"
    if legal != posixpath.normpath(legal) or legal.startswith(("/", "..")) or legal == ".":
        legal = legal.replace("/", "_").replace("..", "__")
        legal = "_" if legal == "." else legal
    if taken is None:
        return legal
    unique, n = legal, 1
    while unique in taken:
        n += 1
        unique = f"{legal[: MAX_KEY - 6]}_{n}"
    return unique


def storable(text: str) -> str:
    """``text`` as every database can hold it: NUL and lone surrogates, which PostgreSQL refuses, are escaped."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def told(notices: Sequence[str], most: int = 40) -> list[str]:
    """Notices as people can read them: each once, of thousands the first and how many more there are."""
    lines = list(dict.fromkeys(notices))
    if len(lines) <= most:
        return lines
    kept = lines[: most // 2]
    counts = Counter(line.partition(" ")[0] for line in lines[most // 2 :])
    rest = ", ".join(f"{count:,} of a {kind}" for kind, count in counts.most_common(5))
    return [*kept, f"and {len(lines) - len(kept):,} more notices ({rest}): nbledger/manifest.json has all values"]


def param_text(value: Any) -> str:
    """A parameter's text: strings as they are, all else by ``repr`` of the plain Python value."""
    if isinstance(value, str):
        return value
    value = _unwrapped(value)
    return value if isinstance(value, str) else repr(value)


def _unwrapped(value: Any) -> Any:
    """NumPy (and like) scalars as Python's own, found by their ``item`` method: nothing is imported."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def number(value: Any) -> float:
    """``value`` as a float, bools included; ``NotNumeric`` for text and containers."""
    if isinstance(value, str | bytes | bytearray):
        raise NotNumeric("text")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError) as err:
        raise NotNumeric(type(value).__name__) from err


def flatten(name: str, value: Any) -> Iterator[tuple[str, float, int]]:
    """Yield (key, value, step) of a metric: a number, a dict (keys joined by dots), or a series (step = position).

    Anything with ``to_dict`` (pandas) counts as a dict, anything with ``tolist`` (NumPy, torch) as a list.
    """
    value = _unwrapped(value)
    if not isinstance(value, Mapping | list | tuple):
        if hasattr(value, "to_dict"):
            value = value.to_dict()
        elif getattr(value, "ndim", 0) and hasattr(value, "tolist"):
            value = value.tolist()
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        yield from _series(name, value)
    else:
        yield name, number(value), 0


def _series(name: str, values: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, float, int]]:
    for step, inner in enumerate(values):
        if isinstance(inner, Mapping | list | tuple):
            yield from flatten(f"{name}.{step}", inner)
        else:
            yield name, number(_unwrapped(inner)), step


def encode(value: float) -> float | str:
    """A float as strict JSON can hold it: NaN and infinities as text."""
    return value if math.isfinite(value) else str(value)
