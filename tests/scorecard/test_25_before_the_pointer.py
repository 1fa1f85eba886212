"""`nbledger track` is killed (SIGKILL by strace) when the bytes are in the cache and the pointer is not there yet: of a new
file, and of one that a pattern of the person's own makes Git ignore, so that Git says nothing about it.

nbledger notes what it is about to track before it begins, and the ignore line comes after the pointer: status and doctor
name what was cut short, and the same command again completes it. The plain way is `dvc add`, killed as it writes the pointer.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import commit_all, data_status, git, run
from kills import Call, calls, killed_at
from nbledger.core import git as door
from nbledger.core.project import find

NBLEDGER = (sys.executable, "-m", "nbledger.cli")
BYTES = b"one,two\n" * 1000


def world(root: Path, name: str) -> None:
    (root / ".nbledger.toml").write_text("keeper = false\n")
    (root / ".gitignore").write_text("*.raw\n")
    commit_all(root)
    (root / name).write_bytes(BYTES)


def before_the_pointer(root: Path, name: str, log: Path, command: tuple[str, ...]) -> list[Call]:
    """The calls that write the pointer, and the one before them; the project is as it was afterwards."""
    every = calls(command, root, log)
    at = next(place for place, call in enumerate(every) if call.name == "rename" and f"{name}.dvc" in call.words)
    return every[at - 2 : at + 1]


@pytest.mark.parametrize("name", ["data.csv", "data.raw"])
def test_status_reports_it(project: Path, tmp_path: Path, name: str, seen: Callable[[str], None]) -> None:
    world(project, name)
    command = (*NBLEDGER, "track", name)
    kept = tmp_path / "kept"
    shutil.copytree(project, kept, symlinks=True)
    killed = before_the_pointer(project, name, tmp_path / "log", command)
    for call in killed:
        shutil.rmtree(project)
        shutil.copytree(kept, project, symlinks=True)
        os.chdir(project)
        assert killed_at(call, command, project)
        md5 = hashlib.md5(BYTES).hexdigest()
        assert (project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_bytes() == BYTES
        assert not (project / f"{name}.dvc").exists()
        assert (project / ".gitignore").read_text() == "*.raw\n"
        shown = json.loads(run(*NBLEDGER, "status", "--json", cwd=project))
        assert f"tracking {name} was cut short: nbledger track {name} completes it" in shown["notes"]
        assert not shown["clean"] and any(name in reason["paths"] for reason in shown["because"])
        assert (name in shown["code"]["untracked"]) == (name not in door.ignored(find(project).git, [name]))
    doctor = run(*NBLEDGER, "doctor", cwd=project, ok=False)
    assert f"tracking {name} was cut short" in doctor
    run(*command, cwd=project)
    assert git(project, "status", "--porcelain") == "" and data_status(project) == {}
    shown = json.loads(run(*NBLEDGER, "status", "--json", cwd=project))
    assert shown["clean"] and shown["notes"] == []
    seen(f"{name}: killed at {len(killed)} calls, told each time")


def test_plain_dvc_add(project: Path, tmp_path: Path, plain: Callable[[bool, str], None]) -> None:
    world(project, "data.csv")
    command = (sys.executable, "-m", "dvc", "add", "-q", "data.csv")
    shutil.copytree(project, tmp_path / "copy", symlinks=True)
    every = calls(command, tmp_path / "copy", tmp_path / "log")
    call = next(call for call in every if call.name == "write" and "data.csv.dvc>" in call.words)
    killed_at(call, command, project)
    listed = git(project, "status", "--porcelain", "-uall")
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=project, capture_output=True, text=True, check=False, timeout=60
    )
    told = "data.csv" in status.stdout + status.stderr
    ignored = "data.csv" in door.ignored(find(project).git, ["data.csv"])
    empty = (project / "data.csv.dvc").is_file() and not (project / "data.csv.dvc").stat().st_size
    words = [
        "ignored by Git" if ignored else "not ignored by Git",
        "an empty data.csv.dvc" if empty else "no data.csv.dvc",
        f"`dvc status` {'names it' if told else 'says nothing of it'}",
        f"`git status` lists {listed.splitlines() or 'nothing'}",
    ]
    plain(not ignored and told, "; ".join(words))
