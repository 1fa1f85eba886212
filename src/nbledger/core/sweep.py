"""What a sweep varies, and with which values: read from words such as ``lr=0.1,0.01``, ``depth=3..10`` or
``lr=1e-4..1e-1:log``; as a grid, as a random sample of it, or as the space in which a search chooses. Pure.
"""

from __future__ import annotations

import itertools
import json
import keyword
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from nbledger.core import secrets
from nbledger.core.errors import UsageError

MOST = 100_000
"""Points of a grid, values of a parameter: more is a mistake, or a search."""
PRUNERS = ("median", "percentile", "halving", "hyperband")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?(:log)?")
_WORDS = {"True": True, "False": False, "None": None}
_SHORT, _LABEL, _DIGITS = 24, 72, 6
_DRAWS = 1000


@dataclass(frozen=True)
class Axis:
    """A parameter and what it may be: ``values``, or where that is None any number from ``low`` to ``high``, as often on each
    decimal place if ``log``. A range in steps has both.
    """

    name: str
    values: tuple[Any, ...] | None
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether a range is one of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def range(self) -> bool:
        return self.values is None or self.step is not None


@dataclass(frozen=True)
class Search:
    """A sweep as a batch keeps it, plain enough for its journal. ``said``: the words; ``method``: grid, sample or optuna;
    ``metric`` is what it is about, if anything, and ``prune`` by which rule hopeless notebooks are stopped.
    """

    said: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    method: str = "grid"
    metric: str = ""
    maximize: bool = True
    trials: int = 0
    seed: int | None = None
    prune: str = ""
    jobs: int = 1

    @property
    def objective(self) -> str:
        """``maximize accuracy``, or nothing."""
        return f"{'maximize' if self.maximize else 'minimize'} {self.metric}" if self.metric else ""

    @property
    def chooses(self) -> bool:
        """Whether parameters are chosen as the batch goes."""
        return self.method == "optuna"

    def axes(self) -> list[Axis]:
        return axes(self.said)

    def better(self, one: float, other: float) -> bool:
        """Whether the value ``one`` is better than ``other``."""
        return one > other if self.maximize else one < other

    def tags(self) -> dict[str, str]:
        """What the run that holds the others says of it."""
        how = {"grid": "", "sample": f"a sample of {self.trials}", "optuna": f"optuna, {self.trials} trials"}[
            self.method
        ]
        found = {
            "nbledger.sweep": " ".join(self.said),
            "nbledger.objective": self.objective,
            "nbledger.search": how,
            "nbledger.seed": "" if self.seed is None else str(self.seed),
            "nbledger.pruner": self.prune,
        }
        return {key: text for key, text in found.items() if text}


def search_of(kept: Mapping[str, Any] | None) -> Search | None:
    """The sweep that a batch's options hold; fields of later versions are passed over."""
    if kept is None:
        return None
    fields = {key: kept[key] for key in Search.__dataclass_fields__ if key in kept}
    fields |= {key: tuple(fields[key]) for key in ("said", "swept") if key in fields}
    return Search(**fields)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def axes(said: Sequence[str]) -> list[Axis]:
    """The parameters of all words ``NAME=VALUES``. ``UsageError`` names the word that is wrong."""
    found: dict[str, Axis] = {}
    for text in said:
        axis = axis_of(text)
        if axis.name in found:
            raise UsageError(f"--sweep {axis.name} stands twice", "write all of its values after one --sweep")
        found[axis.name] = axis
    return list(found.values())


def axis_of(text: str) -> Axis:
    """The parameter of one word ``NAME=VALUES``."""
    name, sign, body = text.partition("=")
    if not sign or not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"--sweep {text} sweeps nothing", "write --sweep NAME=A,B,C or NAME=FROM..TO")
    parts = _parts(body, text)
    if len(parts) == 1 and (found := _RANGE.fullmatch(parts[0])) is not None:
        axis = _range(name, found, text)
    else:
        axis = Axis(name, tuple(itertools.chain.from_iterable(_values(part, name, text) for part in parts)))
    seen: set[str] = set()
    for value in axis.values or ():
        if secrets.secret(name, value):
            raise UsageError(f"--sweep {name} would keep secrets with the batch", "give one with -p, or read it there")
        form = json.dumps(value, sort_keys=True)
        if form in seen:
            raise UsageError(f"--sweep {name}: {shown(value)} stands twice", "write each value once")
        seen.add(form)
    return axis


