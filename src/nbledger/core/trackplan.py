"""What ``track`` would do, said before it does it. Nothing is hashed: how large the data are is known, what they are is not."""

from __future__ import annotations

import os
from collections.abc import Sequence

from nbledger.core import dvc, dvcremote, git
from nbledger.core.errors import Refused
from nbledger.core.project import Project
from nbledger.core.targets import Target, plan

_NAMED = 20


def told(project: Project, paths: Sequence[str], message: str = "", *, push: bool = False) -> list[str]:
    """One line a thing that ``track`` would do; raises where it would refuse."""
    dvc.require_root(project)
    if project.git is not None:
        git.refuse_if_locked(project.git)
        git.require_identity(project.git)
    targets = plan(project, paths, project.root, False)
    dvc.refuse_if_running(project, [target.path for target in targets])
    lines = [_target(target) for target in targets[:_NAMED]]
    if len(targets) > _NAMED:
        lines.append(f"… and {len(targets) - _NAMED} more, {_amount(sum(target.size for target in targets[_NAMED:]))}")
    lines += _git_lines(project, targets)
    lines += [note for target in targets for note in target.notes][:_NAMED]
    under_way = git.operation(project.git) if project.git is not None else ""
    if under_way not in ("", "bisect"):
        lines.append(f"a {under_way} is under way: the pointers are written, not committed")
    elif project.git is not None:
        names = ", ".join(target.pointer for target in targets[:3]) + (" …" if len(targets) > 3 else "")
        said = f": {message.strip().splitlines()[0][:200]}" if message.strip() else ""
        lines.append(f"commit {names} and what was added to .gitignore, and only that{said}")
    if push:
        remote = dvcremote.default_remote(project)
        if remote is None:
            raise Refused("there is no default data remote to push to", "nbledger init --remote URL")
        lines.append(f"send the data to {remote[0]} ({remote[1]})")
    return lines


def _target(target: Target) -> str:
    files = "" if target.scan is None else f", {len(target.scan.entries):,} files"
    verb = "a new version of it" if target.text is not None else "tracked from now on"
    return f"{target.rel} ({_amount(target.size)}{files}): {verb}; the bytes go into DVC's cache, {target.pointer} is written"


def _git_lines(project: Project, targets: Sequence[Target]) -> list[str]:
    if project.git is None:
        return []
    lines = []
    known = git.tracked(project.git, [target.rel for target in targets])
    for target in targets:
        held = [path for path in known if path == target.rel or path.startswith(f"{target.rel}/")]
        if held:
            what = target.rel if held == [target.rel] else f"{len(held):,} files of {target.rel}"
            lines.append(f"Git lets go of {what} (earlier commits keep the bytes); the work tree keeps them")
    fresh = [target.rel for target in targets if not target.ignored]
    if fresh:
        folders = sorted({os.path.dirname(path) for path in fresh})
        names = ", ".join(f"{folder}/.gitignore".lstrip("/") for folder in folders[:3])
        lines.append(f"{names}: Git ignores the data from now on")
    return lines[:_NAMED]


def _amount(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
