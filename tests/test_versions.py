"""Versions of tracked data, and putting one back, against what plain git and dvc say."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import commit_all, data_remote, data_status, dvc, git
from nbledger.core import dvcremote, useversion
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.core.useversion import use
from nbledger.core.versions import Reader, versions

KILLED = """
import os, signal, sys
from pathlib import Path
from nbledger.core import useversion
from nbledger.core.project import find
steps = 0
def step(event, args):
    global steps
    if event in ("os.rename", "os.remove"):
        steps += 1
        if steps == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
useversion.use(find(Path({root!r})), "sub/d", {commit!r})
"""


def state(root: Path) -> tuple[str, dict[str, object]]:
    return git(root, "status", "--porcelain"), data_status(root)


def test_a_file(project: Path, tmp_path: Path) -> None:
    data, commits = project / "a b.csv", []
    for text in ("one", "two two", "three"):
        data.write_text(text)
        commits.append(track(find(project), ["a b.csv"], f"Version {text}")[0].commit or "")
    git(project, "switch", "-qc", "side", commits[0])
    dvc(project, "checkout", "-q")
    data.write_text("on a branch")
    track(find(project), ["a b.csv"], "Branched")
    git(project, "switch", "-q", "main")
    dvc(project, "checkout", "-q")

    def list_them() -> dict[str, tuple[int | None, bool, bool]]:
        found = versions(find(project), "a b.csv").versions
        return {v.message: (v.size, v.current, v.cached) for v in found}

    assert list_them() == {
        "Branched": (11, False, True),
        "Version three": (5, True, True),
        "Version two two": (7, False, True),
        "Version one": (3, False, True),
    }
    newest = next(v for v in versions(find(project), "a b.csv").versions if v.current)
    assert (newest.author, newest.commit, newest.at[-1]) == ("Ada Tester", commits[2], "Z")
    readers = versions(find(project), "a b.csv", lambda _: {newest.md5: [Reader("r1", "forest")]})
    assert [v.runs for v in readers.versions if v.current] == [(Reader("r1", "forest"),)]

    lines = use(find(project), "a b.csv", commits[0])
    assert data.read_text() == "one"
    assert lines[0].startswith("a b.csv is now the version of commit")
    assert state(project) == ('M "a b.csv.dvc"', {})
    assert git(project, "diff", commits[0], "--", "a b.csv.dvc") == ""
    assert list_them()["Version one"] == (3, True, True)
    use(find(project), "a b.csv", commits[2])  # the way back
    assert data.read_text() == "three"
    assert state(project) == ("", {})
    assert use(find(project), "a b.csv", commits[2]) == ["a b.csv is this version already"]

    data.write_text("not tracked anywhere")
    with pytest.raises(Refused, match="would be lost"):
        use(find(project), "a b.csv", commits[0])
    assert data.read_text() == "not tracked anywhere"
    track(find(project), ["a b.csv"], commit=False)
    assert next(iter(list_them())) == "in the work tree, not committed"
    with pytest.raises(Refused, match="no commit has"):
        use(find(project), "a b.csv", commits[0])
    commit_all(project)
    # not in the cache: from the remote, or not at all
    with pytest.raises(UsageError):
        use(find(project), "a b.csv", "HEAD")
    data_remote(project, tmp_path / "store")
    assert dvcremote.push_objects(find(project), [v.md5 for v in versions(find(project), "a b.csv").versions]) == 5
    shutil.rmtree(project / ".dvc" / "cache")
    track(find(project), ["a b.csv"])
    assert not list_them()["Version one"][2]
    use(find(project), "a b.csv", git(project, "rev-parse", "HEAD"))
    assert "fetched" in use(find(project), "a b.csv", commits[1])[1]
    assert data.read_text() == "two two"
    assert data_status(project) == {}


def test_a_folder_file_by_file(project: Path) -> None:
    folder = project / "sub" / "d"
    (folder / "x").mkdir(parents=True)
    for name in ("same", "x/changed", "x/gone"):
        (folder / name).write_text(name)
    first = track(find(project), ["sub/d"], "First")[0].commit or ""
    kept = (folder / "same").stat().st_ino
    (folder / "x" / "changed").write_text("changed since")
    (folder / "x" / "gone").unlink()
    (folder / "new").mkdir()
    (folder / "new" / "file").write_text("new")
    second = track(find(project), ["sub/d"], "Second")[0].commit or ""

    found = versions(find(project), "sub/d/same")
    assert (found.path, [(v.message, v.nfiles, v.cached) for v in found.versions]) == (
        "sub/d",
        [("Second", 3, True), ("First", 3, True)],
    )
    use(find(project), "sub/d", first)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    assert names == ["same", "x", "x/changed", "x/gone"]
    assert (folder / "x" / "changed").read_text() == "x/changed"
    assert (folder / "same").stat().st_ino == kept
    assert state(project) == ("M sub/d.dvc", {})

    # killed before each step of the way back: the same call finishes it from there, and so does the other one
    for step in (1, 2, 4, 6, 7):
        script = KILLED.format(step=step, root=str(project), commit=second)
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL, step
        use(find(project), "sub/d", first if step % 2 else second)
        assert data_status(project) == {}
        use(find(project), "sub/d", first)
        assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) == names
    use(find(project), "sub/d", second)
    assert state(project) == ("", {})
    (folder / "same").write_text("mine")
    with pytest.raises(Refused, match="would be lost"):
        use(find(project), "sub/d", first)
    assert (folder / "same").read_text() == "mine"
    shutil.rmtree(folder)
    use(find(project), "sub/d", first)
    assert data_status(project) == {}
    # a damaged object is found out, and nothing of the present version is touched
    use(find(project), "sub/d", second)
    broken = next(p for p in (project / ".dvc/cache").rglob("*") if p.is_file() and p.read_bytes() == b"x/changed")
    broken.chmod(0o644)
    broken.write_bytes(b"X/changed")
    with pytest.raises(LedgerError, match="damaged"):
        use(find(project), "sub/d", first)
    assert (folder / "x" / "changed").read_text() == "changed since"
    assert not list((project / ".dvc" / "tmp").glob("nbledger-use*"))


def test_what_is_in_no_cache_and_no_commit_stays(project: Path) -> None:
    """Files that ``.dvcignore`` leaves out since, and what was typed into a pointer."""
    folder, data = project / "d", project / "a.csv"
    folder.mkdir()
    for name in ("x", "note.tmp"):
        (folder / name).write_text("old")
    data.write_text("1")
    first = track(find(project), ["d", "a.csv"])[-1].commit or ""
    (project / ".dvcignore").write_text("*.tmp\n")
    (folder / "x").write_text("new")
    (folder / "note.tmp").write_text("mine")
    data.write_text("2")
    track(find(project), ["d", "a.csv"])
    with pytest.raises(Refused, match=r"d/note\.tmp is a file of yours"):
        use(find(project), "d", first)
    assert [(folder / name).read_text() for name in ("x", "note.tmp")] == ["new", "mine"]
    (folder / "note.tmp").unlink()
    use(find(project), "d", first)
    assert [(folder / name).read_text() for name in ("x", "note.tmp")] == ["old", "old"]
    pointer = project / "a.csv.dvc"
    pointer.write_text(pointer.read_text() + "meta:\n  source: typed by hand\n")
    use(find(project), "a.csv", first)
    assert data.read_text() == "1"
    assert "typed by hand" in pointer.read_text()
    assert "a.csv" not in data_status(project).get("uncommitted", {}).get("modified", [])


def test_what_has_no_versions(project: Path) -> None:
    (project / "plain.csv").write_text("1")
    (project / "dvc.yaml").write_text("stages:\n  s:\n    cmd: echo 1 > out\n    outs: [out]\n")
    dvc(project, "repro", "-q")
    commit = commit_all(project)
    with pytest.raises(UsageError, match="DVC tracks no"):
        versions(find(project), "plain.csv")
    assert [v.commit for v in versions(find(project), "out").versions] == [commit]
    with pytest.raises(Refused, match="made by the stage s"):
        useversion.plan(find(project), "out", commit)
