"""The registry: what it holds, the way of a run's model into it, and its aliases; on SQLite and on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbledger.core import mlflow_registry, trust
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.keeper import deeds_models
from servers import Server, mlflow_server, postgres
from test_run_views import api, ask, made


@pytest.fixture(autouse=True)
def trusted(project: Path) -> None:
    """Where a project's own store says that artifacts are is believed of a trusted one."""
    trust.trust(find(project))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, mlflow_server(folder, store) as started:
        yield started


def log_model(root: Path, run: str, name: str) -> str:
    """A logged model of MLflow 3, whose file nobody could load: a pickle that ends the process."""
    client = api(root)
    model = client.create_logged_model(client.get_run(run).info.experiment_id, name=name, source_run_id=run)
    folder = root.parent / model.model_id
    folder.mkdir()
    (folder / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: mlflow.sklearn, model_path: model.pkl}}\n"
    )
    (folder / "model.pkl").write_bytes(b"cos\n_exit\n(I3\ntR.")
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def journey(project: Path) -> None:
    """Into the registry, on to the next version, back, and out of it."""
    client = api(project)
    tags = {"mlflow.source.git.commit": "a" * 40, "mlflow.source.name": "train.ipynb"}
    first, second = made(project, "first", tags=tags), made(project, "second")
    client.log_metric(first, "accuracy", 0.9)
    one, two = log_model(project, first, "clf"), log_model(project, second, "clf")
    assert ask(project, "detail", run="first")["logged_models"] == ["clf"]
    wanted = {"run": "first", "model": "wine ü", "alias": "champion", "logged": "clf"}
    said = deeds_models.preview_promote(find(project), wanted)
    assert (said.refused, said.overwrites) == (None, ())
    assert said.lines[0] == "the registered model wine ü is made"
    assert ask(project, "models")["models"] == []

    done = ask(project, "promote", **wanted)
    assert done == {
        "model": "wine ü",
        "version": "1",
        "alias": "champion",
        "previous": None,
        "created": True,
        "run_id": first,
    }
    version = client.get_model_version_by_alias("wine ü", "champion")
    assert (str(version.version), version.run_id, version.source) == ("1", first, f"models:/{one}")
    links = json.loads(client.get_logged_model(one).tags["mlflow.modelVersions"])
    assert [(link["name"], str(link["version"])) for link in links] == [("wine ü", "1")]
    again = ask(project, "promote", **wanted)
    assert (again["version"], again["created"]) == ("1", False)  # the same model is no second version

    said = deeds_models.preview_promote(find(project), {**wanted, "run": "second"})
    assert said.overwrites == ("the alias champion points at it, no longer at version 1",)
    done = ask(project, "promote", run="second", model="wine ü", alias="champion", logged="")
    assert (done["version"], done["previous"]) == ("2", "1")
    undone = ask(project, "alias", model="wine ü", alias="champion", version=done["previous"])
    assert undone["previous"] == "2"
    assert client.get_model_version_by_alias("wine ü", "champion").run_id == first
    ask(project, "alias", model="wine ü", alias="challenger", version="2")
    client.set_model_version_tag("wine ü", "2", "nbledger.gate.verdict", "accuracy > 0.8")

    (model,) = ask(project, "models")["models"]
    assert model["aliases"] == {"champion": "1", "challenger": "2", "previous": "2"}
    newest, oldest = model["versions"]
    assert (newest["version"], newest["gate"], newest["aliases"]) == (
        "2",
        {"verdict": "accuracy > 0.8"},
        ["challenger", "previous"],
    )
    assert (oldest["run_name"], oldest["metrics"], oldest["commit"]) == ("first", {"accuracy": 0.9}, "a" * 40)
    (made_from,) = ask(project, "detail", run="second")["models"]
    assert made_from == newest

    client.delete_run(first)
    assert ask(project, "models")["models"][0]["versions"][1]["run_name"] == "first"
    with pytest.raises(Refused, match="deleted"):
        ask(project, "promote", run=first, model="wine ü", alias="", logged="clf")
    assert ask(project, "bring_back", run=first)["runs"] == [first]
    assert ask(project, "alias", model="wine ü", alias="challenger", version=None)["previous"] == "2"
    assert {k: str(v) for k, v in client.get_registered_model("wine ü").aliases.items()} == {
        "champion": "1",
        "previous": "2",
    }
    assert two != one


def test_a_model_goes_into_the_registry_and_its_alias_back(project: Path) -> None:
    journey(project)


