"""Promise 3 and the snapshot itself: everything the user has is as it was, and the commit holds the code to the byte."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

import kills
from conftest import commit_all, git, run
from nbledger.core import git as door
from nbledger.core import snapshot, trust
from nbledger.core.project import find
from nbledger.core.snapshot import Snapshot
from snap import Snap, check_same, raw
from trees import check_out, check_whole, conflicts, fetched, files_of, listed, mess


def capture(root: Path) -> Snapshot:
    """Capture ``root`` and check that nothing of the user's moved."""
    before = Snap.take(root)
    taken = snapshot.capture(find(root), uuid.uuid4().hex)
    check_same(before, Snap.take(root))
    return taken


def check_checkout(root: Path, taken: Snapshot, where: Path) -> None:
    """What a checkout of the commit with the same attributes and filters gives is what was in the work tree."""
    git(root, "worktree", "add", "--detach", "-q", str(where), str(taken.commit))
    for name in listed(root, str(taken.commit)):
        assert (where / name).read_bytes() == (root / name).read_bytes(), name
    git(root, "worktree", "remove", "--force", str(where))


def test_dirty_tree(project: Path) -> None:
    mess(project)
    git(project, "stash", "push", "-q", "kept") if (project / "kept").write_text("stashed") else None
    head = git(project, "rev-parse", "HEAD")
    taken = capture(project)
    assert taken.dirty and taken.head == head and taken.branch == "main" and taken.left_out == ()
    assert git(project, "rev-parse", f"{taken.commit}^") == head
    assert git(project, "rev-parse", str(taken.ref)) == taken.commit
    check_whole(project, taken)


def test_clean_tree_is_head_itself_and_makes_no_objects(project: Path) -> None:
    (project / "a.py").write_text("a = 1\n")
    head = commit_all(project)
    objects = git(project, "count-objects", "-v")
    for _ in range(3):
        taken = capture(project)
        assert (taken.commit, taken.dirty, taken.head) == (head, False, head)
    assert git(project, "count-objects", "-v") == objects


def test_again_without_change_is_the_same_tree(project: Path) -> None:
    mess(project)
    first, second = capture(project), capture(project)
    trees = {git(project, "rev-parse", f"{t.commit}^{{tree}}") for t in (first, second)}
    assert len(trees) == 1
    check_whole(project, second)


def test_every_later_change_is_seen(project: Path) -> None:
    """The private index lives on between runs: edits, undone edits, commits and switches must all be noticed."""
    code = project / "code.py"
    code.write_text("1\n")
    commit_all(project)
    for text in ("2\n", "3\n", "4\n"):  # same size, within one tick of the clock
        code.write_text(text)
        check_whole(project, capture(project))
    code.write_text("1\n")
    assert not capture(project).dirty
    (project / "new").write_text("x")
    check_whole(project, capture(project))
    (project / "new").unlink()
    assert not capture(project).dirty
    code.write_text("5\n")
    capture(project)
    head = commit_all(project)
    assert capture(project).commit == head
    git(project, "switch", "-q", "-c", "other", "HEAD~1")
    taken = capture(project)
    assert not taken.dirty and taken.branch == "other"
    git(project, "reset", "-q", "--soft", "main")
    assert capture(project).dirty


def test_unborn_branch(folder: Path) -> None:
    git(folder, "init", "-q")
    empty = capture(folder)
    assert empty.commit and empty.head is None and empty.branch == "main"
    assert listed(folder, empty.commit) == {}
    (folder / "a.py").write_text("a")
    (folder / "b.py").write_text("b")
    git(folder, "add", "b.py")
    taken = capture(folder)
    assert taken.dirty and taken.head is None
    check_whole(folder, taken)
    assert git(folder, "rev-list", "--count", str(taken.commit)) == "1"


def test_detached_head(project: Path) -> None:
    commit_all(project)
    git(project, "checkout", "-q", "--detach", "HEAD~1")
    (project / "a.py").write_text("a")
    taken = capture(project)
    assert taken.branch is None
    check_whole(project, taken)


