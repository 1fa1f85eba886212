"""Where the bench works: one folder for all its workers, with what is made once and used by many."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from causes.case import HERE
from conftest import isolated_environment, make_repository, short_folder

ENVIRONMENTS = HERE / "environments"
SETTINGS = "[tool.nbledger]\nkeeper = false\n"  # the bench publishes itself: one import of MLflow, not one a project


@dataclass(frozen=True)
class Place:
    """``folder`` is shared by the workers; ``outer`` the variables of the person who started the bench."""

    folder: Path
    outer: Mapping[str, str]

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder ``name``, made by whichever worker comes first; the others wait for it."""
        made = self.folder / name
        made.parent.mkdir(parents=True, exist_ok=True)
        with open(made.with_name(made.name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                draft = made.with_name(made.name + ".draft")
                shutil.rmtree(draft, ignore_errors=True)
                make(draft)
                draft.rename(made)
        return made


@contextmanager
def isolated(place: Place) -> Iterator[None]:
    """This process with a home of its own, until the block ends."""
    before, runtime = dict(os.environ), short_folder()
    home = place.folder / f"home-{os.getpid()}"
    home.mkdir(exist_ok=True)
    wanted = isolated_environment(home, runtime)
    wanted.pop("PYTHONHASHSEED", None)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(runtime, ignore_errors=True)


def template(place: Place) -> Path:
    """An empty project: Git, DVC and an empty run store."""
    return place.once("template", _template)


def _template(root: Path) -> None:
    from nbledger.core import mlflow, project

    make_repository(root)
    (root / "pyproject.toml").write_text(SETTINGS)
    (root / ".gitignore").write_text("__pycache__/\n")
    mlflow.ensure_embedded(project.find(root))


def interpreter(place: Place, name: str) -> Path:
    """A Python that sees the packages of ``environments/NAME.txt`` first and the bench's own after them."""
    if not name:
        return Path(sys.executable)
    wanted = ENVIRONMENTS / f"{name}.txt"

    def make(folder: Path) -> None:
        uv = [sys.executable, "-m", "uv"]
        call = [*uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(folder)]
        subprocess.run(call, check=True, env=place.outer, timeout=120)
        python = folder / "bin" / "python"
        call = [*uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--requirement", str(wanted)]
        subprocess.run(call, check=True, env=place.outer, timeout=300)
        below = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True, timeout=60,
        ).stdout.strip()  # fmt: skip
        own = sysconfig.get_path("purelib")
        Path(below, "beneath.pth").write_text(f"import site; site.addsitedir({own!r})\n")

    return place.once(f"environment-{name}", make) / "bin" / "python"
