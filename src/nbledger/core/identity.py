"""Which notebook is this kernel running? No protocol tells, so the traces of front ends and runners are read."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nbledger.core.cells import INJECTED, Cell, normal, read_notebook

_ANCESTORS = 4  # kernel ← runner, with a shell, a launcher and a wrapper between at most
_RUNNER = re.compile(r"papermill|nbconvert|execute")
_NOTEBOOKS, _LARGEST = 200, 64 << 20  # what is looked through in a folder: files, bytes of one
# Options of papermill, nbconvert and jupyter execute whose value is a file that is not the notebook to run.
_OUTPUTS = frozenset(("--output", "-o", "--template", "--template-file", "--output-dir"))


def find_notebook(
    namespace: Mapping[str, object], environ: Mapping[str, str], cells: Sequence[Cell], cwd: Path
) -> Path | None:
    """The notebook file, absolute; None if unknown or ambiguous.

    ``cells`` are those executed so far, the running one included, as typed. In this order: ``NBLEDGER_NOTEBOOK``,
    VS Code's variable, papermill's variable, the command line of a runner that is the parent process, Jupyter
    Server's ``JPY_SESSION_NAME``, command lines of further ancestors, the notebooks in ``cwd``. Candidates that cannot
    be told apart by name are by their code.
    """
    with contextlib.suppress(Exception):
        said = (
            environ.get("NBLEDGER_NOTEBOOK"),
            namespace.get("__vsc_ipynb_file__"),
            namespace.get("PAPERMILL_INPUT_PATH"),
        )
        # A runner started from a notebook inherits that notebook's session name, so the runner is asked first.
        return (
            _first_file(said, cwd)
            or _of_runner(os.getppid(), cells)
            or _of_session(environ.get("JPY_SESSION_NAME", ""), cells, cwd)
            or _choose(_started_with(os.getppid()), cells)
            or _choose(_below(cwd), cells)
        )
    return None


def _first_file(names: Iterable[object], cwd: Path) -> Path | None:
    for name in names:
        if isinstance(name, str) and name.endswith(".ipynb") and "://" not in name:
            path = _absolute(name, cwd)
            if path.is_file():
                return path
    return None


def _of_runner(pid: int, cells: Sequence[Cell]) -> Path | None:
    words, folder, _ = _process(pid)
    if not any(_RUNNER.search(os.path.basename(word)) for word in words[:4]):
        return None
    found = _notebooks_of(words, folder)
    return found[0] if len(found) == 1 else _choose(found, cells)


def _of_session(name: str, cells: Sequence[Cell], cwd: Path) -> Path | None:
    """The session's notebook; renamed since, it is looked for in its folder by its code."""
    if not name.endswith(".ipynb"):
        return None
    return _first_file([name], cwd) or _choose(_below(_absolute(name, cwd).parent), cells)


def _absolute(name: str, cwd: Path) -> Path:
    return Path(os.path.abspath(cwd / os.path.expanduser(name)))


def _started_with(pid: int) -> list[Path]:
    """Notebooks that the nearest ancestor process has on its command line."""
    for _ in range(_ANCESTORS):
        if pid <= 1:
            break
        words, folder, parent = _process(pid)
        found = _notebooks_of(words, folder)
        if found:
            return found
        pid = parent
    return []


def _notebooks_of(words: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks a runner was told to execute: not its options' values, and of papermill's two, the first."""
    names: list[str] = []
    previous = ""
    for word in words:
        if word.endswith(".ipynb") and not word.startswith("-") and previous not in _OUTPUTS:
            names.append(word)
        previous = word
    if any(os.path.basename(w).startswith("papermill") for w in words[:4]):
        names = names[:1]
    paths = [folder / name for name in names]
    files = (p for path in paths for p in ([path] if path.is_file() else map(Path, sorted(glob.glob(str(path))))))
    return list(dict.fromkeys(Path(os.path.abspath(p)) for p in files))


def _process(pid: int) -> tuple[list[str], Path, int]:
    """(command line, working directory, parent) of a process; empty where it may not be looked at."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        base = Path("/proc", str(pid))
        words = os.fsdecode((base / "cmdline").read_bytes()).split("\0")
        stat = (base / "stat").read_text(errors="replace")
        return words, Path(os.readlink(base / "cwd")), int(stat.rpartition(")")[2].split()[1])
    with contextlib.suppress(Exception):
        import psutil  # type: ignore[import-untyped, unused-ignore]

        process = psutil.Process(pid)
        return list(process.cmdline()), Path(process.cwd()), int(process.ppid())
    return [], Path(), 0


def _below(folder: Path) -> list[Path]:
    """Notebooks of a folder, newest first."""
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".ipynb") and not entry.name.startswith("."):
                with contextlib.suppress(OSError):  # removed meanwhile, or a link to nothing
                    status = entry.stat()
                    if status.st_size <= _LARGEST:
                        found.append((status.st_mtime, Path(entry.path)))
    return [path for _, path in sorted(found, reverse=True)[:_NOTEBOOKS]]


def _choose(paths: Iterable[Path], cells: Sequence[Cell]) -> Path | None:
    """The one notebook whose code cells hold the executed sources in their order; exactly its first cells if several
    do; in any order if none does.
    """
    sources = [s for s in (normal(c.source) for c in cells if not INJECTED.match(c.source)) if s]
    if not sources:
        known = list(paths)
        return known[0] if len(known) == 1 else None
    codes = {
        path: [s for s in (normal(c.source) for c in read_notebook(path) or ()) if s]
        for path in paths
        if _mentions(path, sources[-1])
    }
    in_order = [path for path, code in codes.items() if _subsequence(sources, code)]
    if len(in_order) > 1:
        in_order = [path for path in in_order if codes[path][: len(sources)] == sources]
    if not in_order:
        in_order = [path for path, code in codes.items() if set(sources) <= set(code)]
    return in_order[0] if len(in_order) == 1 else None


def _mentions(path: Path, source: str) -> bool:
    """A cheap test before the file is parsed: is the longest line of the source anywhere in it?"""
    line = max(source.splitlines(), key=len)
    with contextlib.suppress(OSError):
        raw = path.read_bytes()
        return any(
            json.dumps(line, ensure_ascii=ascii_)[1:-1].encode("utf-8", "surrogatepass") in raw
            for ascii_ in (False, True)
        )
    return False


def _subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)
