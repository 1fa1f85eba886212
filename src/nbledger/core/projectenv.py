"""The environment that a project's own files ask for, made in its ``.venv``: with uv where there is one, else venv and pip.

What uv, pip or a build backend does here is the project's own code: only a trusted project's environment is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nbledger.core import files, installers, worktrees
from nbledger.core.errors import Busy, Refused, ToolFailed

FOLDER = ".venv"
_MARK = "nbledger-join.json"
_SHORT, _LONG = 2.0, 60.0
"""Seconds that another join is waited for before that is said, and after."""
Way = Literal["sync", "pylock", "requirements", "project", "dependencies", "by hand"]
Tell = Callable[[str], None]

_BY_HAND = {
    "poetry.lock": "poetry install",
    "pixi.lock": "pixi install",
    "Pipfile.lock": "pipenv sync",
    "conda-lock.yml": "conda-lock install",
    "environment.yml": "conda env create -f environment.yml",
    "environment.yaml": "conda env create -f environment.yaml",
}


@dataclass(frozen=True)
class Wanted:
    """``source`` is the file that says what is needed, ``does`` what would be run, ``others`` files of the same kind that are
    not looked at.
    """

    source: str
    way: Way
    does: str
    others: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """``python`` of the environment; ``fresh``: something was installed by this call."""

    python: Path
    fresh: bool
    notes: tuple[str, ...] = ()


def wanted(root: Path) -> Wanted | None:
    """What the files of a project ask for, the most exact first; None where nothing does. Reads only."""
    here = {item.name for item in root.iterdir() if item.is_file()}
    project = _pyproject(root) if "pyproject.toml" in here else {}
    uv = installers.uv() is not None
    if "uv.lock" in here and project and uv:
        return Wanted("uv.lock", "sync", "uv sync --frozen")
    if "pylock.toml" in here and uv:
        return Wanted("pylock.toml", "pylock", "uv pip install -r pylock.toml")
    tool = "uv pip" if uv else "pip"
    lists = sorted(name for name in here if name.startswith("requirements") and name.endswith((".txt", ".lock")))
    if lists:
        chosen = "requirements.txt" if "requirements.txt" in lists else lists[0]
        others = tuple(name for name in lists if name != chosen)
        return Wanted(chosen, "requirements", f"{tool} install -r {chosen}", others)
    named = next((name for name in _BY_HAND if name in here), None)
    if named is not None:
        return Wanted(named, "by hand", _BY_HAND[named])
    table = project.get("project")
    if isinstance(table, dict) and "build-system" in project:
        return Wanted("pyproject.toml", "project", f"{tool} install -e .", tuple(here & {"uv.lock", "pylock.toml"}))
    if isinstance(table, dict) and table.get("dependencies"):
        needs = tuple(str(each) for each in table["dependencies"])
        others = tuple(sorted(here & {"uv.lock", "pylock.toml"}))
        return Wanted("pyproject.toml", "dependencies", f"{tool} install its dependencies", others, needs)
    if "pylock.toml" in here:
        return Wanted("pylock.toml", "by hand", "pip install uv, then join again")
    return None


def _pyproject(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ToolFailed(f"pyproject.toml is not valid TOML: {err}", "mend that line") from err


def make(root: Path, notes: Path, want: Wanted, tell: Tell) -> Made:
    """Make the environment, or bring it to what the file asks for; one that is up to date is left alone, and nothing is
    ever removed from one that is there. ``notes`` is a folder outside of what Git tracks. ``ToolFailed`` with the installer's words.
    """
    if want.way == "by hand":
        raise Refused(f"{want.source} is not for uv or pip", want.does)
    into = root / FOLDER
    if into.is_symlink():
        raise Refused(f"{into} is a link: the environment would be made where it leads", "remove it, then join again")
    try:
        with _alone(notes / "venv.lock", f"{into} (another join, or what a killed one left at work)", tell) as lock:
            return _made(root, into, notes / "venv-begun", want, tell, lock)
    except Busy:
        raise
    except OSError as err:
        raise ToolFailed(f"{into}: {err.strerror or err}", "make room, or make the folder writable") from err


@contextlib.contextmanager
def _alone(path: Path, what: str, tell: Tell) -> Iterator[int]:
    """One at a time: of two that fill one folder neither's is whole."""
    with contextlib.ExitStack() as held:
        try:
            lock = held.enter_context(files.lock(path, _SHORT, what))
        except Busy:
            tell("environment: waiting for another join")
            lock = held.enter_context(files.lock(path, _LONG, what))
        yield lock


