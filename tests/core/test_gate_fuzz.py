"""Whatever is written as a condition: it is understood or refused in one line, within 10 ms of processor time, and reaches
nothing outside of itself.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nbledger.core import gate_language, gate_metrics
from nbledger.core.errors import UsageError
from nbledger.core.gate_language import Clause, Undefined

BUDGET = 0.010
"""Seconds of processor time for one condition: read and judged."""

ATTEMPTS = 5
"""The least of so many counts: what else goes on in a process (a collection of garbage) is not the condition's time."""

SLOW = settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
HOSTILE = (
    "__import__('os').system('touch x')",
    "open('/etc/passwd').read() > 1",
    "().__class__.__bases__[0].__subclasses__() > 1",
    "[x for x in range(10**9)] > 1",
    "(lambda: 1)() > 1",
    "a if b else c > 1",
    "9**9**9 > 1",
    "1e308 * 1e308 * 1e308 > 1",
    "accuracy > 1; import os",
    "accuracy > 1\nimport os",
    "exec('x') > 1",
    "f'{open}' > 1",
    "${HOME} > 1",
    "$(touch x) > 1",
    "`touch x` > 1",
    "min(open) > 1",
    'min("' + "a*" * 900 + '") > 1',
    'min("a*a*a*a*b") > 1',
    " and ".join(f'min("a*{n}*a*a*") > 1' for n in range(5)),
    " and ".join(f'min("*{n}*a*") > 1' for n in range(11)),
    "(" * 400 + "a > 1" + ")" * 400,
    "not " * 399 + "a > 1",
    "-" * 399 + "1 > a",
    "a" + " + a" * 199 + " > 1",
    " and ".join(["a > 1"] * 100),
    "a" + " < a" * 199,
    "1" * 1_999 + " > a",
    "0." + "0" * 1_900 + "1 > a",
    "1e99999999 > a",
    "a > \0",
    "\ud800 > 1",
    "𝟏 > 0",
    "a > １",
    '"\u202e" > 1',
)

names = st.sampled_from(
    ["a", "b", "champion.a", "baseline.b", '"val/loss"', "champion.'x y'", "`é`", 'min("s/*")', "count('*b')"]
)
numbers = st.one_of(
    st.integers(0, 10**12).map(str),
    st.floats(0, 1e15, allow_nan=False).map(repr),
    st.sampled_from(["0", ".5", "1e-9", "2."]),
)
atoms = st.one_of(names, numbers)
sums = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=12,
)
compared = st.tuples(sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), sums).map(" ".join)
conditions = st.recursive(
    compared,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("not ({})".format),
    ),
    max_leaves=8,
)
pieces = st.lists(
    st.one_of(
        names,
        numbers,
        st.sampled_from(["and", "or", "not", "(", ")", "+", "-", "*", "/", "<", ">=", "==", "=", "**", "[", "."]),
    ),
    max_size=420,
).map(" ".join)
figures = st.dictionaries(
    st.sampled_from(["a", "b", "x y", "val/loss", "é", "s/1", "s/2", "ab"]),
    st.floats(allow_nan=True, allow_infinity=True),
    max_size=8,
)


def judged(text: str, known: dict[str, float]) -> tuple[bool, list[Clause]] | None:
    """What a condition says of these figures, as ``core.gate`` does it; None where it is refused or has no value."""
    try:
        condition = gate_language.parse(text)
        values = {metric: gate_metrics.over(metric[1], known) for metric in condition.metrics}
        whole = {metric: value for metric, value in values.items() if value is not None and math.isfinite(value)}
        return gate_language.judge(condition, whole) if len(whole) == len(values) else None
    except UsageError as err:
        if not str(err).isprintable():
            raise AssertionError(f"a line that moves a terminal's cursor: {err}") from err
        return None
    except Undefined:
        return None


def cheap(text: str, known: dict[str, float]) -> None:
    """Judge it, and count the processor time of this process, whatever else the machine does."""
    spent = []
    for _ in range(ATTEMPTS):
        begun = time.process_time()
        judged(text, known)
        spent.append(time.process_time() - begun)
        if spent[-1] < BUDGET:
            return
    raise AssertionError(f"{min(spent) * 1000:.1f} ms of processor time for {text[:200]!r}")


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    judged("a > 1 and min('b*') < 2", {"a": 1.0, "b": 2.0})


@SLOW
@given(conditions, figures)
def test_what_is_well_formed_is_judged_in_time(text: str, known: dict[str, float]) -> None:
    cheap(text, known)


@SLOW
@given(st.one_of(pieces, st.text(max_size=2_100)), figures)
@example("a" + " / 0" * 199 + " > 1", {"a": 1.0})
@example(" or ".join(["1.7976931348623157e308 * a > 4.9e-324"] * 40), {"a": 5e-324})
@example('min("' + "*a" * 990 + '") > 1', {"a" * 250: 1.0})
def test_whatever_is_written_is_understood_or_refused_in_time(text: str, known: dict[str, float]) -> None:
    cheap(text, known)


@pytest.fixture(scope="module")
def reached() -> Callable[[Callable[[], Any]], list[str]]:
    """What a piece of work reaches outside of itself, as the interpreter's own audit tells: files, modules, code, processes,
    connections.
    """
    events: list[str] = []
    on: list[bool] = []

    def hook(event: str, words: tuple[object, ...]) -> None:
        if on and not event.startswith(("object.__getattr__", "code.__new__")):
            events.append(f"{event} {words!r}"[:200])

    sys.addaudithook(hook)

    def watch(work: Callable[[], Any]) -> list[str]:
        events.clear()
        on.append(True)
        try:
            work()
        finally:
            on.clear()
        return list(events)

    return watch


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_conditions_do_nothing(text: str, reached: Callable[[Callable[[], Any]], list[str]]) -> None:
    many = {"a": 1.0, **{f"{'a' * (n % 240)}{n}": 1.0 for n in range(1_000)}}
    cheap(text, many)
    assert reached(lambda: judged(text, many)) == []
    assert reached(lambda: open(os.devnull).close()) != []


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_comparisons_are_those_of_the_decimal_numbers(left: float, right: float, sign: str) -> None:
    compare: dict[str, Callable[[Fraction, Fraction], bool]] = {
        "<": Fraction.__lt__,
        "<=": Fraction.__le__,
        ">": Fraction.__gt__,
        ">=": Fraction.__ge__,
        "==": Fraction.__eq__,
        "!=": lambda a, b: a != b,
    }
    found = judged(f"a {sign} b", {"a": left, "b": right})
    assert found is not None
    assert found[0] is compare[sign](Fraction(repr(left)), Fraction(repr(right)))


@settings(deadline=None, max_examples=300)
@given(st.text("ab*", min_size=1, max_size=12).filter(lambda text: text.strip("*")), st.text("ab", max_size=12))
def test_a_pattern_fits_what_a_regular_expression_would(pattern: str, name: str) -> None:
    import re

    wanted = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None
    assert gate_metrics.covered(f"min\n{pattern}", [name]) == ([name] if wanted else [])