@pytest.mark.parametrize("verb", ["merge", "rebase", "cherry-pick"])
def test_in_the_middle_of(project: Path, verb: str) -> None:
    conflicts(project)
    run("git", verb, "theirs", cwd=project, ok=False)
    assert b"UU text" in raw(project, "status", "--porcelain")
    (project / "own").write_text("own\n")
    taken = capture(project)
    assert taken.operation == verb
    check_whole(project, taken)
    assert raw(project, "show", f"{taken.commit}:text") == (project / "text").read_bytes()
    check_whole(project, capture(project))
    git(project, verb, "--abort")
    check_whole(project, capture(project))


def test_linked_worktree(project: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(project, "worktree", "add", "-q", "-b", "side", str(linked))
    (linked / "a.py").write_text("linked")
    (project / "a.py").write_text("main")
    main_before = Snap.take(project)
    taken = capture(linked)
    check_same(main_before, Snap.take(project))
    assert taken.branch == "side"
    check_whole(linked, taken)
    check_whole(project, capture(project))
    assert git(project, "rev-parse", str(taken.ref)) == taken.commit


@pytest.fixture
def nested(project: Path, tmp_path: Path) -> Path:
    """A project with the submodule ``sub``."""
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    git(upstream, "init", "-q")
    (upstream / "lib.py").write_text("lib = 1\n")
    commit_all(upstream)
    git(project, "submodule", "--quiet", "add", str(upstream), "süb")
    commit_all(project)
    return project


def test_submodule_as_root(nested: Path) -> None:
    sub = nested / "süb"
    (sub / "lib.py").write_text("lib = 2\n")
    (sub / "new.py").write_text("new")
    assert find(sub).root == sub
    taken = capture(sub)
    check_whole(sub, taken)


def test_a_dirty_submodule_is_held_as_a_folder(nested: Path, tmp_path: Path) -> None:
    assert capture(nested).left_out == ()
    (nested / "süb/lib.py").write_text("lib = 2\n")
    (nested / "süb/new.py").write_text("new = 1\n")
    for _ in range(2):
        taken = capture(nested)
        assert taken.left_out == () and taken.dirty
        check_held(nested, taken, tmp_path / taken.commit[:8])  # type: ignore[index]
    (nested / "süb/lib.py").write_text("lib = 3\n")
    check_held(nested, capture(nested), tmp_path / "later")
    new = commit_all(nested / "süb")
    taken = capture(nested)
    assert taken.dirty and listed(nested, str(taken.commit))["süb"] == ("160000", new)


def check_held(root: Path, taken: Snapshot, clone: Path) -> None:
    if not clone.exists():
        fetched(root, clone)
    assert check_out(clone, str(taken.commit)) == files_of(root)


def test_submodules_in_submodules_and_many_files(nested: Path, tmp_path: Path) -> None:
    upstream = tmp_path / "inner"
    upstream.mkdir()
    git(upstream, "init", "-q")
    for number in range(600):
        (upstream / f"f{number}.py").write_text(f"f = {number}\n")
    commit_all(upstream)
    git(nested / "süb", "submodule", "--quiet", "add", str(upstream), "deep")
    commit_all(nested / "süb")
    commit_all(nested)
    (nested / "süb/deep/f0.py").write_text("f = -1\n")
    (nested / "süb/deep/run.sh").symlink_to("f1.py")
    taken = capture(nested)
    assert taken.left_out == ()
    check_held(nested, taken, tmp_path / "clone")
    (nested / "süb/deep/big.bin").write_bytes(b"x" * 11_000_000)
    assert [line.split(" (")[0] for line in capture(nested).left_out] == ["süb/deep/big.bin"]


CLEAN = """\
import hashlib, pathlib, sys
data = sys.stdin.buffer.read()
store = pathlib.Path(sys.argv[2])
if sys.argv[1] == "clean":
    name = hashlib.sha256(data).hexdigest()
    (store / name).write_bytes(data)
    print(f"version https://git-lfs.github.com/spec/v1\\noid sha256:{name}\\nsize {len(data)}")
else:
    name = data.split(b"sha256:")[1][:64].decode()
    sys.stdout.buffer.write((store / name).read_bytes())
"""


def test_lfs_pointers(project: Path, tmp_path: Path) -> None:
    """The file's filter runs as in ``git add``: the commit holds the pointer, a checkout the bytes."""
    store = tmp_path / "lfs"
    store.mkdir()
    (tmp_path / "lfs.py").write_text(CLEAN)
    for verb in ("clean", "smudge"):
        git(project, "config", f"filter.lfs.{verb}", f"{sys.executable} {tmp_path}/lfs.py {verb} {store}")
    git(project, "config", "filter.lfs.required", "true")
    trust.trust(find(project))  # as a tracked cell does
    (project / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (project / "old.bin").write_bytes(os.urandom(4000))
    head = commit_all(project)
    assert capture(project).commit == head
    (project / "old.bin").write_bytes(os.urandom(5000))
    (project / "new.bin").write_bytes(os.urandom(6000))
    taken = capture(project)
    for name in ("old.bin", "new.bin"):
        assert raw(project, "show", f"{taken.commit}:{name}").startswith(b"version https://git-lfs")
    check_checkout(project, taken, tmp_path / "checkout")


@pytest.mark.parametrize("how", ["autocrlf", "attributes"])
@pytest.mark.parametrize("safe", ["true", "warn", "false"])
def test_crlf(project: Path, tmp_path: Path, how: str, safe: str) -> None:
    git(project, "config", "core.safecrlf", safe)
    if how == "autocrlf":
        git(project, "config", "core.autocrlf", "true")
    else:
        (project / ".gitattributes").write_text("*.txt text eol=crlf\n*.bin -text\n")
    (project / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    (project / "b.bin").write_bytes(b"one\r\ntwo\n\0")
    git(project, "config", "core.safecrlf", "false")
    head = commit_all(project)
    git(project, "config", "core.safecrlf", safe)
    assert capture(project).commit == head
    (project / "a.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    (project / "c.txt").write_bytes(b"new\r\n")
    taken = capture(project)
    git(project, "worktree", "add", "--detach", "-q", str(tmp_path / "out"), str(taken.commit))
    for name in ("a.txt", "b.bin", "c.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (project / name).read_bytes(), name


def test_line_endings_that_a_checkout_would_not_give_back_are_named(project: Path) -> None:
    git(project, "config", "core.safecrlf", "true")
    (project / ".gitattributes").write_text("* text=auto\n")
    commit_all(project)
    (project / "mixed.py").write_bytes(b"a = 1\r\nb = 2\n")
    taken = capture(project)
    assert raw(project, "show", f"{taken.commit}:mixed.py") == b"a = 1\nb = 2\n"
    assert taken.left_out == ("the line endings of mixed.py (.gitattributes changes them)",)
    assert capture(project).left_out == taken.left_out


def test_executable_bits_and_symlinks(project: Path) -> None:
    script, link = project / "run.sh", project / "link"
    script.write_text("#!/bin/sh\n")
    (project / "plain").write_text("p")
    link.symlink_to("plain")
    commit_all(project)
    script.chmod(0o755)
    (project / "plain").chmod(0o755)
    link.unlink()
    link.symlink_to("nowhere/at all")
    (project / "out").symlink_to("/etc/passwd")
    (project / "dir").symlink_to(".")
    taken = capture(project)
    check_whole(project, taken)
    script.unlink()
    script.symlink_to("plain")
    link.unlink()
    link.write_text("a file now")
    check_whole(project, capture(project))


def test_index_lock_held_by_another(project: Path) -> None:
    mess(project)
    (project / ".git/index.lock").write_text("held")
    taken = capture(project)
    assert (project / ".git/index.lock").read_text() == "held"
    check_whole(project, taken)


def test_intent_to_add(project: Path) -> None:
    (project / "soon.py").write_text("soon")
    (project / "gone.py").write_text("gone")
    git(project, "add", "-N", "soon.py", "gone.py")
    (project / "gone.py").unlink()
    taken = capture(project)
    check_whole(project, taken)
    assert raw(project, "show", f"{taken.commit}:soon.py") == b"soon"


def test_sparse_checkout_keeps_what_is_not_here(project: Path) -> None:
    for name in ("in", "out"):
        (project / name).mkdir()
        (project / name / "f.py").write_text(name)
    head = commit_all(project)
    git(project, "sparse-checkout", "set", "--cone", "in")
    assert not (project / "out").exists()
    assert capture(project).commit == head
    (project / "in/f.py").write_text("changed")
    taken = capture(project)
    kept = listed(project, str(taken.commit))
    assert "out/f.py" in kept
    assert raw(project, "show", f"{taken.commit}:out/f.py") == b"out"
    assert raw(project, "show", f"{taken.commit}:in/f.py") == b"changed"


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_not_to_see(project: Path, flag: str) -> None:
    (project / "config.py").write_text("host = 'server'\n")
    commit_all(project)
    git(project, "update-index", flag, "config.py")
    (project / "config.py").write_text("host = 'mine'\n")
    taken = capture(project)
    assert raw(project, "show", f"{taken.commit}:config.py") == b"host = 'mine'\n"


def test_file_becomes_folder_and_folder_becomes_file(project: Path) -> None:
    (project / "one").write_text("file")
    (project / "two").mkdir()
    (project / "two/x").write_text("x")
    (project / "three").mkdir()
    (project / "three/x").write_text("x")
    (project / "four").write_text("file")
    commit_all(project)
    (project / "one").unlink()
    (project / "one").mkdir()
    (project / "one/inside").write_text("inside")
    shutil.rmtree(project / "two")
    (project / "two").write_text("file")
    (project / "three").rename(project / "else")
    (project / "else/x").write_text("changed")
    (project / "three").symlink_to("else")
    (project / "four").unlink()
    (project / "four").mkdir()
    taken = capture(project)
    assert set(listed(project, str(taken.commit))) >= {"one/inside", "two", "three", "else/x"}
    assert not {"one", "two/x", "three/x", "four"} & set(listed(project, str(taken.commit)))
    check_whole(project, taken, but=("three/x",))


def test_nested_repository_is_named(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "x").write_text("x")
    assert capture(project).left_out == ("inner/ (a repository of its own)",)
    commit_all(inner)
    taken = capture(project)
    assert taken.left_out == ("inner/ (a repository of its own)",)
    assert not taken.dirty


def test_large_and_many_files_are_named(project: Path) -> None:
    (project / ".nbledger.toml").write_text("snapshot_max_mb = 0.01\n")
    (project / "small.py").write_text("x")
    (project / "big.bin").write_bytes(b"x" * 20_000)
    taken = capture(project)
    assert [line.split(" ")[0] for line in taken.left_out] == ["big.bin"]
    assert "%track_data big.bin" in taken.left_out[0]
    check_whole(project, taken, but=("big.bin",))
    for n in range(15):
        (project / f"part{n}").write_bytes(b"x" * 9_000)
    taken = capture(project)
    assert any("more untracked files" in line for line in taken.left_out)
    assert "small.py" in listed(project, str(taken.commit))


def test_a_captured_file_that_grows_too_large_or_is_ignored_is_let_go(project: Path) -> None:
    """What the private index holds and the user's does not is judged afresh at each run."""
    (project / ".nbledger.toml").write_text("snapshot_max_mb = 0.01\n")
    commit_all(project)
    (project / "grows").write_text("x")
    (project / "ignored.txt").write_text("y")
    assert {"grows", "ignored.txt"} <= set(listed(project, str(capture(project).commit)))
    (project / "grows").write_bytes(b"x" * 20_000)
    (project / ".git/info/exclude").write_text("ignored.txt\n")
    taken = capture(project)
    assert not {"grows", "ignored.txt"} & set(listed(project, str(taken.commit)))
    assert taken.left_out[0].startswith("grows (")
    assert capture(project).left_out == taken.left_out


def test_ignored_files_are_not_captured(project: Path) -> None:
    (project / ".gitignore").write_text("*.log\nbuild/\n/removed\n")
    (project / "build").mkdir()
    (project / "build/x").write_text("x")
    (project / "a.log").write_text("x")
    (project / "kept.log").write_text("x")
    (project / "removed").write_text("secret")
    git(project, "add", "-f", "kept.log", "removed")
    git(project, "add", ".gitignore")
    git(project, "commit", "-qm", "x")
    git(project, "rm", "-q", "--cached", "removed")
    (project / "kept.log").write_text("tracked, so kept")
    taken = capture(project)
    assert "kept.log" in listed(project, str(taken.commit))
    assert not {"a.log", "build/x", "removed"} & set(listed(project, str(taken.commit)))
    check_whole(project, taken)


def test_what_cannot_be_held_is_named_and_the_rest_is_kept(project: Path) -> None:
    (project / "was").write_text("file")
    commit_all(project)
    (project / "was").unlink()
    os.mkfifo(project / "was")
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock")
        (project / "good.py").write_text("good")
        taken = capture(project)
    assert raw(project, "show", f"{taken.commit}:good.py") == b"good"
    assert any(line.startswith("was (") for line in taken.left_out)


def test_hooks_stay_silent(project: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    names = ("pre-commit", "post-commit", "post-checkout", "reference-transaction", "post-index-change", "fsmonitor")
    for where in (project / ".git/hooks", project / "own-hooks"):
        where.mkdir(exist_ok=True)
        for name in (*names, "pre-auto-gc", "post-rewrite", "prepare-commit-msg", "commit-msg"):
            (where / name).write_text(f"#!/bin/sh\necho {name} >> {canary}\nexit 1\n")
            (where / name).chmod(0o755)
    mess_env = {**os.environ, "GIT_CONFIG_COUNT": "0"}
    (project / "a.py").write_text("a")
    taken = snapshot.capture(find(project), "one")
    snapshot.rename_ref(find(project), "one", "two", str(taken.commit))
    run("git", "config", "core.hooksPath", "own-hooks", cwd=project, env=mess_env)
    run("git", "config", "core.fsmonitor", ".git/hooks/fsmonitor", cwd=project, env=mess_env)
    (project / "a.py").write_text("b")
    snapshot.capture(find(project), "three")
    assert not canary.exists(), canary.read_text()


def test_identity_and_signing_are_not_needed(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "none"
    config.write_text("[user]\n useConfigOnly = true\n[commit]\n gpgSign = true\n[gpg]\n program = /bin/false\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (project / "a.py").write_text("a")
    taken = capture(project)
    assert taken.dirty
    assert git(project, "log", "-1", "--format=%an <%ae>", str(taken.commit)) == "nbledger <nbledger@localhost>"


def test_gc_keeps_the_commits_and_the_next_capture_works(project: Path) -> None:
    mess(project)
    git(project, "switch", "-q", "-c", "doomed")
    taken = capture(project)
    git(project, "switch", "-q", "-f", "main")
    git(project, "branch", "-q", "-D", "doomed")
    git(project, "reflog", "expire", "--expire=now", "--all")
    git(project, "gc", "-q", "--prune=now")
    assert raw(project, "show", f"{taken.commit}:untracked.py") == b"print('new')\n"
    # Its refs gone as well, Git drops the blobs that the private index names: they are made again.
    capture(project)
    for ref in git(project, "for-each-ref", "--format=%(refname)", "refs/nbledger").splitlines():
        git(project, "update-ref", "-d", ref)
    git(project, "gc", "-q", "--prune=now")
    again = capture(project)
    check_whole(project, again)
    assert "missing" not in run("git", "fsck", "--connectivity-only", cwd=project, ok=False)


PROGRAM = """\
import sys
from pathlib import Path
from nbledger.core import snapshot
from nbledger.core.project import find
project = find(Path(sys.argv[1]))
print("ready", flush=True)
for n in range(int(sys.argv[3])):
    taken = snapshot.capture(project, f"{sys.argv[2]}{n}")
    print(taken.commit, flush=True)
"""


def program(root: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), name, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_at_once(project: Path) -> None:
    mess(project)
    before = Snap.take(project)
    both = [program(project, name, 20) for name in "ab"]
    outs = [p.communicate(timeout=120) for p in both]
    assert [p.returncode for p in both] == [0, 0], outs
    commits = {line for out, _ in outs for line in out.split()[1:]}
    assert len({git(project, "rev-parse", f"{c}^{{tree}}") for c in commits}) == 1
    assert len(door.run_refs(find(project).git)) == 40  # type: ignore[arg-type]
    check_same(before, Snap.take(project))
    check_whole(project, capture(project))


FULL = os.environ.get("NBLEDGER_SCORECARD") == "full"
ONCE = (sys.executable, "-c", PROGRAM)


class Doomed:
    """A work tree with a changed submodule in which snapshots are killed. Each begins with the same private index (none:
    ``cold``) and a change that no other had, so that each makes the same calls.
    """

    def __init__(self, root: Path, *, cold: bool) -> None:
        self.root, self.cold, self.count = root, cold, 0
        self.kept = root.with_name("private-index")
        mess(root)
        (root / "süb/lib.py").write_text("lib = 2\n")
        capture(root)
        shutil.copytree(root / ".git/nbledger", self.kept)

    def command(self) -> list[str]:
        self.count += 1
        for path in ("untracked.py", "süb/lib.py"):
            (self.root / path).write_text(f"n = {self.count:06}\n")
        for folder in (self.root / ".git/nbledger", self.root / ".git/modules/süb/nbledger"):
            shutil.rmtree(folder, ignore_errors=True)
        if not self.cold:
            shutil.copytree(self.kept, self.root / ".git/nbledger")
        self.before = Snap.take(self.root)
        return [*ONCE, str(self.root), f"doomed{self.count}-", "1"]

    def check(self) -> None:
        """Nothing of the user's moved, and the next snapshot is whole."""
        check_same(self.before, Snap.take(self.root))
        taken = capture(self.root)
        assert taken.left_out == ()
        assert {path for path in listed(self.root, str(taken.commit)) if path.startswith("süb/")} == {"süb/lib.py"}
        for path in ("untracked.py", "both", "süb/lib.py"):
            assert raw(self.root, "show", f"{taken.commit}:{path}") == (self.root / path).read_bytes()


@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
def test_killed_at_each_system_call_and_the_next_works(nested: Path, tmp_path: Path, cold: bool) -> None:
    """Its own calls, and those of the Git processes that it starts: Git alone dies, or both."""
    doomed = Doomed(nested, cold=cold)
    own = [c for c in kills.calls(doomed.command(), nested, tmp_path / "log") if "pipe:" not in c.words.split(",")[0]]
    assert len(own) > 8
    for call in kills.spread(own, len(own) if FULL else 6):
        kills.killed_at(call, doomed.command(), nested)
        doomed.check()
    by_git = kills.git_calls(doomed.command(), nested, tmp_path / "git", os.environ)
    assert {"update-index", "write-tree", "commit-tree", "update-ref", "read-tree"} <= {at.verb for at in by_git}
    for number, at in enumerate(kills.spread(by_git, len(by_git) if FULL else 10)):
        whole = number % 2 == 0
        done = kills.git_killed_at(at, doomed.command(), nested, tmp_path / "git", os.environ, whole=whole)
        assert whole or done.returncode == 0, (at, done.stderr)  # a Git that died is started again
        doomed.check()
    assert "missing" not in run("git", "fsck", "--connectivity-only", cwd=nested)


def test_a_stale_lock_of_the_private_index_is_no_obstacle(project: Path) -> None:
    mess(project)
    capture(project)
    (project / ".git/nbledger/index.lock").write_text("left by a killed git")
    (project / "untracked.py").write_text("changed")
    check_whole(project, capture(project))


def test_killed_between_index_and_note(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The private index is newer than what is remembered of it: the tree must be that of the index."""
    (project / "a.py").write_text("1")
    capture(project)
    memory = project / ".git/nbledger/memory.json"
    old = memory.read_bytes()
    (project / "a.py").write_text("2")
    capture(project)
    memory.write_bytes(old)
    check_whole(project, capture(project))


@pytest.mark.parametrize("name", ["index", "memory.json", "lock"])
def test_a_broken_private_file_is_made_again(project: Path, name: str) -> None:
    mess(project)
    capture(project)
    (project / ".git/nbledger" / name).write_bytes(b"DIRC broken \xff\0")
    check_whole(project, capture(project))


def test_no_repository(folder: Path) -> None:
    taken = snapshot.capture(find(folder), "x")
    assert taken.commit is None and taken.dirty and "no Git repository" in taken.left_out[0]
    assert list(folder.iterdir()) == []


def test_the_ref_moves_to_the_runs_id_once(project: Path) -> None:
    (project / "a").write_text("a")
    taken = snapshot.capture(find(project), "journal")
    for _ in range(2):
        snapshot.rename_ref(find(project), "journal", "run", str(taken.commit))
        assert door.run_refs(find(project).git) == {"run": taken.commit}  # type: ignore[arg-type]
