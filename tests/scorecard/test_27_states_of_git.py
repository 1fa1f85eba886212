"""A tracked cell is run in a work tree of every state: edited, staged, renamed and untracked files at once; a detached HEAD;
in the midst of a merge, a rebase and a cherry-pick with conflicts; a repository without a commit, empty and not; inside a
submodule; above a submodule with uncommitted changes; in a linked work tree; with its `.git` elsewhere; of a bare
repository; of a shallow clone; with SHA-256.

*Snap* is taken before and after. Then a fresh repository fetches refs/nbledger/* alone, checks the run's commit out, and
every file is compared: bytes, executable bits, links. The plain way is a script that calls `mlflow`, which records HEAD's
commit by itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import commit_all, git, run
from kernels import Kernel, kernel
from ledger import flush, runs
from snap import Snap, check_same
from trees import check_out, conflicts, fetched, files_of, mess


def dirty(root: Path) -> Path:
    mess(root)
    return root


def detached(root: Path) -> Path:
    (root / "code.py").write_text("a = 1\n")
    commit_all(root)
    git(root, "checkout", "-q", "--detach", "HEAD")
    (root / "code.py").write_text("a = 2\n")
    return root


def in_the_midst_of(verb: str) -> Callable[[Path], Path]:
    def state(root: Path) -> Path:
        conflicts(root)
        run("git", verb, "theirs", cwd=root, ok=False)
        assert "UU text" in git(root, "status", "--porcelain")
        (root / "own").write_text("own\n")
        return root

    return state


def without_a_commit(root: Path) -> Path:
    made = root.with_name("unborn")
    made.mkdir()
    git(made, "init", "-q")
    (made / ".nbledger.toml").write_text("keeper = false\n")
    (made / "code.py").write_text("a = 1\n")
    (made / "staged.py").write_text("b = 1\n")
    git(made, "add", "staged.py")
    return made


def empty(root: Path) -> Path:
    made = root.with_name("empty")
    made.mkdir()
    git(made, "init", "-q")
    (made / ".git/info/exclude").write_text("*\n")
    (made / ".nbledger.toml").write_text("keeper = false\n")
    return made


def with_submodule(root: Path) -> Path:
    upstream = root.with_name("upstream")
    upstream.mkdir()
    git(upstream, "init", "-q")
    (upstream / ".nbledger.toml").write_text("keeper = false\n")
    (upstream / "lib.py").write_text("lib = 1\n")
    commit_all(upstream)
    git(root, "submodule", "--quiet", "add", str(upstream), "lib")
    commit_all(root)
    (root / "lib/lib.py").write_text("lib = 2\n")
    (root / "lib/new.py").write_text("new = 1\n")
    return root


def inside_submodule(root: Path) -> Path:
    return with_submodule(root) / "lib"


def linked(root: Path) -> Path:
    place = root.with_name("linked")
    git(root, "worktree", "add", "-q", "-b", "side", str(place))
    mess(place)
    return place


def git_elsewhere(root: Path) -> Path:
    git(root, "init", "-q", f"--separate-git-dir={root.with_name('elsewhere.git')}")
    mess(root)
    return root


def of_a_bare_one(root: Path) -> Path:
    bare, place = root.with_name("bare.git"), root.with_name("of-bare")
    git(root, "clone", "-q", "--bare", ".", str(bare))
    git(bare, "worktree", "add", "-q", str(place), "main")
    mess(place)
    return place


def shallow(root: Path) -> Path:
    (root / "code.py").write_text("a = 1\n")
    commit_all(root)
    place = root.with_name("shallow")
    git(root, "clone", "-q", "--depth=1", f"file://{root}", str(place))
    mess(place)
    return place


def sha256(root: Path) -> Path:
    made = root.with_name("sha256")
    made.mkdir()
    git(made, "init", "-q", "--object-format=sha256")
    (made / ".nbledger.toml").write_text("keeper = false\n")
    mess(made)
    return made


STATES: dict[str, Callable[[Path], Path]] = {
    "dirty": dirty,
    "merge": in_the_midst_of("merge"),
    "rebase": in_the_midst_of("rebase"),
    "dirty submodule": with_submodule,
    "detached": detached,
    "without a commit": without_a_commit,
    "empty": empty,
    "inside a submodule": inside_submodule,
    "linked work tree": linked,
    "cherry-pick": in_the_midst_of("cherry-pick"),
    ".git elsewhere": git_elsewhere,
    "of a bare repository": of_a_bare_one,
    "shallow clone": shallow,
    "SHA-256": sha256,
}


@pytest.fixture
def fresh(project: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A new copy of a project without a keeper, by name."""
    (project / ".nbledger.toml").write_text("keeper = false\n")
    commit_all(project)

    def make(name: str) -> Path:
        root = tmp_path / name / "work"
        git(tmp_path, "clone", "-q", str(project), str(root))
        return root

    return make


