"""Why two runs differ, rule by rule: hand-made records with one difference each, and the cause that must come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from nbledger.core import compare, sides
from nbledger.core.differences import Comparison
from nbledger.core.environment import Environment
from nbledger.core.lineage import FileRecord
from nbledger.core.record import ExecutedCell, Point, Record
from nbledger.core.records import RunRow
from nbledger.core.sides import RUN, Side

LOAD = "df = pd.read_csv('a.csv')"
IMPORT = "import pandas as pd"
LR = "lr = 0.1"
FIT = "%%mlrun run -p lr -m acc\nacc = fit(df, lr)"
CELLS = (IMPORT, LOAD, LR, FIT)


def cell(source: str, number: int, **fields: Any) -> ExecutedCell:
    return ExecutedCell(source, execution_count=number, **fields)


def executed(sources: Sequence[str], **fields: Mapping[int, Mapping[str, Any]]) -> tuple[ExecutedCell, ...]:
    given = {1: {"reads": ("a.csv",)}} | fields.get("facts", {})
    return tuple(cell(source, i + 1, **given.get(i, {})) for i, source in enumerate(sources))


def read(path: str = "a.csv", md5: str = "a" * 32, **fields: Any) -> FileRecord:
    return FileRecord(path, 10, md5, fields.pop("state", "git"), **fields)


def environment(**fields: Any) -> Environment:
    packages = fields.pop("packages", {"pandas": "2.1", "numpy": "1.26", "ipython": "9.0", "black": "24.1"})
    listed = tuple((name, version, "", False) for name, version in packages.items())
    given = {"python": "3.11.7", "platform": "linux-x86_64 glibc 2.36", "cpus": 2} | fields
    return Environment("", given.pop("python"), "cpython", given.pop("platform"), listed, **given)


def side(name: str, sources: Sequence[str] = CELLS, *, acc: float | None = None, **fields: Any) -> Side:
    facts = fields.pop("facts", {})
    tags = fields.pop("tags", {})
    row = RunRow("1" * 32, name, "FINISHED", "e", None, None, None, None, None, None, tags=tags)
    given: dict[str, Any] = {
        "params": {"lr": "0.1"},
        "metrics": {"acc": (Point(0, acc),)} if acc is not None else {},
        "cells": fields.pop("cells", None) or executed(sources, facts=facts),
        "inputs": (read(),),
        "environment": environment(),
        "imported": {"pandas": "2.1", "numpy": "1.26", "ipython": "9.0"},
        "hashing": "h",
    }
    found = Record(row, **(given | fields))
    return Side(name, RUN, found, needed=sides.slice_of(found.cells))


def compared(**fields: Any) -> Comparison:
    """A plain run A with accuracy 0.5 and a run B that differs in ``fields``, its accuracy 0.6 unless they say more."""
    first = fields.pop("first", {})
    return compare.of_sides(None, [side("A", **({"acc": 0.5} | first)), side("B", **({"acc": 0.6} | fields))])


def first(found: Comparison) -> tuple[str, str]:
    assert found.causes
    return found.causes[0].kind, found.causes[0].what


def changed(place: int, source: str) -> dict[str, Any]:
    return {"sources": (*CELLS[:place], source, *CELLS[place + 1 :])}


B, C = "b" * 32, "c" * 32

SINGLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a changed file": ({"inputs": (read(md5=B),)}, "data", "a.csv differs"),
    "another file by its name in the code": (
        changed(1, "df = pd.read_csv('b.csv')") | {"inputs": (read("b.csv", B),), "facts": {1: {"reads": ("b.csv",)}}},
        "data",
        "B read b.csv where A read a.csv",
    ),
    "another file by a parameter": (
        {"params": {"lr": "0.1", "path": "b.csv"}, "inputs": (read("b.csv", B),),
         "first": {"params": {"lr": "0.1", "path": "a.csv"}}, "facts": {1: {"reads": ("b.csv",)}}},
        "data",
        "B read b.csv where A read a.csv",
    ),
    "another variable": (
        changed(3, FIT.replace("df", "other")) | {"first": {}}, "code", "other",
    ),
    "two variables exchanged": (
        {"sources": (IMPORT, LOAD, "a = df.x\nb = df.y", FIT.replace("df", "b - a")),
         "first": {"sources": (IMPORT, LOAD, "a = df.x\nb = df.y", FIT.replace("df", "a - b"))}},
        "code",
        "b - a",
    ),
    "statements in another order": (
        changed(1, LOAD + "\ndf = df + 1\ndf = df * 2") | {"first": changed(1, LOAD + "\ndf = df * 2\ndf = df + 1")},
        "code",
        "df",
    ),
    "a setting of a library": (changed(1, LOAD + "\npd.set_option('mode.copy', True)"), "code", "set_option"),
    "a statement in place": (changed(1, LOAD + "\ndf['x'] = 1"), "code", "df['x'] = 1"),
    "a function that the run calls": (
        changed(2, "def fit(df, lr):\n    return lr + 1") | {"first": changed(2, "def fit(df, lr):\n    return lr")},
        "code",
        "return lr + 1",
    ),
    "another file that the run read before as well": (
        changed(1, "df = pd.read_csv('b.csv')\nrest = pd.read_csv('b.csv')")
        | {"inputs": (read("b.csv", B),), "facts": {1: {"reads": ("b.csv",)}},
           "first": changed(1, "df = pd.read_csv('a.csv')\nrest = pd.read_csv('b.csv')")
           | {"inputs": (read(), read("b.csv", B)), "facts": {1: {"reads": ("a.csv", "b.csv")}}}},
        "data",
        "B read b.csv where A read a.csv",
    ),
    "a part of a name": (
        changed(1, "fold = 2\ndf = load(fold)") | {"inputs": tuple(read(f"{s}/{n}_2.csv", B) for s in "xy" for n in "abc"), "facts": {1: {}},
         "first": changed(1, "fold = 1\ndf = load(fold)") | {"inputs": tuple(read(f"{s}/{n}_1.csv") for s in "xy" for n in "abc"), "facts": {1: {}}}},
        "data",
        "_2.csv where A read",
    ),
    "another folder": (
        changed(1, "df = load('v2')") | {"inputs": tuple(read(f"data/v2/{n}.csv", n * 32) for n in "abcdef"), "facts": {1: {}},
         "first": changed(1, "df = load('v1')") | {"inputs": tuple(read(f"data/v1/{n}.csv", n * 31 + "0") for n in "abcdef"), "facts": {1: {}}}},
        "data",
        "B read data/v2/ where A read data/v1/",
    ),
    "a file more": ({"inputs": (read(), read("c.csv", C)), "facts": {1: {"reads": ("a.csv", "c.csv")}}}, "data", "c.csv"),
    "a literal that is a parameter": (
        changed(2, "lr = 0.2") | {"params": {"lr": "0.2"}}, "parameter", "lr was 0.1 and is 0.2",
    ),
    "a literal that is no recorded parameter": (
        changed(2, "lr = 0.2") | {"params": {}, "first": {"params": {}}}, "parameter", "lr was 0.1 and is 0.2",
    ),
    "a value of a dictionary of settings": (
        changed(2, "conf = {'lr': 0.2, 'depth': 3}")
        | {"params": {"lr": "0.2"}, "first": changed(2, "conf = {'lr': 0.1, 'depth': 3}")},
        "parameter",
        "lr was 0.1 and is 0.2",
    ),
    "a parameter in the header": (
        changed(3, FIT.replace("-p lr", "-p lr=0.2")) | {"params": {"lr": "0.2"}, "first": changed(3, FIT.replace("-p lr", "-p lr=0.1"))},
        "parameter",
        "lr was 0.1 and is 0.2",
    ),
    "a keyword that is a recorded parameter": (
        changed(3, FIT + "\nacc = Forest(depth=4)(acc)") | {"params": {"depth": "4"},
         "first": changed(3, FIT + "\nacc = Forest(depth=3)(acc)") | {"params": {"depth": "3"}}},
        "parameter",
        "depth was 3 and is 4",
    ),
    "a keyword that is not": (
        changed(3, FIT + "\nacc = Forest(depth=4)(acc)") | {"first": changed(3, FIT + "\nacc = Forest(depth=3)(acc)")},
        "code",
        "depth was 3 and is 4",
    ),
    "a parameter cell that a batch run injected": (
        {"sources": (IMPORT, LOAD, LR, "# Parameters\nlr = 0.2", FIT), "params": {"lr": "0.2"}, "batch": True},
        "parameter",
        "lr was 0.1 and is 0.2",
    ),
    "another tracked cell of the same session": (
        {"cells": executed((IMPORT, LOAD, "%%mlrun one -m acc\nlr = 0.1\nacc = fit(df, lr)", "%%mlrun two -m acc\nlr = 0.2\nacc = fit(df, lr)")),
         "params": {"lr": "0.2"},
         "first": {"sources": (IMPORT, LOAD, "%%mlrun one -m acc\nlr = 0.1\nacc = fit(df, lr)")}},
        "parameter",
        "lr was 0.1 and is 0.2",
    ),
    "an edited cell": (changed(1, LOAD + "\ndf = df.dropna()"), "code", "df = df.dropna()"),
    "the run's own cell": (changed(3, FIT.replace("fit(df", "fit(2 * df")), "code", "2 * df"),
    "another seed in the header": ({"seeds": {"seed": 2}, "first": {"seeds": {"seed": 1}}}, "seed", "seed was 1 and is 2"),
    "another seed in a keyword": (
        changed(3, FIT + "\nacc += Forest(random_state=2)") | {"first": changed(3, FIT + "\nacc += Forest(random_state=1)")},
        "seed",
        "random_state was 1 and is 2",
    ),
    "another seed in a call": (
        changed(2, LR + "\nnp.random.seed(2)") | {"first": changed(2, LR + "\nnp.random.seed(1)")}, "seed", "1 and is 2",
    ),
    "a seed that was recorded as a parameter": (
        changed(2, LR + "\nseed = 2") | {"params": {"seed": "2"}, "first": changed(2, LR + "\nseed = 1") | {"params": {"seed": "1"}}},
        "seed",
        "seed was 1 and is 2",
    ),
    "a seed taken away": (
        changed(3, FIT + "\nacc += split(df)") | {"first": changed(3, FIT + "\nacc += split(df, random_state=0)")}, "seed", "split",
    ),
    "strings hashed in another way, and code that goes through a set": (
        changed(2, "lr = 0\nfor word in set(df):\n    lr = lr * 2 + len(word)")
        | {"environment": environment(seeds_env="2"), "hashing": "2",
           "first": changed(2, "lr = 0\nfor word in set(df):\n    lr = lr * 2 + len(word)")
           | {"environment": environment(seeds_env="1"), "hashing": "1"}},
        "seed",
        "PYTHONHASHSEED was 1 and is 2",
    ),
    "a package the code imports": (
        {"environment": environment(packages={"pandas": "2.0", "numpy": "1.26", "ipython": "9.0", "black": "24.1"}),
         "imported": {"pandas": "2.0", "numpy": "1.26"}},
        "environment",
        "pandas 2.1 → 2.0",
    ),
    "another Python": ({"environment": environment(python="3.12.1")}, "environment", "Python"),
    "the number of threads": (
        {"environment": environment(threads={"OMP_NUM_THREADS": "1"})}, "hardware", "OMP_NUM_THREADS not set → 1",
    ),
    "a draw that no seed fixes": (
        changed(3, FIT + "\nimport random\nacc += random.random()")
        | {"first": changed(3, FIT + "\nimport random\nacc += random.random()")},
        "nondeterminism",
        "random.random()",
    ),
    "a generator that stood elsewhere": (
        {"facts": {3: {"random": {"numpy": ("5", "6")}}}, "first": {"facts": {3: {"random": {"numpy": ("1", "2")}}}}},
        "nondeterminism",
        "numpy generator",
    ),
    "nothing recorded": ({}, "nondeterminism", "not deterministic"),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_the_one_thing_that_differs_comes_first(name: str) -> None:
    fields, kind, words = SINGLE[name]
    found = compared(**fields)
    assert first(found)[0] == kind, found.causes
    assert words in first(found)[1]
    others = [c for c in found.causes[1:] if c.kind != "nondeterminism" and not c.kind == kind == "data"]
    assert all(c.weight <= 0.3 for c in others), others


DOUBLE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "data and parameter": (changed(2, "lr = 0.2") | {"params": {"lr": "0.2"}, "inputs": (read(md5=B),)}, {"data", "parameter"}),
    "two files and a parameter": (
        changed(2, "lr = 0.2")
        | {"inputs": (read(md5=B), read("c.csv", B)), "first": {"inputs": (read(), read("c.csv", C))}},
        {"data", "parameter"},
    ),
    "code and parameter in one cell": (
        changed(2, "lr = 0.2\ndf = df[df.x > 1]") | {"first": changed(2, "lr = 0.1\ndf = df.copy()")}, {"code", "parameter"},
    ),
    "two edits and a seed": (
        changed(3, FIT + "\nacc += lr + 1") | {"seeds": {"seed": 2}, "first": {"seeds": {"seed": 1}}}, {"code", "seed"},
    ),
    "data and environment": (
        {"inputs": (read(md5=B),), "environment": environment(packages={"pandas": "2.0"}), "imported": {"pandas": "2.0"}},
        {"data", "environment"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBLE)
def test_of_two_causes_both_come_first(name: str) -> None:
    fields, kinds = DOUBLE[name]
    assert {c.kind for c in compared(**fields).causes[:2]} == kinds


HARMLESS: dict[str, dict[str, Any]] = {
    "a comment": changed(1, LOAD + "  # the training data"),
    "formatting": changed(1, 'df = pd.read_csv(\n    "a.csv",\n)'),
    "a renamed variable": {"sources": (IMPORT, LOAD.replace("df", "table"), LR, FIT.replace("df", "table"))},
    "statements that share nothing, in another order": changed(1, "size = 3\n" + LOAD)
    | {"first": changed(1, LOAD + "\nsize = 3")},
    "a docstring": changed(2, LR + "\ndef f():\n    'New.'\n    return 1")
    | {"first": changed(2, LR + "\ndef f():\n    'Old.'\n    return 1")},
    "what is shown": changed(1, LOAD + "\ndf.head()\nprint(len(df))"),
    "a cell the run does not depend on": {"sources": (IMPORT, LOAD, "fig = draw(df.x)", LR, FIT)},
    "a statement in a needed cell that nothing needed depends on": changed(1, LOAD + "\nshape = df.shape"),
    "a function that nothing calls": changed(3, FIT + "\ndef later(x):\n    return x"),
    "a package that is only installed": {
        "environment": environment(packages={"pandas": "2.1", "numpy": "1.26", "ipython": "9.1", "black": "25.0"}),
    },
    "the header's name and tags": changed(3, FIT.replace("%%mlrun run", "%%mlrun other --tag a=b")),
    "the same bytes under another name": changed(1, "df = pd.read_csv('b.csv')")
    | {"inputs": (read("b.csv"),), "facts": {1: {"reads": ("b.csv",)}}},
    "the order of cells that share nothing": {
        "sources": (IMPORT, LR, LOAD, FIT),
        "facts": {1: {}, 2: {"reads": ("a.csv",)}},
    },
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_cannot_move_a_metric_is_at_the_bottom(name: str) -> None:
    """Beside a real cause it comes last; where the metrics are equal nothing is blamed."""
    found = compared(**({"seeds": {"seed": 2}, "first": {"seeds": {"seed": 1}} | HARMLESS[name].get("first", {})} | {
        k: v for k, v in HARMLESS[name].items() if k != "first"
    }))  # fmt: skip
    assert first(found)[0] == "seed"
    assert all(c.weight <= 0.12 for c in found.causes[1:] if c.kind != "nondeterminism"), found.causes
    equal = compared(**({"acc": 0.5} | HARMLESS[name]))
    assert equal.equal
    assert not any(c.weight for c in equal.causes)


def test_what_the_session_wrote_itself_follows_from_what_made_it() -> None:
    sources = (IMPORT, "clean(0.3).to_csv('a.csv')", LOAD, FIT)
    facts = {1: {"writes": ("a.csv",)}, 2: {"reads": ("a.csv",)}}
    a = side("A", (sources[0], "clean(0.2).to_csv('a.csv')", *sources[2:]), acc=0.5, facts=facts)
    b = side("B", sources, acc=0.6, facts=facts, inputs=(read(md5=B),))
    whole = [Side(s.title, s.kind, s.record, needed=(0, 1, 2, 3)) for s in (a, b)]
    found = compare.of_sides(None, whole)
    assert first(found)[0] == "code"
    (derived,) = [c for c in found.causes if c.kind == "data"]
    assert derived.weight < 0.2
    assert found.data[0].derived


def test_a_parameter_that_follows_from_the_data_comes_after_it() -> None:
    found = compared(
        params={"lr": "0.1", "rows": "99"}, inputs=(read(md5=B),), first={"params": {"lr": "0.1", "rows": "100"}}
    )
    assert [c.kind for c in found.causes[:2]] == ["data", "parameter"]
    assert found.causes[1].weight < 0.3


def test_a_read_that_an_edit_brought_in_is_that_edits_doing() -> None:
    source = LOAD + "\ndf = df.merge(pd.read_csv('more.csv'))"
    found = compared(
        **changed(1, source), inputs=(read(), read("more.csv", B)), facts={1: {"reads": ("a.csv", "more.csv")}}
    )
    assert [c.kind for c in found.causes[:2]] == ["code", "data"]


def test_without_metrics_nothing_is_said_of_chance() -> None:
    found = compared(acc=None, first={"acc": None}, inputs=(read(md5=B),))
    assert found.equal is None
    assert [c.kind for c in found.causes] == ["data"]
    assert not [c for c in compared(acc=0.5).causes if c.kind == "nondeterminism"]


def test_nbledger_itself_is_no_difference_where_it_is_only_lent() -> None:
    plain = {"pandas": "2.1", "black": "24.1"}
    there, older = (
        environment(packages=plain | {"nbledger": "0.1.0"}),
        environment(packages=plain | {"nbledger": "0.0.9"}),
    )
    assert not compared(environment=environment(packages=plain), first={"environment": there}, acc=0.5).causes
    found = compared(environment=older, first={"environment": there})
    assert "a package that does not bear on the run differs (nbledger)" in [c.what for c in found.causes]


def test_a_reproduction_that_showed_something_else_is_asked_for_chance() -> None:
    drawn = changed(1, "import numpy as np\nprint(np.random.normal())")
    again = {"nbledger.reproduces": "1" * 32, "nbledger.verdict": "different"}
    found = compared(**drawn, acc=None, first={"acc": None} | drawn, tags=again)
    assert found.equal is False
    assert first(found)[0] == "nondeterminism"
    same = compared(**drawn, acc=None, first={"acc": None} | drawn, tags=again | {"nbledger.verdict": "identical"})
    assert same.equal is None
    assert not same.causes


def test_strings_are_always_hashed_otherwise_so_that_is_a_cause_only_where_code_depends_on_it() -> None:
    loop = changed(2, "lr = 0\nfor word in {*df}:\n    lr = lr * 2 + len(word)")
    assert "set" in first(compared(**loop, hashing="2", first=loop))[1]
    assert "set" not in first(compared(**loop, first=loop))[1]
    assert "no place was found" in compared(hashing="2").causes[0].evidence


def test_a_run_without_a_record_of_cells_has_its_parameters_all_the_same() -> None:
    plain = {
        "cells": (ExecutedCell(""),),
        "environment": None,
        "imported": {},
        "inputs": (),
        "lacking": ("nbledger/inputs.json",),
    }
    found = compared(**plain, params={"lr": "0.2"}, first=plain)
    assert first(found) == ("parameter", "lr was 0.1 and is 0.2")
    assert "nbledger/inputs.json" in " ".join(found.notes)


def test_what_could_not_be_seen_is_said_with_little_weight() -> None:
    unseen = {
        "facts": {1: {"reads": ("a.csv",), "remote": ("db.example.org",), "children": ("make",)}},
        "unseen": ("x.db",),
    }
    found = compared(**unseen, first=unseen)
    assert {c.evidence for c in found.causes if "could not be seen" in c.what} == {"db.example.org", "make", "x.db"}
    assert all(c.weight < 0.2 for c in found.causes)
    moved = compared(inputs=(read(md5=None, state="changed-since-read"),))
    assert first(moved) == ("data", "a.csv may differ: its contents were not recorded")
    assert "changed while the run went on" in moved.causes[0].evidence


def test_factors_are_the_kinds_that_can_be_switched() -> None:
    found = compared(
        **changed(2, "lr = 0.2"), params={"lr": "0.2"}, inputs=(read(md5=B),), environment=environment(cpus=4)
    )
    assert found.factors() == ("data", "parameter")


def test_a_parameter_that_the_metric_does_not_use_is_not_blamed() -> None:
    cells = (IMPORT, LOAD, "%%mlrun run -p lr -m acc\nlr = 0.1 * {n}\nacc = df['c{n}'].mean()")
    a, b = (
        side(f"r{n}", [c.replace("{n}", str(n)) for c in cells], acc=n / 10, params={"lr": str(0.1 * n)})
        for n in (2, 3)
    )
    found = compare.of_sides(None, [a, b]).causes
    assert found[0].kind == "code", found
    assert next(c for c in found if c.kind == "parameter").evidence == "nothing that the metrics depend on uses it"


def test_the_same_number_written_in_another_way_is_no_cause() -> None:
    a, b = side("a", acc=0.1, params={"lr": "1"}), side("b", acc=0.2, params={"lr": "1.0"})
    assert all(c.weight < 0.1 for c in compare.of_sides(None, [a, b]).causes if c.kind == "parameter")


INJECTED = "# Parameters\nn = {}"
OWN = "%%mlrun run -p n -p scale -m acc\nacc = fit(df, n, scale)"


def batch(n: int, *cells: str, injected: str = "", **params: str) -> dict[str, Any]:
    """A run of a batch that was given ``n``, and what else ``injected`` sets."""
    sources = (IMPORT, LOAD, "n = 10", INJECTED.format(n) + injected, *cells, OWN)
    return {"sources": sources, "batch": True, "params": {"n": str(n), **params}}


def evidence_of(found: Comparison, name: str) -> str:
    return next(c.evidence for c in found.causes if c.kind == "parameter" and c.what.startswith(f"{name} was"))


def test_only_what_was_given_to_a_batch_is_said_to_be() -> None:
    scale = "scale = df.std() * n"
    followed = compared(**batch(20, scale, scale="40"), first=batch(10, scale, scale="20"))
    assert first(followed) == ("parameter", "n was 10 and is 20")
    assert evidence_of(followed, "scale") == "the code that sets it is the same, so it followed from something else"
    unused = {"cells": executed((IMPORT, LOAD, scale, INJECTED.format(20), "%%mlrun run -m acc\nacc = fit(df, n)"))}
    beside = compared(**batch(20, scale="40") | unused, first=batch(10, scale, scale="20"))
    assert evidence_of(beside, "scale") == "the code that sets it is the same, so it followed from something else"
    alone = compared(**batch(20), first=batch(10, "scale = df.std() * n", scale="2.0"))
    assert "scale was 2.0 and is not recorded" in [c.what for c in alone.causes]
    assert evidence_of(alone, "scale") == "only A recorded it"
    given = compared(**batch(10), first=batch(10, injected="\nscale = 2.0", scale="2.0"))
    assert first(given) == ("parameter", "scale was 2.0 and is not recorded")
    assert evidence_of(given, "scale") == "given to the batch run"
    default = "scale = 2.0"
    as_default = compared(
        **{**batch(10), "sources": (IMPORT, LOAD, "n = 10", default, INJECTED.format(10), OWN)},
        first={
            **batch(10, scale="2.0"),
            "sources": (IMPORT, LOAD, "n = 10", default, INJECTED.format(10) + "\nscale = 2.0", OWN),
        },
    )
    assert evidence_of(as_default, "scale") == "only A recorded it"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("scale = df.mean()", "scale = df.mean()  # so", "the code that sets it is the same"),
        ("scale = df.mean()", "scale = df.std()", "the code that sets it is not the same"),
        ("scale = df.mean()", "from settings import *", "only A has code that sets it"),
        ("from settings import *", "scale = df.mean()", "only B has code that sets it"),
        ("from settings import *", "from settings import *", "no cell sets it"),
        ("log_params(scale=df.mean())", "log_params(scale=df.mean())", "the code that sets it is the same"),
        ("log_params({'scale': f(df)})", "log_params({'scale': g(df)})", "the code that sets it is not the same"),
        ("conf['scale'] = f(df)", "pass", "only A has code that sets it"),
    ],
)
def test_what_is_said_of_the_code_that_sets_a_parameter_is_so(before: str, after: str, says: str) -> None:
    own = "%%mlrun run -p scale -m acc\nacc = fit(df, scale)"
    a, b = ({"cells": executed((IMPORT, LOAD, cell, own))} for cell in (before, after))
    a["facts"] = b["facts"] = {}
    found = compared(**b, params={"scale": "2.5"}, first={**a, "params": {"scale": "2.0"}})
    assert evidence_of(found, "scale").startswith(says)
