"""``@stage:NAME``: the run that made what ``dvc.lock`` has of a stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import commit_all
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import find
from nbledger.keeper import overview

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
