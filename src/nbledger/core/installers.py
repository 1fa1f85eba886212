"""What makes virtual environments and fills them: uv where there is one, else ``venv`` and pip."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nbledger.core.errors import ToolFailed
from nbledger.core.git import scrub_url
from nbledger.core.restored import Missing

_PYTHON = re.compile(r"# Python (\d+)\.(\d+)\.(\S+) \((\w+)\)")
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)==(\S+)")
TIMEOUT = 1800
"""Seconds that a tool may take."""


def uv() -> str | None:
    """The uv on the path, or the one installed beside this Python."""
    found = shutil.which("uv")
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return found or (str(beside) if beside.is_file() else None)


def python_of(into: Path) -> Path:
    return into / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(*command: str, cwd: Path | None = None, lock: int | None = None) -> subprocess.CompletedProcess[str]:
    """A tool's run, with nothing of this process's environment that would lead it elsewhere. ``lock``: the descriptor of a
    lock that the tool holds as well, so that it stays held while the tool outlives a killed process.
    """
    led = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT")
    environment = {k: v for k, v in os.environ.items() if k not in led}
    environment |= {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {"NO_COLOR": "1", "PIP_NO_INPUT": "1"}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=cwd,
            timeout=TIMEOUT,
            pass_fds=() if lock is None or os.name == "nt" else (lock,),
        )
    except subprocess.TimeoutExpired as err:
        raise ToolFailed(f"{Path(command[0]).name} did not end within {TIMEOUT // 60} minutes") from err


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Why a tool failed, in one line."""
    lines = [" ".join(line.split()) for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    telling = (r"(?i)\bbecause\b", r"(?i)^error|no matching")
    chosen = next((line for pattern in telling for line in lines if re.search(pattern, line)), "")
    chosen = re.sub(r"^\W*(cause|╰─▶|error): ", "", chosen)
    return scrub_url((chosen or (lines[-1] if lines else f"exit code {done.returncode}"))[:300])


class Tool:
    """What makes an environment and fills it."""

    def __init__(self, into: Path) -> None:
        self.into = into

    def create(self, text: str) -> list[Missing]:
        """Make the environment with the recorded Python, or the nearest there is, which is then said."""
        match = _PYTHON.match(text)
        if match is None:
            self._venv(sys.executable)
            return []
        major, minor, patch, implementation = match.groups()
        exact, near = f"{major}.{minor}.{patch}", f"{major}.{minor}"
        same_kind = implementation == sys.implementation.name
        python = ((self._find(exact) or self._find(near)) if same_kind else None) or sys.executable
        self._venv(python)
        version = _version_of(python)
        if version == exact:
            return []
        why = f"this machine has no such Python; {version} is used"
        same_minor = version.rpartition(".")[0] == near
        return [Missing("python", f"Python {exact}", why, f"install Python {exact}", needed=not same_minor)]

    def _find(self, version: str) -> str | None:
        names = [sys.executable, *(p for n in (f"python{version}", "python3", "python") if (p := shutil.which(n)))]
        return next((p for p in names if _matches(_version_of(p), version)), None)

    def _venv(self, python: str) -> None:
        raise NotImplementedError

    def _install(
        self, requirements: Sequence[str], *, dry: bool = False, closed: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """``closed``: without dependencies, as a lock file names them all."""
        raise NotImplementedError

    def _nearest(self, name: str, version: str) -> str:
        raise NotImplementedError

    def install_open(self, names: Sequence[str]) -> None:
        """Install the newest of these with their dependencies."""
        done = self._install(names, closed=False)
        if done.returncode:
            raise ToolFailed(f"{', '.join(names)} could not be installed: {last_words(done)}")

    def install(self, wanted: Sequence[str]) -> list[Missing]:
        """Install what can be had, exactly as recorded; the others with the nearest version there is."""
        if not wanted or self._install(wanted).returncode == 0:
            return []
        bad = self._unavailable(list(wanted))
        good = [line for line in wanted if line not in bad]
        if good:
            done = self._install(good)
            if done.returncode:
                raise ToolFailed(f"the environment could not be filled: {last_words(done)}")
        return [self._named(line, words) for line, words in bad.items()]

    def _unavailable(self, wanted: list[str]) -> dict[str, str]:
        """{requirement: why} of those that cannot be had, found by halves."""
        done = self._install(wanted, dry=True)
        if done.returncode == 0:
            return {}
        if len(wanted) == 1:
            return {wanted[0]: last_words(done)}
        middle = len(wanted) // 2
        return self._unavailable(wanted[:middle]) | self._unavailable(wanted[middle:])

    def _named(self, line: str, words: str) -> Missing:
        match = _PINNED.fullmatch(line)
        if match is None:
            return Missing("package", line, words, "")
        name, version = match.groups()
        near = self._nearest(name, version)
        if not near:  # which may as well be for want of a network
            return Missing("package", f"{name} {version}", words, "no version of it can be had")
        hint = f"the nearest that can be had is {near}"
        return Missing("package", f"{name} {version}", "it is not served any more", hint)


class Uv(Tool):
    def _venv(self, python: str) -> None:
        done = run(str(uv()), "venv", "--quiet", "--python", python, str(self.into))
        if done.returncode:
            raise ToolFailed(f"no virtual environment could be made: {last_words(done)}")

    def _find(self, version: str) -> str | None:
        done = run(str(uv()), "python", "find", "--no-project", "--system", version)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
        return super()._find(version)

    def _install(
        self, requirements: Sequence[str], *, dry: bool = False, closed: bool = True
    ) -> subprocess.CompletedProcess[str]:
        with _listed(self.into, requirements) as listing:
            words = [str(uv()), "pip", "install", "--python", str(python_of(self.into)), "-r", listing]
            return run(*words, *(["--dry-run"] if dry else []), *(["--no-deps"] if closed else []))

    def _nearest(self, name: str, version: str) -> str:
        found = []
        for asked, way in ((f"{name}>={version}", "lowest"), (f"{name}<{version}", "highest")):
            with _listed(self.into, [asked]) as listing:
                words = [str(uv()), "pip", "compile", "--no-deps", "--no-header", "--quiet", "--no-annotate"]
                done = run(*words, "--python", str(python_of(self.into)), "--resolution", way, listing)
            match = _PINNED.search(done.stdout) if done.returncode == 0 else None
            found += [match[2]] if match else []
        return nearest_version(version, found)


class Pip(Tool):
    def _venv(self, python: str) -> None:
        done = run(python, "-m", "venv", str(self.into))
        if done.returncode:
            raise ToolFailed(f"no virtual environment could be made: {last_words(done)}")

    def _install(
        self, requirements: Sequence[str], *, dry: bool = False, closed: bool = True
    ) -> subprocess.CompletedProcess[str]:
        with _listed(self.into, requirements) as listing:
            words = [str(python_of(self.into)), "-m", "pip", "install", "--quiet", "-r", listing]
            return run(*words, *(["--dry-run"] if dry else []), *(["--no-deps"] if closed else []))

    def _nearest(self, name: str, version: str) -> str:
        done = run(str(python_of(self.into)), "-m", "pip", "install", "--dry-run", "--no-deps", f"{name}=={version}")
        served = re.search(r"from versions: ([^)]*)\)", done.stderr)
        return nearest_version(version, [v.strip() for v in served[1].split(",")] if served else [])


def nearest_version(version: str, served: Sequence[str]) -> str:
    """The one of ``served`` that is nearest: the most leading numbers in common, then the smaller step, then upward."""
    known = [v for v in served if v and v != "none"]
    if not known:
        return ""
    target = _numbers(version)

    def distance(other: str) -> tuple[Any, ...]:
        theirs = _numbers(other)
        width = max(len(target), len(theirs))
        mine, them = (n + (0,) * (width - len(n)) for n in (target, theirs))
        steps = [abs(a - b) for a, b in zip(mine, them, strict=True)]
        return (*steps, them < mine)

    return min(known, key=distance)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.partition("+")[0]))


@contextlib.contextmanager
def _listed(into: Path, requirements: Sequence[str]) -> Iterator[str]:
    path = into.with_name(f".{into.name}.{os.getpid()}.txt")
    path.write_text("\n".join(requirements) + "\n")
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _version_of(python: str) -> str:
    done = run(python, "-c", "import platform; print(platform.python_version())")
    return done.stdout.strip()


def _matches(version: str, asked: str) -> bool:
    return version == asked or version.startswith(asked + ".")
