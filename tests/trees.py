"""Work trees in every state of Git, and whether a commit holds what was in one."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import commit_all, git
from nbledger.core.snapshot import Snapshot
from snap import raw


def listed(root: Path, commit: str) -> dict[str, tuple[str, str]]:
    """{path: (mode, object id)} of a commit."""
    entries = [e.decode() for e in raw(root, "ls-tree", "-r", "-z", commit).split(b"\0") if e]
    return {path: (facts.split()[0], facts.split()[2]) for facts, path in (e.split("\t", 1) for e in entries)}


def check_whole(root: Path, taken: Snapshot, but: tuple[str, ...] = ()) -> None:
    """The commit holds every file that is tracked or not ignored, byte for byte and with its mode, and no other."""
    assert taken.commit is not None
    names = raw(root, "ls-files", "-co", "--exclude-standard", "-z").decode().split("\0")
    here = {n for n in names if n and os.path.lexists(root / n) and not n.endswith("/") and n not in but}
    here = {n for n in here if (root / n).is_symlink() or (root / n).is_file()}
    kept = listed(root, taken.commit)
    assert {n for n, (mode, _) in kept.items() if mode != "160000"} == here
    for name in here:
        path, mode = root / name, kept[name][0]
        if path.is_symlink():
            assert mode == "120000"
            assert raw(root, "show", f"{taken.commit}:{name}").decode() == os.readlink(path)
        else:
            assert mode == ("100755" if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else "100644")
            assert raw(root, "show", f"{taken.commit}:{name}") == path.read_bytes(), name


def mess(root: Path) -> None:
    """Files of every kind of change at once."""
    for name in ("kept", "staged", "unstaged", "both", "deleted", "deleted-staged", "renamed", "moved by hand"):
        (root / name).write_text(f"{name}\n" * 20)
    (root / "folder").mkdir()
    (root / "folder/ünïcode ☃.py").write_text("x = 1\n")
    commit_all(root, "Files")
    (root / "staged").write_text("staged\n")
    git(root, "add", "staged")
    (root / "unstaged").write_text("unstaged\n")
    (root / "both").write_text("first\n")
    git(root, "add", "both")
    (root / "both").write_text("second\n")
    (root / "deleted").unlink()
    git(root, "rm", "-q", "deleted-staged")
    git(root, "mv", "renamed", "new name")
    (root / "moved by hand").rename(root / "folder/moved")
    (root / "untracked.py").write_text("print('new')\n")
    (root / "folder/-dash").write_text("dash")
    (root / "folder/new\nline").write_text("line")
    (root / ":(glob)*").write_text("magic")
    (root / "staged new").write_text("x")
    git(root, "add", "staged new")


def conflicts(project: Path) -> None:
    """Two branches that cannot be merged in each of Git's ways."""
    for name in ("text", "ours-deletes", "theirs-deletes", "untouched"):
        (project / name).write_text("base\n")
    (project / ".gitignore").write_text("*.log\n")
    commit_all(project, "Base")
    git(project, "switch", "-q", "-c", "theirs")
    (project / "text").write_text("theirs\n")
    (project / "ours-deletes").write_text("theirs\n")
    (project / "theirs-deletes").unlink()
    (project / "both-add").write_text("theirs\n")
    (project / "forced.log").write_text("theirs, ignored but tracked\n")
    git(project, "add", "-f", "forced.log")
    commit_all(project, "Theirs")
    git(project, "switch", "-q", "main")
    (project / "text").write_text("ours\n")
    (project / "ours-deletes").unlink()
    (project / "theirs-deletes").write_text("ours\n")
    (project / "both-add").write_text("ours\n")
    commit_all(project, "Ours")


def files_of(root: Path) -> dict[str, tuple[str, bytes]]:
    """{path: (kind, bytes)} of every tracked or not ignored file that is here, those of submodules with them."""
    found = {}
    for name in raw(root, "ls-files", "-co", "--exclude-standard", "-z").decode().split("\0"):
        path = root / name
        if not name or not os.path.lexists(path):
            continue
        if path.is_dir() and not path.is_symlink():
            found |= (
                {f"{name}/{inner}": facts for inner, facts in files_of(path).items()}
                if (path / ".git").exists()
                else {}
            )
        elif path.is_symlink():
            found[name] = ("link", os.fsencode(os.readlink(path)))
        else:
            found[name] = ("run" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return found


def fetched(source: Path, clone: Path) -> dict[str, str]:
    """Make ``clone``, which has nothing but the ledger's refs of ``source``: {run id: commit}."""
    clone.mkdir(parents=True)
    kind = raw(source, "rev-parse", "--show-object-format").decode().strip()
    git(clone, "init", "-q", f"--object-format={kind}")
    git(clone, "fetch", "-q", "--update-shallow", str(source), "refs/nbledger/*:refs/nbledger/*")
    lines = git(clone, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/nbledger/runs").splitlines()
    return dict(line.split() for line in lines)


def check_out(clone: Path, commit: str, submodules: dict[str, Path] | None = None) -> dict[str, tuple[str, bytes]]:
    """What a checkout of ``commit`` in such a clone gives; ``submodules`` that it links to come from these clones."""
    git(clone, "checkout", "-q", "--force", commit)
    for path, source in (submodules or {}).items():
        if listed(clone, commit)[path][0] == "160000":
            (clone / path).rmdir()
            git(clone, "clone", "-q", str(source), str(clone / path))
            git(clone / path, "checkout", "-q", listed(clone, commit)[path][1])
    return files_of(clone)
