"""Code that two runs executed: cells are paired, harmless edits recognised, parameters told apart from code."""

from __future__ import annotations

import pytest

from nbledger.core import codediff, syntax
from nbledger.core.record import ExecutedCell

EFFECTS = {
    "comment": ("x = 1", "x = 1  # one", "layout"),
    "formatting": ("f(a,b)", "f(\n    a,\n    b,\n)", "layout"),
    "docstring": ("def f():\n    'a'\n    return 1", "def f():\n    'b'\n    return 1", "layout"),
    "quotes": ("x = 'a'", 'x = "a"', "layout"),
    "header": ("%%mlrun a -p x\ny = x", "%%mlrun b -p x -m y\ny = x", None),
    "print": ("x = f()", "x = f()\nprint(x)", "shows"),
    "plot": ("x = f()", "x = f()\nplt.hist(x)", "shows"),
    "literal": ("x = 1", "x = 2", "literals"),
    "negative literal": ("x = 1", "x = -1", "literals"),
    "list of literals": ("cols = ['a', 'b']", "cols = ['a']", "literals"),
    "keyword": ("m = F(k=1)", "m = F(k=2)", "literals"),
    "seed": ("m = F(random_state=1)", "m = F(random_state=2)", "seed"),
    "seed taken away": ("m = F(random_state=1)", "m = F()", "seed"),
    "seed call": ("np.random.seed(1)", "np.random.seed(2)", "seed"),
    "seed call taken away": ("np.random.seed(1)\nx = f()", "x = f()", "seed"),
    "generator": ("r = np.random.default_rng(1)", "r = np.random.default_rng()", "seed"),
    "operator": ("x = a + 1", "x = a - 1", "code"),
    "name": ("x = f(a)", "x = f(b)", "code"),
    "shell line": ("!tool --a\nx = 1", "!tool --b\nx = 1", "code"),
    "line magic": ("%time x = f(1)", "%time x = f(2)", "literals"),
    "how long it takes": ("x = f(1)", "%%time\nx = f(1)", "layout"),
    "another language": ("%%bash\necho 1", "%%bash\necho 2", "code"),
    "a drawing call is no mere display": ("x.sample(3)", "x.sample(4)", "literals"),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_an_edit_amounts_to(name: str) -> None:
    before, after, effect = EFFECTS[name]
    found = codediff.cells([ExecutedCell(before)], [ExecutedCell(after)])
    assert [c.effect for c in found] == ([effect] if effect else [])


def test_a_parenthesis_that_changes_nothing_is_layout_and_the_magic_text_counts() -> None:
    assert syntax.shape("x = (1)").exact == syntax.shape("x = 1").exact
    assert syntax.shape("%matplotlib inline\nx = 1").exact != syntax.shape("%matplotlib agg\nx = 1").exact
    assert syntax.shape("text = '''\n!not a magic\n'''").exact == syntax.shape('text = """\n!not a magic\n"""').exact


def test_cells_are_paired_by_id_and_likeness_with_a_diff_each() -> None:
    a = [ExecutedCell("import a", "1"), ExecutedCell("x = load('a')\ny = x * 2", "2"), ExecutedCell("z = y", "3")]
    b = [ExecutedCell("import a", "1"), ExecutedCell("extra = 'something else entirely'", "9"),
         ExecutedCell("x = load('a')\ny = x * 3", "2"), ExecutedCell("z = y", "3")]  # fmt: skip
    added, changed = sorted(codediff.cells(a, b), key=lambda c: c.state)
    assert (added.state, added.ids) == ("added", (None, "9"))
    assert (changed.state, changed.ids) == ("changed", ("2", "2"))
    assert changed.diff[-2:] == ("-y = x * 2", "+y = x * 3")
    without = [[ExecutedCell(c.source) for c in side] for side in (a, b)]
    assert {c.state for c in codediff.cells(*without)} == {"added", "changed"}


def test_an_injected_cell_of_parameters_differs_as_its_values_do() -> None:
    a = [ExecutedCell("lr = 0.1\nn = 3"), ExecutedCell("f(lr, n)")]
    b = [ExecutedCell("lr = 0.1\nn = 3"), ExecutedCell("# Parameters\nlr = 0.2\nn = 3"), ExecutedCell("f(lr, n)")]
    (found,) = codediff.cells(a, b)
    assert [(x.name, x.old, x.new) for x in found.literals] == [("lr", "0.1", "0.2")]
    same = [a[0], ExecutedCell("# Parameters\nlr = 0.1"), a[1]]
    assert [c.effect for c in codediff.cells(a, same)] == ["layout"]


MODULE = "def used(x, k=3):\n    return helper(x) * k\n\ndef helper(x):\n    return x\n\ndef idle(x):\n    return x\n"


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        (("k=3", "k=4"), True),
        (("def helper(x):\n    return x", "def helper(x):\n    return -x"), True),
        (("def idle(x):\n    return x", "def idle(x):\n    return -x"), False),
        (("def used", "LIMIT = 3\n\ndef used"), False),
        (("def used", "register(used)\n\ndef used"), True),
    ],
)
def test_a_change_in_a_module_counts_where_what_ran_reaches_it(change: tuple[str, str], needed: bool) -> None:
    after = MODULE.replace(*change)
    assert after != MODULE
    (found,) = codediff.modules({"lib.py": MODULE}, {"lib.py": after}, {"lib", "used"})
    assert found.needed is needed
    assert [x.name for x in found.literals] == (["k"] if change == ("k=3", "k=4") else [])
    (told,) = codediff.modules({"lib.py": MODULE}, {"lib.py": after}, None)
    assert told.needed


