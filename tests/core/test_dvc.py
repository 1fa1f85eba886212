"""The door to DVC: its files read without it, and states that agree with it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import commit_all, dvc, git, make_repository
from nbledger.core import dvc as door
from nbledger.core import hashes, trust
from nbledger.core import project as projects
from nbledger.core.errors import Refused

PIPELINE = """\
stages:
  make:
    cmd: mkdir -p out && cp src.txt out/a && echo 1 > metrics.json
    deps: [src.txt]
    params: [lr, model.depth]
    outs: [out]
    metrics:
    - metrics.json:
        cache: false
  next:
    cmd: cp out/a last
    deps: [out]
    outs: [last]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "repo").resolve()
    trust.trust(projects.find(made))  # else DVC itself is not asked
    return made


@pytest.fixture
def pipeline(root: Path) -> Path:
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("lr: 1e-3\nmodel:\n  depth: 3\nother: 1\n")
    (root / "src.txt").write_text("s")
    dvc(root, "repro", "-q")
    commit_all(root)
    return root


def test_reading_imports_no_dvc(pipeline: Path) -> None:
    code = (
        "import sys; from nbledger.core import project, dvc; p = project.find(); dvc.data_status(p);"
        "dvc.stale_stages(p); dvc.cache_dir(p); dvc.lookup(p, 'out/a'); dvc.version();"
        "sys.exit('dvc' in sys.modules or 'dvc.repo' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", code], cwd=pipeline, env=env).returncode == 0


def test_outputs_and_lookup(pipeline: Path) -> None:
    project = projects.find(pipeline)
    found = {out.path: out for out in door.outputs(project)[0]}
    assert set(found) == {"out", "metrics.json", "last"}
    assert found["out"].is_dir and found["out"].stage == "make" and not found["metrics.json"].cached
    assert door.lookup(project, "out/a") == found["out"]
    assert door.lookup(project, "src.txt") is None
    entries = door.folder_entries(project, found["out"])
    assert entries == {"a": "03c7c0ace395d80182db07ae2c30f034"}
    (pipeline / "d").mkdir()
    (pipeline / "d" / "x").write_text("x")
    dvc(pipeline, "add", "-q", "d/x")
    assert door.lookup(project, "d/x").pointer == "d/x.dvc"
    (pipeline / "d" / "x.dvc").rename(pipeline / "d" / "other.dvc")
    assert door.lookup(project, "d/x").pointer == "d/other.dvc"


def test_outputs_of_the_neighbour_are_not_ours(root: Path) -> None:
    (root / "sub").mkdir()
    dvc(root / "sub", "init", "--subdir", "-q")
    (root / "sub" / "x").write_text("x")
    dvc(root / "sub", "add", "-q", "x")
    assert door.outputs(projects.find(root))[0] == []
    assert [out.path for out in door.outputs(projects.find(root / "sub"))[0]] == ["sub/x"]


def plain_changes(root: Path) -> tuple[set[str], set[str]]:
    state = json.loads(dvc(root, "data", "status", "--json"))
    gone = set(state.get("uncommitted", {}).get("deleted", []))
    return {p.rstrip("/") for p in state.get("uncommitted", {}).get("modified", [])}, {p.rstrip("/") for p in gone}


def test_data_status_agrees_with_dvc(root: Path) -> None:
    project = projects.find(root)
    (root / "d" / "deep").mkdir(parents=True)
    for name in ("f", "g", "h", "d/a", "d/deep/b"):
        (root / name).write_text(name)
    dvc(root, "add", "-q", "f", "g", "h", "d")
    commit_all(root)
    assert door.data_status(project).changed == door.data_status(project).missing == ()
    stat = (root / "f").stat()
    (root / "f").chmod(0o644)
    (root / "f").write_text("F")
    os.utime(root / "f", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (root / "g").unlink()
    (root / "d/deep/b").unlink()
    state = door.data_status(project)
    assert (set(state.changed), set(state.missing)) == ({"f", "d"}, {"g"})
    (root / "f").write_text("FF")
    assert plain_changes(root) == ({"f", "d"}, {"g"})
    (root / "d/deep/b").write_text("d/deep/b")
    assert door.data_status(project).changed == ("f",)


def test_missing_dir_object_is_no_change(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/a").write_text("a")
    dvc(root, "add", "-q", "d")
    for path in (root / ".dvc/cache/files/md5").glob("*/*"):
        path.unlink()
    assert door.data_status(projects.find(root)).changed == ()
    (root / "d/b").write_text("b")
    assert door.data_status(projects.find(root)).changed == ("d",)


def test_legacy_hashes(root: Path) -> None:
    (root / "x").write_bytes(b"a\r\nb\r\n")
    (root / "x.dvc").write_text("outs:\n- md5: dd8c6a395b5dd36c56d23275028f526c\n  size: 6\n  path: x\n")
    (out,) = door.outputs(projects.find(root))[0]
    assert out.legacy
    assert door.data_status(projects.find(root)).changed == ()


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        (lambda r: None, []),
        (lambda r: (r / "src.txt").write_text("new"), ["make"]),
        (lambda r: (r / "params.yaml").write_text("lr: 0.001\nmodel: {depth: 3}\nother: 2\n"), []),
        (lambda r: (r / "params.yaml").write_text("lr: 0.002\nmodel: {depth: 3}\n"), ["make"]),
        (lambda r: (r / "out/a").write_text("tampered"), ["make", "next"]),
        (lambda r: (r / "last").unlink(), ["next"]),
        (lambda r: (r / "dvc.yaml").write_text(PIPELINE.replace("cp out/a last", "cp  out/a last")), ["next"]),
        (lambda r: (r / "dvc.yaml").write_text(PIPELINE + "  third:\n    cmd: echo ${lr}\n"), ["third"]),
    ],
)
def test_stale_stages_agree_with_dvc(pipeline: Path, edit, stale: list[str]) -> None:
    edit(pipeline)
    assert door.stale_stages(projects.find(pipeline)) == stale
    assert sorted(json.loads(dvc(pipeline, "status", "--json"))) == stale


