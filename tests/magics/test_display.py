"""Results as a notebook shows them: hostile names are inert and clipped, what differs stands out, children are marked."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from nbledger.commands import text
from nbledger.commands.answer import Answer
from nbledger.core.records import Input, RunRow, Tracked
from nbledger_magics.display import Shown

HOSTILE = ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "\u202eevil", "a\nb\x1b[31m", "x" * 10_000]


def row(number: int, name: str = "run", **fields: Any) -> RunRow:
    given: dict[str, Any] = {
        "start": f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z", "end": f"2026-01-01T01:00:{number % 60:02}.000Z",
        "notebook": "n.ipynb", "commit": "c" * 40, "snapshot": None, "dirty": False,
    }  # fmt: skip
    return RunRow(f"{number:032x}"[::-1], name, "FINISHED", "wine", **(given | fields))


def markup(rows: list[RunRow]) -> str:
    return Shown(Answer(rows, text.runs(rows)))._repr_html_()


def elements(markup: str) -> list[tuple[str, dict[str, str | None]]]:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(markup)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_inert_and_clipped_everywhere(name: str) -> None:
    rows = [
        row(2, name, params={name: name}, metrics={name: 1.0}, inputs=(Input(name, "a" * 32),), tags={}),
        row(1, "other"),
    ]
    shown = markup(rows) + Shown(Answer([Tracked(name, "a" * 32, 1, 1, True)], name))._repr_html_()
    assert {tag for tag, _ in elements(shown)} <= {
        "style", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "b",
    }  # fmt: skip
    assert all(set(attributes) <= {"class", "title", "align", "style"} for _, attributes in elements(shown))
    assert "\u202e" not in shown + text.runs(rows)
    assert "\x1b" not in shown + text.runs(rows)
    assert len(shown) < 10_000
    assert max(map(len, text.runs(rows).splitlines())) < 250


def test_children_follow_their_parent() -> None:
    parent = row(1, "parent")
    child = row(2, "child", tags={"mlflow.parentRunId": parent.run_id})
    lines = text.runs([row(3, "later"), child, parent]).splitlines()[2:5]
    assert [re.findall(r"└ \w+|later|parent", line)[0] for line in lines] == ["later", "parent", "└ child"]
    by_metric = text.runs([parent, row(3, "later"), child]).splitlines()[2:5]
    assert [re.findall(r"└ \w+|later|parent", line)[0] for line in by_metric] == ["parent", "later", "└ child"]


def test_a_cycle_of_parents_loses_no_run() -> None:
    one, two = row(1), row(2)
    rows = [
        row(2, tags={"mlflow.parentRunId": one.run_id}),
        row(1, tags={"mlflow.parentRunId": two.run_id}),
    ]
    assert len(text.runs(rows).splitlines()) == 4


def test_plain_metrics_come_before_flattened_ones() -> None:
    rows = [row(1, metrics={"report.a": 1.0, "accuracy": 0.5})]
    assert [c.head for c in text.columns(text.arranged(rows)) if c.kind == "metric"] == ["accuracy"]
    rows = [row(1, metrics={f"report.{i}": 1.0 for i in range(30)})]
    assert len([c for c in text.columns(text.arranged(rows)) if c.kind == "metric"]) == 4
    assert "26 more metrics (report.*)" in text.runs(rows)


def test_what_differs_from_the_run_before_stands_out() -> None:
    rows = [row(3, params={"n": "2"}), row(2, params={"n": "1"}), row(1, params={"n": "1"})]
    marked = re.findall(r'<td class="num (new|same)"[^>]*>(\d)</td>', markup(rows))
    assert marked == [("new", "2"), ("same", "1")]


def test_a_parameter_may_be_called_as_a_column_is() -> None:
    rows = [row(2, params={"status": "odd", "run": "1"}), row(1, params={"status": "even", "run": "2"})]
    assert markup(rows).count("✓") == 2


def test_wide_letters_keep_the_columns_straight() -> None:
    lines = text.runs([row(2, "日本語の名前"), row(1, "plain")]).splitlines()
    at = [text._cells(line[: line.index("FINISHED")]) for line in lines[2:4]]
    assert at[0] == at[1]


def test_a_thousand_runs_stay_small() -> None:
    rows = [row(n, f"sweep-{n}", params={"lr": str(n % 3)}, metrics={"loss": n / 7}) for n in range(1200, 0, -1)]
    shown = markup(rows)
    assert shown.count("<tr>") == 1001
    assert "the first 1,000 of 1,200 runs" in shown
    assert len(shown) < 800_000
