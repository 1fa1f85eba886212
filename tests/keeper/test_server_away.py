"""Promise 6: a tracking server that is away, before, during or after a run, delays nobody and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from kernels import kernel
from ledger import client, flush, runs
from nbledger.core import trust
from nbledger.core.project import find
from nbledger.keeper import client as keeper
from servers import Server, mlflow_server, postgres

CODE = """%%mlrun {name} -p n=1 -m v
from nbledger import log
for i in range(20):
    log(loss=i, step=i)
v = 7
v"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as store, mlflow_server(folder, store) as started:
        yield started


def use(project: Path, server: Server) -> None:
    (project / ".nbledger.toml").write_text(f'tracking_uri = "{server.uri}"\nexperiment = "{project.parent.name}"\n')
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Use the server")


def timed(k, code: str) -> float:
    begun = time.monotonic()
    cell = k.run(code)
    assert cell.result == "7", cell
    return time.monotonic() - begun


def found(project: Path, server: Server, name: str):
    return [r for r in runs(project, server.uri, flushed=False) if r.info.run_name == name]


def wait_published(project: Path, server: Server, name: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = flush(project)
        if "is published" in said and [r.info.status for r in found(project, server, name)] == ["FINISHED"]:
            return
        time.sleep(0.5)
    raise AssertionError(f"{name} was not published: {said}")


def check_whole(project: Path, server: Server, name: str) -> None:
    wait_published(project, server, name)
    (run,) = found(project, server, name)
    assert run.data.params["n"] == "1" and run.data.metrics["v"] == 7
    assert len(client(server.uri).get_metric_history(run.info.run_id, "loss")) == 20


def test_a_server_on_postgresql_gets_everything(project: Path, server: Server) -> None:
    use(project, server)
    with kernel(project) as k:
        timed(k, CODE.format(name="there"))
    check_whole(project, server, "there")


def test_the_table_of_runs_of_a_server_that_comes_and_goes(project: Path, server: Server) -> None:
    """Others' runs are found by looking; what waits in the journals while it is away is there under a journal's name."""
    use(project, server)
    here = find(project)
    trust.trust(here)  # else a server that the project names is not asked
    api = client(server.uri)
    experiment = api.create_experiment(here.experiment)
    other = api.create_run(experiment, run_name="other").info.run_id
    keeper.ask(here, "state", start=True)
    rows: dict[str, dict[str, Any]] = {}
    version = keeper.ask(here, "table")["version"] - 1

    def until(name: str, **wanted: Any) -> dict[str, Any]:
        nonlocal version
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = keeper.ask(here, "table_changes", {"since": version})
            version = found["version"]
            rows.update((row["run_id"], row) for row in found["runs"])
            for gone in found["removed"]:
                rows.pop(gone, None)
            fits = [r for r in rows.values() if r["name"] == name and {k: r[k] for k in wanted} == wanted]
            if fits:
                return {**fits[0], "reachable": found["tracking"]["reachable"]}
            time.sleep(0.5)
        raise AssertionError(f"{name} is never {wanted}: {rows}")

    until("other", status="RUNNING")
    api.log_metric(other, "loss", 3)
    until("other", metrics={"loss": 3.0})
    api.set_terminated(other)
    until("other", status="FINISHED", run_id=other)
    server.stop()
    with kernel(project) as k:
        timed(k, CODE.format(name="away"))
    waiting = until("away", status="FINISHED")
    assert waiting["reachable"] is False and waiting["tags"]["nbledger.pending"] == "true" and other in rows
    server.start()
    there = until("away", status="FINISHED", metrics={"loss": 19.0, "v": 7.0}, experiment_id=experiment)
    assert (
        there["reachable"] is True and there["run_id"] != waiting["run_id"] and "nbledger.pending" not in there["tags"]
    )
    assert sorted(row["name"] for row in rows.values()) == ["away", "other"]
    curve = keeper.ask(here, "series", {"run": [there["run_id"]], "key": ["loss"], "points": 5})["series"]
    assert [step for step, _, _ in curve[there["run_id"]]["loss"]][::4] == [0, 19]
    # Who noted the id that it bore while it waited finds the run by it.
    for known in (waiting["run_id"], waiting["run_id"][:8]):
        assert keeper.ask(here, "show", {"run": known}).run_id == there["run_id"]
