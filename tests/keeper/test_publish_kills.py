"""Promise 6: a publisher that is killed, at whichever system call, leaves what a plain flush makes one whole run of."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from forked import FLUSH, Warm, shared
from kills import spread
from ledger import client, flush, runs, uri
from nbledger.core import trust
from nbledger.core.project import Project, find
from nbledger.keeper import journal, publish, recorder

FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if FULL else 300)]
LOOK = """
import json, mlflow
from pathlib import Path
api = mlflow.MlflowClient(tracking_uri={uri!r})
found = []
for run in api.search_runs([e.experiment_id for e in api.search_experiments()], run_view_type=3):
    files = []
    def walk(place):
        for item in api.list_artifacts(run.info.run_id, place):
            walk(item.path) if item.is_dir else files.append(item.path)
    walk(None)
    where = Path(run.info.artifact_uri.removeprefix("file://"))
    found.append(dict(
        id=run.info.run_id, status=run.info.status, end=run.info.end_time, params=run.data.params, tags=run.data.tags,
        metrics={{k: [(m.step, m.value) for m in api.get_metric_history(run.info.run_id, k)] for k in run.data.metrics}},
        datasets=[(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
        files={{f: (where / f).read_text() for f in sorted(files)}},
    ))
print(json.dumps(found))
"""


@pytest.fixture
def ready() -> Warm:
    return shared()


def record(here: Project) -> int:
    """A journal with some of everything but a model; when the run ended."""
    recording = recorder.start(here, recorder.Plan(name="whole", params={"lr": 0.1, "bad,key": "x" * 50}))
    for step in range(30):
        recording.log(step, {"loss": step / 7, "acc": step})
    recording.log_tags({"team": "blue"})
    recording.add_text("note.txt", "a note", "texts")
    folder = recording.journal.blob("plots")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.svg").write_text("<svg/>")
    recording.add_blob(folder)
    record = recording.journal.blob("nbledger")
    record.mkdir()
    (record / "environment.json").write_text(json.dumps({"loaded": {"modules": ["json"], "path": sys.path}}))
    recording.environment(record)
    recording.add_blob(record)
    recording.journal.write("lineage", datasets=[["a.csv", "ab" * 16, "a.csv"]], folder="blobs", pending=False)
    recording.outcome("FAILED", "ValueError: x")
    ended = journal.now_ms()
    recording.end()
    return ended


@pytest.fixture
def kept(project: Path, tmp_path: Path, ready: Warm) -> tuple[Path, Path, int]:
    """A project whose store is there already, with a journal that nobody has published; and a copy of it."""
    (project / ".nbledger.toml").write_text("keeper = false\nexperiment = 'kills'\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "No keeper")
    code = "from nbledger.core import mlflow, project; mlflow.ensure_embedded(project.find())"
    assert ready.run(code, project).code == 0
    ended = record(find(project))
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True)
    return project, copy, ended


def restore(project: Path, copy: Path) -> None:
    shutil.rmtree(project)
    shutil.copytree(copy, project, symlinks=True)
    trust.trust(find(project))  # a project put in the place of another is a stranger


def check_whole(ready: Warm, project: Path, ended: int) -> None:
    """After a plain flush: one run, every value once, its status and end, its files, its snapshot; nothing left over."""
    done = ready.run(FLUSH, project)
    assert done.code == 0, done.out
    (found,) = json.loads(ready.run(LOOK.format(uri=uri(project)), project).out.splitlines()[-1])
    assert found["status"] == "FAILED" and abs(found["end"] - ended) < 1000
    assert found["params"] == {"lr": "0.1", "bad_key": "x" * 50}
    assert found["metrics"]["loss"] == [[n, n / 7] for n in range(30)]
    assert found["metrics"]["acc"] == [[n, n] for n in range(30)]
    assert found["datasets"] == [["a.csv", "ab" * 16]]
    assert found["tags"]["team"] == "blue" and "bad_key" in found["tags"]["nbledger.notices"]
    assert found["files"]["texts/note.txt"] == "a note" and found["files"]["plots/deep/one.svg"] == "<svg/>"
    assert "imported" in json.loads(found["files"]["nbledger/environment.json"])
    manifest = json.loads(found["files"]["nbledger/manifest.json"])
    assert manifest["params"] == {"lr": "0.1", "bad,key": "x" * 50} and len(manifest["metrics"]["loss"]) == 30
    refs = git(project, "for-each-ref", "--format=%(refname)", "refs/nbledger")
    assert refs == f"refs/nbledger/runs/{found['id']}"
    left = [p.name for p in (project / ".nbledger/journals").iterdir() if not p.name.startswith(".done-")]
    assert left == []
    assert publish.run_id_of(find(project), found["tags"]["nbledger.journal"]) == found["id"]


def test_killed_at_each_mutating_system_call(ready: Warm, kept: tuple[Path, Path, int], tmp_path: Path) -> None:
    project, copy, ended = kept
    calls = ready.traced(FLUSH, project, tmp_path / "trace")
    check_whole(ready, project, ended)
    assert len(calls) > 100
    killed = 0
    for call in calls if FULL else spread(calls, 12):
        restore(project, copy)
        killed += ready.killed_at(call, FLUSH, project)
        check_whole(ready, project, ended)
    assert killed > (0.9 * len(calls) if FULL else 8)


def test_killed_while_it_makes_the_database(ready: Warm, kept: tuple[Path, Path, int], tmp_path: Path) -> None:
    project, copy, ended = kept
    (copy / ".nbledger/mlflow.db").unlink()
    restore(project, copy)
    calls = ready.traced(FLUSH, project, tmp_path / "trace")
    made = next(n for n, call in enumerate(calls) if call.name.startswith("link") and "mlflow.db" in call.words)
    for call in spread(calls[: made + 1], 40 if FULL else 2):
        restore(project, copy)
        ready.killed_at(call, FLUSH, project)
        check_whole(ready, project, ended)


def with_model(here: Project) -> None:
    import cloudpickle
    from sklearn.linear_model import Ridge

    recording = recorder.start(here, recorder.Plan(name="model"))
    blob = recording.journal.blob("m.pkl")
    blob.write_bytes(cloudpickle.dumps({"model": Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), "example": None}))
    recording.model(blob, "m", [])
    recording.outcome("FINISHED")
    recording.end()


def models(root: Path) -> list[Any]:
    api = client(uri(root))
    return list(api.search_logged_models([e.experiment_id for e in api.search_experiments()]))


@pytest.mark.parametrize("whole", ["PENDING", "READY", "child"] if FULL else ["PENDING"])
def test_a_model_is_logged_once(project: Path, whole: str) -> None:
    """The publisher is killed with its child when the model is begun, or alone: when it is there, or while its child works."""
    (project / ".nbledger.toml").write_text("keeper = false\n")
    with_model(find(project))
    publisher = subprocess.Popen([sys.executable, "-m", "nbledger.cli", "flush"], cwd=project, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        known = models(project) if (project / ".nbledger/mlflow.db").exists() else []
        if [str(m.status) for m in known] == [whole] or (whole == "child" and known):
            break
        time.sleep(0.02)
    if whole == "PENDING":
        os.killpg(publisher.pid, signal.SIGKILL)
    publisher.kill()
    publisher.wait()
    assert len(models(project)) == 1
    assert "is published" in flush(project)
    (model,) = models(project)
    (run,) = runs(project)
    assert str(model.status) == "READY", run.data.tags.get("nbledger.notices")
    assert model.source_run_id == run.info.run_id
    assert [m.model_id for m in run.outputs.model_outputs] == [model.model_id]
    assert "nbledger.notices" not in run.data.tags
    assert (Path(model.artifact_location.removeprefix("file://")) / "MLmodel").is_file()
