"""Gates of the settings, what several demand together, and metrics over slices."""

from __future__ import annotations

from typing import Any

import pytest

from nbledger.core import gate_language, gate_metrics, gates
from nbledger.core.errors import UsageError
from nbledger.core.gates import Gate
from nbledger.core.project import Settings

RELEASE = {
    "if": "accuracy >= champion.accuracy + 0.005",
    "first": "accuracy > 0.8",
    "require": ["pushed", "verified"],
    "min_rows": 1000,
    "approvals": 1,
    "expires-days": 2.5,
}


def test_a_gate_of_the_settings_with_all_its_words() -> None:
    found = gates.of_name(Settings(gates={"release": RELEASE}), "release")
    assert found == Gate("release", RELEASE["if"], RELEASE["first"], ("pushed", "verified"), 1000, 1, 2.5)  # type: ignore[arg-type]
    assert gates.named(Settings(gates={"a": {}, "b": {"if": "x > 1"}})) == {"a": Gate("a"), "b": Gate("b", "x > 1")}


def test_what_an_alias_demands() -> None:
    known = {"release": RELEASE, "light": {"if": "x > 1"}}
    table = {"wine": {"gate": "release", "aliases": {"staging": "light"}}, "beer": {"aliases": {"champion": "light"}}}
    settings = Settings(gates=known, models=table)
    found = [
        (gates.demanded(settings, model, alias) or Gate("none")).name
        for model, alias in (
            ("wine", "champion"),
            ("wine", "staging"),
            ("wine", "other"),
            ("beer", "champion"),
            ("gin", "champion"),
        )
    ]
    assert found == ["release", "light", "none", "light", "none"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"iff": "x > 1"}, "unknown word 'iff' — did you mean if"),
        ({"if": 1}, "if is no text"),
        ({"if": "x >"}, "if: the condition ends too early"),
        ({"if": "x > 1", "first": "x !"}, "first: the condition is not understood"),
        ({"first": "x > 1"}, "first without if"),
        ({"require": "pushed"}, "require is no list"),
        ({"require": ["pusht"]}, "'pusht' cannot be required — did you mean pushed"),
        ({"min_rows": -1}, "min_rows = -1 is not a whole number from 0 on"),
        ({"min_rows": 1.5}, "min_rows = 1.5 is not a whole number"),
        ({"approvals": True}, "approvals = True is not a whole number"),
        ({"approvals": 1000}, "approvals = 1000 is not"),
        ({"expires_days": float("nan")}, "expires_days = nan is not a number"),
        ({"expires_days": 0}, "would give nobody time"),
    ],
)
def test_gates_say_what_is_wrong_in_them(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as err:
        gates.of_name(Settings(gates={"g": table}), "g")
    assert str(err.value).startswith("[gates.g]: ")
    assert said in str(err.value)
    with pytest.raises(
        UsageError
    ) as unused:  # nor is one passed over that nobody asks for: its name may be what is wrong
        gates.demanded(Settings(gates={"g": table}), "wine", "champion")
    assert str(unused.value) == str(err.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"gates": "release"}, "unknown word 'gates' — did you mean gate"),
        ({"gate": 1}, "1 is not a gate's name"),
        ({"gate": "relase"}, "no gate 'relase', which [models.wine] demands — did you mean release"),
        ({"aliases": "release"}, "aliases is no table"),
    ],
)
def test_what_a_model_demands_says_what_is_wrong(table: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match="wine") as err:
        gates.demanded(Settings(gates={"release": RELEASE}, models={"wine": table}), "wine", "champion")
    assert said in str(err.value)


def test_gates_together_demand_all_that_each_demands() -> None:
    one = Gate("one", "a > 1 or b > 1", "a > 0", ("verified",), 10, 1, 7.0)
    two = Gate("two", "c > champion.c", None, ("pushed", "clean"), 5, 2, 1.0)
    found = gates.together([one, two, Gate("", None, None, ("clean",))], empty=False)
    assert found.condition.text == "(a > 1 or b > 1) and c > champion.c"
    assert found.condition == found.standing
    assert gate_language.parse(found.condition.text).metrics == found.condition.metrics
    assert (found.gates, found.require) == (("one", "two"), ("verified", "clean", "pushed"))
    assert (found.min_rows, found.approvals, found.expires_days) == (10, 2, 1.0)
    # what is asked first takes the place of its own gate's condition, and of no other's
    assert gates.together([one, two], empty=True).condition.text == "a > 0 and c > champion.c"
    assert gates.together([one, one], empty=False).condition.text == "a > 1 or b > 1"
    assert gates.together([Gate("x", "a > 1")], empty=True).expires_days == 7.0
    for wrong, said in (([Gate("one")], "no condition"), ([Gate("", "a > 1", "a > champion.a")], "cannot name it")):
        with pytest.raises(UsageError, match=said):
            gates.together(wrong, empty=True)


def test_the_least_the_greatest_and_the_number_of_slices() -> None:
    known = {"acc/region=eu": 0.8, "acc/region=us": 0.9, "acc": 0.99, "loss/a": float("nan")}
    for name, value in (
        ("min\nacc/*", 0.8),
        ("max\nacc/*", 0.9),
        ("count\nacc/*", 2.0),
        ("count\n*acc*", 3.0),
        ("max\n*u*", 0.9),
        ("min\nacc", 0.99),
        ("acc", 0.99),
        ("min\nnone*", None),
        ("none", None),
    ):
        assert gate_metrics.over(name, known) == value, name
    assert str(gate_metrics.over("min\nloss/*", known)) == "nan"  # one that is no number leaves none to go by
    condition = gate_language.parse("""min("acc/region=*") > 0.7 and champion.max( 'acc/*' ) < 1 and min > 0""")
    assert [gate_metrics.shown(metric) for metric in condition.metrics] == [
        'min("acc/region=*")',
        'champion.max("acc/*")',
        "min",
    ]
    for text in ('min("*") > 1', 'min("") > 1', 'mean("a") > 1', 'min("a", "b") > 1', "min(a) > 1"):
        with pytest.raises(UsageError):
            gate_language.parse(text)
