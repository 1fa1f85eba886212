"""`nbledger track` is given a link to a file outside of the project, to a folder outside, to a file through another link, a
folder with such links further down, a path through a linked folder, and paths with `..`; then the same with
`--follow-symlinks`.

Without that word each is refused before anything is written, and no byte from outside is in the cache. With it the bytes
are taken, the link stays a link, and what the link points at is not touched. Links to inside and hard links are fine. The
plain way is `dvc add`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import commit_all, data_status, git
from nbledger.core.project import find
from nbledger.core.track import track
from snap import Snap, check_same

SECRET = b"bytes from outside\n"
NBLEDGER = (sys.executable, "-m", "nbledger.cli", "track")
LINKED = ("file", "chain", "folder", "holder", "nest")


def world(root: Path) -> list[str]:
    """Links to outside; the words that lead there."""
    outside = root.parent / "outside"
    outside.mkdir()
    for name in ("secret", "other"):
        (outside / name).write_bytes(SECRET)
    (root / ".nbledger.toml").write_text("keeper = false\n")
    (root / "inside").write_text("mine\n")
    commit_all(root)
    (root / "file").symlink_to("../outside/secret")
    (root / "folder").symlink_to(outside)
    (root / "chain").symlink_to("file")
    for holder in ("holder", "nest/deep/er"):
        (root / holder).mkdir(parents=True)
        (root / holder / "plain").write_text("plain\n")
    (root / "holder" / "link").symlink_to("../../outside/secret")
    (root / "nest" / "deep" / "er" / "folder").symlink_to(outside)
    return [*LINKED, "folder/secret", "../outside/secret", "nest/../../outside", str(outside / "secret"), ".."]


def objects(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in (root / ".dvc/cache").rglob("*") if path.is_file()]


def nbledger(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NBLEDGER, *words], cwd=root, capture_output=True, text=True, check=False, timeout=60)


def test_refused_unless_confirmed(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    words = world(project)
    before = Snap.take(project)
    asked = words if count(1, 0) else [words[4], words[6]]
    for word in asked:
        done = nbledger(project, word)
        assert done.returncode == 3 and done.stderr.count("\n") <= 2, done.stderr
        assert "outside" in done.stderr or (word == ".." and "whole repository" in done.stderr), done.stderr
    done = nbledger(project, "inside", *words[:3])
    assert done.returncode == 3
    check_same(before, Snap.take(project))
    assert objects(project) == []

    never = words[5:]  # what is not a link in the project cannot be confirmed either
    for word in never if count(1, 0) else never[:1]:
        assert nbledger(project, "--follow-symlinks", word).returncode == 3, word
    assert objects(project) == []
    done = nbledger(project, "--follow-symlinks", *LINKED)
    assert done.returncode == 0, done.stderr
    assert SECRET in objects(project)
    for name in ("file", "folder", "holder/link", "nest/deep/er/folder"):
        assert (project / name).is_symlink(), name
    assert {path.name for path in (project.parent / "outside").iterdir()} == {"secret", "other"}
    assert git(project, "status", "--porcelain") == ""
    seen(f"{len(asked) + 1} of {len(asked) + 1} refused, nothing in the cache; the links stay links when confirmed")


def test_links_to_inside_and_hard_links(project: Path) -> None:
    world(project)
    os.link(project.parent / "outside" / "other", project / "hard")
    (project / "alias").symlink_to("hard")
    done = track(find(project), ["alias"])
    assert [one.path for one in done] == ["hard"]
    md5 = hashlib.md5(SECRET).hexdigest()
    assert (project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).stat().st_nlink == 1
    assert data_status(project) == {}


def test_plain_dvc_add(project: Path, plain: Callable[[bool, str], None]) -> None:
    world(project)
    taken, replaced = [], []
    for name in LINKED:
        subprocess.run([sys.executable, "-m", "dvc", "add", "-q", name], cwd=project, capture_output=True, check=False)
        if SECRET in objects(project):
            taken.append(name)
        if name in ("file", "folder", "chain") and not (project / name).is_symlink():
            replaced.append(name)
        subprocess.run(["rm", "-rf", project / ".dvc/cache"], check=True)
    said = f"bytes from outside are taken unasked by {', '.join(taken) or 'none'} of {', '.join(LINKED)}"
    plain(not taken, said + (f"; the link is replaced: {', '.join(replaced)}" if replaced else ""))
