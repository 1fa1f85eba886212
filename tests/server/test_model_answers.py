"""What a real server answers about models in production, held against ``openapi.yaml``; and what plain MLflow says after each deed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from approvals import Team
from conftest import commit_all, make_repository
from server.jupyter import Server, started
from server.test_answers import ask, route_of

SETTINGS = """
[gates.release]
if = "accuracy > champion.accuracy"
first = "accuracy > 0.8"
approvals = 1
[gates.light]
if = "accuracy > 0.5"
[models.wine]
gate = "release"
aliases = {staging = "light"}
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Team]]:
    """A served project of two people. The server is Ada's."""
    root = tmp_path_factory.mktemp("served")
    with started(root, tmp_path_factory.mktemp("home")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.env.items():
            patch.setenv(name, value)
        make_repository(root / "wine")
        (root / "wine" / ".nbledger.toml").write_text(SETTINGS)
        (root / "wine" / "live.csv").write_text("a,b\n1,2\n")
        (root / "wine" / "analysis.ipynb").write_text("{}")
        commit_all(root / "wine")
        yield running, Team(root / "wine")


def preview(server: Server, kind: str, **words: Any) -> dict[str, Any]:
    found: dict[str, Any] = ask(server, "GET", "preview", kind=kind, **words)
    return found


def refused(server: Server, method: str, path: str, **words: Any) -> str:
    """What is said in place of a result; what is refused is what nbledger could not do (502), as on the command line."""
    reply = server.call(route_of(method, path), words, path="wine/analysis.ipynb")
    assert reply.status in (400, 502), reply.body[:1_000]
    return str(reply.json["error"]["error"])


def test_a_model_is_judged_promoted_approved_and_rolled_back_over_http(team: tuple[Server, Team]) -> None:
    server, people = team
    assert ask(server, "GET", "models/production") == {"waiting": [], "serving": [], "problems": []}
    first = people.run("first", by="ben", accuracy=0.85)
    known = ask(server, "GET", "models")
    assert [(one["name"], one["approvals"]) for one in known["gates"]] == [("release", 1), ("light", 0)]
    assert {(one["alias"], one["gate"]) for one in known["demands"]} == {("champion", "release"), ("staging", "light")}

    judged = ask(server, "GET", "models/judge", run=first, model="wine", gate="release")
    assert (judged["passed"], judged["dry"], judged["approvals"], judged["gates"]) == (True, True, 1, ["release"])
    assert [clause["holds"] for clause in judged["clauses"]] == [True]
    assert people.api.search_registered_models() == [], "looking makes nothing"
    stricter = ask(server, "GET", "models/judge", run=first, model="wine", condition="accuracy > 0.99")
    assert (stricter["passed"], len(stricter["denials"])) == (False, 1)
    assert "there is no gate" in refused(server, "GET", "models/judge", run=first, model="wine", gate="none")
    assert refused(server, "GET", "models/judge", run=first, model="wine", condition="accuracy >")
    assert "demands" in refused(server, "POST", "promote", run=first, model="wine", alias="champion")

    with people.being("ben"):
        done = ask(server, "POST", "models/promote", run=first, model="wine", gate="release")
    assert (done["passed"], done["version"], done["pending"]["needed"]) == (False, "1", 1)
    assert people.aliases() == {"candidate": "1"}
    (waits,) = ask(server, "GET", "models/production")["waiting"]
    assert (waits["version"], waits["alias"], waits["run_name"], waits["figures"]) == (
        "1",
        "champion",
        "first",
        {"accuracy": 0.85},
    )
    assert not waits["mine"], "the server's person asked for it"
    said = preview(server, "approve", model="wine", version="1")
    assert "another person" in said["refused"]["error"]
    assert ask(server, "POST", "models/approve", model="wine", version="1", text="me")["outcome"] == "denied"
    assert people.approve("cleo").moved

    second = people.run("second", by="ben", accuracy=0.9)
    asked = people.ask(second, by="ben")
    (waits,) = ask(server, "GET", "models/production")["waiting"]
    assert (waits["mine"], waits["holder"]) == (True, "1")
    said = preview(server, "approve", model="wine", version=asked.version)
    assert said["lines"][-1] == "the alias champion points at version 2, no longer at version 1"
    assert preview(server, "refuse", model="wine", version=asked.version)["refused"] is None
    done = ask(server, "POST", "models/approve", model="wine", version=asked.version, text="good")
    assert (done["outcome"], done["moved"]) == ("approved", True)
    assert people.aliases() == {"champion": "2", "previous": "1"}

    said = preview(server, "rollback", model="wine", alias="champion")
    assert said["overwrites"] == ["champion points at version 1, no longer at version 2"]
    back = ask(server, "POST", "models/rollback", model="wine", alias="champion")
    assert (back["version"], back["previous"]) == ("1", "2")
    assert people.aliases()["champion"] == "1"
    assert preview(server, "rollback", model="wine", alias="champion")["refused"], "nothing is before it"
    record = ask(server, "GET", "models/decisions", model="wine")
    assert [one["kind"] for one in record["decisions"]] == [one["kind"] for one in people.decisions()]
    assert record["decisions"][-1]["kind"] == "rollback"
    origin = ask(server, "GET", "models/ancestry", name="wine/2")
    assert {node["kind"] for node in origin["nodes"]} >= {"model", "run"}
    assert "registered model" in refused(server, "GET", "models/decisions", model="nothing")


def test_what_would_be_served_or_compared_is_said_first(team: tuple[Server, Team]) -> None:
    server, people = team
    run = people.run("served", accuracy=0.95)
    people.ask(run)
    number = people.api.get_model_version_by_alias("wine", "candidate").version
    said = preview(server, "deploy", model="wine", version=str(number))
    assert "no recorded digest" in said["refused"]["error"], "nothing is served whose files cannot be checked"
    assert "not served here" in preview(server, "undeploy", model="wine")["refused"]["error"]
    assert "not served here" in refused(server, "POST", "models/undeploy", model="wine")
    said = preview(server, "drift", model="wine", version=str(number), file="live.csv")
    assert said["lines"][0] == f"live.csv is compared with the data that wine version {number} was trained on"
    one = {"model": "wine", "version": str(number)}
    assert "there is no" in preview(server, "drift", **one, file="nowhere.csv")["refused"]["error"]
    assert "no table" in preview(server, "drift", **one, file=".nbledger.toml")["refused"]["error"]
    said = preview(server, "drift", **one, file="live.csv", reference="live.csv")
    assert said["lines"][:2] == [
        "live.csv is compared with live.csv",
        "  as it is now: it is not among what the model's run read",
    ]
    assert (
        "there is no" in preview(server, "drift", **one, file="live.csv", reference="nowhere.csv")["refused"]["error"]
    )
    words = {"kind": "drift", **one, "file": "live.csv", "reference": "../out.csv"}
    assert "not a path within the project" in refused(server, "GET", "preview", **words)
    assert preview(server, "drift", model="<b>", file="live.csv")["refused"]["code"] == 2


def test_looking_needs_a_person_whom_the_server_knows(team: tuple[Server, Team]) -> None:
    server, _ = team
    stranger = replace(server, token="0" * 32)
    for method, path in (("GET", "models/production"), ("POST", "models/approve"), ("POST", "models/promote")):
        reply = stranger.call(route_of(method, path), {}, path="wine/analysis.ipynb")
        assert reply.status == 403
