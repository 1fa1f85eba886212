"""What a real server answers about a real project, held against ``openapi.yaml``, and plain tools after each deed."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from conftest import commit_all, make_repository, run
from e2e.browser import write_notebook
from kernels import kernel
from nbledger.server.routes import ROUTES, Route
from server import openapi
from server.jupyter import Reply, Server, started

HOSTILE = "<img src=x onerror=alert(1)>\u202e\"'{}\\ " + "x" * 200
DESCRIPTION = yaml.safe_load(openapi.FILE.read_text())
CELL = """%%mlrun first -p depth=3 -m total --tag team=a
from nbledger import log
for step in range(5):
    log(loss=1 / (1 + step), step=step)
total = sum(map(int, open("data.csv")))"""
STAGES = """\
stages:
  double:
    cmd: python double.py
    deps: [data.csv, double.py]
    outs: [out.txt]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    with started(root, tmp_path_factory.mktemp("home")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.env.items():
            patch.setenv(name, value)
        _fill(root / "wine")
        job = ask(running, "POST", "jobs", kind="track", paths=["data.csv"], message="Data")
        assert _ended(running, job["id"])["state"] == "done"
        assert ask(running, "POST", "flush")["left"] == 0
        yield running


def _fill(root: Path) -> None:
    make_repository(root)
    (root / "data.csv").write_text("1\n2\n")
    (root / "double.py").write_text("open('out.txt', 'w').write('6')\n")
    (root / "dvc.yaml").write_text(STAGES)
    write_notebook(root / "analysis.ipynb", ["1 + 1"])
    commit_all(root)
    with kernel(root) as here:
        here.run("%load_ext nbledger")
        assert "first" in here.run(CELL).shown
        assert "second" in here.run(CELL.replace("first", "second").replace("depth=3", "depth=4")).shown


def route_of(method: str, path: str) -> Route:
    return next(route for route in ROUTES if (route.method, route.path) == (method, path))


def ask(server: Server, method: str, path: str, **words: Any) -> Any:
    """A route's result, which is what the description says."""
    reply = server.call(route_of(method, path), words, path="wine/analysis.ipynb")
    assert reply.status == 200, reply.body[:2_000]
    _fits(reply, method, path, "200")
    return reply.json["result"]


def _fits(reply: Reply, method: str, path: str, status: str) -> None:
    described = DESCRIPTION["paths"][f"/{path}"][method.lower()]["responses"][status]
    if "$ref" in described:
        described = DESCRIPTION["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
    schema = described["content"]["application/json"]["schema"] | {"components": DESCRIPTION["components"]}
    problems = [f"{e.json_path}: {e.message[:300]}" for e in Draft202012Validator(schema).iter_errors(reply.json)]
    assert not problems, (method, path)
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"


def git(server: Server, *words: str) -> str:
    return run("git", *words, cwd=server.root / "wine", env=server.env)


def test_every_question_is_answered_as_described(server: Server) -> None:
    state = ask(server, "GET", "state")
    assert (state["base"], state["root"]) == ("wine", str(server.root / "wine"))
    table = ask(server, "GET", "runs", limit=100)
    names = {one["name"]: one["run_id"] for one in table["runs"]}
    assert {"first", "second"} <= set(names)
    first, second = names["first"], names["second"]

    changes = ask(server, "GET", "runs/changes", since=table["version"])
    assert changes["total"] == table["total"]
    assert first in ask(server, "GET", "runs/search", text="params.depth = '3'")["ids"]
    series = ask(server, "GET", "runs/series", run=[first, second], key=["loss"], points=3)
    assert series["series"][first]["loss"]
    assert ask(server, "GET", "runs/detail", run=first)["params"]["depth"] == "3"
    assert ask(server, "GET", "runs/notebook", run=first)["notebook"]["cells"]
    found = ask(server, "GET", "compare", run=[first, second], all=True)
    assert found["params"]["depth"] == ["3", "4"]
    ask(server, "GET", "compare", run=[first, "."])
    ask(server, "GET", "compare/notebook", a=first, b=second)
    assert "depth" in ask(server, "GET", "compare/markdown", run=[first, second])["markdown"]
    for file in ("data.csv", "double.py", "analysis.ipynb"):
        ask(server, "GET", "diff", file=file)
    assert ask(server, "GET", "versions", file="data.csv")["versions"]
    assert ask(server, "GET", "pipeline")["nodes"]
    for kind, words in {"push": {}, "track": {"paths": ["data.csv"]}, "delete": {"run": first}}.items():
        ask(server, "GET", "preview", kind=kind, **words)
    ask(server, "GET", "models")
    assert {one["kind"] for one in ask(server, "GET", "jobs")["jobs"]} == {"track"}


def test_deeds_do_what_plain_tools_then_see(server: Server) -> None:
    root = server.root / "wine"
    before = git(server, "rev-parse", "HEAD")
    (root / "double.py").write_text("open('out.txt', 'w').write('7')\n")
    done = ask(server, "POST", "checkpoint", message="Seven", paths=["double.py"])
    assert git(server, "log", "-1", "--format=%H %s") == f"{done['commit']} Seven"
    assert ask(server, "POST", "undo", commit=done["commit"])["head"] == before
    assert git(server, "rev-parse", "HEAD") == before

    (root / "data.csv").write_text("5\n")
    job = ask(server, "POST", "jobs", kind="track", paths=["data.csv"], message="Five")
    assert _ended(server, job["id"])["state"] == "done"
    assert git(server, "log", "-1", "--format=%s") == "Five"
    assert ask(server, "POST", "versions/use", file="data.csv", commit=git(server, "rev-parse", "HEAD~1"))
    assert (root / "data.csv").read_text() == "1\n2\n"
    assert isinstance(ask(server, "POST", "init"), list)
    assert ask(server, "POST", "flush")["left"] == 0


def _ended(server: Server, job: str) -> dict[str, Any]:
    for _ in range(600):
        (found,) = (one for one in ask(server, "GET", "jobs")["jobs"] if one["id"] == job)
        if found["state"] != "running":
            return found
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def test_hostile_names_pass_through_as_text(server: Server) -> None:
    named = {one["name"]: one["run_id"] for one in ask(server, "GET", "runs")["runs"]}
    second = named["second"]
    ask(server, "POST", "runs/rename", run=second, name=HOSTILE)
    ask(server, "POST", "runs/tag", run=second, tags={"team": HOSTILE[:200]})
    ask(server, "POST", "runs/note", run=second, text=f"# {HOSTILE}")
    detail = ask(server, "GET", "runs/detail", run=second)
    assert detail["run"]["name"] == HOSTILE
    assert detail["tags"]["team"] == HOSTILE[:200]
    assert detail["note"] == f"# {HOSTILE}"
    ask(server, "POST", "runs/delete", run=second)
    assert second not in {one["run_id"] for one in ask(server, "GET", "runs")["runs"]}
    ask(server, "POST", "runs/restore", run=second)
    assert second in {one["run_id"] for one in ask(server, "GET", "runs")["runs"]}


def test_errors_are_as_described(server: Server) -> None:
    for status, how in {
        "400": {"words": {"run": "no-such-run"}, "path": "wine"},
        "404": {"words": {"run": "x"}, "path": "nowhere"},
        "403": {"words": {"run": "x"}, "path": "wine", "headers": {}},
    }.items():
        reply = server.call(route_of("GET", "runs/detail"), **how)
        assert str(reply.status) == status
        assert isinstance(reply.json["error"]["hint"], str)


def test_a_large_answer_travels_compressed_to_whoever_can_read_it(server: Server) -> None:
    (server.root / "wine" / "long.txt").write_text("".join(f"{n} lines that are much alike\n" for n in range(4_000)))
    route = route_of("GET", "diff")
    bare = server.call(route, {"file": "long.txt"}, path="wine")
    packed = server.call(
        route, {"file": "long.txt"}, path="wine", headers=server.known | {"Accept-Encoding": "br, gzip"}
    )
    (server.root / "wine" / "long.txt").unlink()
    assert "content-encoding" not in bare.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.body)) == bare.json
    assert len(packed.body) < len(bare.body) / 4


