"""A new project's run store is a copy of one that MLflow made: nobody can tell them apart."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_data_dir

from ledger import client
from nbledger.core import mlflow, newstore
from nbledger.core.project import Project, find


@pytest.fixture
def kept(isolated: Path) -> Path:
    """Where the empty store is kept; none is there at first."""
    shutil.rmtree(Path(jupyter_data_dir()) / "nbledger", ignore_errors=True)
    return Path(jupyter_data_dir()) / "nbledger" / f"store-{mlflow.version()}.db"


def made(root: Path) -> Project:
    root.mkdir()
    found = find(root)
    mlflow.ensure_embedded(found)
    return found


def dump(here: Project) -> list[str]:
    """All that the database holds, with its own place and the times taken out."""
    with sqlite3.connect(here.state / "mlflow.db") as database:
        pragmas = [str(database.execute(f"pragma {name}").fetchone()) for name in ("journal_mode", "page_size")]
        lines = [re.sub(r"\b1\d{12}\b", "NOW", line.replace(str(here.root), "HERE")) for line in database.iterdump()]
    return pragmas + lines


def test_a_copy_is_what_mlflow_makes(kept: Path, folder: Path) -> None:
    first = made(folder / "first")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not list(first.state.glob("mlflow.db.new*"))
    kept.rename(kept.with_name("aside"))
    odd = made(folder / "it's 50% ünusual")  # a name that MLflow needs as a URI
    kept.with_name("aside").replace(kept)
    shutil.move(odd.root, folder / "aside")
    inode = kept.stat().st_ino
    second, again = made(folder / "second"), made(folder / "it's 50% ünusual")
    assert kept.stat().st_ino == inode  # used, not made
    assert dump(second) == dump(first)
    with sqlite3.connect(folder / "aside" / ".nbledger" / "mlflow.db") as plain:
        places = plain.execute("select artifact_location from experiments").fetchall()
    with sqlite3.connect(again.state / "mlflow.db") as copy:
        assert copy.execute("select artifact_location from experiments").fetchall() == places
    api = client(second.tracking_uri)
    run = api.create_run("0", run_name="one").info
    api.log_metric(run.run_id, "loss", 0.5)
    assert run.artifact_uri.startswith(str(second.root)) and api.get_run(run.run_id).data.metrics == {"loss": 0.5}
    assert client(first.tracking_uri).search_runs(["0"]) == []


def test_what_is_kept_and_unusable_is_made_anew(kept: Path, folder: Path) -> None:
    made(folder / "first")
    draft = folder / "draft.db"
    whole = kept.read_bytes()
    for damaged in (b"", b"no database", whole[:20_000], whole[:-8192], bytes(len(whole))):
        kept.write_bytes(damaged)
        assert not newstore.copy_to(draft, "there", mlflow.version())
    kept.write_bytes(whole)
    with sqlite3.connect(kept) as database:  # somebody has worked in it
        database.execute("insert into experiments (experiment_id, name) values (1, 'somebody')")
    assert not newstore.copy_to(draft, "there", mlflow.version())
    here = made(folder / "second")
    assert client(here.tracking_uri).search_experiments()[0].artifact_location == str(here.state / "artifacts" / "0")
    assert newstore.copy_to(draft, "there", mlflow.version())  # kept anew


def test_where_nothing_can_be_kept_the_store_is_made_all_the_same(kept: Path, folder: Path) -> None:
    kept.mkdir(parents=True)
    here = made(folder / "first")
    assert client(here.tracking_uri).get_experiment("0").name == "Default"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_those_of_other_versions_go(kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    (kept.parent / "store-1.0.db").write_text("old")
    (kept.parent / "trust.json").write_text("{}")
    newstore.keep(kept.parent / "trust.json", mlflow.version())
    assert sorted(path.name for path in kept.parent.iterdir()) == [kept.name, "trust.json"]
