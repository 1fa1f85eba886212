"""What a pipeline writes into Git's work tree is no change of code; everything else is."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from conftest import commit_all
from nbledger.core import checkpoint, git, snapshot, stagecode
from nbledger.core.project import find

YAML = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    outs: [made.py]
    metrics:
      - scores/metrics.json:
          cache: false
    plots:
      - curve.csv:
          cache: false
"""


@pytest.fixture
def pipeline(project: Path) -> Path:
    """A project whose pipeline has run once, all of it committed."""
    files = {
        "dvc.yaml": YAML,
        "dvc.lock": "schema: '2.0'\nstages: {}\n",
        "train.py": "print(1)\n",
        "made.py": "a = 1\n",
        "params.yaml": "lr: 0.1\n",
        "scores/metrics.json": "{}\n",
        "curve.csv": "x\n1\n",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)
    commit_all(project)
    return project


def dirty(root: Path) -> bool:
    return snapshot.capture(find(root), uuid.uuid4().hex).dirty


def test_what_stages_write_makes_no_code_dirty(pipeline: Path) -> None:
    assert not dirty(pipeline)
    for name in ("dvc.lock", "scores/metrics.json", "curve.csv"):
        (pipeline / name).write_text("other\n")
        assert not dirty(pipeline), name
    taken = snapshot.capture(find(pipeline), uuid.uuid4().hex)
    assert taken.commit != taken.head  # the snapshot holds it all the same


@pytest.mark.parametrize("name", ["train.py", "made.py", "params.yaml", "dvc.yaml", "new.txt"])
def test_everything_else_does(pipeline: Path, name: str) -> None:
    (pipeline / "dvc.lock").write_text("other\n")
    (pipeline / name).write_text("stages: {}\n" if name == "dvc.yaml" else "other\n")
    assert dirty(pipeline)


def test_what_the_runs_before_differed_in_is_not_looked_up_again(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run of a cell asks this; Git's processes are most of what it costs."""
    asked: list[str] = []
    call = git.call
    monkeypatch.setattr(git, "call", lambda repo, *args, **more: asked.append(args[0]) or call(repo, *args, **more))
    for file, expected in (("dvc.lock", False), ("train.py", True), ("dvc.yaml", True)):
        (pipeline / file).write_text(f"# {file}\n")
        first = asked.copy() if dirty(pipeline) is expected else []
        assert "diff-tree" in first, file
        asked.clear()
        assert dirty(pipeline) is expected
        assert asked == ["ls-files", "update-ref"], file
        commit_all(pipeline)
        asked.clear()


def test_a_file_is_a_metrics_file_only_by_a_dvc_yaml_that_can_be_read(pipeline: Path) -> None:
    (pipeline / "dvc.yaml").write_text("stages: [\n")
    commit_all(pipeline)
    (pipeline / "scores/metrics.json").write_text("other\n")
    assert dirty(pipeline)


def test_a_lock_counts_where_there_is_no_dvc_repository(pipeline: Path) -> None:
    (pipeline / ".dvc" / "config").unlink()
    (pipeline / "dvc.lock").write_text("other\n")
    assert dirty(pipeline)


NOTEBOOK = """\
stages:
  code-book:
    cmd: nbledger code book.ipynb
    always_changed: true
    outs: [stages/fit.py: {cache: false, persist: true}, other/fit.py: {cache: false}]
  fit:
    cmd: nbledger run book.ipynb --stage fit
    deps: [stages/fit.py]
  odd:
    cmd: echo "
"""


def book(root: Path, *sources: str) -> None:
    cells = [{"cell_type": "code", "source": source, "metadata": {}, "outputs": []} for source in sources]
    (root / "book.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))


def test_the_code_of_stages_is_made_of_the_notebook_that_was_committed(project: Path) -> None:
    """Whoever edits a cell and commits the notebook leaves ``stages/`` to the pipeline."""
    (project / "dvc.yaml").write_text(NOTEBOOK)
    book(project, "%%stage fit\na = 1")
    commit_all(project)
    stagecode.write(find(project), project / "book.ipynb")
    assert not dirty(project)  # for the first time
    book(project, "%%stage fit\na = 2")
    assert dirty(project)  # a cell that no commit has
    commit_all(project)
    stagecode.write(find(project), project / "book.ipynb")
    (project / "dvc.lock").write_text("other\n")
    assert not dirty(project)
    taken = snapshot.capture(find(project), uuid.uuid4().hex)
    assert taken.commit != taken.head
    assert checkpoint.plan(find(project)).paths == ("dvc.lock", "stages/fit.py")  # and goes with the lock
    code = (project / "stages" / "fit.py").read_text()
    (project / "stages" / "fit.py").write_text(code + "b = 1\n")  # by hand
    assert dirty(project)
    (project / "stages" / "fit.py").write_text(code)
    (project / "other").mkdir()
    (project / "other" / "fit.py").write_text(code)  # `nbledger code` writes no such file
    assert dirty(project)
