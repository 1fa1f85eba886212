"""34 names (line break, trailing space, leading dash, an option's, not UTF-8, 251 and 255 bytes, glob and ignore characters,
one name as NFC and as NFD, backslash, colon, quotes, control characters, Windows' reserved ones, YAML's words, emoji, `%20`,
a pointer's ending) are given to files, and to files of folders; all is tracked, committed and pushed, and brought back into
two fresh clones: into one by plain `git` and `dvc`, into the other by `nbledger pull`. Then projects are made in folders with
such names, and a run is recorded in each that plain MLflow must find.

nbledger writes the ignore line that Git understands, asks Git whether it does, and refuses what DVC or Git could not carry
before anything is written. The plain way is `dvc add`, then `git status`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from conftest import commit_all, data_remote, data_status, git, make_repository, run
from kills import spread
from nbledger.core import git as door
from nbledger.core import mlflow, push
from nbledger.core.errors import LedgerError
from nbledger.core.project import find
from nbledger.core.pull import pull
from nbledger.core.track import track

NAMES = [
    "new\nline",
    "trailing ",
    "trailing two  ",
    "-dash",
    "--output=x",
    os.fsdecode(b"not-utf8-\xff\xfe"),
    "x" * 251,
    "y" * 255,
    "glob[1]*?.csv",
    "caf\u00e9",  # NFC
    "cafe\u0301",  # NFD
    "back\\slash",
    "end\\",
    "colon: x",
    "#hash",
    "!bang",
    "qu'o\"te",
    "bell\x07",
    "tab\there",
    "CON",
    "aux.txt",
    "dot.",
    "\U0001f4c8 chart.csv",
    "100%20.csv",
    "name.dvc",
    " lead",
    "{a: b}",
    "null",
    "$HOME",
    "a|b<c>d",
    "~",
    "right\u202eleft",
    "*",
    "..data",
]


def tracked(root: Path, rel: str) -> bool:
    """Track it; whether that was done. A refusal is one line, and changes nothing."""
    before, problem = door.changes(find(root).git, every_file=True), None
    try:
        track(find(root), [rel])
    except LedgerError as err:
        problem = err
    if problem is not None:
        assert str(problem).isprintable() and problem.hint, rel
        assert door.changes(find(root).git, every_file=True) == before, rel
        return False
    assert door.ignored(find(root).git, [rel]), rel
    return True


def clone(project: Path, place: Path) -> Path:
    git(place.parent, "clone", "-q", git(project, "remote", "get-url", "origin"), place.name)
    return place


def bytes_of(root: Path, rels: Sequence[str]) -> dict[str, str]:
    found = {}
    for rel in rels:
        path = root / rel
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            found[str(file.relative_to(root))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def test_there_and_back(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    names = spread(NAMES, count(100, 9))
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(project, "remote", "add", "origin", str(tmp_path / "bare.git"))
    data_remote(project, tmp_path / "store")
    commit_all(project)
    done, refused = [], 0
    for place, name in enumerate(names):
        folder = f"in {place}"
        (project / folder).mkdir()
        (project / folder / "plain").write_text(f"{place}\n")
        (project / folder / name).write_text(f"member {place}\n")
        (project / name).write_text(f"file {place}\n")
        for rel in (name, folder):
            if tracked(project, rel):
                done.append(rel)
            else:
                refused += 1
        if name.endswith(".dvc"):
            (project / name).unlink()  # DVC itself takes every file of that ending for a pointer
            (project / folder / name).unlink()
    shown = door.changes(find(project).git, every_file=True)
    assert shown[0] == []
    left = {path.split("/")[0] for path in shown[1]}
    assert not left & set(done)  # no data that are tracked are seen by Git
    assert len(done) > len(names)
    assert data_status(project) == {}
    push.push(find(project))
    want = bytes_of(project, done)
    plainly = clone(project, tmp_path / "plainly")
    run(sys.executable, "-m", "dvc", "pull", "-q", cwd=plainly)
    assert bytes_of(plainly, done) == want
    ours = clone(project, tmp_path / "ours")
    assert len(pull(find(ours)).data) == len(done)
    assert bytes_of(ours, done) == want
    assert git(plainly, "status", "--porcelain") == git(ours, "status", "--porcelain") == ""
    seen(f"{len(names)} names of files and of members: {len(done)} came back exactly twice, {refused} refused")


def test_words_that_look_like_options(project: Path) -> None:
    (project / "--output=x").write_text("1\n")
    nbledger = (sys.executable, "-m", "nbledger.cli", "track")
    (project / ".nbledger.toml").write_text("keeper = false\n")
    commit = [subprocess.run([*nbledger, *words], cwd=project, capture_output=True, check=False, timeout=60)
              for words in (["--output=x"], ["--", "--output=x"])]  # fmt: skip
    assert [done.returncode for done in commit] == [2, 0]
    assert (project / "--output=x.dvc").is_file()


FOLDERS = ["100%20 a#b?c=1&d qu'o\"te;$HOME %s {caf\u00e9}", "new\nline", os.fsdecode(b"not-utf8-\xff")]
_RECORD = """
import sys
from pathlib import Path
from nbledger.core import mlflow, mlflow_write
from nbledger.core.project import find
project = find(Path.cwd())
api = mlflow.client(project)
experiment = mlflow.experiment_id(api, project, "hostile", project.tracking_uri)
print(mlflow_write.create_run(api, project.tracking_uri, experiment, "j1", "one", 1, {}))
sys.stdout.write(repr(project.tracking_uri))
"""
_PLAIN = (
    "import mlflow, sys; print(mlflow.MlflowClient(tracking_uri=eval(sys.argv[1])).get_run(sys.argv[2]).info.run_name)"
)


def test_folders_of_projects(
    project: Path, tmp_path: Path, count: Callable[[int, int], int], seen: Callable[[str], None]
) -> None:
    refused = 0
    folders = FOLDERS[: count(len(FOLDERS), 1)]
    for name in folders:
        root = tmp_path / "made" / name
        if not name.isprintable() and "\n" not in name:
            root.mkdir()
            words = [sys.executable, "-m", "nbledger.cli", "init"]
            done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 3 and "is not UTF-8" in done.stderr and done.stderr.count("\n") <= 2
            assert list(root.iterdir()) == []
            refused += 1
            continue
        make_repository(root)
        (root / ".nbledger.toml").write_text("keeper = false\n")
        commit_all(root)
        (root / "data.csv").write_text("1\n")
        track(find(root), ["data.csv"])
        assert git(root, "status", "--porcelain") == ""
        words = [sys.executable, "-c", _RECORD]
        run_id, uri = run(*words, cwd=root).split("\n", 1)
        assert run(sys.executable, "-c", _PLAIN, uri, run_id, cwd=tmp_path) == "one"
        assert (root / ".nbledger" / "mlflow.db").is_file()
        assert mlflow.reachable(find(root).tracking_uri)
    seen(
        f"{len(folders)} such names of projects: {len(folders) - refused} record runs that MLflow finds, {refused} refused"
    )


def test_plain_dvc_add(project: Path, plain: Callable[[bool, str], None]) -> None:
    from dvc.repo import Repo

    unignored, failed = [], 0
    for place, name in enumerate(NAMES):
        (project / name).write_text(f"{place}\n")
        with Repo(str(project)) as repo:
            try:
                repo.add([os.path.join(str(project), name)])
            except Exception:
                failed += 1
                continue
        if name in door.changes(find(project).git, every_file=True)[1]:
            unignored.append(name)
    plain(
        not unignored,
        f"{len(NAMES)} names: {failed} refused, {len(unignored)} added but not ignored by Git: "
        + ", ".join(repr(name[:12]) for name in unignored),
    )
