"""Each thing that a run stands on is deleted in turn: a file of the data in cache and remote, the list of a folder's files,
a Git object, the snapshot's ref and commit, an imported package, the kernel, each artifact of the run's record, the run itself
in MLflow (as `mlflow gc` does), an untracked input.

`nbledger reproduce` names exactly what is missing, and nothing else; its exit code is not zero, and nothing is half-made. When
all is back, the run comes out identical. The plain way is `git checkout`, `dvc checkout` and `nbconvert --execute`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ledger
from conftest import commit_all, data_remote, dvc, git
from kernels import Kernel
from snap import Snap, check_same

pytestmark = pytest.mark.timeout(1200)  # in full, on a busy machine

READ, UNREAD = b"1\n2\n", b"3\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Recorded:
    """A project with one run over a dirty tree, data in a folder, an imported package and an untracked input."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root, self.python, self.asked = root, python, 0
        (self.packages,) = python.parents[1].glob("lib/python*/site-packages")
        self.run = ledger.run(root, "whole").info.run_id
        self.before: Snap | None = None

    def lacks(self, *what: str, kind: str, code: int = 1) -> None:
        """Reproduce: exactly these are missing, nothing moved, nothing is left."""
        said = self.reproduced(code)
        missing = [one["what"] for one in said["missing"] if one["needed"]]
        assert missing == list(what), said
        assert {one["kind"] for one in said["missing"] if one["needed"]} == {kind}
        assert said["verdict"] == "not-restorable"
        self.asked += 1
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        state = self.root / ".nbledger"
        left = [*(state / "reproduced").glob("*"), *(state / "reproductions").glob("*")]
        assert [*left, *(self.root / ".git" / "worktrees").glob("*")] == []
        assert self.before is not None
        check_same(self.before, Snap.take(self.root))

    def reproduced(self, code: int, name: str = "") -> dict[str, Any]:
        self.before = Snap.take(self.root)
        command = [self.python, "-m", "nbledger.cli", "reproduce", name or self.run, "--json", "--no-record"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr
        said: dict[str, Any] = json.loads(done.stdout or done.stderr.splitlines()[-1])
        return said

    def objects(self, name: str) -> list[Path]:
        """Every file that holds this object of the data: in the cache, kept beside it, in the remote."""
        first = self.root / ".dvc/cache/files/md5" / name[:2] / name[2:]
        same = [p for p in (self.root / ".dvc" / "cache").rglob("*") if p.is_file() and p.samefile(first)]
        return [*same, self.root.parent / "remote/files/md5" / name[:2] / name[2:]]


@contextlib.contextmanager
def gone(*paths: Path) -> Iterator[None]:
    """These are not there while the block runs."""
    for path in paths:
        path.rename(path.with_name(f"_gone_{path.name}"))
    try:
        yield
    finally:
        for path in paths:
            path.with_name(f"_gone_{path.name}").rename(path)


@pytest.fixture
def there(project: Path, tmp_path: Path) -> Recorded:
    python = environment(tmp_path / "environment")
    data_remote(project, project.parent / "remote")
    (project / ".gitignore").write_text("loose.csv\n")
    (project / "lib.py").write_text("def f(x): return x\n")
    commit_all(project)
    (project / "data/deep").mkdir(parents=True)
    (project / "data/a.csv").write_bytes(READ)
    (project / "data/deep/b.csv").write_bytes(UNREAD)
    (project / "loose.csv").write_text("5\n")
    (project / "lib.py").write_text("def f(x): return 2 * x\n")
    kernel = Kernel(project, python=python)
    for cell in (
        "%load_ext nbledger",
        "%track_data data --push",
        "import lib\nrows = open('data/a.csv').read().split()\nmore = int(open('loose.csv').read())",
        "%%mlrun whole -m total\nimport rarely\ntotal = rarely.value * lib.f(sum(map(int, rows))) + more",
    ):
        assert kernel.run(cell).status == "ok"
    kernel.close()
    return Recorded(project, python)


def environment(place: Path) -> Path:
    """An interpreter with every package of this one, and one more."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    (site,) = (place / "lib").glob("python*/site-packages")
    for item in Path(sysconfig.get_paths()["purelib"]).iterdir():
        (site / item.name).symlink_to(item)
    (site / "rarely-1.5.dist-info").mkdir()
    (site / "rarely.py").write_text("value = 3\n")
    (site / "rarely-1.5.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: rarely\nVersion: 1.5\n")
    (site / "rarely-1.5.dist-info/RECORD").write_text("rarely.py,,\n")
    return place / "bin" / "python"


def test_each_is_named(there: Recorded, count: Callable[[int, int], int], seen: Callable[[str], None]) -> None:
    listing = (there.root / "data.dvc").read_text().partition("md5: ")[2].split()[0]
    with gone(*there.objects(md5(READ))):
        there.lacks(f"data/a.csv ({md5(READ)})", kind="data")
    with gone(*there.objects(listing)):
        there.lacks(f"data ({listing})", kind="data")
    with gone(*there.objects(md5(UNREAD))):  # the run did not read it
        assert there.reproduced(0)["verdict"] == "identical"
    with gone(there.packages / "rarely-1.5.dist-info", there.packages / "rarely.py"):
        there.lacks("rarely 1.5", kind="package")
    (there.root / "loose.csv").write_text("6\n")
    there.lacks(f"loose.csv ({md5(b'5' + bytes([10]))})", kind="input")
    (there.root / "loose.csv").write_text("5\n")
    record = Path(ledger.client(ledger.uri(there.root)).get_run(there.run).info.artifact_uri.removeprefix("file://"))
    artifacts = ("inputs.json", "session.ipynb", "session.json", "outputs.json", "manifest.json")
    for name in artifacts[: count(len(artifacts), 1)]:
        with gone(record / "nbledger" / name):
            there.lacks(f"nbledger/{name}", kind="record")
    with gone(record / "nbledger"):
        names = ("manifest.json", "session.json", "session.ipynb", "inputs.json", "outputs.json")
        there.lacks(*(f"nbledger/{name}" for name in names), kind="record")
    with gone(*there.packages.glob("ipykernel*")):
        there.lacks("ipykernel", kind="kernel")
    assert there.reproduced(0)["verdict"] == "identical"
    commit_is_lost(there)
    run_is_lost(there)
    seen(f"{there.asked} of {there.asked} named exactly, exit code 1, nothing left; with all back: identical")


def commit_is_lost(there: Recorded) -> None:
    ref = f"refs/nbledger/runs/{there.run}"
    commit = git(there.root, "rev-parse", ref)
    blob = git(there.root, "rev-parse", f"{commit}:lib.py")
    held = there.root / ".git/objects" / blob[:2] / blob[2:]
    with gone(held):
        there.lacks(f"snapshot {commit[:12]}", kind="object")
    bundle = there.root.parent / "bundle"
    git(there.root, "bundle", "create", "-q", str(bundle), ref)
    git(there.root, "update-ref", "-d", ref)
    assert there.reproduced(0)["verdict"] == "identical"  # the ref alone: the commit is still there
    git(there.root, "gc", "-q", "--prune=now")
    there.lacks(f"snapshot {commit[:12]}", kind="commit")
    git(there.root, "fetch", "-q", str(bundle), f"{ref}:{ref}")
    assert there.reproduced(0)["verdict"] == "identical"


def run_is_lost(there: Recorded) -> None:
    """What ``mlflow gc`` does."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    ledger.client(ledger.uri(there.root)).delete_run(there.run)
    store: Any = SqlAlchemyStore(ledger.uri(there.root), str(there.root / ".nbledger" / "artifacts"))
    store._hard_delete_run(there.run)
    said = there.reproduced(3)
    assert said["error"].startswith(f"the run cannot be brought back: run {there.run}: the store has no such run")
    said = there.reproduced(2, "whole")
    assert said["error"].startswith("there is no run 'whole'")
    there.asked += 1
    there.check_nothing_left()


def test_plain_tools(project: Path, plain: Callable[[bool, str], None]) -> None:
    """A careful user's script, with an object of the data missing: what does it name?"""
    (project / "data").mkdir()
    (project / "data/a.csv").write_bytes(READ)
    (project / "data/b.csv").write_bytes(UNREAD)
    dvc(project, "add", "-q", "data")
    commit_all(project)
    for content in (READ, UNREAD):
        (project / ".dvc/cache/files/md5" / md5(content)[:2] / md5(content)[2:]).unlink()
    there = project.parent / "there"
    git(project, "worktree", "add", "-q", "--detach", str(there), "HEAD")
    (there / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {project / '.dvc' / 'cache'}\n")
    command = [sys.executable, "-m", "dvc", "checkout"]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True, check=False, timeout=120)
    named = [name for name in ("a.csv", "b.csv") if name in done.stderr]
    left = os.listdir(there / "data") if (there / "data").exists() else []
    said = f"dvc checkout exits with {done.returncode}, names {len(named)} of 2 missing files, leaves the work tree"
    plain(done.returncode != 0 and len(named) == 2 and not left and not there.exists(), said)
    shutil.rmtree(there)
