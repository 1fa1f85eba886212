"""Models that runs load: seen in a real kernel with real MLflow, told by the run, and followed by lineage both ways."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ledger
from conftest import commit_all
from kernels import kernel
from nbledger.core import modeluse, trust
from nbledger.core.errors import UsageError
from nbledger.core.modeluse import ModelUse
from nbledger.core.project import find
from recordedruns import file, recorded
from test_ancestry import asked, asking, edges, labels, node
from test_run_views import api

EARLIER = """
model = mlflow.pyfunc.load_model('runs:/{run}/clf')
other = mlflow.artifacts.download_artifacts('models:/wine/1')
"""
TUNE = """%%mlrun tune
open('tuned.txt', 'w').write(str(model.predict([3])))
"""
SCORE = """%%mlrun score
champion = mlflow.pyfunc.load_model('models:/wine@champion')
open('scores.txt', 'w').write(str(champion.predict([1, 2])))
"""
PLAIN = """%%mlrun plain
x = 1
"""
FAILS = """%%mlrun fails
try:
    mlflow.pyfunc.load_model('models:/wine/7')
except mlflow.MlflowException:
    pass
"""


def logged(root: Path, run: str) -> str:
    """A model that the run logged, registered as wine/1, the champion; its id."""
    import mlflow

    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return model_input

    mlflow.set_tracking_uri(ledger.uri(root))
    with mlflow.start_run(run_id=run):
        made = mlflow.pyfunc.log_model(
            name="clf", python_model=Echo(), registered_model_name="wine", pip_requirements=["mlflow"]
        )
    mlflow.MlflowClient().set_registered_model_alias("wine", "champion", "1")
    return str(made.model_id)


def test_models_that_were_loaded_are_part_of_where_a_run_comes_from(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust.trust(find(project))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    run = recorded(project, api(project), 1, "train", (file("data.csv", "1"),))
    uri, model_id = ledger.uri(project), logged(project, run)
    commit_all(project)
    setup, earlier = f"import mlflow\nmlflow.set_tracking_uri({uri!r})", EARLIER.format(run=run)
    with kernel(project) as k:
        for source in ("%load_ext nbledger", setup, PLAIN, earlier, TUNE, SCORE, FAILS):
            cell = k.run(source)
            assert cell.status == "ok", cell.traceback
    score, tune = ledger.run(project, "score"), ledger.run(project, "tune")
    assert modeluse.read(score.data.tags[modeluse.TAG]) == (ModelUse("wine", "1", model_id, run, "champion"),)
    stored = ledger.client(uri).get_run(score.info.run_id)
    assert [one.model_id for one in stored.inputs.model_inputs] == [model_id]
    # a cell that needs what an earlier one loaded; the same model by two names is one
    assert modeluse.read(tune.data.tags[modeluse.TAG]) == (ModelUse("wine", "1", model_id, run, ""),)
    for name in ("plain", "fails"):
        assert modeluse.TAG not in ledger.run(project, name).data.tags
    held = json.loads(ledger.artifact(project, score.info.run_id, "nbledger/inputs.json").read_text())
    assert [one["name"] for one in held["models"]] == ["wine"]

    found = asked("score", "--offline")
    told = {edge for edge in edges(found) if edge[1] != "ran"}
    assert told == {
        ("wine/1", "loaded as champion", "score"),
        ("train", "logged", "wine/1"),
        ("data.csv", "read", "train"),
    }
    assert node(found, "wine/1")["aliases"] == ["champion"]
    text = asking("score", "--offline").text
    assert "comes from 1 run, 1 commit, 1 model version and 1 data version" in text
    assert "loaded as champion by score" in text

    found = asked("--back", "models:/wine@champion", "--offline")
    assert {edge for edge in edges(found) if edge[1] != "ran"} == {
        ("wine/1", "loaded as champion", "score"),
        ("wine/1", "loaded", "tune"),
        ("score", "wrote", "scores.txt"),
        ("tune", "wrote", "tuned.txt"),
    }
    assert asking("--back", "models:/wine/1", "--offline").text.startswith("models:/wine/1 was loaded by 2 runs\n")
    found = asked("--back", "data.csv", "--offline")
    assert (labels(found, "run"), labels(found, "model")) == (["score", "train", "tune"], ["wine/1"])
    events = [json.loads(line) for line in asking("score", "--offline", "--openlineage").text.splitlines()]
    (done,) = [one for one in events if one["eventType"] == "COMPLETE" and one["inputs"][0]["name"] == "models/wine"]
    assert done["inputs"][0]["facets"]["version"]["datasetVersion"] == "1"

    # a model that a run logged and loaded again did not come from elsewhere
    ledger.client(uri).set_tag(run, modeluse.TAG, modeluse.text([ModelUse("wine", "1", model_id, run)]))
    assert labels(asked("train", "--offline"), "model") == []
    for wrong, said in (("models:/wine", "names no version"), ("models:/beer/1", "no registered model 'beer'")):
        with pytest.raises(UsageError, match=said):
            asked("--back", wrong)


def test_the_tag_of_models_that_were_loaded() -> None:
    uses = (
        ModelUse("wïne/red", "3", "m-1", "a" * 32, "champion"),
        ModelUse("", "", "m-2", "b" * 32),
        ModelUse("old", "1", "", "c" * 32),
    )
    assert modeluse.read(text := modeluse.text(uses)) == uses
    assert text.isascii()
    assert len(modeluse.text(ModelUse("n" * 200, f"{n}", "m-", "r" * 32) for n in range(100))) <= 4_000
    for bad in (None, "", "[1]", "{", '{"a": 1}', '{"a": [1]}', "[" * 100_000, '{"a": ["b", "c"]}'):
        assert modeluse.read(bad) == ()
    assert modeluse.distinct((ModelUse("", "", "m-1", "r"), ModelUse("wine", "1", "m-1", "r"))) == (
        ModelUse("wine", "1", "m-1", "r"),
    )
    assert uses[0].words == "wïne/red/3 (as champion, m-1)"