def test_the_same_on_a_server(project: Path, server: Server) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "plain"\n')
    journey(project)
    client, parent = api(project), made(project, "parent")
    child = made(project, "child", tags={"mlflow.parentRunId": parent})
    ask(project, "set_tags", run="parent", tags={"k": "v", "gone": None})
    ask(project, "rename", run=parent, name="renamed")
    ask(project, "note", run=parent, text="seen")
    run = client.get_run(parent)
    assert (run.info.run_name, run.data.tags["k"], run.data.tags["mlflow.note.content"]) == ("renamed", "v", "seen")
    for step in range(3):
        client.log_metric(child, "loss", float("inf") if step == 1 else step, step=step, timestamp=step)
    assert ask(project, "detail", run="child")["series"] == {"loss": [[0, 0.0, 0], [1, "inf", 1], [2, 2.0, 2]]}
    assert [r["run_id"] for r in ask(project, "detail", run="renamed")["children"]] == [child]
    assert ask(project, "delete", run=parent)["runs"] == [parent, child]
    assert client.get_run(child).info.lifecycle_stage == client.get_run(parent).info.lifecycle_stage == "deleted"
    assert ask(project, "bring_back", run=parent)["runs"] == [parent, child]
    assert client.get_run(child).info.lifecycle_stage == "active"


def test_what_cannot_be_promoted_is_refused_before_anything_is_made(project: Path) -> None:
    run = made(project, "bare")
    plan: dict[str, Any] = {"run": run, "model": "wine", "alias": "champion", "logged": ""}
    with pytest.raises(UsageError, match="logged no model"):
        ask(project, "promote", **plan)
    log_model(project, run, "clf")
    newest = log_model(project, run, "clf")
    log_model(project, run, "other")
    for changed, said in (
        ({}, "logged 2 models"),
        ({"logged": "clg"}, "no model 'clg' — did you mean clf"),
        ({"logged": "clf", "model": "a/b"}, "cannot be a model's name"),
        ({"logged": "clf", "model": " "}, "cannot be a model's name"),
        ({"logged": "clf", "alias": "latest"}, "cannot be an alias"),
        ({"logged": "clf", "alias": "v1"}, "cannot be an alias"),
        ({"logged": "clf", "alias": "a b"}, "cannot be an alias"),
    ):
        with pytest.raises(UsageError, match=said):
            ask(project, "promote", **plan | changed)
        refused = deeds_models.preview_promote(find(project), plan | changed).refused
        assert refused is not None
        assert refused["code"] == 2
    client = api(project)
    assert client.search_registered_models() == []
    ask(project, "promote", **plan | {"logged": "clf", "alias": ""})
    assert client.get_model_version("wine", "1").source == f"models:/{newest}"  # of several of one name the newest
    assert client.get_registered_model("wine").aliases == {}
    for model, version, said in (
        ("wime", "1", "no registered model"),
        ("wine", "7", "no version 7"),
        ("wine", "x", "no version x"),
    ):
        with pytest.raises(UsageError, match=said):
            ask(project, "alias", model=model, alias="champion", version=version)
    assert ask(project, "alias", model="wine", alias="champion", version=None)["previous"] is None


def test_a_model_of_mlflow_2_lies_among_the_artifacts(project: Path) -> None:
    client, run = api(project), made(project, "old")
    client.log_text(run, "flavors: {}", "model/MLmodel")
    history = [{"run_id": run, "artifact_path": "model", "flavors": {}}]
    client.set_tag(run, "mlflow.log-model.history", json.dumps(history))
    assert ask(project, "detail", run=run)["logged_models"] == ["model"]
    ask(project, "promote", run=run, model='it\'s "old"', alias="champion", logged="model")
    version = client.get_model_version('it\'s "old"', "1")
    assert version.run_id == run
    assert version.source == f"{client.get_run(run).info.artifact_uri}/model"
    assert [m["name"] for m in ask(project, "models")["models"]] == ['it\'s "old"']


def test_very_many_versions_are_cut_but_those_in_use_are_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = api(project), made(project, "r")
    client.create_registered_model("many")
    for _ in range(52):
        client.create_model_version("many", "file:///nowhere", run)
    client.set_registered_model_alias("many", "champion", "1")
    found = ask(project, "models")
    assert [v["version"] for v in found["models"][0]["versions"]] == [*(str(n) for n in range(52, 2, -1)), "1"]
    assert found["notes"] == ["the newest 50 versions and those in use are shown of many"]
    monkeypatch.setattr(mlflow_registry, "_MOST_PAGES", 0)  # as if there were tens of thousands
    assert ask(project, "models") == found
    monkeypatch.setattr("mlflow.MlflowClient.search_registered_models", _fails)
    with pytest.raises(LedgerError, match="disk I/O error"):
        ask(project, "models")


def _fails(*_: Any, **__: Any) -> Any:
    raise OSError("disk I/O error")
