"""A team whose servers are reached over wires that can be cut: one office for the tests of faults and of load, as it takes
its time to open.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import run
from forked import shared
from lossyproxy import Wire, wire
from servers import Postgres
from team import BUCKET, Office, Person, office

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hedy")


@dataclass(frozen=True)
class Wired:
    """The office and the wires that its people use; the tests themselves ask the servers directly."""

    office: Office
    git: Wire
    s3: Wire
    mlflow: Wire


@functools.cache
def opened() -> Wired:
    """The office of this test process, which ends with it."""
    stack = contextlib.ExitStack()
    folder = Path(tempfile.mkdtemp(prefix="office-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(stack.close)
    team = stack.enter_context(office(folder, NAMES))
    wires = [stack.enter_context(wire(port)) for port in (team.git.port, team.s3.port, team.mlflow.port)]
    found = Wired(team, *wires)
    for person in team.people:
        name = person.name.lower()
        address = f"http://{name}:{team.git.logins[name]}@127.0.0.1:{found.git.port}"
        with open(person.home / ".git-credentials", "a") as known:
            known.write(address + "\n")
        person.env |= {"AWS_MAX_ATTEMPTS": "2"}  # else a bucket that is away is waited for much longer
    direct = team.git.url, team.s3.endpoint, team.mlflow.uri
    team.git.url, team.s3.endpoint, team.mlflow.uri = f"{found.git.uri}/ledger.git", found.s3.uri, found.mlflow.uri
    team.set_up()
    team.git.url, team.s3.endpoint, team.mlflow.uri = direct
    return found


# ── what the servers hold, asked without nbledger ────────────────────────────────────────────────────────


def rows(database: Postgres, query: str) -> list[tuple[Any, ...]]:
    """What MLflow's database answers."""
    import psycopg2

    connection = psycopg2.connect(database.uri.replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


@dataclass(frozen=True)
class Stored:
    """A run as MLflow's own database has it: the points of its metrics are (step, value), in order, each as often as it is
    there.
    """

    run_id: str
    name: str
    status: str
    start: int
    end: int
    experiment: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, list[tuple[int, float]]]


def stored(database: Postgres) -> dict[str, list[Stored]]:
    """{journal: the runs that are not deleted and bear its id}: more than one would be a doubled run."""
    by_run: dict[str, tuple[dict[str, str], dict[str, str], dict[str, list[tuple[int, float]]]]] = {}
    for at, table in enumerate(("params", "tags")):
        for run_id, key, value in rows(database, f"select run_uuid, key, value from {table}"):
            by_run.setdefault(run_id, ({}, {}, {}))[at][key] = value
    for run_id, key, step, value in rows(database, "select run_uuid, key, step, value from metrics order by step"):
        by_run.setdefault(run_id, ({}, {}, {}))[2].setdefault(key, []).append((step, value))
    found: dict[str, list[Stored]] = {}
    query = (
        "select run_uuid, r.name, status, start_time, end_time, e.name from runs r"
        " join experiments e on e.experiment_id = r.experiment_id where r.lifecycle_stage = 'active'"
    )
    for run_id, *facts in rows(database, query):
        params, tags, metrics = by_run.get(run_id, ({}, {}, {}))
        found.setdefault(tags.get("nbledger.journal", run_id), []).append(Stored(run_id, *facts, params, tags, metrics))
    return found


def artifacts(team: Office) -> dict[str, dict[str, str]]:
    """{run: {artifact: its key in the bucket}} of all runs."""
    found: dict[str, dict[str, str]] = {}
    for key in team.s3.objects("mlflow/"):
        parts = re.fullmatch(r"mlflow/\d+/([0-9a-f]{32})/artifacts/(.+)", key)
        assert parts, key
        found.setdefault(parts[1], {})[parts[2]] = key
    return found


def content(team: Office, key: str) -> bytes:
    return bytes(team.s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())


def unrestorable(team: Office) -> list[str]:
    """What somebody who clones the repository would look for in vain: of every commit that a ref names there, the data that
    its pointers name and that the bucket has not, or has otherwise.
    """
    repository, there = team.git.repository, team.s3.objects("data/files/md5/")
    lost, known = [], set[str]()

    def look(md5: str, name: str) -> None:
        key = f"data/files/md5/{md5[:2]}/{md5[2:]}"
        if md5 in known:
            return
        known.add(md5)
        if key not in there:
            lost.append(f"{name}: {md5} is not in the bucket")
            return
        data = content(team, key)
        if hashlib.md5(data).hexdigest() != md5.removesuffix(".dir"):
            lost.append(f"{name}: {md5} holds other bytes")
        elif md5.endswith(".dir"):
            for entry in json.loads(data):
                look(entry["md5"], f"{name}/{entry['relpath']}")

    for commit in set(asked(repository, "for-each-ref", "--format=%(objectname)").split()):
        for path in asked(repository, "ls-tree", "-r", "--name-only", commit).splitlines():
            if path.endswith(".dvc"):
                text = asked(repository, "show", f"{commit}:{path}")
                for md5 in re.findall(r"md5: ([0-9a-f]{32}(?:\.dir)?)", text):
                    look(md5, path)
    return lost


def asked(repository: Path, *words: str) -> str:
    """What Git says in the repository."""
    return run("git", *words, cwd=repository)


# ── runs without a kernel: what a tracked cell leaves in its journal ─────────────────────────────────────

