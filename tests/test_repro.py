"""``nbledger repro``: what ``dvc repro`` does, as runs; real DVC, real Git, and what plain MLflow then says."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import batches
import ledger
from conftest import commit_all, data_remote, dvc, git
from nbledger.core import trust
from nbledger.core.project import find
from nbledger.keeper.repros import Report, StageRow
from nbledger_magics import pipelines

REPRO = (sys.executable, "-m", "nbledger.cli", "repro")
COPY = """\
import json, sys
source, target, *metrics = sys.argv[1:]
text = open(source).read()
print("copying", source)
open(target, "w").write(text + "!")
for name in metrics:
    json.dump({"size": len(text), "by": {"class": {"a": 0.5}}, "word": "none", "yes": True}, open(name, "w"))
"""
PIPELINE = """\
stages:
  each:
    foreach: ${names}
    do:
      cmd: python copied.py in.txt out-${item}.txt
      deps: [in.txt, copied.py]
      outs: ["out-${item}.txt"]
  inside:
    wdir: sub/inner
    cmd:
    - mkdir -p made/deep
    - cp ../../out-a.txt made/deep/1
    deps: [../../out-a.txt]
    outs: [made]
  train:
    cmd: python copied.py sub/inner/made/deep/1 model.bin metrics.json && cp in.txt roc.csv
    deps: [sub/inner/made, copied.py, data]
    params: [train.lr, train.depth]
    outs: [model.bin]
    metrics: [metrics.json: {cache: false}]
    plots: [roc.csv]
"""
BELOW = """\
stages:
  train:
    cmd: python ../copied.py ../in.txt t.txt
    deps: [../in.txt]
    params:
    - ../params.yaml:
    outs: [t.txt]
