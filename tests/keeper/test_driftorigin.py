"""What a model was trained on, where the run that logged it only evaluated it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbledger.core import mlflow, record
from nbledger.core.errors import Refused
from nbledger.core.lineage import FileRecord
from nbledger.core.project import find
from nbledger.keeper import driftorigin, overview
from nbledger.keeper.driftorigin import READ, TRAINED, Chosen
from recordedruns import file, recorded

COLUMNS = ("x", "y", "label")


def chosen(root: Path, run: str, wanted: str | None = None, **columns: tuple[str, ...]) -> Chosen:
    """The reference of a run's model, for data with ``COLUMNS``; ``columns`` are those of tables that have others."""
    here, notes = find(root), list[str]()
    known = driftorigin.origins(here, record.load(here, overview.run(here, run)), notes)
    assert notes == []
    return driftorigin.choose(known, wanted, COLUMNS, lambda _, one: columns.get(Path(one.path).stem, COLUMNS))


@pytest.fixture
def runs(project: Path) -> tuple[Path, Any]:
    return project, mlflow.client(find(project))


def test_a_stage_that_evaluates_did_not_train(runs: tuple[Path, Any]) -> None:
    root, api = runs
    raw, train, test, model = (
        file(name, name) for name in ("data/raw.csv", "work/train.csv", "work/test.csv", "m.pkl")
    )
    recorded(root, api, 1, "prepare", (raw,), (train, test))
    recorded(root, api, 2, "train", (train,), (model,))
    last = recorded(root, api, 3, "evaluate", (model, test), (file("metrics.json", "1"),))
    found = chosen(root, last)
    assert (found.reference.path, found.how, found.origin.record.row.name) == ("work/train.csv", TRAINED, "train")
    assert "m.pkl, which the run train" in found.notes[0]
    assert chosen(root, last, "work/test.csv").reference.path == "work/test.csv"  # as it was asked for
    # where only the run's own table is like the data, it is that one, and it is not said that it trained
    other = chosen(root, last, train=("a", "b"))
    assert (other.reference.path, other.how) == ("work/test.csv", READ) and "--reference" in other.notes[0]
    with pytest.raises(Refused, match="has the columns"):
        chosen(root, last, train=("a", "b"), test=("c", "d"))


def test_one_stage_may_split_and_train(runs: tuple[Path, Any]) -> None:
    root, api = runs
    wine, test, model = (file(name, name) for name in ("data/wine.csv", "test.csv", "model.json"))
    recorded(root, api, 1, "train", (wine,), (model, test))
    last = recorded(root, api, 2, "evaluate", (model, test))
    found = chosen(root, last)
    assert (found.reference.path, found.how) == ("data/wine.csv", TRAINED)


def test_what_one_run_read_is_what_it_trained_on_only_if_it_read_nothing_else(runs: tuple[Path, Any]) -> None:
    root, api = runs
    one, two, lookup = (file(name, name) for name in ("train.csv", "test.csv", "countries.csv"))
    script = FileRecord("config.json", 3, "0" * 32, "git")  # a person's own
    alone = recorded(root, api, 1, "fit", (one, lookup, script))
    found = chosen(root, alone, countries=("code", "name"))
    assert (found.reference.path, found.how, found.notes) == ("train.csv", TRAINED, ())
    both = chosen(root, recorded(root, api, 2, "fit", (one, two)))
    assert both.how == READ and "other tables" in both.notes[0]
    away = recorded(root, api, 3, "fit", (one, file("base.pt", "who made this?")))
    unknown = chosen(root, away)
    assert (unknown.reference.path, unknown.how) == ("train.csv", READ) and "another one may have" in unknown.notes[0]
