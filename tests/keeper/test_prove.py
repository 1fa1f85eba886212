"""``--prove``: shares of the difference, found by executing, against values worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import commit_all, git
from kernels import kernel
from ledger import flush
from nbledger.core import project as projects
from nbledger.core import record, restored, runs
from nbledger.core.errors import Refused
from nbledger.keeper import prove
from snap import Snap

READ = """
with open("data.csv") as file:
    values = [float(line) for line in file]
"""
TOTAL = "%%mlrun {name} -p scale -m total\ntotal = scale * sum(values)"


def book(root: Path, cells: Sequence[str]) -> None:
    body = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": c}
        for i, c in enumerate(cells)
    ]
    (root / "work.ipynb").write_text(json.dumps({"cells": body, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def session(root: Path, cells: Sequence[str], *, track: str = "data.csv", hash_seed: str | None = None) -> None:
    """Record one run as a person would: the notebook saved, the data tracked, the cells run in order."""
    book(root, cells)
    env = {"JPY_SESSION_NAME": str(root / "work.ipynb")} | ({"PYTHONHASHSEED": hash_seed} if hash_seed else {})
    with kernel(root, env) as k:
        if track:
            assert k.run(f"%track_data {track}").status == "ok"
        for number, cell in enumerate(cells):
            assert k.run(cell).status == "ok", number


def proof(root: Path, first: str, second: str) -> prove.Proof:
    flush(root)
    project = projects.find(root)
    a, b = (record.load(project, runs.find(project, name)) for name in (first, second))
    with prove.prepared(project, a, b) as workshop:
        found = workshop.prove()
        assert found.executions == workshop.plan.executions
    return found


def nbledger(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def nothing_left(root: Path) -> None:
    project = projects.find(root)
    assert not restored.registered(project)
    assert len(git(root, "worktree", "list").splitlines()) == 1
    assert not list((project.state / "tmp").glob("prove-*"))


def test_data_and_parameter_as_worked_out_by_hand(project: Path) -> None:
    # scale 2, sum 10: 20.  Only the data: 2 × 30 = 60.  Only the parameter: 5 × 10 = 50.  Both: 150.
    (project / "data.csv").write_text("1\n2\n3\n4\n")
    session(project, ["scale = 2", READ, TOTAL.format(name="first")])
    (project / "data.csv").write_text("5\n7\n8\n10\n")
    session(project, ["scale = 5", READ, TOTAL.format(name="second")])
    before = Snap.take(project)
    found = proof(project, "first", "second")
    (total,) = found.attributions
    assert total.recorded == total.executed == (20, 150)
    assert total.shares == {"data": 70, "parameter": 60}  # ½(40 + 100) and ½(30 + 90)
    assert total.unexplained == 0
    assert found.values == {
        "": {"total": 20}, "data": {"total": 60}, "parameter": {"total": 50}, "data, parameter": {"total": 150}
    }  # fmt: skip
    assert [f.what for f in found.factors] == ["data.csv", "scale 2 → 5"]
    asked = nbledger("compare", "first", "second", "--prove", cwd=project)
    assert asked.returncode == 2
    assert "data (data.csv); parameter (scale 2 → 5). That takes 4 executions, about" in asked.stderr
    assert "--yes" in asked.stderr
    done = nbledger("compare", "first", "second", "--prove", "--yes", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "data       +70  53.8 %  data.csv" in done.stdout
    assert "parameter  +60  46.2 %  scale 2 → 5" in done.stdout
    assert Snap.take(project) == before
    nothing_left(project)
    names = [r.name for r in runs.listed(projects.find(project))]
    assert sorted(names) == ["first", "second"], "executions are not runs"


def test_code_of_a_module_and_a_seed_and_what_is_not_explained(project: Path) -> None:
    (project / "data.csv").write_text("1\n2\n3\n4\n")
    (project / "shaping.py").write_text("def shape(x):\n    return x\n")
    commit_all(project)
    cell = "%%mlrun {name} --seed {seed} -m total\nimport random, os\ntotal = shape(sum(values)) + random.randint(0, 1000) + ({extra})"
    start = "from shaping import shape"
    session(project, [start, READ, cell.format(name="first", seed=1, extra=0)])
    (project / "shaping.py").write_text("def shape(x):\n    return 10 * x\n")
    session(project, [start, READ, cell.format(name="second", seed=2, extra=0)])
    found = proof(project, "first", "second")
    (total,) = found.attributions
    assert {f.name for f in found.factors} == {"code", "seed"}
    assert total.shares["code"] == pytest.approx(90)
    assert total.shares["seed"] == pytest.approx(total.recorded[1] - total.recorded[0] - 90)
    assert total.unexplained == pytest.approx(0)


def test_what_chance_did_is_said_to_be_unexplained(project: Path) -> None:
    (project / "data.csv").write_text("1\n2\n")
    cells = [
        "scale = {scale}",
        READ,
        "%%mlrun {name} -p scale -m total\nimport os\ntotal = scale + int.from_bytes(os.urandom(4), 'big')",
    ]
    session(project, [c.format(scale=1, name="first") for c in cells])
    session(project, [c.format(scale=2, name="second") for c in cells])
    found = proof(project, "first", "second")
    (total,) = found.attributions
    assert any("in part chance" in note for note in found.notes)
    assert total.unexplained != 0
    assert total.recorded[0] != total.executed[0]


def test_a_new_file_that_the_code_names_goes_with_the_code(project: Path) -> None:
    (project / "old.csv").write_text("1\n")
    cell = "%%mlrun {name} -m total\ntotal = float(open({file!r}).read())"
    session(project, [cell.format(name="first", file="old.csv")], track="old.csv")
    (project / "new.csv").write_text("5\n")
    session(project, [cell.format(name="second", file="new.csv")], track="new.csv")
    found = proof(project, "first", "second")
    assert [f.name for f in found.factors] == ["data + code"]
    assert found.attributions[0].shares == {"data + code": 4}
    assert any("new.csv" in note for note in found.notes)


def test_nothing_to_switch_is_refused(project: Path) -> None:
    (project / "data.csv").write_text("1\n2\n")
    cells = [READ, "%%mlrun {name} -m total\nimport random\ntotal = sum(values) + random.random()"]
    session(project, [c.format(name="first") for c in cells])
    session(project, [c.format(name="second") for c in cells])
    with pytest.raises(Refused, match="nothing that could be switched"):
        proof(project, "first", "second")
    nothing_left(project)
