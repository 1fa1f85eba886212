import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import commit_all, dvc, git
from nbledger.core import files, lineage
from nbledger.core import project as projects
from nbledger.core.lineage import describe, finish, fix, from_dict, to_dict
from nbledger.core.observe import Observation
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper.recorder import data_state, datasets


def observation(*reads: str | Path, writes: tuple = (), **more) -> Observation:
    return Observation(
        {os.path.abspath(p): files.signature(os.stat(p)) for p in reads}, {os.path.abspath(p) for p in writes}, **more
    )


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def versioned(project: Path) -> Path:
    (project / "folder").mkdir()
    for name in ("folder/a.csv", "folder/b.csv", "data.csv", "code.csv", "edit.csv"):
        (project / name).write_text(name)
    dvc(project, "add", "--quiet", "folder", "data.csv")
    commit_all(project)
    (project / "edit.csv").write_text("edited")
    os.utime(project / "code.csv")  # newer, but the same bytes
    (project / "new file.csv").write_text("new")
    lineage._known.clear()
    return project


def states(records) -> dict[str, str]:
    return {r.path: r.state for r in records}


def test_how_each_input_is_versioned(versioned: Path):
    (versioned / "data.csv").unlink()  # may be a link into the cache
    (versioned / "data.csv").write_text("other")
    outside = versioned.parent / "outside.csv"
    outside.write_text("x")
    (versioned / "link.csv").symlink_to(outside)
    (versioned / "sub").mkdir()
    git(versioned / "sub", "init", "--quiet")
    (versioned / "sub/s.csv").write_text("s")
    names = ["folder/a.csv", "data.csv", "code.csv", "edit.csv", "new file.csv", str(outside), "link.csv", "sub/s.csv"]
    found = describe(projects.find(), observation(*names), hash_budget_mb=64)
    assert states(found.inputs) == {
        "folder/a.csv": "dvc",
        "data.csv": "dvc-changed",
        "code.csv": "git",
        "edit.csv": "git-changed",
        "new file.csv": "untracked",
        str(outside): "external",
        "link.csv": "external",
        "sub/s.csv": "untracked",
    }
    by_path = {r.path: r for r in found.inputs}
    one = by_path["folder/a.csv"]
    assert (one.md5, one.pointer, one.dataset) == (md5("folder/a.csv"), "folder.dvc", "folder")
    assert one.digest is not None
    assert one.digest.endswith(".dir")
    assert by_path["data.csv"].md5 == md5("other")
    assert by_path["data.csv"].digest == md5("data.csv")
    assert fix(by_path["new file.csv"]) == "%track_data 'new file.csv'"
    assert fix(by_path["data.csv"]) == "%track_data data.csv"
    assert "import-url" in fix(by_path["link.csv"])
    assert fix(one) == ""


def test_a_folder_that_lacks_a_file_is_not_the_version_of_its_pointer(project: Path):
    """Code that lists a folder sees what is not there, and nobody sees the listing."""
    (project / "d" / "sub").mkdir(parents=True)
    for name in ("1", "2", "sub/3"):
        (project / "d" / name).write_text(name)
    track(find(project), ["d"])
    here = find(project)
    whole = describe(here, observation(project / "d/1"), hash_budget_mb=1)
    assert (whole.inputs[0].state, whole.absent) == ("dvc", ())
    (project / "d/new").write_text("not yet tracked, and not read")
    assert describe(here, observation(project / "d/1"), hash_budget_mb=1) == whole
    (project / "d/sub/3").unlink()
    found = describe(here, observation(project / "d/1"), hash_budget_mb=1)
    assert ([r.state for r in found.inputs], found.absent) == (["dvc-changed"], ("d/sub/3",))
    assert from_dict(to_dict(found)).absent == found.absent
    assert data_state(found.inputs) == "changed"
    assert datasets(found.inputs) == [["d/1", md5("1"), "d/1"]]
    signed = files.signature(os.stat(project / "d/2"))
    late = replace(found.inputs[0], path="d/2", md5=None, state="unknown", pending=True, signature=signed)
    assert [(r.state, r.md5, r.pending) for r in finish(here, [late])] == [("dvc-changed", md5("2"), False)]


