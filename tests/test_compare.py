"""Runs compared from a kernel and from a terminal, with each other, with the present state and with commits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batches import notebook
from batches import run as batch
from conftest import commit_all
from kernels import Cell, kernel
from ledger import flush, run
from nbledger.commands import tree
from nbledger.commands.answer import Face
from nbledger.core.records import plain

LIB = 'def weigh(x, power=1):\n    """How heavy."""\n    return x**power\n\n\ndef idle(x):\n    return x\n'
ROWS = "id,x\n" + "\n".join(f"{i},{i / 10}" for i in range(40)) + "\n"
CELLS = (
    "import csv\nimport random\nfrom lib import weigh",
    "rows = list(csv.DictReader(open('data.csv')))",
    "scale = 2",
    """%%mlrun {name} -p scale -m total -m steps
random.seed(1)
total = scale * sum(weigh(float(r['x'])) for r in rows) + random.random()
steps = [total / n for n in (4, 2, 1)]""",
)


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def compared(root: Path, *words: str) -> dict[str, Any]:
    """What ``--json`` prints, asked of the same command without the price of a process."""
    answer = tree.run(["compare", *words, "--json"], Face(start_keeper=True))
    assert answer is not None
    found: dict[str, Any] = plain(answer.data)
    return found


def record(root: Path, name: str, *edits: tuple[str, str]) -> Cell:
    """A run of the cells in a fresh kernel, with ``edits`` (old, new) of their sources."""
    with kernel(root) as k:
        for source in CELLS:
            text = source
            for old, new in (*edits, ("{name}", name)):
                text = text.replace(old, new)
            cell = k.run(text)
            assert cell.status == "ok", cell.traceback
        return cell


@pytest.fixture
def runs(project: Path) -> Path:
    """A project with the run ``first``."""
    (project / "lib.py").write_text(LIB)
    (project / "data.csv").write_text(ROWS)
    commit_all(project)
    record(project, "first")
    return project


def top(found: dict[str, Any]) -> tuple[str, str]:
    return found["causes"][0]["kind"], found["causes"][0]["what"]


def test_each_cause_comes_first_and_the_rest_says_what_differs(runs: Path) -> None:
    record(runs, "scaled", ("scale = 2", "scale = 3"))
    (runs / "lib.py").write_text(LIB.replace("power=1", "power=2"))
    record(runs, "squared")
    (runs / "data.csv").write_text(ROWS.replace("\n7,0.7\n", "\n7,70\n"))
    record(runs, "typo")
    found = json.loads(nbledger(runs, "compare", "first", "scaled", "--json").stdout)
    assert top(found) == ("parameter", "scale was 2 and is 3")
    assert found["params"] == {"scale": ["2", "3"]}
    before, after = found["metrics"]["total"]
    assert found["deltas"]["total"]["absolute"] == after - before
    assert found["series"]["steps"][0]["count"] == 3
    assert not found["environment"]

    found = compared(runs, "scaled", "squared")
    assert {c["kind"] for c in found["causes"][:2]} == {"parameter", "code"}
    (module,) = [c for c in found["code"] if c["kind"] == "module"]
    assert module["where"] == "lib.py"
    assert "-def weigh(x, power=1):" in module["diff"]

    found = compared(runs, "squared", "typo")
    assert top(found)[0] == "data"
    assert "1 row changed" in top(found)[1]
    assert found["data"][0]["table"]["key"] == ["id"]
    assert "data.csv" in nbledger(runs, "compare", "squared", "typo").stdout.splitlines()[3]

    table = compared(runs, "first", "scaled", "squared", "typo")
    assert table["params"] == {"scale": ["2", "3", "2", "2"]}
    assert not table["causes"]
    assert len(table["data"][0]["values"]) == 4
    assert [len(c["values"]) for c in table["code"]] == [4, 4]

    again = compared(runs, "typo", "typo")
    assert again["equal"] is True
    assert not again["causes"]
    assert compared(runs, "typo", "typo", "--all")["params"] == {"scale": ["2", "2"]}


def test_the_same_code_twice_that_draws_without_a_seed(runs: Path) -> None:
    for name in ("one", "two"):
        record(runs, name, ("random.seed(1)\n", ""))
    kind, what = top(compared(runs, "one", "two"))
    assert (kind, "random.random()" in what) == ("nondeterminism", True)
    assert top(compared(runs, "first", "one"))[0] == "seed"


def test_the_present_state_and_commits(runs: Path) -> None:
    start = commit_all(runs, "Before")
    book = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    sources = [*CELLS[:2], "scale = 5", CELLS[3].replace("{name}", "first")]
    book["cells"] = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": s}
        for i, s in enumerate(sources)
    ]
    (runs / "work.ipynb").write_text(json.dumps(book))
    (runs / "data.csv").write_text(ROWS + "40,4.0\n")
    (runs / "lib.py").write_text(LIB.replace("return x**power", "return x * power"))
    found = compared(runs, "first", ".")
    assert {c["kind"] for c in found["causes"] if c["weight"] > 0.5} == {"data", "code", "parameter"}
    assert found["runs"][1]["kind"] == "present"
    assert found["equal"] is None
    later = commit_all(runs, "After")
    found = compared(runs, start, later)
    assert {c["kind"] for c in found["causes"]} >= {"data", "code"}
    assert found["data"][0]["table"]["added"] == 1
    assert not compared(runs, "first", "HEAD~1")["causes"]
    assert top(compared(runs, "first", "HEAD"))[0] == "data"
    (runs / "work.ipynb").write_text(json.dumps(book).replace("scale = 5", "scale = 6"))
    (runs / "lib.py").write_text(LIB)
    found = compared(runs, "HEAD", ".")
    assert {c["kind"] for c in found["causes"]} == {"parameter", "code"}
    wrong = nbledger(runs, "compare", "first", "nosuch")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert nbledger(runs, "compare", "first").returncode == 2
    assert (
        "no run has a metric 'totel' — did you mean total?"
        in nbledger(runs, "compare", "first", ".", "--metric", "totel").stderr
    )


def test_data_in_a_tracked_folder_by_the_cache_when_the_work_tree_has_moved_on(project: Path) -> None:
    (project / "parts").mkdir()
    for number in range(6):
        (project / f"parts/{number}.csv").write_text(f"id,x\n1,{number}\n2,{number}\n")
    source = "%%mlrun {} -m total\nimport glob\ntotal = sum(len(open(p).read()) for p in sorted(glob.glob('parts/*')))"
    with kernel(project) as k:
        k.run("%track_data parts")
        k.run(source.format("before"))
        (project / "parts/3.csv").write_text("id,x\n1,3\n2,333\n")
        k.run("%track_data parts")
        k.run(source.format("after"))
    (project / "parts/3.csv").write_text("something else")
    kind, what = top(compared(project, "before", "after"))
    assert kind == "data"
    assert "parts/3.csv differs: 1 row changed" in what


def test_a_run_of_plain_mlflow_is_compared_as_far_as_it_goes(runs: Path) -> None:
    import mlflow

    flush(runs)
    known = run(runs, "first")
    mlflow.set_tracking_uri(f"sqlite:///{runs / '.nbledger' / 'mlflow.db'}")
    with mlflow.start_run(experiment_id=known.info.experiment_id, run_name="plain"):
        mlflow.log_param("scale", 7)
        mlflow.log_metric("total", 1.5)
    found = compared(runs, "first", "plain")
    assert top(found) == ("parameter", "scale was 2 and is 7")
    assert not [c for c in found["causes"] if c["kind"] in ("data", "environment")]
    assert any("not recorded" in note for note in found["notes"])


def test_in_a_notebook(runs: Path) -> None:
    record(runs, "scaled", ("scale = 2", "scale = 3"))
    with kernel(runs) as k:
        shown = k.run("%compare_runs first scaled")
        assert "1. parameter: scale was 2 and is 3" in shown.shown
        assert '<span class="kind">parameter</span>' in shown.html[0]
        assert "nbledger: compare takes two runs or more" in k.run("%compare_runs first").traceback
        assert k.run("%ledger compare first scaled").shown == shown.shown


def test_a_batch_is_said_to_be_given_what_it_was_given(project: Path) -> None:
    used = "import nbledger\nnbledger.log(loss=float(n * scale))"
    (project / "fit.py").write_text("scale = 3.0\n")
    notebook(project / "a.ipynb", ("parameters", "n = 1\nscale = max(1.0, 2.0)"), used)
    batch(project, "a.ipynb", "-p", "n=10", "--name", "default")
    notebook(project / "a.ipynb", ("parameters", "n = 1"), "from fit import scale", used)
    batch(project, "a.ipynb", "-p", "n=20", "--name", "given")
    found = {cause["what"]: cause for cause in compared(project, "default", "given")["causes"]}
    assert found["n was 10 and is 20"]["evidence"].startswith("set in ")
    assert found["scale was 2.0 and is not recorded"]["evidence"] == "only default recorded it"
