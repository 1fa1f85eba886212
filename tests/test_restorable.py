"""What others could restore: data before commits, whatever is in the way of it; what they could not is listed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, data_remote, data_status, dvc, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import pull, push, reads, restorable, trust
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import find
from nbledger.core.track import track


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def shared(project: Path, tmp_path: Path) -> Path:
    """The project with a bare repository and a data remote, and one version of `a.csv` and of a folder there."""
    both_remotes(project, tmp_path)
    write(project, {"a.csv": "a1", "d/x": "x1", "d/y": "y1", "d/z": "z1"})
    track(find(project), ["a.csv", "d"])
    trust.trust(find(project))
    push.push(find(project))
    return project


def clone(tmp_path: Path, name: str, *words: str) -> Path:
    git(tmp_path, "clone", "-q", *words, str(tmp_path / "bare.git"), name)
    trust.trust(find(tmp_path / name))
    return tmp_path / name


def of(place: Path, text: str) -> Path:
    """The object of a cache or a remote that holds this text."""
    return next(path for path in place.rglob("*") if path.is_file() and path.read_text(errors="replace") == text)


def gone(place: Path) -> set[str]:
    """Every text that a cache or a remote holds, as far as files are texts."""
    return {path.read_text(errors="replace") for path in place.rglob("*") if path.is_file()}


def gaps(root: Path) -> dict[tuple[str, str], str]:
    """{(kind, what): why} of what others could not restore after a push."""
    return {(gap.kind, gap.what): gap.why for gap in push.plan(find(root)).gaps}


def said(*words: str) -> str:
    answer = run(words, Face())
    assert answer is not None
    return answer.text


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nbledger.cli", *words], cwd=root, capture_output=True, text=True)


# ── data first ───────────────────────────────────────────────────────────────────────────────────────────


def test_every_commit_that_is_pushed_can_be_restored(shared: Path, tmp_path: Path) -> None:
    for version in ("2", "3"):
        write(shared, {"a.csv": f"a{version}", "d/x": f"x{version}"})
        track(find(shared), ["a.csv", "d"])
    asked = push.plan(find(shared))
    assert asked.data == ("a.csv", "d")
    assert "data: a.csv, d → store" in "\n".join(push.told(asked))
    assert push.push(find(shared)).data == 6  # two versions: a file, a file of the folder, and its list
    there = clone(tmp_path, "there")
    for back in ("", "~", "~2"):
        git(there, "checkout", "-q", f"origin/main{back}")
        dvc(there, "pull", "-q", "--force")  # the cache was taken away
        assert data_status(there) == {}
        shutil.rmtree(there / ".dvc" / "cache")
    assert push.push(find(shared)).data == 0


def test_what_was_pushed_without_its_data_is_made_good(shared: Path, tmp_path: Path) -> None:
    """By plain Git on another branch, as a tag and as a snapshot; and by a push of data that was killed."""
    git(shared, "switch", "-qc", "side")
    write(shared, {"a.csv": "side"})
    track(find(shared), ["a.csv"])
    git(shared, "push", "-q", "origin", "side")
    write(shared, {"a.csv": "tagged"})
    track(find(shared), ["a.csv"])
    git(shared, "tag", "v1")
    git(shared, "push", "-q", "origin", "v1")
    write(shared, {"a.csv": "read"})
    track(find(shared), ["a.csv"])
    git(shared, "push", "-q", "origin", "HEAD:refs/nbledger/runs/" + "1" * 32)
    git(shared, "update-ref", "refs/nbledger/runs/" + "1" * 32, "HEAD")
    git(shared, "switch", "-q", "main")
    dvc(shared, "checkout", "-q")
    of(tmp_path / "store", "y1").unlink()
    asked = push.plan(find(shared))
    assert (asked.data, asked.older, asked.count) == (("d",), ("a.csv",), 0)
    assert "other versions, which commits or runs name: a.csv → store" in "\n".join(push.told(asked))
    done = push.push(find(shared))
    assert {"side", "tagged", "read", "y1"} <= gone(tmp_path / "store")
    assert done.data == 4
    assert not [gap for gap in done.gaps if gap.kind == "data"]

    # `track --push` asks for the files of a folder too, whose list is there
    for text in ("x1", "z1"):
        of(tmp_path / "store", text).unlink()
    assert "pushed" in said("track", "d", "--push")
    assert {"x1", "z1"} <= gone(tmp_path / "store")


def test_lost_data_are_refused_or_named(shared: Path, tmp_path: Path) -> None:
    write(shared, {"a.csv": "lost", "d/y": "lost too"})
    track(find(shared), ["a.csv", "d"])
    for text in ("lost", "lost too"):
        of(shared / ".dvc" / "cache", text).unlink()
    before = git(shared, "ls-remote", "origin")
    with pytest.raises(Refused, match=r"neither here nor in the remote: a\.csv \(in main\), d \(in main\)"):
        push.plan(find(shared))
    failed = nbledger(shared, "push", "--dry-run")
    assert (failed.returncode, "--allow-missing" in failed.stderr, len(failed.stderr.splitlines())) == (3, True, 1)
    assert git(shared, "ls-remote", "origin") == before
    told = said("push", "--dry-run", "--allow-missing")
    assert "others could not restore, even then:\n  a.csv (" in told
    assert "d (1 of 3 files: d/y): main names it, and it is neither here nor in a remote" in told
    done = nbledger(shared, "push", "--allow-missing", "--json")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    listed = json.loads(done.stdout)["gaps"]
    assert [gap["what"].partition(" ")[0] for gap in listed if gap["kind"] == "data"] == ["a.csv", "d"]
    # HEAD is there now; what is lost is told until it is found
    assert len([one for one in gaps(shared) if one[0] == "data"]) == 2
    write(shared, {"a.csv": "lost", "d/y": "lost too"})
    track(find(shared), ["a.csv", "d"])
    assert push.push(find(shared)).data == 3
    assert not [one for one in gaps(shared) if one[0] == "data"]

    # an output of a stage can be made again: it is named, and holds nothing up
    write(shared, {"dvc.yaml": "stages:\n  s:\n    cmd: echo 1 > out\n    outs: [out]\n"})
    dvc(shared, "repro", "-q")
    commit_all(shared, "stage")
    shutil.rmtree(shared / ".dvc" / "cache" / "files" / "md5" / "b0")
    done_ = push.push(find(shared))
    assert done_.commits == 1
    assert [gap.hint for gap in done_.gaps if gap.kind == "data"] == ["nbledger repro makes it again"]


def test_a_push_that_is_killed_goes_on(shared: Path, tmp_path: Path) -> None:
    """Killed between data and commits (by a hook); then by the next one all is there, once."""
    hook = shared / ".git" / "hooks" / "pre-push"
    hook.write_text("#!/bin/sh\nkill -9 $(ps -o ppid= -p $PPID); sleep 1; exit 1\n")
    hook.chmod(0o755)
    write(shared, {"a.csv": "a2"})
    track(find(shared), ["a.csv"])
    git(shared, "update-ref", "refs/nbledger/runs/" + "1" * 32, "HEAD")
    before = git(shared, "ls-remote", "origin")
    assert nbledger(shared, "push").returncode == -signal.SIGKILL
    assert git(shared, "ls-remote", "origin") == before
    assert "a2" in gone(tmp_path / "store")
    hook.unlink()
    done = json.loads(nbledger(shared, "push", "--json").stdout)
    assert (done["commits"], done["runs"], done["data"]) == (1, 1, 0)
    assert json.loads(nbledger(shared, "push", "--json").stdout)["commits"] == 0


def test_tags_and_no_runs(shared: Path, tmp_path: Path) -> None:
    write(shared, {"a.csv": "tagged"})
    track(find(shared), ["a.csv"])
    git(shared, "tag", "-a", "v1", "-m", "1")
    git(shared, "reset", "-q", "--hard", "HEAD~")
    dvc(shared, "checkout", "-q")
    git(shared, "update-ref", "refs/nbledger/runs/" + "1" * 32, "v1^{}")
    asked = push.plan(find(shared), push.Wanted(runs=False))
    assert (asked.count, asked.runs, asked.tags, asked.older) == (0, {}, {}, ())
    assert ("snapshot", "1 run") in {(gap.kind, gap.what) for gap in asked.gaps}
    told = said("push", "--no-runs", "--tags", "--dry-run")
    assert "tags: v1 → origin" in told
    assert "snapshots of" not in told.partition("others could not")[0]
    assert said("push", "--no-runs", "--tags").startswith("pushed 1 tag: main → origin\npushed 1 data file\n")
    assert "tagged" in gone(tmp_path / "store")
    assert [line.split("\t")[1] for line in git(shared, "ls-remote", "origin", "refs/*").splitlines()] == [
        "refs/heads/main",
        "refs/tags/v1",
        "refs/tags/v1^{}",
    ]
    assert "pushed snapshots of 1 run" in said("push")


# ── what is listed ───────────────────────────────────────────────────────────────────────────────────────


def test_what_is_in_no_commit_and_on_no_server(shared: Path, tmp_path: Path) -> None:
    assert gaps(shared) == {}
    write(shared, {"a.csv": "changed", "n.py": "1", "raw.csv": "1", ".dvcignore": "# mine\n"})
    reads.remember(find(shared), ["raw.csv"])
    (shared / ".nbledger" / "mlflow.db").touch()
    found = gaps(shared)
    assert found == {
        ("changed", "a.csv"): "changed since it was tracked",
        ("code", "2 files (.dvcignore, n.py)"): "changed or new, and in no commit",
        ("input", "raw.csv"): "read by runs, and versioned by nothing",
        ("store", "parameters, metrics and artifacts of runs"): "in a store of this machine only",
    }
    assert restorable.of_runs(find(shared), 2)[0].what == "2 runs"
    text = said("push")
    assert text.splitlines()[:3] == [
        "origin has all of main already",
        "no data were missing in the data remote",
        "others cannot restore:",
    ]
    hint = 'nbledger checkpoint -m "…" .dvcignore n.py'
    assert f"  2 files (.dvcignore, n.py): changed or new, and in no commit — {hint}" in text.splitlines()
    assert "  raw.csv: read by runs, and versioned by nothing — nbledger track raw.csv" in text.splitlines()


def test_places_that_only_this_machine_has(shared: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(shared), "local")
    data_remote(tmp_path / "local", tmp_path / "store")
    dvc(shared, "import", "-q", str(tmp_path / "local"), "a.csv", "-o", "imported.csv")
    write(shared, {"kept.csv": "kept"})
    track(find(shared), ["kept.csv"])
    pointer = shared / "kept.csv.dvc"
    pointer.write_text(pointer.read_text() + "  push: false\n")
    commit_all(shared, "import")
    found = gaps(shared)
    assert found["source", "imported.csv"] == f"imported from {tmp_path / 'local'}, a repository of this machine"
    assert found["data", "kept.csv"] == "it is kept here on purpose (push: false), and main names it"
    assert push.push(find(shared)).commits == 2
    assert "kept" not in gone(tmp_path / "store")
    git(shared, "remote", "set-url", "origin", "ssh://git@example.org/x.git")
    assert [gap.what for gap in restorable.of_places(find(shared).git, "origin", ("store", "/data/store"))] == [
        "the data remote store"
    ]
    assert restorable.of_places(find(shared).git, "origin", ("store", "s3://bucket/x")) == []


def test_a_remote_of_their_own(shared: Path, tmp_path: Path) -> None:
    """Outputs that name a remote go there, whatever is the default one."""
    dvc(shared, "remote", "add", "-q", "second", str(tmp_path / "second"))
    write(shared, {"b.csv": "b1"})
    track(find(shared), ["b.csv"])
    pointer = shared / "b.csv.dvc"
    pointer.write_text(pointer.read_text() + "  remote: second\n")
    commit_all(shared, "its own")
    write(shared, {"b.csv": "b2"})
    assert "pushed" in said("track", "b.csv", "--push")
    assert "b2" in gone(tmp_path / "second")
    done = push.push(find(shared))
    assert {"b1", "b2"} <= gone(tmp_path / "second") | gone(tmp_path / "store")
    assert not [gap for gap in done.gaps if gap.kind == "data"]
    there = clone(tmp_path, "there")
    pull.pull(find(there), wanted=pull.Wanted(scopes=("commits",)))
    assert {"b1", "b2"} <= gone(there / ".dvc" / "cache")


# ── pull ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_pull_brings_what_is_asked_for(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(shared, "update-ref", "refs/nbledger/runs/" + "1" * 32, "HEAD")
    for version, tag in (("2", "v2"), ("3", ""), ("4", "")):
        write(shared, {"a.csv": f"a{version}"})
        track(find(shared), ["a.csv"])
        git(shared, *(["tag", tag] if tag else ["branch", f"b{version}"]))
    push.push(find(shared), wanted=push.Wanted(tags=True))
    git(shared, "push", "-q", "origin", "b3")
    there = clone(tmp_path, "there")
    cache = there / ".dvc" / "cache"
    monkeypatch.chdir(there)

    assert "data that the state then needs: d\nnot brought, since you named others: a.csv" in said(
        "pull", "d", "--dry-run"
    )
    text = said("pull", "d/x", "d/y")
    assert text.splitlines()[1:] == ["data brought: d/x, d/y", "not brought, since you named others: a.csv"]
    assert sorted(os.listdir(there / "d")) == ["x", "y"]
    with pytest.raises(UsageError, match=r"DVC tracks nothing at b\.csv"):
        run(["pull", "b.csv"], Face())
    with pytest.raises(UsageError, match="no file of this project"):
        run(["pull", "../a.csv"], Face())
    monkeypatch.chdir(there / "d")
    assert "data brought: a.csv" in said("pull", "../a.csv")
    monkeypatch.chdir(there)
    assert said("pull").splitlines()[1] == "data brought: d"  # what was left is brought when nothing else is said
    assert said("pull").splitlines()[1] == "no data were missing"
    assert data_status(there) == {}
    have = gone(cache)
    assert "a4" in have and not {"a1", "a2", "a3"} & have

    assert "1 other version of data → the cache" in said("pull", "--all-tags", "--dry-run")
    assert not {"a1", "a2", "a3"} & gone(cache)
    assert said("pull", "-T").splitlines()[-1] == "into the cache, of other versions: 1 data object"
    assert {"a1", "a2", "a3"} & gone(cache) == {"a2"}
    said("pull", "-a")
    assert {"a1", "a2", "a3"} & gone(cache) == {"a2", "a3"}
    of(tmp_path / "store", "a1").rename(tmp_path / "away")
    assert "in no remote, so not brought: a.csv (of run 11111111)" in said("pull", "--runs")
    (tmp_path / "away").rename(next((tmp_path / "store" / "files" / "md5").glob("*")) / "x")
    shutil.rmtree(cache)
    said("pull", "-A")
    assert {"a2", "a3", "a4", "x1"} <= gone(cache)


def test_data_of_what_git_brought_itself(shared: Path, tmp_path: Path) -> None:
    """After a merge, a switch or `git pull`: what is not the version of its pointer comes, unless that would lose something."""
    there = clone(tmp_path, "there")
    pull.pull(find(there))
    write(shared, {"a.csv": "a2", "d/x": "x2"})
    track(find(shared), ["a.csv", "d"])
    push.push(find(shared))
    git(there, "pull", "-q")
    (there / "d" / "y").write_text("mine")
    assert "data that the state then needs: a.csv, d/x\n" in "\n".join([*pull.told(pull.plan(find(there))), ""])
    done = pull.pull(find(there))
    assert (done.data, done.notes) == (
        ("a.csv", "d/x"),
        ("changed here, so left as they are: d (nbledger track PATH)",),
    )
    assert [(there / name).read_text() for name in ("a.csv", "d/x", "d/y")] == ["a2", "x2", "mine"]
    (there / "d" / "y").write_text("y1")
    assert pull.pull(find(there)).data == ()
    assert data_status(there) == {}
    git(there, "checkout", "-q", "HEAD~")
    git(there, "switch", "-qc", "older", "--track", "origin/main")
    git(there, "reset", "-q", "--hard", "HEAD~")
    git(there, "branch", "-q", "--unset-upstream")
    git(there, "push", "-q", "-u", "origin", "older")
    assert set(pull.pull(find(there)).data) == {"a.csv", "d"}
    assert (there / "d" / "x").read_text() == "x1"


def test_what_a_colleague_changed_in_a_folder_that_i_changed_too(shared: Path, tmp_path: Path) -> None:
    """After a plain `git pull`: her file comes, mine stays; to track the folder takes nothing of hers back."""
    there = clone(tmp_path, "there")
    pull.pull(find(there))
    write(shared, {"d/x": "corrected"})
    track(find(shared), ["d"])
    push.push(find(shared))
    git(there, "pull", "-q")
    write(there, {"d/y": "mine"})
    assert "data that the state then needs: d/x" in "\n".join(pull.told(pull.plan(find(there))))
    assert pull.pull(find(there)).data == ("d/x",)
    assert [(there / "d" / name).read_text() for name in "xyz"] == ["corrected", "mine", "z1"]
    assert pull.pull(find(there)).data == ()
    track(find(there), ["d"])
    push.push(find(there))
    pull.pull(find(shared))
    assert [(shared / "d" / name).read_text() for name in "xyz"] == ["corrected", "mine", "z1"]


def test_data_that_were_never_pushed_name_who_has_them(shared: Path, tmp_path: Path) -> None:
    write(shared, {"a.csv": "a2"})
    track(find(shared), ["a.csv"], "Friday's data")
    git(shared, "push", "-q")
    there = clone(tmp_path, "there")
    git(there, "config", "user.name", "Ben")
    with pytest.raises(Refused) as told:
        pull.pull(find(there))
    commit = git(shared, "rev-parse", "HEAD")[:8]
    assert f"not in the data remote: a.csv (Ada Tester, {commit} “Friday's data”)" in str(told.value)
    assert "Ada Tester has to nbledger push" in str(told.value)
    assert (there / "d" / "x").read_text() == "x1"  # what is there has come
    push.push(find(shared))
    assert pull.pull(find(there)).data == ("a.csv",)

    # the old version stays where the new one cannot be had, whole or in part; what can comes
    write(shared, {"a.csv": "a3", "d/x": "x3", "d/y": "y3"})
    track(find(shared), ["a.csv", "d"])
    git(shared, "push", "-q")
    before = {name: (there / name).read_text() for name in ("a.csv", "d/x", "d/y", "d/z")}
    with pytest.raises(
        Refused, match=r"the commits are pulled, but not all data: not in the data remote: a\.csv .*, d "
    ):
        pull.pull(find(there))
    assert {name: (there / name).read_text() for name in before} == before
    push.push(find(shared))
    of(tmp_path / "store", "y3").rename(tmp_path / "y3")
    with pytest.raises(Refused, match=r"not in the data remote: d "):
        pull.pull(find(there))
    assert {name: (there / name).read_text() for name in before} == before | {"a.csv": "a3"}
    assert sorted(os.listdir(there / "d")) == ["x", "y", "z"]


def test_a_pull_that_is_killed_goes_on(shared: Path, tmp_path: Path) -> None:
    """Killed when the commits are there and the data are not: the old data lie in the work tree, and are not taken for new."""
    there = clone(tmp_path, "there")
    pull.pull(find(there))
    write(shared, {"a.csv": "a2", "d/x": "x2"})
    track(find(shared), ["a.csv", "d"])
    push.push(find(shared))
    hook = there / ".git" / "hooks" / "post-merge"
    hook.write_text("#!/bin/sh\nkill -9 $(ps -o ppid= -p $PPID); exit 0\n")
    hook.chmod(0o755)
    assert nbledger(there, "pull").returncode == -signal.SIGKILL
    assert (there / "a.csv").read_text() == "a1"
    assert git(there, "rev-parse", "HEAD") == git(shared, "rev-parse", "HEAD")
    hook.unlink()
    assert set(pull.plan(find(there)).data) == {"a.csv", "d"}
    assert set(pull.pull(find(there)).data) == {"a.csv", "d"}
    assert data_status(there) == {}
    assert pull.pull(find(there)).data == ()


def test_snapshots_survive_a_fetch_that_prunes(shared: Path, tmp_path: Path) -> None:
    git(shared, "config", "fetch.prune", "true")
    git(shared, "config", "--add", "remote.origin.fetch", "+refs/nbledger/*:refs/nbledger/*")
    git(shared, "update-ref", "refs/nbledger/runs/" + "1" * 32, "HEAD")
    there = clone(tmp_path, "there")
    write(there, {"n.py": "1"})
    commit_all(there)
    git(there, "push", "-q")
    assert pull.pull(find(shared)).commits == 1
    assert git(shared, "rev-parse", "refs/nbledger/runs/" + "1" * 32)


def test_what_stages_made_is_made_again_not_tracked(shared: Path) -> None:
    (shared / "dvc.yaml").write_text(
        "stages:\n  double:\n    cmd: cat a.csv a.csv > two.csv\n    deps: [a.csv]\n    outs: [two.csv]\n"
    )
    dvc(shared, "repro", "-q")
    commit_all(shared, "a stage")
    push.push(find(shared))
    write(shared, {"a.csv": "a2"})
    track(find(shared), ["a.csv"])
    dvc(shared, "repro", "-q")
    commit_all(shared, "made again")
    push.push(find(shared))
    git(shared, "switch", "-qc", "old", "HEAD~2")
    assert not [gap for gap in gaps(shared) if gap[0] == "changed"], "of another branch, and restorable"
    write(shared, {"two.csv": "by hand"})
    (gap,) = [gap for gap in push.plan(find(shared)).gaps if gap.kind == "changed" and gap.what == "two.csv"]
    assert (gap.why, gap.hint) == ("not what dvc.lock has of the stage double", "nbledger repro makes it again")