def test_a_file_that_changed_since_it_was_read(versioned: Path):
    seen = observation("folder/b.csv", "new file.csv", writes=("new file.csv",))
    (versioned / "folder/b.csv").unlink()
    (versioned / "new file.csv").write_text("rewritten")
    found = describe(projects.find(), seen, hash_budget_mb=64)
    assert states(found.inputs) == {"folder/b.csv": "changed-since-read", "new file.csv": "changed-since-read"}
    assert [r.md5 for r in found.inputs] == [None, None]
    assert [(r.path, r.md5, r.state) for r in found.outputs] == [("new file.csv", md5("rewritten"), "untracked")]


def test_what_lay_in_a_temporary_folder_that_is_gone_is_no_input(versioned: Path):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passed on.txt"
        path.write_text("x")
        seen = observation(path)
        assert states(describe(projects.find(), seen, hash_budget_mb=64).inputs) == {str(path): "external"}
    assert describe(projects.find(), seen, hash_budget_mb=64).inputs == ()


def test_over_the_budget_is_pending_and_finished_later(versioned: Path):
    (versioned / "big.bin").write_bytes(b"0" * 3_000_000)
    (versioned / "late.bin").write_bytes(b"1" * 3_000_000)
    here = projects.find()
    found = describe(here, observation("data.csv", "big.bin", "late.bin"), hash_budget_mb=1)
    assert {r.path: r.pending for r in found.inputs} == {"data.csv": False, "big.bin": True, "late.bin": True}
    again = from_dict(json.loads(json.dumps(to_dict(found))))
    (versioned / "late.bin").write_bytes(b"2" * 3_000_000)
    done = {r.path: r for r in finish(here, again.inputs)}
    assert done["big.bin"].md5 == md5("0" * 3_000_000)
    assert not done["big.bin"].pending
    assert (done["late.bin"].md5, done["late.bin"].state) == (None, "changed-since-read")
    assert done["data.csv"].state == "dvc"


def test_hashes_are_remembered(versioned: Path, monkeypatch):
    here = projects.find()
    os.utime("data.csv", (1, 1))
    seen = observation("code.csv")
    import time

    time.sleep(0.05)
    describe(here, seen, hash_budget_mb=64)
    monkeypatch.setattr(files, "md5_of", lambda path: pytest.fail("hashed again"))
    describe(here, seen, hash_budget_mb=64)
    lineage._known.clear()
    assert describe(here, seen, hash_budget_mb=64).inputs[0].md5 == md5("code.csv")


def test_named_by_the_user_and_unseen(versioned: Path):
    seen = Observation(modules=[str(versioned / "mod.py"), "/elsewhere/x.py"], children=["wc"], remote=["s3://b/k"])
    found = describe(projects.find(), seen, ["folder"], ["new file.csv", "missing"], hash_budget_mb=64)
    assert states(found.inputs) == {"folder/a.csv": "dvc", "folder/b.csv": "dvc"}
    assert states(found.outputs) == {"new file.csv": "untracked"}
    assert found.modules == ("mod.py", "/elsewhere/x.py")
    assert found.unseen == ("wc", "s3://b/k")


def test_without_git_or_a_commit(folder: Path):
    (folder / "a.csv").write_text("a")
    assert states(describe(projects.find(), observation("a.csv"), hash_budget_mb=1).inputs) == {"a.csv": "untracked"}
    git(folder, "init", "--quiet")
    git(folder, "add", "a.csv")
    assert states(describe(projects.find(), observation("a.csv"), hash_budget_mb=1).inputs) == {"a.csv": "git-changed"}


def test_a_damaged_pointer_or_a_missing_manifest(versioned: Path):
    (versioned / "data.csv.dvc").write_text("{")
    shutil.rmtree(versioned / ".dvc/cache")
    found = describe(projects.find(), observation("data.csv", "folder/a.csv"), hash_budget_mb=1)
    assert states(found.inputs) == {"data.csv": "untracked", "folder/a.csv": "dvc-changed"}
