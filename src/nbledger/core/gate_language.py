"""The language of gates: ``accuracy >= champion.accuracy + 0.005 and latency_ms < 50``.

Numbers, metrics, ``+ - * /``, comparisons (also chained: ``0 < loss < 1``), ``and``, ``or``, ``not`` and parentheses, read
by a parser of its own: there is nothing in it that could call, import, loop or reach a file. A metric is a bare name
(``report.f1``) or stands in quotes (``"val/loss"``); ``champion.`` and ``baseline.`` before it say whose it is. The least,
the greatest or the number of several (slices of the data, say) is ``min("accuracy/region=*")``, ``max(…)``, ``count(…)``.

Figures are compared as the decimal numbers that people see, exactly: ``0.905 >= 0.9 + 0.005`` holds. What is too long, too
deep or too large is refused, so that no condition takes longer than a few milliseconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nbledger.core.errors import UsageError

RUN, CHAMPION, BASELINE = "run", "champion", "baseline"
LONGEST, MOST_TOKENS, DEEPEST, MOST_OVER, MOST_STARS = 2_000, 400, 40, 5, 4
_MOST_BITS = 2_500

Metric = tuple[str, str]
"""(whose: run, champion or baseline; the metric's name, or ``min``, ``max`` or ``count``, a newline and a pattern)"""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<over>(?:(?:champion|baseline)\.)?(?:min|max|count)\(\s*(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)\s*\))
    | (?P<name>(?:(?:champion|baseline)\.)?(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)|[^\W\d]\w*(?:\.\w+)*)
    | (?P<sign><=|>=|==|!=|[<>()+\-*/])
    )""",
    re.VERBOSE,
)
_WORDS = ("and", "or", "not")
_OVER = ("min", "max", "count")
_COMPARED: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class Undefined(Exception):
    """A condition that has no value: divided by zero, or too large a number."""


@dataclass(frozen=True)
class Number:
    value: Fraction


@dataclass(frozen=True)
class Name:
    metric: Metric


@dataclass(frozen=True)
class Sum:
    """``sign`` is one of + - * /; the left side of a lone minus is 0."""

    sign: str
    left: Number | Name | Sum
    right: Number | Name | Sum


@dataclass(frozen=True)
class Compared:
    """``terms`` with a sign between each two; ``text`` is the part of the condition that it was read from."""

    terms: tuple[Number | Name | Sum, ...]
    signs: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Joined:
    """``word`` is and, or, not."""

    word: str
    parts: tuple[Compared | Joined, ...]


Numeric = Number | Name | Sum
Logical = Compared | Joined


@dataclass(frozen=True)
class Clause:
    """A comparison as it came out: ``text`` as it was written, ``values`` those of its sides."""

    text: str
    values: tuple[float, ...]
    holds: bool


@dataclass(frozen=True)
class Condition:
    """A condition that was understood. ``metrics`` are all that it names, each once, in their order."""

    text: str
    tree: Logical
    metrics: tuple[Metric, ...]

    def names(self, whose: str) -> list[str]:
        return [name for owner, name in self.metrics if owner == whose]


def parse(text: str) -> Condition:
    """Read a condition; ``UsageError`` says where it is not understood."""
    if len(text) > LONGEST:
        raise UsageError(f"the condition has {len(text):,} characters", f"{LONGEST:,} are allowed")
    tree = _Parser(text).whole()
    return Condition(text.strip(), tree, tuple(dict.fromkeys(_metrics(tree))))


def joined(conditions: Sequence[Condition]) -> Condition:
    """The condition that holds when all of these hold; at least one. Of the same text only one."""
    each = list({one.text: one for one in conditions}.values())
    if len(each) == 1:
        return each[0]
    texts = [f"({one.text})" if isinstance(one.tree, Joined) and one.tree.word == "or" else one.text for one in each]
    metrics = dict.fromkeys(metric for one in each for metric in one.metrics)
    return Condition(" and ".join(texts), Joined("and", tuple(one.tree for one in each)), tuple(metrics))


def judge(condition: Condition, values: Mapping[Metric, float]) -> tuple[bool, list[Clause]]:
    """Whether the condition holds with these values, all of them finite numbers; its comparisons with their figures, each
    of them looked at. ``Undefined`` where a side has no value.
    """
    exact = {metric: Fraction(repr(float(value))) for metric, value in values.items()}
    clauses: list[Clause] = []
    return _holds(condition.tree, exact, clauses), clauses


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    """Recursive descent: or, and, not, comparison, sum, product, sign, and what stands alone or in parentheses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = self.depth = 0

    def whole(self) -> Logical:
        if self.tokens[0].kind == "end":
            raise UsageError("the condition is empty", 'e.g. "accuracy >= champion.accuracy + 0.005"')
        found = self._or()
        if self._next().kind != "end":
            raise self._wrong(self._next())
        return self._logical(found)

    def _next(self) -> _Token:
        return self.tokens[self.place]

    def _taken(self, *texts: str) -> str:
        token = self._next()
        if token.kind in ("sign", "word") and token.text in texts:
            self.place += 1
            return token.text
        return ""

    def _wrong(self, token: _Token, hint: str = "") -> UsageError:
        if token.kind == "end":
            return UsageError(f"the condition ends too early: {self.text.strip()[-60:]!r}", hint)
        shown = self.text[max(0, token.start - 20) : token.end + 20].strip()
        return UsageError(f"{token.text!r} is not expected in the condition, at {shown!r}", hint)

    def _or(self) -> Logical | Numeric:
        return self._joined("or", self._and)

    def _and(self) -> Logical | Numeric:
        return self._joined("and", self._not)

    def _joined(self, word: str, inner: Callable[[], Logical | Numeric]) -> Logical | Numeric:
        found = inner()
        parts = [found]
        while self._taken(word):
            parts.append(inner())
        return found if len(parts) == 1 else Joined(word, tuple(self._logical(part) for part in parts))

    def _not(self) -> Logical | Numeric:
        if self._taken("not"):
            with _Deeper(self):
                return Joined("not", (self._logical(self._not()),))
        return self._comparison()

    def _comparison(self) -> Logical | Numeric:
        first = self._next()
        found = self._sum()
        if not (self._next().kind == "sign" and self._next().text in _COMPARED):
            return found
        terms, signs = [self._numeric(found)], []
        while sign := self._taken(*_COMPARED):
            signs.append(sign)
            terms.append(self._numeric(self._sum()))
        text = self.text[first.start : self.tokens[self.place - 1].end]
        return Compared(tuple(terms), tuple(signs), text)

    def _sum(self) -> Logical | Numeric:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Logical | Numeric:
        return self._chain(("*", "/"), self._signed)

    def _chain(self, signs: tuple[str, ...], inner: Callable[[], Logical | Numeric]) -> Logical | Numeric:
        found = inner()
        count = 0
        while sign := self._taken(*signs):
            count += 1
            if count > 2 * DEEPEST:
                raise UsageError("the condition is too deep", "write it shorter")
            found = Sum(sign, self._numeric(found), self._numeric(inner()))
        return found

    def _signed(self) -> Logical | Numeric:
        sign = self._taken("+", "-")
        if not sign:
            return self._atom()
        with _Deeper(self):
            inner = self._numeric(self._signed())
        return Sum("-", Number(Fraction(0)), inner) if sign == "-" else inner

    def _atom(self) -> Logical | Numeric:
        token = self._next()
        if self._taken("("):
            with _Deeper(self):
                found = self._or()
            if not self._taken(")"):
                raise self._wrong(self._next(), "a closing parenthesis is missing")
            return found
        if token.kind == "number":
            self.place += 1
            return _number(token)
        if token.kind in ("name", "over"):
            self.place += 1
            return Name(_metric(token.text))
        raise self._wrong(token)

    def _logical(self, found: Logical | Numeric) -> Logical:
        if isinstance(found, Compared | Joined):
            return found
        raise UsageError(
            f"the condition compares nothing in {self.text.strip()[:80]!r}", "compare numbers, e.g. accuracy > 0.9"
        )

    def _numeric(self, found: Logical | Numeric) -> Numeric:
        if isinstance(found, Number | Name | Sum):
            return found
        raise UsageError("a comparison is no number, so it cannot be compared or added", "join comparisons by and, or")


