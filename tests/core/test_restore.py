"""Restoring a run's work tree: real Git and DVC; every fault is caused for real."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, dvc, git
from nbledger.core import owners, placing, restored, trust
from nbledger.core.errors import LedgerError, Refused, ToolFailed
from nbledger.core.lineage import FileRecord
from nbledger.core.project import find
from nbledger.core.record import ExecutedCell, Record
from nbledger.core.records import RunRow
from nbledger.core.restore import NotRestorable, Restored, put_back, remove, restore
from nbledger.core.snapshot import capture
from nbledger.core.track import track
from nbledger.keeper.doctor import examine
from snap import Snap, check_same

RUN = "a" * 32


def test_the_code_comes_back_exactly_and_nothing_of_the_users_moves(project: Path) -> None:
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "tool.sh").chmod(0o755)
    (project / "link").symlink_to("tool.sh")
    (project / "dos.txt").write_bytes(b"a\r\nb\r\n")
    (project / ".gitattributes").write_text("*.filtered filter=rot\n")
    git(project, "config", "filter.rot.clean", "tr a-y b-z")
    git(project, "config", "filter.rot.smudge", "tr b-z a-y")
    (project / "x.filtered").write_text("hello\n")
    trust.trust(find(project))  # no filter of an untrusted project is run
    commit_all(project)
    hook = project / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {project / 'hooked'}\n")
    hook.chmod(0o755)
    (project / "tool.sh").write_text("#!/bin/sh\necho edited\n")
    (project / "new.py").write_text("x = 1\n")
    record = recorded(project)
    (project / "tool.sh").write_text("later\n")
    git(project, "checkout", "-q", "-b", "other")
    (project / "hooked").unlink()
    before = Snap.take(project)
    there = restore(find(project), record)
    check_same(before, Snap.take(project))
    assert there.missing == ()
    assert there.into.parent == project / ".nbledger" / "reproduced"
    assert (there.into / "tool.sh").read_text() == "#!/bin/sh\necho edited\n"
    assert os.access(there.into / "tool.sh", os.X_OK)
    assert os.readlink(there.into / "link") == "tool.sh"
    assert (there.into / "dos.txt").read_bytes() == b"a\r\nb\r\n"
    assert (there.into / "new.py").read_text() == "x = 1\n"
    assert (there.into / "x.filtered").read_text() == "hello\n"
    assert git(there.into, "status", "--porcelain") == ""
    assert git(there.into, "rev-parse", "HEAD") == record.row.commit
    remove(find(project), there)
    check_same(before, Snap.take(project))
    assert leftovers(project) == []


def test_data_come_from_the_cache_verified_and_only_what_was_read(project: Path) -> None:
    tracked(project, {"data/a.csv": "1\n", "data/deep/b.csv": "2\n", "one.bin": "3\n", "unread.bin": "4\n"})
    record = recorded(project, reads=["data/a.csv", "one.bin"])
    for name in ("data", "one.bin"):
        shutil.rmtree(project / name) if (project / name).is_dir() else (project / name).unlink()
    there = restore(find(project), record)
    assert there.missing == ()
    assert (there.into / "data/deep/b.csv").read_text() == "2\n"
    assert (there.into / "one.bin").read_text() == "3\n"
    assert not (there.into / "unread.bin").exists()
    assert stat.S_IMODE((there.into / "one.bin").stat().st_mode) & 0o200
    assert dvc(there.into, "status", "data.dvc", "one.bin.dvc") == "Data and pipelines are up to date."
    everything = restore(find(project), record, project.parent / "beside", everything=True)
    assert (everything.into / "unread.bin").read_text() == "4\n"
    config = there.into / ".dvc" / "config.local"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert str(project / ".dvc" / "cache") in config.read_text()


def test_ten_thousand_files_and_an_executable_one(project: Path) -> None:
    tracked(project, {f"many/{n % 50}/{n}.txt": f"{n}\n" for n in range(2000)} | {"run.sh": "#!/bin/sh\n"})
    (project / "run.sh").chmod(0o755)
    track(find(project), ["run.sh"], "run")
    there = restore(find(project), recorded(project, reads=["many/3/3.txt", "run.sh"]))
    assert sum(len(names) for _, _, names in os.walk(there.into / "many")) == 2000
    assert (there.into / "many/49/1999.txt").read_text() == "1999\n"
    assert os.access(there.into / "run.sh", os.X_OK)


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_a_damaged_object_is_refused_by_name_with_both_hashes(project: Path, size: int) -> None:
    tracked(project, {"a.bin": "x" * size})
    record = recorded(project, reads=["a.bin"])
    md5 = hashlib.md5(b"x" * size).hexdigest()
    held = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    held.chmod(0o644)
    held.write_text("y" * size)
    before = Snap.take(project)
    with pytest.raises(Refused) as refused:
        restore(find(project), record)
    assert str(held) in str(refused.value)
    assert md5 in str(refused.value)
    assert hashlib.md5(b"y" * size).hexdigest() in str(refused.value)
    check_same(before, Snap.take(project))
    assert leftovers(project) == []


def test_an_object_is_read_for_its_hash_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked(project, {"a.bin": "x" * (3 << 20)})
    record = recorded(project, reads=["a.bin"])
    aged(project)
    restore(find(project), record)
    monkeypatch.setattr(placing, "_copy_verified", lambda *_: pytest.fail("hashed again"))
    monkeypatch.setattr(placing, "_verify", lambda *_: pytest.fail("hashed again"))
    there = restore(find(project), record)
    assert (there.into / "a.bin").read_text() == "x" * (3 << 20)


def test_hard_links_where_dvc_allows_them_but_not_for_root_or_for_what_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc(project, "config", "cache.type", "hardlink,copy")
    tracked(project, {"a.bin": "1\n", "b.bin": "2\n"})
    record = recorded(project, reads=["a.bin", "b.bin"], writes=["b.bin"])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    as_root = restore(find(project), record)
    assert (as_root.into / "a.bin").stat().st_nlink == 1
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    there = restore(find(project), record)
    linked, copied = (there.into / "a.bin").stat(), (there.into / "b.bin").stat()
    assert (linked.st_nlink, stat.S_IMODE(linked.st_mode)) == (2, 0o444)
    assert (copied.st_nlink, copied.st_mode & 0o200) == (1, 0o200)
    remove(find(project), there)
    assert dvc(project, "status") == "Data and pipelines are up to date."


def test_what_is_only_in_the_remote_is_fetched_with_the_persons_own_settings(project: Path) -> None:
    dvc(project, "remote", "add", "-d", "store", "../remote")
    dvc(project, "remote", "modify", "--local", "store", "url", "../moved")
    tracked(project, {"data/a.csv": "1\n", "b.csv": "2\n"})
    dvc(project, "push")
    assert (project.parent / "moved").is_dir()
    record = recorded(project, reads=["data/a.csv"])
    shutil.rmtree(project / ".dvc" / "cache")
    there = restore(find(project), record)
    assert there.missing == ()
    assert (there.into / "data/a.csv").read_text() == "1\n"
    held = [p.name for p in (project / ".dvc/cache/files/md5").glob("*/*")]
    assert len(held) == 2  # the folder's manifest and its one file, nothing else


def test_what_nobody_has_is_named(project: Path) -> None:
    tracked(project, {"a.csv": "1\n", "b.csv": "2\n"})
    record = recorded(project, reads=["a.csv"], beside=["b.csv"])
    shutil.rmtree(project / ".dvc" / "cache")
    (first, second) = restore(find(project), record).missing
    assert first.what == f"a.csv ({hashlib.md5(b'1' + bytes([10])).hexdigest()})"
    assert "no default DVC remote" in first.why
    assert (first.needed, second.needed) == (True, False)


def test_a_run_without_its_commit_is_not_restorable(project: Path) -> None:
    (project / "new.py").write_text("x = 1\n")
    record = recorded(project)
    git(project, "update-ref", "-d", f"refs/nbledger/runs/{RUN}")
    git(project, "gc", "-q", "--prune=now")
    with pytest.raises(NotRestorable) as refused:
        restore(find(project), record)
    assert [m.kind for m in refused.value.missing] == ["commit"]
    assert str(record.row.commit)[:12] in str(refused.value)
    assert leftovers(project) == []


def test_a_clone_fetches_the_snapshot_it_lacks(project: Path, tmp_path: Path) -> None:
    (project / "new.py").write_text("x = 1\n")
    record = recorded(project)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    there = restore(find(clone), record)
    assert (there.into / "new.py").read_text() == "x = 1\n"


def test_a_lost_git_object_is_named(project: Path) -> None:
    (project / "new.py").write_text("x = 1\n")
    record = recorded(project)
    blob = git(project, "rev-parse", f"{record.row.commit}:new.py")
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(NotRestorable) as refused:
        restore(find(project), record)
    assert [m.kind for m in refused.value.missing] == ["object"]
    assert leftovers(project) == []


def test_inputs_that_no_version_holds_are_found_by_hash_or_named(project: Path, tmp_path: Path) -> None:
    (project / ".gitignore").write_text("*.tmp\n")
    commit_all(project)
    outside = tmp_path / "outside.csv"
    for path in (project / "kept.tmp", project / "lost.tmp", project / "later.tmp", outside):
        path.write_text(f"{path.name}\n")
    inputs = [loose(project, name) for name in ("kept.tmp", "lost.tmp", "later.tmp")]
    inputs.append(FileRecord(str(outside), 12, md5_of(outside), "external"))
    record = recorded(project, inputs=inputs)
    track(find(project), ["later.tmp"], "version it after all")
    (project / "later.tmp").write_text("and changed\n")
    (project / "lost.tmp").write_text("overwritten\n")
    there = restore(find(project), record)
    assert (there.into / "kept.tmp").read_text() == "kept.tmp\n"
    assert (there.into / "later.tmp").read_text() == "later.tmp\n"
    assert [m.what.split(" ")[0] for m in there.missing] == ["lost.tmp"]
    outside.write_text("changed\n")
    again = restore(find(project), record)
    assert [m.kind for m in again.missing] == ["input", "external"]
    assert outside.read_text() == "changed\n"


def test_line_ends_are_as_the_run_saw_them(project: Path) -> None:
    (project / ".gitattributes").write_text("*.csv text\n")
    (project / "a.csv").write_bytes(b"1\r\n2\r\n")
    inputs = [loose(project, "a.csv", "git")]
    record = recorded(project, inputs=inputs)
    there = restore(find(project), record)
    assert there.missing == ()
    assert (there.into / "a.csv").read_bytes() == b"1\r\n2\r\n"
    assert any("line ends" in note for note in there.notes)


def test_submodules_are_filled_from_the_clone_at_hand_or_named(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "library"
    other.mkdir()
    git(other, "init", "-q")
    (other / "lib.py").write_text("x = 1\n")
    commit_all(other)
    git(project, "submodule", "add", "-q", str(other), "lib")
    commit_all(project)
    record = recorded(project)
    there = restore(find(project), record)
    assert there.missing == ()
    assert (there.into / "lib/lib.py").read_text() == "x = 1\n"
    git(project, "submodule", "deinit", "-q", "-f", "lib")
    shutil.rmtree(project / ".git/modules")
    (missing,) = restore(find(project), record).missing
    assert (missing.kind, missing.what, missing.needed) == ("submodule", "lib", False)


def test_a_folder_with_something_in_it_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="not an empty folder"):
        restore(find(project), recorded(project), tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert restore(find(project), recorded(project), tmp_path / "empty").into == tmp_path / "empty"


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "a/../../escaped.txt"])
def test_a_manifest_that_names_files_elsewhere_is_refused(project: Path, name: str) -> None:
    tracked(project, {"data/a.txt": "1\n"})
    data = json.dumps([{"md5": hashlib.md5(b"1\n").hexdigest(), "relpath": name}]).encode()
    md5 = hashlib.md5(data).hexdigest()
    held = project / ".dvc/cache/files/md5" / md5[:2] / f"{md5[2:]}.dir"
    held.parent.mkdir(exist_ok=True)
    held.write_bytes(data)
    (project / "data.dvc").write_text(f"outs:\n- md5: {md5}.dir\n  size: 2\n  nfiles: 1\n  hash: md5\n  path: data\n")
    record = recorded(project, reads=["data/a.txt"])
    with pytest.raises(LedgerError, match="outside of it"):
        restore(find(project), record)
    assert not list(project.parent.rglob("escaped.txt"))
    assert leftovers(project) == []


def test_data_are_not_written_through_a_link_that_leads_out(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    tracked(project, {"data/a.txt": "1\n"})
    shutil.rmtree(project / "data")
    (project / "sub").symlink_to(target)
    pointer = (project / "data.dvc").read_text()
    (project / "data.dvc").write_text(pointer.replace("path: data", "path: sub/data"))
    record = recorded(project, reads=["sub/data/a.txt"])
    there = restore(find(project), record)
    assert list(target.iterdir()) == []
    assert any("link" in m.why for m in there.missing)


def test_a_folder_of_data_that_is_a_link_itself_is_not_written_through(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    tracked(project, {"data/a.txt": "1\n"})
    shutil.rmtree(project / "data")
    (project / ".gitignore").write_text("")
    (project / "data").symlink_to(target)
    there = restore(find(project), recorded(project, reads=["data/a.txt"]))
    assert (there.into / "data").is_symlink()
    assert list(target.iterdir()) == []
    assert any("link" in m.why for m in there.missing)


def test_what_an_execution_wrote_is_put_back(project: Path) -> None:
    (project / "notes.txt").write_text("as it was\n")
    commit_all(project)
    tracked(project, {"a.csv": "1\n"})
    record = recorded(project, reads=["a.csv"], writes=["a.csv", "new/out.txt"])
    there = restore(find(project), record)
    (there.into / "a.csv").write_text("spoilt\n")
    (there.into / "notes.txt").write_text("spoilt\n")
    (there.into / "new").mkdir()
    (there.into / "new/out.txt").write_text("out\n")
    (there.into / "unseen.txt").write_text("out\n")
    put_back(find(project), record, there, ["a.csv", "new/out.txt"])
    assert (there.into / "a.csv").read_text() == "1\n"
    assert (there.into / "notes.txt").read_text() == "as it was\n"
    assert not (there.into / "new").exists()
    assert not (there.into / "unseen.txt").exists()
    (there.into / "a.csv").write_text("spoilt by a program that nobody watched\n")
    put_back(find(project), record, there, [])
    assert (there.into / "a.csv").read_text() == "1\n"


def test_nothing_is_put_back_where_the_work_tree_lost_its_repository(project: Path) -> None:
    (project / "notes.txt").write_text("as it was\n")
    commit_all(project)
    record = recorded(project)
    there = restore(find(project), record)
    (there.into / ".git").unlink()
    (project / "notes.txt").write_text("the user's own, not committed\n")
    with pytest.raises(ToolFailed, match="no work tree of Git any more"):
        put_back(find(project), record, there, [])
    assert (project / "notes.txt").read_text() == "the user's own, not committed\n"


def test_a_place_named_through_a_link_leaves_no_note_in_git(project: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    there = restore(find(project), recorded(project), tmp_path / "link" / "there")
    remove(find(project), there)
    assert "there" not in git(project, "worktree", "list")
    assert not list((tmp_path / "real").iterdir())


def test_a_killed_restoration_is_known_and_taken_away(project: Path) -> None:
    tracked(project, {"a.csv": "1\n"})
    record = recorded(project, reads=["a.csv"])
    before = Snap.take(project)
    script = (
        "import os, pickle, sys; from pathlib import Path; from nbledger.core.project import find;"
        "from nbledger.core.restore import restore; record = pickle.load(open(sys.argv[1], 'rb'));"
        "restore(find(), record, progress=lambda done, total, text: text.startswith('data') and os.kill(os.getpid(), 9))"
    )
    import pickle

    (project.parent / "record").write_bytes(pickle.dumps(record))
    done = subprocess.run([sys.executable, "-c", script, str(project.parent / "record")], cwd=project, check=False)
    assert done.returncode == -signal.SIGKILL
    check_same(before, Snap.take(project))
    (known,) = restored.registered(find(project))
    assert known.abandoned
    assert Path(known.into).is_dir()
    restored.remove(find(project), known.name)
    assert leftovers(project) == []
    check_same(before, Snap.take(project))


def test_a_folder_that_is_used_again_is_not_taken_away_for_its_first_use(project: Path, tmp_path: Path) -> None:
    here, place = find(project), tmp_path / "there"
    first = restore(here, recorded(project), place)
    shutil.rmtree(place)
    note = restored.folder(here) / f"{first.name}.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "owner": {**owners.owner(), "created": 0}}))
    restored.keep(here, restore(here, recorded(project), place).name)
    examine(here, fix=True)
    assert (place / ".git").exists()
    assert [r.into for r in restored.registered(here) if r.kept] == [str(place)]


def test_a_folder_that_another_restores_into_is_refused_and_left_alone(project: Path, tmp_path: Path) -> None:
    here, place = find(project), tmp_path / "there"
    first, _ = restored.begin(here, RUN, "0" * 40, place)
    with pytest.raises(Refused, match="is being restored into by process"):
        restore(here, recorded(project), place)
    assert [r.name for r in restored.registered(here)] == [first.name]


def test_a_kept_one_is_listed_and_its_removal_by_hand_noticed(project: Path) -> None:
    here = find(project)
    kept, other = restore(here, recorded(project)), restore(here, recorded(project))
    restored.keep(here, kept.name)
    restored.keep(here, other.name)
    said = [f for f in examine(here) if str(kept.into) in f.text]
    assert [(f.severity, f.text.endswith("is kept")) for f in said] == [("note", True)]
    shutil.rmtree(kept.into)
    said = [f for f in examine(here, fix=True) if str(kept.into) in f.text]
    assert [(f.fixed, "removed by hand" in f.text) for f in said] == [(True, True)]
    assert [r.name for r in restored.registered(here)] == [other.name]
    assert str(kept.into) not in git(project, "worktree", "list")
    git(project, "worktree", "remove", "--force", str(other.into))
    remove(here, restore(here, recorded(project)))  # the next restoration notices as well
    assert leftovers(project) == []


def test_two_at_once_have_places_of_their_own(project: Path) -> None:
    record = recorded(project)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        made: list[Restored] = list(pool.map(lambda _: restore(find(project), record), range(4)))
    assert len({one.into for one in made}) == 4
    for one in made:
        remove(find(project), one)
    assert leftovers(project) == []


# ── what the stories are told with ───────────────────────────────────────────────────────────────────────


def tracked(root: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    track(find(root), sorted({name.partition("/")[0] for name in contents}), "data")


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def loose(root: Path, name: str, state: str = "untracked") -> FileRecord:
    return FileRecord(name, (root / name).stat().st_size, md5_of(root / name), state)


def recorded(
    root: Path,
    *,
    reads: Iterable[str] = (),
    beside: Iterable[str] = (),
    writes: Iterable[str] = (),
    inputs: Iterable[FileRecord] = (),
) -> Record:
    """The record of a run that read (and wrote) these files, with a real snapshot; ``beside``: by cells not needed."""
    found: list[Any] = list(inputs)
    for name in reads:
        data = (root / name).read_bytes() if (root / name).is_file() else b"1\n"
        found.append(FileRecord(name, len(data), hashlib.md5(data).hexdigest(), "dvc"))
    git(root, "update-ref", "-d", f"refs/nbledger/runs/{RUN}")
    commit = capture(find(root), RUN).commit
    row = RunRow(RUN, "run", "FINISHED", "e", None, None, None, commit, commit, True)
    cells = (ExecutedCell("x", reads=tuple(beside), writes=tuple(writes)),)
    return Record(row, cells=cells, needed=(0,), inputs=tuple(found))


def aged(root: Path) -> None:
    """Let the cache's objects be older than the clock's tick, as they are but for the first moment."""
    import time

    time.sleep(0.05)


def leftovers(root: Path) -> list[str]:
    """What a restoration must not leave: work trees, Git's notes of them, registrations."""
    found = [str(p) for p in (root / ".nbledger/reproduced").glob("*")] if (root / ".nbledger").exists() else []
    found += [str(p) for p in (root / ".nbledger/reproductions").glob("*")] if (root / ".nbledger").exists() else []
    worktrees = root / ".git/worktrees"
    return found + ([str(p) for p in worktrees.iterdir()] if worktrees.exists() else [])
