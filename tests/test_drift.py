"""Drift from one end to the other: a pipeline makes a model, data arrive, the verdict is a run, and the pipeline runs again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import commit_all, data_remote, git
from nbledger.commands import tree
from nbledger.commands.answer import Answer, Face
from nbledger.core import mlflow, mlflow_files, mlflow_registry, modeldigest, reads, trust
from nbledger.core.driftrecord import Drift, Loop
from nbledger.core.errors import LedgerError, Refused, ToolFailed, Untrusted, UsageError
from nbledger.core.project import Project, find
from nbledger.core.track import track
from nbledger.keeper import repro
from nbledger.keeper.repros import Asked

BENCH = Path(__file__).parents[1] / "bench" / "drift_alarms.py"
FIT = """\
import csv, json
rows = [(float(r["x"]) > 0, r["label"] == "1") for r in csv.DictReader(open("data/train.csv"))]
right = sum(guess == truth for guess, truth in rows) / len(rows)
json.dump({"accuracy": right, "rows": len(rows)}, open("metrics.json", "w"))
json.dump({"threshold": 0}, open("model.json", "w"))
"""
PIPELINE = """\
stages:
  fit:
    cmd: python fit.py
    deps: [fit.py, data/train.csv]
    outs: [model.json]
    metrics: [{metrics.json: {cache: false}}]
"""
MODEL = """\
import os, mlflow, pathlib
pathlib.Path(os.environ.get("LOADED", os.devnull)).write_text("loaded")

