"""Eight processes begin at the same moment in a project that has no database yet, each recording a run and publishing it
by itself, without a keeper between them: the hardest way. Afterwards `mlflow db upgrade` is asked to work on the database.
Every other time no empty store is kept that could be copied. In full, once more with eight kernels and the keeper.

nbledger makes the database under a lock, beside its place, and names it when it is whole; one that somebody's own MLflow
has made there meanwhile is left. The plain way: eight processes call `mlflow.start_run()` on a SQLite store that is not
there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from endings import kernels
from forked import FLUSH, Warm, shared
from ledger import client, runs, uri

pytestmark = pytest.mark.timeout(1200)

EIGHT = 8
OURS = """
from nbledger.core.project import find
from nbledger.keeper import publish, recorder
recording = recorder.start(find(), recorder.Plan(name={name!r}, params={{"n": {n}}}))
for step in range(20):
    recording.log(step, {{"loss": step}})
recording.outcome("FINISHED")
recording.end()
left, reasons = publish.flush(find())
assert not left, reasons
"""
PLAIN = """
import mlflow
mlflow.set_tracking_uri({uri!r})
with mlflow.start_run(run_name={name!r}):
    mlflow.log_metric("loss", 1)
"""
UPGRADE = "import sys, mlflow.cli; sys.argv = ['mlflow', 'db', 'upgrade', {uri!r}]; mlflow.cli.cli()"


def upgraded(ready: Warm, root: Path) -> str:
    """What is wrong with the database, or nothing."""
    done = ready.run(UPGRADE.format(uri=uri(root)), root)
    with sqlite3.connect(root / ".nbledger" / "mlflow.db") as database:
        tables = [
            name for (name,) in database.execute("select name from sqlite_master where name like '_alembic_tmp%'")
        ]
    return (done.out.strip().splitlines() or ["exit code"])[-1] if done.code else ", ".join(tables)


def test_eight_publishers(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    turns, whole = count(20, 1), 0
    for turn in range(turns):
        for made in (project / ".nbledger").glob("mlflow.db*"):
            made.unlink()
        if turn % 2 == 0:
            nothing_kept()
        pids = [shared().fork(OURS.format(name=f"p{n}", n=n), project) for n in range(EIGHT)]
        for ended in shared().go(*pids):
            assert ended.code == 0, ended.out
        assert not any((project / ".nbledger/journals").iterdir())
        found = _read(project)
        assert sorted(found) == [(f"p{n}", "FINISHED", 20) for n in range(EIGHT)]
        assert upgraded(shared(), project) == ""
        whole += len(found) == EIGHT
    seen(f"{whole} of {turns} times 8 of 8 runs, and `mlflow db upgrade` succeeded")
    if many := count(EIGHT, 0):
        with_kernels(project, many)
        seen(f"{many} kernels and the keeper: {many} of {many} runs")


def nothing_kept() -> None:
    """The database has to be made by MLflow's migrations: this person's folder holds no empty one to copy."""
    for store in Path(os.environ["JUPYTER_DATA_DIR"]).glob("nbledger/store-*.db"):
        store.unlink()


def _read(root: Path) -> list[tuple[str, str, int]]:
    """(name, status, number of points) of the runs, read by SQL: MLflow's client would keep the file open."""
    with sqlite3.connect(root / ".nbledger" / "mlflow.db") as database:
        return list(
            database.execute(
                "select name, status, (select count(*) from metrics m where m.run_uuid = r.run_uuid) from runs r"
            )
        )


def with_kernels(project: Path, many: int) -> None:
    (project / ".nbledger.toml").unlink()
    (project / ".nbledger" / "mlflow.db").unlink()
    nothing_kept()
    with kernels(project, many) as started:
        code = "%%mlrun k{n} -p n={n}\nfrom nbledger import log\nfor i in range(50): log(loss=i / 50, step=i)"
        messages = [k.send(code.format(n=n)) for n, k in enumerate(started)]
        for k, message in zip(started, messages, strict=True):
            assert k.collect(message).status == "ok"
    assert shared().run(FLUSH, project).code == 0
    found = runs(project, flushed=False)
    assert sorted(r.info.run_name for r in found) == [f"k{n}" for n in range(many)]
    assert {r.info.status for r in found} == {"FINISHED"}
    api = client(uri(project))
    assert all(len(api.get_metric_history(r.info.run_id, "loss")) == 50 for r in found)


def test_plain(project: Path, plain: Callable[[bool, str], None]) -> None:
    turns = 3
    runs_made, broken = [], 0
    for _ in range(turns):
        (project / ".nbledger").mkdir(exist_ok=True)
        for made in (project / ".nbledger").glob("mlflow.db*"):
            made.unlink()
        pids = [shared().fork(PLAIN.format(uri=uri(project), name=f"p{n}"), project) for n in range(EIGHT)]
        shared().go(*pids)
        broken += bool(upgraded(shared(), project))
        try:
            runs_made.append(sum(status == "FINISHED" for _, status, _ in _read(project)))
        except sqlite3.Error:
            runs_made.append(0)
    whole = all(made == EIGHT for made in runs_made) and not broken
    told = f"{', '.join(map(str, runs_made))} of 8 runs in {turns} tries"
    plain(whole, f"{told}; `mlflow db upgrade` failed, or left half a table, {broken} times")
