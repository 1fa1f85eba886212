"""On no branch, as where CI has checked out a tag: data and snapshots go there and back, commits stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import commit_all, data_remote, git, run
from nbledger.core import pull, push, snapshot, trust
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track

RUN = "ab" * 16


@pytest.fixture
def tagged(project: Path, tmp_path: Path) -> Path:
    """A clone at a tag, whose data are in the remote."""
    data_remote(project, tmp_path / "store")
    (project / "data.csv").write_text("a,b\n1,2\n")
    track(find(project), ["data.csv"], message="The data")
    commit_all(project)
    git(project, "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git(project, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(project, "tag", "v1")
    push.push(find(project), None, push.Wanted(tags=True))
    run("git", "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "ci"), cwd=tmp_path)
    clone = tmp_path / "ci"
    git(clone, "checkout", "--quiet", "v1")
    trust.trust(find(clone))
    return clone


def test_data_come_and_data_and_snapshots_go(tagged: Path, tmp_path: Path) -> None:
    came = pull.pull(find(tagged))
    assert came.data == ("data.csv",)
    assert came.remote is None
    (tagged / "more.py").write_text("x = 1\n")
    snapshot.capture(find(tagged), RUN)
    (tagged / "data.csv").write_text("a,b\n3,4\n")
    track(find(tagged), ["data.csv"], commit=False)
    assert any("no commits" in line for line in push.told(push.plan(find(tagged))))
    sent = push.push(find(tagged))
    assert (sent.commits, sent.runs, sent.upstream) == (0, 1, False)
    assert sent.data == 1
    refs = git(tmp_path / "origin.git", "for-each-ref", "--format=%(refname)").split("\n")
    assert sorted(refs) == ["refs/heads/main", f"refs/nbledger/runs/{RUN}", "refs/tags/v1"]
    again = push.push(find(tagged))
    assert (again.commits, again.runs, again.data) == (0, 0, 0)


def test_a_commit_that_no_remote_has_is_not_left_behind_in_silence(tagged: Path) -> None:
    commit_all(tagged, "On no branch")
    with pytest.raises(Refused, match="on no branch"):
        push.plan(find(tagged))
