"""Tracking a folder again reads only what changed, and still leaves every object that the pointer needs in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest

from conftest import dvc, git
from nbledger.core import cache, owners, underway
from nbledger.core import dvc as door
from nbledger.core.project import find
from nbledger.core.track import track


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Folder:
    """A tracked folder of 600 files, nested deep enough to have a cache folder for most of its objects."""

    def __init__(self, root: Path) -> None:
        self.root, self.path, self.objects = root, root / "sub" / "data", root / ".dvc/cache/files/md5"
        for i in range(600):
            self.write(f"{i // 100}/é{i}", f"v{i}")

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def drop(self, text: str) -> None:
        digest = md5(text)
        (self.objects / digest[:2] / digest[2:]).unlink()

    def check(self) -> None:
        """Track, and compare manifest, objects, pointer and Git with what plain reading says."""
        time.sleep(0.05)  # signatures and cache folders settle
        (one,) = track(find(self.root), ["sub/data"])
        manifest = cache.read_manifest(self.objects / one.md5[:2] / one.md5[2:])
        files = [p for p in self.path.rglob("*") if p.is_file()]
        want = {p.relative_to(self.path).as_posix(): hashlib.md5(p.read_bytes()).hexdigest() for p in files}
        assert manifest == want
        listing = json.dumps([{"md5": want[p], "relpath": p} for p in sorted(want)], sort_keys=True)
        assert md5(listing) + ".dir" == one.md5
        assert [h for h in want.values() if not (self.objects / h[:2] / h[2:]).exists()] == []
        assert one.md5 in (self.root / "sub/data.dvc").read_text()
        assert git(self.root, "status", "--porcelain") == ""


@pytest.fixture
def tracked(project: Path) -> Folder:
    made = Folder(project)
    made.check()
    made.write("0/é5", "warm")
    made.check()
    return made


def test_edits_additions_and_removals(tracked: Folder) -> None:
    for text in ("one", "two", "three"):
        tracked.write("0/é5", text)
        tracked.check()
    tracked.write("new", "added")
    tracked.check()
    (tracked.path / "1/é100").unlink()
    tracked.check()
    for i in range(400):
        tracked.write(f"{i // 100}/é{i}", f"w{i}")
    tracked.check()
    assert dvc(tracked.root, "status") == "Data and pipelines are up to date."


def test_objects_that_were_lost_are_stored_again(tracked: Folder) -> None:
    tracked.drop("v300")
    tracked.check()
    tracked.drop("v301")
    tracked.write("0/é6", "changed as well")
    tracked.check()
    shutil.rmtree(tracked.objects / md5("v99")[:2])
    tracked.check()
    shutil.rmtree(tracked.objects)
    tracked.check()


def test_a_folder_moved_out_and_back_whose_object_was_removed_meanwhile(tracked: Folder) -> None:
    shutil.move(tracked.path / "2", tracked.root / ".git/keep")
    tracked.check()
    tracked.drop("v250")
    tracked.write("new", "z")
    tracked.check()
    shutil.move(tracked.root / ".git/keep", tracked.path / "2")
    tracked.check()


def test_a_hash_that_status_knows_is_not_taken_for_a_stored_object(tracked: Folder) -> None:
    tracked.write("x", "known by status only")
    time.sleep(0.05)
    assert door.data_status(find(tracked.root)).changed == ("sub/data",)
    tracked.check()


def test_objects_that_a_power_cut_left_damaged_are_not_trusted(project: Path) -> None:
    """The note of a tracking in another boot of this machine: what was written since is hashed once, and goes if it is cut."""
    objects, texts = project / ".dvc/cache/files/md5", ("whole", "empty", "zeros")
    (project / "d").mkdir()
    for text in texts:
        (project / "d" / text).write_text(text)
    (project / "old").write_text("old")
    track(find(project), ["old"])
    since = time.time_ns()
    damaged = {"empty": b"", "zeros": bytes(5)}
    for text in texts:
        path = objects / md5(text)[:2] / md5(text)[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damaged.get(text, text.encode()))
        path.chmod(0o444)
    who = {"pid": 1, "created": 1.0, "host": f"{owners.host().partition('/')[0]}/another-boot"}
    note = project / ".nbledger/tracking/1-aa.json"
    note.write_text(json.dumps({"owner": who, "root": str(project), "since": since, "paths": ["d", "gone"]}))
    assert underway.cut_short(find(project), door.outputs(find(project))[0]) == ["d"]
    track(find(project), ["old"])
    assert sorted(path.read_text() for path in objects.rglob("*") if path.is_file()) == ["old", "whole"]
    assert json.loads(note.read_text())["since"] == 0 and underway.cut_short(find(project), []) == ["d"]
    track(find(project), ["d"])
    assert {path.read_text() for path in objects.rglob("*") if path.is_file()} >= {"old", *texts}
    assert json.loads(note.read_text())["paths"] == ["gone"] and underway.cut_short(find(project), []) == []
