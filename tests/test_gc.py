"""``gc``: what is needed stays, what is not goes, and where that cannot be known it refuses. And what DVC does beside it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from conftest import commit_all, data_remote, dvc, git, make_repository, run
from nbledger.core import gc, kept, lineage, mlflow, pointers, recorded, track
from nbledger.core.errors import LedgerError, Refused, Unreachable
from nbledger.core.observe import Observation
from nbledger.core.project import Project, find
from nbledger.keeper import calls, collecting, doctor, publish, recorder


@pytest.fixture
def here(project: Path) -> Project:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    commit_all(project)
    found = find(project)
    if _store:
        found.ensure_state()
        (found.state / "mlflow.db").write_bytes(_store[0])
    else:  # made once: it takes seconds
        mlflow.ensure_embedded(found)
        _store.append((found.state / "mlflow.db").read_bytes())
    return found


_store: list[bytes] = []


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def object_of(project: Project, data: bytes, folder: str = "files/md5") -> Path:
    name = md5(data)
    return kept.dvc.cache_dir(project) / folder / name[:2] / name[2:]


def tracked(project: Project, data: bytes, name: str = "data.bin", *, commit: bool = False) -> Path:
    """A version of a file; where its object is."""
    (project.root / name).write_bytes(data)
    track.track(project, [name], None, commit=commit)
    return object_of(project, data)


def record(project: Project, name: str = "run", reads: Iterable[str] = ()) -> str:
    """A recorded and published run that read these files; its id."""
    recording = recorder.start(project, recorder.Plan(name=name))
    found = lineage.describe(project, Observation(reads={}), list(map(str, reads)), hash_budget_mb=64)
    folder = recording.journal.blob("x").parent
    (folder / "inputs.json").write_text(json.dumps({"inputs": [lineage.record_to_dict(r) for r in found.inputs]}))
    (folder / "outputs.json").write_text(json.dumps({"outputs": []}))
    recording.lineage(found, folder)
    recording.outcome("FINISHED")
    recording.end()
    assert publish.flush(project) == (0, [])
    run_id = publish.run_id_of(project, recording.journal.id)
    assert run_id is not None
    return run_id


def collect(project: Project, **words: Any) -> collecting.Collected:
    seen = calls.perform(project, "gc", {**words, "dry_run": True})
    return calls.perform(project, "gc", {**words, "dry_run": False, "digest": seen.digest})  # type: ignore[no-any-return]


def dvc_gc(project: Project, **scope: bool) -> None:
    from dvc.repo import Repo

    with Repo(str(project.root)) as repo:
        repo.gc(force=True, **scope)


def delete_for_good(project: Project, run_id: str) -> None:
    api = mlflow.client(project)
    api.delete_run(run_id)
    api._tracking_client.store._hard_delete_run(run_id)


# ── collecting ───────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_nothing_needs_goes(here: Project) -> None:
    committed = tracked(here, b"committed", commit=True)
    commit_all(here.root)
    by_run = tracked(here, b"read by a run")
    run_id = record(here, reads=["data.bin"])
    stray = tracked(here, b"stray")
    present = tracked(here, b"present")
    seen = calls.perform(here, "gc", {})
    assert (seen.dry_run, seen.cache.objects, seen.cache.bytes, seen.links) == (True, 1, 5, 0)
    assert stray.exists(), "looking removes nothing"
    done = collect(here)
    assert (done.cache.objects, done.kept.objects) == (1, 3)
    assert [path.exists() for path in (committed, by_run, stray, present)] == [True, True, False, True]
    commit_all(here.root)
    narrow = collect(here, scopes=["workspace"])
    assert narrow.cache.objects == 1 and not committed.exists() and by_run.exists()
    assert run_id in recorded.noted(here)


def test_a_run_in_the_trash_is_needed_and_one_that_is_gone_is_not(here: Project) -> None:
    old = tracked(here, b"old")
    run_id = record(here, "old", ["data.bin"])
    tracked(here, b"new")
    other = record(here, "new", ["data.bin"])
    mlflow.client(here).delete_run(run_id)
    assert collect(here).cache.objects == 0
    mlflow.client(here).restore_run(run_id)
    delete_for_good(here, run_id)
    seen = calls.perform(here, "gc", {})
    assert (seen.runs, seen.snapshots, seen.cache.objects, seen.links) == ((run_id,), 1, 1, 1)
    done = collect(here)
    assert done.digest == seen.digest
    assert not old.exists() and object_of(here, b"new").exists()
    assert set(recorded.noted(here)) == {other}
    assert set(git(here.root, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/nbledger/runs").split()) == {other}
    assert kept.summary(here).objects == 1  # type: ignore[union-attr]
    assert collect(here).runs == ()


def test_bytes_that_a_plain_gc_took_the_name_of_are_freed(here: Project) -> None:
    tracked(here, b"x" * 1000)
    run_id = record(here, reads=["data.bin"])
    tracked(here, b"new")
    dvc_gc(here, workspace=True)
    assert not object_of(here, b"x" * 1000).exists()
    delete_for_good(here, run_id)
    done = collect(here)
    assert (done.cache.objects, done.cache.bytes, done.links) == (0, 1000, 1)


def test_nothing_is_removed_that_was_not_foreseen(here: Project) -> None:
    tracked(here, b"one")
    tracked(here, b"two")
    seen = calls.perform(here, "gc", {})
    tracked(here, b"three")
    with pytest.raises(Refused, match="something changed"):
        calls.perform(here, "gc", {"dry_run": False, "digest": seen.digest})
    assert object_of(here, b"one").exists()


def test_refuses_while_the_store_does_not_answer(here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tracked(here, b"one")
    record(here, reads=["data.bin"])
    tracked(here, b"two")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="does not answer"):
        calls.perform(here, "gc", {})
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (here.state / "mlflow.db").rename(here.state / "elsewhere.db")
    with pytest.raises(LedgerError, match="not there"):
        calls.perform(here, "gc", {})


def test_refuses_while_a_pointer_cannot_be_read(here: Project) -> None:
    tracked(here, b"one")
    (here.root / "data.bin.dvc").unlink()
    (here.root / "data.bin.dvc").mkdir()
    (here.root / "data.bin.dvc/inner.dvc").symlink_to("/proc/self/mem")
    with pytest.raises(Refused, match="cannot be read"):
        calls.perform(here, "gc", {})


def test_an_open_runs_data_stay(here: Project) -> None:
    tracked(here, b"while it runs")
    recording = recorder.start(here, recorder.Plan(name="open"))
    tracked(here, b"next")
    assert collect(here, scopes=["workspace"]).cache.objects == 0
    assert object_of(here, b"while it runs").exists()
    recording.outcome("FINISHED")
    recording.end()


def test_history_indexes_and_work_trees(here: Project, tmp_path: Path) -> None:
    """Each of these places is the only one to name a version."""
    root = here.root
    versions = [f"version {n}".encode() for n in range(8)]
    tracked(here, versions[0], commit=True)
    git(root, "switch", "-q", "-c", "side")
    tracked(here, versions[1], commit=True)
    git(root, "tag", "kept")
    tracked(here, versions[2], commit=True)
    git(root, "switch", "-q", "main")
    git(root, "merge", "-q", "--no-ff", "-s", "ours", "-m", "keeps nothing of it", "side")
    git(root, "branch", "-q", "-D", "side")
    tracked(here, versions[3], commit=True)
    git(root, "reset", "-q", "--hard", "HEAD~1")  # in the reflog
    tracked(here, versions[4])
    git(root, "add", "data.bin.dvc")  # in the index
    git(root, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    tracked(here, versions[5])
    (tmp_path / "linked/other.dvc").write_bytes((root / "data.bin.dvc").read_bytes())  # untracked, elsewhere
    tracked(here, versions[6])
    git(root, "stash", "push", "-q", "--", "data.bin.dvc")
    tracked(here, versions[7])
    assert collect(here).cache.objects == 0
    assert all(object_of(here, data).exists() for data in versions)
    tips = collect(here, scopes=["branches", "tags"])
    left = [number for number, data in enumerate(versions) if object_of(here, data).exists()]
    assert {1, 5, 7} <= set(left) and 3 not in left and tips.cache.objects == 8 - len(left)


def test_the_history_is_read_whole(here: Project) -> None:
    """One log of all changes names what going through every commit does."""
    root = here.root
    for number in range(6):
        (root / "sub").mkdir(exist_ok=True)
        (root / "sub/dvc.lock").write_text(f"stages: {number:032x}\n")
        if number % 2:
            (root / "sub/dvc.lock").rename(root / f"sub/{number}.dvc")
        commit_all(root)
        git(root, "switch", "-q", "-c", f"b{number}")
    git(root, "switch", "-q", "--orphan", "other")
    (root / "lone.dvc").write_text("f" * 32)
    git(root, "add", "lone.dvc")
    git(root, "commit", "-qm", "lone")
    git(root, "merge", "-q", "--allow-unrelated-histories", "-m", "both", "b3")
    assert here.git is not None
    expected = set()
    for commit in git(root, "rev-list", "--all").split():
        for line in git(root, "ls-tree", "-r", commit).splitlines():
            facts, _, path = line.partition("\t")
            if pointers.is_pointer(path):
                expected.add(facts.split()[2])
    assert pointers.blobs_of_history(here.git, pointers.EVERYTHING) >= expected and len(expected) >= 6


def test_a_cache_outside_is_shared_with_others(here: Project, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    other = find(make_repository(tmp_path / "other"))
    for one in (here, other):
        (one.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {shared}\n")
        (one.root / ".nbledger.toml").write_text("keeper = false\n")
    tracked(other, b"read there", "theirs.bin")
    record(other, reads=["theirs.bin"])
    tracked(other, b"only in their work tree", "theirs.bin")
    tracked(here, b"stray")
    tracked(here, b"mine")
    with pytest.raises(Refused, match="outside of this project"):
        calls.perform(here, "gc", {})
    done = collect(here, projects=[str(other.root)])
    assert done.cache.objects == 1 and object_of(here, b"only in their work tree").exists()
    done = collect(here, alone=True)
    assert done.cache.objects == 1 and object_of(here, b"read there").exists(), "what their runs need is spared"
    copy = tmp_path / "copy"
    run("cp", "-a", str(here.root), str(copy), cwd=tmp_path)
    record(here, reads=["data.bin"])
    record(find(copy), "in the copy", ["data.bin"])
    assert len({p.name for p in (shared / "nbledger").iterdir() if p.is_dir()}) == 3, "a copy has links of its own"


def test_the_remote(here: Project, tmp_path: Path) -> None:
    data_remote(here.root, tmp_path / "remote")
    (here.root / ".dvc/config").write_text("")
    with pytest.raises(Refused, match="no default DVC remote"):
        calls.perform(here, "gc", {"cloud": True})
    data_remote(here.root, tmp_path / "remote")
    (here.root / "parts").mkdir()
    for number in range(3):
        (here.root / f"parts/{number}").write_text(f"part {number}")
    track.track(here, ["parts"], None, commit=False)
    record(here, reads=["parts"])
    tracked(here, b"stray")
    dvc(here.root, "push", "-q")
    tracked(here, b"present")
    dvc(here.root, "push", "-q")
    (here.root / "parts.dvc").unlink()
    remote = tmp_path / "remote/files/md5"
    before = sum(path.is_file() for path in remote.rglob("*"))
    listed = next(remote.rglob("*.dir"))
    for store in (here.root / ".dvc/cache/files/md5", *(here.root / ".dvc/cache/nbledger").glob("*/md5")):
        (store / listed.parent.name / listed.name).unlink()  # the list of files is only in the remote
    done = collect(here, cloud=True)
    assert done.remote is not None and (done.remote.objects, done.remote.bytes) == (1, 5), done
    assert sum(path.is_file() for path in remote.rglob("*")) == before - 1
    assert done.unknown == ()


def test_the_command(here: Project) -> None:
    tracked(here, b"stray")
    tracked(here, b"present")
    words = [sys.executable, "-m", "nbledger.cli", "gc"]
    done = subprocess.run(words, cwd=here.root, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 2) and "--yes" in done.stderr and object_of(here, b"stray").exists()
    assert "1 object would go (5 B)" in run(*words, "--dry-run", cwd=here.root)
    said = json.loads(run(*words, "--yes", "--json", cwd=here.root))
    assert (said["cache"], said["dry_run"]) == ({"objects": 1, "bytes": 5}, False)
    assert run(*words, cwd=here.root).startswith("nothing to remove")


# ── keeping, beside DVC ──────────────────────────────────────────────────────────────────────────────────────


def test_keeping_again_makes_nothing(here: Project) -> None:
    (here.root / "parts").mkdir()
    for number in range(300):
        (here.root / f"parts/{number}").write_text(f"part {number}")
    (found,) = track.track(here, ["parts"], None, commit=False)
    first = kept.keep(here, [found.md5])
    assert len(first.made) == 301 and not first.bare
    assert kept.keep(here, [found.md5]).made == []
    assert os.stat(object_of(here, b"part 7")).st_nlink == 2


def test_a_folder_that_is_here_in_part_is_completed_later(here: Project) -> None:
    (here.root / "parts").mkdir()
    for number in range(3):
        (here.root / f"parts/{number}").write_text(f"part {number}")
    (found,) = track.track(here, ["parts"], None, commit=False)
    held = object_of(here, b"part 1")
    held.rename(here.root / "aside")
    assert kept.keep(here, [found.md5]).absent == {md5(b"part 1")}
    assert not kept.has(here, found.md5)
    (here.root / "parts.dvc").unlink()
    dvc_gc(here, workspace=True)
    assert len(kept.bring_back(here)[0]) == 3
    held.parent.mkdir(exist_ok=True)
    (here.root / "aside").rename(held)
    kept.keep(here, [found.md5])
    assert kept.has(here, found.md5)


def test_a_list_that_names_what_is_no_hash_leads_nowhere(here: Project, tmp_path: Path) -> None:
    """A hostile repository can bring any list of a folder's files."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    up = os.path.relpath(secret, object_of(here, b"").parents[1] / "..")
    listing = json.dumps([{"md5": f"..{up}", "relpath": "x"}, {"md5": None, "relpath": "y"}]).encode()
    held = object_of(here, listing)
    held = held.with_name(held.name + ".dir")
    held.parent.mkdir(parents=True)
    held.write_bytes(listing)
    name = held.parent.name + held.name
    for wanted in (name, f"..{up}", "../../x", "a" * 31):
        kept.keep(here, [wanted])
        kept.bring_back(here, [wanted])
    assert kept.has(here, name) and not kept.has(here, f"..{up}")
    assert os.stat(secret).st_nlink == 1


