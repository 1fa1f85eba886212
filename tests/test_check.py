"""``nbledger check``: what a saved notebook tells, and what a fresh run of it proves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.conftest import commit_all, dvc, git
from tests.kernels import kernel
from tests.snap import Snap, check_same

from nbledger.core import check as checks

Cell = tuple[str, int | None] | str


def book(*cells: Cell) -> dict[str, Any]:
    """A notebook of sources, counted from 1 in order, or of ``(source, count)``."""
    made = []
    for number, cell in enumerate(cells, start=1):
        source, count = cell if isinstance(cell, tuple) else (cell, number)
        made.append(nbformat.v4.new_code_cell(source, execution_count=count))
    return json.loads(json.dumps(nbformat.v4.new_notebook(cells=made)))  # type: ignore[no-any-return]


def found(*cells: Cell) -> list[tuple[str, int, str]]:
    return [(f.kind, f.cell, f.what) for f in checks.check(book(*cells), "nb.ipynb").findings]


CLEAN: dict[str, Sequence[Cell]] = {
    "in order": ("import os", "x = os.name", "x"),
    "numbers with gaps": (("x = 1", 3), ("x", 9)),
    "no numbers": (("x = 1", None), ("x", None)),
    "the last cells have not run": ("x = 1", ("print(x)", None)),
    "functions that look up what is set later": ("def f():\n    return k", "k = 1", "f()"),
    "a class": ("class A:\n    n = 1\n    def m(self): return self.n", "A().m()"),
    "comprehensions and lambdas": ("y = [i for i in range(3)]\nf = lambda a: a + 1\nf(y[0])",),
    "a star import": ("from math import *", "sin(pi)"),
    "%run": ("%run other.py", "anything"),
    "magics that set a name": ("files = !ls\n%time n = len(files)", "n"),
    "capture": ("%%capture out\nprint(1)", "out.show()"),
    "a guarded name": ("try:\n    profile\nexcept NameError:\n    profile = print", "profile"),
    "names of the shell": ("display(get_ipython(), In, Out, _, __name__)",),
    "loop, with and except": (
        "for i in range(2):\n    pass\nwith open('x') as f:\n    pass\ntry:\n    1\nexcept OSError as e:\n    print(e)",
        "i, f",
    ),
    "walrus, unpacking, starred": ("if (n := 3):\n    a, *b = range(n)", "n, a, b"),
    "names of a function's own loop": ("def f():\n    for i in range(2):\n        part = i\n        print(part)\nf()",),
    "set in both branches": ("import os\nif os.name:\n    p = 1\nelse:\n    p = 2\nprint(p)",),
    "match": ("match [1]:\n    case [x]:\n        pass", "x"),
    "another language": ("%%bash\necho $HOME", "1"),
    "a tracked cell's metric": ("%%mlrun -m acc\nacc = 1",),
    "deleted and set again": ("x = 1", "del x", "x = 2", "x"),
    "an empty cell": ("x = 1", ("", None), "x"),
    "run again, and nothing below uses it": (("x = 1", 1), ("x", 5), ("y = 2", 3)),
    "global": ("def f():\n    global g\n    g = 1\nf()", "g"),
    "async": ("import asyncio\nawait asyncio.sleep(0)",),
    "type hints": ("x: int = 1\ndef f(a: int) -> 'Later': ...",),
}
FOUND: dict[str, tuple[Sequence[Cell], list[tuple[str, int, str]]]] = {
    "out of order": (
        (("x = 1", 5), ("y = x", 2)),
        [("order", 2, "ran before [5] x = 1, which stands above it")],
    ),
    "not run": (("x = 1", ("y = 2", None), ("z = 3", 2)), [("not-run", 2, "has not run, though cells below it have")]),
    "set below": (("x", "x = 1"), [("set-below", 1, "needs x, which is set only below, in [2]")]),
    "set below, no numbers": (
        (("x", None), ("x = 1", None)),
        [("set-below", 1, "needs x, which is set only below, in cell 2")],
    ),
    "set later in the cell": (
        ("print(x)\nx = 1",),
        [("set-below", 1, "needs x, which is set only later in the same cell")],
    ),
    "never set": (("x + 1", "x"), [("undefined", 1, "needs x, which no cell sets")]),
    "called before what it looks up is set": (
        ("def f():\n    return k", "f()", "k = 1"),
        [("set-below", 2, "needs k, which is set only below, in [3]")],
    ),
    "added to": (("n += 1",), [("undefined", 1, "needs n, which no cell sets")]),
    "a tracked cell's metric": (("%%mlrun -m acc\n1",), [("undefined", 1, "needs acc, which no cell sets")]),
    "changed in place": (("df['x'] = 1",), [("undefined", 1, "needs df, which no cell sets")]),
    "an import below": (
        ("np.pi", "import numpy as np"),
        [("set-below", 1, "needs np, which is set only below, in [2]")],
    ),
}


@pytest.mark.parametrize("case", CLEAN)
def test_nothing_to_find(case: str) -> None:
    assert found(*CLEAN[case]) == []


@pytest.mark.parametrize("case", FOUND)
def test_what_is_found(case: str) -> None:
    cells, wanted = FOUND[case]
    assert found(*cells) == wanted


def test_the_result_of_another_execution() -> None:
    made = book("x = 1\nx")
    made["cells"][0]["outputs"] = [nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=7)]
    (only,) = checks.check(made, "nb.ipynb").findings
    assert (only.kind, only.what) == ("stale-output", "shows the result of another execution, [7]")


def nbledger(*words: str | Path, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def write(path: Path, *cells: tuple[str, str]) -> Path:
    """A notebook of ``(source, printed)``, run in order."""
    made = []
    for number, (source, text) in enumerate(cells, start=1):
        shown = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        made.append(nbformat.v4.new_code_cell(source, execution_count=number, outputs=shown))
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def test_files_that_are_no_notebooks(folder: Path) -> None:
    (folder / "x.ipynb").write_text("{}")
    (folder / "r.ipynb").write_text(
        json.dumps({"cells": [], "metadata": {"kernelspec": {"language": "R"}}, "nbformat": 4, "nbformat_minor": 5})
    )
    for name, code, said in (
        ("none.ipynb", 2, "cannot be read"),
        ("x.ipynb", 2, "not a notebook"),
        ("r.ipynb", 3, "in R"),
    ):
        got, _, error = nbledger("check", name, cwd=folder)
        assert got == code
        assert said in error


def test_a_fresh_run_in_a_copy_proves_it_and_touches_nothing(project: Path) -> None:
    (project / "data.csv").write_text("1\n2\n")
    dvc(project, "add", "-q", "data.csv")
    (project / "notebooks").mkdir()
    notebook = write(
        project / "notebooks" / "nb.ipynb",
        ("%load_ext nbledger\nrows = open('../data.csv').read().split()", ""),
        ("%%mlrun count -m n\nn = len(rows)\nprint(n)", "2\n"),
        ("open('written.txt', 'w').write('x')\nprint('took 3 s')", "took 99 s\n"),
    )
    commit_all(project)
    (project / "helper.py").write_text("VALUE = 3\n")  # neither committed nor ignored: the copy holds it all the same
    before = Snap.take(project)
    code, text, error = nbledger("check", "--trust", "--run", notebook.relative_to(project), cwd=project)
    assert (code, text) == (0, "notebooks/nb.ipynb: a fresh run shows the same in 3 cells"), error
    assert "[2/3] %%mlrun count -m n" in error
    check_same(before, Snap.take(project))
    assert git(project, "worktree", "list").count("\n") == 0
    assert git(project, "for-each-ref", "refs/nbledger") == ""
    code, _, _ = nbledger("runs", cwd=project)
    assert not list((project / ".nbledger").glob("journals/*"))
    write(
        notebook,
        ("x = 1\nx += 1\nprint(x)", "3\n"),
        ("import sys\nsys.path.insert(0, '..')\nimport helper\nprint(helper.VALUE)", "3\n"),
    )
    code, text, _ = nbledger("check", "--trust", "--run", "--json", notebook, cwd=project)
    told = json.loads(text)
    assert code == 1
    assert told["clean"] is False
    assert told["differences"] == [{"index": 0, "first_line": "x = 1", "what": "'3' is now '2'"}]
    assert told["error"] == ""


def test_a_notebook_that_fails_and_one_that_was_saved_failing(project: Path) -> None:
    write(project / "fails.ipynb", ("print(1)", "1\n"), ("ghost", ""), ("print(3)", "3\n"))
    code, text, _ = nbledger("check", "--trust", "--run", "fails.ipynb", cwd=project)
    assert code == 1
    assert text.splitlines()[0] == "fails.ipynb: a fresh run fails"
    assert "NameError: name 'ghost' is not defined" in text
    assert "[2] needs ghost, which no cell sets" in text
    failed = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])
    cell = nbformat.v4.new_code_cell("1 / 0", execution_count=1, outputs=[failed])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), project / "saved.ipynb")
    code, text, _ = nbledger("check", "--trust", "--run", "saved.ipynb", cwd=project)
    assert (code, text) == (0, "saved.ipynb: a fresh run shows the same in 1 cell")


def test_outside_of_a_repository_only_in_place(folder: Path) -> None:
    write(folder / "nb.ipynb", ("open('out.txt', 'w').write('x')\nprint(2)", "2\n"))
    code, _, error = nbledger("check", "--trust", "--run", "nb.ipynb", cwd=folder)
    assert code == 3
    assert "--in-place" in error
    assert not (folder / "out.txt").exists()
    code, text, _ = nbledger("check", "--trust", "--run", "--in-place", "nb.ipynb", cwd=folder)
    assert (code, text) == (0, "nb.ipynb: a fresh run shows the same in 1 cell")
    assert (folder / "out.txt").read_text() == "x"
    assert sorted(p.name for p in folder.iterdir()) == [".nbledger", "nb.ipynb", "out.txt"]


def test_the_magic_runs_it_in_a_process_of_its_own(project: Path) -> None:
    write(project / "nb.ipynb", ("print(2)", "3\n"))
    with kernel(project) as started:
        assert "trust" in started.run("%ledger check nb.ipynb --run").traceback
        assert started.run("%ledger trust").status == "ok"
        shown = started.run("%ledger check nb.ipynb --run").shown
        named = started.run("%ledger check nb.ipynb").shown
    assert "nb.ipynb: a fresh run shows something else in 1 of 1 cell" in shown
    assert "'3' is now '2'" in shown
    assert "nothing in the file speaks against a fresh run" in named
