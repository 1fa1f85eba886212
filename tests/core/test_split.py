"""Stages proposed from what cells need and from the files that they were seen to read and write; nothing is executed."""

from __future__ import annotations

import json
from dataclasses import replace

import nbformat
import pytest

from nbledger.core.errors import Refused, UsageError
from nbledger.core.notebooktext import with_first_lines
from nbledger.core.split import Facts, Proposal, propose, slug
from nbledger.core.splitcells import Cell, Seen, cheap, code_cells, parameters

WORDS = dict[str, object]


def cells(*given: str | tuple[str, WORDS]) -> list[Cell]:
    """Cells, each with what was seen of it and the heading above it."""
    made = []
    for index, each in enumerate(given):
        source, words = (each[0], dict(each[1])) if isinstance(each, tuple) else (each, {})
        heading, seen = words.pop("heading", ""), Seen(**words)  # type: ignore[arg-type]
        made.append(Cell(index, source, str(heading), seen=seen))
    return made


def stages(found: Proposal) -> dict[str, tuple[int, ...]]:
    return {part.name: part.cells for part in found.parts}


def wrote(*paths: str, **words: object) -> WORDS:
    return {"writes": paths, **words}


IMPORT = "import json, numpy as np, joblib"
LOAD = ("df = load('raw.csv')", {"reads": ("raw.csv",)})


def test_through_a_file_two_stages_and_through_a_variable_one() -> None:
    train = "model = fit(df)"
    dump = ("joblib.dump(model, 'm')", wrote("m", heading="2. Train the model"))
    score = ("json.dump(model.score(df), open('s', 'w'))", wrote("s", heading="Evaluate"))
    one = propose(cells(IMPORT, LOAD, train, dump, score), Facts(metrics=frozenset({"s"})))
    assert stages(one) == {"train-model": (0, 1, 2, 3, 4)}
    (part,) = one.parts
    assert (part.own, part.deps, part.outs, part.metrics) == ((2, 3, 4), ("raw.csv",), ("m",), ("s",))
    (note,) = one.notes
    assert note.startswith("train-model makes m, s: they need cell 3 (model = fit(df)), which sets model. To make two")
    back = ("model = joblib.load('m')", {"reads": ("m",)})
    two = propose(cells(IMPORT, LOAD, train, dump, back, score), Facts())
    assert stages(two) == {"train-model": (0, 1, 2, 3), "evaluate": (0, 1, 4, 5)}
    assert two.repeated == (0, 1)
    assert [part.deps for part in two.parts] == [("raw.csv",), ("m", "raw.csv")]
    assert two.notes == ()


def test_stages_run_in_the_order_of_their_files_and_those_that_wait_for_each_other_are_one() -> None:
    table = ("clean = df.dropna()\nclean.to_csv('c')", wrote("c"))
    later = ("n = len(load('c'))\nopen('n', 'w').write(str(n))", wrote("n", reads=("c",)))
    assert [part.name for part in propose(cells(LOAD, table, later), Facts()).parts] == ["c", "n"]
    a, b = ("a()", wrote("a", reads=("b",))), ("b()", wrote("b", reads=("a",)))
    assert [part.outs for part in propose(cells(a, b), Facts()).parts] == [("a", "b")]


def test_cells_that_write_one_file_and_those_that_read_it_in_between_are_one_stage() -> None:
    first, second = ("open('log', 'a')", wrote("log")), ("open('log', 'a')", wrote("log"))
    between = ("x = load('log')", {"reads": ("log",)})
    other = ("open('o', 'w').write(x)", wrote("o"))
    found = propose(cells(first, between, second, other), Facts())
    assert stages(found) == {"log": (0, 1, 2, 3)}
    assert found.parts[0].own == (0, 1, 2, 3)
    after = propose(cells(first, second, between, other), Facts())
    assert stages(after) == {"log": (0, 1), "o": (2, 3)}


def test_random_numbers_that_go_on_where_others_left_off_keep_cells_together() -> None:
    seed = ("import random\nrandom.seed(1)", {"random": {"random": ("0", "1")}})
    draw = ("x = random.random()\nopen('x', 'w').write(str(x))", wrote("x", random={"random": ("1", "2")}))
    more = ("y = random.random()\nopen('y', 'w').write(str(y))", wrote("y", random={"random": ("2", "3")}))
    found = propose(cells(seed, draw, more), Facts())
    assert stages(found) == {"x": (0, 1, 2)}
    assert "cell 3 (y = random.random()) goes on with the random numbers that cell 2" in found.notes[0]
    again = ("random.seed(2)\n" + more[0], more[1])
    assert stages(propose(cells(seed, draw, again), Facts())) == {"x": (0, 1), "y": (0, 2)}


def test_what_cannot_be_split_is_refused_with_the_reason() -> None:
    with pytest.raises(Refused, match="no cell of it writes a file in the project"):
        propose(cells("x = 1", ("open('/tmp/x', 'w')", wrote("/tmp/x"))), Facts())
    over = cells(LOAD, ("df.to_csv('raw.csv')", wrote("raw.csv")))
    with pytest.raises(Refused, match=r"raw\.csv is read by cell 1 .* and overwritten by cell 2"):
        propose(over, Facts(before=frozenset({"raw.csv"})))
    fine = cells(LOAD, ("df.to_csv('a')", wrote("a")))
    for names, words in ((["a", "b"], "2 names for 1 stage"), (["a b"], "cannot be a stage's name")):
        with pytest.raises(UsageError, match=words):
            propose(fine, Facts(), names)
    assert [part.name for part in propose(fine, Facts(), ["mine"]).parts] == ["mine"]
    assert [part.name for part in propose(fine, Facts(taken=frozenset({"a"}))).parts] == ["a-2"]


