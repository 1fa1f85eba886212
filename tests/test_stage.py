"""Cells and notebooks as stages: ``%%stage``, ``nbledger stage``, ``nbledger code``, ``nbledger run --stage`` under plain ``dvc``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from batches import notebook
from conftest import commit_all, run
from kernels import Cell, Kernel, kernel
from ledger import runs
from nbledger.core import trust
from nbledger.core.project import find

pytestmark = pytest.mark.slow

TRAIN = """\
%%stage train
rows = list(csv.DictReader(open('data.csv')))
open('model.txt', 'w').write(str(scaled(lr) * len(rows)))
%track_data data.csv
"""
EVALUATE = """\
%%stage evaluate -M metrics.json
json.dump({'size': float(open('model.txt').read())}, open('metrics.json', 'w'))
"""
CELLS: tuple[str | tuple[str, str], ...] = (
    "%load_ext nbledger",
    "import csv, json\nfrom features import scaled",
    ("parameters", "lr = 0.5\nseed = 1"),
    TRAIN,
    "print('not of a stage')",
    EVALUATE,
)


def ledger(root: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def repro(root: Path, *words: str, ok: bool = True) -> list[str]:
    """The stages that plain ``dvc repro`` ran."""
    said = run(sys.executable, "-m", "dvc", "repro", *words, cwd=root, ok=ok)
    return re.findall(r"^Running stage '([^']+)'", said, re.MULTILINE)


def make(root: Path) -> Path:
    (root / "data.csv").write_text("a\n1\n2\n")
    (root / "features.py").write_text("def scaled(x):\n    return x * 10\n")
    commit_all(root)
    trust.trust(find(root))
    return notebook(root / "nb.ipynb", *CELLS)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_from_a_notebook_to_a_pipeline_that_plain_dvc_runs(project: Path) -> None:
    book = make(project)
    written = ledger(project, "stage", "nb.ipynb", "--run", "--yes")
    assert re.search(r"- data.csv +# read\n", written.stdout) and re.search(
        r"- features.py +# imported", written.stdout
    )
    assert "lr               # of the cell tagged parameters; new in params.yaml: 0.5" in written.stdout
    assert "skipped in a stage: %track_data data.csv" in written.stdout
    assert (project / "params.yaml").read_text() == "lr: 0.5\n"

    (project / "model.txt").unlink()
    (project / "params.yaml").write_text("lr: 0.25\n")
    assert repro(project) == ["code-nb", "train", "evaluate"]
    assert json.loads((project / "metrics.json").read_text()) == {"size": 5.0}
    lock = (project / "dvc.lock").read_text()

    # all that is no code: outputs, counts, metadata, ids, text, what no stage needs
    found = nbformat.read(book, 4)
    for number, cell in enumerate(found.cells):
        cell.id, cell.metadata["x"], cell.execution_count = f"n{number}", 1, number
        cell.outputs = [nbformat.v4.new_output("stream", text="shown")]
    found.cells[4].source = "print('something else')"
    found.cells.insert(0, nbformat.v4.new_markdown_cell("# Text"))
    nbformat.write(found, book)
    assert repro(project) == ["code-nb"] and (project / "dvc.lock").read_text() == lock

    edit(book, "'size': float", "'size': 1 + float")  # the code of one stage
    assert repro(project, "-s", "evaluate", "-f") == ["evaluate"], "nobody has asked for its code to be written"
    assert "1 + float" in (project / "stages/evaluate.py").read_text() and repro(project) == ["code-nb"]
    edit(book, "str(scaled(lr)", "str(1 / 0 * scaled(lr)")  # a cell that fails stops the pipeline
    assert repro(project, ok=False) == ["code-nb", "train"]
    trains = [each for each in runs(project) if each.info.run_name == "train"]
    assert [each.info.status for each in trains] == ["FINISHED", "FINISHED", "FAILED"], "no run in a run"
    for tag, value in (("nbledger.stage", "train"), ("mlflow.source.name", "nb.ipynb"), ("nbledger.order", "clean")):
        assert trains[1].data.tags[tag] == value
    assert trains[1].data.params == {"lr": "0.25"}, "what the stage does not use is no parameter of it"
    assert not (project / "data.csv.dvc").exists(), "%track_data is skipped in a stage"
    edit(book, "%%stage train", "%%stage trained")
    told = ledger(project, "run", "nb.ipynb", "--stage", "train", code=2)
    assert "no cell begins with `%%stage train` — did you mean trained?" in told.stderr
    book.unlink()
    for words in (["stage", "train", "nb.ipynb"], ["code", "nb.ipynb"], ["run", "nb.ipynb", "--stage", "train"]):
        assert "nb.ipynb" in ledger(project, *words, code=2).stderr


def test_a_notebook_as_one_stage_in_another_folder(project: Path) -> None:
    trust.trust(find(project))
    (project / "raw.csv").write_text("1\n2\n")
    notebook(
        project / "notebooks/clean up.ipynb",
        "total = sum(map(int, open('../raw.csv')))",
        "open('../total.txt', 'w').write(str(total))",
    )
    asked = ledger(project, "stage", "notebooks/clean up.ipynb", "--run", "--yes", "--json")
    (found,) = json.loads(asked.stdout)["stages"]
    assert found["name"] == "clean-up" and found["written"][-1] == "dvc.yaml"
    assert {(line["kind"], line["value"], line["why"]) for line in found["lines"]} == {
        ("deps", "raw.csv", "read"),
        ("outs", "total.txt", "written"),
    }
    (project / "total.txt").unlink()
    assert repro(project) == ["code-clean-up", "clean-up"]
    assert (project / "total.txt").read_text() == "3"


def sent(k: Kernel, number: int, source: str) -> Cell:
    """Execute a cell of the notebook as JupyterLab does, with its id."""
    session = k.client.session
    message = session.msg("execute_request", {"code": source, "silent": False, "store_history": True})
    message["metadata"] = {"cellId": f"cell-{number}"}
    k.client.shell_channel.send(message)
    return k.collect(message["header"]["msg_id"])


def test_a_cell_that_begins_with_stage_is_a_run_and_a_proposal(project: Path) -> None:
    book = make(project)
    with kernel(project, {"NBLEDGER_NOTEBOOK": str(book)}, load=False) as k:
        for cell in CELLS[:3]:
            assert k.run(cell[1] if isinstance(cell, tuple) else cell).status == "ok"
        shown = sent(k, 3, TRAIN.replace("%track_data data.csv\n", "'the value'\n"))
        assert shown.status == "ok" and shown.result == "'the value'"
        plain = shown.displays[-1]
        assert re.search(r"- data.csv +# read\n", plain) and re.search(r"- features.py +# imported\n", plain)
        assert re.search(r"- model.txt +# written\n", plain) and "%ledger stage train --write writes it" in plain
        assert "data.csv</td><td" in shown.html[-1] and "<script" not in shown.html[-1]
        assert not (project / "dvc.yaml").exists(), "it is shown before it is written"
        done = k.run("%ledger stage train -d extra.csv --write")
        assert "written: .gitignore, params.yaml, dvc.yaml" in done.result and "- extra.csv " in done.result
        assert "nb.ipynb does not hold this cell yet" in done.result
        assert "- extra.csv\n" in (project / "dvc.yaml").read_text()
        before = (project / "dvc.yaml").read_bytes()
        same = sent(k, 3, TRAIN.replace("%track_data data.csv\n", "'the value'\n"))
        assert len(same.displays) == 1, "a stage that is what it should be needs no word"
        clash = k.run("%%stage other -o model.txt --write\nopen('model.txt', 'w').write('1')")
        assert clash.status == "ok" and "output 'model.txt' is already specified in stage train" in clash.stderr
        outside = k.run("%%stage away -d ../x --only --write\n1")
        assert outside.result == "1" and "a dependency outside the repository: ../x" in outside.stderr
        failed = k.run("%%stage broken\n1 / 0")
        assert failed.ename == "ZeroDivisionError" and not any("deps" in text for text in failed.displays)
        dry = k.run("%%stage dry --dry\nopen('made.txt', 'w')")
        assert "%ledger stage dry --write writes it" in dry.result and not (project / "made.txt").exists()
        for wrong, words in (
            ("%%stage\n1", "%%stage needs a name"),
            ("%%stage a --outz x\n1", "did you mean --outs"),
            ("%ledger stage none", "no cell of this session ran as `%%stage none`"),
        ):
            told = k.run(wrong)
            assert told.status == "error" and words in told.traceback and "Traceback" not in told.traceback
        assert (project / "dvc.yaml").read_bytes() == before
    kept = {each.info.run_name: each for each in runs(project)}
    assert kept["train"].data.tags["nbledger.stage"] == "train" and kept["broken"].info.status == "FAILED"


@pytest.mark.parametrize("tool", ["papermill", "nbconvert"])
def test_other_tools_just_run_the_cells(project: Path, tool: str) -> None:
    make(project)
    words = {
        "papermill": ("-m", "papermill", "nb.ipynb", "out.ipynb", "--no-progress-bar", "-p", "lr", "0.1"),
        "nbconvert": ("-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "nb.ipynb", "--output", "out"),
    }
    run(sys.executable, *words[tool], cwd=project)
    assert json.loads((project / "metrics.json").read_text())["size"] == (2.0 if tool == "papermill" else 10.0)
    names = [each.info.run_name for each in runs(project)]
    assert {"train", "evaluate"} <= set(names) and not (project / "dvc.yaml").exists()
