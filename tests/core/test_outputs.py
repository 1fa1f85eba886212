"""Which differences between two executions count: a table of texts, and whole cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nbformat
import pytest

from nbledger.core.outputs import OutputDifference, differing_outputs, normal

SAME = {
    "equal": ("accuracy 0.91\n", "accuracy 0.91\n"),
    "address": ("<Thing at 0x7f3a5c001d30>", "<Thing at 0x7fffe1234560>"),
    "wall time": ("CPU times: user 3 ms, sys: 0 ns, total: 3 ms\nWall time: 5.2 ms\n1\n", "Wall time: 9 s\n1\n"),
    "timeit": (
        "1.2 ms ± 3 µs per loop (mean ± std. dev. of 7 runs, 1,000 loops each)",
        "900 μs ± 1 µs per loop (mean ± std. dev. of 7 runs, 1,000 loops each)",
    ),
    "took": ("fitted, took 1.53s", "fitted, took 0.2 seconds"),
    "elapsed": ("elapsed time: 12.5", "elapsed time: 3"),
    "elapsed clock": ("Elapsed 0:00:12.345", "Elapsed 0:01:02"),
    "dictionary of times": ("{'fit_time': array([0.1, 0.2]), 'n': 3}", "{'fit_time': array([0.3, 0.1]), 'n': 3}"),
    "progress bar": (" 50%|█████     | 5/10 [00:01<00:01, 4.9it/s]\ndone\n", "done\n"),
    "carriage returns": ("step 1\rstep 2\rstep 3\n", "step 3\n"),
    "keras": (" 313/313 ━━━━━━━━ 1s 2ms/step\nloss 0.1\n", "313/313 ━━━━━━━━ 4s 9ms/step\nloss 0.1\n"),
    "backspaces": ("7/10 [==\b\b\b\b\b\b\b\b\b\bdone\n", "done\n"),
    "more backspaces than text": ("a\b\bb\b\b\bok\n", "ok\n"),
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "logging": ("2026-11-25 13:04:33,120 start", "2025-01-01 00:00:00,999 start"),
    "mlflow's logging": ("2026/11/25 13:04:33 INFO mlflow: a", "2026/11/25 13:09:01 INFO mlflow: a"),
    "the head of a statsmodels summary": (
        "Date:                Wed, 25 Nov 2026   Prob (F-statistic):               0.0\nTime:   13:10:41   AIC: 1",
        "Date:                Thu, 26 Nov 2026   Prob (F-statistic):               0.0\nTime:   00:10:42   AIC: 1",
    ),
    "uuid": ("id 0b6f1fd0-6f2f-4f0c-9a39-0e6c2f1d3c11", "id 1b6f1fd0-6f2f-4f0c-8a39-0e6c2f1d3c12"),
    "temporary folder": ("wrote /tmp/tmpab12cd34/x.csv", "wrote /tmp/tmpzz99zz99/x.csv"),
    "where it ran": ("/home/ada/project/data.csv read", "/srv/copy/data.csv read"),
    "blank lines at the end": ("a\n\n", "a"),
    "Windows' ends of lines": ("a\r\nb\r\n", "a\nb\n"),
}
DIFFERENT = {
    "a number": ("accuracy 0.91", "accuracy 0.92", "'accuracy 0.91' is now 'accuracy 0.92'"),
    "a date that is data": ("last 2024-01-31 00:00:00", "last 2024-02-29 00:00:00", None),
    "a count of hours": ("hours worked: 12", "hours worked: 13", None),
    "a line more": ("a\nb\n", "a\nb\nc\n", "'' is now 'c'"),
    "nothing left": ("a", "", "no longer shows 'a'"),
    "something new": ("", "a", "now also shows 'a'"),
    "a table's per cents": ("| 50% | a |", "| 60% | a |", None),
    "a distance": ("ran 10 s", "ran 11 s", "'ran 10 s' is now 'ran 11 s'"),
    "score beside a time": (
        "{'fit_time': array([0.1]), 'score': 0.5}",
        "{'fit_time': array([0.1]), 'score': 0.6}",
        None,
    ),
}
ROOTS = ("/home/ada/project", "/srv/copy")


def printed(text: str, name: str = "stdout") -> Any:
    return nbformat.v4.new_output("stream", name=name, text=text)


def result(**data: Any) -> Any:
    return nbformat.v4.new_output("execute_result", {k.replace("_", "/"): v for k, v in data.items()})


def book(*cells: tuple[str, Sequence[Any]], tags: Sequence[str] = ()) -> dict[str, Any]:
    """A notebook as a file holds it, its cells ``(source, outputs)`` all executed."""
    made = []
    for number, (source, outputs) in enumerate(cells):
        cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=number + 1, id=f"c{number}")
        cell.metadata["tags"] = list(tags)
        made.append(cell)
    return dict(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# title"), *made]))


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("kind", ["printed", "shown"])
def test_what_does_not_count(case: str, kind: str) -> None:
    make = printed if kind == "printed" else lambda text: result(text_plain=text)
    a, b = (book(("x", [make(text)] if text else [])) for text in SAME[case])
    assert differing_outputs(a, b, ROOTS) == []


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_counts(case: str) -> None:
    before, after, said = DIFFERENT[case]
    a, b = (book(("x", [printed(text)] if text else [])) for text in (before, after))
    (found,) = differing_outputs(a, b, ROOTS)
    assert (found.index, found.first_line) == (1, "x")
    assert found.what == said or said is None


def test_pictures_widgets_and_standard_error_do_not_count() -> None:
    one = [printed("warning", "stderr"), result(text_plain="<Figure size 1x1>", image_png="AAAA")]
    two = [result(text_plain="<Figure size 2x2>", image_png="BBBB")]
    widget = nbformat.v4.new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "IntSlider()"}
    )
    assert differing_outputs(book(("plot()", one)), book(("plot()", [*two, widget]))) == []


@pytest.mark.parametrize(
    "plain", ["<pandas.io.formats.style.Styler at 0x7f3a5c001d30>", "<IPython.core.display.HTML object>"]
)
def test_html_counts_where_plain_text_is_only_a_name(plain: str) -> None:
    a, b, c = (book(("x", [result(text_plain=plain, text_html=f"<b id='r{i}'>{i // 2}</b>")])) for i in (0, 1, 2))
    assert differing_outputs(a, b) == []
    assert [d.what for d in differing_outputs(a, c)] == ["'0' is now '1'"]
    drawn, again = (
        book(("x", [result(text_plain=plain, text_html=f"<p>1<svg><path id='p{i}'/>{i}</svg></p>")])) for i in (0, 1)
    )
    assert differing_outputs(drawn, again) == []


def test_html_counts_where_there_is_no_plain_text() -> None:
    a, b, c = (book(("x", [result(text_html=f"<b id='r{i}'>{i // 2}</b>")])) for i in (0, 1, 2))
    assert differing_outputs(a, b) == []
    assert len(differing_outputs(a, c)) == 1


def test_empty_cells_that_are_left_out_shift_nothing() -> None:
    a = book(("1", [result(text_plain="1")]), ("", []), ("2", [result(text_plain="2")]))
    for cell in a["cells"]:
        cell.pop("id", None)
    b = {"cells": [cell for cell in a["cells"] if cell["source"]]}
    assert differing_outputs(a, b) == []


def test_streams_cut_into_pieces_are_one() -> None:
    a = book(("x", [printed("a\n"), printed("warn", "stderr"), printed("b\n")]))
    assert differing_outputs(a, book(("x", [printed("a\nb\n")]))) == []


def test_errors_by_their_words_not_their_traceback() -> None:
    def failed(text: str, line: int) -> Any:
        return nbformat.v4.new_output("error", ename="KeyError", evalue=text, traceback=[f"line {line}"])

    a, b, c = book(("x", [failed("'a'", 1)])), book(("x", [failed("'a'", 2)])), book(("x", [failed("'b'", 1)]))
    assert differing_outputs(a, b) == []
    assert len(differing_outputs(a, c)) == 1
    assert differing_outputs(book(("x", [printed("1")])), a)[0].what == "now raises KeyError: 'a'"
    assert differing_outputs(a, book(("x", [])))[0].what == "no longer shows \"KeyError: 'a'\""


@pytest.mark.parametrize("mark", ["# NBVAL_IGNORE_OUTPUT\nx", "#NBVAL_SKIP\nx"])
def test_cells_that_their_author_leaves_out(mark: str) -> None:
    assert differing_outputs(book((mark, [printed("1")])), book((mark, [printed("2")]))) == []


def test_the_tag_leaves_out_too_and_what_never_ran_has_nothing_to_compare() -> None:
    a, b = book(("x", [printed("1")]), tags=["nbval-ignore-output"]), book(("x", [printed("2")]))
    assert differing_outputs(a, b) == []
    never = book(("x", []))
    never["cells"][1]["execution_count"] = None
    assert differing_outputs(never, b) == []


def test_cells_are_found_by_id_where_one_was_put_between() -> None:
    a = book(("first", [printed("1")]), ("second", [printed("2")]))
    b = book(("first", [printed("1")]), ("new", []), ("second", [printed("3")]))
    b["cells"][3]["id"], b["cells"][2]["id"] = "c1", "c2"
    assert differing_outputs(a, b) == [OutputDifference(2, "second", "'2' is now '3'")]
    assert [d.what for d in differing_outputs(a, book(("first", [printed("1")])))] == ["the cell is not there"]


@pytest.mark.parametrize("text", ["1" * 200_000, "time " + "1," * 100_000, "a" * 200_000, " " * 200_000, "=" * 200_000])
def test_long_lines_take_no_long_time(text: str) -> None:
    assert normal(text) == text.rstrip()