"""
PARAMS = "names: [a, b]\ntrain: {lr: 1e-3, depth: 3}\n"


@pytest.fixture
def pipeline(project: Path) -> Path:
    """Commands in two ``dvc.yaml`` files, with a template, ``foreach``, ``wdir`` and a tracked folder."""
    (project / "sub" / "inner").mkdir(parents=True)
    (project / "data").mkdir()
    for name in "12":
        (project / "data" / name).write_text(name)
    for name, text in {"copied.py": COPY, "dvc.yaml": PIPELINE, "sub/dvc.yaml": BELOW, "params.yaml": PARAMS}.items():
        (project / name).write_text(text)
    (project / "in.txt").write_text("in\n")
    dvc(project, "add", "data")
    commit_all(project)
    trust.trust(find(project))
    return project


def repro(root: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*REPRO, *words], cwd=root, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done


def answer(root: Path, *words: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(repro(root, *words, "--json", code=code).stdout)
    return found


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {row["stage"]: row["status"] for row in found["stages"]}


def locked(root: Path, stage: str, file: str = "dvc.lock") -> dict[str, Any]:
    entry: dict[str, Any] = yaml.safe_load((root / file).read_text())["stages"][stage]
    return entry


def inputs(run: Any) -> dict[str, str]:
    return {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}


def test_commands_become_runs_and_dvc_lock_is_what_dvc_writes(pipeline: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(pipeline, plain, symlinks=True)
    dvc(plain, "repro", "dvc.yaml", "sub/dvc.yaml")
    done = repro(pipeline, "dvc.yaml", "sub/dvc.yaml")
    for name in ("dvc.lock", "sub/dvc.lock"):
        assert (pipeline / name).read_bytes() == (plain / name).read_bytes()
    assert git(pipeline, "status", "--porcelain") == git(plain, "status", "--porcelain")
    names = ["each@a", "each@b", "inside", "train", "sub/dvc.yaml:train"]
    for name in names:
        assert f"{name}: begins\n" in done.stderr
        assert f"{name}: ran, " in done.stderr

    by_name = {run.info.run_name: run for run in ledger.runs(pipeline)}
    assert set(by_name) == {"repro", *names}
    assert {run.info.status for run in by_name.values()} == {"FINISHED"}
    parent = by_name["repro"].info.run_id
    assert {by_name[name].data.tags["mlflow.parentRunId"] for name in names} == {parent}
    train = by_name["train"]
    assert train.data.params == {"train.lr": "0.001", "train.depth": "3"}
    assert train.data.metrics == {"size": 4.0, "by.class.a": 0.5}
    assert train.data.tags["nbledger.stage"] == "train"
    assert train.data.tags["mlflow.source.name"] == "copied.py"
    assert git(pipeline, "cat-file", "-t", train.data.tags["mlflow.source.git.commit"]) == "commit"
    held = {dep["path"]: dep["md5"] for dep in locked(pipeline, "train")["deps"]}
    assert held.items() <= inputs(train).items()
    assert held["data"].endswith(".dir")
    assert "copying sub/inner/made/deep/1" in ledger.artifact(pipeline, train.info.run_id, "output.txt").read_text()
    assert ledger.artifact(pipeline, train.info.run_id, "roc.csv").read_text() == "in\n"
    made = json.loads(ledger.artifact(pipeline, train.info.run_id, "nbledger/outputs.json").read_text())["outputs"]
    model = next(out for out in locked(pipeline, "train")["outs"] if out["path"] == "model.bin")
    assert {(out["path"], out["md5"], out["state"]) for out in made} >= {("model.bin", model["md5"], "dvc")}
    below = by_name["sub/dvc.yaml:train"].data
    assert below.params == {"names": "['a', 'b']", "train": "{'lr': 0.001, 'depth': 3}"}
    assert below.tags["mlflow.source.name"] == "copied.py" or below.tags["mlflow.source.name"] == "sub/dvc.yaml"

    again = answer(pipeline, "dvc.yaml", "sub/dvc.yaml")
    assert again["run_id"] is None
    assert {row["stage"]: (row["status"], row["run_id"]) for row in again["stages"]} == {
        name: ("skipped", by_name[name].info.run_id) for name in names
    }
    (pipeline / "params.yaml").write_text(PARAMS.replace("depth: 3", "depth: 4"))
    assert statuses(answer(pipeline, "--dry")) == dict.fromkeys(names[:3], "skipped") | {"train": "would run"}
    again_of_it = [sys.executable, "-m", "nbledger.cli", "reproduce", train.info.run_id]
    refused = subprocess.run(again_of_it, cwd=pipeline, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "no notebook but a command: python copied.py" in refused.stderr
    one = answer(pipeline / "sub" / "inner")  # a folder without a dvc.yaml: the whole
    assert statuses(one) == dict.fromkeys(names[:3], "skipped") | {"train": "ran"}
    assert one["stages"][3]["run_id"] not in {run.info.run_id for run in by_name.values()}
    dvc(pipeline, "repro", "--force", "--single-item", "each@b")
    (pipeline / "out-b.txt").unlink()
    assert statuses(answer(pipeline, "each@b")) == {"each@b": "pulled"}


def test_a_stage_that_fails_and_what_dvc_refuses(pipeline: Path) -> None:
    (pipeline / "dvc.yaml").write_text("stages:\n  first: {cmd: cp in.txt one.txt, outs: [one.txt]}\n")
    repro(pipeline)
    before = (pipeline / "dvc.lock").read_bytes()
    more = '  bad:\n    cmd: "echo it begins; echo it broke >&2; exit 7"\n    deps: [one.txt]\n    outs: [bad.txt]\n'
    more += "  after: {cmd: cp bad.txt c.txt, deps: [bad.txt], outs: [c.txt]}\n"
    with open(pipeline / "dvc.yaml", "a") as file:
        file.write(more)
    found = answer(pipeline, code=1)
    assert statuses(found) == {"first": "skipped", "bad": "failed", "after": "not run"}
    assert found["printed"] == ["it begins", "it broke"]
    assert (pipeline / "dvc.lock").read_bytes() == before
    runs = {run.info.run_id: run for run in ledger.runs(pipeline)}
    broken = runs[found["stages"][1]["run_id"]]
    assert (broken.info.status, runs[found["run_id"]].info.status) == ("FAILED", "FAILED")
    assert ledger.artifact(pipeline, broken.info.run_id, "output.txt").read_text() == "it begins\nit broke\n"

    count = len(runs)
    for text, said in {
        "stages:\n  a: {cmd: touch x, deps: [y], outs: [x]}\n  b: {cmd: touch y, deps: [x], outs: [y]}\n": "both a dependency and an output",
        "stages:\n  a: {cmd: touch x, deps: [gone.csv], outs: [x]}\n": "gone.csv is not there",
        "stages:\n  a: {cmd: touch x, outs: [x]}\n  b: {cmd: touch x, outs: [x]}\n": "x",
        "stages:\n  a: {cmd: touch x, oust: [x]}\n": "oust",
    }.items():
        (pipeline / "dvc.yaml").write_text(text)
        refused = repro(pipeline, code=3).stderr.strip().splitlines()[-1]
        assert refused.startswith("nbledger: dvc repro: ")
        assert " — " in refused
        assert said in refused
    (pipeline / "dvc.yaml").unlink()
    assert "there is no dvc.yaml here" in repro(pipeline, code=2).stderr
    trust.distrust(find(pipeline))
    (pipeline / "dvc.yaml").write_text("stages:\n  a: {cmd: touch ran, outs: [ran]}\n")
    assert "have not trusted" in repro(pipeline, code=3).stderr
    assert not (pipeline / "ran").exists()
    trust.trust(find(pipeline))
    assert len(ledger.runs(pipeline)) == count


def test_an_interrupt_ends_the_stage_as_killed_while_others_wait_and_look_on(pipeline: Path) -> None:
    slow = 'import time; print("asleep", flush=True); open("started", "w"); time.sleep(100)\n'
    (pipeline / "slow.py").write_text(slow)
    stages = "stages:\n  first: {cmd: cp in.txt one.txt, outs: [one.txt]}\n"
    stages += "  slow: {cmd: python slow.py, deps: [one.txt], outs: [never]}\n"
    (pipeline / "dvc.yaml").write_text(stages + "  last: {cmd: cp never end, deps: [never], outs: [end]}\n")
    working = subprocess.Popen(
        [*REPRO, "--json"], cwd=pipeline, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not (pipeline / "started").exists():
            assert working.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        before = (pipeline / "dvc.lock").read_bytes()
        assert "in use by another process" in repro(pipeline, code=3).stderr
        state = subprocess.run(
            [sys.executable, "-m", "nbledger.cli", "status", "--json"], cwd=pipeline, capture_output=True, check=True
        )
        assert json.loads(state.stdout)["notes"] == []
        working.send_signal(signal.SIGINT)
        out, _ = working.communicate(timeout=60)
    finally:
        working.kill()
    assert working.returncode == 130
    found = json.loads(out)
    assert statuses(found) == {"first": "ran", "slow": "killed", "last": "not run"}
    assert (pipeline / "dvc.lock").read_bytes() == before
    runs = {run.info.run_id: run for run in ledger.runs(pipeline)}
    ended = {row["stage"]: runs[row["run_id"]].info.status for row in found["stages"] if row["run_id"]}
    assert ended == {"first": "FINISHED", "slow": "KILLED"}
    assert runs[found["run_id"]].info.status == "KILLED"
    assert json.loads((pipeline / ".dvc" / "tmp" / "rwlock").read_text()) == {}


TRAIN = """\
%%stage train -d clean.csv -o model.txt -M metrics.json -p train.lr
json.dump({"acc": lr, "of": {"rows": 2}}, open("metrics.json", "w"))
open("model.txt", "w").write(str(lr) + open("clean.csv").read())
open("roc.csv", "w").write("x,y\\n")
"""
PREP = "%%stage prep -d in.txt -o clean.csv\nopen('clean.csv', 'w').write(open('in.txt').read())"
NOTEBOOKS = """\
stages:
  code-nb:
    cmd: nbledger code nb.ipynb
    always_changed: true
    outs:
    - stages/prep.py: {cache: false}
    - stages/train.py: {cache: false}
  prep:
    cmd: nbledger run nb.ipynb --stage prep
    deps: [in.txt, stages/prep.py]
    outs: [clean.csv]
  train:
    cmd: nbledger run nb.ipynb --stage train
    deps: [clean.csv, extra.txt, stages/train.py]
    params: [train.lr]
    outs: [model.txt]
    metrics: [metrics.json: {cache: false}]
    plots: [roc.csv]
