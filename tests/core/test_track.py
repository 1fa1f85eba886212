"""``track`` beside the real ``git`` and ``dvc``: what it writes is theirs, and nothing of the user's is at risk."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import both_remotes, commit_all, data_remote, dvc, git, make_repository, run
from kills import Call, killed_at
from nbledger.commands import tree
from nbledger.commands.answer import Face
from nbledger.core import dvc as door
from nbledger.core import project as projects
from nbledger.core import push as shared
from nbledger.core import trust
from nbledger.core.errors import Busy, LedgerError, Refused, ToolFailed, UsageError
from nbledger.core.track import track

HOSTILE = [
    "a b",
    "é.csv",
    "-dash",
    "g[1]*?.csv",
    "#x",
    "!x",
    "tr ",
    "tr  ",
    "q'uote",
    "c: d",
    "123",
    "yes",
    "b\\s",
    "~",
    'dq"x',
    " lead",
    "x" * 120,
    "many words " * 12 + "end.csv",
    ":colon",
    "{a: b}",
    "0x1f",
    "2024-01-01",
    "1_0",
]
TRACK = "import sys; from nbledger.core import project, track; track.track(project.find(), sys.argv[1:])"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repo").resolve()


def do(root: Path, *paths: str, **options):
    return track(projects.find(root), paths, **options)


def clean(root: Path, where: Path | None = None) -> None:
    """Git and DVC agree that nothing is left to do."""
    assert git(root, "status", "--porcelain") == ""
    assert "up to date" in dvc(where or root, "status")
    state = json.loads(dvc(where or root, "data", "status", "--json", "--granular") or "{}")
    state.pop("git", None)
    assert not any(state.values()), state
    assert door.data_status(projects.find(where or root)).changed == ()


def background(root: Path, *paths: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen([sys.executable, "-c", TRACK, *paths], cwd=root, env=env, stderr=subprocess.PIPE)


# ── plain tools agree ───────────────────────────────────────────────────────────────────────────────────────────────
def test_file_is_tracked_and_committed(root: Path) -> None:
    (root / "data.csv").write_text("a,b\n1,2\n")
    before = (root / "data.csv").stat()
    (one,) = do(root, "data.csv")
    assert one.changed and one.path == "data.csv" and one.size == 8 and one.nfiles == 1
    assert one.md5 == hashlib.md5(b"a,b\n1,2\n").hexdigest()
    assert one.commit == git(root, "rev-parse", "HEAD")
    assert git(root, "log", "-1", "--format=%s") == "Track data.csv"
    assert set(git(root, "show", "--format=", "--name-only", "HEAD").split()) == {".gitignore", "data.csv.dvc"}
    after = (root / "data.csv").stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    clean(root)
    os.unlink(root / "data.csv")
    dvc(root, "checkout")
    assert (root / "data.csv").read_text() == "a,b\n1,2\n"


def test_hostile_names(root: Path) -> None:
    for name in HOSTILE:
        (root / name).write_text(name)
    done = do(root, *HOSTILE)
    assert [one.notes for one in done] == [()] * len(HOSTILE)
    clean(root)
    found, problems = door.outputs(projects.find(root))
    assert not problems and {out.path for out in found} == set(HOSTILE)
    for name in HOSTILE:
        os.unlink(root / name)
    dvc(root, "checkout")
    assert all((root / name).read_text() == name for name in HOSTILE)


def test_pointers_are_what_dvc_writes(tmp_path: Path) -> None:
    ours, theirs = make_repository(tmp_path / "ours"), make_repository(tmp_path / "theirs")
    for root in (ours, theirs):
        (root / "folder" / "sub").mkdir(parents=True)
        (root / "folder" / "é x").write_text("1")
        (root / "folder" / "sub" / "b").write_text("2")
        (root / "folder" / "sub-b").write_text("3")
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        for name in HOSTILE:
            (root / name).write_text(name)
    names = ["folder", "run.sh", *HOSTILE]
    do(ours.resolve(), *names)
    dvc(theirs, "add", "--quiet", "--", *names)
    for name in names:
        assert (ours / f"{name}.dvc").read_bytes() == (theirs / f"{name}.dvc").read_bytes()
    cached = [
        {p.relative_to(r): p.stat().st_mode for p in (r / ".dvc/cache").rglob("*") if p.is_file()}
        for r in (ours, theirs)
    ]
    assert cached[0] == cached[1]


def test_folder_and_again_with_one_changed(root: Path) -> None:
    for i in range(30):
        path = root / "data" / f"d{i % 3}" / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(i))
    (one,) = do(root, "data/")
    assert (one.path, one.nfiles, one.md5[-4:]) == ("data", 30, ".dir")
    clean(root)
    (same,) = do(root, "data")
    assert not same.changed and same.commit is None
    (root / "data/d1/1.txt").write_text("new")
    assert door.data_status(projects.find(root)).changed == ("data",)
    (again,) = do(root, "data/d1/1.txt")
    assert again.path == "data" and again.changed and "inside the tracked folder data" in again.notes[0]
    clean(root)
    (root / "data/d1/1.txt").unlink()
    do(root, "data")
    clean(root)


def test_retracking_keeps_what_people_wrote(root: Path) -> None:
    (root / "x").write_text("1")
    do(root, "x")
    pointer = root / "x.dvc"
    pointer.write_text("# why\n" + pointer.read_text() + "  desc: mine # yes\nmeta:\n  owner: me\n")
    (root / "x").write_text("22")
    do(root, "x")
    text = pointer.read_text()
    assert "# why" in text and "desc: mine # yes" in text and "owner: me" in text
    assert hashlib.md5(b"22").hexdigest() in text and "size: 2" in text
    clean(root)


def test_globs_and_several_paths_make_one_commit(root: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (root / name).write_text(name)
    count = int(git(root, "rev-list", "--count", "HEAD"))
    assert [one.path for one in do(root, "*.csv", "c.txt", "a.csv")] == ["a.csv", "b.csv", "c.txt"]
    assert int(git(root, "rev-list", "--count", "HEAD")) == count + 1
    assert [one.changed for one in do(root, "*.csv")] == [False, False]


# ── only ours is committed ──────────────────────────────────────────────────────────────────────────────────────────
def test_staged_and_edited_files_stay_as_they_are(root: Path) -> None:
    (root / ".gitignore").write_text("*.log\n")
    (root / "code.py").write_text("1\n")
    commit_all(root)
    (root / "code.py").write_text("2\n")
    (root / "new.py").write_text("n\n")
    git(root, "add", "code.py", "new.py")
    (root / ".gitignore").write_text("*.log\n*.mine\n")
    (root / "x").write_text("x")
    do(root, "x")
    assert git(root, "diff", "--cached", "--name-only").split() == ["code.py", "new.py"]
    assert git(root, "diff", "--name-only") == ".gitignore"
    assert git(root, "show", "HEAD:.gitignore") == "*.log\n/x"
    assert (root / ".gitignore").read_text() == "*.log\n*.mine\n/x\n"


def test_a_file_git_tracks_goes_over_to_dvc(root: Path) -> None:
    (root / "d").mkdir()
    for name in ("d/one", "d/two", "x"):
        (root / name).write_text(name)
    commit_all(root)
    done = do(root, "x", "d")
    assert all("Git tracked" in one.notes[0] for one in done)
    assert not {"x", "d/one"} & set(git(root, "ls-files").split())
    clean(root)


def test_no_commit_then_commit(root: Path) -> None:
    (root / "x").write_text("x")
    head = git(root, "rev-parse", "HEAD")
    (one,) = do(root, "x", commit=False)
    assert one.commit is None and one.changed and git(root, "rev-parse", "HEAD") == head
    (two,) = do(root, "x", message="now")
    assert two.commit and git(root, "log", "-1", "--format=%s") == "now"
    clean(root)


def test_unborn_branch_detached_head_and_merge(tmp_path: Path) -> None:
    root = (tmp_path / "new").resolve()
    root.mkdir()
    git(root, "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q", cwd=root)
    git(root, "rm", "-rq", "--cached", ".")
    (root / "x").write_text("x")
    (one,) = do(root, "x")
    assert one.commit == git(root, "rev-parse", "HEAD")
    commit_all(root)
    git(root, "checkout", "-q", "--detach")
    (root / "y").write_text("y")
    do(root, "y")
    clean(root)
    (root / ".git" / "MERGE_HEAD").write_text(git(root, "rev-parse", "HEAD") + "\n")
    (root / "z").write_text("z")
    (three,) = do(root, "z")
    assert three.commit is None and "merge" in three.notes[0] and (root / "z.dvc").is_file()


def test_worktree_submodule_and_subdirectory(tmp_path: Path, root: Path) -> None:
    git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    linked = (tmp_path / "linked").resolve()
    (linked / "x").write_text("x")
    do(linked, "x")
    clean(linked)
    outer = (tmp_path / "outer").resolve()
    outer.mkdir()
    git(outer, "init", "-q")
    (outer / "ml").mkdir()
    dvc(outer / "ml", "init", "--subdir", "-q")
    commit_all(outer)
    (outer / "ml" / "deep").mkdir()
    (outer / "ml" / "deep" / "x").write_text("x")
    project = projects.find(outer / "ml" / "deep")
    (one,) = track(project, ["x"], cwd=outer / "ml" / "deep")
    assert one.path == "ml/deep/x"
    clean(outer, outer / "ml")
    assert door.lookup(project, "ml/deep/x").md5 == one.md5
    (outer / "out").write_text("x")
    with pytest.raises(Refused, match="outside the DVC repository in ml"):
        track(project, ["../../out"], cwd=outer / "ml" / "deep")
    git(outer, "submodule", "--quiet", "add", str(root), "sub")
    (outer / "sub" / "y").write_text("y")
    (two,) = do(outer / "sub", "y")
    assert two.commit == git(outer / "sub", "rev-parse", "HEAD")
    clean(outer / "sub")


def test_without_git(tmp_path: Path) -> None:
    root = (tmp_path / "plain").resolve()
    root.mkdir()
    dvc(root, "init", "--no-scm", "-q")
    (root / "d").mkdir()
    (root / "d" / "x").write_text("x")
    (one,) = do(root, "d")
    assert one.commit is None and one.changed
    assert "up to date" in dvc(root, "status")


def test_push(root: Path, tmp_path: Path) -> None:
    (root / "c: d").write_text("x")
    with pytest.raises(Refused, match="tracked and committed, but not pushed"):
        do(root, "c: d", push=True)
    dvc(root, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    (one,) = do(root, "c: d", push=True)
    assert one.pushed and (tmp_path / "remote/files/md5" / one.md5[:2] / one.md5[2:]).is_file()
    os.unlink(root / "c: d")
    shutil.rmtree(root / ".dvc/cache")
    assert door.pull(projects.find(root)) == 1
    assert (root / "c: d").read_text() == "x"


# ── refusals, before anything is written ────────────────────────────────────────────────────────────────────────────
def snapshot(root: Path) -> list[str]:
    skip = (root / ".nbledger", root / ".dvc" / "tmp", root / ".git")
    return sorted(str(p) for p in root.rglob("*") if not any(s in (p, *p.parents) for s in skip))


@pytest.mark.parametrize(
    ("make", "word", "error", "says"),
    [
        (lambda r: None, "dta.csv", UsageError, "did you mean data.csv"),
        (lambda r: None, "*.nope", UsageError, "nothing matches"),
        (lambda r: None, "../outside", Refused, "import-url"),
        (lambda r: (r / "l").symlink_to("../outside"), "l", Refused, "outside the project"),
        (lambda r: (r / "l").symlink_to("nowhere"), "l", Refused, "not there"),
        (
            lambda r: ((r / "f").mkdir(), (r / "f/a").write_text(""), (r / "f/l").symlink_to("../../outside")),
            "f",
            Refused,
            "outside the project",
        ),
        (
            lambda r: ((r / "f").mkdir(), (r / "f/a").write_text(""), (r / "f/l").symlink_to("../..")),
            "f",
            Refused,
            "outside the project",
        ),
        (lambda r: (r / "e").mkdir(), "e", Refused, "empty"),
        (lambda r: (r / "n\nl").write_text(""), "n\nl", Refused, "line break"),
        (lambda r: (r / os.fsdecode(b"\xff")).write_text(""), os.fsdecode(b"\xff"), Refused, "UTF-8"),
        (lambda r: (r / "data.csv.dvc").write_text("outs: ["), "data.csv", Refused, "data.csv.dvc is damaged"),
        (lambda r: (r / "data.csv.dvc").write_text("outs:\n- path: y\n"), "data.csv", Refused, "already tracks y"),
        (lambda r: (r / "y.dvc").write_text("outs:\n- path: y\n"), "y.dvc", Refused, "pointer"),
        (lambda r: None, ".git", Refused, "belongs to .git"),
        (lambda r: None, ".", Refused, "whole repository"),
        (lambda r: os.mkfifo(r / "pipe"), "pipe", Refused, "neither"),
        (lambda r: (r / ".gitignore").write_text("*.dvc\n"), "data.csv", Refused, "Git ignores data.csv.dvc"),
        (lambda r: (r / ".dvcignore").write_text("*.csv\n"), "data.csv", Refused, "dvcignore"),
        (lambda r: ((r / "f").mkdir(), (r / "f/.dvcignore").write_text("x")), "f", Refused, "dvcignore"),
        (
            lambda r: (r / "dvc.yaml").write_text("stages:\n  m:\n    cmd: x\n    outs: [data.csv]\n"),
            "data.csv",
            Refused,
            "dvc repro m",
        ),
        (
            lambda r: ((r / "f").mkdir(), (r / "f/a").write_text(""), (r / "f/a.dvc").write_text("outs:\n- path: a\n")),
            "f",
            Refused,
            "already tracks",
        ),
        (
            lambda r: (r / "gone.dvc").write_text("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: gone\n"),
            "gone",
            UsageError,
            "nbledger pull gone",
        ),
        (lambda r: (r / ".git/index.lock").write_text(""), "data.csv", Busy, "index lock"),
    ],
)
def test_refusals(root: Path, make, word: str, error: type[LedgerError], says: str) -> None:
    (root / "data.csv").write_text("x")
    (root.parent / "outside").write_text("o")
    make(root)
    before, head = snapshot(root), git(root, "rev-parse", "HEAD")
    with pytest.raises(error) as caught:
        do(root, word)
    assert says in str(caught.value)
    assert snapshot(root) == before and git(root, "rev-parse", "HEAD") == head


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("name", ["extra", "more data.csv"])
def test_the_way_back_of_data_that_are_not_in_the_work_tree(
    root: Path, tmp_path: Path, name: str, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint, as typed: in a fresh clone, whose cache is empty, and where no remote is but the cache has them."""
    (root / "extra").mkdir()
    (root / "extra" / "a.csv").write_text("1")
    (root / "more data.csv").write_text("2")
    do(root, "extra", "more data.csv")
    if cached:
        shutil.rmtree(root / "extra")
        (root / "more data.csv").unlink()
    else:
        both_remotes(root, tmp_path)
        trust.trust(projects.find(root))
        shared.push(projects.find(root))
        git(tmp_path, "clone", "-q", str(tmp_path / "bare.git"), "fresh")
        root = (tmp_path / "fresh").resolve()
        trust.trust(projects.find(root))
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match="tracked, but not in the work tree") as caught:
        do(root, name)
    tool, *words = shlex.split(caught.value.hint.removeprefix("bring it back: "))
    assert (tool, words) == ("dvc", ["checkout", name]) if cached else ("nbledger", ["pull", name])
    _ = dvc(root, *words) if cached else tree.run(words, Face())
    assert not do(root, name)[0].changed


