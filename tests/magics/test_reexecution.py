"""What a kernel that executes a run again skips, and where it finds the project's modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbledger_magics.reexecution import _CHANGING, _without_changes, redirect_imports


@pytest.mark.parametrize(
    ("command", "skipped"),
    [
        ("pip install numpy", True),
        ("pip3.11 -q install -r requirements.txt", True),
        ("python -m pip install numpy", True),
        ("/opt/bin/python3 -m pip uninstall -y numpy", True),
        ("cd x && pip install .", True),
        ("uv pip install numpy", True),
        ("uv add numpy", True),
        ("conda install -y numpy", True),
        ("conda update numpy", True),
        ("sudo apt-get install graphviz", True),
        ("nbledger track data.csv", True),
        ("cd x; nbledger push", True),
        ("git add -A && git commit -m done", True),
        ("git -C .. push origin main", True),
        ("git -c user.name=x commit -m y", True),
        ("git branch new", True),
        ("git branch -D old", True),
        ("git checkout -b new", True),
        ("git tag v1", True),
        ("git stash", True),
        ("git config user.name Ada", True),
        ("git config --global user.name Ada", True),
        ("git remote add origin x", True),
        ("dvc add data.csv", True),
        ("python -m dvc -q push", True),
        ("dvc gc -w -f", True),
        ("dvc remote add -d x /y", True),
        ("git branch --show-current", False),
        ("git branch", False),
        ("git tag --list", False),
        ("git stash list", False),
        ("git config --get user.name", False),
        ("git config user.name", False),
        ("git remote -v", False),
        ("git merge-base main HEAD", False),
        ("git log --oneline", False),
        ("git clone https://example.org/data", False),
        ("dvc pull", False),
        ("dvc remote list", False),
        ("dvc get https://example.org data.csv", False),
        ("pip list", False),
        ("pip freeze > installed.txt", False),
        ("python train.py install", False),
        ("echo pip install numpy", False),
        ("ls pip-install", False),
        ("conda list", False),
        ("cat install.txt", False),
    ],
)
def test_installers_are_skipped_and_nothing_else(command: str, skipped: bool) -> None:
    assert bool(_CHANGING.search(command)) == skipped


def test_a_cell_of_shell_skips_only_those_lines() -> None:
    given: list[str] = []
    magic = _without_changes(lambda line, cell: given.append(cell))
    magic("", "echo a\ngit add x\ngit commit \\\n  -m 'done'\nif true; then\n  git push\nfi\n")
    done = subprocess.run(["sh", "-c", given[0]], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "a"
    assert [line.split(" is skipped")[0] for line in lines[1:]] == [
        "nbledger: git add x",
        "nbledger: git commit    -m 'done'",
        "nbledger: git push",
    ]


def test_modules_of_the_work_tree_are_imported_from_the_restored_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, place = tmp_path / "home", tmp_path / "home/.nbledger/reproduced/x-1"
    for root, value in ((home, 1), (place, 2)):
        (root / "src").mkdir(parents=True)
        (root / "src/module_of_ours.py").write_text(f"value = {value}\n")
    (home / "only-here").mkdir()
    monkeypatch.setattr(sys, "path", [str(home / "src"), str(home / "only-here"), str(place), str(tmp_path), ""])
    redirect_imports(str(home), str(place))
    assert sys.path == [str(place / "src"), str(home / "only-here"), str(place), str(tmp_path), ""]


def test_writes_below_the_work_tree_are_refused_but_for_what_is_allowed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "allowed").mkdir(parents=True)
    (home / "mine.txt").write_text("mine")
    script = f"""
import os
from nbledger_magics.reexecution import protect
home = {str(home)!r}
protect(home, [home + "/allowed"])
open(home + "/allowed/new.txt", "w").write("x")
open({str(tmp_path)!r} + "/beside.txt", "w").write("x")
assert open(home + "/mine.txt").read() == "mine"
os.chdir(home)
for attempt in (
    lambda: open("mine.txt", "w"),
    lambda: open(home + "/mine.txt", "a"),
    lambda: os.open(home + "/new.txt", os.O_CREAT | os.O_WRONLY),
    lambda: os.remove(home + "/mine.txt"),
    lambda: os.rename(home + "/mine.txt", home + "/allowed/x"),
    lambda: os.rename(home + "/allowed/new.txt", home + "/mine.txt"),
    lambda: os.mkdir(home + "/folder"),
    lambda: os.symlink("/tmp", home + "/link"),
    lambda: open(home + "/allowed/../mine.txt", "w"),
):
    try:
        attempt()
    except PermissionError as err:
        assert "executed again" in str(err), err
    else:
        raise SystemExit(f"not refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in home.iterdir()) == ["allowed", "mine.txt"]
    assert (home / "mine.txt").read_text() == "mine"