class Sign(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"] > 0).astype(int).to_numpy()

mlflow.models.set_model(Sign())
"""


def table(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(shift, 1, rows), draw.normal(0, 1, rows)
    label = ((x + draw.normal(0, 0.3, rows)) > 0).astype(int)
    return pd.DataFrame(
        {"x": x.round(4), "y": y.round(4), "colour": draw.choice(["red", "blue"], rows), "label": label}
    )


def ledger(*words: str) -> Answer:
    found = tree.run(words, Face())
    assert found is not None
    return found


def drifted(*words: str) -> Drift:
    """What ``nbledger drift`` answers; its exit code is that of the verdict."""
    found = ledger("drift", *words)
    assert found.code == int(found.data.drifted), found.text
    return found.data


@pytest.fixture
def trained(project: Path) -> Path:
    """A project whose pipeline has made a model, version 1 of ``wine`` and its champion; data are in a remote."""
    data_remote(project, project.parent / "remote")
    (project / "data").mkdir()
    table(400, 0).to_csv(project / "data" / "train.csv", index=False)
    (project / "fit.py").write_text(FIT)
    (project / "dvc.yaml").write_text(PIPELINE)
    here = find(project)
    trust.trust(here)
    track(here, ["data/train.csv"], "data", push=True)
    commit_all(project, "code")
    report = repro.run(here, project, Asked(), lambda told: None)
    assert report.status == "FINISHED", report
    commit_all(project, "a pipeline")
    register(here, str(report.stages[0].run_id))
    live = project.parent / "live"
    live.mkdir()
    table(200, 1).to_csv(live / "same.csv", index=False)
    table(200, 2, 1.0).to_csv(live / "moved.csv", index=False)
    return project


def register(project: Project, run: str) -> Path:
    """The run's model, of which no file was ever executed here, as the champion; its folder in the store."""
    api = mlflow.client(project)
    model = api.create_logged_model(api.get_run(run).info.experiment_id, name="sign", source_run_id=run)
    folder = project.root.parent / model.model_id
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    flavor = (
        "{loader_module: mlflow.pyfunc.model, python_version: '3.11', model_code_path: model.py, streamable: false}"
    )
    inputs = json.dumps([{"type": "double", "name": "x", "required": True}, {"type": "double", "name": "y"}])
    (folder / "MLmodel").write_text(
        f"flavors:\n  python_function: {flavor}\nsignature:\n  inputs: '{inputs}'\n  outputs: null\n  params: null\n"
    )
    api.log_model_artifacts(model.model_id, str(folder))
    api.finalize_logged_model(model.model_id, "READY")
    logged = mlflow_registry.Logged("sign", f"models:/{model.model_id}", model.model_id)
    number = mlflow_registry.register(api, project.tracking_uri, "wine", logged, run)
    api.set_registered_model_alias("wine", "champion", number)
    return Path(str(api.get_logged_model(model.model_id).artifact_location).removeprefix("file://"))


def seal(project: Project, number: str = "1") -> None:
    """Record the digest of a version's files, as a promotion does."""
    api = mlflow.client(project)
    place = project.root.parent / "copy"
    mlflow_files.fetch(project, api, api.get_model_version("wine", number).source, place)
    api.set_model_version_tag("wine", number, modeldigest.TAG, modeldigest.digest(place))
    shutil.rmtree(place)


def test_the_loop_from_data_to_data(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data like those of the training are no drift; shifted ones are, by the columns, by what the model predicts and by a figure;
    they are tracked on a branch, where the pipeline runs again, and nothing of the person's own moves.
    """
    loaded = trained.parent / "loaded"
    monkeypatch.setenv("LOADED", str(loaded))
    here, live = find(trained), trained.parent / "live"
    shutil.copy(live / "same.csv", trained / "tonight.csv")
    still = drifted("wine", "--data", "tonight.csv")
    assert (still.verdict, still.version, still.alias, still.reasons) == ("no drift", "1", "champion", ())
    assert (still.reference.path, still.reference.rows, still.data.rows) == ("data/train.csv", 400, 200)
    assert still.reference.how == "trained on"
    assert {c.name for c in still.columns} == {"x", "y"}  # what the model takes
    assert "no recorded digest" in " ".join(still.notes)
    assert not loaded.exists()  # and so it was not loaded
    assert reads.unversioned(here) == []  # comparing is not depending
    (trained / "tonight.csv").unlink()
    tags = dict(mlflow.client(here).get_model_version("wine", "1").tags)
    assert (tags["nbledger.drift.verdict"], tags["nbledger.drift.run_id"]) == ("no drift", still.run_id)
    assert (tags["nbledger.drift.reference"], tags["nbledger.drift.how"]) == ("data/train.csv", "trained on")

    words = ("--target", "label", "--performance", "accuracy >= 0.5")
    unsure = ledger("drift", "wine", "--data", "../live/same.csv", *words)  # nobody can look at it: no green tick
    why = "whether accuracy >= 0.5 holds is not known: there are no predictions to hold against the labels"
    assert (unsure.code, unsure.data.drifted, unsure.data.verdict) == (3, False, "not known")
    assert unsure.text.startswith(f"? wine version 1 (champion): not known\n  {why}\n")
    assert mlflow.client(here).get_model_version("wine", "1").tags["nbledger.drift.verdict"] == "not known"

    seal(here)
    # the reference is what the run read, wherever it is by now: neither the work tree nor the cache has it
    (trained / "data" / "train.csv").unlink()
    table(50, 9, 5.0).to_csv(trained / "data" / "train.csv", index=False)
    for place in (trained / ".dvc" / "cache", trained / ".nbledger" / "kept"):
        shutil.rmtree(place, ignore_errors=True)
    before = state(trained)
    words = ("--target", "label", "--performance", "accuracy >= champion.accuracy + 0.2")
    found = drifted("wine@champion", "--data", str(live / "moved.csv"), *words, "--on-drift", "repro", "--append")
    assert loaded.read_text() == "loaded"
    assert found.reasons[0] == "2 of 3 columns drifted: x, label"
    assert found.reasons[1] == "what the model predicts has drifted"
    assert found.reasons[2].startswith("accuracy >= champion.accuracy + 0.2: 0.9")
    assert {c.name for c in found.columns if c.drifted} == {"x", "label", "prediction"}
    assert found.predicted == "the model's own"
    assert found.reference.rows == 400

    run = mlflow.client(here).get_run(str(found.run_id))
    assert (run.info.run_name, run.info.status) == ("drift wine", "FINISHED")
    assert run.data.tags["nbledger.drift.verdict"] == "drift"
    assert run.data.metrics["drift.drifted"] == 3
    assert run.data.metrics["live.accuracy"] == pytest.approx(dict(found.performance)["accuracy"][1])
    names = {Path(one.path).name for one in mlflow.client(here).list_artifacts(str(found.run_id), "drift")}
    assert names == {"report.html", "drift.json", "evidently.html", "branch.md", "branch.html"}
    read = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert read["data/train.csv"] == found.reference.md5

    assert state(trained) == before
    check_loop(trained, found.loop)


def state(root: Path) -> list[str]:
    """All that is the person's: branch, index, files, work trees."""
    tracked = [git(root, *words) for words in (("status", "--porcelain"), ("rev-parse", "HEAD"), ("worktree", "list"))]
    return [*tracked, git(root, "branch", "--show-current"), (root / "data" / "train.csv").read_text()]


def check_loop(root: Path, loop: Loop | None) -> None:
    assert loop is not None
    assert (loop.status, loop.path, loop.how) == ("FINISHED", "data/train.csv", "append")
    assert loop.stages == {"fit": "ran"}
    assert loop.metrics["rows"] == (400.0, 600.0)  # the old rows and the new
    assert git(root, "rev-parse", loop.branch) == loop.commit
    assert git(root, "rev-parse", f"{loop.branch}~2") == loop.base == git(root, "rev-parse", "HEAD")
    assert json.loads(git(root, "show", f"{loop.branch}:metrics.json"))["rows"] == 600
    assert git(root, "diff", "--name-only", "HEAD", loop.branch).split() == [
        "data/train.csv.dvc",
        "dvc.lock",
        "metrics.json",
    ]
    # a gate may require that the run is pushed: promoting comes last
    assert loop.next == (
        f"nbledger report --base {loop.base[:12]} --head {loop.branch}",
        f"git switch {loop.branch}",
        "nbledger pull",
        "nbledger push",
        f'nbledger promote {str(loop.run_id)[:12]} --model wine --if "METRIC >= champion.METRIC"',
    )
    api = mlflow.client(find(root))
    assert {k: str(v) for k, v in api.get_registered_model("wine").aliases.items()} == {"champion": "1"}  # not promoted


def branches(root: Path) -> list[str]:
    return git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads/drift").split()


def test_a_branch_is_made_each_time_and_named_whatever_becomes_of_it(trained: Path) -> None:
    """The same data twice are no change of somebody's that would be taken back; without a pipeline there is no branch; one on which
    nothing could be trained is named, in the text and as data.
    """
    words = ("wine", "--data", "../live/moved.csv", "--on-drift", "repro")
    before = state(trained)
    loops = [drifted(*words).loop for _ in range(2)]
    assert [loop.status for loop in loops if loop is not None] == ["FINISHED", "FINISHED"]
    names = [loop.branch for loop in loops if loop is not None]
    assert sorted(names) == sorted(branches(trained))
    assert len(set(names)) == 2
    assert len({git(trained, "rev-parse", f"{name}:data/train.csv.dvc") for name in names}) == 1
    assert state(trained) == before

    (trained / "dvc.yaml").write_text(PIPELINE.replace("deps: [", "deps: [gone.py, "))
    commit_all(trained, "a pipeline that cannot run")
    found = ledger("drift", *words)
    assert found.code == 1
    loop = found.data.loop
    assert (loop.status, loop.stages, loop.run_id) == ("FAILED", {}, None)
    assert f"not trained; the new data are on the branch {loop.branch}: failed" in found.text
    assert "gone.py" in " ".join(loop.notes)
    assert f"  git switch {loop.branch}\n" in found.text
    assert git(trained, "log", "-1", "--format=%s %H", loop.branch) == (
        f"New data for data/train.csv: drift of wine version 1 {loop.commit}"
    )
    made = branches(trained)
    assert made == sorted([*names, loop.branch])

    git(trained, "rm", "-q", "--cached", "dvc.yaml")
    git(trained, "commit", "-qm", "no pipeline")
    for said in ("dvc.yaml is in no commit", "there is no dvc.yaml here"):
        refused = drifted(*words)
        assert refused.loop is None
        assert f"nothing was trained: {said}" in " ".join(refused.notes)
        (trained / "dvc.yaml").unlink(missing_ok=True)
    assert branches(trained) == made


def test_a_model_whose_files_were_changed_is_not_loaded(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what cannot be asked is refused in one line, before anything is compared."""
    loaded = trained.parent / "loaded"
    monkeypatch.setenv("LOADED", str(loaded))
    here, data = find(trained), "../live/same.csv"
    run = str(mlflow.client(here).get_model_version("wine", "1").run_id)
    place = register(here, run)  # the same run, another version
    seal(here, "2")
    (place / "model.py").write_text(MODEL + "# changed in the store\n")
    with pytest.raises(Refused, match="not those that were promoted"):
        drifted("wine", "--data", data)
    assert not loaded.exists()
    cases: tuple[tuple[type[LedgerError], str, tuple[str, ...]], ...] = (
        (UsageError, "no registered model 'wime' — did you mean wine", ("wime", "--data", data)),
        (UsageError, "no version — nbledger promote RUN --model wine --alias new points it", ("wine@new", "--data", data)),
        (UsageError, "wine@candidate points at no version — give NAME/3", ("wine@candidate", "--data", data)),
        (UsageError, "has no version 7 — nbledger decisions wine", ("wine/7", "--data", data)),
        (UsageError, "names no version", ("wine/x", "--data", data)),
        (UsageError, "names no version", ("../x;$(touch y)/1a", "--data", data)),
        (UsageError, "no registered model", ("$(touch y)", "--data", data)),
        (UsageError, "there is no", ("wine", "--data", "../live/nothing.csv")),
        (UsageError, "is no table", ("wine", "--data", "fit.py")),
        (UsageError, "there is no", ("wine", "--data", data, "--reference", "data/other.csv")),
        (UsageError, "is not expected", ("wine", "--data", data, "--performance", "__import__('os')")),
        (UsageError, "--on-drift", ("wine", "--data", data, "--append")),
        (Refused, "has the columns of these data", ("wine", "--data", "../live/other.csv")),
        (UsageError, "has a column 'lable', .* target — did you mean label", ("wine/1", "--data", data, "--target", "lable")),
        (UsageError, "has a column 'guess', .* prediction", ("wine/1", "--data", data, "--prediction", "guess")),
        (UsageError, "metric 'acuracy' .* did you mean acc", ("wine", "--data", data, "--performance", "f1 > champion.acuracy")),
        (UsageError, "names 'acuracy'", ("wine", "--data", data, "--performance", "acuracy >= 0.9")),
        (UsageError, "live/empty.csv is empty", ("wine", "--data", "../live/empty.csv")),
        (UsageError, "something else than a comma", ("wine", "--data", "../live/semi.csv")),
        (UsageError, "something else than a comma", ("wine", "--data", "../live/semi.csv", "--reference", data)),
        (UsageError, "mixed/other.csv is another table than .*mixed/same1.csv", ("wine", "--data", "../mixed")),
        (UsageError, "header.csv has no rows", ("wine/1", "--data", "../live/header.csv")),
    )  # fmt: skip
    for name, text in (("empty", ""), ("semi", "x;y;colour\n1;2;red\n"), ("header", "x,y,colour,label\n")):
        (trained.parent / "live" / f"{name}.csv").write_text(text)
    mixed = trained.parent / "mixed"
    mixed.mkdir()
    for number in (1, 2):
        table(20, number).to_csv(mixed / f"same{number}.csv", index=False)
    for place in (trained.parent / "live", mixed):
        pd.DataFrame({"a": [1.0] * 9, "b": [2.0] * 9}).to_csv(place / "other.csv", index=False)
    for kind, said, words in cases:
        with pytest.raises(kind, match=said):
            ledger("drift", *words)
    without_evidently(trained.parent / "site", monkeypatch)
    with pytest.raises(ToolFailed, match=r"pip install 'nbledger\[drift\]'"):
        ledger("drift", "wine/1", "--data", data)
    trust.distrust(here)
    with pytest.raises(Untrusted):
        ledger("drift", "wine/1", "--data", data)
    assert not loaded.exists()
    assert not (trained / "y").exists()


def without_evidently(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment in which the extra is not installed."""
    (place / "evidently").mkdir(parents=True)
    (place / "evidently" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'evidently'\")")
    monkeypatch.setenv("PYTHONPATH", str(place))


def test_false_alarms_are_few_and_nothing_reaches_the_network() -> None:
    """A reduced form of what ``bench/drift_alarms.py`` measures: 50 resamples of two tables take minutes."""
    said = subprocess.run(
        [sys.executable, str(BENCH), "--resamples", "5", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env=dict(os.environ),
    )
    found: dict[str, Any] = json.loads(said.stdout)
    assert found["network"] == []
    for name, column in (("wine", "alcohol"), ("made", "normal3")):
        assert found[name]["false alarms"] <= 1 / 5
        assert found[name][f"found: {column}"] == 1.0


def test_the_process_that_compares_reaches_nothing() -> None:
    """Whatever a library in it would like to do."""
    code = """
import socket, subprocess, sys
from nbledger.core.driftlib import alone
alone()
for deed in (
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: subprocess.run(["true"]),
    lambda: __import__("os").system("true"),
):
    try:
        deed()
    except PermissionError:
        continue
    sys.exit("it did")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
