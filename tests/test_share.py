"""Push and pull against a bare Git repository and a local DVC remote."""

from __future__ import annotations

from pathlib import Path

import pytest

import ledger
from conftest import both_remotes, commit_all, data_status, dvc, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import dvcremote, pull, push, recorded, trust
from nbledger.core.errors import LedgerError, Refused, Unreachable, Untrusted
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.core.useversion import use
from nbledger.keeper import calls, publish, recorder
from nbledger.keeper.recorder import Plan


def test_what_the_remote_lacks(project: Path, tmp_path: Path) -> None:
    assert dvcremote.default_remote(find(project)) is None
    (project / "a.csv").write_text("1\n")
    (project / "d").mkdir()
    (project / "d" / "b.csv").write_text("2\n")
    track(find(project), ["a.csv", "d"])
    assert dvcremote.not_in_remote(find(project)) == []
    dvc(project, "remote", "add", "-d", "Store", str(tmp_path / "store"))
    assert dvcremote.default_remote(find(project)) == ("store", str(tmp_path / "store"))
    assert dvcremote.not_in_remote(find(project)) == ["a.csv", "d"]
    dvc(project, "push", "-q", "a.csv.dvc")
    assert dvcremote.not_in_remote(find(project)) == ["d"]
    dvc(project, "push", "-q")
    assert dvcremote.not_in_remote(find(project)) == []
    local = "['remote \"store\"']\n    url = https://me:secret@example.org/x\n"
    (project / ".dvc" / "config.local").write_text(local)
    assert dvcremote.default_remote(find(project)) == ("store", "https://example.org/x")


def clone(url: Path, place: Path) -> Path:
    git(place.parent, "clone", "-q", str(url), place.name)
    return place


@pytest.fixture
def remote(project: Path, tmp_path: Path) -> Path:
    """A bare repository and a data remote for the project."""
    return both_remotes(project, tmp_path)


def snapshot(root: Path, run_id: str, commit: str = "HEAD") -> str:
    git(root, "update-ref", f"refs/nbledger/runs/{run_id}", commit)
    return git(root, "rev-parse", commit)


def test_there_and_back(project: Path, remote: Path, tmp_path: Path) -> None:
    data, folder = project / "a.csv", project / "d"
    data.write_text("version 1\n")
    old = track(find(project), ["a.csv"])[0].commit
    snapshot(project, "1" * 32)
    data.write_text("version 2\n")
    folder.mkdir()
    (folder / "x").write_text("x")
    track(find(project), ["a.csv", "d"])
    hook = project / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ncat >> {tmp_path}/hooked\n")
    hook.chmod(0o755)
    with pytest.raises(Untrusted, match="hooks/pre-push"):
        push.push(find(project))
    trust.trust(find(project))

    asked = push.plan(find(project))
    lines = "\n".join(push.told(asked))
    assert f"data: a.csv, d → store ({tmp_path / 'store'})" in lines
    assert f"4 commits of main → origin/main ({remote}) (a new branch there)" in lines
    assert "origin/main becomes the upstream of main" in lines
    assert "snapshots of 1 run → origin" in lines
    assert "your pre-push hook runs" in lines
    assert git(project, "ls-remote", "origin") == ""  # a plan sends nothing

    steps: list[str] = []
    done = push.push(find(project), lambda done, total, text: steps.append(text))
    assert (done.remote, done.branch, done.commits, done.runs, done.upstream) == ("origin", "main", 4, 1, True)
    assert steps == ["asking the remotes", "data to store", "main to origin"]
    assert dvc(project, "data", "status", "--not-in-remote", "--json") == "{}"
    assert git(remote, "rev-parse", "main", "refs/nbledger/runs/" + "1" * 32).split() == [
        git(project, "rev-parse", "HEAD"),
        old,
    ]
    assert git(project, "status", "-sb").splitlines()[0] == "## main...origin/main"
    assert len((tmp_path / "hooked").read_text().splitlines()) == 2
    assert "hook" not in "\n".join(push.told(push.plan(find(project))))  # there is nothing to run it for
    again = push.push(find(project))
    assert (again.commits, again.runs, again.data, again.upstream) == (0, 0, 0, False)

    # a clone has the snapshot's data as well: the remote got the version that only the run read
    other = clone(remote, tmp_path / "other")
    came = pull.pull(find(other))
    assert (came.commits, came.runs, sorted(came.data)) == (0, 1, ["a.csv", "d"])
    assert (other / "a.csv").read_text() == "version 2\n"
    assert (other / "d" / "x").read_text() == "x"
    use(find(other), "a.csv", old or "")
    assert (other / "a.csv").read_text() == "version 1\n"
    use(find(other), "a.csv", git(other, "rev-parse", "HEAD"))

    git(other, "config", "fetch.prune", "true")  # a snapshot that is not pushed yet stays
    unpushed = snapshot(other, "3" * 32, "HEAD~")
    git(project, "push", "-q", "--no-verify", "origin", "HEAD~2:refs/nbledger/runs/" + "4" * 32)
    assert pull.pull(find(other)).runs == 1
    assert git(other, "for-each-ref", "--format=%(objectname)", "refs/nbledger/").splitlines()[1:] == [
        unpushed,
        git(project, "rev-parse", "HEAD~2"),
    ]

    # new work there comes here, and the other way round nothing is lost
    (other / "a.csv").write_text("version 3\n")
    (other / "n.ipynb").write_text("{}")
    track(find(other), ["a.csv"])
    commit_all(other, "a notebook")
    push.push(find(other))
    data.write_text("mine\n")
    with pytest.raises(Refused, match=r"a\.csv is changed here"):
        pull.plan(find(project))
    data.write_text("version 2\n")
    (project / "n.ipynb").write_text("mine")
    with pytest.raises(Refused, match=r"changed here and there: n\.ipynb"):
        pull.pull(find(project))
    (project / "n.ipynb").unlink()
    before = git(project, "for-each-ref")
    lines = "\n".join(pull.told(pull.plan(find(project))))
    assert "2 commits of origin/main" in lines
    assert "data that the state then needs: a.csv" in lines
    assert pull.overwritten(pull.plan(find(project))) == ["a.csv.dvc: replaced"]
    assert git(project, "for-each-ref") == before  # a plan moves no ref
    came = pull.pull(find(project))
    assert (came.commits, came.data) == (2, ("a.csv",))
    assert data.read_text() == "version 3\n"
    assert git(project, "status", "--porcelain") == ""
    assert data_status(project) == {}
    assert git(project, "reflog", "-1", "--format=%gs") == "pull: Fast-forward"
    assert pull.pull(find(project)).commits == 0
    assert not git(project, "fsck", "--strict")

    # both sides move on: nobody's work is merged behind their back
    (project / "here.py").write_text("1")
    commit_all(project, "here")
    (other / "there.py").write_text("1")
    commit_all(other, "there")
    push.push(find(other))
    head = git(project, "rev-parse", "HEAD")
    with pytest.raises(Refused, match="diverged"):
        pull.pull(find(project))
    with pytest.raises(
        Refused, match=r"commits that you do not have — git pull --rebase .* nbledger pull brings the data"
    ):
        push.push(find(project))
    assert git(project, "rev-parse", "HEAD") == head