def test_stages_of_a_folder_are_named_by_it(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub/dvc.yaml").write_text("stages:\n  one:\n    cmd: echo ${x}\n    vars: [{x: 1}]\n")
    assert door.stale_stages(projects.find(root)) == ["sub/dvc.yaml:one"]
    (root / "sub/dvc.yaml").write_text("stages:\n  one:\n    cmd: echo 1\n")
    assert door.stale_stages(projects.find(root)) == ["sub/dvc.yaml:one"]


def test_cache_dir(root: Path, tmp_path: Path) -> None:
    project = projects.find(root)
    assert door.cache_dir(project) == root / ".dvc/cache"
    for words in ((["cache", "dir", str(tmp_path / "shared")]), (["cache", "dir", "--local", "../rel"])):
        dvc(root, *words)
        assert str(door.cache_dir(project)) == dvc(root, "cache", "dir")
    with (root / ".dvc/config.local").open("a") as file:
        file.write('[\'remote "odd"\']\n    url = "s3://a,b"\n')
    assert str(door.cache_dir(project)) == dvc(root, "cache", "dir")


def test_init_is_idempotent(tmp_path: Path) -> None:
    root = (tmp_path / "p").resolve()
    (root / "ml").mkdir(parents=True)
    git(root, "init", "-q")
    for folder in (root, root / "ml"):
        for _ in range(2):
            assert door.init(projects.find(root), folder) == folder
        assert (folder / ".dvcignore").read_text().count(".nbledger/") == 1
        assert dvc(folder, "config", "core.analytics").lower() == "false"
    plain = (tmp_path / "plain").resolve()
    plain.mkdir()
    door.init(projects.find(plain))
    assert dvc(plain, "config", "core.no_scm").lower() == "true"


def test_pull_and_push_without_remote(root: Path) -> None:
    (root / "x").write_text("x")
    dvc(root, "add", "-q", "x")
    with pytest.raises(Refused, match="no default DVC remote"):
        door.push(projects.find(root), ["x"])


def test_running_stage_is_respected(root: Path) -> None:
    (root / ".dvc/tmp/rwlock").write_text(
        json.dumps({"write": {str(root / "x"): {"pid": os.getpid(), "cmd": "repro"}}})
    )
    with pytest.raises(door.Busy, match="repro"):
        door.refuse_if_running(projects.find(root), [root / "x"])
    door.refuse_if_running(projects.find(root), [root / "y"])


# ── the hash cache ──────────────────────────────────────────────────────────────────────────────────────────────────
def test_hashes_survive_damage_locks_and_no_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = projects.find(root)
    database = project.ensure_state() / "hashes.db"
    rows = [(str(root / f"f{i}"), hashes.pack((i, 1, 2, 3)), "m" * 32) for i in range(2000)]
    with hashes.opened(project) as known:
        known.add_files(rows)
        assert len(known.files([row[0] for row in rows])) == 2000
        assert len(known.below(str(root))) == 2000
    database.write_bytes(b"not a database" * 1000)
    with hashes.opened(project) as known:
        assert known.files([rows[0][0]]) == {}
        known.add_files(rows[:1])
        assert known.files([rows[0][0]])
    holder = sqlite3.connect(database)
    holder.execute("BEGIN EXCLUSIVE")
    with hashes.opened(project) as known:
        known.add_files(rows)
    holder.close()
    monkeypatch.setattr(hashes, "_open", lambda path: (_ for _ in ()).throw(sqlite3.OperationalError("readonly")))
    with hashes.opened(project) as known:
        known.add_files(rows)
        assert known.files([rows[0][0]]) == {}


def test_young_files_are_not_remembered() -> None:
    import time

    now = time.time_ns()
    assert not hashes.settled((1, 1, now, now))
    assert hashes.settled((1, 1, now, now - 10**9))
