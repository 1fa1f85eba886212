"""``init``: make a folder a Git and DVC repository with a tracking store, however much of it is there already."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from nbledger.core import credentials, dvc, dvcremote, git, remoteurl, trackingaddress, trust, undo
from nbledger.core.errors import Refused, UsageError
from nbledger.core.files import write_atomic
from nbledger.core.project import Project, find


def initialise(
    project: Project, remote: str | None = None, tracking_uri: str | None = None, remote_options: Sequence[str] = ()
) -> list[str]:
    """Make what is missing, commit only what was made, and say each step; a second call does nothing.

    ``remote_options`` are ``KEY=VALUE`` of the remote. What the remote still lacks to be used is said, and is no failure.
    """
    done: list[str] = []
    _check(remote, tracking_uri, remote_options)
    root = project.root
    _check_name(root)
    git.require_identity(project.git or root)
    if project.git is None:
        git.init(root)
        done.append(f"made a Git repository in {root}")
    project = find(root)
    project.ensure_state()
    trust.trust(project)
    mine: list[str] = []
    if project.dvc_root is None:
        dvc.init(project)
        done.append("made it a DVC repository")
        project = find(root)
    if project.git is not None and project.dvc_root == root:
        # Also what an earlier call made and could not commit.
        mine += sorted(_present(root) - git.in_head(project.git, sorted(_present(root))))
    if remote is not None:
        before, given = dvcremote.shared_options(project), remoteurl.options(remote_options)
        written = dvcremote.add(project, remoteurl.checked(remote), given)
        mine += [".dvc/config"] if "config" in written else []
        own = " (with options of yours in .dvc/config.local)" if "config.local" in written else ""
        done.append(f"data goes to {git.scrub_url(remoteurl.checked(remote))}{own}")
        done += dvcremote.carried(before, dvcremote.shared_options(project), given)
    if tracking_uri is not None:
        left = _left_behind(project)
        mine.append(_set_tracking(project, tracking_uri))
        done.append(f"runs go to {git.scrub_url(tracking_uri)}, experiment {find(root).experiment}")
        done += left if not find(root).embedded else []
    if mine and project.git is not None and not git.operation(project.git):
        _commit(project, mine, done)
    done += credentials.told(find(root)) if remote is not None else []
    return [*done, *(trackingaddress.told(tracking_uri) if tracking_uri else [])]


def foreseen(project: Project, remote: str | None = None, tracking_uri: str | None = None) -> list[str]:
    """What ``initialise`` would do, one line a step."""
    _check(remote, tracking_uri)
    _check_name(project.root)
    git.require_identity(project.git or project.root)
    lines = [f"make a Git repository in {project.root}"] if project.git is None else []
    if project.dvc_root is None:
        lines.append(f"make {project.root} a DVC repository (.dvc/, .dvcignore)")
    if remote:
        lines.append(f"data go to {git.scrub_url(remoteurl.checked(remote))} (.dvc/config)")
    if tracking_uri:
        lines.append(f"runs go to {git.scrub_url(tracking_uri)}, experiment {project.experiment} (.nbledger.toml)")
    if lines:
        lines.append("commit what was made, and only that; your files stay as they are")
    return lines or ["everything is there already"]


def _check_name(root: Path) -> None:
    try:
        str(root).encode()
    except UnicodeEncodeError as err:
        name = os.fsencode(root)
        raise Refused(f"the folder's name {name!r} is not UTF-8, which DVC and MLflow need", "rename it") from err


def _check(remote: str | None, tracking_uri: str | None, remote_options: Sequence[str] = ()) -> None:
    if remote is not None and (values := remoteurl.options(remote_options)):
        dvcremote.check_options(remoteurl.checked(remote), values)
    elif remote is not None:
        remoteurl.checked(remote)
    elif remote_options:
        raise UsageError("--remote-option says something of --remote", "give both")
    if tracking_uri:
        trackingaddress.check(tracking_uri)


def _present(root: Path) -> set[str]:
    names = (".dvc/config", ".dvc/.gitignore", ".dvcignore")
    return {name for name in names if (root / name).exists()}


def _left_behind(project: Project) -> list[str]:
    """What is said of a store of this machine that holds runs, when another one is named."""
    store, published = project.state / "mlflow.db", project.state / "published.jsonl"
    if not (project.embedded and store.exists() and published.exists() and published.stat().st_size):
        return []
    where = store.relative_to(project.root)
    shows = f"MLFLOW_TRACKING_URI=sqlite:///{where} nbledger runs shows it"
    return [f"what was recorded so far, models and decisions about them too, stays in {where}: {shows}"]


def _set_tracking(project: Project, uri: str) -> str:
    """Write ``tracking_uri`` to ``.nbledger.toml``, keeping its other lines, and the experiment where no setting says it:
    a colleague's folder may have another name than this one.
    """
    path = project.root / ".nbledger.toml"
    lines = path.read_text().splitlines() if path.exists() else []
    lines = [line for line in lines if line.partition("=")[0].strip() != "tracking_uri"]
    shared = [] if project.settings.experiment else [f"experiment = {json.dumps(project.experiment)}"]
    write_atomic(path, "\n".join([f"tracking_uri = {json.dumps(uri)}", *shared, *lines]) + "\n")
    return path.name


def _commit(project: Project, paths: list[str], done: list[str]) -> None:
    assert project.git is not None
    try:
        commit = git.commit_pathspecs(project.git, sorted(set(paths)), "Set up nbledger\n")
    except Refused as err:
        done.append(f"not committed: {err}")
        return
    if commit:
        undo.remember(project, commit, "Set up nbledger")
        done.append(f"committed {', '.join(sorted(set(paths)))} as {commit[:10]}")
