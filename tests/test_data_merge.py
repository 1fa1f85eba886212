"""Two people change one tracked folder: pointers merged by file, and conflicts told as files and rows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conftest import commit_all, data_remote, dvc, git
from nbledger.core import conflicts, gitfilters, trust
from nbledger.core import dvc as door
from nbledger.core.project import find
from nbledger.core.track import track

LOCK = """\
schema: '2.0'
stages:
  clean:
    cmd: python clean.py
    deps:
    - path: raw.csv
      hash: md5
      md5: {raw}
      size: 10
    outs:
    - path: clean.csv
      hash: md5
      md5: {clean}
      size: 10
  train:
    cmd: python train.py
    params:
      params.yaml:
        rate: {rate}
    outs:
    - path: model.pkl
      hash: md5
      md5: {model}
      size: 10
"""


@pytest.fixture
def repository(project: Path, tmp_path: Path) -> Path:
    """A project with a tracked folder, a data remote that has it, and the filters."""
    data_remote(project, tmp_path / "store")
    (project / "d").mkdir()
    for name in ("one.csv", "two.csv", "three.csv"):
        (project / "d" / name).write_text("id,x\n1,10\n2,20\n")
    trust.trust(find(project))
    commit_all(project)
    track(find(project), ["d"], push=True)
    gitfilters.install(find(project))
    return project


def changed(root: Path, branch: str, **files: str | None) -> None:
    """A branch on which files of the folder are other ones (None: gone)."""
    git(root, "switch", "-qc", branch, "main")
    dvc(root, "checkout", "-q")
    for name, content in files.items():
        place = root / "d" / f"{name}.csv"
        place.unlink() if content is None else place.write_text(content)
    track(find(root), ["d"], push=True)


def merge(root: Path, branch: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "merge", "-q", "-m", "join", branch], cwd=root, capture_output=True, text=True)


def listed(root: Path) -> dict[str, str]:
    out = next(out for out in door.outputs(find(root))[0] if out.path == "d")
    return door.folder_entries(find(root), out)


def without_lists(root: Path) -> None:
    """As in the clone of a colleague, whose cache has her own version only."""
    mine = set(git(root, "show", "HEAD:d.dvc").split()) | set(listed(root).values())
    for place in (root / ".dvc" / "cache" / "files" / "md5").rglob("*"):
        if place.is_file() and place.parent.name + place.name not in mine:
            place.chmod(0o600)
            place.unlink()


def test_different_files_of_a_folder_join(repository: Path) -> None:
    changed(repository, "one", one="id,x\n1,11\n2,20\n", new="id,x\n")
    changed(repository, "two", two=None, three="id,x\n1,33\n2,20\n")
    without_lists(repository)
    done = merge(repository, "one")
    assert done.returncode == 0, done.stderr
    assert "d.dvc: joined, 2 changes of theirs on top of ours" in done.stderr
    assert sorted(listed(repository)) == ["new.csv", "one.csv", "three.csv"]
    dvc(repository, "pull", "-q")
    assert (repository / "d" / "one.csv").read_text() == "id,x\n1,11\n2,20\n"
    assert (repository / "d" / "three.csv").read_text() == "id,x\n1,33\n2,20\n"
    assert not (repository / "d" / "two.csv").exists()
    assert "up to date" in dvc(repository, "status")
    # the pointer is as DVC itself would write it now
    pointer = (repository / "d.dvc").read_text()
    dvc(repository, "commit", "-f", "-q")
    assert (repository / "d.dvc").read_text().replace("  size: 45\n", "") == pointer.replace("  size: 45\n", "")


def test_each_tracks_a_file_of_their_own(repository: Path) -> None:
    for name in ("one", "two"):
        git(repository, "switch", "-qc", name, "main")
        (repository / f"{name}.csv").write_text(f"id\n{name}\n")
        track(find(repository), [f"{name}.csv"])
    done = merge(repository, "one")
    assert done.returncode == 0, done.stderr
    assert {"/one.csv", "/two.csv"} <= set((repository / ".gitignore").read_text().splitlines())


def test_a_conflict_is_told_by_file_and_row_and_the_rest_is_joined(repository: Path) -> None:
    changed(repository, "one", one="id,x\n1,11\n2,20\n", two="id,x\n1,10\n2,21\n", three=None)
    changed(repository, "two", one="id,x\n1,10\n2,20\n3,30\n4,40\n", three="id,x\n")
    pointer = git(repository, "show", "HEAD:d.dvc")
    without_lists(repository)
    done = merge(repository, "one")
    assert done.returncode == 1
    said = [line.removeprefix("nbledger: ") for line in done.stderr.splitlines() if line.startswith("nbledger: ")]
    assert said[0] == "d.dvc: d/one.csv: both sides changed it (ours: 2 rows added; theirs: 1 row changed)"
    assert said[1] == "d.dvc: d/three.csv: theirs removed it, ours changed it"
    assert said[2].startswith("d.dvc: 1 change of theirs")
    for md5 in (pointer.split()[3], git(repository, "show", "one:d.dvc").split()[3]):
        assert md5 not in done.stderr  # files, not hashes
    assert "both sides changed d/one.csv, d/three.csv" in conflicts.told(find(repository))[0]
    # what is there is valid: all of theirs that does not conflict, ours of the rest
    dvc(repository, "pull", "-q")
    assert (repository / "d" / "two.csv").read_text() == "id,x\n1,10\n2,21\n"
    assert (repository / "d" / "one.csv").read_text().count("\n") == 5
    # and theirs of a file is one command away, the one that is said
    command = said[2].partition("dvc get ")[2].partition(";")[0]
    dvc(repository, "get", *command.replace("'", "").split())
    assert (repository / "d" / "one.csv").read_text() == "id,x\n1,11\n2,20\n"
    track(find(repository), ["d"])
    git(repository, "add", "d.dvc")
    git(repository, "commit", "-qm", "joined")
    assert conflicts.told(find(repository)) == []


def test_a_single_file_conflicts_and_stays_a_valid_pointer(repository: Path) -> None:
    (repository / "f.csv").write_text("id,x\n1,1\n")
    track(find(repository), ["f.csv"])
    for name in ("one", "two"):
        git(repository, "switch", "-qc", name, "main")
        (repository / "f.csv").write_text(f"id,x\n1,1\n{name},2\n")
        track(find(repository), ["f.csv"])
    done = merge(repository, "one")
    assert done.returncode == 1
    assert "f.csv.dvc: f.csv: both sides changed it (ours: 1 row added; theirs: 1 row added)" in done.stderr
    assert (repository / "f.csv.dvc").read_text().strip() == git(repository, "show", "two:f.csv.dvc")
    git(repository, "checkout", "--theirs", "f.csv.dvc")
    assert (repository / "f.csv.dvc").read_text().strip() == git(repository, "show", "one:f.csv.dvc")


def test_what_stands_beside_the_data_is_merged_as_text(repository: Path) -> None:
    changed(repository, "one", one="id,x\n")
    git(repository, "switch", "-qc", "two", "main")
    pointer = repository / "d.dvc"
    pointer.write_text(pointer.read_text() + "desc: what it is\n")
    git(repository, "commit", "-qam", "a description")
    done = merge(repository, "one")
    assert done.returncode == 0, done.stderr
    assert pointer.read_text().strip() == git(repository, "show", "one:d.dvc") + "\ndesc: what it is"


def test_a_list_that_nobody_pushed_is_asked_for(repository: Path, tmp_path: Path) -> None:
    changed(repository, "one", one="id,x\n")
    changed(repository, "two", two="id,x\n")
    without_lists(repository)
    (tmp_path / "store").rename(tmp_path / "away")
    done = merge(repository, "one")
    assert done.returncode == 1 and "nbledger push" in done.stderr
    assert (repository / "d.dvc").read_text().strip() == git(repository, "show", "two:d.dvc")
    (tmp_path / "away").rename(tmp_path / "store")
    git(repository, "merge", "--abort")
    assert merge(repository, "one").returncode == 0


def test_stages_of_a_lock_file_join_or_are_told_by_name(repository: Path) -> None:
    base = {"raw": "1" * 32, "clean": "2" * 32, "rate": 0.1, "model": "3" * 32}

    def locked(branch: str, **values: object) -> None:
        git(repository, "switch", "-qC", branch, "main")
        (repository / "dvc.lock").write_text(LOCK.format(**{**base, **values}))
        git(repository, "add", "dvc.lock")
        git(repository, "commit", "-qm", branch)

    locked("start")
    git(repository, "update-ref", "refs/heads/main", "start")
    locked("one", raw="a" * 32, clean="b" * 32)
    locked("two", rate=0.2, model="c" * 32)
    done = merge(repository, "one")
    assert done.returncode == 0, done.stderr
    joined = {**base, "raw": "a" * 32, "clean": "b" * 32, "rate": 0.2, "model": "c" * 32}
    assert (repository / "dvc.lock").read_text() == LOCK.format(**joined)
    locked("three", rate=0.3, model="d" * 32)
    done = merge(repository, "two")
    assert done.returncode == 1
    assert (
        "dvc.lock: stage train: both sides ran it, and theirs wrote another model.pkl, had another params.yaml:rate"
        in done.stderr
    )
    assert (repository / "dvc.lock").read_text() == LOCK.format(**{**joined, "rate": 0.3, "model": "d" * 32})
