"""Runs over random trees, recorded in one kernel: files edited, added, removed, made executable or links, in nested folders,
committed or not; a folder of data and a file in ever new versions. Then each run is restored, and every file of its code and
data is held against its hash at the time of the run.

`nbledger reproduce --restore-only` brings back what the run saw, from its snapshot and the cache. The plain way is
`git checkout` of the commit that a careful user noted on the run, and `dvc checkout`.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import ledger
from conftest import commit_all, dvc, git
from kernels import kernel
from nbledger.core import record, runs
from nbledger.core.project import find
from nbledger.core.restore import remove, restore
from nbledger.core.track import track
from snap import Snap, check_same

pytestmark = pytest.mark.timeout(1200)  # in full, on a busy machine

FILES = (
    *("train.py", "src/lib.py", "src/deep/er/model.py", "notes ü.txt", "conf/a.toml", "conf/b.toml", "run.sh", "empty"),
    *("link", "n o t e s/x.md", "src/__init__.py", "data.md"),
)
DATA = ("set", "one.bin")
READ = """
import os
for folder in ("set", "one.bin"):
    for where, _, names in os.walk(folder):
        total += sum(len(open(os.path.join(where, name), "rb").read()) for name in names)
total += len(open("one.bin", "rb").read())
"""

State = dict[str, str]
"""{path: hash of the bytes and whether it is executable, or where the link leads}"""


def edit(root: Path, chance: random.Random) -> None:
    """A few random changes of the code."""
    for name in chance.sample(FILES, chance.randint(1, 5)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and chance.random() < 0.2):
            path.unlink()
        if name == "link":
            path.symlink_to(chance.choice(("train.py", "src", "nowhere", "../outside")))
            continue
        ends = chance.choice(("\n", "\r\n", ""))
        text = "".join(f"x = {chance.random()}{ends}" for _ in range(chance.choice((0, 1, 30))))
        path.write_bytes(text.encode())
        path.chmod(0o755 if chance.random() < 0.2 else 0o644)
    if chance.random() < 0.3:
        commit_all(root, "some work")


def new_data(root: Path, chance: random.Random) -> list[str]:
    """Another version of some of the data; the paths that changed."""
    changed = [name for name in DATA if chance.random() < 0.4 or not (root / name).exists()]
    if "set" in changed:
        for _ in range(chance.randint(1, 6)):
            path = root / "set" / chance.choice(("", "a", "a/b", "ü x")) / f"{chance.randint(0, 9)}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(chance.randbytes(chance.choice((0, 1, 5_000))))
        for path in sorted(p for p in (root / "set").rglob("*.csv"))[1:]:
            if chance.random() < 0.2:
                path.unlink()
    if "one.bin" in changed:
        (root / "one.bin").unlink(missing_ok=True)
        (root / "one.bin").write_bytes(chance.randbytes(chance.choice((10, 300_000))))
    return changed


def code(root: Path) -> State:
    """All that Git sees as the tree's own, tracked or not."""
    listed = git(root, "-c", "core.quotePath=false", "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    return {name: _hash(root / name) for name in listed if name and os.path.lexists(root / name)}


def data(root: Path) -> State:
    inside = [p for p in (root / "set").rglob("*") if p.is_file()]
    return {str(p.relative_to(root)): hashlib.md5(p.read_bytes()).hexdigest() for p in [*inside, root / "one.bin"]}


def _hash(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"→ {os.readlink(path)}"
    return f"{bool(mode & 0o100)} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_restored_as_recorded(project: Path, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    chance, many = random.Random(31), count(100, 6)
    wanted: dict[str, tuple[State, State]] = {}
    with kernel(project) as k:
        for number in range(many):
            edit(project, chance)
            if changed := new_data(project, chance):
                track(find(project), changed, f"data of {number}")
            cell = f"%%mlrun r{number} -p seed={chance.random()} -m total\ntotal = {number}{READ}"
            assert k.run(cell).status == "ok"
            wanted[f"r{number}"] = code(project), data(project)
    assert {run.info.run_name for run in ledger.runs(project)} == set(wanted)
    here, before, dirty, files = find(project), Snap.take(project), 0, 0
    rows = {row.name: row for row in runs.listed(here, "", "", 1000, None)}
    for name, (tree, tracked) in wanted.items():
        held = record.load(here, rows[name])
        there = restore(here, held)
        assert there.missing == ()
        assert {p: h for p, h in code(there.into).items() if not p.startswith(".dvc/")} == {
            p: h for p, h in tree.items() if not p.startswith(".dvc/")
        }, name
        assert data(there.into) == tracked, name
        dirty += bool(held.row.dirty)
        files += len(tree) + len(tracked)
        remove(here, there)
    check_same(before, Snap.take(project))
    seen(f"{many} of {many} restored ({dirty} of them dirty): {files:,} files with the recorded hash")


def test_plain_checkout(project: Path, plain: Callable[[bool, str], None]) -> None:
    chance, equal, many = random.Random(31), 0, 8
    noted = []
    for _ in range(many):
        edit(project, chance)
        if changed := new_data(project, chance):
            dvc(project, "add", "-q", *changed)
            git(project, "add", *(f"{name}.dvc" for name in changed), ".gitignore")
            git(project, "commit", "-q", "-m", "data")
        noted.append((git(project, "rev-parse", "HEAD"), code(project), data(project)))
    for number, (commit, tree, tracked) in enumerate(noted):
        there = project.parent / f"there{number}"
        git(project, "worktree", "add", "-q", "--detach", str(there), commit)
        (there / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {project / '.dvc' / 'cache'}\n")
        dvc(there, "checkout", "-q")
        equal += code(there) == tree and data(there) == tracked
        shutil.rmtree(there)
    plain(equal == many, f"{equal} of {many} have the code that ran: edits that were in no commit are lost")