"""


def test_notebooks_record_themselves_under_dvc_too_and_in_its_experiments(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches.notebook(pipeline / "nb.ipynb", "import json", ("parameters", "lr = 0.5"), PREP, TRAIN)
    (pipeline / "dvc.yaml").write_text(NOTEBOOKS)
    (pipeline / "extra.txt").write_text("not read")
    commit_all(pipeline)
    found = answer(pipeline, "-e", "pipelines")
    assert statuses(found) == {"prep": "ran", "train": "ran"}
    assert found["code"] == ["code-nb"]
    runs = {run.info.run_id: run for run in ledger.runs(pipeline)}
    assert len(runs) == 3
    train = runs[found["stages"][1]["run_id"]]
    assert train.info.experiment_id == runs[found["run_id"]].info.experiment_id
    assert ledger.client(ledger.uri(pipeline)).get_experiment(train.info.experiment_id).name == "pipelines"
    assert train.data.tags["mlflow.parentRunId"] == found["run_id"]
    assert train.data.params["lr"] == "0.001"
    assert train.data.metrics == {"acc": 0.001, "of.rows": 2.0}
    held = {dep["path"]: dep["md5"] for dep in locked(pipeline, "train")["deps"]}
    assert held.pop("stages/train.py")  # the cells' code, which nbledger code writes: no data
    assert held.items() <= inputs(train).items()
    assert "stages/train.py" not in inputs(train)
    assert ledger.artifact(pipeline, train.info.run_id, "roc.csv").read_text() == "x,y\n"
    commit_all(pipeline)
    skipped = answer(pipeline)
    assert [row["run_id"] for row in skipped["stages"]] == [row["run_id"] for row in found["stages"]]

    dvc(pipeline, "exp", "run", "--temp", "--name", "warmer", "-S", "train.lr=0.75")
    again = [run for run in ledger.runs(pipeline) if run.info.run_id not in runs]
    assert [run.info.run_name for run in again] == ["train"]
    (warmer,) = again
    assert warmer.data.metrics == {"acc": 0.75, "of.rows": 2.0}
    assert warmer.data.tags["nbledger.dvc.exp"] == "warmer"
    assert warmer.data.tags["nbledger.dvc.baseline"] == git(pipeline, "rev-parse", "HEAD")
    held_there = git(pipeline, "show", f"{warmer.data.tags['nbledger.snapshot']}:params.yaml")
    assert yaml.safe_load(held_there)["train"]["lr"] == 0.75
    assert git(pipeline, "status", "--porcelain") == ""

    data_remote(pipeline, tmp_path / "remote")
    commit_all(pipeline)
    dvc(pipeline, "push")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(pipeline), str(clone))
    pulled = answer(clone, "--pull", "--trust")
    assert statuses(pulled) == {"prep": "pulled", "train": "pulled"}
    assert {row["note"] for row in pulled["stages"]} == {"made outside of nbledger"}
    assert (clone / "model.txt").read_bytes() == (pipeline / "model.txt").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ledger.uri(pipeline))
    skipped = answer(clone)
    assert [row["run_id"] for row in skipped["stages"]] == [row["run_id"] for row in found["stages"]]


def test_the_table_in_a_notebook() -> None:
    rows = (StageRow("a<b", "skipped", "0" * 32), StageRow("bad", "failed", "1" * 32, 2.0, "exited with 1"))
    shown = pipelines.Shown(Report("FAILED", "2" * 32, rows, ("code-nb",), ("a note",), ("Traceback & more",), 3.0))
    page, text = shown._repr_html_(), repr(shown)
    for words in (
        "a&lt;b",
        "Traceback &amp; more",
        "code of notebooks written: code-nb",
        '<td class="bad">✗</td>',
        "a note",
    ):
        assert words in page
    assert "run 22222222: 1 skipped, 1 failed, 3.0 s" in page
    assert "✗  bad    failed   2.0 s  11111111  exited with 1\n  | Traceback & more\n· code of notebooks" in text
