"""A comparison as Markdown: whatever names hold, it stays text; and it fits into a comment."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

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
    TableChange,
)
from nbledger.core.markdown import comparison
from nbledger.core.proof import Attribution, Factor, Proof

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "a|b\n| c |\r\n\n# d",
    "```\n<b>\n````",
    "[x](javascript:alert(1)) ![i](http://e.example/x.png) <http://e.example>",
    "&lt;b&gt; $x$ ~~s~~ **b** __c__ _d_ *e* `f`",
    "<!-- c -->",
    "\\| \\\\ \\`",
    "- a",
    "1. b",
    "# c",
    "> d",
    "=====",
    "",
    " ",
    "\u202eabc\u2066\x00\x1b[31m",
    "x" * 10_000,
)
NAMED = "@ada see #12, !4 and GH-5: https://e.example/x www.e.example team@e.example"
MADE = {"h2", "h3", "p", "ol", "ul", "li", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"}


def of(*texts: str) -> Comparison:
    """A comparison in which every text stands everywhere."""
    column = [ColumnChange(t, "moved", t, 0.5) for t in texts]
    factors = (Factor(("data",), texts[0]),)
    share = Attribution(texts[0], (1.0, 2.0), (1.0, 2.0), {"data": 1.0}, 0.0)
    return Comparison(
        runs=tuple(Compared(t, "run", "1" * 32, t, t, t, None, t, t, True) for t in (texts[0], texts[-1])),
        params={t: (t, None) for t in texts},
        metrics={t: (1.0, float("nan")) for t in texts},
        deltas={t: Delta(1.0, None) for t in texts},
        data=tuple(
            DataChange(
                t,
                (t, t),
                "changed",
                t,
                (3, None),
                files=(Row(t, (t, t), t),),
                keys=(Row(t, (t, t)),),
                table=TableChange((1, 2), columns=tuple(column)),
                note=t,
            )
            for t in texts
        ),
        code=tuple(CodeChange("cell", t, "changed", "code", diff=(f"-{t}", f"+````` {t}", "@@")) for t in texts),
        environment=tuple(PackageChange(t, (t, None), "installed") for t in texts),
        seeds=tuple(Row(t, (t, t)) for t in texts),
        hardware=tuple(Row(t, (t, t)) for t in texts),
        order=tuple(OrderChange(t, t) for t in texts),
        causes=tuple(Cause("data", t, t, 1.0) for t in texts),
        notes=texts,
        proof=Proof(("a", "b"), ("a", "b"), factors, 2, (share,), {}, texts),
    )


@pytest.mark.parametrize("limit", [2_000_000, 20_000])
def test_names_stay_text(limit: int) -> None:
    written = comparison(of(*HOSTILE), limit)
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(written)
    tags = {tag.split()[0].strip("/") for tag in re.findall(r"<(/?[a-z0-9]+[^>]*)>", shown)}
    assert tags <= MADE
    assert "<!--" not in shown
    assert "href" not in shown
    for tag in ("h2", "h3"):  # no heading but its own
        assert len(re.findall(f"<{tag}>", shown)) == len(re.findall(rf"^{'#' * int(tag[1])} ", written, re.MULTILINE))
    assert shown.count("<table>") == written.count("\n|---")
    assert len({row.count("<td") for row in re.findall(r"<tr>.*?</tr>", shown, re.DOTALL) if "<td" in row}) <= 5
    assert not re.search("[\x00\x1b\u202e\u2066]", written)
    if limit > 20_000:
        plain = re.sub("<[^>]*>", "", shown)
        for text in ("&lt;img src=x onerror=alert(1)&gt;", "a|b | c | # d", "**b** __c__ _d_ *e* `f`", "\\| \\\\ \\`"):
            assert plain.count(text) > 15


def test_nobody_is_mentioned_and_nothing_is_linked() -> None:
    written = comparison(of(NAMED))
    outside = re.sub(r"^(`{3,})diff\n.*?^\1$", "", written, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"[@#!]\w|GH-\d|://\w|www\.", outside)
    assert "@ada" in re.sub("\u200b", "", outside)


def test_it_fits_into_a_comment_and_says_what_was_cut() -> None:
    lines = tuple("+" + "z" * 200 for _ in range(100))
    found = Comparison(
        runs=(Compared("a", "run", "1" * 32), Compared("b", "run", "2" * 32)),
        params={f"p{i}": ("x" * 70, "y" * 70) for i in range(190)},
        metrics={f"m{i}": (1.0, 2.0) for i in range(500)},
        code=tuple(CodeChange("cell", f"c{i}", "changed", "code", diff=lines) for i in range(50)),
        seeds=(Row("seed", ("1" * 80, "2" * 80)),),
        notes=("a note",),
    )
    written = comparison(found)
    assert 40_000 < len(written) < 60_000
    assert "*and 300 more metrics*" in written
    assert re.search(r"\*and \d+ more changes\*", written)
    small = comparison(found, 9_000)
    assert len(small) < 9_000
    assert small.endswith(
        "*Cut, since this is too long for a comment: code, seeds. nbledger compare shows it whole.*\n"
    )
    assert "### Runs" in small
    assert "- a note" in small


def test_more_than_two_sides_are_tables() -> None:
    found = Comparison(
        runs=tuple(Compared(name, "run", name * 32) for name in "abc"),
        metrics={"m": (1.0, None, 3.0)},
        data=(DataChange("d.csv", ("a" * 32, None, "b" * 32), "differs"),),
        code=(CodeChange("cell", "cell [1] x", "differs", "code", values=("11", "22", None)),),
    )
    written = comparison(found)
    assert "| metric | a | b | c |\n|---|--:|--:|--:|\n| m | 1 |  | 3 |" in written
    assert "| d.csv | aaaaaaaa | — | bbbbbbbb |" in written
    assert "| cell \\[1\\] x | 11 | 22 | — |" in written
    assert "Why" not in written
