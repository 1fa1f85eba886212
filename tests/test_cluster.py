"""``nbledger run --on``: a sweep on a real cluster of three workers that share nothing but loopback, one of them killed.

``NBLEDGER_SCORECARD=full`` runs 64 notebooks and reproduces each of them; else 12 and one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batches import notebook
from cluster import NBLEDGER, Machine, git_daemon, machine, scheduler, wait, worker
from servers import Server, postgres, s3

FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COUNT = 64 if FULL else 12
HELD = 3
"""The task that waits until it is let go."""


@dataclass
class Site:
    """The machines: ``desk`` is where the person sits, ``workers`` those of the cluster, ``other`` takes no part."""

    desk: Machine
    workers: list[Machine]
    other: Machine
    root: Path
    git: str
    uri: str
    address: str

    def runs(self, **tags: str) -> list[Any]:
        """What plain MLflow has."""
        from mlflow import MlflowClient

        api = MlflowClient(tracking_uri=self.uri)
        experiments = [e.experiment_id for e in api.search_experiments()]
        text = " and ".join(f"tags.`{key.replace('_', '.')}` = '{value}'" for key, value in tags.items())
        return list(api.search_runs(experiments, text, max_results=1000))


CELLS = (
    ("parameters", "n = 0\nlr = 0.1"),
    """
import os, pathlib, time
home = pathlib.Path(os.environ["HOME"])
if n == 3 and not (home / "go").exists():
    (home / "holds").write_text(str(os.getppid()))
    while not (home / "go").exists():
        time.sleep(0.05)
""",
    """
import csv
from features import score
from nbledger import log
with open("data/wine.csv") as file:
    rows = [float(row[0]) for row in csv.reader(file)]
result = score(rows, n, lr)
log(result=result)
print(result)
""",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("site")
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(machine(base, "servers"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for key, value in servers.env.items():
            patch.setenv(key, value)
        server = Server(servers.folder, stack.enter_context(postgres(tmp_path_factory.mktemp("pg"))))
        stack.callback(server.stop)
        starting = stack.enter_context(ThreadPoolExecutor()).submit(server.start)
        bucket = stack.enter_context(s3(tmp_path_factory.mktemp("s3"), "ledger"))
        place = base / "git"
        place.mkdir()
        url = stack.enter_context(git_daemon(place))
        keys = {"AWS_ACCESS_KEY_ID": bucket["key"], "AWS_SECRET_ACCESS_KEY": bucket["secret"]}
        there = [stack.enter_context(machine(base, name, **keys)) for name in ("desk", "other", "one", "two", "three")]
        desk, other, *workers = there
        address = scheduler(stack.enter_context(machine(base, "scheduler")))
        for each in workers:
            worker(each, address)
        root = _project(desk, place, url, bucket["endpoint"], server.uri)
        starting.result()
        yield Site(desk, workers, other, root, f"{url}/project.git", server.uri, f"dask://{address}")


def _project(desk: Machine, place: Path, url: str, endpoint: str, uri: str) -> Path:
    """The person's project: a notebook, a module, data with DVC on S3, code on the Git server, and an edit not committed."""
    root = desk.folder / "project"
    root.mkdir()
    desk.run("git", "init", "-q", "--bare", place / "project.git", cwd=place)
    desk.run("git", "init", "-q", cwd=root)
    desk.run("dvc", "init", "-q", cwd=root)
    remote = (
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = s3://ledger/data\n    endpointurl = {endpoint}\n"
    )
    (root / ".dvc" / "config").write_text(remote)
    (root / ".nbledger.toml").write_text(f'tracking_uri = "{uri}"\nexperiment = "wine"\n')
    (root / "features.py").write_text("def score(rows, n, lr):\n    return sum(rows) * lr\n")
    (root / "data").mkdir()
    (root / "data" / "wine.csv").write_text("".join(f"{i}.5\n" for i in range(200)))
    notebook(root / "train.ipynb", *CELLS)
    desk.nbledger(root, "trust")
    desk.nbledger(root, "track", "data/wine.csv")
    desk.run("git", "add", "--all", cwd=root)
    desk.run("git", "commit", "-q", "-m", "Start", cwd=root)
    desk.run("git", "remote", "add", "origin", f"{url}/project.git", cwd=root)
    desk.run("git", "push", "-q", "--set-upstream", "origin", "main", cwd=root)
    (root / "features.py").write_text("def score(rows, n, lr):\n    return sum(rows) * lr + n\n")
    return root


