import json
import os
from pathlib import Path

import nbformat
import pytest

from nbledger.core.cells import (
    Cell,
    digest,
    notebook_digest,
    order,
    parameters,
    session_notebook,
    slice_of,
)
from nbledger.core.defuse import names_of


def cells(*sources: str, ids: str | None = None, at: float = 1000.0) -> list[Cell]:
    return [Cell(s, ids[i] if ids else None, at + i, i + 1) for i, s in enumerate(sources)]


def notebook(
    path: Path, *sources: str, ids: str | None = None, tags: dict | None = None, saved: float = 2000.0
) -> Path:
    body = [
        {
            "cell_type": "code",
            "id": ids[i] if ids else f"c{i}",
            "metadata": {"tags": (tags or {}).get(i, [])},
            "outputs": [],
            "execution_count": None,
            "source": s.splitlines(keepends=True),
        }
        for i, s in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": body, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    os.utime(path, (saved, saved))
    return path


@pytest.mark.parametrize(
    ("sources", "wanted"),
    [
        (("a = 1", "b = 2", "a"), [0]),
        (("a = 1", "a = 2", "a"), [1]),
        (("a = 1", "if c: a = 2", "a"), [0, 1]),
        (("import numpy as np", "x = 1", "np.zeros(3)"), [0]),
        (("df = 1", "df['x'] = 2", "df.x.y = 3", "z = 1", "df"), [0, 1, 2]),
        (("df = 1", "df.drop(columns='a', inplace=True)", "df"), [0, 1]),
        (("df = 1", "df.head()", "df.describe()", "df"), [0]),
        (("m = 1", "h = m.fit(x)", "m"), [0, 1]),
        (("cfg = 1", "def f(): return cfg", "cfg = 2", "f()"), [1, 2]),
        (("n = 1", "class A:\n  k = n\n  def g(self): return q", "q = 1", "A()"), [0, 1, 2]),
        (("a = 1", "a += 1", "a"), [0, 1]),
        (("xs = []", "for i in range(3): xs.append(i)", "print(xs)"), [0, 1]),
        (("a = 1", "[a for a in b]", "a"), [0]),
        (("a = 1", "if (b := a): pass", "b"), [0, 1]),
        (("a = 1", "del a", "a = 2", "a"), [2]),
        (("a = 1", "with open('f') as f:\n  b = f.read(a)", "b"), [0, 1]),
        (("a = 1", "%matplotlib inline\n!ls\nb = !ls\nc = a", "c"), [0, 1]),
        (("a = 1", "%%bash\na=3", "a"), [0]),
        (("a = 1", "%%stage s\n%%bash\na=3", "%%stage s\n%%time\na = 2", "a"), [2]),
        (
            (
                "import json, plt",
                "m = 1",
                "json.dump(m, f)",
                "plt.figure(m)\nplt.bar(m, m)",
                "json.load(m)\nplt.show()",
            ),
            [0, 1],
        ),
        (
            ("import plt", "plt.style.use('x')", "plt.rcParams.update(y)", "plt.set_cmap('z')", "plt.show()"),
            [0, 1, 2, 3],
        ),
        (("a = 1", "%%time\na = 2", "a"), [1]),
        (("a = 1", "%time a = 2", "a"), [1]),
        (("loss = 1", "lr = 2", "other = 3", "%%mlrun fit -m loss -p lr --model m\nx = 1"), [0, 1]),
        (("s = {}", "k = 2", "v = 3", "%%mlrun fit -m s.accuracy -p k=v --param=k=3\nx = 1"), [0]),
        (("s = 1", "%%mlrun fit -m s\ns = 2"), []),
        (("a = 1", "this is no python", "b = 1", "a"), [0, 1]),
        (("a = 1", "from mod import *", "zzz"), [1]),
        (("a = 1", "%run other.py", "a"), [0, 1]),
        (("a = 1", "b = await f(a)", "b"), [0, 1]),
        (("a = 1", "import os, sys", "match a:\n  case {'k': v}: pass", "v"), [0, 2]),
        (("xs = [1]", "shuffle(xs)", "print(xs)", "xs"), [0, 1]),
        (("a = 1", "x ="), [0]),
        (("a = '''\n!ls\n'''", "b = 1\\\n % a", "b"), [0, 1]),
        ((), []),
    ],
)
def test_slices(sources, wanted):
    assert slice_of(cells(*sources)) == wanted


def test_a_failed_cell_does_not_hide_what_was_before():
    made = cells("a = 1", "a = 1 / 0", "a")
    made[1] = Cell(made[1].source, None, 1001, 2, ok=False)
    assert slice_of(made) == [0, 1]


def test_locals_of_functions_are_not_names_of_the_cell():
    names = names_of("def f(a, *b, c=d, **e):\n    g = a\n    def h(): return g + i\n    return [j for j in b]")
    assert names.binds == {"f"}
    assert names.loads == {"d"}
    assert names.later == {"i"}


def test_the_session_is_a_valid_notebook():
    made = [
        Cell("a = 1\n", "abc", 1, 1),
        Cell("b", "abc", 2, 2),
        Cell("ü", "not valid!", 3, None),
        Cell("", None, 4, 4),
    ]
    book = nbformat.reads(session_notebook(made), as_version=4)
    nbformat.validate(book)
    assert [c.source for c in book.cells] == ["a = 1\n", "b", "ü", ""]
    assert book.cells[0].id == "abc"


def test_digests_see_code_only(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "a = 1  \n\n", "b")
    other = notebook(tmp_path / "b.ipynb", "a = 1", "", "b\n", ids="xyz", tags={0: ["t"]})
    assert notebook_digest(path) == notebook_digest(other) == digest(["a = 1", "b"])
    assert digest(["a = 1", "b"]) != digest(["a = 1\nb"]) != digest(["b", "a = 1"])
    (tmp_path / "bad.ipynb").write_text("{")
    assert notebook_digest(tmp_path / "bad.ipynb") is None


def test_in_order_is_clean(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "a = 1", "b = a", "b", ids="xyz")
    assert order(cells("a = 1", "b = a", "b", ids="xyz"), path).state == "clean"
    assert order(cells("a = 1", "b = a", "b"), path).state == "clean"  # by source


def test_rerunning_in_place_is_fine_and_jumping_back_is_not(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "a = 1", "b = a", "b", ids="xyz")
    assert order(cells("a = 1", "b = a", "b = a", "b", ids="xyyz"), path).state == "clean"
    assert order(cells("a = 1", "b = a", "a = 1", "b", ids="xyxz"), path).state == "clean"  # b does not need it
    found = order(cells("a = 1", "b = a", "b", "a = b", "a", ids="xyzxz"), path)
    assert found.state == "edited-since"
    path = notebook(tmp_path / "m.ipynb", "x = y", "y = 1", "x", ids="xyz")
    found = order(cells("y = 1", "x = y", "x", ids="yxz"), path)
    assert found.state == "out-of-order"
    assert "[2] x = y ran after [1] y = 1" in found.detail[0]


def test_adding_twice_is_not_what_the_notebook_says(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "n = 0", "n += 1", "n", ids="xyz")
    assert order(cells("n = 0", "n += 1", "n", ids="xyz"), path).state == "clean"
    assert order(cells("n = 0", "n += 1", "n += 1", "n", ids="xyyz"), path).state == "out-of-order"


def test_edited_deleted_and_not_saved(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "a = 2", "a", ids="xz")
    assert order(cells("a = 1", "a", ids="xz"), path).state == "edited-since"
    assert order(cells("a = 1", "a", ids="yz"), path).detail == ("[1] a = 1 was deleted",)
    path = notebook(tmp_path / "n.ipynb", "a = 2", "a", ids="xz", saved=500)
    found = order(cells("a = 1", "a", ids="xz"), path)
    assert (found.state, found.detail) == ("clean", ("not saved",))
    assert order(cells("# Parameters\na = 1", "a", ids="yz"), path).state == "clean"
    assert order(cells("a = 1"), None).state == "clean"
    assert order([], path).state == "clean"


def test_parameters(tmp_path):
    path = notebook(
        tmp_path / "n.ipynb", "lr = 0.1\nxs = [1, {'a': None}]\nf = print\n_q = 1", "z = 1", tags={0: ["parameters"]}
    )
    space = {"lr": 0.2, "xs": [1, {"a": None}], "f": print, "_q": 1, "z": 3, "n": 5}
    assert parameters(path, cells("z = 1"), space) == {}
    made = cells("lr = 0.1\nxs = [1, {'a': None}]\nf = print\n_q = 1", "# Parameters\nlr = 0.2\nn = 5\n")
    assert parameters(path, made, space) == {"lr": 0.2, "xs": [1, {"a": None}], "_q": 1, "n": 5}
    assert parameters(None, made, space) == {"lr": 0.2, "n": 5}
