"""A data remote that is a folder, and is not there: a share that is not mounted is no reason to begin another store."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, data_remote, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import prepush, push, trust
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import find
from nbledger.core.track import track


def version(root: Path, text: str) -> None:
    (root / "a.csv").write_text(text)
    track(find(root), ["a.csv"])


@pytest.fixture
def unmounted(project: Path, tmp_path: Path) -> Path:
    """A project of which a version is shared and a newer one is committed here; the folder of its data is away."""
    both_remotes(project, tmp_path)
    trust.trust(find(project))
    version(project, "a1")
    push.push(find(project))  # the first one makes the folder
    assert (tmp_path / "store").is_dir()
    shutil.move(tmp_path / "store", tmp_path / "away")
    version(project, "a2")
    return project


def test_a_push_begins_no_other_store(unmounted: Path, tmp_path: Path) -> None:
    before, store = git(unmounted, "ls-remote", "origin"), tmp_path / "store"
    told = f"{store}, the folder of the data remote store, is not there, and origin/main names data in it"
    for words in (("push",), ("push", "--dry-run"), ("push", "--allow-missing"), ("push", "--no-runs")):
        with pytest.raises(LedgerError) as refused:
            run(words, Face())
        assert refused.value.message == told
        assert refused.value.hint == f"mount it, and push again; mkdir -p {store} if it is to begin anew"
    assert not store.exists() and git(unmounted, "ls-remote", "origin") == before
    shutil.move(tmp_path / "away", store)
    done = push.push(find(unmounted))
    assert (done.commits, done.data, done.gaps) == (1, 1, ())


def test_a_push_of_code_alone_begins_none_either(unmounted: Path, tmp_path: Path) -> None:
    git(unmounted, "reset", "-q", "--hard", "HEAD~")
    (unmounted / "n.py").write_text("1")
    commit_all(unmounted)
    with pytest.raises(Refused, match="is not there"):
        push.push(find(unmounted))
    assert not (tmp_path / "store").exists()
    (tmp_path / "store").mkdir()
    assert push.push(find(unmounted)).commits == 1  # as the person said


def test_plain_git_push_is_told_so(unmounted: Path, tmp_path: Path) -> None:
    prepush.install(find(unmounted))
    done = subprocess.run(["git", "push", "origin", "main"], cwd=unmounted, capture_output=True, text=True)
    assert done.returncode and f"could not be asked: {tmp_path / 'store'}, the folder of" in done.stderr
    assert "git push --no-verify" in done.stderr and not (tmp_path / "store").exists()


@pytest.mark.parametrize("kept", ["config", "config.local"])
def test_a_new_place_is_made(unmounted: Path, tmp_path: Path, kept: str) -> None:
    """What was pushed names data in another place. Where the address is this clone's own, it is not known to be new."""
    config = unmounted / ".dvc" / "config"
    text = config.read_text().replace(str(tmp_path / "store"), str(tmp_path / "newer"))
    (unmounted / ".dvc" / kept).write_text(text)
    commit_all(unmounted)
    if kept == "config.local":
        with pytest.raises(Refused, match="newer, the folder of the data remote store, is not there"):
            push.plan(find(unmounted))
        (tmp_path / "newer").mkdir()
    assert push.push(find(unmounted)).data == 2
    assert sorted(path.read_text() for path in (tmp_path / "newer").rglob("*") if path.is_file()) == ["a1", "a2"]


def test_commits_that_went_without_a_data_remote(project: Path, tmp_path: Path) -> None:
    """Nothing was ever in the folder: the first push that has one makes it."""
    both_remotes(project, tmp_path)
    (project / ".dvc" / "config").write_text("")
    trust.trust(find(project))
    version(project, "a1")
    commit_all(project)
    git(project, "push", "-q", "-u", "origin", "main")
    data_remote(project, tmp_path / "store")
    commit_all(project)
    assert push.push(find(project)).data == 1
