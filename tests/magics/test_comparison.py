"""A comparison as a notebook shows it: hostile names are inert, best values stand out, charts need no script."""

from __future__ import annotations

import math
from typing import Any

import pytest

from magics.test_display import HOSTILE, elements
from nbledger.commands import compare_text
from nbledger.commands.answer import Answer
from nbledger.core.differences import (
    Cause,
    CodeChange,
    ColumnChange,
    Compared,
    Comparison,
    DataChange,
    Delta,
    OrderChange,
    PackageChange,
    Row,
    Series,
    TableChange,
)
from nbledger_magics.display import Shown

TAGS = {
    "style", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "b",
    "details", "summary", "pre", "svg", "title", "polyline", "line", "text",
}  # fmt: skip


def comparison(name: str = "accuracy", sides: int = 2, **fields: Any) -> Comparison:
    """Everything a comparison can hold, with ``name`` wherever a run's author chooses a name or a value."""
    values = tuple(name if i % 2 else f"{i}" for i in range(sides))
    given: dict[str, Any] = {
        "runs": tuple(Compared(f"{name}{i}" if i else name, "run") for i in range(sides)),
        "params": {name: values},
        "metrics": {name: tuple(float(i) for i in range(sides)), "loss": tuple(float(-i) for i in range(sides))},
        "deltas": {name: Delta(1.0, None)},
        "series": {name: (Series(3, 1.0, 0.0, 2.0, (0.0, math.nan, 2.0)), *[None] * (sides - 1))},
        "data": (
            DataChange(name, values, other=name, sizes=(1, None), read_by=name, note=name, files=(Row(name, values, "added"),),
                       keys=(Row(name, values),),
                       table=TableChange((1, 2), 1, columns=(ColumnChange(name, "moved", name, 0.5),))),
        ),
        "code": (CodeChange("cell", name, "changed", "code", diff=(f"+{name}", f"-{name}"), values=values),),
        "environment": (PackageChange(name, values, "imported"),),
        "hardware": (Row(name, values),),
        "seeds": (Row(name, values),),
        "order": (OrderChange(name, name),),
        "causes": (Cause("data", name, name, 0.9),),
        "notes": (name,),
    }  # fmt: skip
    return Comparison(**(given | fields))


def markup(found: Comparison) -> str:
    return Shown(Answer(found, compare_text.comparison(found)))._repr_html_()


@pytest.mark.parametrize("sides", [2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_inert_and_clipped_everywhere(name: str, sides: int) -> None:
    found = comparison(name, sides)
    shown, plain = markup(found), compare_text.comparison(found)
    assert {tag for tag, _ in elements(shown)} <= TAGS
    assert not [
        k for _, attributes in elements(shown) for k in attributes if k.startswith("on") or k in ("src", "href")
    ]
    for text in (shown, plain):
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert len(shown) < 60_000
    assert max(map(len, plain.splitlines())) < 700


def test_the_best_value_is_marked_where_the_name_says_which_way_is_better() -> None:
    def best(name: str) -> list[str]:
        html = markup(comparison(metrics={name: (1.0, 2.0)}, series={}))
        return [part.partition("<")[0] for part in html.split('class="num best" align="right">')[1:]]

    assert best("val_accuracy") == ["2"]
    assert best("test_rmse") == ["1"]
    assert best("loss.epoch") == ["1"]
    assert best("temperature") == []
    assert markup(comparison(metrics={"accuracy": (2.0, 2.0)})).count('class="num best"') == 0
    assert markup(comparison(metrics={"accuracy": (math.nan, None)})).count('class="num best"') == 0


def test_series_are_drawn_with_a_gap_where_values_are_no_numbers() -> None:
    found = comparison()
    lines = [a for tag, a in elements(markup(found)) if tag == "polyline"]
    assert len(lines) == 2
    assert "▁·█ 3 values, 0 to 2" in compare_text.comparison(found)
    flat = Series(2, 1.0, 1.0, 1.0, (1.0, 1.0))
    assert compare_text.sparkline(flat) == "▄▄"


def test_three_runs_or_more_are_drawn_as_lines_through_what_differs() -> None:
    found = comparison(sides=4, params={"depth": ("1", "2", None, "4"), "kind": ("a", "b", "a", "c")})
    drawn = elements(markup(found))
    axes = [a for tag, a in drawn if tag == "line"]
    coloured = [a for tag, a in drawn if tag == "polyline" and a.get("stroke") != "currentColor"]
    lines = [a["points"] or "" for a in coloured]
    assert len(axes) == 4
    assert [len(points.split()) for points in lines] == [4, 4, 3, 4]
    assert "script" not in markup(found)
    assert len({a["stroke"] for a in coloured}) == 4
    assert all(f"color: {a['stroke']}" in markup(found) for a in coloured), "a legend names the lines"
    two = elements(markup(comparison(sides=2)))
    assert all(a.get("stroke") == "currentColor" for tag, a in two if tag == "polyline")


def test_a_comparison_without_differences_says_so() -> None:
    runs = (Compared("a", "run"), Compared("b", "run"))
    found = Comparison(runs, equal=True, notes=("nothing that was recorded differs, and the metrics are the same",))
    assert compare_text.comparison(found).splitlines() == ["a ↔ b", f"note: {found.notes[0]}"]
    assert found.notes[0] in markup(found)


def test_long_lists_say_what_they_leave_out() -> None:
    many = {f"p{i}": ("1", "2") for i in range(200)}
    assert "and 170 more parameters" in compare_text.comparison(comparison(params=many))
    assert "and 150 more" in markup(comparison(params=many))