_RECORD = """
import json, math, random, sys, time
from pathlib import Path
from nbledger.core.project import find
from nbledger.keeper import client, recorder
here, who, begun = find(Path.cwd()), {who!r}, time.monotonic()
made = {{}}
for n in range({first}, {first} + {count}):
    time.sleep(max(0.0, begun + (n - {first}) * {pace} - time.monotonic()))
    params = {{"n": n, "who": who, "text": "x" * (n % 50), **{{f"p{{i}}": n * i for i in range(7)}}}}
    run = recorder.start(here, recorder.Plan(name=f"{{who}} {{n}}", params=params, tags={{"batch": {batch!r}}}))
    for step in range({points}):
        run.log(step, {{"loss": math.sin(n * step) * 10.0 ** (step % 40 - 20)}})
    run.log(None, {{f"m{{i}}": n / (i + 1) for i in range(9)}})
    run.add_text("values.json", json.dumps([who, n, random.Random(n).random()]))
    if {size}:
        with run.new_blob({large!r}) as blob:
            blob.write_bytes(random.Random(n).randbytes({size}))
        run.add_blob(blob, "files")
    record = run.journal.blob("nbledger")
    record.mkdir()
    for name in ("environment.txt", "session.ipynb", "session.json", "inputs.json", "outputs.json"):
        (record / name).write_text(json.dumps({{"of": n, "filled": "y" * 3000}}))
    (record / "environment.json").write_text(json.dumps({{"loaded": {{"modules": ["json"], "path": sys.path}}}}))
    run.environment(record)
    run.add_blob(record)
    run.outcome("FINISHED")
    run.end()
    made[run.id] = n
    client.notify(here)
print(json.dumps({{"made": made, "seconds": time.monotonic() - begun}}))
"""
RECORD_FILES = {
    *("values.json", "nbledger/manifest.json"),
    *(f"nbledger/{name}" for name in ("environment.txt", "environment.json", "session.ipynb", "session.json")),
    *("nbledger/inputs.json", "nbledger/outputs.json"),
}


@dataclass(frozen=True)
class Recorded:
    """Journals that somebody's runs were written to: {journal: the run's number}, and how long that took."""

    who: str
    made: dict[str, int]
    seconds: float


def record(
    *people: Person,
    first: int = 0,
    count: int = 1,
    pace: float = 0.0,
    points: int = 30,
    size: int = 0,
    large: str = "large.bin",
    batch: str = "",
) -> list[Recorded]:
    """Each of them records ``count`` runs, all at the same time, one every ``pace`` seconds; with ``size`` an artifact of so
    many bytes, ``large``, in each.
    """
    warm = shared()
    pids = []
    for person in people:
        words = {"who": person.name, "first": first, "count": count, "pace": pace, "points": points, "size": size}
        pids.append(warm.fork(_RECORD.format(batch=batch, large=large, **words), person.root, person.env))
    found = []
    for person, ended in zip(people, warm.go(*pids), strict=True):
        assert ended.code == 0, ended.out
        told = json.loads(ended.out.splitlines()[-1])
        found.append(Recorded(person.name, told["made"], told["seconds"]))
    return found


def wake(*people: Person) -> None:
    """Start their keepers, where they have none: forks of a process in which MLflow is imported, which eight of them would
    take long to do.
    """
    warm = shared()
    for person in people:
        code = f"from nbledger.keeper.process import main; main({str(person.root)!r})"
        warm.let_go(warm.fork(code, person.root, person.env))
    for person in people:
        deadline = time.monotonic() + 60
        while not list(Path(person.env["JUPYTER_RUNTIME_DIR"], "nbledger").glob("*.json")):
            assert time.monotonic() < deadline, f"{person.name} has no keeper"
            time.sleep(0.05)


def waiting(person: Person) -> list[str]:
    """Journals that are not published to their end."""
    place = person.root / ".nbledger" / "journals"
    return [one.name for one in place.iterdir() if not one.name.startswith(".")] if place.is_dir() else []


def wrong(runs: Iterator[Recorded] | list[Recorded], there: dict[str, list[Stored]], points: int = 30) -> list[str]:
    """What of the recorded runs is not in MLflow's database, is there twice, or is otherwise."""
    import math

    said = []
    for recorded in runs:
        for journal, n in recorded.made.items():
            found = there.get(journal, [])
            name = f"{recorded.who} {n}"
            if len(found) != 1:
                said.append(f"{name} is there {len(found)} times")
                continue
            (one,) = found
            loss = [(step, math.sin(n * step) * 10.0 ** (step % 40 - 20)) for step in range(points)]
            wanted = {"loss": loss, **{f"m{i}": [(0, n / (i + 1))] for i in range(9)}}
            params = {
                "n": str(n),
                "who": recorded.who,
                "text": "x" * (n % 50),
                **{f"p{i}": str(n * i) for i in range(7)},
            }
            if (one.name, one.status) != (name, "FINISHED"):
                said.append(f"{name} is {one.name!r}, {one.status}")
            if one.params != params:
                said.append(f"{name} has the parameters {one.params}")
            if one.metrics != wanted:
                said.append(f"{name} has the metrics {one.metrics}")
            if "nbledger.manifest" not in one.tags or one.tags.get("nbledger.notices"):
                said.append(f"{name} is not whole: {one.tags.get('nbledger.notices')}")
    return said
