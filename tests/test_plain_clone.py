"""What a plain ``git clone`` of a team's project says of what is not asked, or not set up, before one trusts it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import both_remotes, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import credentials, dvc, prepush, push, restorable, trust
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper import doctor, pushed
from nbledger.keeper.doctor import Finding
from servers import free_port

HELD = "is not asked until you trust it: nbledger trust"


def said(*words: str) -> tuple[Any, str]:
    answer = run(words, Face())
    assert answer is not None
    return answer.data, answer.text


@pytest.fixture
def server(project: Path, tmp_path: Path) -> str:
    """The address of the tracking server that the project's settings name; one version of data is pushed."""
    address = f"http://127.0.0.1:{free_port()}"
    (project / ".nbledger.toml").write_text(
        f'tracking_uri = "{address.replace("//", "//ada:planted@")}"\nexperiment = "wine"\npre_push_hook = true\n'
    )
    both_remotes(project, tmp_path)
    (project / "a.csv").write_text("a1")
    trust.trust(find(project))
    track(find(project), ["a.csv"])
    push.push(find(project))
    return address


@pytest.fixture
def clone(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone that nobody trusts yet, which is the working directory."""
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def test_runs_of_a_server_that_is_not_asked(clone: Path, server: str) -> None:
    held = f"; the project's run store, {server}, {HELD}"
    assert said("runs") == ([], f"no runs here{held}")
    assert said("runs", "--mine") == ([], f"no run of Ada Tester <ada@example.org> here{held}")
    assert said("runs", "--user", "ben", "forest") == ([], f"no run of ben matches forest here{held}")
    assert said("runs", "forest") == ([], f"no run matches forest here{held}")


def test_runs_of_this_clone_stand_above_the_server_that_is_not_asked(clone: Path, server: str) -> None:
    import mlflow

    uri = find(clone).embedded_uri
    find(clone).ensure_state()
    api = mlflow.MlflowClient(uri)
    api.set_terminated(api.create_run(api.create_experiment("wine"), run_name="mine").info.run_id)
    rows, text = said("runs")
    assert [row["name"] if isinstance(row, dict) else row.name for row in rows] == ["mine"]
    assert text.splitlines()[-1] == f"the project's run store, {server}, {HELD}"


def test_a_push_does_not_ask_for_the_server_that_is_named(clone: Path, server: str) -> None:
    find(clone).ensure_state()
    (clone / ".nbledger" / "mlflow.db").touch()
    why = f"in a store of this machine only: {server} is not asked until you trust this project"
    (gap,) = restorable.of_runs(find(clone), 0)
    assert (gap.kind, gap.why, gap.hint) == ("store", why, "nbledger trust")


def test_the_data_remote_is_asked_only_by_who_says_so(clone: Path) -> None:
    """Whoever types ``pull`` has the remote asked, trusted or not, and what is said of it holds."""
    text = "the data remote store is not asked unbidden until you trust this project"
    assert pushed.known(find(clone), dvc.outputs(find(clone))[0]) == (None, f"{text} (nbledger trust)")
    assert [(f.text, f.fix) for f in credentials.check(find(clone)) if f.severity == "note"] == [
        (text, "nbledger trust")
    ]
    said("pull")
    assert (clone / "a.csv").read_text() == "a1" and not trust.trusted(find(clone))


def hook(root: Path, *, fix: bool = False) -> list[Finding]:
    return [f for f in doctor.examine(find(root), fix=fix) if re.search(r"\bhooks?\b", f.text)]


def test_doctor_tells_of_a_hook_that_the_project_asks_for(clone: Path) -> None:
    (found,) = hook(clone)
    assert (found.severity, found.fix, found.fixed) == ("problem", "nbledger init --hook", False)
    assert (
        found.text
        == "this project has git push look whether the data are in the remote, and this clone has no pre-push hook"
    )
    assert not hook(clone, fix=True)[0].fixed, "not before it is trusted"
    trust.trust(find(clone))
    assert hook(clone, fix=True)[0].fixed
    (found,) = hook(clone)
    assert found.severity == "ok" and os.access(clone / ".git" / "hooks" / "pre-push", os.X_OK)


def test_a_hook_that_others_look_after_is_one(clone: Path) -> None:
    trust.trust(find(clone))
    git(clone, "config", "core.hooksPath", "team")
    (found,) = hook(clone, fix=True)
    assert not found.fixed and prepush.COMMAND in found.fix
    (clone / "team").mkdir()
    (clone / "team" / "pre-push").write_text(f"#!/bin/sh\n{prepush.COMMAND}\n")
    (clone / "team" / "pre-push").chmod(0o755)
    assert hook(clone) == []
    git(clone, "config", "--unset", "core.hooksPath")
    assert [f.severity for f in hook(clone)] == ["problem"]
    (clone / ".pre-commit-config.yaml").write_text(
        "repos:\n- repo: local\n  hooks:\n  - {id: nbledger, entry: nbledger pre-push, stages: [pre-push]}\n"
    )
    framework = clone / ".git" / "hooks" / "pre-push"
    framework.write_text("#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n")
    framework.chmod(0o755)
    assert hook(clone) == []
