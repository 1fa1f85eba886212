"""``nbledger deploy``: real models served by ``mlflow models serve``, from the check of their files to the record."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import client, uri
from nbledger.core import mlflow_decisions, trust
from nbledger.core.project import find
from nbledger.keeper import calls
from requestload import Load
from servedmodels import registered, saved

ASKED = '{"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0], [4.0]]}}'


@pytest.fixture(autouse=True)
def stopped(project: Path) -> Iterator[None]:
    trust.trust(find(project))
    yield
    for one in calls.perform(find(project), "deployments", {}):
        calls.perform(find(project), "undeploy", {"model": one.model})


def nbledger(root: Path, *words: str, code: int = 0) -> Any:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout or done.stderr) if "--json" in words else done.stdout + done.stderr


def predictions(port: int) -> Any:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", ASKED.encode())
    asked.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.headers["X-Model-Version"], json.load(answer)["predictions"]


def decisions(root: Path, model: str) -> list[tuple[str, str | None, str | None]]:
    found = mlflow_decisions.read(client(uri(root)), uri(root), model) or ()
    return [(one.kind, one.version, one.previous) for one in found]


def test_versions_are_served_by_mlflow_without_a_failed_request(project: Path, tmp_path: Path) -> None:
    registered(project, "wine", saved(tmp_path / "one", 2.0, expected=[2.0, 4.0]))
    first = nbledger(project, "deploy", "wine@champion", "--watch", "0", "--json")
    assert (first["ok"], first["serving"], first["previous"]) == (True, "1", None)
    port = int(first["endpoint"].rpartition(":")[2])
    assert predictions(port) == ("1", pytest.approx([2.0, 4.0, 8.0]))
    factor = {"1": 2.0, "2": 3.0}

    def right(by: str, told: Any) -> bool:
        return by in factor and told == pytest.approx([factor[by], 2 * factor[by], 4 * factor[by]])

    with Load(port, [ASKED], right) as load:
        registered(project, "wine", saved(tmp_path / "two", 3.0))
        assert "in place of version 1" in nbledger(project, "deploy", "wine", "--watch", "3")
        registered(project, "wine", saved(tmp_path / "three", 0, "raises"))
        said = nbledger(project, "deploy", "wine", code=1)
        assert "it answers its own input example with 400" in said
        assert "version 2 goes on serving" in said
    assert load.failed == []
    assert load.answered["2"] > 0
    assert predictions(port)[0] == "2"
    assert decisions(project, "wine") == [("deployed", "1", None), ("deployed", "2", "1"), ("returned", "3", "2")]
    tags = client(uri(project)).get_model_version("wine", "3").tags
    assert tags["nbledger.deployed.verdict"].startswith("returned: it answers")
    assert "version 2  http" in nbledger(project, "deploy", "--list")
    assert nbledger(project, "deploy", "wine/2", "--json")["step"] == "nothing"
    nbledger(project, "deploy", "wine", "--stop")
    assert nbledger(project, "deploy", "--list") == "no model is served here\n"
