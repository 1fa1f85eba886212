"""Data that Git moved on from while nobody brought them: tracking does not take back what a colleague changed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, git
from nbledger.commands.answer import Face
from nbledger.commands.tree import run
from nbledger.core import contents, dvc, join, pull, push, status, trust
from nbledger.core.errors import LedgerError, Refused
from nbledger.core.project import Project, find
from nbledger.core.track import track

ADA = {"day1.csv": "1\n", "day5.csv": "7,7\n", "gone.csv": "x\n"}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def read(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((root / "m").iterdir())}


@pytest.fixture
def two(project: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Ada's and Ben's clones, each with all data of a folder ``m`` and of ``a.csv``."""
    git(project, "config", "user.name", "Ada")
    both_remotes(project, tmp_path)
    write(project / "m", ADA)
    write(project, {"a.csv": "a1\n"})
    track(find(project), ["m", "a.csv"], "first days")
    push.push(find(project))
    git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "ben")
    ben = tmp_path / "ben"
    git(ben, "config", "user.name", "Ben")
    trust.trust(find(ben))
    pull.pull(find(ben))
    write(ben / "m", {"mine.csv": "b\n"})
    track(find(ben), ["m"], "a file of mine")
    push.push(find(ben))
    pull.pull(find(project))
    return project, ben


def corrected(ada: Path, ben: Path) -> Project:
    """Ada corrects, adds and removes; Ben gets the commit and not the data."""
    write(ada / "m", {"day5.csv": "20,20\n", "day6.csv": "new\n"})
    (ada / "m" / "gone.csv").unlink()
    write(ada, {"a.csv": "a2\n"})
    track(find(ada), ["m", "a.csv"], "day 5 corrected")
    push.push(find(ada))
    git(ben, "pull", "-q")
    return find(ben)


def test_an_older_folder_is_not_tracked_and_a_pull_joins_both(two: tuple[Path, Path]) -> None:
    ada, ben = two
    here = corrected(ada, ben)
    head = git(ben, "rev-parse", "HEAD")
    told = status.status(here)
    assert [reason.text for reason in told.because if reason.kind == "data-older"] == [
        "2 data sets are older than their pointers"
    ]
    assert f"m is older than its pointer (Ada, {head[:8]}): nbledger pull" in told.notes
    write(ben / "m", {"mine.csv": "b\nb2\n"})
    with pytest.raises(
        Refused, match=rf"day 5 corrected” \(Ada, {head[:8]}\): HEAD has another version of m.* nbledger pull first"
    ):
        track(here, ["m"], "my row")
    assert git(ben, "rev-parse", "HEAD") == head
    assert git(ben, "status", "--porcelain") == ""
    assert {"m/day5.csv", "m/day6.csv", "m/gone.csv"} <= set(pull.plan(here).data)
    done = pull.pull(here)
    assert {"m/day5.csv", "m/day6.csv", "m/gone.csv", "a.csv"} == set(done.data)
    both = {"day1.csv": "1\n", "day5.csv": "20,20\n", "day6.csv": "new\n", "mine.csv": "b\nb2\n"}
    assert read(ben) == both
    assert track(here, ["m"], "my row")[0].commit
    push.push(here)
    pull.pull(find(ada))
    assert read(ada) == both


def test_push_and_join_say_so_too(two: tuple[Path, Path], tmp_path: Path) -> None:
    ada, ben = two
    here = corrected(ada, ben)
    head = git(ben, "rev-parse", "HEAD")[:8]

    def gaps() -> dict[str, str]:
        return {gap.what: f"{gap.why}: {gap.hint}" for gap in push.plan(here).gaps if gap.kind == "changed"}

    assert gaps() == {}, "what is merely older others get in the newer version"
    begun = join.begin(str(tmp_path / "bare.git"), ben, None, tmp_path)
    (data,) = [step for step in join.finish(begun, env=False, data=True).steps if step.name == "data"]
    assert data.state == "open" and data.text == (
        f"all 2 outputs are here; a.csv is older than its pointer (Ada, {head}): nbledger pull; "
        f"m is older than its pointer (Ada, {head}): nbledger pull"
    )
    assert read(ben)["day5.csv"] == "7,7\n"

    write(ben / "m", {"mine.csv": "mine\n"})
    write(ben, {"a.csv": "edited while it was old\n"})
    assert gaps() == {
        "a.csv": "changed here, and in HEAD too: copy yours aside and remove it, then nbledger pull brings the other",
        "m": "changed since it was tracked, and older in part than its pointer: nbledger pull, then nbledger track m",
    }
    pull.pull(here)
    assert gaps()["m"] == "changed since it was tracked: nbledger track m"


