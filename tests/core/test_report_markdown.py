"""A report as Markdown and as a page: whatever names hold, it stays text; it fits, and says what was left out."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from nbledger.core.differences import (
    Cause,
    ColumnChange,
    Compared,
    Comparison,
    DataChange,
    PackageChange,
    Row,
    Series,
    TableChange,
)
from nbledger.core.report import (
    CellChange,
    Commit,
    GateView,
    Measured,
    NotebookChange,
    Pair,
    Pins,
    Report,
    StageChange,
    Told,
)
from nbledger.core.report_figures import figures, headline
from nbledger.core.report_html import fragment, page
from nbledger.core.report_markdown import LIMITS, length, markdown
from nbledger.core.report_pins import packages
from nbledger.keeper.calls import decode, encode

HOSTILE = (
    "</details><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</summary></pre></style><b>",
    "a|b\n| c |\r\n\n# d",
    "```\n<b>\n````",
    "[x](javascript:alert(1)) ![i](http://e.example/x.png) <http://e.example>",
    "&lt;b&gt; $x$ ~~s~~ **b** __c__ _d_ *e* `f`",
    "<!-- nbledger:report key=x head=none run=0 --> -->",
    "' onmouseover='alert(1)' \" onload=\"alert(1)",
    "- a",
    "1. b",
    "> d",
    "",
    "\u202eabc\u2066\x00\x1b[31m\ud800",
    "x" * 10_000,
    "@ada see #12, !4 and GH-5: https://e.example/x www.e.example",
)
MADE = {"h2", "h3", "p", "ol", "ul", "li", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}
MADE |= {"details", "summary", "a"}
DRAWN = {"html", "head", "meta", "title", "style", "body", "main", "section", "h1", "b", "bdi", "span", "div", "br"}
DRAWN |= {"figure", "figcaption", "svg", "line", "circle", "rect", "polyline", "text", *MADE} - {"em", "strong"}


def of(*texts: str) -> Report:
    """A report in which every text stands everywhere."""
    first, last = texts[0], texts[-1]
    run = Told(
        last, first, first, first, first, f"https://ml.example.org/{first}", 2, None, first, first, first, first, first
    )
    series = Series(3, 1.0, 0.0, float("nan"), (0.0, float("nan"), 1.0))
    stats = dict.fromkeys(("mean", "q0", "q5", "q25", "q50", "q75", "q95", "q100"), (1.0, 2.0))
    found = Comparison(
        (Compared(first, "run"), Compared(last, "run")),
        params={t: (t, None) for t in texts},
        causes=tuple(Cause("data", t, t, 0.5) for t in texts),
        series=dict.fromkeys(texts, (series, series)),
        notes=texts,
    )
    long = tuple(f"+{t}" for t in texts) * 2
    return Report(
        Commit(first, "1" * 40, first, first),
        Commit(last, "2" * 40, last),
        3,
        pairs=tuple(Pair(t, t, run, run, {t: (0.5, 0.25), "nan": (float("nan"), 1.0)}, found) for t in texts),
        metrics=tuple(Measured(t, t, (None, 1.0), (t, None)) for t in texts),
        gates=tuple(GateView(t, t, t, t, t, t, bool(t), (Row(t, (t, t), "✗"),), (t,)) for t in texts),
        data=tuple(
            DataChange(
                t,
                (t, t),
                "changed",
                t,
                (3, None),
                files=(Row(t, (t, t), t),),
                keys=(Row(t, (t, t)),),
                table=TableChange(
                    (1, 2), columns=(ColumnChange(t, "moved", t, 0.5, stats), ColumnChange(t, "added", t))
                ),
                note=t,
            )
            for t in texts
        ),
        environment=tuple(PackageChange(t, (t, None), "imported") for t in texts),
        pins=tuple(Pins(t, "changed", (Row(t, (t, None)),), 3) for t in texts),
        notebooks=tuple(
            NotebookChange(
                t, "changed", (CellChange("code", "changed", 1, t, (t,)), CellChange("code", "added", 2, t, long)), t
            )
            for t in texts
        ),
        stages=tuple(StageChange(t, t, "run", (t, t)) for t in texts),
        mermaid=f'flowchart TD\n    s0["{first}"]',
        notes=texts,
    )


@pytest.mark.parametrize("limit", [2_000_000, 30_000])
@pytest.mark.parametrize("begin", range(len(HOSTILE)))
def test_names_stay_text(begin: int, limit: int) -> None:
    turned = (*HOSTILE[begin:], *HOSTILE[:begin])[:6]
    written = markdown(of(*turned), limit)
    assert length(written) <= limit
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(written)
    tags = {tag.split()[0].strip("/") for tag in re.findall(r"<(/?[a-z0-9]+[^>]*)>", shown)}
    assert tags <= MADE
    assert "<!--" not in shown
    assert all(link.startswith("https://ml.example.org/") for link in re.findall(r'href="([^"]*)"', shown))
    assert (
        shown.count("<details>") == shown.count("</details>") == shown.count("<summary>") == shown.count("</summary>")
    )
    assert not re.search("[\x00\x1b\u202e\u2066\ud800]", written)
    outside = re.sub(r"^(`{3,})(?:diff|mermaid)\n.*?^\1$", "", written, flags=re.MULTILINE | re.DOTALL)
    bare = re.sub(r"\]\(<[^>]*>\)", "", outside)
    assert not re.search(r"(?<!\\)[@]\w|[#!]\d|GH-\d|://\w|www\.", bare)


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("begin", range(len(HOSTILE)))
def test_a_page_is_well_formed_and_nothing_in_it_is_anybodys_markup(begin: int) -> None:
    written = page(of(*(*HOSTILE[begin:], *HOSTILE[:begin])[:6]))
    found = Tags()
    found.feed(written)
    found.close()
    assert found.open == []
    assert found.seen <= DRAWN
    assert not {name for name in found.attributes if name.startswith("on")}
    assert found.attributes.isdisjoint({"src", "srcset", "style"})
    assert "default-src 'none'" in written
    written.encode("utf-8")


def test_within_a_notebook_it_keeps_to_itself() -> None:
    within = fragment(of(*HOSTILE[:6]))
    found = Tags()
    found.feed(within)
    found.close()
    assert found.open == []
    assert found.seen <= DRAWN - {"html", "head", "meta", "body", "main", "h1", "h2", "h3"}
    style = within.partition("</style>")[0]
    rules = re.findall(r"([^{}]+)\{", style.removeprefix("<style>"))
    assert rules
    assert all(name.strip().startswith(".nbledger-report") for rule in rules for name in rule.split(","))


def test_what_the_keeper_sends_is_what_it_made() -> None:
    found = of("a", "<b>", "ü")
    sent = json.loads(json.dumps(encode(found)))
    assert markdown(decode("report", sent), 2_000_000) == markdown(found, 2_000_000)
    assert page(decode("report", sent)) == page(found)


def test_it_fits_into_a_comment_and_says_what_was_left_out() -> None:
    lines = tuple("+" + "😀z" * 70 for _ in range(100))
    cells = tuple(CellChange("code", "changed", at, f"cell {at}", lines) for at in range(60))
    whole = Report(
        Commit("main", "1" * 40),
        Commit("better", "2" * 40),
        1,
        pairs=(
            Pair(
                "forest",
                "a.ipynb",
                None,
                Told("3" * 32, "forest", "e", None),
                {f"m{i}": (1.0, 2.0) for i in range(500)},
            ),
        ),
        notebooks=(NotebookChange("a.ipynb", "changed", cells),),
        data=tuple(DataChange(f"d{i}" * 20, (None, "x"), "added", sizes=(None, 3)) for i in range(150)),
        notes=("a note",),
    )
    written = markdown(whole)
    assert 40_000 < length(written) <= LIMITS["github"]
    assert "*and 200 more metrics*" in written
    assert re.search(r"\*and \d+ more cells\*", written)
    assert "### Runs" in written
    assert "- a note" in written
    assert written.count("```diff") * 2 == len(re.findall("^```", written, re.MULTILINE))
    small = markdown(whole, 20_000)
    assert length(small) <= 20_000
    assert "Left out, since this is too long for a comment: cells. `nbledger report` shows it whole." in small
    assert length(markdown(whole, LIMITS["gitlab"])) > 300_000
    tiny = markdown(replace(whole, pairs=()), 3_000)
    assert length(tiny) <= 3_000


def test_figures_say_which_way_they_went() -> None:
    values = {
        "loss": (1.0, 0.5),
        "accuracy": (0.9, 0.8),
        "same": (1.0, 1.0),
        "size": (0.0, 3.0),
        "new_score": (None, 1.0),
        "gone": (1.0, None),
        "nan": (float("nan"), float("nan")),
    }
    run = Told("3" * 32, "forest", "e", None, verdict="identical")
    found = Report(Commit("a", "1" * 40), Commit("b", "2" * 40), 1, pairs=(Pair("forest", "", run, run, dict(values)),))
    listed = {figure.name: (figure.course, figure.relative) for figure in figures(found)}
    assert listed["loss"] == ("better", -0.5)
    assert listed["accuracy"][0] == "worse"
    assert listed["size"] == ("other", None)
    assert [listed[name][0] for name in ("same", "nan", "new_score", "gone")] == ["same", "same", "new", "gone"]
    assert dict(headline(found)) == {"metrics": "5 metrics differ", "reproducibility": "reproduced: identical"}
    assert "are the same" not in f"{markdown(found)}{page(found)}"

    flat = {f"report.{n}": (float(n), float(n)) for n in range(20)} | {"report.moved": (1.0, 2.0)}
    table = replace(found, pairs=(replace(found.pairs[0], values=values | flat),))
    written, html = markdown(table), page(table)
    assert "*20 more are the same*" in written and "report.7" not in written and "report.moved" in written
    above, folded = html.split("<summary>20 more are the same</summary>")
    assert "report.7<" in folded and "report.7<" not in above and "report.moved" in above and ">same<" in above
    only = replace(found, pairs=(replace(found.pairs[0], values={k: v for k, v in flat.items() if v[0] == v[1]}),))
    assert "are the same" not in page(only) and "report.7<" in page(only) and "report.7" in markdown(only)
    empty = Report(Commit("a", "1" * 40), Commit("b", "2" * 40), 1)
    assert "nothing that is known of both differs" in markdown(empty)
    assert "nothing that is known of both differs" in page(empty)


def test_packages_of_files_that_declare_them() -> None:
    text = b"# c\nNumPy==2.1 ; python_version > '3'\nscikit_learn[all]>=1,<2  # why\n-r other.txt\nx @ https://e.example/x.whl\nbare\n"
    assert packages("requirements-dev.txt", text) == {
        "numpy": "==2.1",
        "scikit-learn": ">=1,<2",
        "x": "@ https://e.example/x.whl",
        "bare": "any",
    }
    lock = b'version = 1\n[[package]]\nname = "numpy"\nversion = "2.1"\n[[package]]\nname = "own"\n'
    assert packages("sub/uv.lock", lock) == {"numpy": "2.1", "own": ""}
    pipfile = b'{"default": {"a": {"version": "==1"}}, "develop": {"b": {"version": "==2"}}}'
    assert packages("Pipfile.lock", pipfile) == {"a": "==1", "b": "==2"}
    project = (
        b'[project]\nrequires-python = ">=3.11"\ndependencies = ["a>1"]\n[project.optional-dependencies]\nx = ["b"]\n'
    )
    assert packages("pyproject.toml", project) == {"a": ">1", "b": "any", "python": ">=3.11"}
    for name in ("uv.lock", "pyproject.toml", "Pipfile.lock", "requirements.txt"):
        assert packages(name, b"\xff\xfe [") == {}
        assert packages(name, None) == {}
