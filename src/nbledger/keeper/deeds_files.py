"""Calls that change files, commits or remotes. Whoever watches the project hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbledger.core.project import Project
from nbledger.keeper import changes
from nbledger.keeper.calls import Args, Progress

if TYPE_CHECKING:
    from nbledger.core.checkpoint import Checkpoint
    from nbledger.core.pull import Pulled
    from nbledger.core.push import Pushed


def checkpoint(project: Project, args: Args, progress: Progress | None) -> Checkpoint:
    """Commit what a checkpoint commits, and ``paths``; with ``large`` also files above the setting ``large_file_mb``."""
    from pathlib import Path

    from nbledger.core import checkpoint as core

    try:
        return core.checkpoint(
            project,
            str(args["message"]),
            [str(path) for path in args.get("paths") or ()],
            large=bool(args.get("large", False)),
            cwd=Path(str(args["cwd"])) if args.get("cwd") else None,
        )
    finally:
        changes.tell(project, "state")


def undo(project: Project, args: Args, progress: Progress | None) -> dict[str, str]:
    """Take ``commit`` back."""
    from nbledger.core import undo as core

    try:
        return {"head": core.undo(project, str(args["commit"]))}
    finally:
        changes.tell(project, "state", "pipeline")


def use_version(project: Project, args: Args, progress: Progress | None) -> list[str]:
    """Put the version of ``file`` that ``commit`` has in the place of the present one."""
    from nbledger.core import useversion

    try:
        return useversion.use(project, str(args["file"]), str(args["commit"]))
    finally:
        changes.tell(project, "state", "pipeline")


def push(project: Project, args: Args, progress: Progress | None) -> Pushed:
    """Data, then the branch and the snapshots of runs."""
    from nbledger.core import push as core
    from nbledger.keeper.sharing import push_words

    try:
        return core.push(project, progress, push_words(project, args))
    finally:
        sent(project, {}, None)


def pull(project: Project, args: Args, progress: Progress | None) -> Pulled:
    """The branch, the snapshots of runs, then the data."""
    from nbledger.core import pull as core
    from nbledger.keeper.sharing import pull_words

    try:
        return core.pull(project, progress, pull_words(args))
    finally:
        changes.tell(project, "state", "runs", "pipeline")


def trust(project: Project, args: Args, progress: Progress | None) -> bool:
    """The person trusts the project: what came with it may be executed, and the server that it names be asked."""
    from nbledger.core import trust as trusts

    trusts.trust(project)
    changes.tell(project, "state", "runs", "models", "pipeline")
    return trusts.trusted(project)


def sent(project: Project, args: Args, progress: Progress | None) -> None:
    """Another process pushed or pulled: what the remotes lack is asked anew."""
    from nbledger.keeper import pushed

    pushed.forget(project)
    changes.tell(project, "state")