def _parts(body: str, text: str) -> list[str]:
    """``body`` cut at its commas, but not within quotes, brackets or braces; a whole JSON list is cut as well."""
    whole = body.strip()
    if whole.startswith("["):
        try:
            listed = json.loads(whole)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            if not listed:
                raise UsageError(f"--sweep {text} has no values", "write NAME=A,B,C")
            return [json.dumps(value) for value in listed]
    parts, begin, depth, quote = [], 0, 0, ""
    for at, char in enumerate(body):
        if quote:
            quote = "" if char == quote and body[at - 1] != "\\" else quote
        elif (char == '"' and depth) or (char in "\"'" and not body[begin:at].strip()):
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth <= 0:
            parts.append(body[begin:at].strip())
            begin = at + 1
    parts.append(body[begin:].strip())
    if quote:
        raise UsageError(f"--sweep {text}: a quote is not closed", f"end it with {quote}")
    if depth > 0:
        raise UsageError(f"--sweep {text}: a bracket is not closed", 'close it, or write the text in quotes: "…"')
    if "" in parts:
        raise UsageError(f"--sweep {text}: a value is empty", 'write NAME=A,B,C; "" is the empty text')
    return parts


def _values(part: str, name: str, text: str) -> tuple[Any, ...]:
    """What stands between two commas: a value, or a range in steps."""
    if (found := _RANGE.fullmatch(part)) is not None:
        axis = _range(name, found, text)
        if axis.values is None:
            raise UsageError(f"--sweep {text}: {part} has no steps", f"write {part.removesuffix(':log')}..STEP")
        return axis.values
    if len(part) > 1 and part[0] == part[-1] == "'":
        return (part[1:-1],)
    try:
        value = json.loads(part, parse_constant=lambda word: word)
    except ValueError:
        value = _WORDS.get(part, part)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--sweep {text}: {part} is too large for a number", "write a smaller one")
    return (value,)


def _range(name: str, found: re.Match[str], text: str) -> Axis:
    """``3..10``, ``0.1..0.5..0.1``, ``1e-4..1e-1``, ``1..1000:log``: in steps where there are any, the last value included."""
    low, high = Decimal(found[1]), Decimal(found[2])
    whole = all(re.fullmatch(r"[-+]?\d+", end) for end in (found[1], found[2], found[3] or "1"))
    log = found[4] is not None
    step = Decimal(found[3]) if found[3] else Decimal(1) if whole and not log else None
    number = int if whole else float
    if step is None:
        ends = number(low), number(high)
        if low >= high or not all(math.isfinite(end) for end in ends):
            raise UsageError(f"--sweep {text}: nothing lies from {found[1]} to {found[2]}", "write FROM..TO")
        if log and low <= 0:
            raise UsageError(f"--sweep {text}: a logarithm needs numbers above 0", "begin above 0, or leave :log out")
        return Axis(name, None, ends[0], ends[1], None, log)
    if log:
        raise UsageError(f"--sweep {text} has steps and :log", "leave one of them out")
    if step == 0 or (high - low) / step < 0:
        turned = f"write {found[2]}..{found[1]}" if not found[3] else "give the step the other sign"
        raise UsageError(f"--sweep {text}: no steps of {step} lead from {found[1]} to {found[2]}", turned)
    count = int((high - low) / step) + 1
    if count > MOST:
        raise UsageError(f"--sweep {text} has {count} values", f"at most {MOST}: take a larger step")
    values = tuple(number(low + step * n) for n in range(count))
    first, last = min(values[0], values[-1]), max(values[0], values[-1])
    return Axis(name, values, first, last, number(abs(step)), log)