def test_the_way_back_of_what_a_stage_makes(root: Path) -> None:
    (root / "dvc.yaml").write_text(
        "stages:\n  m:\n    cmd: echo 1 > m.json\n    metrics:\n    - m.json:\n        cache: false\n"
    )
    with pytest.raises(UsageError) as caught:
        do(root, "m.json")
    assert caught.value.hint == "dvc repro m makes it"
    dvc(root, *shlex.split(caught.value.hint)[1:3])
    assert (root / "m.json").exists()


def test_the_way_back_without_git(tmp_path: Path) -> None:
    bare = tmp_path / "plain"
    bare.mkdir()
    dvc(bare, "init", "-q", "--no-scm")
    (bare / "gone.dvc").write_text("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: gone\n")
    with pytest.raises(UsageError, match="bring it back: dvc pull gone"):
        do(bare, "gone")


def test_no_dvc_and_no_identity(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "-q")
    with pytest.raises(Refused, match="ledger init"):
        do(bare, "x")
    (root / "x").write_text("x")
    git(root, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with pytest.raises(Refused, match="who you are"):
        do(root, "x")
    assert not (root / "x.dvc").exists()


def test_unrelated_damage_does_not_block(root: Path) -> None:
    (root / "junk.dvc").write_text("{{{")
    (root / "x").write_text("x")
    (one,) = do(root, "x")
    assert one.changed
    assert [p.pointer for p in door.outputs(projects.find(root))[1]] == ["junk.dvc"]


def test_links(root: Path) -> None:
    (root.parent / "outside").write_text("bytes outside")
    (root / "real").write_text("real")
    (root / "in").symlink_to("real")
    (root / "out").symlink_to("../outside")
    (one,) = do(root, "in")
    assert one.path == "real" and "link" in one.notes[0]
    (two,) = do(root, "out", follow_symlinks=True)
    assert two.path == "out" and (root / "out").is_symlink()
    assert two.md5 == hashlib.md5(b"bytes outside").hexdigest()


def test_dvcignore_is_honoured(root: Path) -> None:
    (root / ".dvcignore").write_text("*.tmp\n")
    commit_all(root)
    (root / "d").mkdir()
    (root / "d/a").write_text("a")
    (root / "d/b.tmp").write_text("b")
    (one,) = do(root, "d")
    assert one.nfiles == 1
    clean(root)


# ── other processes ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_dvc_lock_is_respected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "x").write_text("x")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import zc.lockfile, sys; l = zc.lockfile.LockFile('.dvc/tmp/lock');"
                " print('held', flush=True); sys.stdin.read()"
            ),
        ],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    project = projects.find(root)
    with pytest.raises(Busy, match=str(holder.pid)), door.lock(project, timeout=0.1):
        pass
    holder.communicate()
    with door.lock(project):
        refused = run(sys.executable, "-m", "dvc", "add", "x", cwd=root, ok=False)
        assert not (root / "x.dvc").exists(), refused
    do(root, "x")


