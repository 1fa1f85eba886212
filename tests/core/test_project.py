"""Where am I: the root, its repositories, its store and its settings, from wherever one stands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from conftest import commit_all, dvc, git
from nbledger.core import trust
from nbledger.core.errors import UsageError
from nbledger.core.project import find


def test_from_any_folder_inside(project: Path) -> None:
    deep = project / "a/b c"
    deep.mkdir(parents=True)
    for start in (project, deep, deep / "not yet", project / ".dvc" / "config"):
        found = find(start)
        assert (found.root, found.home, found.dvc_root) == (project, project, project)
    os.chdir(deep)
    assert find().root == project


def test_through_a_link(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    assert find(tmp_path / "link").root == project


def test_dvc_in_a_subfolder(folder: Path) -> None:
    git(folder, "init", "-q")
    (folder / "sub/deep").mkdir(parents=True)
    dvc(folder / "sub", "init", "-q", "--subdir")
    assert (find(folder / "sub/deep").root, find(folder / "sub/deep").dvc_root) == (folder, folder / "sub")
    assert find(folder).dvc_root is None


def test_worktrees_share_the_store_and_not_the_root(project: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(project, "worktree", "add", "-q", str(linked))
    here, there = find(project), find(linked)
    assert (there.root, there.home, there.state) == (linked, project, here.state)
    assert there.tracking_uri == here.tracking_uri and there.key == here.key
    assert there.git is not None and here.git is not None
    assert there.git.git_dir != here.git.git_dir and there.git.common_dir == here.git.git_dir


def test_submodule_is_a_project_of_its_own(project: Path, tmp_path: Path) -> None:
    upstream = tmp_path / "up"
    upstream.mkdir()
    git(upstream, "init", "-q")
    commit_all(upstream)
    git(project, "submodule", "--quiet", "add", str(upstream), "sub")
    found = find(project / "sub")
    assert (found.root, found.home, found.dvc_root) == (project / "sub", project / "sub", None)


def test_outside_a_repository(folder: Path) -> None:
    deep = folder / "deep"
    deep.mkdir()
    assert find(deep).root == deep
    (folder / ".nbledger.toml").write_text("experiment = 'x'\n")
    found = find(deep)
    assert (found.root, found.git, found.dvc_root, found.experiment) == (folder, None, None, "x")


def test_a_broken_link_file_is_told(folder: Path) -> None:
    from nbledger.core.errors import LedgerError

    (folder / ".git").write_text("nonsense\n")
    with pytest.raises(LedgerError, match="not a Git link file"):
        find(folder)


def test_tracking_uri_setting_then_environment_then_embedded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find().tracking_uri == f"sqlite:///{project}/.nbledger/mlflow.db" and find().embedded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert find().tracking_uri == "http://environment" and not find().embedded
    (project / "pyproject.toml").write_text('[tool.nbledger]\ntracking-uri = "http://pyproject"\n')
    assert (find().tracking_uri, find().stranger_uri) == (
        "http://environment",
        "http://pyproject",
    )  # until it is trusted
    trust.trust(find())
    assert find().tracking_uri == "http://pyproject"
    (project / ".nbledger.toml").write_text('tracking_uri = "http://own"\n')
    assert find().tracking_uri == "http://own"
    inner = project / "inner"
    inner.mkdir()
    (inner / ".nbledger.toml").write_text('experiment = "inner"\n')
    assert (find(inner).tracking_uri, find(inner).experiment) == ("http://own", "inner")


def test_experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find().experiment == "project"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "environment")
    assert find().experiment == "environment"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("experimnt = 'x'", "did you mean experiment"),
        ("keeper = 1", "true or false"),
        ("hash_max_mb = 'big'", "a number"),
        ("snapshot_max_mb = -0.5", "a number"),
        ("ignore_inputs = [1]", "a list of strings"),
        ("tracking_uri = ' '", "a non-empty string"),
        ("gates = 1", "not tables by name"),
        ("[gates]\nif = 'x > 1'", "not tables by name: [gates.NAME]"),
        ("models = ['wine']", "not tables by name: [models.NAME]"),
        ("drift = true", "not a table"),
        ("= 1", "not valid TOML"),
    ],
)
def test_settings_say_what_is_wrong(project: Path, text: str, said: str) -> None:
    (project / ".nbledger.toml").write_text(text)
    with pytest.raises(UsageError) as err:
        find()
    assert said in str(err.value) and ".nbledger.toml" in str(err.value)


def test_tables_are_joined_entry_by_entry(project: Path) -> None:
    assert (find().settings.gates, find().settings.models, find().settings.drift) == ({}, {}, {})
    (project / "pyproject.toml").write_text(
        "[tool.nbledger.gates.a]\nif = 'x > 1'\nmin_rows = 2\n[tool.nbledger.gates.b]\nif = 'y > 1'\n"
    )
    (project / ".nbledger.toml").write_text(
        "[gates.a]\nif = 'x > 2'\n[models.'wine ü']\ngate = 'a'\n[drift]\nshare = 0.5\n"
    )
    found = find().settings
    assert found.gates == {"a": {"if": "x > 2"}, "b": {"if": "y > 1"}}
    assert (found.models, found.drift) == ({"wine ü": {"gate": "a"}}, {"share": 0.5})


def test_a_pyproject_of_others_is_no_concern(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.other]\nx = 1\n[project]\nname = "y"\n')
    assert find().settings.keeper is True


def test_state_is_private_and_ignored(project: Path) -> None:
    state = find().ensure_state()
    (state / "x").write_text("x")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert git(project, "status", "--porcelain") == ""
