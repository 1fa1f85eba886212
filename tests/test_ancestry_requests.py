"""What lineage asks of a tracking server on PostgreSQL: as many requests whether it has a few runs or thousands."""

from __future__ import annotations

import re
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbledger.core import mlflow, trust
from nbledger.core.ancestry_graph import Ancestry
from nbledger.core.project import find
from nbledger.keeper.calls import perform
from recordedruns import file, md5, recorded
from servers import Postgres, Server, mlflow_server, postgres

DEEP = 20
_LINE = re.compile(r'"([A-Z]+) (\S+) HTTP/1\.1"')


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Postgres]]:
    folder = tmp_path_factory.mktemp("server")
    with postgres(folder) as database, mlflow_server(folder, database) as started:
        yield started, database


@pytest.fixture
def server(store: tuple[Server, Postgres], project: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    trust.trust(find(project))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store[0].uri)
    return store[0]


def crowd(database: Postgres, experiment: str, first: int, count: int, *, tagged: bool) -> None:
    """Runs in bulk that have nothing to do with the others: each wrote a file of its own, and read what all of them did."""
    import psycopg2

    connection = psycopg2.connect(database.uri.replace("+psycopg2", ""))
    of_all = "from generate_series(%(first)s, %(last)s) n"
    told = "('nbledger.outputs', '{\"out/' || n || '\": \"' || md5('wrote' || n) || '\"}')," if tagged else ""
    values = {"first": first, "last": first + count - 1, "experiment": int(experiment), "digest": md5("seen")}
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"""insert into runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
            end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
            select md5('crowd' || n), 'crowd ' || n, 'UNKNOWN', '', '', 'ada', 'FINISHED', 1780000000000 + n,
            1780000000500 + n, '', 'active',
            'mlflow-artifacts:/' || %(experiment)s || '/' || md5('crowd' || n) || '/artifacts', %(experiment)s {of_all}""",
            values,
        )
        cursor.execute(
            f"""insert into tags (key, value, run_uuid) select tag.key, tag.value, md5('crowd' || n) {of_all},
            lateral (values {told} ('nbledger.schema', '2'), ('mlflow.source.name', 'crowd.ipynb'),
            ('mlflow.source.git.commit', md5('code' || n) || '00000000')) as tag (key, value)""",
            values,
        )
        cursor.execute(
            """insert into datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
            values ('crowd', %(experiment)s, 'data/seen.csv', %(digest)s, 'local', '{}') on conflict do nothing""",
            values,
        )
        cursor.execute(
            f"""insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id)
            select md5('crowd' || n), 'DATASET', 'crowd', 'RUN', md5('crowd' || n) {of_all}""",
            values,
        )
    connection.close()


def requests(server: Server, act: Callable[[], Any]) -> Counter[str]:
    """{what was asked of the server: how often} while ``act`` ran, but for whether it is alive."""
    begun = _marked(server)
    act()
    ended = _marked(server)
    asked = [_LINE.search(line) for line in server.log.read_text(errors="replace").splitlines()[begun:ended]]
    found = [f"{one[1]} {one[2].partition('?')[0]}" for one in asked if one is not None]
    return Counter(re.sub(r"[0-9a-f]{32}", "RUN", one) for one in found if "/health" not in one)


def _marked(server: Server) -> int:
    """How many lines the server's log has, now that everything which was asked before stands in it."""
    mark = uuid.uuid4().hex
    with urllib.request.urlopen(f"{server.uri}/health?{mark}", timeout=30):
        pass
    deadline = time.monotonic() + 60
    while True:
        lines = server.log.read_text(errors="replace").splitlines()
        if any(mark in line for line in lines):
            return len(lines)
        assert time.monotonic() < deadline, lines[-5:]
        time.sleep(0.05)


def ancestry(root: Path, name: str) -> Ancestry:
    found: Ancestry = perform(find(root), "ancestry", {"name": name, "depth": 40})
    return found


def back(root: Path, path: str) -> Ancestry:
    found: Ancestry = perform(find(root), "descendants", {"path": path, "depth": 40})
    return found


def runs(found: Ancestry) -> int:
    return sum(node.kind == "run" for node in found.nodes)


def test_a_deep_lineage_asks_as_little_of_a_server_with_thousands_of_runs(
    project: Path, server: Server, store: tuple[Server, Postgres]
) -> None:
    api = mlflow.client(find(project))
    for number in range(DEEP):
        reads = (file(f"f{number}", f"{number}"),) if number else ()
        writes = (file(f"f{number + 1}", f"{number + 1}"),)
        recorded(project, api, number, f"r{number}", reads, writes, tags={"nbledger.manifest": md5(f"{number}")})
    experiment = api.get_experiment_by_name(find(project).experiment).experiment_id
    crowd(store[1], experiment, 0, 10, tagged=True)
    found: list[Ancestry] = []

    def look() -> None:
        found.append(ancestry(project, f"r{DEEP - 1}"))
        found.append(back(project, "data/seen.csv"))
        found.append(back(project, "f1"))

    few = requests(server, look)
    assert [runs(one) for one in found] == [DEEP, 10, DEEP - 1]
    # for each run its record and who wrote what it read; the way back asks for each step who read
    assert few.total() <= 3 * DEEP + 30, few
    crowd(store[1], experiment, 10, 900, tagged=True)
    many = requests(server, look)
    assert [runs(one) for one in found[3:]] == [DEEP, 910, DEEP - 1]
    assert many.total() <= few.total() + 10, (few, many)

    # runs of older versions, which do not say what they wrote: of so many the newest are looked into, once
    crowd(store[1], experiment, 10_000, 1_000, tagged=False)
    at_first = requests(server, lambda: found.append(ancestry(project, f"r{DEEP - 1}")))
    assert at_first.total() <= 3 * DEEP + 2 * 200 + 30, at_first
    again = requests(server, lambda: found.append(ancestry(project, f"r{DEEP - 1}")))
    assert again.total() <= 3 * DEEP + 15, again
    assert [runs(one) for one in found[6:]] == [DEEP, DEEP]
    assert any("the newest 200" in note for note in found[-1].notes)
