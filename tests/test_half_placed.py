"""A pull or join that was killed while data were placed: the same command brings the rest, and what the person changed stays."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import both_remotes, git, make_repository
from nbledger.core import dvc, halfplaced, pull, push, status, trust
from nbledger.core.errors import Refused
from nbledger.core.project import find
from nbledger.core.track import track
from nbledger.keeper import doctor

MANY = 600


def contents(version: int) -> dict[str, bytes]:
    chance = random.Random(version)
    return {f"{number % 7}/{number:04}.bin": chance.randbytes(40_000 + number) for number in range(MANY)}


def write(root: Path, version: int) -> dict[str, bytes]:
    for name, data in (found := contents(version)).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return found


def read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def ada(project: Path, tmp_path: Path) -> Path:
    """A colleague's project, pushed; ``img`` is the folder that is cut short."""
    both_remotes(project, tmp_path)
    (project / "a.csv").write_text("a\n")
    track(find(project), ["a.csv"])
    push.push(find(project))
    return project


def pushed(ada: Path, version: int = 1) -> dict[str, bytes]:
    found = write(ada / "img", version)
    track(find(ada), ["img"], f"images {version}")
    push.push(find(ada))
    return found


@pytest.fixture
def ben(ada: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "ben")
    trust.trust(find(tmp_path / "ben"))
    return tmp_path / "ben"


def killed(root: Path, place: Path, words: list[str], *, replaced: bytes | None = None) -> None:
    """SIGKILL to the whole group of ``nbledger WORDS`` once a part of the files stands at ``place`` (with ``replaced``: of those
    whose first bytes are others than these).
    """
    log = root / "killed.log"  # ``nice``: whoever looks when to kill must not come late
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["nice", sys.executable, "-m", "nbledger.cli", *words],
            cwd=root,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    deadline = time.monotonic() + 120
    while not _begun(place, replaced):
        assert process.poll() is None, f"it ended before it was killed: {log.read_text()}"
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    log.unlink()


def _begun(place: Path, replaced: bytes | None) -> bool:
    names = [entry.name for entry in os.scandir(place / "1")] if (place / "1").is_dir() else []
    if replaced is None:
        return len(names) > 2
    try:
        return (place / "1" / "0001.bin").read_bytes()[:8] != replaced[:8]
    except FileNotFoundError:  # the old one is gone, the new one is to come
        return True


def command(root: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nbledger.cli", *words], cwd=root, capture_output=True, text=True, timeout=240
    )
    return done.returncode, done.stdout + done.stderr


def cut_short(root: Path, wanted: dict[str, bytes]) -> None:
    """Something of it is there, not all; and that is known."""
    assert (root / "img").is_dir() and read(root / "img") != wanted, "it was not cut short"
    project = find(root)
    state = status.status(project)
    assert any("only a part of img is here" in note for note in state.notes), state
    found = [finding for finding in doctor.examine(project) if "only a part of img is here" in finding.text]
    assert [finding.severity for finding in found] == ["problem"]
    head = git(root, "rev-parse", "HEAD")
    with pytest.raises(Refused, match="only a part of img is here") as refused:
        track(project, ["img"])
    assert "nbledger pull" in refused.value.hint
    assert git(root, "rev-parse", "HEAD") == head


def whole(root: Path, wanted: dict[str, bytes]) -> None:
    """All of it is there, nothing else is, and no note is left."""
    assert read(root / "img") == wanted
    assert git(root, "status", "--porcelain") == ""
    assert list((root / ".nbledger").glob("placing-*")) == []
    assert not status.status(find(root)).data.changed


@pytest.mark.parametrize("again", [["pull"], ["join", "{bare}", ".", "--no-env"]])
def test_commits_were_there(ada: Path, ben: Path, tmp_path: Path, again: list[str]) -> None:
    wanted = pushed(ada)
    git(ben, "pull", "-q")
    killed(ben, ben / "img", ["pull"])
    cut_short(ben, wanted)
    code, said = command(ben, *(word.format(bare=tmp_path / "bare.git") for word in again))
    assert code == 0, said
    whole(ben, wanted)


@pytest.mark.parametrize("again", [["join", "{bare}", "k", "--trust"], ["pull"]])
def test_join(ada: Path, tmp_path: Path, again: list[str]) -> None:
    wanted = pushed(ada)
    place = tmp_path / "there"
    place.mkdir()
    killed(place, place / "k" / "img", ["join", str(tmp_path / "bare.git"), "k", "--trust"])
    cut_short(place / "k", wanted)
    words = [word.format(bare=tmp_path / "bare.git") for word in again]
    code, said = command(place / "k" if again == ["pull"] else place, *words)
    assert code == 0, said
    whole(place / "k", wanted)
    assert (place / "k" / "a.csv").read_text() == "a\n"


def test_an_existing_folder_is_replaced(ada: Path, ben: Path) -> None:
    old = pushed(ada)
    pull.pull(find(ben))
    assert read(ben / "img") == old
    wanted = pushed(ada, 2)
    git(ben, "pull", "-q")
    killed(ben, ben / "img", ["pull"], replaced=old["1/0001.bin"])
    cut_short(ben, wanted)
    code, said = command(ben, "pull")
    assert code == 0, said
    whole(ben, wanted)


