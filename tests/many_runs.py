"""Many realistic runs in a moment: rows written in bulk into the tables of MLflow's own SQLite store.

MLflow creates the database and its tables; the columns are those of its SQLAlchemy models, so plain ``mlflow`` reads the
runs as its own. ``python tests/many_runs.py ROOT COUNT`` fills a project by hand.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from nbledger.core import mlflow, project

MODELS = ("forest", "boosting", "ridge", "svm", "mlp")
_STATUSES = ("FINISHED",) * 17 + ("FAILED", "FAILED", "KILLED")
_INSERTS = {
    "runs": "insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
    " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
    " values (?, ?, 'UNKNOWN', '', '', 'ada', ?, ?, ?, '', 'active', ?, ?)",
    "tags": "insert into tags (key, value, run_uuid) values (?, ?, ?)",
    "params": "insert into params (key, value, run_uuid) values (?, ?, ?)",
    "metrics": "insert into metrics (key, value, timestamp, run_uuid, step, is_nan) values (?, ?, ?, ?, ?, ?)",
    "latest_metrics": "insert into latest_metrics (key, value, timestamp, run_uuid, step, is_nan) values (?, ?, ?, ?, ?, ?)",
    "inputs": "insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id)"
    " values (?, 'DATASET', ?, 'RUN', ?)",
    "input_tags": "insert into input_tags (input_uuid, name, value) values (?, 'mlflow.data.context', 'training')",
}
Rows = dict[str, list[tuple[Any, ...]]]


def fill(root: Path, count: int, *, experiment: str = "", points: int = 20, newest: float | None = None) -> list[str]:
    """Add ``count`` runs to the embedded store of the project at ``root``; their ids, the oldest first.

    They are a minute apart, the last ended at ``newest`` (seconds since the epoch, default: now). Every tenth has series
    of ``points`` points, every third read two data sets, every fiftieth has a NaN. The same call gives the same values.
    """
    here = project.find(root)
    mlflow.ensure_embedded(here)
    store = sqlite3.connect(here.state / "mlflow.db", timeout=60)
    try:
        with store:
            place = _experiment(store, here, experiment or here.experiment)
            datasets = _datasets(store, place)
            ended = int((newest or time.time()) * 1000)
            made = [_name(store, number) for number in range(count)]
            for at in range(0, count, 1000):
                rows: Rows = {table: [] for table in _INSERTS}
                for number in range(at, min(count, at + 1000)):
                    _add(
                        rows,
                        made[number],
                        number,
                        ended - (count - number) * 60_000,
                        place,
                        here.state,
                        datasets,
                        points,
                    )
                for table, values in rows.items():
                    store.executemany(_INSERTS[table], values)
        store.execute("ANALYZE")
    finally:
        store.close()
    return made


def _name(store: sqlite3.Connection, number: int) -> str:
    """A run's id: told by chance, but the same for the same store."""
    return f"{random.Random(f'{number}').getrandbits(96):024x}{store.total_changes % 0x1000000 + number:08x}"


def _experiment(store: sqlite3.Connection, here: project.Project, name: str) -> int:
    found = store.execute("select experiment_id from experiments where name = ?", (name,)).fetchone()
    if found:
        return int(found[0])
    now = int(time.time() * 1000)
    artifacts = (here.state / "artifacts" / name).as_uri()
    added = store.execute(
        "insert into experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)"
        " values (?, ?, 'active', ?, ?)",
        (name, artifacts, now, now),
    )
    return int(added.lastrowid or 0)


def _datasets(store: sqlite3.Connection, experiment: int) -> list[str]:
    """Two data sets in three versions each."""
    made = []
    for name in ("data/train.csv", "data/test"):
        for version in range(3):
            digest = random.Random(f"{name}{version}").randbytes(16).hex() + (".dir" if name == "data/test" else "")
            key = f"{experiment}-{name}-{version}"
            store.execute(
                "insert or ignore into datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
                " dataset_source) values (?, ?, ?, ?, 'local', ?)",
                (key, experiment, name, digest, json.dumps({"uri": name})),
            )
            made.append(key)
    return made


def _add(
    rows: Rows, run: str, number: int, start: int, experiment: int, state: Path, datasets: list[str], points: int
) -> None:
    chance = random.Random(number)
    model, status = chance.choice(MODELS), chance.choice(_STATUSES)
    end = start + chance.randrange(800, 50_000)
    name = f"{model} {number}"
    artifacts = (state / "artifacts" / str(experiment) / run / "artifacts").as_uri()
    rows["runs"].append((run, name, status, start, end, artifacts, experiment))
    rows["tags"] += [(k, v, run) for k, v in _tags(chance, name, number).items()]
    params = {
        "model": model,
        "depth": str(chance.randrange(2, 20)),
        "learning_rate": f"{10 ** chance.uniform(-4, 0):.5f}",
        "n_estimators": str(chance.choice((50, 100, 200, 400))),
        "seed": str(number % 7),
    }
    rows["params"] += [(k, v, run) for k, v in params.items()]
    accuracy = 0.6 + 0.39 * chance.random()
    metrics = {"accuracy": accuracy, "f1": accuracy - 0.05 * chance.random(), "loss": -math.log(accuracy)}
    if number % 50 == 49:
        metrics["auc"] = math.nan
    for key, value in metrics.items():
        count = points if number % 10 == 9 and key != "auc" else 1
        for step in range(count):
            near = value * (1 - 0.5 * (count - 1 - step) / count)
            point = (key, 0.0 if math.isnan(near) else near, start + 10 * step, run, step, int(math.isnan(near)))
            rows["metrics"].append(point)
        rows["latest_metrics"].append(point)
    if number % 3 == 0:
        for at in (chance.randrange(3), 3 + chance.randrange(3)):
            rows["inputs"].append((f"{run}-{at}", datasets[at], run))
            rows["input_tags"].append((f"{run}-{at}",))


def _tags(chance: random.Random, name: str, number: int) -> dict[str, str]:
    commit = chance.randbytes(20).hex()
    return {
        "mlflow.runName": name,
        "mlflow.user": chance.choice(("ada", "grace", "emmy")),
        "mlflow.source.name": chance.choice(("notebooks/train.ipynb", "explore.ipynb", "report.ipynb")),
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": "main",
        "nbledger.schema": "2",
        "nbledger.host": "lab",
        "nbledger.snapshot": commit,
        "nbledger.dirty": chance.choice(("true", "false")),
        "nbledger.order": chance.choice(("clean", "clean", "out-of-order")),
        "nbledger.data.state": "versioned",
        "nbledger.env.digest": chance.randbytes(16).hex(),
        "nbledger.cells.digest": chance.randbytes(16).hex(),
        "nbledger.journal": f"{number:032x}",
        **({"team": chance.choice(("red", "blue"))} if number % 4 == 0 else {}),
    }


if __name__ == "__main__":
    begun = time.perf_counter()
    fill(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(f"{sys.argv[2]} runs in {time.perf_counter() - begun:.1f} s\n")
