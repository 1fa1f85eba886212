"""A kernel in which a run is executed again: what it must not do, and where it finds the project's own modules.

The cells are those of the run. What they did beside computing (versioning data, installing packages) was done then and
is skipped; the restored work tree stands in for the user's own, which is not written to.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core.project import SCRATCH, SKIPPED

if TYPE_CHECKING:
    from nbledger_magics.session import Session

_INSTALLERS = ("pip", "conda", "mamba", "micromamba", "uv", "pixi")
_START, _MODULE = r"(^|[;&|]\s*)(\S*/)?", r"(python[\d.]*\s+-m\s+)?"
_GIT = (
    r"add|am|cherry-pick|commit|fetch|gc|init|merge|pull|prune|push|rebase|repack|revert|submodule|switch|update-ref"
    r"|branch\s+(-[dDmMcCfu]|[^-\s])\S*|tag\s+(-[adfmsu]|[^-\s])\S*|checkout\s+-[bB]|stash(?!\s+(list|show))"
    r"|remote\s+(add|remove|rm|rename|set-\S+|update|prune)|worktree\s+(?!list)\S+"
    r"|config\s+(?!-+(get|list|l)\b)(-\S+\s+)*[^-\s]\S*\s+[^;&|\s]+"
)
_DVC = r"add|commit|push|gc|move|remove|destroy|init|(config|remote|cache)\s+(?!list|-l|--list)\S+"
_CHANGING = re.compile(
    rf"{_START}nbledger\s"
    rf"|(^|[;&|]\s*)(sudo\s+)?(\S*/)?{_MODULE}(pip[\d.]*|uv(\s+pip)?|conda|mamba|micromamba|pixi|apt(-get)?)"
    r"\s+(-\S+\s+)*(install|uninstall|add|remove|update|upgrade|sync)\b"
    rf"|{_START}git\s+(-[Cc]\s+\S+\s+|-\S+\s+)*({_GIT})(?![\w-])"
    rf"|{_START}{_MODULE}dvc\s+(-\S+\s+)*({_DVC})(?![\w-])"
)
"""Commands that install, or that write to what the restored work tree shares with the user's own: Git's branches, tags
and remotes, DVC's cache and remotes.
"""
_SHELLS = ("bash", "sh", "script")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOVES = {
    "os.rename": slice(2),
    "os.link": slice(1, 2),
    "os.symlink": slice(1, 2),
    "os.remove": slice(1),
    "os.rmdir": slice(1),
    "os.mkdir": slice(1),
    "os.truncate": slice(1),
}
"""Audit events that change a folder or file: which of their arguments are paths that change."""


def executing_again() -> bool:
    """Whether this kernel executes a recorded run again."""
    return SCRATCH in os.environ


def say_skipped(what: str) -> None:
    """One line in place of a verb's answer."""
    print(f"nbledger: {' '.join(what.split())} {SKIPPED}")


def prepare(session: Session, roots: list[str], place: str) -> None:
    """Make this kernel's shell one for the restored work tree ``place``; the user's own work trees are ``roots``."""
    shell = session.shell
    for name in _INSTALLERS:
        if name in shell.magics_manager.magics["line"]:
            shell.magics_manager.magics["line"][name] = _skipping(name)
    # asked for, not looked up: what stands in the table may be a stand-in that looks itself up there
    shells = {name: found for name in _SHELLS if (found := shell.find_cell_magic(name)) is not None}
    for name, magic in shells.items():
        shell.magics_manager.magics["cell"][name] = _without_changes(magic)
    shell.system = _unless_installing(shell.system)
    shell.getoutput = _unless_installing(shell.getoutput)
    for root in roots:
        redirect_imports(root, place)
        protect(root, [place, os.environ[SCRATCH], sys.prefix, str(Path(root) / ".nbledger")])
    _keep_mlflow_here()


def _skipping(name: str) -> Callable[..., None]:
    return lambda line="": say_skipped(f"%{name} {line}")


def _unless_installing(run: Callable[..., Any]) -> Callable[..., Any]:
    def command(line: str, *args: Any, **options: Any) -> Any:
        if _CHANGING.search(line):
            say_skipped(f"!{line}")
            return None
        return run(line, *args, **options)

    return command


def _without_changes(run: Callable[..., Any]) -> Callable[..., Any]:
    def magic(line: str, cell: str) -> Any:
        lines = cell.replace("\\\n", " ").splitlines(keepends=True)
        return run(line, "".join(_said(text) if _CHANGING.search(text.strip()) else text for text in lines))

    return magic


def _said(command: str) -> str:
    return f"echo {shlex.quote(f'nbledger: {command.strip()} {SKIPPED}')}\n"


def redirect_imports(home: str, place: str) -> None:
    """Let what was imported from the user's work tree (an editable install, a folder on the path) be imported from the
    restored one, where the snapshot holds it.
    """
    sys.path[:] = [_moved(entry, home, place) for entry in sys.path]
    for finder in [*sys.meta_path, *sys.path_hooks]:
        module = sys.modules.get(getattr(finder, "__module__", ""), None)
        mapping = getattr(module, "MAPPING", None)  # setuptools' editable finder
        if isinstance(mapping, dict):
            mapping.update({k: _moved(v, home, place) for k, v in mapping.items() if isinstance(v, str)})
    sys.path_importer_cache.clear()


def _moved(entry: str, home: str, place: str) -> str:
    if not entry:
        return entry
    inner = os.path.relpath(os.path.realpath(entry), home)
    there = os.path.normpath(os.path.join(place, inner))
    if inner.startswith("..") or os.path.realpath(entry).startswith(place + os.sep) or not os.path.exists(there):
        return entry
    return there


def protect(home: str, allowed: list[str]) -> None:
    """Refuse Python's own writes below ``home`` (but for ``allowed``): the code may name the work tree absolutely."""
    inner = tuple(os.path.realpath(path) + os.sep for path in allowed)
    root = os.path.realpath(home) + os.sep

    def refuse_if_inside(path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        full = os.path.realpath(os.fsdecode(path))
        if full.startswith(root) and not f"{full}{os.sep}".startswith(inner):
            raise PermissionError(
                13, "while a run is executed again, nothing is written to the project's own work tree", full
            )

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITING:
                refuse_if_inside(path)
        elif event in _MOVES:
            for path in args[_MOVES[event]]:
                refuse_if_inside(path)

    sys.addaudithook(hook)


def _keep_mlflow_here() -> None:
    """The cells' own MLflow calls belong to this execution's store, wherever they send them."""
    from nbledger.core.importwatch import when_imported

    def hold(mlflow: Any) -> None:
        def set_tracking_uri(uri: Any) -> None:
            say_skipped(f"mlflow.set_tracking_uri({uri!r})")

        mlflow.set_tracking_uri = set_tracking_uri

    when_imported("mlflow", hold)