def test_the_files_are_named_once_the_list_is_here(two: tuple[Path, Path]) -> None:
    """Her list is in the cache, since somebody looked at it; the files are still the old ones."""
    ada, ben = two
    here = corrected(ada, ben)
    write(ben / "m", {"mine.csv": "mine\n"})
    pull.plan(here)
    with pytest.raises(
        Refused, match=r"older here than in HEAD: day5\.csv, day6\.csv, gone\.csv — nbledger pull first"
    ):
        track(here, ["m"])
    assert any(note.startswith("m is in part, day5.csv, day6.csv, gone.csv,") for note in status.status(here).notes)
    assert track(here, ["m"], take_back=True)[0].commit


def test_a_file_alone(two: tuple[Path, Path]) -> None:
    ada, ben = two
    here = corrected(ada, ben)
    with pytest.raises(Refused, match=r"day 5 corrected.*a\.csv — nbledger pull first"):
        track(here, ["a.csv"])
    with pytest.raises(Refused, match="nbledger pull first"):
        track(here, ["a.csv"], commit=False)
    write(ben, {"a.csv": "edited while it was old\n"})
    with pytest.raises(Refused, match=r"a\.csv is changed here and in HEAD — copy yours aside"):
        track(here, ["a.csv"])
    assert (ben / "a.csv").read_text() == "edited while it was old\n"
    pull.pull(here)
    assert (ben / "a.csv").read_text() == "edited while it was old\n"
    (ben / "a.csv").unlink()
    pull.pull(here)
    assert (ben / "a.csv").read_text() == "a2\n"