def _made(root: Path, into: Path, begun: Path, want: Wanted, tell: Tell, lock: int) -> Made:
    mark, digest = into / _MARK, _digest(root, want)
    known = _known(mark)
    python = installers.python_of(into)
    if want.way != "sync" and known.get("digest") == digest and python.exists():
        return Made(python, False)
    if begun.exists() and into.exists():  # ours, and half-made
        worktrees.remove_folder(into)
    fresh = not into.exists()
    if fresh:
        begun.touch()
        tell(f"environment: {FOLDER}")
        if want.way != "sync":
            _venv(root, into, lock)
    tell(f"environment: {want.does}")
    _fill(root, into, want, lock)
    with contextlib.suppress(OSError):
        if not (into / ".gitignore").exists():
            (into / ".gitignore").write_text("*\n")
    files.write_atomic(mark, json.dumps({"digest": digest}))
    begun.unlink(missing_ok=True)
    return Made(python, fresh or known.get("digest") != digest, tuple(_notes(into, want)))


def _known(mark: Path) -> dict[str, Any]:
    try:
        found = json.loads(mark.read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _digest(root: Path, want: Wanted) -> str:
    text = (root / want.source).read_bytes()
    return hashlib.sha256(repr((want.way, want.source, text, want.requirements)).encode()).hexdigest()


def _venv(root: Path, into: Path, lock: int) -> None:
    if (uv := installers.uv()) is not None:
        # uv reads .python-version and requires-python itself; without them it is the Python that runs here
        told = (root / ".python-version").exists() or (root / "pyproject.toml").exists()
        _do(root, lock, uv, "venv", "--quiet", *([] if told else ["--python", sys.executable]), str(into))
    else:
        _do(root, lock, sys.executable, "-m", "venv", str(into))


def _fill(root: Path, into: Path, want: Wanted, lock: int) -> None:
    uv = installers.uv()
    if want.way == "sync":
        assert uv is not None
        _do(root, lock, uv, "sync", "--frozen", "--inexact", "--project", str(root))
        return
    python = str(installers.python_of(into))
    pip = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install", "--quiet"]
    if want.way == "dependencies":
        words = ["--", *want.requirements] if uv else list(want.requirements)
        bad = next((need for need in want.requirements if need.strip().startswith("-")), None)
        if bad is not None:
            raise Refused(f"{bad[:80]!r} of pyproject.toml is an option, no dependency", "mend that line")
        _do(root, lock, *pip, *words)
    else:
        _do(root, lock, *pip, *(["-e", "."] if want.way == "project" else ["-r", want.source]))


def _do(root: Path, lock: int, *command: str) -> None:
    done = installers.run(*command, cwd=root, lock=lock)
    if done.returncode:
        tool = Path(command[0]).stem
        raise ToolFailed(
            f"{tool} could not make the environment: {installers.last_words(done)}", "mend it, then join again"
        )


def _notes(into: Path, want: Wanted) -> list[str]:
    notes = []
    if "uv.lock" in want.others or "pylock.toml" in want.others:
        notes.append("the lock file was not used, for want of uv: versions may differ from the others'")
        others = [name for name in want.others if name not in ("uv.lock", "pylock.toml")]
    else:
        others = list(want.others)
    if others:
        notes.append(f"not installed: {', '.join(others[:5])}")
    if not any(into.glob("lib/python*/site-packages/nbledger-*.dist-info")) and not shutil.which(
        "nbledger", path=str(installers.python_of(into).parent)
    ):
        notes.append("nbledger is not among it: to record from its kernels, install nbledger there as well")
    return notes