def record(k: Kernel, root: Path, name: str) -> None:
    assert k.run(f"%cd -q {root}").status == "ok"
    before = Snap.take(root)
    cell = k.run(f"%%mlrun {name}\nanswer = 6 * 7\nanswer")
    assert (cell.status, cell.result) == ("ok", "42"), (name, cell)
    assert "no snapshot" not in cell.shown + cell.stderr
    check_same(before, Snap.take(root))


def test_nothing_moves_and_the_code_is_there(
    fresh: Callable[[str], Path], tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    states = list(STATES.items())[: count(len(STATES), 8)]
    compared = 0
    with kernel(tmp_path) as k:
        for number, (name, state) in enumerate(states):
            root = state(fresh(f"s{number}"))
            record(k, root, f"run{number}")
            here, clone = files_of(root), tmp_path / f"clone{number}"
            commits = fetched(root, clone)
            assert len(commits) == 1, (name, commits)
            (commit,) = commits.values()
            assert check_out(clone, commit) == here, name
            compared += len(here)
    seen(f"{len(states)} states: nothing moved; {compared} files equal byte for byte in fresh clones")


def test_reproducing_restores_it(
    fresh: Callable[[str], Path], tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    """The same by nbledger's own restoration, after publication."""
    states = ["dirty submodule", "merge"][: count(2, 1)]
    for name in states:
        root = STATES[name](fresh(name.replace(" ", "-")))
        with kernel(root) as k:
            record(k, root, "run")
        assert "is published" in flush(root)
        before, here, into = Snap.take(root), files_of(root), tmp_path / f"restored-{name}"
        command = [sys.executable, "-m", "nbledger.cli", "reproduce", "run", "--restore-only", "--into", into]
        run(*command, cwd=root)
        assert {path: facts for path, facts in files_of(into).items() if path in here} == here, name
        (found,) = runs(root, flushed=False)
        assert found.data.tags["nbledger.dirty"] == "true"
        check_same(before, Snap.take(root))
    seen(f"restored by `reproduce` as they were: {', '.join(states)}")


SCRIPT = """\
import mlflow
mlflow.set_tracking_uri("sqlite:///../plain.db")
with mlflow.start_run() as run:
    pass
print(mlflow.get_run(run.info.run_id).data.tags.get("mlflow.source.git.commit", "none"))
"""


def test_plain_commit_of_the_run(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    (project / "train.py").write_text("")
    commit_all(project)
    (project / "train.py").write_text(SCRIPT)
    mess_of = {"train.py": SCRIPT.encode()}
    done = subprocess.run([sys.executable, "train.py"], cwd=project, capture_output=True, text=True, check=False)
    tag = (done.stdout.split() or ["none"])[-1]
    git(tmp_path, "clone", "-q", str(project), "clone")
    there = tmp_path / "clone"
    kept = run("git", "checkout", "-q", tag, cwd=there, ok=False) == "" and tag != "none"
    same = kept and (there / "train.py").read_bytes() == mess_of["train.py"]
    plain(same, "the run names HEAD; the edited script that ran is nowhere" if not same else "the script is there")