def test_folder_that_grows_meanwhile(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "big").write_bytes(os.urandom(64 << 20))

    def grow(done: int, total: int, path: str) -> None:
        (root / "d" / "late").write_text("late")

    with pytest.raises(Refused, match="late changed while"):
        do(root, "d", progress=grow)
    assert not (root / "d.dvc").exists()


def test_killed_between_commit_and_index(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbledger.core import git as git_door

    (root / "x").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(git_door, "update_index", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            do(root, "x")
    assert git(root, "status", "--porcelain") != ""
    do(root, "x")
    clean(root)


def test_head_moved_meanwhile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbledger.core import git as git_door

    (root / "x").write_text("x")
    true = git_door.commit_tree
    moved = []

    def racing(*args, **kwargs):
        if not moved:
            moved.append(1)
            git(root, "commit", "--quiet", "--allow-empty", "-m", "somebody else")
        return true(*args, **kwargs)

    monkeypatch.setattr(git_door, "commit_tree", racing)
    do(root, "x")
    assert git(root, "log", "-2", "--format=%s").split("\n") == ["Track x", "somebody else"]
    clean(root)


def test_signing_that_fails_says_what_is_done(root: Path) -> None:
    (root / "x").write_text("x")
    git(root, "config", "commit.gpgSign", "true")
    git(root, "config", "gpg.program", "/bin/false")
    trust.trust(projects.find(root))
    with pytest.raises(ToolFailed, match="tracked, but not committed"):
        do(root, "x")
    assert (root / "x.dvc").is_file()


def test_progress_counts_bytes(root: Path) -> None:
    (root / "x").write_bytes(b"1" * (9 << 20))
    (root / "y").write_bytes(b"2" * 100)
    seen: list[tuple[int, int, str]] = []
    do(root, "x", "y", progress=lambda *a: seen.append(a))
    assert seen[-1] == ((9 << 20) + 100, (9 << 20) + 100, "y") and len(seen) >= 3


def test_a_push_after_a_plain_one_that_was_killed_sends_everything(root: Path, tmp_path: Path) -> None:
    """``dvc push`` keeps a list of a folder's files; killed as it writes it, it takes the part for the whole from then on, and
    when it has sent that and the folder's own object, takes the remote for complete.
    """
    (root / "d").mkdir()
    for place in range(600):
        (root / "d" / str(place)).write_text(str(place))
    do(root, "d")
    push = (sys.executable, "-m", "dvc", "push", "-q")

    def killed_push(remote: str) -> None:
        data_remote(root, tmp_path / remote)
        shutil.rmtree(os.environ["DVC_SITE_CACHE_DIR"])
        assert killed_at(Call("fdatasync", 80, ""), push, root)

    def sent(remote: str) -> int:
        return sum(1 for path in (tmp_path / remote).rglob("*") if path.is_file())

    killed_push("one")
    door.push(projects.find(root))
    assert sent("one") == 601
    killed_push("two")
    run(*push, cwd=root)
    assert sent("two") < 601, "the fault was not caused: DVC sent everything by itself"
    shared.push(projects.find(root))
    assert sent("two") == 601
