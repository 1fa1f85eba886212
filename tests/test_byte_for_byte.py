"""Promise 4 and 5: a fresh clone, plain Git and plain DVC give back all that a run of a dirty tree saw, to the byte."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from conftest import commit_all, dvc, git, run
from kernels import kernel
from ledger import run as run_of

CELL = """%%mlrun dirty -m rows
import helper
rows = len(open('data/wine.csv').readlines()) + sum(len(open(f'data/parts/{n}').read()) for n in range(5)) + helper.x
rows"""


def contents(root: Path) -> dict[str, tuple[bytes, bool]]:
    """{path: (bytes or link target, executable)} of all files but Git's, DVC's and the ledger's own."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in (".git", ".dvc", ".nbledger", "__pycache__")]
        for name in names:
            path = Path(folder) / name
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(root))] = (data, not path.is_symlink() and bool(path.stat().st_mode & 0o100))
    return found


def test_fresh_clone_gives_the_dirty_tree_back(project: Path, tmp_path: Path) -> None:
    remote, store = tmp_path / "remote.git", tmp_path / "data-remote"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(project, "remote", "add", "origin", str(remote))
    dvc(project, "remote", "add", "-d", "store", str(store))
    (project / ".gitignore").write_text("__pycache__/\n*.log\n")
    (project / "helper.py").write_text("x = 1\n")
    (project / "deleted.py").write_text("y = 1\n")
    (project / "run.sh").write_text("#!/bin/sh\n")
    commit_all(project)
    git(project, "push", "-q", "origin", "main")

    data = project / "data"
    (data / "parts").mkdir(parents=True)
    (data / "wine.csv").write_bytes(b"a,b\r\n1,2\r\n" * 500)
    for n in range(5):
        (data / "parts" / str(n)).write_text(str(n) * (n + 1))
    with kernel(project) as k:
        tracked = k.run("%track_data data/wine.csv data/parts -m 'wine, as published'")
        assert tracked.status == "ok", tracked
        # Dirty in every way, the pointers of the second version of the data among it.
        (project / "helper.py").write_text("x = 2\n")
        git(project, "add", "helper.py")
        (project / "helper.py").write_text("x = 3\n")
        (project / "deleted.py").unlink()
        (project / "run.sh").chmod(0o755)
        (project / "new ünï.py").write_text("z = 1\n")
        (project / "binary.dat").write_bytes(os.urandom(2000))
        (project / "link").symlink_to("helper.py")
        (data / "wine.csv").write_bytes(b"a,b\r\n1,2\r\n" * 400)
        assert k.run("%track_data data/wine.csv --no-commit").status == "ok"
        before = contents(project)
        status = git(project, "status", "--porcelain")
        cell = k.run(CELL)
        assert cell.result == str(800 + 15 + 3), cell
        assert git(project, "status", "--porcelain") == status
    assert contents(project) == before

    found = run_of(project, "dirty")
    commit = found.data.tags["mlflow.source.git.commit"]
    assert found.data.tags["nbledger.dirty"] == "true"
    assert git(project, "rev-parse", f"refs/nbledger/runs/{found.info.run_id}") == commit
    git(project, "push", "-q", "origin", "refs/nbledger/*:refs/nbledger/*")
    dvc(project, "push", "-q")
    shutil.rmtree(project)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(remote), str(clone))
    git(clone, "fetch", "-q", "origin", "refs/nbledger/*:refs/nbledger/*")
    git(clone, "checkout", "-q", commit)
    run("dvc", "pull", "-q", cwd=clone)
    assert contents(clone) == before
    assert git(clone, "status", "--porcelain") == ""
    assert run("dvc", "status", cwd=clone) == "Data and pipelines are up to date."
