"""The door to Git, on real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conftest import commit_all, git, run
from nbledger.core import git as door
from nbledger.core import trust
from nbledger.core.errors import Busy, Refused, ToolFailed, Untrusted
from nbledger.core.git import GitRepo
from nbledger.core.project import find


@pytest.fixture
def repo(project: Path) -> GitRepo:
    found = find(project).git
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:token@example.org/a.git", "https://example.org/a.git"),
        ("https://ghp_secret@example.org/a.git", "https://example.org/a.git"),
        ("https://user:p@ss@example.org/a.git", "https://example.org/a.git"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("https://example.org/a@b", "https://example.org/a@b"),
        ("/local/path", "/local/path"),
        ("fatal: 'https://u:p@h/x' not found, see http://a:b@c", "fatal: 'https://h/x' not found, see http://c"),
    ],
)
def test_no_credentials_are_shown(url: str, shown: str) -> None:
    assert door.scrub_url(url) == shown


def test_remote_url(repo: GitRepo) -> None:
    assert door.remote_url(repo) is None
    git(repo.root, "remote", "add", "other", "https://u:secret@example.org/other.git")
    assert door.remote_url(repo) == "https://example.org/other.git"
    git(repo.root, "remote", "add", "origin", "https://u:secret@example.org/origin.git")
    assert door.remote_url(repo) == "https://example.org/origin.git"


def test_head_of_branch_detached_and_unborn(repo: GitRepo, tmp_path: Path) -> None:
    commit = git(repo.root, "rev-parse", "HEAD")
    assert door.head(repo) == door.Head(commit, git(repo.root, "rev-parse", "HEAD^{tree}"), "main")
    git(repo.root, "switch", "-q", "-c", "feature/deep name".replace(" ", "-"))
    assert door.head(repo).branch == "feature/deep-name"
    git(repo.root, "checkout", "-q", "--detach")
    assert door.head(repo).branch is None
    git(tmp_path, "init", "-q", "new")
    new = door.discover(tmp_path / "new")
    assert new is not None and door.head(new) == door.Head(None, None, "main")


def test_a_full_disk_or_a_read_only_one_is_not_called_a_lock() -> None:
    def said(words: str) -> Exception:
        return door.failure("commit", subprocess.CompletedProcess([], 128, b"", words.encode()))

    lock = "fatal: Unable to create '/x/.git/index.lock': "
    assert isinstance(said(lock + "File exists.\n\nAnother git process seems to be running"), Busy)
    for words in ("Read-only file system", "No space left on device", "Permission denied"):
        error = said(lock + words)
        assert type(error) is ToolFailed and words in str(error)


def test_commit_of_named_paths_leaves_the_rest_staged(repo: GitRepo) -> None:
    root = repo.root
    for name in ("a", "b", "-c", ":(top)d", "e *"):
        (root / name).write_text("1")
    git(root, "add", "a")
    commit = door.commit_pathspecs(repo, ["-c", ":(top)d", "e *"], "named\n")
    assert commit == git(root, "rev-parse", "HEAD")
    assert git(root, "show", "--format=", "--name-only", "HEAD").splitlines() == ["-c", ":(top)d", "e *"]
    assert git(root, "diff", "--cached", "--name-only") == "a"
    assert "?? b" in git(root, "status", "--porcelain")
    assert door.commit_pathspecs(repo, ["-c"], "again\n") is None
    (root / "-c").unlink()
    assert door.commit_pathspecs(repo, ["-c"], "gone\n")
    assert "-c" not in git(root, "ls-files").splitlines()


def test_a_refused_commit_leaves_the_index_as_it_was(repo: GitRepo) -> None:
    root = repo.root
    hook = root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    (root / "new").write_text("1")
    with pytest.raises(Untrusted, match="hooks/pre-commit"):
        door.commit_pathspecs(repo, ["new"], "x\n")
    trust.trust(find(root))
    (root / "staged").write_text("1")
    git(root, "add", "staged")
    before = git(root, "ls-files", "-s")
    with pytest.raises(ToolFailed, match="not today"):
        door.commit_pathspecs(repo, ["new"], "x\n")
    assert git(root, "ls-files", "-s") == before
    assert "?? new" in git(root, "status", "--porcelain")


def test_no_commit_in_the_middle_of_a_merge_or_under_a_lock(repo: GitRepo) -> None:
    root = repo.root
    (root / "f").write_text("base")
    commit_all(root)
    git(root, "switch", "-q", "-c", "theirs")
    (root / "f").write_text("theirs")
    commit_all(root)
    git(root, "switch", "-q", "main")
    (root / "f").write_text("ours")
    commit_all(root)
    (root / ".git/index.lock").touch()
    with pytest.raises(Busy, match="index lock"):
        door.commit_pathspecs(repo, ["f"], "x\n")
    (root / ".git/index.lock").unlink()
    run("git", "merge", "theirs", cwd=root, ok=False)
    assert door.operation(repo) == "merge"
    with pytest.raises(Refused, match="merge is under way"):
        door.commit_pathspecs(repo, ["f"], "x\n")


def test_ignored_and_tracked_take_names_literally(repo: GitRepo) -> None:
    root = repo.root
    (root / ".gitignore").write_text("*.log\n!keep.log\n/:(x)\n")
    names = ["a.log", "keep.log", ":(x)", "-n.log", "new\nline.log", "ü.log", "plain"]
    for name in names:
        (root / name).write_text("1")
    assert door.ignored(repo, names) == {"a.log", ":(x)", "-n.log", "new\nline.log", "ü.log"}
    git(root, "add", "plain", "keep.log")
    assert door.tracked(repo, ["plain", "*", ":(x)"]) == {"plain"}


def test_trees_are_edited_as_git_would(repo: GitRepo) -> None:
    root = repo.root
    (root / "d/e").mkdir(parents=True)
    for name in ("d/e/f", "d/g", "d.txt", "d-", "z"):
        (root / name).write_text(name)
    commit_all(root)
    blob = door.blob(repo, b"new\r\n")
    tree = door.edit_tree(repo, door.head(repo).tree, {"d/e/f": None, "d/h/i": blob, "z": blob, "d.txt": None})
    assert tree is not None
    git(root, "fsck", "--strict", "--no-dangling")
    names = git(root, "ls-tree", "-r", "--name-only", tree).splitlines()
    assert {"d/g", "d/h/i", "d-", "z"} <= set(names) and not {"d/e/f", "d.txt"} & set(names)
    assert door.read_blob(repo, f"{tree}:z") == b"new\r\n"


@pytest.mark.parametrize("word", ["--output=x", "HEAD", "-x", "abc", "a" * 39, "A" * 40, "a" * 41, "a" * 40 + "\n", ""])
def test_only_full_ids_are_ids(word: str) -> None:
    assert not door.is_hex(word)


def test_changes_and_the_upstream(repo: GitRepo, tmp_path: Path) -> None:
    root = repo.root
    assert door.upstream(repo, "main") is None
    git(tmp_path, "init", "-q", "--bare", "remote")
    git(root, "remote", "add", "origin", str(tmp_path / "remote"))
    git(root, "push", "-q", "-u", "origin", "main")
    commit_all(root)
    assert door.upstream(repo, "main") == ("origin/main", 1, 0)
    (root / "new dir").mkdir()
    (root / "new dir/ü").write_text("1")
    (root / ".dvcignore").write_text("changed")
    assert door.changes(repo) == ([".dvcignore"], ["new dir/"])
    assert door.changes(repo, every_file=True) == ([".dvcignore"], ["new dir/ü"])


def test_the_persons_own_filters_stay_in_a_strangers_repository(repo: GitRepo, tmp_path: Path) -> None:
    """The repository redefines a filter that the person has: theirs is the one that runs. Its own are emptied."""
    root, log = repo.root, tmp_path / "log"
    own, theirs = f"echo own >> {log}; cat", f"echo theirs >> {log}; cat"
    git(root, "config", "--global", "filter.both.clean", own)
    for name in ("both", "a=b", "only"):
        git(root, "config", f"filter.{name}.clean", theirs)
        git(root, "config", f"filter.{name}.required", "true")
    (root / "included").write_text(f'[filter "inc"]\n\tclean = {theirs}\n')
    git(root, "config", "include.path", "../included")
    (root / ".gitattributes").write_text("*.1 filter=both\n*.2 filter=a=b\n*.3 filter=only\n*.4 filter=inc\n")
    for number in "1234":
        (root / f"f.{number}").write_text("x")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    assert set(log.read_text().split()) == {"theirs"}
    log.unlink()
    for number in "1234":
        (root / f"f.{number}").write_text("y")
    assert door.changes(repo)[0] == ["f.1", "f.2", "f.3", "f.4"]
    assert set(log.read_text().split()) == {"own"}
    assert door.switched_off(repo) == ("a=b", "both", "inc", "only")
    assert door.named_by(repo).executes == (
        "filter.a=b.clean",
        "filter.both.clean",
        "filter.inc.clean",
        "filter.only.clean",
    )
    (root / "included").write_text("")  # a change is seen, wherever it was made
    assert "inc" not in door.switched_off(repo)
    trust.trust(find(root))
    assert door.switched_off(repo) == ()


def test_a_work_tree_elsewhere_is_not_followed(repo: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "private.txt").write_text("x")
    git(repo.root, "config", "core.worktree", str(tmp_path / "elsewhere"))
    (repo.root / "here.txt").write_text("x")
    assert door.changes(repo)[1] == ["here.txt"]


@pytest.mark.parametrize("name", ["main", "feature/x-1", "refs/nbledger/runs/" + "a" * 32, "v1.0", "über", "a@b"])
def test_names_of_refs(name: str) -> None:
    assert door.ref_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "--output=/x",
        "a b",
        "a\nb",
        "a..b",
        "x@{1}",
        "ext::sh -c x",
        "a//b",
        "a/",
        "x.lock",
        "@",
        "a/.b",
        "a~1",
        "a:b",
    ],
)
def test_no_names_of_refs(name: str) -> None:
    with pytest.raises(Refused):
        door.ref_name(name)