def test_data_that_the_remote_lacks_are_told_before_anything_starts(site: Site) -> None:
    done = site.desk.nbledger(site.root, "run", "train.ipynb", "--on", site.address, code=3)
    assert done.stderr.strip().splitlines()[-1].endswith("the data remote lacks data/wine.csv — nbledger push")
    assert not (site.root / ".nbledger" / "batches").exists() or not list(
        (site.root / ".nbledger" / "batches").iterdir()
    )


def test_a_sweep_with_a_worker_killed_in_the_middle(site: Site) -> None:
    site.desk.nbledger(site.root, "push")
    numbers = ",".join(map(str, range(COUNT)))
    words = ("run", "train.ipynb", "--sweep", f"n={numbers}", "--on", site.address, "--json")
    with open(site.desk.folder / "out", "wb") as out, open(site.desk.folder / "err", "wb") as err:
        driver = subprocess.Popen([*NBLEDGER, *words], cwd=site.root, env=site.desk.env, stdout=out, stderr=err)
    victim = wait(
        lambda: next((w for w in site.workers if (w.home / "holds").exists()), None),
        300,
        "a worker at the held notebook",
    )
    assert isinstance(victim, Machine)
    wait(lambda: [run for run in site.runs() if _number(run) == HELD], 300, "the held notebook's run on the server")
    for each in site.workers:
        if each is not victim:
            (each.home / "go").touch()
    victim.processes[0].send_signal(signal.SIGKILL)
    assert driver.wait(600) == 0, (site.desk.folder / "err").read_text()
    told = json.loads((site.desk.folder / "out").read_text())
    assert told["status"] == "FINISHED" and len(told["notebooks"]) == COUNT
    assert any("its worker was lost" in note for note in told["notes"])

    runs = [run for run in site.runs() if "nbledger.task" in run.data.tags]
    finished = [run for run in runs if run.info.status == "FINISHED"]
    assert Counter(_number(run) for run in finished) == Counter(range(COUNT))
    assert {run.info.run_id for run in finished} == {row["run_id"] for row in told["notebooks"]}
    assert [run for run in site.runs() if run.info.status == "RUNNING"] == []
    lost = [run for run in runs if run.info.status != "FINISHED"]
    assert lost and {run.info.status for run in lost} == {"KILLED"}
    assert HELD in {_number(run) for run in lost}
    assert all("nbledger.superseded" in run.data.tags for run in lost)
    (parent,) = site.runs(nbledger_batch=told["batch"])
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    _looks_local(site, finished)


def _number(run: Any) -> int:
    return int(run.data.tags.get("nbledger.task", "/-1").rpartition("/")[2])


def _looks_local(site: Site, finished: list[Any]) -> None:
    """A worker's run is recorded as one of this machine is."""
    local = json.loads(site.desk.nbledger(site.root, "run", "train.ipynb", "-p", "n=1", "--json").stdout)
    (mine,) = [run for run in site.runs() if run.info.run_id == local["notebooks"][0]["run_id"]]
    theirs = next(run for run in finished if _number(run) == 1)
    kept = set(mine.data.tags) | {"mlflow.parentRunId", "nbledger.task"}
    assert set(theirs.data.tags) == kept
    own = {"runName", "parentRunId", "journal", "manifest", "task", "snapshot", "commit"}
    same = [key for key in kept if key.rpartition(".")[2] not in own]
    assert {key: theirs.data.tags[key] for key in same} == {key: mine.data.tags[key] for key in same}
    commits = [run.data.tags["mlflow.source.git.commit"] for run in (mine, theirs)]
    trees = [site.desk.run("git", "rev-parse", f"{commit}^{{tree}}", cwd=site.root).stdout for commit in commits]
    assert trees[0] == trees[1]
    assert theirs.data.params == mine.data.params and theirs.data.metrics == mine.data.metrics
    assert [(i.dataset.name, i.dataset.digest) for i in theirs.inputs.dataset_inputs] == [
        (i.dataset.name, i.dataset.digest) for i in mine.inputs.dataset_inputs
    ]


def test_a_machine_that_took_no_part_reproduces_them(site: Site) -> None:
    clone = site.other.folder / "clone"
    site.other.run("git", "clone", "-q", site.git, clone)
    site.other.nbledger(clone, "trust")
    finished = {_number(r): r for r in site.runs() if "nbledger.task" in r.data.tags and r.info.status == "FINISHED"}
    (site.other.home / "go").touch()
    for number in range(COUNT) if FULL else (5,):
        told = json.loads(site.other.nbledger(clone, "reproduce", finished[number].info.run_id, "--json").stdout)
        assert told["verdict"] == "identical", told
