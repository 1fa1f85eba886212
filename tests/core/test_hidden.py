"""Hidden state: a table of sessions that a fresh run of the notebook repeats, and of those that it does not.

A row: the saved notebook as {cell: source}; the session as a list of cells, each a name of the notebook's (run as it is
saved) or a ``(name, source)`` that was run under that name; and what the warning says, None for no warning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import pytest

from nbledger.core.cells import Cell
from nbledger.core.hidden import Watcher, line
from nbledger.core.symbols import Memory

Run = str | tuple[str, str]
Row = tuple[dict[str, str], Sequence[Run], str | None]

SAVED = 1000.0
LIST = {"a": "items = []", "b": "items.append(1)", "c": "len(items)"}
FRAME = {"a": "import pandas as pd\ndf = pd.read_csv('d.csv')", "b": "df['r'] = df['x'] / df['y']", "c": "df.mean()"}

ALARMS: dict[str, Row] = {
    "edited since": ({"a": "x = 2", "b": "x"}, [("a", "x = 1"), "b"], "x was set by [1] x = 1, which was edited since"),
    "edited far back": (
        {"a": "x = 2", "b": "y = x", "c": "z = y", "d": "z"},
        [("a", "x = 1"), "b", "c", "d"],
        "x was set by [1] x = 1, which was edited",
    ),
    "deleted": ({"b": "x"}, [("a", "x = 1"), "b"], "x was set by [1] x = 1, which was edited or deleted"),
    "deleted import": ({"b": "np.pi"}, [("a", "import numpy as np"), "b"], "edited or deleted"),
    "deleted function": ({"b": "f(1)"}, [("a", "def f(x): return x"), "b"], "f was set by [1] def f"),
    "below": ({"b": "x", "a": "x = 1"}, ["a", "b"], "x was set by [1] x = 1, which stands below"),
    "import below": ({"b": "np.pi", "a": "import numpy as np"}, ["a", "b"], "which stands below"),
    "ran in another order": (
        {"a": "x = 1", "b": "x = 2", "c": "x"},
        ["b", "a", "c"],
        "x was set by [2] x = 1, which ran after [1] x = 2 below it",
    ),
    "in-between order": (
        {"a": "x = 1", "b": "y = x", "c": "x = 2", "d": "y"},
        ["a", "c", "b", "d"],
        "x was set by [2] x = 2",
    ),
    "one above has not run": ({"a": "x = 1", "b": "x = 2", "c": "x"}, ["a", "c"], "'x = 2' above, which has not run"),
    "counted twice": ({"a": "n = 0", "b": "n += 1", "c": "n"}, ["a", "b", "b", "c"], "[3] n += 1 ran 2 times and adds"),
    "x = x + 1 three times": (
        {"a": "n = 0", "b": "n = n + 1", "c": "n"},
        ["a", "b", "b", "b", "c"],
        "[4] n = n + 1 ran 3 times",
    ),
    "appended twice": (LIST, ["a", "b", "b", "c"], "[3] items.append(1) ran 2 times and adds to items"),
    "not appended": (LIST, ["a", "c"], "items is set by 'items.append(1)' above, which has not run"),
    "column from itself twice": (
        {**FRAME, "b": "df['x'] = df['x'] * 2"},
        ["a", "b", "b", "c"],
        "df['x'] = df['x'] * 2 ran 2 times",
    ),
    "column times equals twice": ({**FRAME, "b": "df['x'] *= 2"}, ["a", "b", "b", "c"], "ran 2 times"),
    "dropna into itself twice": ({**FRAME, "b": "df = df.dropna()"}, ["a", "b", "b", "c"], "ran 2 times"),
    "changed by a cell now gone": (
        {"a": FRAME["a"], "c": "df.mean()"},
        ["a", ("b", "df.drop(columns='x', inplace=True)"), "c"],
        "edited or deleted",
    ),
    "changed by a function": (
        {"a": "def f(d):\n    d['k'] = d['k'] + 1\nd = {'k': 1}", "c": "d"},
        ["a", ("b", "f(d)"), "c"],
        "d was set by [2] f(d)",
    ),
    "a function edited since": (
        {"a": "def f(x):\n    return x + 2", "b": "f(1)"},
        [("a", "def f(x):\n    return x + 1"), "b"],
        "f was set by [1] def f(x):, which was edited",
    ),
    "what a function looks up": (
        {"k": "k = 2", "a": "def f(x): return x + k", "b": "f(1)"},
        [("k", "k = 1"), "a", "b"],
        "k was set by [1] k = 1",
    ),
    "what a lambda looks up": (
        {"k": "k = 2", "b": "sorted([1], key=lambda v: v * k)"},
        [("k", "k = 1"), "b"],
        "k was set by [1] k = 1",
    ),
    "a class edited since": (
        {"a": "class A:\n    x = 2", "b": "A().x"},
        [("a", "class A:\n    x = 1"), "b"],
        "A was set by",
    ),
    "a name of no cell, beside our own extension": (
        {"a": "%load_ext nbledger\n%load_ext autoreload", "b": "ghost"},
        ["a", "b"],
        "no cell sets ghost",
    ),
    "a name of no cell": ({"b": "ghost + 1"}, ["b"], "no cell sets ghost"),
    "an edit in one of two statements": (
        {"a": "x = 1\ny = 3", "b": "x + y"},
        [("a", "x = 1\ny = 2"), "b"],
        "y was set by [1] x = 1, which was edited",
    ),
    "a cell that failed half-way": (
        {"a": "x = 1\nraise ValueError", "b": "x"},
        ["!a", "b"],
        "x was set by [1] x = 1, which failed",
    ),
    "the header's metric": ({"a": "acc = 2", "b": "%%mlrun -m acc\npass"}, [("a", "acc = 1"), "b"], "acc was set by"),
    "a comprehension over what was edited": (
        {"a": "xs = [2]", "b": "[x for x in xs]"},
        [("a", "xs = [1]"), "b"],
        "xs was set by",
    ),
    "the cell's own earlier run": (
        {"a": "n = 0", "b": "n = n + 1"},
        ["a", "b", "b"],
        "n was set by [2] n = n + 1, an earlier run of this cell",
    ),
    "a loop's result": (
        {"a": "t = 0", "b": "for i in range(3):\n    t += i", "c": "t"},
        ["a", "b", "b", "c"],
        "ran 2 times",
    ),
    "a name from a with block": (
        {"a": "with open('f') as f:\n    text = f.read(2)", "b": "text"},
        [("a", "with open('f') as f:\n    text = f.read(1)"), "b"],
        "text was set by",
    ),
    "generator used up in part": (
        {"a": "g = iter([1, 2])", "b": "next(g)", "c": "list(g)"},
        ["a", "b", "b", "c"],
        "ran 2",
    ),
    "unpacked": ({"a": "x, y = 1, 3", "b": "y"}, [("a", "x, y = 1, 2"), "b"], "y was set by"),
}
CLEAN: dict[str, Row] = {
    "in order": ({"a": "x = 1", "b": "y = x", "c": "y"}, ["a", "b", "c"], None),
    "in order, some cells left out that do not matter": ({"a": "x = 1", "n": "z = 2", "c": "x"}, ["a", "c"], None),
    "run twice": ({"a": "x = 1", "b": "x"}, ["a", "a", "b", "b"], None),
    "an import run twice": ({"a": "import numpy as np", "b": "np.pi"}, ["a", "a", "b"], None),
    "an import whose neighbours changed": (
        {"a": "import numpy as np\nimport os", "b": "np.pi"},
        [("a", "import numpy as np"), "b"],
        None,
    ),
    "an import that moved to another cell": (
        {"a": "import os, numpy as np", "b": "np.pi"},
        [("x", "import numpy as np"), "b"],
        None,
    ),
    "a function whose comments and docstring changed": (
        {"a": 'def f(x):\n    """New."""\n    # new\n    return x', "b": "f(1)"},
        [("a", "def f(x):\n    return x"), "b"],
        None,
    ),
    "a function beside an edit": (
        {"a": "def f(x): return x\ny = 2", "b": "f(1)"},
        [("a", "def f(x): return x\ny = 1"), "b"],
        None,
    ),
    "a function after what it looks up changed back": (
        {"k": "k = 1", "a": "def f(x): return x + k", "b": "f(1)"},
        [("k", "k = 2"), "a", "k", "b"],
        None,
    ),
    "a comprehension that did not change": (
        {"a": "xs = [i * 2 for i in range(3)]", "b": "[x for x in xs]"},
        ["a", "a", "b"],
        None,
    ),
    "a comprehension's variable that a cell had set once": (
        {"b": "[ghost for ghost in range(3)]"},
        [("a", "ghost = 1"), "b"],
        None,
    ),
    "formatting": ({"a": "x = {'a': 1,\n     'b': 2}", "b": "x"}, [("a", "x = {'a':1, 'b':2}"), "b"], None),
    "an edit of what is shown": (
        {"a": "x = 1\nprint(x, 'new')", "b": "x"},
        [("a", "x = 1\nprint(x)"), "b"],
        None,
    ),
    "a plot run twice": (
        {"a": FRAME["a"], "p": "import seaborn as sns\nsns.heatmap(df)\ndf.hist()\nplt.title('x')", "c": "df.mean()"},
        ["a", "p", "p", "c"],
        None,
    ),
    "a user's plotting function run twice": (
        {"f": "def show(d):\n    print(d.head())", "a": FRAME["a"], "p": "show(df)", "c": "df.mean()"},
        ["f", "a", "p", "p", "c"],
        None,
    ),
    "a new column set twice": (FRAME, ["a", "b", "b", "c"], None),
    "two new columns set twice": (
        {**FRAME, "b": "df['r'] = df['x'] / df['y']\ndf['s'] = df[['x', 'y']].sum(axis=1)"},
        ["a", "b", "b", "c"],
        None,
    ),
    "fitted twice": (
        {"a": "from m import M\nm = M()\nx = 1", "b": "m.fit(x)", "c": "m.predict(x)"},
        ["a", "b", "b", "c"],
        None,
    ),
    "shown twice by a method that is not known": (
        {"a": "from m import M\nm = M()", "b": "m.confidence()", "c": "m.summary()"},
        ["a", "b", "b", "c", "c"],
        None,
    ),
    "the cell itself fitted what it fits again": (
        {"a": "from m import M\nm = M()\nx = 1", "b": "%%mlrun\nm.fit(x)"},
        ["a", "b", "b", "b"],
        None,
    ),
    "names of a loop's body": (
        {"a": "import numpy as np", "b": "for i in range(3):\n    ghost = np.ones(i)\n    print(ghost)"},
        ["a", "b", "b"],
        None,
    ),
    "a loop's variables set twice": (
        {"a": "for i in range(3):\n    y = i * 2", "c": "y"},
        ["a", "a", "c"],
        None,
    ),
    "set in both branches": (
        {"a": "import os\nif os.name == 'nt':\n    p = 1\nelse:\n    p = 2", "b": "p"},
        ["a", "a", "b"],
        None,
    ),
    "edited and run again": ({"a": "x = 2", "b": "x"}, [("a", "x = 1"), "b", "a", "b"], None),
    "failed, mended and run again": (
        {"a": "x = 1\ny = 2", "b": "x + y"},
        [("!a", "x = 1\ny = z"), "a", "b"],
        None,
    ),
    "set by the cell itself": ({"b": "x = 2\nx + 1"}, [("a", "x = 1"), "b"], None),
    "the header's metric that the cell sets": (
        {"b": "%%mlrun -m acc\nacc = 2"},
        [("a", "acc = 1"), "b"],
        None,
    ),
    "names of IPython and Python": ({"b": "display(len(In)), __name__, get_ipython(), _"}, ["b"], None),
    "a star import": ({"a": "from numpy import *", "b": "array([ghost])"}, ["a", "b"], None),
    "%run": ({"a": "%run other.py", "b": "ghost"}, ["a", "b"], None),
    "an extension that brings names": ({"a": "%load_ext sql", "b": "ghost"}, ["a", "b"], None),
    "the shell asked by hand": ({"a": "get_ipython().push({'ghost': 1})", "b": "ghost"}, ["a", "b"], None),
    "papermill's parameters": (
        {"p": "lr = 0.1", "b": "lr"},
        ["p", ("injected", "# Injected Parameters\nlr = 0.5"), "b"],
        None,
    ),
    "another language": ({"a": "%%bash\nx=1", "b": "1 + 1"}, ["a", "b"], None),
    "magics": ({"a": "%matplotlib inline\nx = 1", "b": "%time y = x", "c": "y"}, ["a", "b", "c"], None),
    "a name that is not there at all": ({"b": "never"}, ["b"], None),
    "a function whose variable has the name of one": (
        {"a": "def f():\n    ghost = 1\n    return ghost", "b": "f()"},
        [("x", "ghost = 2"), "a", "b"],
        None,
    ),
    "a global that a function defined here would need, which is not called": (
        {"a": "k = 2", "b": "def f(): return k"},
        [("a", "k = 1"), "b"],
        None,
    ),
    "two cells with the same source": (
        {"a": "x = 1", "b": "x = 2", "c": "x = 1", "d": "x"},
        ["a", "b", "c", "d"],
        None,
    ),
}


def session(root: Path, disk: Mapping[str, str], ran: Sequence[Run], *, ids: bool) -> tuple[list[Cell], Path]:
    path = root / "nb.ipynb"
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in disk.items()]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    os.utime(path, (SAVED, SAVED))
    made = []
    for number, item in enumerate(ran):
        name, source = item if isinstance(item, tuple) else (item, disk[item.lstrip("!")])
        key = name.lstrip("!") if ids else None
        made.append(Cell(source, key, 100.0 + number, number + 1, ok=not name.startswith("!")))
    return made, path


@pytest.mark.parametrize("case", [*ALARMS, *CLEAN])
def test_with_ids(case: str, tmp_path: Path) -> None:
    disk, ran, said = {**ALARMS, **CLEAN}[case]
    cells, path = session(tmp_path, disk, ran, ids=True)
    reasons = Watcher().warnings(cells, path, {"ghost"})
    if said is None:
        assert reasons == ()
    else:
        assert said in line(reasons)
        assert len(reasons) == 1


@pytest.mark.parametrize("case", [*ALARMS, *CLEAN])
def test_without_ids_there_is_an_alarm_for_the_same_rows(case: str, tmp_path: Path) -> None:
    """Where a front end tells no ids, cells are known by their source: an edited one counts as gone."""
    disk, ran, said = {**ALARMS, **CLEAN}[case]
    cells, path = session(tmp_path, disk, ran, ids=False)
    assert bool(Watcher().warnings(cells, path, {"ghost"})) == (said is not None)


@pytest.mark.parametrize("case", [*ALARMS, *CLEAN])
def test_a_watcher_that_saw_the_cells_before_says_the_same(case: str, tmp_path: Path) -> None:
    disk, ran, _ = {**ALARMS, **CLEAN}[case]
    cells, path = session(tmp_path, disk, ran, ids=True)
    watcher = Watcher()
    for number in range(1, len(cells)):
        watcher.warnings(cells[:number], path, {"ghost"})
    assert watcher.warnings(cells, path, {"ghost"}) == Watcher().warnings(cells, path, {"ghost"})


def test_what_ran_after_the_file_was_saved_is_not_called_edited(tmp_path: Path) -> None:
    disk = {"a": "x = 1", "b": "x"}
    cells, path = session(tmp_path, disk, [("a", "x = 2"), ("new", "y = x"), ("b", "y")], ids=True)
    os.utime(path, (50, 50))
    assert Watcher().warnings(cells, path) == ()
    twice = [*cells[:2], Cell("y += 1", "more", 110.0, 4), Cell("y += 1", "more", 111.0, 5), cells[2]]
    assert "ran 2 times" in line(Watcher().warnings(twice, path))


def test_without_a_notebook_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    cells, path = session(tmp_path, {"b": "x"}, [("a", "x = 1"), "b"], ids=True)
    assert Watcher().warnings(cells, None) == Watcher().warnings(cells, tmp_path / "none.ipynb") == ()
    assert Watcher().warnings([], path) == ()


def test_the_line_tells_three_reasons_and_counts_the_rest() -> None:
    assert line(()) == ""
    assert line(["a", "b"]).endswith(": a; b")
    assert line(["a", "b", "c", "d", "e"]).endswith(": a; b; c; and 2 more")


def test_a_long_session_is_not_looked_through_twice(tmp_path: Path) -> None:
    disk = {"a": "x = 0", "b": "x = x + 1", "c": "x"}
    cells, path = session(tmp_path, disk, ["a", *["b"] * 3000, "c"], ids=True)
    assert "ran 3000 times" in line(Watcher().warnings(cells, path))


def test_the_names_of_a_long_session_are_the_same_wherever_it_is_taken_up_again() -> None:
    sources = [(f"a{n} = f(a{n - 1}, {n})", True) for n in range(200)]
    memory = Memory()
    memory.after(sources)
    for count in (199, 150, 64, 63, 200, 1, 200):
        taken_up, anew = memory.after(sources[:count]), Memory().after(sources[:count])
        assert {k: v.digest for k, v in taken_up.nodes.items()} == {k: v.digest for k, v in anew.nodes.items()}
    edited = [*sources[:100], ("a99 = 0", True), *sources[101:]]
    assert memory.after(edited).nodes["a199"].digest == Memory().after(edited).nodes["a199"].digest
