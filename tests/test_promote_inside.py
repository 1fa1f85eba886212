"""promote by the name of a notebook's whole run, of which an ``%%mlrun`` cell logged the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import promotions
from batches import notebook, run
from conftest import commit_all, git
from ledger import runs
from nbledger.commands import promote as promote_text
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.report import Pair, Told
from nbledger.keeper import journal, promote, report_gates
from promotions import aliases, decisions, kinds, recorded

IF = "accuracy > 0.8"
CELL = """%%mlrun churn -m accuracy
import mlflow
class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input
rows = open('data.csv').read()
accuracy = 0.9
mlflow.pyfunc.log_model(name='clf', python_model=Echo(), pip_requirements=['mlflow'])"""
NOTHING = "the run logged no model: there is nothing to promote"


def ledger(root: Path, *words: str) -> str:
    command = [sys.executable, "-m", "nbledger.cli", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_lines_that_ci_writes(project: Path) -> None:
    (project / "data.csv").write_text("a\n1\n")
    notebook(project / "churn.ipynb", "%load_ext nbledger", CELL)
    promotions.settings(project, f'[gates.rel]\nif = "{IF}"\n[models.wine]\ngate = "rel"\n')
    git(project, "switch", "--quiet", "-c", "better")
    (project / "lib.py").write_text("x = 1\n")
    commit_all(project)
    run(project, "churn.ipynb", "--name", "release v1")
    outer, inner = runs(project)
    assert (outer.info.run_name, inner.info.run_name) == ("release v1", "churn")
    told = ledger(project, "report", "--base", "main")
    assert "churn **passes** the gate rel of wine" in told and "| accuracy | — | 0.9 |" in told
    said = ledger(
        project, "promote", "release v1", "--model", "churn", "--if", IF, "--require", "clean", "--require", "data"
    )
    assert "✓ churn is churn version 1, champion" in said
    assert f"release v1 logged no model: the model is that of its run churn ({inner.info.run_id[:8]})" in said
    version = promotions.api(project).get_model_version("churn", "1")
    assert (version.run_id, aliases(project, "churn")) == (inner.info.run_id, {"champion": "1"})


@pytest.mark.slow
def test_the_run_of_a_stage_is_named_by_the_stage(project: Path) -> None:
    (project / "data.csv").write_text("a\n1\n")
    notebook(project / "churn.ipynb", "%load_ext nbledger", CELL)
    commit_all(project)
    ledger(project, "trust")
    ledger(project, "stage", "churn.ipynb", "--run", "--yes")
    commit_all(project)
    ledger(project, "repro")
    outer, inner = runs(project)[-2:]
    assert (outer.data.tags["nbledger.stage"], inner.data.tags["mlflow.parentRunId"]) == ("churn", outer.info.run_id)
    said = ledger(project, "promote", "@stage:churn", "--model", "churn", "--if", IF)
    assert (
        f"{outer.info.run_name} logged no model: the model is that of its run churn ({inner.info.run_id[:8]})" in said
    )
    assert promotions.api(project).get_model_version("churn", "1").run_id == inner.info.run_id


def test_the_only_model_inside_a_run_is_judged(project: Path) -> None:
    outer = recorded(project, "release v1", {}, model=None)
    recorded(project, "prepare", {"rows": 10.0}, model=None, within=outer)
    inner = recorded(project, "churn", {"accuracy": 0.9}, within=outer)
    told = f"release v1 logged no model: the model is that of its run churn ({inner[:8]})"
    words = {"run": outer, "model": "wine", "condition": IF}
    ahead = promote.judged(find(project), words)
    assert (ahead.passed, ahead.run_id, ahead.name, ahead.figures) == (True, inner, "churn", {"accuracy": 0.9})
    refused = promotions.promote(project, "release v1", "accuracy > 0.95")
    assert (kinds(refused), refused.run_id, refused.notes[0]) == (["condition"], inner, told)
    done = promotions.promote(project, "release v1", IF)
    assert (done.passed, done.version, done.run_id, done.notes) == (True, "1", inner, (told,))
    assert f"  ({told})" in promote_text.text(done)
    assert [one.text for one in decisions(project).decisions] == [told]
    kept = promotions.api(project).list_artifacts(inner, "nbledger/gate")
    assert len(kept) == 2 and not promotions.api(project).list_artifacts(outer, "nbledger/gate")
    path = promotions.api(project).download_artifacts(inner, kept[-1].path)
    assert told in json.loads(Path(path).read_text())["notes"]


def test_a_report_asks_the_gate_about_the_model_inside(project: Path) -> None:
    promotions.settings(project, f'[gates.rel]\nif = "{IF}"\n[models.wine]\ngate = "rel"\n')
    outer = recorded(project, "release v1", {}, model=None)
    inner = recorded(project, "churn", {"accuracy": 0.9}, within=outer)
    pair = Pair("release v1", "churn.ipynb", None, Told(outer, "release v1", "project", None))
    (view,), lacks = report_gates.views(find(project), [pair])
    assert (view.run_id, view.name, view.passed, lacks) == (inner, "churn", True, [])


def test_one_of_several_has_to_be_named(project: Path) -> None:
    outer = recorded(project, "release v1", {}, model=None)
    inner = [recorded(project, name, {"accuracy": 0.9}, within=outer) for name in ("tree", "forest")]
    refused = promotions.promote(project, "release v1", IF)
    assert (refused.passed, refused.run_id, kinds(refused)) == (False, outer, ["model", "metric"])
    assert refused.denials[0].text == (
        f"the run logged no model, but several runs inside it did: tree ({inner[0][:8]}), forest ({inner[1][:8]})"
        " (promote one of them by its id)"
    )
    assert promotions.api(project).search_registered_models() == []
    assert promotions.promote(project, inner[1][:8], IF).run_id == inner[1]


def test_what_does_not_stand_in(project: Path) -> None:
    own = recorded(project, "own", {"accuracy": 0.7})
    recorded(project, "better", {"accuracy": 0.9}, within=own)
    assert promotions.promote(project, own, IF, dry=True).denials[0].text == f"{IF}: 0.7 against 0.8"
    # what began elsewhere, and was said to be inside by a tag
    outer, other = (recorded(project, name, {}, model=None) for name in ("outer", "other"))
    loose = recorded(project, "loose", {"accuracy": 0.9}, within=other)
    store = promotions.api(project)
    store.set_tag(loose, "mlflow.parentRunId", outer)
    assert promotions.promote(project, outer, IF, dry=True).denials[0].text == NOTHING
    # what did not finish, was deleted, or is inside a run that did not finish
    inner = recorded(project, "inner", {"accuracy": 0.9}, within=other)
    assert promotions.promote(project, other, IF, dry=True).passed
    store.delete_run(inner)
    assert promotions.promote(project, other, IF, dry=True).denials[0].text == NOTHING
    store.restore_run(inner)
    store.set_terminated(inner, "FAILED")
    assert promotions.promote(project, other, IF, dry=True).denials[0].text == NOTHING
    store.set_terminated(inner, "FINISHED")
    store.set_terminated(other, "FAILED")
    assert "status" in kinds(promotions.promote(project, other, IF, dry=True))


def test_a_run_inside_that_is_not_published_yet_is_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = recorded(project, "outer", {}, model=None)
    recorded(project, "first", {"accuracy": 0.9}, within=outer)
    monkeypatch.setattr(promotions, "published", lambda _: None)
    monkeypatch.setattr(promotions, "newest", lambda *_: "")
    recorded(project, "second", {"accuracy": 0.9}, model=None, within=outer)
    monkeypatch.setattr("nbledger.keeper.overview.flush", lambda _: None)
    assert list(journal.pending(find(project)))
    with pytest.raises(Refused, match="'second' inside it is not published whole yet"):
        promotions.promote(project, outer, IF, dry=True)