def test_a_file_of_a_folder_that_both_changed_is_not_overwritten(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, ben = two
    here = corrected(ada, ben)
    write(ben / "m", {"day5.csv": "7,7\n8,8\n"})
    pull.pull(here)
    assert read(ben) == {"day1.csv": "1\n", "day5.csv": "7,7\n8,8\n", "day6.csv": "new\n", "mine.csv": "b\n"}
    with pytest.raises(Refused, match=r"day5\.csv is changed here and in HEAD"):
        track(here, ["m"])
    monkeypatch.chdir(ben)
    assert run(["track", "m", "--take-back"], Face()) is not None
    assert git(ben, "log", "-1", "--format=%s") == "Track m"


def test_after_a_switch_and_a_rebase(two: tuple[Path, Path]) -> None:
    ada, ben = two
    here = find(ben)
    git(ben, "switch", "-qc", "other", "HEAD~")  # the commit before mine.csv
    assert any(note.startswith("m is older than its pointer") for note in status.status(here).notes)
    with pytest.raises(Refused, match="nbledger pull first"):
        track(here, ["m"])
    git(ben, "switch", "-q", "main")
    write(ben, {"code.py": "1\n"})
    commit_all(ben, "code")
    write(ada / "m", {"day5.csv": "20,20\n"})
    track(find(ada), ["m"], "day 5 corrected")
    push.push(find(ada))
    git(ben, "pull", "-q", "--rebase")
    with pytest.raises(Refused, match="day 5 corrected"):
        track(here, ["m"])
    pull.pull(here)
    assert not track(here, ["m"])[0].changed


def test_ones_own_way_back_is_an_edit(two: tuple[Path, Path]) -> None:
    """The commit that is gone back behind was made here, from these data: nothing is asked."""
    here = find(two[1])
    (two[1] / "m" / "mine.csv").unlink()
    assert not [note for note in status.status(here).notes if "older" in note]
    assert track(here, ["m"], "without mine after all")[0].commit
    write(two[1] / "m", {"mine.csv": "b\n"})
    assert track(here, ["m"], "with it again")[0].commit


def test_what_was_refused_is_not_replaced_by_the_next_pull(two: tuple[Path, Path]) -> None:
    """A refused ``track`` puts nothing into the cache: what lies there only would be replaced, and be lost with a gc."""
    ada, ben = two
    here = corrected(ada, ben)
    write(ben, {"a.csv": "mine\n"})
    write(ben / "m", {"day5.csv": "mine\n"})
    for path in ("a.csv", "m"):
        with pytest.raises(Refused, match="nbledger pull"):
            track(here, [path])
    md5 = hashlib.md5(b"mine\n", usedforsecurity=False).hexdigest()
    assert contents.cached(here, md5) is None
    write(ada, {"a.csv": "a3\n"})
    track(find(ada), ["a.csv"], "again")
    push.push(find(ada))
    with pytest.raises(Refused, match=r"a\.csv is changed here, and the pull brings another version of it"):
        pull.pull(here)
    assert (ben / "a.csv").read_text() == read(ben)["day5.csv"] == "mine\n"


@pytest.mark.parametrize("cached", [False, True])
def test_an_edit_after_a_pull_that_did_not_come_to_its_data_stays(two: tuple[Path, Path], cached: bool) -> None:
    ada, ben = two
    write(ada / "m", {"day5.csv": "20,20\n"})
    write(ada, {"a.csv": "a2\n"})
    track(find(ada), ["m", "a.csv"], "corrected")
    git(ada, "push", "-q")
    with pytest.raises(LedgerError, match="not all data"):
        pull.pull(find(ben))
    write(ben, {"a.csv": "mine\n"})
    write(ben / "m", {"day5.csv": "mine\n"})
    if cached:  # by whatever way: the cache alone names nothing
        place = dvc.cache_dir(find(ben)) / "files" / "md5"
        for name in ("a.csv",):
            md5 = hashlib.md5((ben / name).read_bytes(), usedforsecurity=False).hexdigest()
            (place / md5[:2]).mkdir(exist_ok=True)
            shutil.copy(ben / name, place / md5[:2] / md5[2:])
    push.push(find(ada))
    notes = pull.pull(find(ben)).notes
    assert (ben / "a.csv").read_text() == read(ben)["day5.csv"] == "mine\n", notes
    assert any(note.startswith("a.csv was changed here, and in a.csv of HEAD too") for note in notes), notes


def test_a_folder_whose_list_is_in_the_remote_only_is_brought_back(two: tuple[Path, Path]) -> None:
    ben = two[1]
    here = find(ben)
    git(ben, "switch", "-qc", "old", "HEAD~")
    pull.pull(here)
    lists = list((dvc.cache_dir(here) / "files" / "md5").glob("*/*.dir"))
    git(ben, "switch", "-q", "main")
    for each in lists:
        each.unlink()
    assert any(note.startswith("m is older") for note in status.status(here).notes)
    pull.pull(here)
    assert not track(here, ["m"])[0].changed


def test_without_an_upstream_or_a_remote_the_data_are_brought_all_the_same(two: tuple[Path, Path]) -> None:
    ben = two[1]
    here = find(ben)
    git(ben, "switch", "-qc", "feat")
    write(ben, {"a.csv": "feat\n"})
    track(here, ["a.csv"], "of the branch")
    git(ben, "switch", "-q", "main")
    pull.pull(here)
    assert (ben / "a.csv").read_text() == "a1\n"
    git(ben, "switch", "-q", "feat")
    done = pull.pull(here)
    assert (ben / "a.csv").read_text() == "feat\n"
    assert done.notes == ("feat has no upstream (nbledger push makes it one): only data are looked for",)
    git(ben, "remote", "remove", "origin")
    (ben / ".dvc" / "config").write_text("")
    (ben / "a.csv").unlink()
    assert pull.pull(find(ben)).data == ("a.csv",)
    assert (ben / "a.csv").read_text() == "feat\n"
    with pytest.raises(Refused, match="there is no remote to pull from"):
        pull.pull(find(ben))
