"""``@stage:NAME``: the run that made what ``dvc.lock`` has of a stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import commit_all
from nbledger.core import mlflow, stages
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import find
from nbledger.keeper import overview, stagerun
from recordedruns import recorded

YAML = """\
stages:
  fit:
    cmd: >-
      python -c "import json; json.dump({'score': len(open('in.txt').read())}, open('m.json', 'w'))"
    deps: [in.txt]
    metrics: [{m.json: {cache: false}}]
"""


def repro(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", "repro", "--trust"], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_run_of_what_the_lock_has(project: Path) -> None:
    (project / "dvc.yaml").write_text(YAML)
    (project / "in.txt").write_text("one")
    commit_all(project)
    with pytest.raises(Refused, match="never executed"):
        overview.run(find(project), "@stage:fit")
    with pytest.raises(UsageError, match="no stage 'nix'"):
        overview.run(find(project), "@stage:nix")
    repro(project)
    first = overview.run(find(project), "@stage:fit")
    assert first.metrics == {"score": 3}
    before = (project / "dvc.lock").read_text()
    commit_all(project)
    (project / "in.txt").write_text("three")
    repro(project)
    second = overview.run(find(project), "@stage:fit")
    assert second.metrics == {"score": 5} and second.run_id != first.run_id
    (project / "dvc.lock").write_text(before)  # the state of then, as after a checkout
    assert overview.run(find(project), "@stage:fit").run_id == first.run_id
    (project / "dvc.lock").write_text(before.replace("in.txt\n", "other.txt\n"))
    with pytest.raises(Refused, match="no run of this ledger made"):
        overview.run(find(project), "@stage:fit")


def test_it_is_found_in_whatever_experiment_the_clone_that_made_it_had(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI the folder of the clone, which names the experiment where no settings do, is another one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    (project / "dvc.yaml").write_text(YAML)
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  fit:\n    cmd: x\n    deps:\n"
        f"    - path: in.txt\n      hash: md5\n      md5: {'a' * 32}\n      size: 1\n"
    )
    commit_all(project)
    here = find(project)
    with pytest.raises(Refused, match="all experiments"):
        overview.run(here, "@stage:fit")
    held = stagerun.locked(here, stages.stage(here, "fit"))
    assert held is not None
    tags = {stagerun.DIGEST_TAG: stagerun.digest(stages.stage(here, "fit"), held[0])}
    with monkeypatch.context() as laptop:
        laptop.setenv("MLFLOW_EXPERIMENT_NAME", "laptop")
        made = recorded(project, mlflow.client(here), 1, "fit", tags=tags, record=False)
        recorded(project, mlflow.client(here), 2, "fit", tags={stagerun.DIGEST_TAG: "0" * 32}, record=False)
    assert overview.run(here, "@stage:fit").run_id == made
