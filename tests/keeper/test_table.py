"""The table of runs in the keeper's memory says what the store says, whoever wrote it, and survives restarts."""

from __future__ import annotations

import datetime as dt
import json
import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import client
from many_runs import fill
from nbledger.core import mlflow_search, mlflow_tables, runs
from nbledger.core.errors import UsageError
from nbledger.core.project import Project, find
from nbledger.core.records import plain
from nbledger.keeper import calls, changes, publish, recorder, table, table_source
from nbledger.keeper import client as keeper

COUNT = 1200


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of many runs, made once."""
    root = tmp_path_factory.mktemp("many")
    fill(root, COUNT, experiment="many")
    return root / ".nbledger" / "mlflow.db"


@pytest.fixture
def here(folder: Path, store: Path) -> Iterator[Project]:
    (folder / ".nbledger.toml").write_text("keeper = false\nexperiment = 'many'\n")
    (folder / ".nbledger").mkdir()
    shutil.copy(store, folder / ".nbledger")
    yield find(folder)
    table._indexes.clear()


def ask(here: Project, name: str, **args: Any) -> Any:
    """What a browser gets."""
    return json.loads(calls.text(calls.perform(here, name, args)))


def expected(here: Project) -> list[dict[str, Any]]:
    """All rows as plain MLflow has them, with the tags that a table shows."""
    rows = [plain(row) for row in runs._from_mlflow(here, "", "", 10_000, None)]
    api = client(here.tracking_uri)
    for row in rows:
        row["inputs"].sort(key=lambda one: one["path"])
    for row in rows[:30]:
        tags = api.get_run(row["run_id"]).data.tags
        row["tags"] = {k: v for k, v in tags.items() if not k.startswith(("mlflow.", "nbledger."))} | {
            k: tags[k]
            for k in ("mlflow.user", "mlflow.note.content", "nbledger.order", "nbledger.journal", "nbledger.host")
            if k in tags
        }
    return rows


def test_the_rows_are_those_of_plain_mlflow(here: Project) -> None:
    answer = ask(here, "table")
    assert (answer["total"], len(answer["runs"]), answer["experiment"]) == (COUNT, COUNT, "many")
    assert answer["tracking"] == {"uri": here.tracking_uri, "experiment": "many", "reachable": True, "pending": 0}
    wanted = expected(here)
    assert answer["runs"][:30] == wanted[:30]
    for mine, theirs in zip(answer["runs"], wanted, strict=True):
        assert {**mine, "tags": None} == {**theirs, "tags": None}
    assert any(row["metrics"].get("auc") == "nan" for row in answer["runs"])
    assert [row["run_id"] for row in ask(here, "table", limit=3)["runs"]] == [row["run_id"] for row in wanted[:3]]


def test_what_others_write_is_told_as_changes_and_only_that(here: Project) -> None:
    api = client(here.tracking_uri)
    first = ask(here, "table")
    old, older, oldest = (first["runs"][at]["run_id"] for at in (-1, -2, -3))

    def news() -> tuple[dict[str, dict[str, Any]], list[str]]:
        found = ask(here, "table_changes", since=news.since)
        assert not found["reset"]
        news.since = found["version"]
        return {row["run_id"]: row for row in found["runs"]}, found["removed"]

    def look_now() -> None:  # between two thorough looks some time passes; here none has to
        source = table.of(here)._source
        assert isinstance(source, table_source.FromTables)
        source._next = dict.fromkeys(source._next, 0.0)
        source._due = dict.fromkeys(source._due, 0.0)

    news.since = first["version"]
    assert news() == ({}, [])
    api.set_tag(old, "colour", "green")
    assert news()[0][old]["tags"]["colour"] == "green"
    look_now()
    api.set_tag(old, "colour", "blue")  # in place: no new row tells of it
    assert news()[0][old]["tags"]["colour"] == "blue"
    api.log_metric(older, "late", math.inf)
    assert news()[0][older]["metrics"]["late"] == "inf"
    fresh = api.create_run(api.get_run(old).info.experiment_id, run_name="fresh").info.run_id
    changed, removed = news()
    assert list(changed) == [fresh] and not removed and changed[fresh]["status"] == "RUNNING"
    api.log_param(fresh, "p", "1")
    api.set_terminated(fresh, "KILLED")
    changed, _ = news()
    assert (changed[fresh]["status"], changed[fresh]["params"]) == ("KILLED", {"p": "1"})
    look_now()
    api.delete_run(oldest)
    assert news() == ({}, [oldest])
    look_now()
    api.restore_run(oldest)
    api.update_run(old, name="renamed")
    changed, removed = news()
    assert changed.keys() == {oldest, old} and changed[old]["name"] == "renamed" and not removed
    assert ask(here, "table")["runs"] == ask(here, "table_changes", since=1)["runs"]
    assert ask(here, "table_changes", since=1)["reset"] and ask(here, "table_changes", since=2**52)["reset"]
    assert [r["run_id"] for r in ask(here, "table")["runs"]] == [r["run_id"] for r in expected(here)]


def test_a_restarted_keeper_has_it_from_the_disk_and_checks_it(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ask(here, "table")
    table.close()
    table._indexes.clear()
    api = client(here.tracking_uri)
    changed, gone = before["runs"][500]["run_id"], before["runs"][700]["run_id"]
    api.set_tag(changed, "team", "green")
    api.delete_run(gone)
    read: list[str] = []
    known = mlflow_tables.Tables.read
    monkeypatch.setattr(
        mlflow_tables.Tables, "read", lambda self, ids, *more: read.extend(ids) or known(self, ids, *more)
    )
    after = ask(here, "table")
    assert set(read) == {changed}  # the rest was on the disk
    assert after["version"] > before["version"]
    wanted = [row for row in before["runs"] if row["run_id"] != gone]
    wanted[500]["tags"]["team"] = "green"
    assert after["runs"] == wanted
    table.close()
    table._indexes.clear()
    (kept,) = (here.state / "table").iterdir()
    kept.write_bytes(b"not a database" * 100)
    assert ask(here, "table")["runs"] == wanted


def test_another_store_in_its_place_is_read_anew(here: Project, store: Path) -> None:
    first = ask(here, "table")
    client(here.tracking_uri).delete_run(first["runs"][0]["run_id"])
    ask(here, "table")
    table.close()
    replacement = here.state / "copy"
    shutil.copy(store, replacement)
    replacement.replace(here.state / "mlflow.db")  # a backup, put back
    assert ask(here, "table")["runs"] == first["runs"]
    table._indexes.clear()
    assert ask(here, "table")["runs"] == first["runs"]


def test_the_store_of_a_later_mlflow_is_asked_through_mlflow(here: Project) -> None:
    fast = ask(here, "table")["runs"]
    with sqlite3.connect(here.state / "mlflow.db") as changed:
        changed.execute("drop index index_tags_run_uuid")
    table._indexes.clear()
    (here.state / "table").rename(here.state / "elsewhere")
    assert mlflow_tables.opened(here.tracking_uri, None) is None
    slow = ask(here, "table")
    assert slow["runs"] == fast and isinstance(table.of(here)._source, table_source.FromServer)
    api = client(here.tracking_uri)
    running = api.create_run(api.get_run(fast[0]["run_id"]).info.experiment_id, run_name="one more").info.run_id
    source = table.of(here)._source
    source._next = 0.0
    assert [row["run_id"] for row in ask(here, "table_changes", since=slow["version"])["runs"]] == [running]
    api.set_tag(fast[-1]["run_id"], "colour", "green")
    api.delete_run(fast[-2]["run_id"])
    for one in fast[-2:]:  # what this keeper's own people do is told by name
        changes.tell(here, "runs", run=one["run_id"])
    news = ask(here, "table_changes", since=slow["version"])
    assert {row["run_id"] for row in news["runs"]} == {running, fast[-1]["run_id"]}
    assert news["removed"] == [fast[-2]["run_id"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "metrics.accuracy > 0.9 and params.depth = '3'",
        "attributes.run_name LIKE 'forest%' and tags.team = 'red'",
        "metrics.auc != 3",
        "dataset.name = 'data/test'",
        "tags.team IS NULL",
        "params.model ILIKE '%RID%' and attributes.status != 'FAILED'",
    ],
)
def test_a_filter_means_what_it_means_to_mlflow(here: Project, text: str) -> None:
    experiments = list(runs.mlflow.experiments(client(here.tracking_uri), here.tracking_uri))
    wanted = [row.run_id for row in runs._from_mlflow(here, text, "", 100, None)]
    assert len(wanted) > 10
    order = ["attributes.start_time DESC"]
    assert mlflow_search._from_database(here.tracking_uri, experiments, text, order, 100) == wanted
    assert ask(here, "search", text=text)["ids"][:100] == wanted


def test_a_wrong_filter_is_refused_with_a_hint(here: Project) -> None:
    with pytest.raises(UsageError, match="accuracy") as refused:
        ask(here, "search", text="accuracy > 0.9")
    assert refused.value.hint == "did you mean metrics.accuracy > 0.9?"


@pytest.mark.parametrize("sort", ["", "accuracy", "+loss", "auc", "+auc", "start", "name ASC", "params.depth"])
def test_the_table_of_the_command_line_is_sorted_as_mlflow_sorts(here: Project, sort: str) -> None:
    mine = runs._from_tables(here, "", sort, 100, None)
    assert mine is not None
    assert plain(list(mine)) == plain(list(runs._from_mlflow(here, "", sort, 100, None)))


def test_curves_are_thinned_evenly_and_keep_their_ends(here: Project) -> None:
    rows = ask(here, "table")["runs"]
    curved = rows[0]["run_id"]  # every tenth from the newest on
    flat = rows[1]["run_id"]
    found = ask(here, "series", run=[curved, flat], key=["accuracy", "auc"], points=5)["series"]
    assert found[flat] == {} and found[curved].keys() == {"accuracy"}
    points = found[curved]["accuracy"]
    assert [step for step, _, _ in points] == [0, 5, 10, 15, 19]
    history = client(here.tracking_uri).get_metric_history(curved, "accuracy")
    known = {(m.step, m.value, m.timestamp) for m in history}
    assert {tuple(point) for point in points} <= known
    assert ask(here, "series", run=[curved], key=[], points=100)["series"][curved].keys() == {"accuracy", "f1", "loss"}
    api = client(here.tracking_uri)
    running = api.create_run(rows[0]["experiment_id"]).info.run_id
    for step, value in enumerate((1.0, math.nan, math.inf)):
        api.log_metric(running, "loss", value, step=step)
        shown = ask(here, "series", run=[running], key=[], points=40)["series"][running]
        assert len(shown.get("loss", [0])) == step + 1
    assert [value for _, value, _ in shown["loss"]] == [1.0, "nan", "inf"]


def test_hostile_names_are_only_text(here: Project) -> None:
    api = client(here.tracking_uri)
    since = ask(here, "table")["version"]
    name = '<img src=x onerror=alert(1)>\u202e"\\\n' + "x" * 9000
    run = api.create_run("0", run_name=name[:240]).info.run_id
    api.log_param(run, "p/b c", name[:5000])
    api.set_tag(run, "mlflow.note.content", name[:4000])
    api.set_tag(run, "mine", "a\x01nbledger.verdict\x00identical")
    (row,) = ask(here, "table_changes", since=since)["runs"]
    assert row["name"] == name[:240] and row["params"] == {"p/b c": name[:999] + "…"}
    assert row["tags"]["mine"] == "a\x01nbledger.verdict\x00identical" and "nbledger.verdict" not in row["tags"]
    assert row["tags"]["mlflow.note.content"] == name[:999] + "…"
    for begun in (9 * 10**17, -(9 * 10**17)):  # no calendar has them: the run is shown, and so are all others
        odd = api.create_run("0", start_time=begun).info.run_id
        assert {one["run_id"]: one["start"] for one in ask(here, "table")["runs"]}[odd] is None


def test_a_keeper_answers_with_the_newest_and_goes_on(folder: Path, store: Path) -> None:
    (folder / ".nbledger").mkdir()
    shutil.copy(store, folder / ".nbledger")
    (folder / ".nbledger.toml").write_text("experiment = 'many'\n")
    here = find(folder)
    answer = keeper.ask(here, "table", start=True)
    rows = {row["run_id"]: row for row in answer["runs"]}
    assert len(rows) == 1000 and answer["total"] == COUNT
    assert not answer["runs"] or answer["runs"][0]["start"] == max(row["start"] for row in answer["runs"])
    version = answer["version"]
    while len(rows) < COUNT:
        found = keeper.ask(here, "table_changes", {"since": version})
        assert not found["reset"]
        rows |= {row["run_id"]: row for row in found["runs"]}
        version = found["version"]
    keeper.stop(here)
    again = keeper.ask(here, "table", start=True)
    assert len(again["runs"]) == COUNT and again["runs"] == [rows[row["run_id"]] for row in again["runs"]]
    assert keeper.ask(here, "table_changes", {"since": version})["reset"]  # the version was another keeper's


def test_runs_that_arrive_late_are_found_though_they_are_old(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    api = client(here.tracking_uri)
    source = table_source.FromServer(here)
    known = {one.run_id: one for page in source.pages() for one in page}
    experiment = api.get_experiment_by_name("many").experiment_id
    before = dt.datetime.now(dt.UTC) - dt.timedelta(hours=3)
    late, older = (
        api.create_run(experiment, start_time=1000, run_name=name, tags={table_source.ARRIVED: at.isoformat()})
        for name, at in (("late", dt.datetime.now(dt.UTC)), ("older", before))
    )
    api.set_terminated(late.info.run_id)
    api.set_terminated(older.info.run_id)
    found = source.look(known, ())
    assert late.info.run_id in found and older.info.run_id not in found
    monkeypatch.setattr(table_source, "_PAUSE", 0.0)
    assert late.info.run_id not in source.look(known, ())  # not asked again so soon


def test_a_run_that_is_published_late_says_when_it_arrived(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, late in (("at once", 300.0), ("late", -1.0)):
        monkeypatch.setattr(publish, "_LATE", late)
        recording = recorder.start(here, recorder.Plan(name=name))
        recording.outcome("FINISHED")
        recording.end()
        assert publish.flush(here) == (0, [])
    rows = {row.name: row for row in runs.listed(here, limit=2)}
    assert table_source.ARRIVED not in rows["at once"].tags
    assert rows["late"].tags[table_source.ARRIVED][:13] in {
        (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=m)).strftime("%Y-%m-%dT%H") for m in (0, 5)
    }