def test_damaged_bytes_do_not_come_back(here: Project) -> None:
    held = tracked(here, b"sound")
    record(here, reads=["data.bin"])
    held.chmod(0o644)
    held.write_bytes(b"broken")
    held.unlink()
    assert kept.bring_back(here) == ([], [md5(b"sound")])
    assert not held.exists()
    assert any("is damaged" in f.text for f in doctor.examine(here, fix=True))
    tracked(here, b"other")
    tracked(here, b"sound")  # DVC has it again: the link is renewed
    assert kept.refresh(here) == 1
    held.unlink()
    assert kept.bring_back(here) == ([md5(b"sound")], [])


def test_doctor_says_and_mends(here: Project) -> None:
    tracked(here, b"old")
    record(here, reads=["data.bin"])
    tracked(here, b"new")
    assert any("1 data object (3 B) of recorded runs protected" in f.text for f in doctor.examine(here))
    dvc_gc(here, workspace=True)
    assert any("were removed from the cache" in f.text and not f.fixed for f in doctor.examine(here))
    assert any("had been removed from the cache" in f.text and f.fixed for f in doctor.examine(here, fix=True))
    assert object_of(here, b"old").read_bytes() == b"old"


def test_runs_of_before_are_protected_by_doctor(here: Project) -> None:
    tracked(here, b"old")
    record(here, reads=["data.bin"])
    run("rm", "-r", ".dvc/cache/nbledger", ".git/nbledger/kept-id", cwd=here.root)
    assert any("dvc gc would take 1 data object" in f.text for f in doctor.examine(here))
    doctor.examine(here, fix=True)
    tracked(here, b"new")
    dvc_gc(here, workspace=True)
    assert kept.bring_back(here)[0] == [md5(b"old")]


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_links_of_the_work_tree(here: Project, kind: str) -> None:
    """A work-tree file that is the object itself: one more name is no change, for us and for DVC."""
    root = here.root
    (root / ".dvc/config").write_text(f"[cache]\n    type = {kind}\n")
    (root / "data.bin").write_bytes(b"linked")
    dvc(root, "add", "-q", "data.bin")
    seen = lineage._stat(str(root / "data.bin"))
    assert seen is not None
    record(here)
    found = lineage.describe(here, Observation(reads={str(root / "data.bin"): seen}), hash_budget_mb=64)
    assert [(r.path, r.state, r.md5) for r in found.inputs] == [("data.bin", "dvc", md5(b"linked"))]
    assert run(sys.executable, "-m", "dvc", "status", "-q", cwd=root) == ""
    (root / "data.bin").unlink()
    dvc(root, "checkout", "-q")
    assert (root / "data.bin").read_bytes() == b"linked"
    assert os.path.samefile(root / "data.bin", object_of(here, b"linked"))
    (root / "data.bin.dvc").unlink()
    dvc_gc(here, workspace=True)
    assert kept.bring_back(here)[0] == [md5(b"linked")]


