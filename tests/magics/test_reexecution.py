"""What a kernel that executes a run again skips, and where it finds the project's modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbledger_magics.reexecution import _CHANGING, redirect_imports


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
