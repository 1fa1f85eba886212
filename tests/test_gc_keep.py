"""``gc --keep``: old runs are let go of, and nothing that a registered model, an open run or anybody unknown stands on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from conftest import commit_all, git
from nbledger.commands import tree
from nbledger.commands.answer import Face
from nbledger.core import gcledger, gitremote, mlflow, pull, rebuild, restored, trust, worktrees
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project, find
from nbledger.core.runfacts import Fact
from nbledger.keeper import calls, doctor, journal, publish, recorder, reproduce
from nbledger.keeper.reproduce import Wanted
from test_gc import collect, md5, object_of, record, tracked

DAY = 86_400


@pytest.fixture
def here(project: Path) -> Project:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    commit_all(project)
    found = find(project)
    mlflow.ensure_embedded(found)
    trust.trust(found)
    return found


def aged(project: Project, run_id: str, days: float) -> str:
    """The run as if it had ended so many days ago."""
    at = int((time.time() - days * DAY) * 1000)
    with sqlite3.connect(project.state / "mlflow.db") as store:
        store.execute("update runs set start_time = ?, end_time = ? where run_uuid = ?", (at, at, run_id))
    store.close()
    return run_id


def snapshots(project: Project) -> set[str]:
    return set(git(project.root, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/nbledger/runs").split())


def worked(project: Project, number: int, days: float) -> str:
    """A run of uncommitted code that read its own version of the data."""
    (project.root / "code.py").write_text(f"version = {number}\n")
    tracked(project, f"version {number}".encode())
    return aged(project, record(project, f"run {number}", ["data.bin"]), days)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["90d"], gcledger.Keep(90.0 * DAY, None, ("90d",))),
        (["12h", "2w"], gcledger.Keep(14.0 * DAY, None, ("12h", "2w"))),
        (["last:100"], gcledger.Keep(None, 100, ("last:100",))),
        (["90d, last:5,registered"], gcledger.Keep(90.0 * DAY, 5, ("90d", "last:5", "registered"))),
        (["registered"], gcledger.Keep(None, None, ("registered",))),
        ([], None),
    ],
)
def test_what_keep_says(words: list[str], expected: gcledger.Keep | None) -> None:
    assert gcledger.keep(words) == expected


@pytest.mark.parametrize("word", ["90", "d", "-3d", "90 days", "last", "last:", "last:-1", "all", "", "9999999d", "1m"])
def test_what_keep_does_not_understand(word: str) -> None:
    with pytest.raises(UsageError, match="such as 90d"):
        gcledger.keep([word])


def test_which_runs_it_names() -> None:
    now = 1000.0 * DAY
    known = {str(n): Fact(int((now - n * 10 * DAY) * 1000), open=n == 9) for n in range(1, 10)}
    chosen = gcledger.candidates(gcledger.Keep(25.0 * DAY, 4), known, {"8"}, now)
    assert chosen.go == {"5", "6", "7"}
    assert chosen.kept == {"new enough": 2, "among the newest 4": 2, "open or not published": 2}
    gcledger.spared(chosen, {"6", "1"}, "spared")
    assert chosen.go == {"5", "7"} and chosen.kept["spared"] == 1


def test_old_runs_are_let_go_of(here: Project) -> None:
    old, young = worked(here, 1, 100), worked(here, 2, 10)
    tracked(here, b"present")
    seen = calls.perform(here, "gc", {"keep": ["90d"]})
    assert seen.dry_run and seen.ledger.runs == (old,) and seen.snapshots == 1
    assert (seen.cache.objects, seen.links) == (1, 1)
    assert seen.ledger.git > 0 and seen.ledger.kept == {"new enough": 1} and seen.ledger.git_remote == ""
    assert snapshots(here) == {old, young} and object_of(here, b"version 1").exists(), "looking removes nothing"
    done = collect(here, keep=["90d"])
    assert done.digest == seen.digest
    assert snapshots(here) == {young}
    assert [object_of(here, f"version {n}".encode()).exists() for n in (1, 2)] == [False, True]
    row = calls.perform(here, "show", {"run": old})
    assert row.run_id == old and row.status == "FINISHED"
    again = calls.perform(here, "gc", {"keep": ["90d"]})
    assert (again.snapshots, again.cache.objects, again.links) == (0, 0, 0)
    git(here.root, "reflog", "expire", "--expire=now", "--all")
    git(here.root, "gc", "--quiet", "--prune=now")
    assert git(here.root, "fsck") == ""
    outcome = reproduce.reproduce(here, old, Wanted(restore_only=True))
    assert outcome.verdict == "not-restorable" and outcome.missing[0].kind == "commit"
    assert outcome.missing[0].why.startswith("nbledger gc --keep let go of it here")
    assert calls.perform(here, "gc", {}).cache.objects == 0, "without --keep everything left is needed"


def test_the_newest_stay_whatever_their_age(here: Project) -> None:
    runs = [worked(here, n, 400 - n) for n in range(4)]
    collect(here, keep=["last:2", "30d"])
    assert snapshots(here) == set(runs[2:])


def test_what_a_branch_or_tag_holds_keeps_its_name(here: Project) -> None:
    tracked(here, b"committed", commit=True)
    commit_all(here.root)
    clean = aged(here, record(here, reads=["data.bin"]), 100)
    tracked(here, b"present", commit=True)
    done = collect(here, keep=["90d"])
    assert done.ledger is not None and (done.ledger.shared, done.snapshots) == (1, 0)
    assert snapshots(here) == {clean} and object_of(here, b"committed").exists()
    for fix in (False, True):  # doctor does not call for what was let go of, nor protect it again
        said = [finding.text for finding in doctor.examine(find(here.root), fix=fix)]
        assert not [text for text in said if "dvc gc would take" in text], said
    held = md5(b"committed")
    assert not list((here.root / ".dvc/cache/nbledger").glob(f"*/md5/{held[:2]}/{held[2:]}"))
    outcome = reproduce.reproduce(here, clean, Wanted(restore_only=True))
    assert {one.kind for one in outcome.missing}.isdisjoint({"commit", "object", "data"}), outcome.missing
    assert (Path(outcome.into or "") / "data.bin").read_bytes() == b"committed"


# ── what is never let go of ──────────────────────────────────────────────────────────────────────────────────


def wrote(project: Project, name: str, data: bytes, days: float) -> str:
    """A run whose record says that it wrote the present version of ``name``."""
    run_id = worked(project, 1000 + int(days), days)
    folder = project.state / "made"
    folder.mkdir(exist_ok=True)
    listing = {"outputs": [{"path": name, "md5": md5(data)}]}
    (folder / "outputs.json").write_text(json.dumps(listing))
    mlflow.client(project).log_artifact(run_id, str(folder / "outputs.json"), "nbledger")
    return run_id


def test_the_lineage_of_registered_models(here: Project) -> None:
    """Any version, with or without an alias: its run, what that is inside of and holds, what it reproduces, and the runs that
    wrote its data, one behind the other.
    """
    api = mlflow.client(here)
    raw = wrote(here, "raw.bin", b"raw", 990)
    tracked(here, b"raw", "raw.bin")
    features = wrote(here, "features.bin", b"features", 900)
    with sqlite3.connect(here.state / "mlflow.db") as store:
        store.execute(
            "insert into datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source) "
            "select 'd1', experiment_id, 'raw', ?, 'local', '{}' from runs where run_uuid = ?",
            (object_of(here, b"raw").parent.name + object_of(here, b"raw").name, features),
        )
        store.execute(
            "insert into inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) "
            "values ('i1', 'DATASET', 'd1', 'RUN', ?, 0)",
            (features,),
        )
    store.close()
    tracked(here, b"features", "features.bin")
    (here.root / "code.py").write_text("model\n")
    model = aged(here, record(here, "model", ["features.bin"]), 800)
    sweep, cell, again, sibling, stranger = (worked(here, n, 700 + n) for n in range(5))
    api.set_tag(model, "mlflow.parentRunId", sweep)
    api.set_tag(sibling, "mlflow.parentRunId", sweep)
    api.set_tag(cell, "mlflow.parentRunId", model)
    api.set_tag(model, "nbledger.reproduces", again)
    api.create_registered_model("wine")
    api.create_model_version("wine", f"runs:/{stranger}/nothing", run_id=model)
    api.create_model_version("wine", f"runs:/{model}/newer", run_id=worked(here, 50, 0))
    newest = next(v.run_id for v in api.search_model_versions("name = 'wine'") if str(v.version) == "2")
    done = collect(here, keep=["registered"])
    assert done.ledger is not None
    assert set(done.ledger.runs) == {sibling, stranger}
    assert snapshots(here) == {raw, features, model, sweep, cell, again, newest}
    assert object_of(here, b"features").exists() and object_of(here, b"version 0").exists()
    assert not object_of(here, b"version 4").exists()
    api.delete_registered_model("wine")
    assert set(collect(here, keep=["registered"]).ledger.runs) == {  # type: ignore[union-attr]
        *(raw, features, model, sweep, cell, again, newest, sibling, stranger)
    }


def test_a_run_whose_record_cannot_be_read_stays(here: Project) -> None:
    """It may have written what a model stands on. Without models nobody needs to know."""
    torn, plain, model = worked(here, 1, 400), worked(here, 2, 400), worked(here, 3, 400)
    (here.state / "made").mkdir()
    (here.state / "made" / "outputs.json").write_text("{")
    api = mlflow.client(here)
    api.log_artifact(torn, str(here.state / "made" / "outputs.json"), "nbledger")
    api.create_registered_model("wine")
    api.create_model_version("wine", f"runs:/{model}/x", run_id=model)
    done = collect(here, keep=["90d"])
    assert done.ledger is not None and done.ledger.runs == (plain,)
    assert done.ledger.kept == {"that registered models stand on": 1, "whose record cannot be read": 1}
    api.delete_registered_model("wine")
    assert collect(here, keep=["90d"]).snapshots == 2


def test_open_runs_and_those_that_the_store_does_not_know(here: Project) -> None:
    git(here.root, "update-ref", "refs/nbledger/runs/" + "5" * 32, "HEAD")
    (here.root / "code.py").write_text("open\n")
    tracked(here, b"while it runs")
    recording = recorder.start(here, recorder.Plan(name="open"))
    assert publish.flush(here)[0] == 0
    run_id = publish.run_id_of(here, recording.journal.id)
    assert run_id is not None
    aged(here, run_id, 1000)
    elsewhere = mlflow.client(here).create_run("0", start_time=1)  # a colleague's, running somewhere
    tracked(here, b"next")
    done = collect(here, keep=["last:0"])
    assert done.ledger is not None and done.ledger.runs == ()
    assert done.ledger.kept == {"open or not published": 2} and elsewhere.info.run_id
    assert object_of(here, b"while it runs").exists() and "5" * 32 in snapshots(here)
    recording.outcome("FINISHED")
    recording.end()


def test_nothing_goes_that_was_not_foreseen(here: Project) -> None:
    worked(here, 1, 100)
    seen = calls.perform(here, "gc", {"keep": ["90d"]})
    late = worked(here, 2, 95)
    with pytest.raises(Refused, match="something changed"):
        calls.perform(here, "gc", {"keep": ["90d"], "dry_run": False, "digest": seen.digest})
    assert late in snapshots(here)


@pytest.mark.parametrize("moment", ["gcledger.let_go", "recorded.forget", "gcledger.remove"])
def test_cut_short_it_is_completed_by_the_next(here: Project, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    worked(here, 1, 100)
    young = worked(here, 2, 1)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"nbledger.core.gc.{moment}", cut)
        with pytest.raises(KeyboardInterrupt):
            collect(here, keep=["90d"])
    collect(here, keep=["90d"])
    assert snapshots(here) == {young}
    assert not object_of(here, b"version 1").exists() and object_of(here, b"version 2").exists()


# ── remotes ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def remote(here: Project, tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(here.root, "remote", "add", "origin", str(tmp_path / "bare.git"))
    git(here.root, "push", "-q", "-u", "origin", "main")
    return tmp_path / "bare.git"


def refs_of(remote: Path) -> set[str]:
    return set(git(remote, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/nbledger/runs").split())


def test_here_only_and_a_pull_does_not_bring_them_back(here: Project, remote: Path) -> None:
    old, only = worked(here, 1, 100), ""
    git(here.root, "push", "-q", "origin", "refs/nbledger/*:refs/nbledger/*")
    only = worked(here, 2, 100)
    young = worked(here, 3, 1)
    seen = calls.perform(here, "gc", {"keep": ["90d"]})
    assert (seen.ledger.git_remote, seen.ledger.only_here) == ("origin", 1)
    answer = tree.run(["gc", "--keep", "90d", "--dry-run"], Face())
    assert answer is not None and "cannot be reproduced here any more without origin\n" in answer.text
    commit = git(here.root, "rev-parse", f"refs/nbledger/runs/{old}")
    collect(here, keep=["90d"])
    assert snapshots(here) == {young} and refs_of(remote) == {old}
    assert set(gitremote.let_go(find(here.root).git)) == {old, only}  # type: ignore[arg-type]
    git(remote, "update-ref", "refs/nbledger/runs/" + "7" * 32, "main")
    assert pull.pull(find(here.root)).runs == 1
    assert snapshots(here) == {young, "7" * 32}
    later = calls.perform(find(here.root), "gc", {"keep": ["90d"]})
    assert (later.snapshots, later.ledger.there) == (0, 0)
    # asked for by name it comes
    assert gitremote.git.fetch_run(find(here.root).git, old, commit)  # type: ignore[arg-type]
    assert old in snapshots(here)


def test_with_cloud_also_there(here: Project, remote: Path, tmp_path: Path) -> None:
    git(here.root, "config", "core.hooksPath", "/dev/null")
    (here.root / ".dvc" / "config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path / 'store'}\n"
    )
    commit_all(here.root)
    runs = [worked(here, n, 100 + n) for n in range(3)]
    young = worked(here, 9, 1)
    git(here.root, "push", "-q", "origin", "refs/nbledger/*:refs/nbledger/*")
    git(here.root, "update-ref", "-d", f"refs/nbledger/runs/{runs[0]}")  # let go of here before
    seen = calls.perform(here, "gc", {"keep": ["90d"], "cloud": True})
    assert (seen.snapshots, seen.ledger.there, seen.ledger.only_here) == (2, 3, 0)
    done = collect(here, keep=["90d"], cloud=True)
    assert done.snapshots == 2 and refs_of(remote) == {young} and snapshots(here) == {young}
    assert set(runs).isdisjoint(refs_of(remote))


def test_a_remote_that_is_away_is_told(here: Project, remote: Path) -> None:
    worked(here, 1, 100)
    shutil.rmtree(remote)
    seen = calls.perform(here, "gc", {"keep": ["90d"]})
    assert seen.ledger.only_here is None
    answer = tree.run(["gc", "--keep", "90d", "--dry-run"], Face())
    assert answer is not None and "whether origin has them could not be found out" in answer.text


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────


def old(path: Path, days: float) -> None:
    at = time.time() - days * DAY
    os.utime(path, (at, at))


def restored_tree(project: Project, run_id: str, days: float, into: Path | None = None) -> Path:
    repo = project.git
    assert repo is not None
    commit = git(project.root, "rev-parse", "HEAD")
    made, place = restored.begin(project, run_id, commit, into)
    worktrees.add(repo, place, commit)
    restored.keep(project, made.name)
    old(restored.folder(project) / f"{made.name}.json", days)
    return place


def test_restored_work_trees(here: Project, tmp_path: Path) -> None:
    (here.root / "a.py").write_text("a = 1\n")
    commit_all(here.root)
    untouched, young = restored_tree(here, "a" * 32, 100), restored_tree(here, "b" * 32, 10)
    edited, committed = restored_tree(here, "c" * 32, 100), restored_tree(here, "d" * 32, 100)
    theirs = restored_tree(here, "e" * 32, 100, tmp_path / "theirs")
    (edited / "a.py").write_text("a = 2\n")
    (committed / "b.py").write_text("")
    commit_all(committed)
    seen = calls.perform(here, "gc", {"keep": ["90d"]})
    assert seen.ledger.paths == (str(untouched),) and seen.ledger.places["work tree"].objects == 1
    answer = tree.run(["gc", "--keep", "90d", "--dry-run"], Face())
    assert answer is not None and "1 restored work tree would go" in answer.text and str(untouched) in answer.text
    collect(here, keep=["90d"])
    assert [place.exists() for place in (untouched, young, edited, committed, theirs)] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert str(untouched) not in git(here.root, "worktree", "list")
    assert len(restored.registered(here)) == 4


def environment(project: Project, name: str, days: float, *runs: str) -> Path:
    place = project.state / "environments" / name
    place.mkdir(parents=True)
    (place / "nbledger.json").write_text("{}")
    (place / "lib").write_bytes(b"x" * 5000)
    for run in runs:
        rebuild._note_user(place, run)
    old(place / "nbledger.json", days)
    return place


def test_environments_records_and_notes(here: Project) -> None:
    gone, whole = worked(here, 1, 100), worked(here, 2, 1)
    unused, used = environment(here, "a" * 16, 100, gone), environment(here, "b" * 16, 3, gone)
    for run in (gone, whole):
        (here.state / "records" / run).mkdir(parents=True)
        (here.state / "records" / run / "x").write_bytes(b"x" * 100)
    (here.state / "table").mkdir(exist_ok=True)
    (here.state / "table" / "0.db").write_bytes(b"x")
    old(here.state / "table" / "0.db", 100)
    batch = here.state / "batches" / "0a0a0a0a"
    batch.mkdir(parents=True)
    (batch / "journal.jsonl").write_text("")
    old(batch / "journal.jsonl", 100)
    torn = journal.folder(here) / ".done-x"
    torn.mkdir(parents=True)
    done = collect(here, keep=["90d"])
    assert done.ledger is not None
    found = {kind: amount.objects for kind, amount in done.ledger.places.items()}
    assert found == {"batch": 1, "environment": 1, "record": 1, "table": 1}
    assert done.ledger.places["environment"].bytes > 5000
    assert [unused.exists(), used.exists(), batch.exists()] == [False, True, False]
    assert os.listdir(here.state / "records") == [whole]
    assert torn.exists(), "what may be somebody's work of just now is left"
    assert not (unused.with_name(f"{unused.name}.runs")).exists()


def test_an_environment_that_a_model_needs_stays(here: Project) -> None:
    run_id = worked(here, 1, 400)
    other = worked(here, 2, 400)
    api = mlflow.client(here)
    api.create_registered_model("wine")
    api.create_model_version("wine", f"runs:/{run_id}/x", run_id=run_id)
    needed, unknown = environment(here, "a" * 16, 400, run_id), environment(here, "b" * 16, 400)
    free = environment(here, "c" * 16, 400, other)
    collect(here, keep=["90d"])
    assert [needed.exists(), unknown.exists(), free.exists()] == [True, True, False]


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_lists_first_and_asks(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    gone, whole = worked(here, 1, 100), worked(here, 2, 1)
    answer = tree.run(["gc", "--keep", "90d", "--dry-run"], Face())
    assert answer is not None
    lines = answer.text.splitlines()
    assert lines[0] == (
        "1 of 2 runs stays whole (1 new enough); the other keeps its numbers and cannot be reproduced here any more"
    )
    assert lines[1].startswith("1 snapshot of code would go, ") and lines[2] == "  no remote has it: gone for good"
    with pytest.raises(Refused, match="needs a yes"):
        tree.run(["gc", "--keep", "90d"], Face())
    assert snapshots(here) == {gone, whole}
    done = tree.run(["gc", "--keep", "90d", "--yes"], Face())
    assert done is not None and "1 snapshot of code removed, " in done.text
    empty = tree.run(["gc", "--keep", "90d", "--yes"], Face())
    assert empty is not None and empty.text.startswith("nothing to remove: what is kept needs everything that is here")
    with pytest.raises(UsageError, match="--keep 'ninety'"):
        tree.run(["gc", "--keep", "ninety"], Face())


def test_it_refuses_while_the_store_is_away(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = worked(here, 1, 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(LedgerError, match="does not answer"):
        collect(here, keep=["90d"])
    assert snapshots(here) == {run_id}
