"""Promotion, approval, lineage and drift as a notebook shows them: what is hostile is inert, and no sign stands for itself."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from magics.test_display import elements
from nbledger.commands.answer import Answer
from nbledger.core.ancestry_graph import Ancestry, Node
from nbledger.core.approval import Given, Pending
from nbledger.core.deploy import Deployed, Deployment
from nbledger.core.drift import Column, Finding
from nbledger.core.driftrecord import Drift, Loop, Side
from nbledger.core.gate import Denial
from nbledger.core.gate_language import Clause
from nbledger.core.mlflow_decisions import Entry
from nbledger.keeper.approving import Approval
from nbledger.keeper.gating import Decision
from nbledger.keeper.rollback import Decisions, RolledBack
from nbledger_magics import ancestry
from nbledger_magics.display import Shown

HOSTILE = ["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "\u202eevil", "a\nb\x1b[31m", "x" * 10_000]
MARKUP = {
    "style", "div", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "b", "code", "br", "i", "svg", "path", "g",
    "rect", "text", "title", "ol", "li",
}  # fmt: skip
ATTRIBUTES = {
    "class", "title", "align", "style", "width", "height", "viewbox", "role", "aria-label", "d", "x", "y", "rx",
}  # fmt: skip


def shown(data: Any) -> str:
    return Shown(Answer(data, "plain"))._repr_html_()


def decision(word: str, *, passed: bool) -> Decision:
    return Decision(
        passed, "r" * 32, word, word, word, word, {word: 0.9, f"champion.{word}": 0.8},
        (Clause(word, (0.9, 0.8), holds=passed),), () if passed else (Denial("metric", word),), (word,), "2", "1",
        by=word, notes=(word,),
    )  # fmt: skip


def pending(word: str, **fields: Any) -> Pending:
    given: dict[str, Any] = {
        "model": word, "version": "2", "state": "pending", "alias": word, "previous": "1", "run_id": "r" * 32, "run_name": word,
        "manifest": "m", "condition": word, "needed": 2, "by": word, "at": "2026-01-01T00:00:00Z",
        "expires": "2026-01-08T00:00:00Z", "figures": {word: 0.9}, "approved": (Given(word, "2026-01-02T00:00:00Z", (), text=word),),
    }  # fmt: skip
    return Pending(**(given | fields))


def lineage(word: str) -> Ancestry:
    nodes = (
        Node("model:m/2", "model", word, aliases=(word,), name=word, version="2"),
        Node("run:r", "run", word, 1, "2026-01-01T00:00:00Z", word, run_id="r" * 32, status=word),
        Node("code:c", "code", word, 1, commit="c" * 40, dirty=True, source=word),
        Node("data:d", "data", word, 1, path=word, md5="d" * 32, size=3, where=(word,), missing=word),
    )
    edges = (("data:d", "run:r"), ("code:c", "run:r"), ("run:r", "model:m/2"), ("run:r", "nowhere"))
    tied = tuple({"from": a, "to": b, "how": word} for a, b in edges)
    return Ancestry(word, roots=("model:m/2",), nodes=nodes, edges=tied, missing=(word,), notes=(word,))


def drifted(word: str) -> Drift:
    columns = (
        Column(word, "numeric", test=word, p=0.0, distance=2.0, adjusted=0.0, drifted=True, words=word),
        Column("b", "text"),
    )
    return Drift(
        True, word, word, "1", "r" * 32, Side(word, "a" * 32, 100, 50), Side(word, "", 10, 10), word, (word,), columns,
        (Finding("new", word, word),), 0.5, {word: (None, 0.5)}, word, (Clause(word, (0.5, 0.9), holds=False),),
        run_id="q" * 32, artifacts=(word,), notes=(word,), loop=Loop(word, word, "c" * 40, word, "append", word, next=(word,)),
    )  # fmt: skip


def entry(word: str, n: int, kind: str = "promote") -> Entry:
    return Entry(kind, word, word, word, word, word, word, {word: 0.5}, (word,), word, n=n, at="2026-01-01T00:00:00Z")


def every(word: str) -> list[str]:
    records: list[Any] = [
        decision(word, passed=True),
        decision(word, passed=False),
        Approval("denied", False, word, pending(word), (word,), (word,)),
        {"approvals": [pending(word), pending(word, why_not=word, state="expired")]},
        dataclasses.replace(decision(word, passed=False), denials=(), pending=pending(word), gates=(word,)),
        Decisions(word, (entry(word, 1), entry(word, 2, kind=word)), {word: word}),
        RolledBack(word, word, word, word, 3, "r" * 32, word, "2026-01-01", word, word, (word,)),
        Deployed(True, word, word, word, "local", word, word, word, word, word, word, (word,), notes=(word,)),
        Deployed(False, word, word, word, "local", word, word, word, word, word, word, notes=(word,)),
        Deployed(True, word, word, word, "local", steps=(word,), dry=True, notes=(word,)),
        [Deployment(word, word, word, 1, word, word, word, 2, 1, word, word, word)],
        Deployment(word, word, word, 1, word),
        lineage(word),
        drifted(word),
    ]
    return [shown(record) for record in records]


@pytest.mark.parametrize("word", HOSTILE)
def test_what_is_hostile_is_inert_and_clipped(word: str) -> None:
    for view in every(word):
        assert '<div class="nbledger">' in view, "the plain text is shown"
        assert {tag for tag, _ in elements(view)} <= MARKUP
        assert all(set(attributes) <= ATTRIBUTES for _, attributes in elements(view))
        assert "\u202e" not in view
        assert "\x1b" not in view
        assert len(view) < 30_000


def test_a_promotion_says_what_it_stands_on() -> None:
    yes, no = (shown(decision("accuracy", passed=passed)) for passed in (True, False))
    assert "✓" in yes
    assert "✗" not in yes
    assert "✗" in no
    assert re.search(r"accuracy</bdi></td><td[^>]*>0.9</td><td[^>]*>0.8</td><td[^>]*>\+0.1</td>", yes), (
        "beside the champion"
    )


def test_the_record_stands_newest_first_and_says_where_the_aliases_are() -> None:
    view = shown(Decisions("wine", (entry("a", 1), entry("b", 2, "refused")), {"champion": "1"}))
    assert "champion → 1" in view
    assert view.index(">2</td>") < view.index(">1</td>")
    assert "refused" in view
    assert "nothing has been decided" in shown(Decisions("wine", (), {}))


def test_a_deployment_says_where_it_serves_or_what_goes_on_serving() -> None:
    good = shown(Deployed(True, "wine", "2", None, "local", "http://127.0.0.1:5001", "2", "1", "d" * 64))
    assert "wine version 2 serves at http://127.0.0.1:5001 in place of version 1" in good
    bad = shown(Deployed(False, "wine", "2", None, "local", serving="1", text="it raised"))
    assert "it raised" in bad
    assert "version 1 goes on serving" in bad
    rows = shown([Deployment("wine", "2", "http://127.0.0.1:5001", 5001, "down: it ended", coming="3")])
    assert "down: it ended" in rows
    assert "3</bdi> is coming" in rows


def test_what_waits_says_who_may_approve_it() -> None:
    view = shown({"approvals": [pending("wine"), pending("wine", why_not="you made the run")]})
    assert "%ledger approve wine/2" in view
    assert "you cannot: <bdi>you made the run</bdi>" in view
    assert "1 of 2 approvals" in view


def test_a_lineage_is_drawn_from_left_to_right_and_listed() -> None:
    view = shown(lineage("wine"))
    boxes = dict(re.findall(r"<title>(\w+) wine[^<]*</title><rect x=\"([\d.]+)\"", view))
    assert float(boxes["data"]) == float(boxes["code"]) < float(boxes["run"]) < float(boxes["model"])
    assert view.count("<path d=") == 3, "an edge to what is not there is no line"
    assert view.count("<tr>") == 5


def test_a_lineage_in_a_circle_and_a_large_one_are_shown() -> None:
    nodes = tuple(Node(f"run:{n}", "run", f"r{n}", n, run_id=str(n)) for n in range(60))
    circle = tuple({"from": f"run:{n}", "to": f"run:{(n + 1) % 60}", "how": "x"} for n in range(60))
    assert "<svg" in shown(Ancestry("r", roots=("run:0",), nodes=nodes, edges=circle))
    many = tuple(Node(f"run:{n}", "run", f"r{n}", n, run_id=str(n)) for n in range(2_000))
    view = shown(Ancestry("r", roots=("run:0",), nodes=many))
    assert "<svg" not in view
    assert "and 1960 more" in view
    assert len(ancestry.html(Ancestry("nothing"))) < 8_000


def test_drift_says_which_columns_moved_and_how_far() -> None:
    view = shown(dataclasses.replace(drifted("alcohol"), verdict="drift"))
    assert '<i class="moved" style="width: 60px">' in view, "a bar ends where it ends"
    assert "2 columns tested" in view
    assert "0.5" in view
    assert view.count("✗") >= 3


def test_every_other_record_is_shown_as_before() -> None:
    assert "plain" in shown({"a": 1, "b": 2})
    assert "plain" in shown([])
    assert "plain" in shown({"approvals": []})
