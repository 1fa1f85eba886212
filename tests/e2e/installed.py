"""nbledger as people get it: the wheel, installed in an environment of its own beside this one's other packages."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import run

ROOT = Path(__file__).parents[2]
EDITABLE = "NBLEDGER_E2E_EDITABLE"
_DATA = ("share/jupyter", "share/jupyter/labextensions", "etc/jupyter", "etc/jupyter/jupyter_server_config.d")
"""Folders whose entries, other than nbledger's own, are this environment's."""


def python_of(factory: pytest.TempPathFactory) -> Path:
    """The interpreter that has the wheel; this one where the variable ``NBLEDGER_E2E_EDITABLE`` asks for it.

    It is made once a session, whichever of pytest-xdist's workers comes first.
    """
    if os.environ.get(EDITABLE):
        return Path(sys.executable)
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    venv = shared / "installed-wheel"
    with _locked(shared / "installed-wheel.lock"):
        if not (venv / "made").exists():
            _make(venv, _wheel(shared / "wheel"))
            (venv / "made").touch()
    return venv / "bin" / "python"


def _wheel(out: Path) -> Path:
    # The front end is taken as it was built: `make test` has just seen to it.
    env = os.environ | {"NBLEDGER_FRONT_END": "as-built"}
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out, cwd=ROOT, env=env)
    (wheel,) = out.glob("*.whl")
    return wheel


def _make(venv: Path, wheel: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    packages = Path(
        run(venv / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=venv)
    )
    # Below this line's folder no .pth file counts: the editable install is out of sight.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for folder in _DATA:
        _link_entries(Path(sys.prefix) / folder, venv / folder)
    words = ("pip", "install", "--quiet", "--offline", "--no-deps", "--python", venv / "bin" / "python", wheel)
    run(sys.executable, "-m", "uv", *words, cwd=venv)


def _link_entries(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    folders = {Path(sys.prefix) / folder for folder in _DATA}
    for entry in source.iterdir() if source.is_dir() else ():
        if entry not in folders and entry.stem != "nbledger":
            (target / entry.name).symlink_to(entry)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def where(python: Path, module: str) -> str:
    """The file from which ``python`` imports ``module``."""
    program = f"import {module}; print({module}.__file__)"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, cwd="/").stdout.strip()