def test_a_folder_without_a_ledger_is_looked_at_and_left_as_it_is(server: Server) -> None:
    place = server.root / "plain"
    place.mkdir(exist_ok=True)
    reply = server.call(route_of("GET", "state"), {}, path="plain")
    assert reply.status == 200, reply.body
    _fits(reply, "GET", "state", "200")
    assert reply.json["result"]["code"]["repository"] is False
    refused = server.call(route_of("GET", "runs"), {}, path="plain")
    assert refused.status == 400
    assert refused.json["error"]["error"] == "there is no ledger in this folder"
    assert list(place.iterdir()) == []
    made = server.call(route_of("POST", "init"), {}, path="plain")
    assert made.status == 200, made.body
    assert (place / ".git").is_dir()
    assert (place / ".dvc").is_dir()


def test_without_a_keeper_questions_are_answered_and_long_work_is_refused(server: Server) -> None:
    place = make_repository(server.root / "quiet")
    (place / ".nbledger.toml").write_text("keeper = false\n")
    (place / "code.py").write_text("1\n")
    state = server.call(route_of("GET", "state"), {}, path="quiet")
    assert state.status == 200, state.body
    _fits(state, "GET", "state", "200")
    assert "code.py" in state.json["result"]["code"]["untracked"]
    done = server.call(route_of("POST", "checkpoint"), {"message": "Code", "paths": ["code.py"]}, path="quiet")
    assert done.status == 200, done.body
    assert run("git", "log", "-1", "--format=%s", cwd=place, env=server.env) == "Code"
    refused = server.call(route_of("POST", "jobs"), {"kind": "push"}, path="quiet")
    assert (refused.status, refused.json["error"]["code"]) == (400, 2)
    assert "want no keeper" in refused.json["error"]["error"]