class _Deeper:
    def __init__(self, parser: _Parser) -> None:
        self.parser = parser

    def __enter__(self) -> None:
        self.parser.depth += 1
        if self.parser.depth > DEEPEST:
            raise UsageError("the condition is nested too deep", f"{DEEPEST} levels are allowed")

    def __exit__(self, *_: object) -> None:
        self.parser.depth -= 1


def _tokens(text: str) -> Iterator[_Token]:
    place, count, several, end = 0, 0, 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            raise _unknown(text, place)
        count += 1
        if count > MOST_TOKENS:
            raise UsageError("the condition has too many words", f"{MOST_TOKENS} are allowed")
        kind = str(found.lastgroup)
        several += kind == "over"
        if several > MOST_OVER:
            raise UsageError("the condition has too many min, max and count", f"{MOST_OVER} are allowed")
        word = found[kind]
        yield _Token("word" if kind == "name" and word in _WORDS else kind, word, found.start(kind), found.end())
        place = found.end()
    yield _Token("end", "", end, end)


def _unknown(text: str, place: int) -> UsageError:
    rest = text[place:].strip()
    hints = {"=": "== compares", "&": "write and", "|": "write or", "!": "write not, or !=", "%": "write 0.95 for 95 %"}
    hint = hints.get(rest[:1], "a metric with an odd name stands in quotes") if rest else ""
    return UsageError(f"the condition is not understood at {rest[:30]!r}", hint)