def test_what_is_known_of_hashes_stays_known(here: Project) -> None:
    """A link changes an object's ctime; what was verified once is not read again."""
    from nbledger.core import hashes
    from nbledger.core.files import signature

    held = tracked(here, os.urandom(2 << 20))
    old = hashes.pack(signature(held.stat()))
    with hashes.opened(here) as known:
        known.add_files([(str(held), old, "f" * 32)])
    import time

    time.sleep(0.05)
    kept.keep(here, [held.parent.name + held.name])
    now = hashes.pack(signature(held.stat()))
    with hashes.opened(here) as known:
        assert now != old and known.files([str(held)]) == {str(held): (now, "f" * 32)}


def test_objects_of_another_user_are_told(here: Project, tmp_path: Path) -> None:
    """The system refuses a link to what one neither owns nor may write: a shared cache of several people."""
    if os.getuid() == 0 and Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1":
        held = tracked(here, b"of somebody else")
        for path in (here.root, *here.root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        for path in (tmp_path, *list(tmp_path.parents)[:3]):
            path.chmod(0o755)
        os.chown(held, 0, 0)
        script = (
            "import sys; from pathlib import Path; from nbledger.core import kept; from nbledger.core.project import find;"
            "done = kept.keep(find(Path(sys.argv[1])), [sys.argv[2]]); print(done.bare)"
        )
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", script]
        env = {**os.environ, "HOME": str(here.root)}
        said = run(*words, str(here.root), md5(b"of somebody else"), cwd=here.root, env=env)
        assert "links to files of another user" in said


def test_a_cache_on_a_read_only_disk_is_told(here: Project) -> None:
    tracked(here, b"read-only")
    where = kept.dvc.cache_dir(here)
    script = (
        "import sys; from nbledger.core import kept; from nbledger.core.project import find;"
        "kept.keep(find(), [sys.argv[1]]); print(kept.told(kept.summary(find())))"
    )
    mount = f'mount --bind {where} {where} && mount -o remount,ro,bind {where} && exec "$@"'
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    words = ["unshare", *user, "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", script, md5(b"read-only")]
    assert (
        "take 1 data object (9 B) that recorded runs need: they are not protected, the cache is on a read-only"
        in run(*words, cwd=here.root)
    )
    kept.keep(here, [md5(b"read-only")])
    assert kept.told(kept.summary(here)) == ""  # type: ignore[arg-type]


def test_legacy_objects(here: Project) -> None:
    """What DVC 2 left lies in the cache's own folder."""
    held = kept.dvc.cache_dir(here) / md5(b"two\n")[:2] / md5(b"two\n")[2:]
    held.parent.mkdir(parents=True)
    held.write_bytes(b"two\n")
    held.chmod(0o444)
    (here.root / "old.dvc").write_text(f"outs:\n- md5: {md5(b'two' + bytes([10]))}\n  size: 4\n  path: old\n")
    record(here)
    (here.root / "old.dvc").unlink()
    dvc_gc(here, workspace=True)
    assert not held.exists()
    assert kept.bring_back(here)[0] == [md5(b"two\n")] and held.read_bytes() == b"two\n"


def test_the_run_cache_and_others_in_the_cache_are_left_alone(here: Project) -> None:
    root = kept.dvc.cache_dir(here)
    tracked(here, b"present")
    for name in ("runs/ab/cdef/x", "files/md5/ab/notes.txt", "files/md5/ab/.nbledger-x-1.tmp", "zz/0", "fs/a"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert collect(here).cache.objects == 0


def test_gc_of_a_plan_is_complete_after_a_kill(here: Project) -> None:
    """Half of a collection done: the other half is the next one's."""
    for number in range(6):
        tracked(here, f"{number}".encode())
    plan = gc.foresee(here, gc.Wanted(), gc.Runs({}))
    os.unlink(next(iter(plan.objects)))
    assert len(plan.objects) == 5 and collect(here).cache.objects == 4