def test_cells_of_no_stage_modules_parameters_and_folders() -> None:
    many = tuple(f"img/{n}.png" for n in range(12))
    given = cells(
        "lr = 0.1\nnames = ['a']\nmade = list()\nunused = 1",
        "import helpers.maths as m",
        "print(lr)",
        "z = 3",
        ("m.draw(lr, names, made)", wrote(*many)),
    )
    given[0] = replace(given[0], parameters=True)
    assert parameters(given[0]) == {"lr": 0.1, "names": ["a"], "unused": 1}
    found = propose(given, Facts(modules=("helpers/maths.py", "other.py")))
    (part,) = found.parts
    assert (part.deps, part.outs, part.values) == (("helpers/maths.py",), ("img",), {"lr": 0.1, "names": ["a"]})
    assert found.idle == {2: "only shows", 3: "no file that is written needs it"}


@pytest.mark.parametrize(
    ("source", "seen", "expected"),
    [
        ("import a\nfrom b import c", {"seconds": 60}, True),
        ("def f():\n    return model.fit(x)\nC = 3", {}, True),
        ("df = pd.read_csv('x')", {"seconds": 60, "reads": ("x",)}, True),
        ("with open('x') as f:\n    d = json.load(f)", {"seconds": 60, "reads": ("x",)}, True),
        ("df = pd.read_csv('x')\nm = fit(df)", {"seconds": 60, "reads": ("x",)}, False),
        ("a, b = train_test_split(df)", {}, True),
        ("x = scaler.fit_transform(x)", {}, True),
        ("m = Ridge().fit(x, y)", {}, False),
        ("for e in range(3):\n    loss.backward()", {}, False),
        ("for e in range(3):\n    w -= e", {}, False),
        ("import a, b\nb.set_option('x', 1)\nb.random.seed(0)\n%matplotlib inline", {"seconds": 60}, True),
        ("import a\nquick()", {"seconds": 5.0}, True),
        ("slow()", {"seconds": 5.0}, False),
        ("quick()", {"seconds": 0.2}, True),
        ("quick()", {"outside": ("wget",)}, False),
        ("quick()", {"writes": ("x",)}, False),
        ("%%bash\nls", {}, False),
    ],
)
def test_what_several_stages_may_run(source: str, seen: WORDS, expected: bool) -> None:
    assert cheap(cells((source, seen))) == [expected]


def test_a_function_of_the_notebook_that_fits_is_not_cheap_to_call() -> None:
    given = cells(
        "def a(x):\n    return b(x)", "def b(x):\n    return a(x) or Ridge().fit(x)", "m = a(1)", "n = str(1)"
    )
    assert cheap(given) == [True, True, False, True]


def test_headings_and_names() -> None:
    book = nbformat.v4.new_notebook()
    book.cells = [
        nbformat.v4.new_markdown_cell("# All\n```\n# no heading\n```\n## 3. *Train* the [model](x) ##\ntext"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_code_cell("  "),
        nbformat.v4.new_code_cell("%%time\ny = 2", metadata={"tags": ["parameters"]}),
    ]
    found = code_cells(book)
    assert [(cell.index, cell.parameters) for cell in found] == [(1, False), (3, True)]
    assert {slug(cell.heading) for cell in found} == {"train-model"}
    assert [slug(text) for text in ("Étape 2 : entraîner", "1.2 Data", "III. End", "—", "Iris")] == [
        "étape-2-entraîner", "data", "end", "", "iris",
    ]  # fmt: skip


def test_first_lines_are_put_in_and_every_other_byte_stays() -> None:
    book = {
        "metadata": {"cells": [{"source": "no"}]},
        "cells": [
            {"source": ["é = 1\n", "b"], "id": "source", "metadata": {"source": []}, "cell_type": "code"},
            {"cell_type": "code", "source": 'a = "x"', "outputs": [{"text": ["source"]}]},
            {"cell_type": "code", "source": []},
        ],
        "nbformat": 4,
    }
    for style in ({"indent": 1, "ensure_ascii": False}, {"indent": "\t"}, {}, {"separators": (",", ":")}):
        text = json.dumps(book, **style)  # type: ignore[arg-type]
        changed = with_first_lines(text, {0: "%%stage a", 1: "%%stage b", 2: "%%stage c"})
        found = [cell["source"] for cell in json.loads(changed)["cells"]]
        assert found == [["%%stage a\n", "é = 1\n", "b"], '%%stage b\na = "x"', ["%%stage c\n"]]
        expected = json.loads(text)
        for cell, source in zip(expected["cells"], found, strict=True):
            cell["source"] = source
        if style != {"indent": 1, "ensure_ascii": False}:
            continue
        one = with_first_lines(text, {0: "%%stage a"}).splitlines()
        assert len(one) == len(text.splitlines()) + 1
        assert [line for line in one if "%%stage" in line] == ['    "%%stage a\\n",']
        assert [line for line in one if "%%stage" not in line] == text.splitlines()
    for broken in ("", "[]", "{}", '{"cells": [{}]}', '{"cells": 3}', '{"cells": [{"source"'):
        with pytest.raises(UsageError, match="not a notebook of format 4"):
            with_first_lines(broken, {0: "x"})