def _number(token: _Token) -> Number:
    if not math.isfinite(float(token.text)):
        raise UsageError(f"{token.text[:30]} is too large a number")
    if len(token.text) > 60 or 0 < abs(float(token.text)) < 1e-300:
        raise UsageError(f"{token.text[:30]}… is too exact a number", "60 characters are allowed")
    if float(token.text) == 0:
        return Number(Fraction(0))
    return Number(Fraction(token.text))


def _metric(word: str) -> Metric:
    whose, name = RUN, word
    for other in (CHAMPION, BASELINE):
        if word.startswith(f"{other}."):
            whose, name = other, word[len(other) + 1 :]
    over, _, pattern = name.partition("(")
    if pattern and over in _OVER:
        inner = pattern[:-1].strip()[1:-1]
        if not inner.strip("*"):
            raise UsageError(f"{over}(…) names no metrics", f'e.g. {over}("accuracy/region=*")')
        if inner.count("*") > MOST_STARS:
            raise UsageError(f"{over}(…) has too many stars", f"{MOST_STARS} are allowed")
        return whose, f"{over}\n{inner}"
    if name[:1] in ('"', "'", "`"):
        name = name[1:-1]
    if not name:
        raise UsageError("a metric's name is empty in the condition")
    return whose, name


def _metrics(node: Logical | Numeric) -> Iterator[Metric]:
    if isinstance(node, Name):
        yield node.metric
    elif isinstance(node, Sum):
        yield from _metrics(node.left)
        yield from _metrics(node.right)
    elif isinstance(node, Compared | Joined):
        for part in node.terms if isinstance(node, Compared) else node.parts:
            yield from _metrics(part)


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────


def _holds(node: Logical, values: Mapping[Metric, Fraction], clauses: list[Clause]) -> bool:
    if isinstance(node, Compared):
        sides = [_value(term, values) for term in node.terms]
        pairs = zip(sides, node.signs, sides[1:], strict=False)
        holds = all(_COMPARED[sign](left, right) for left, sign, right in pairs)
        clauses.append(Clause(node.text, tuple(_shown(side) for side in sides), holds))
        return holds
    each = [_holds(part, values, clauses) for part in node.parts]  # all of them: their figures are recorded
    return all(each) if node.word == "and" else any(each) if node.word == "or" else not each[0]


def _value(node: Numeric, values: Mapping[Metric, Fraction]) -> Fraction:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return values[node.metric]
    left, right = _value(node.left, values), _value(node.right, values)
    if node.sign == "/" and right == 0:
        raise Undefined("the condition divides by zero")
    found = {
        "+": lambda: left + right,
        "-": lambda: left - right,
        "*": lambda: left * right,
        "/": lambda: left / right,
    }[node.sign]()
    if max(found.numerator.bit_length(), found.denominator.bit_length()) > _MOST_BITS:
        raise Undefined("the condition comes to a number that is too large or too exact")
    return found


def _shown(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