# ── points ───────────────────────────────────────────────────────────────────────────────────────────────────

Point = dict[str, Any]


def grid(found: Sequence[Axis], times: int = 1) -> list[Point]:
    """Every combination, the last parameter changing fastest. ``times``: with how many others each is combined."""
    for axis in found:
        if axis.values is None:
            ends = f"{axis.low}..{axis.high}"
            raise UsageError(
                f"--sweep {axis.name}={ends} is no list of values",
                f"write {ends}..STEP, or --sample N, or --search optuna",
            )
    points = math.prod(len(axis.values or ()) for axis in found)
    if points * times > MOST:
        raise UsageError(f"the sweep has {points * times} points", f"at most {MOST}: --sample N takes some of them")
    names = [axis.name for axis in found]
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*(axis.values or () for axis in found))]


def size(found: Sequence[Axis]) -> int | None:
    """How many points there are; None where a parameter may be any number of a range."""
    if any(axis.values is None for axis in found):
        return None
    return math.prod(len(axis.values or ()) for axis in found)


def sample(found: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """``count`` different points drawn at random, the same ones for a seed. ``UsageError`` where there are not so many."""
    if count > MOST:
        raise UsageError(f"--sample {count} is too many", f"at most {MOST}")
    rng = random.Random(seed)  # noqa: S311 - a sample is to be drawn again, not to be kept secret
    total = size(found)
    if total is not None:
        if count > total:
            raise UsageError(f"--sample {count}: the grid has {total} points", "leave --sample out to run all of them")
        drawn = rng.sample(range(total), count) if total <= 10 * MOST else list(_some(rng, total, count))
        return [nth(found, number) for number in drawn]
    points: dict[str, Point] = {}
    for _ in range(_DRAWS + 10 * count):
        point = {axis.name: _drawn(axis, rng) for axis in found}
        points.setdefault(json.dumps(point), point)
        if len(points) == count:
            return list(points.values())
    raise UsageError(f"--sample {count}: there are about {len(points)} points", "ask for fewer, or widen the ranges")


def _some(rng: random.Random, total: int, count: int) -> dict[int, None]:
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[rng.randrange(total)] = None
    return drawn


def nth(found: Sequence[Axis], number: int) -> Point:
    """Point ``number`` of the grid."""
    values = {}
    for axis in reversed(found):
        assert axis.values is not None
        number, at = divmod(number, len(axis.values))
        values[axis.name] = axis.values[at]
    return {axis.name: values[axis.name] for axis in found}


def _drawn(axis: Axis, rng: random.Random) -> Any:
    if axis.values is not None:
        return axis.values[rng.randrange(len(axis.values))]
    if axis.whole and not axis.log:
        return rng.randrange(int(axis.low), int(axis.high) + 1)
    if axis.whole:  # each number its share of the logarithm
        drawn = math.exp(rng.uniform(math.log(axis.low - 0.5), math.log(axis.high + 0.5)))
        return min(max(round(drawn), int(axis.low)), int(axis.high))
    low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
    drawn = low + (high - low) * rng.random()
    kept = float(f"{math.exp(drawn) if axis.log else drawn:.{_DIGITS}g}")
    return min(max(kept, axis.low), axis.high)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────


def shown(value: Any) -> str:
    """A value in a label or a table: numbers with few digits, text cut."""
    if isinstance(value, float):
        exact, rough = repr(value), f"{value:.4g}"
        return exact if len(exact) <= len(rough) + 2 else rough
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def point_label(params: Mapping[str, Any], swept: Sequence[str]) -> str:
    """``lr=0.1 depth=3``: what tells a point from the others, cut where it is long."""
    text = " ".join(f"{name}={shown(params[name])}" for name in swept if name in params)
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def file_part(label: str) -> str:
    """``label`` as part of a file's name."""
    return re.sub(r"[^\w.=+,-]+", "_", label).strip("_.")