def test_modules_that_are_not_at_hand_are_no_difference() -> None:
    assert codediff.modules({"lib.py": None}, {"lib.py": "x = 1"}, set()) == []
    (found,) = codediff.modules({}, {"lib.py": "x = 1"}, set())
    assert found.state == "added"


CELLS = (
    "%%mlrun forest -p lr=0.1 -m acc\nlr = 0.1\nconf = {'depth': 3, 'é': 'ü'}; k = -1",
    "# Parameters\nk = 2",
    "lr * 2\nfor lr in range(3):\n    k = 5",
)


def test_parameters_are_taken_out_of_code_and_put_in_again() -> None:
    skeleton, values = codediff.split_parameters(CELLS, ["lr", "depth", "k", "absent"])
    assert values == {"lr": "0.1", "depth": "3", "k": "2"}
    assert skeleton == (
        "%%mlrun forest -p lr=... -m acc\nlr = ...\nconf = {'depth': ..., 'é': 'ü'}; k = ...",
        "# Parameters\nk = ...",
        CELLS[2],
    )
    again = codediff.with_parameters(CELLS, {"lr": "0.2", "depth": "7", "k": "[1, 2]"})
    assert again[0] == "%%mlrun forest -p lr=0.2 -m acc\nlr = 0.2\nconf = {'depth': 7, 'é': 'ü'}; k = [1, 2]"
    assert codediff.split_parameters(again, ["lr", "depth", "k"])[0] == skeleton
    assert codediff.with_parameters(CELLS, values)[0].count("0.1") == 2


FORMS = {
    "a name": "lr = {}",
    "a typed name": "lr: float = {}",
    "one of several names": "n, lr = 3, {}",
    "a key": "conf = {{'n': 3, 'lr': {}}}",
    "a key in a call": "conf = dict(n=3, lr={})",
    "an item": "conf['lr'] = {}",
    "an attribute": "conf.lr = {}",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_write_a_parameter(form: str) -> None:
    before, after = FORMS[form].format("0.1"), FORMS[form].format("0.2")
    (found,) = codediff.cells([ExecutedCell(before)], [ExecutedCell(after)])
    assert [(x.name, x.old, x.new, x.place in ("assigned", "key")) for x in found.literals] == [
        ("lr", "0.1", "0.2", True)
    ]
    assert codediff.split_parameters([before], ["lr"]) == ((FORMS[form].format("..."),), {"lr": "0.1"})
    assert codediff.with_parameters([before], {"lr": "0.2"}) == (after,)


@pytest.mark.parametrize("form", ["def f(x, k={}): return x", "def f(*, k={}): return k", "f = lambda x, k={}: x"])
def test_defaults_by_the_names_of_their_arguments(form: str) -> None:
    (found,) = codediff.cells([ExecutedCell(form.format(3))], [ExecutedCell(form.format(4))])
    assert [(x.name, x.old, x.new, x.place) for x in found.literals] == [("k", "3", "4", "default")]


def test_a_table_of_several_slices_has_a_row_for_each_cell_that_differs() -> None:
    base = ["import a", "lr = 1", "fit(lr)"]
    slices = [[ExecutedCell(s) for s in (base[0], f"lr = {n}", base[2])] for n in (1, 1, 2)]
    slices[1].insert(1, ExecutedCell("more = 1"))
    rows = {c.where: c.values for c in codediff.table(slices)}
    assert set(rows) == {"cell lr = 1", "cell more = 1"}
    first, second, third = rows["cell lr = 1"]
    assert first == second != third
    assert [v is None for v in rows["cell more = 1"]] == [True, False, True]


def test_a_very_long_diff_is_cut() -> None:
    (found,) = codediff.cells([ExecutedCell("")], [ExecutedCell("\n".join(f"x{i} = f({i})" for i in range(1000)))])
    assert len(found.diff) == 401
    assert found.diff[-1].startswith("…")