def test_a_pull_keeps_what_runs_need_of_it(project: Path, remote: Path, tmp_path: Path) -> None:
    (project / "a.csv").write_text("version 1\n")
    track(find(project), ["a.csv"])
    snapshot(project, "1" * 32)
    push.push(find(project))
    other = clone(remote, tmp_path / "other")
    pull.pull(find(other))
    found = recorded.examined(find(other))
    assert len(found.needed) == 1 and not found.bare


def test_what_stands_in_the_way(project: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no remote to push to"):
        push.plan(find(project))
    with pytest.raises(Refused, match="no remote to pull from"):
        pull.plan(find(project))
    (project / "a.csv").write_text("1")
    track(find(project), ["a.csv"])
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    with pytest.raises(Refused, match="main has no upstream"):
        pull.plan(find(project))
    assert push.push(find(project)).notes == (
        "there is no default data remote: the data stay here (nbledger init --remote URL)",
    )
    hook = tmp_path / "bare.git" / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/nbledger/*|refs/heads/main) echo no >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    snapshot(project, "2" * 32)
    done = push.push(find(project))
    assert done.runs == 0
    assert "rejected 1 snapshot" in done.notes[-1]
    commit_all(project, "more")
    with pytest.raises(Refused, match="origin rejected main"):
        push.push(find(project))
    refusing = project / ".git" / "hooks" / "pre-push"
    refusing.write_text("#!/bin/sh\necho 'tests fail' >&2; exit 1\n")
    refusing.chmod(0o755)
    trust.trust(find(project))
    with pytest.raises(LedgerError, match="tests fail"):
        push.push(find(project))
    refusing.unlink()
    git(project, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(Refused, match="no repository at origin"):
        push.plan(find(project))
    git(project, "remote", "set-url", "origin", "http://me:secret@127.0.0.1:9/x")
    with pytest.raises(Unreachable, match="did not answer") as told:
        push.plan(find(project))
    assert "secret" not in str(told.value)
    git(project, "remote", "add", "second", str(tmp_path / "bare.git"))
    git(project, "branch", "--unset-upstream")
    with pytest.raises(Refused, match="several remotes: origin, second"):
        push.plan(find(project))
    git(project, "switch", "-q", "--detach")
    with pytest.raises(Refused, match="on no branch"):
        push.plan(find(project))


def test_a_pull_leaves_alone_what_git_ignores_and_what_was_never_tracked(
    project: Path, remote: Path, tmp_path: Path
) -> None:
    (project / ".gitignore").write_text("secret.env\nkept\n")
    commit_all(project, "ignore")
    push.push(find(project))
    there = clone(remote, tmp_path / "there")
    for name, text in {"secret.env": "theirs", "kept/new.txt": "theirs"}.items():
        (there / name).parent.mkdir(exist_ok=True)
        (there / name).write_text(text)
        git(there, "add", "-f", name)
    git(there, "commit", "-qm", "what was ignored")
    git(there, "push", "-q")
    (project / "secret.env").write_text("mine")
    (project / "kept").write_text("mine")
    for act in (pull.plan, pull.pull):
        with pytest.raises(Refused, match=r"in the way of what is pulled: secret\.env"):
            act(find(project))
    (project / "secret.env").unlink()
    with pytest.raises(LedgerError, match="git merge failed"):  # a file where a folder is to be
        pull.pull(find(project))
    assert (project / "kept").read_text() == "mine"
    (project / "kept").unlink()
    pull.pull(find(project))
    assert (project / "secret.env").read_text() == "theirs"
    (there / "raw.csv").write_text("theirs\n")
    track(find(there), ["raw.csv"])
    push.push(find(there))
    (project / "raw.csv").write_text("mine, never tracked\n")
    assert pull.pull(find(project)).notes == ("changed here, so left as they are: raw.csv (nbledger track PATH)",)
    assert (project / "raw.csv").read_text() == "mine, never tracked\n"


def test_verbs(project: Path, remote: Path) -> None:
    def said(*words: str) -> tuple[str, int]:
        answer = run(words, Face())
        assert answer is not None
        return answer.text, answer.code

    (project / "a.csv").write_text("1")
    commit = track(find(project), ["a.csv"])[0].commit or ""
    assert said("undo", "--dry-run")[0].startswith(f"take back the commit {commit[:10]}: Track a.csv\n")
    assert said("undo") == (f"took back {commit[:10]}: Track a.csv", 0)
    with pytest.raises(Refused, match="not made by nbledger"):
        run(["undo"], Face())
    track(find(project), ["a.csv"])
    assert "data: a.csv → store" in said("push", "--dry-run")[0]
    text, code = said("push")
    assert text.splitlines() == [
        "pushed 3 commits: main → origin",
        "origin/main is the upstream of main now",
        "pushed 1 data file",
    ]
    assert code == 0
    assert said("pull", "--dry-run")[0].startswith("commits: main has all of origin/main")
    assert said("pull")[0] == "up to date: main ← origin\nno data were missing"
    (project / "dvc.yaml").write_text("stages:\n  s:\n    cmd: echo\n    deps: [a.csv]\n    outs: [b]\n")
    assert said("pipeline")[0] == "dvc.yaml: 1 stage, 1 stale\n1  stale    s  a.csv → b\n            never run"
    (project / "big.bin").write_bytes(b"x" * 10_000_001)
    with pytest.raises(Refused, match=r"big\.bin has 10\.0 MB"):
        run(["checkpoint", "-m", "x", "big.bin"], Face())
    run(["checkpoint", "-m", "x", "--large", "big.bin"], Face())
    assert "big.bin" in git(project, "ls-files")


def test_a_new_branch_sends_what_the_remote_has_under_no_other_name(project: Path, remote: Path) -> None:
    push.push(find(project))
    git(project, "checkout", "-q", "-b", "exp")
    asked = push.plan(find(project))
    assert (asked.new_branch, asked.count, asked.commits) == (True, 0, ())
    assert any("exp → origin/exp" in line and "has its commits already" in line for line in push.told(asked))
    alone = "exp has no upstream (nbledger push makes it one): only data are looked for"
    assert pull.pull(find(project)).notes == (alone,)
    (project / "own.txt").write_text("x")
    commit_all(project, "one of its own")
    asked = push.plan(find(project))
    assert asked.count == 1 and len(asked.commits) == 1 and "one of its own" in asked.commits[0]
    assert push.push(find(project)).commits == 1
    assert git(remote, "rev-parse", "exp") == git(project, "rev-parse", "HEAD")
    git(project, "checkout", "-q", "-b", "again", "origin/main", "--no-track")
    git(project, "update-ref", "refs/remotes/origin/again", "HEAD")
    way = "again has no upstream (git branch --set-upstream-to origin/again, once): only data are looked for"
    assert pull.pull(find(project)).notes == (way,)


def test_the_snapshot_of_a_run_is_sent_once_under_its_own_name(project: Path, remote: Path) -> None:
    """Until the run is published it has the name of its journal, which others would keep beside it."""
    (project / "new.py").write_text("x = 1\n")  # in no commit, so that there is a snapshot
    recording = recorder.start(find(project), Plan("one"))
    recording.outcome("FINISHED")
    recording.end()
    assert calls.perform(find(project), "push", {}).runs == 0
    assert git(remote, "for-each-ref", "refs/nbledger/runs") == ""
    assert publish.flush(find(project))[0] == 0
    assert calls.perform(find(project), "push", {}).runs == 1
    names = git(remote, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/nbledger/runs").split()
    assert names == [ledger.run(project, "one").info.run_id]
