"""The events of ``nbledger lineage --openlineage``, against the schemas of OpenLineage itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from conftest import commit_all, git
from nbledger.core import openlineage, trust
from nbledger.core.ancestry_graph import Ancestry, Node
from nbledger.core.project import find
from nbledger.keeper.calls import perform
from recordedruns import file, md5, recorded
from test_run_views import api

SCHEMAS = Path(__file__).parent / "openlineage"


def registry() -> Registry[Any]:
    files = (SCHEMAS / "OpenLineage.json", *(SCHEMAS / "facets").glob("*.json"))
    found = [json.loads(path.read_text()) for path in files]
    return Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in found)


KNOWN = registry()


def check(value: Any, url: str) -> None:
    """``value`` against the definition that it names itself, formats too."""
    checker = Draft202012Validator.FORMAT_CHECKER
    assert {"uri", "uuid", "date-time"} <= set(checker.checkers)
    Draft202012Validator({"$ref": url}, registry=KNOWN, format_checker=checker).validate(value)


def facets(event: Any) -> Iterator[Any]:
    for part in (event.get("run", {}), event["job"], *event["inputs"], *event["outputs"]):
        yield from part.get("facets", {}).values()


def events(root: Path, found: Ancestry) -> list[Any]:
    """The lines, each of which is valid, and its facets too."""
    told = [json.loads(line) for line in openlineage.lines(find(root), found).splitlines()]
    for event in told:
        check(event, event["schemaURL"])
        check(event, "https://openlineage.io/spec/2-0-2/OpenLineage.json")
        for facet in facets(event):
            check(facet, facet["_schemaURL"])
    return told


def names(datasets: Any) -> dict[str, str]:
    return {one["name"]: one["facets"]["version"]["datasetVersion"] for one in datasets}


def test_every_event_of_a_lineage(project: Path) -> None:
    trust.trust(find(project))
    git(project, "remote", "add", "origin", "https://ada:secret@github.com/team/wine.git")
    commit = commit_all(project)
    store = api(project)
    code = {"mlflow.source.git.commit": commit}
    whole = recorded(project, store, 0, "repro", tags=code)
    prepare = recorded(
        project, store, 1, "prepare", (file("raw ü.csv", "raw"),), (file("clean.csv", "clean"),), tags=code
    )
    more = {**code, "nbledger.stage": "train", "mlflow.parentRunId": whole}
    train = recorded(project, store, 2, "train", (file("clean.csv", "clean"),), (file("m", "m"),), tags=more)
    recorded(project, store, 3, "broken", (file("m", "m"),), status="FAILED")
    recorded(project, store, 3, "killed", (file("m", "m"),), status="KILLED")
    store.create_registered_model("wine")
    store.create_model_version("wine", store.get_run(train).info.artifact_uri, train)

    told = events(project, perform(find(project), "ancestry", {"name": "wine/1"}))
    ids = {run: f"{run[:8]}-{run[8:12]}-{run[12:16]}-{run[16:20]}-{run[20:]}" for run in (whole, prepare, train)}
    assert [(one["eventType"], one["run"]["runId"]) for one in told] == [
        (kind, ids[run]) for run in (whole, prepare, train) for kind in ("START", "COMPLETE")
    ]
    made, trained = told[3], told[5]
    assert (names(made["inputs"]), names(made["outputs"])) == ({"raw ü.csv": md5("raw")}, {"clean.csv": md5("clean")})
    assert names(trained["inputs"]) == {"clean.csv": md5("clean")}
    (version,) = [one for one in trained["outputs"] if one["name"] == "models/wine"]
    assert version["namespace"].startswith("mlflow:sqlite:") and version["facets"]["version"]["datasetVersion"] == "1"
    assert (made["job"]["name"], trained["job"]["name"]) == ("prepare.ipynb", "train")
    assert trained["run"]["facets"]["parent"]["run"]["runId"] == ids[whole]
    place = made["job"]["facets"]["sourceCodeLocation"]
    assert (place["version"], place["path"]) == (commit, "prepare.ipynb")
    assert place["url"] == f"https://github.com/team/wine/blob/{commit}/prepare.ipynb"
    assert {one["namespace"] for e in told for one in (e["job"], *e["inputs"])} == {"https://github.com/team/wine.git"}
    assert "secret" not in json.dumps(told)
    assert told[2]["eventTime"] < told[3]["eventTime"] <= told[4]["eventTime"]

    told = events(project, perform(find(project), "descendants", {"path": "clean.csv"}))
    assert (
        [one["eventType"] for one in told][-4:].count("FAIL") == [one["eventType"] for one in told].count("ABORT") == 1
    )
    assert "models/wine" in names(
        next(one for one in told if one["job"]["name"] == "train" and one["outputs"])["outputs"]
    )


def test_stages_without_a_run_and_repositories_without_a_remote(project: Path) -> None:
    stage = Node("stage:x", "stage", "prepare", cmd="sort", missing="no run of it is recorded")
    data = Node("data:a", "data", "a", path="a", md5=md5("a"))
    unknown = Node("data:b", "data", "b", path="b")
    running = Node("run:r", "run", "now", at="2026-01-01T00:00:00.000Z", run_id="not-a-uuid", status="RUNNING")
    ties = (("data:a", "stage:x", "read"), ("stage:x", "data:b", "made"), ("data:b", "run:r", "read"))
    edges = tuple({"from": a, "to": b, "how": how} for a, b, how in ties)
    told = events(project, Ancestry("x", nodes=(stage, data, unknown, running), edges=edges))
    job, begun = told
    assert (job["job"]["name"], names(job["inputs"]), job["outputs"][0]["name"]) == ("prepare", {"a": md5("a")}, "b")
    assert "run" not in job and begun["eventType"] == "START"
    assert job["job"]["namespace"] == project.as_uri()


def test_addresses_of_repositories_are_uris(project: Path) -> None:
    for address, wanted in (
        ("git@gitlab.com:team/wine.git", "ssh://gitlab.com/team/wine.git"),
        ("https://gitlab.com/team/wine.git", f"https://gitlab.com/team/wine/-/blob/{'1' * 40}/a%20b.ipynb"),
        ("/srv/git/wine x.git", "file:///srv/git/wine%20x.git"),
        ("ssh://host/~ada/w ine", "ssh://host/~ada/w%20ine"),
    ):
        found = openlineage._file_address(openlineage._address(address), "1" * 40, "a b.ipynb")
        assert found == wanted
        check(
            {"eventTime": "2026-01-01T00:00:00Z", "producer": found, "schemaURL": found},
            f"{openlineage._SPEC}/BaseEvent",
        )