@pytest.mark.parametrize("again", [["pull"], ["join", "{bare}", ".", "--no-env"]])
def test_the_commits_come_too(ada: Path, ben: Path, tmp_path: Path, again: list[str]) -> None:
    pull.pull(find(ben))
    wanted = pushed(ada)
    killed(ben, ben / "img", ["pull"])
    (ben / "img" / f".{'x' * 22}.tmp").write_bytes(b"half")  # as DVC has one at most moments
    cut_short(ben, wanted)
    code, said = command(ben, *(word.format(bare=tmp_path / "bare.git") for word in again))
    assert code == 0, said
    whole(ben, wanted)


def test_more_commits_since(ada: Path, ben: Path) -> None:
    wanted = pushed(ada)
    git(ben, "pull", "-q")
    killed(ben, ben / "img", ["pull"])
    cut_short(ben, wanted)
    wanted = pushed(ada, 2)
    code, said = command(ben, "pull")
    assert code == 0, said
    whole(ben, wanted)


def test_killed_twice(ada: Path, ben: Path) -> None:
    old = pushed(ada)
    pull.pull(find(ben))
    wanted = pushed(ada, 2)
    killed(ben, ben / "img", ["pull"], replaced=old["1/0001.bin"])
    for path in list((ben / "img" / "1").iterdir()):
        path.unlink()
    killed(ben, ben / "img", ["pull"])
    cut_short(ben, wanted)
    code, said = command(ben, "pull")
    assert code == 0, said
    whole(ben, wanted)


def test_what_the_person_changed_since_is_not_overwritten(ada: Path, ben: Path, tmp_path: Path) -> None:
    wanted = pushed(ada)
    git(ben, "pull", "-q")
    killed(ben, ben / "img", ["pull"])
    cut_short(ben, wanted)
    mine = next((ben / "img" / "1").glob("????.bin"))
    mine.unlink()
    mine.write_bytes(b"mine")
    (ben / "img" / "notes.tmp").write_bytes(b"mine too")
    for words in (["pull"], ["join", str(tmp_path / "bare.git"), ".", "--no-env"]):
        code, said = command(ben, *words)
        assert code == 3 and mine.name in said and "move it" in said, said
    assert (mine.read_bytes(), (ben / "img" / "notes.tmp").read_bytes()) == (b"mine", b"mine too")
    pushed(ada, 2)
    with pytest.raises(Refused, match="changed here, and the pull brings another version of img") as refused:
        pull.pull(find(ben))
    assert mine.name in refused.value.message and "notes.tmp" in refused.value.message
    mine.unlink()
    (ben / "img" / "notes.tmp").unlink()
    code, said = command(ben, "pull")
    assert code == 0, said
    whole(ben, contents(2))


def test_an_edit_of_what_is_whole_is_an_edit(ada: Path, ben: Path) -> None:
    """The kill came when all was there, before the note was gone."""
    pushed(ada)
    pull.pull(find(ben))
    project = find(ben)
    out = next(one for one in dvc.outputs(project)[0] if one.path == "img")
    one = halfplaced.Placed("img", out.md5, None, (), True)
    halfplaced._write(project, {"img": one})
    assert halfplaced.paths(project, [out]) == set()
    (ben / "img" / "1" / "0001.bin").unlink()
    (ben / "img" / "1" / "0001.bin").write_bytes(b"mine")
    assert halfplaced.paths(project, [out]) == set()
    assert "changed here, so left as they are: img" in " ".join(pull.pull(project).notes)
    assert (ben / "img" / "1" / "0001.bin").read_bytes() == b"mine"
    assert track(project, ["img"])[0].changed


def test_only_what_came_with_the_placing_is_removed(ada: Path, ben: Path) -> None:
    wanted = pushed(ada)
    git(ben, "pull", "-q")
    project = find(ben)
    out = next(one for one in dvc.outputs(project)[0] if one.path == "img")
    single = next(one for one in dvc.outputs(project)[0] if one.path == "a.csv")
    before, since = f".{'b' * 22}.tmp", f".{'s' * 22}.tmp"
    (ben / before).write_text("there before")
    dvc.fetch(project, ["img", "a.csv"])
    with contextlib.suppress(KeyboardInterrupt), halfplaced.noted(project, [out, single]):
        (ben / "img" / "1").mkdir(parents=True)
        for name in (since, f"img/{since}", f"img/1/{since}", "img/1/0001.bin"):
            (ben / name).write_text("")  # the last one as a reflink that was killed leaves it
        raise KeyboardInterrupt
    halfplaced.sweep(project, [out, single])
    assert read(ben / "img") == {} and (ben / before).exists() and not (ben / since).exists()
    (ben / before).unlink()
    assert pull.pull(project).data == ("a.csv", "img")
    whole(ben, wanted)


def test_refused_before_anything_was_placed_is_no_half(ada: Path, ben: Path) -> None:
    pushed(ada)
    pull.pull(find(ben))
    (ben / "img" / "mine.txt").write_text("mine")
    pushed(ada, 2)
    git(ben, "pull", "-q")
    project = find(ben)
    with pytest.raises(Refused), halfplaced.noted(project, dvc.outputs(project)[0]):
        raise Refused("in the way", "move it")
    assert list((ben / ".nbledger").glob("placing-*")) == []


@pytest.mark.parametrize("verb", ["pull", "push"])
def test_outside_of_a_repository_nothing_is_made(folder: Path, verb: str) -> None:
    outside = folder / "outside"
    outside.mkdir()
    for words in ([verb], [verb, "--dry-run"]):
        code, said = command(outside, *words)
        assert code == 3 and re.search("no Git repository", said), said
        assert list(outside.iterdir()) == []
    make_repository(outside / "inner")
    assert find(outside / "inner").root == outside / "inner"
