"""What a repository's own configuration would execute, and the settings that switch it off.

Git executes what ``.git/config`` names: filters, monitors, helpers of all kinds. A clone has none of it, a repository that
came as a folder or an archive may. Until it is trusted, nothing of that runs for a call of ours: hooks and the monitor
never do, the filters' commands are emptied, no transport is allowed (a missing object of a partial clone would be fetched
through them), submodules are not entered. What the person's own configuration names stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ALWAYS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.safecrlf=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "log.showSignature=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "safe.bareRepository=explicit"),
)
"""Of every call that is not to run the person's hooks."""
WITH_HOOKS = ("-c", "protocol.ext.allow=never")

_EXECUTES = re.compile(
    r"filter\..*\.(clean|smudge|process)|core\.(fsmonitor|hookspath|sshcommand|gitproxy|editor|pager|askpass|"
    r"alternaterefscommand)|diff\.external|diff\..*\.(command|textconv)|merge\..*\.driver|mergetool\..*|gpg\.(.*\.)?program|"
    r"credential\.(.*\.)?helper|sequence\.editor|pager\..*|remote\..*\.(vcs|uploadpack|receivepack)|protocol\..*\.allow",
    re.DOTALL,
)
_NEUTRAL = {"clean": "", "smudge": "", "process": "", "required": "false"}
_FILES = ("core.excludesfile", "core.attributesfile")  # read whole, whatever they are
_HARMLESS = {"core.fsmonitor": ("false", "no", "off", "0", "true", "yes", "on", "1")}  # true: Git's own monitor


@dataclass(frozen=True)
class Found:
    """What the repository's own configuration names. ``executes``: keys of what Git would run; ``off``: {key: value} that
    put the person's own value, or none, in its place; ``drivers``: the filters among it.
    """

    executes: tuple[str, ...] = ()
    off: tuple[tuple[str, str], ...] = ()
    drivers: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    local: bool
    origin: str
    key: str
    value: str


def read(listed: bytes) -> tuple[Found, tuple[str, ...]]:
    """From ``git config -z --list --show-scope --show-origin``: what was found, and the files that it was found in."""
    entries = _entries(listed)
    local = {entry.key for entry in entries if entry.local}
    own = {entry.key: entry.value for entry in entries if not entry.local}
    executes, off, drivers = [], [], []
    for key in sorted(local):
        name = key.rpartition(".")[2]
        if key.startswith("filter.") and name in _NEUTRAL and key.count(".") > 1:
            off.append((key, own.get(key, _NEUTRAL[name])))
            drivers.append(key[len("filter.") : -len(name) - 1])
        elif key in _FILES:
            off.append((key, own.get(key, os.devnull)))
        values = [entry.value.lower() for entry in entries if entry.local and entry.key == key]
        if _EXECUTES.fullmatch(key) and not all(value in _HARMLESS.get(key, ("",)) for value in values):
            executes.append(key)
    files = {entry.origin for entry in entries if entry.local}
    return Found(tuple(executes), tuple(off), tuple(dict.fromkeys(drivers))), tuple(sorted(files))


def _entries(listed: bytes) -> list[_Entry]:
    words = listed.decode("utf-8", "surrogateescape").split("\0")
    found = []
    for scope, origin, setting in zip(words[0::3], words[1::3], words[2::3], strict=False):
        key, _, value = setting.partition("\n")
        found.append(_Entry(scope in ("local", "worktree"), origin, key, value))
    return found


def environment(found: Found, root: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Variables for a call in a repository that is not trusted. As variables, a key may hold any character."""
    try:
        start = max(int(given.get("GIT_CONFIG_COUNT", "0")), 0)
    except ValueError:
        start = 0
    env = {"GIT_CONFIG_COUNT": str(start + len(found.off))}
    for number, (key, value) in enumerate(found.off, start):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env | {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_WORK_TREE": str(root)}


_ENTER = {"status": 1, "diff": 1, "diff-index": 1, "diff-files": 1}


def outside_submodules(args: Sequence[str]) -> list[str]:
    """The call's words, with which Git does not start itself in a submodule, whose configuration is another one."""
    verb = next((i for i, word in enumerate(args) if word in _ENTER), None)
    if verb is None or any(word.startswith("--ignore-submodules") or word == "--no-index" for word in args):
        return list(args)
    return [*args[: verb + 1], "--ignore-submodules=dirty", *args[verb + 1 :]]


def hooks(common_dir: Path) -> list[str]:
    """Names of the repository's own hooks that Git would run."""
    try:
        with os.scandir(common_dir / "hooks") as listing:
            return sorted(e.name for e in listing if e.is_file() and "." not in e.name and os.access(e.path, os.X_OK))
    except OSError:
        return []


class Memory:
    """What was found in a repository, until one of its configuration files changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[tuple[str, int, int], ...], Found]] = {}

    def of(self, root: Path, git_dir: Path, common_dir: Path, ask: Callable[[], bytes]) -> Found:
        basic = (str(common_dir / "config"), str(git_dir / "config.worktree"))
        kept = self._known.get(git_dir)
        if kept is not None and kept[0] == _versions([name for name, _, _ in kept[0]]):
            return kept[1]
        found, files = read(ask())
        names = sorted({*basic, *(os.path.join(root, name[5:]) for name in files if name.startswith("file:"))})
        self._known[git_dir] = (_versions(names), found)
        return found


def _versions(names: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name in names:
        try:
            stat = os.stat(name)
            found.append((name, stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((name, 0, -1))
    return tuple(found)
