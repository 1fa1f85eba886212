"""What a run records of the session around it, read back as a ``Record``: cells, reads, chance, order, environment."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tests.conftest import commit_all, dvc, run
from tests.kernels import kernel
from tests.ledger import flush

from nbledger.core import record, runs
from nbledger.core.project import find
from nbledger.core.record import Record

DATA = "x,y\n1,2\n3,4\n"


def recorded(root: Path, name: str) -> Record:
    assert "published" in flush(root)
    found = find(root)
    return record.load(found, runs.find(found, name))


def write_notebook(path: Path, sources: Sequence[str]) -> Path:
    cells = [nbformat.v4.new_code_cell(s, id=f"cell-{i}") for i, s in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


SESSION = (
    "import csv, random\nimport numpy as np",
    'rows = list(csv.DictReader(open("data.csv")))',
    "unused = open('notes.txt').read()",
    'raise KeyError("gone")',
    "rng = np.random.default_rng()\nfirst = random.random()",
    'values = [float(r["x"]) for r in rows]\nscale = 3',
    "%%mlrun whole -m total\ntotal = sum(values) * scale + 0 * rng.normal()\nopen('out.txt', 'w').write('1')",
)


def test_a_session_comes_back_as_it_was(project: Path) -> None:
    (project / "data.csv").write_text(DATA)
    (project / "notes.txt").write_text("not needed")
    (project / "work").mkdir()
    dvc(project, "add", "-q", "data.csv")
    notebook = write_notebook(project / "work" / "nb.ipynb", [s.replace("scale = 3", "scale = 2") for s in SESSION])
    commit_all(project)
    environment = {"NBLEDGER_NOTEBOOK": str(notebook), "PYTHONHASHSEED": "7"}
    with kernel(project, environment) as started:
        for source in SESSION:
            started.run(source)
    found = recorded(project, "whole")
    assert found.row.tags["nbledger.schema"] == "2"
    assert found.lacking == ()
    assert [c.source for c in found.cells] == ["%load_ext nbledger", *SESSION]
    assert [c.ok for c in found.cells] == [True, True, True, True, False, True, True, True]
    # The last cell needs the imports, the rows, the generator, the values and itself; not the notes, nor what failed.
    assert found.needed == (1, 2, 5, 6, 7)
    assert found.cells[2].reads == ("data.csv",)
    assert found.cells[3].reads == ("notes.txt",)
    assert found.cells[7].writes == ("out.txt",)
    # An input that an earlier cell read is an input of the run, with its hash; what it does not need is none.
    md5 = hashlib.md5(DATA.encode(), usedforsecurity=False).hexdigest()
    assert [(r.path, r.state, r.md5, r.digest) for r in found.inputs] == [("data.csv", "dvc", md5, md5)]
    assert [r.path for r in found.outputs] == ["out.txt"]
    # random moved in the cell that drew from it, and in no other; NumPy's legacy generator nowhere.
    assert [i for i, c in enumerate(found.cells) if c.random] == [5]
    before, after = found.cells[5].random["random"]
    assert list(found.cells[5].random) == ["random"]
    assert before != after
    assert [i for i, c in enumerate(found.cells) if c.unseeded] == [5]
    assert found.cells[5].unseeded == ("numpy.random.default_rng() without a seed",)
    # The edit was never saved: what ran is not what the notebook holds.
    assert [c.saved for c in found.cells] == [False, True, True, True, True, True, False, True]
    assert found.order_detail == ("not saved",)
    assert found.cwd == "."
    assert not found.batch
    assert found.environment is not None
    assert found.environment.seeds_env == "7"
    assert found.imported["numpy"] == run(sys.executable, "-c", NUMPY, cwd=project)
    assert "pandas" not in found.imported
    assert found.hashing == run(sys.executable, "-c", HASHING, cwd=project, env={**os.environ, "PYTHONHASHSEED": "7"})


NUMPY = "import numpy; print(numpy.__version__)"
HASHING = "from nbledger.core.randomness import hashing; print(hashing())"


def facts(root: Path, found: Record, name: str) -> dict[str, Any]:
    assert found.folder is not None
    read: dict[str, Any] = json.loads((found.folder / name).read_text())
    return read


def test_the_environment_names_its_processor_and_what_was_asked_for(project: Path) -> None:
    (project / "requirements.txt").write_text("NumPy>=1  # numbers\nscikit_learn\n")
    with kernel(project) as started:
        started.run("import sklearn.linear_model")
        started.run("%%mlrun here\npass")
    surroundings = facts(project, recorded(project, "here"), "environment.json")
    assert surroundings["direct"] == ["numpy", "scikit-learn"]
    assert surroundings["cpu"]
    assert {pool["user_api"] for pool in surroundings["threads_used"]} == {"blas", "openmp"}
    assert {"numpy", "scikit-learn", "scipy"} <= surroundings["imported"].keys()
    assert "loaded" not in surroundings
    assert str(project) not in json.dumps(surroundings["imported"])


def test_files_tie_cells_together_and_what_the_session_made_is_an_input_that_it_makes_again(project: Path) -> None:
    (project / "raw.txt").write_text("5")
    with kernel(project) as started:
        started.run("number = int(open('raw.txt').read())")
        started.run("open('made.txt', 'w').write(str(number * 2))")
        started.run("doubled = int(open('made.txt').read())")
        started.run("other = 1")
        started.run("%%mlrun tied -m doubled\ndoubled")
    found = recorded(project, "tied")
    assert found.needed == (1, 2, 3, 5)
    assert [r.path for r in found.inputs] == ["made.txt", "raw.txt"]
    assert found.remade == {"made.txt"}
    assert found.cells[2].writes == found.cells[3].reads == ("made.txt",)


def test_an_input_of_an_earlier_cell_that_changed_since(project: Path) -> None:
    (project / "raw.txt").write_text("5")
    with kernel(project) as started:
        started.run("number = int(open('raw.txt').read())")
        (project / "raw.txt").write_text("65")
        shown = started.run("%%mlrun stale -m number\nnumber").shown
    assert "raw.txt" in shown
    (only,) = recorded(project, "stale").inputs
    assert (only.path, only.state, only.md5) == ("raw.txt", "changed-since-read", None)


def test_what_many_files_an_earlier_cell_read_is_hashed_by_the_publisher(project: Path) -> None:
    folder = project / "many"
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:03}.txt").write_text(str(number))
    commit_all(project)
    with kernel(project) as started:
        started.run("import pathlib\ntotal = sum(int(p.read_text()) for p in pathlib.Path('many').iterdir())")
        started.run("%%mlrun many -m total\ntotal")
    found = recorded(project, "many")
    assert len(found.inputs) == 600
    assert {(r.state, r.pending, r.md5 is None) for r in found.inputs} == {("git", False, False)}
    assert found.row.tags["nbledger.data.state"] == "clean"


def test_a_span_holds_its_cells_and_what_they_need(project: Path) -> None:
    with kernel(project) as started:
        started.run("a = 1")
        started.run("b = 2")
        started.run("%mlrun start span")
        started.run("c = a + 1")
        started.run("%mlrun stop")
    found = recorded(project, "span")
    assert found.needed == (1, 3, 4, 5)


@pytest.mark.parametrize(
    ("source", "moved"),
    [
        ("import numpy as np\nnp.random.rand()", ["numpy"]),
        ("import numpy as np", []),
        ("import random\nrandom.random(); random.seed(4)", ["random"]),
        ("import numpy as np\nnp.random.default_rng(1).normal()", []),
    ],
)
def test_the_first_cell_that_imports_and_draws(project: Path, source: str, moved: list[str]) -> None:
    with kernel(project) as started:
        started.run(f"%%mlrun drew\n{source}")
    cell = recorded(project, "drew").cells[-1]
    assert list(cell.random) == moved
    assert all("?" not in pair for pair in cell.random.values())


def test_a_seed_given_to_the_cell_is_the_state_before_it(project: Path) -> None:
    states = []
    for name in ("one", "two"):
        with kernel(project) as started:
            started.run(f"%%mlrun {name} --seed 5\nimport numpy as np\nnp.random.rand()")
        states.append(recorded(project, name).cells[-1].random["numpy"])
    assert states[0] == states[1]


def test_hosts_are_named_but_not_this_machine(project: Path) -> None:
    with kernel(project) as started:
        started.run(
            "import socket, urllib.request\n"
            "for name in ('localhost', '127.0.0.1', 'data.invalid'):\n"
            "    try: socket.create_connection((name, 9), timeout=1)\n"
            "    except OSError: pass\n"
            "try: urllib.request.urlopen('http://user:secret@api.invalid/x?key=1', timeout=1)\n"
            "except Exception: pass\n"
            "import subprocess\nsubprocess.run(['true'])\nvalue = 1"
        )
        started.run("%%mlrun away -m value\nvalue")
    found = recorded(project, "away")
    assert set(found.cells[1].remote) == {"data.invalid", "api.invalid"}
    assert found.cells[1].children == ("true",)
    assert {"true", "data.invalid", "api.invalid"} <= set(found.unseen)
    assert "secret" not in json.dumps(facts(project, found, "session.json"))


def test_magic_inside_another_cell_magic(project: Path) -> None:
    (project / "in.txt").write_text("1")
    with kernel(project) as started:
        started.run("%%time\n%%mlrun timed\ntext = open('in.txt').read()")
        started.run("%%mlrun after\ntext")
    assert recorded(project, "timed").cells[-1].reads == ("in.txt",)
    later = recorded(project, "after")
    assert later.cells[-2].reads == ("in.txt",)
    assert [r.path for r in later.inputs] == ["in.txt"]


def test_hidden_state_is_said_before_the_cell_and_not_twice(project: Path) -> None:
    notebook = write_notebook(project / "nb.ipynb", ["x = 1", "%%mlrun stale -m y\ny = x"])
    with kernel(project, {"NBLEDGER_NOTEBOOK": str(notebook)}) as started:
        started.run("x = 1")
        write_notebook(notebook, ["x = 2", "%%mlrun stale -m y\ny = x"])
        stale = started.run("%%mlrun stale -m y\ny = x")
        started.run("x = 2")
        clean = started.run("%%mlrun stale -m y\ny = x")
    said = "a fresh run of the notebook would not give this: x was set by [2] x = 1, which was edited or deleted since"
    assert stale.stderr.count(said) == 1
    assert said not in stale.shown
    assert "fresh run" not in clean.stderr + clean.shown
    flush(project)
    opened = find(project)
    first, second = (record.load(opened, runs.find(opened, name)) for name in ("@last~1", "@last"))
    assert first.hidden == ("x was set by [2] x = 1, which was edited or deleted since",)
    assert first.order == "edited-since"
    assert second.hidden == ()
    assert second.order == "clean"


def test_a_whole_notebook_needs_all_its_cells_and_its_tracked_cells_those_before(project: Path) -> None:
    (project / "in.txt").write_text("4")
    notebook = write_notebook(
        project / "whole.ipynb",
        ["n = int(open('in.txt').read())", "%%mlrun inner -m n\nn", "import random\nlate = random.random()"],
    )
    commit_all(project)
    run(sys.executable, "-m", "nbconvert", "--to", "ledger", notebook.name, cwd=project)
    whole, inner = recorded(project, "whole"), recorded(project, "inner")
    assert whole.batch
    assert len(whole.cells) == 3
    assert whole.needed == (0, 1, 2)
    assert [bool(c.random) for c in whole.cells] == [False, False, True]
    assert [r.path for r in whole.inputs] == ["in.txt"]
    assert not inner.batch
    assert len(inner.cells) == 2
    assert inner.needed == (0, 1)
    assert [r.path for r in inner.inputs] == ["in.txt"]
    assert whole.hidden == inner.hidden == ()


def test_what_is_no_text_on_the_path_of_imports_costs_nothing(project: Path) -> None:
    commit_all(project)
    with kernel(project) as started:
        started.run("import pathlib, sys\nsys.path += [pathlib.Path.cwd().parent, b'/nowhere']")
        started.run("%%mlrun odd -m x\nx = 2")
    found = recorded(project, "odd")
    assert found.row.status == "FINISHED"
    assert found.environment is not None
    assert found.imported
    assert not found.notices
