"""What others could not restore of this project's work, whatever was pushed: listed before and after a push."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbledger.core import catchup, dvc, git, reads, replaceable, takenback
from nbledger.core.git import GitRepo
from nbledger.core.needs import Need
from nbledger.core.project import Project
from nbledger.core.whereabouts import NO_REMOTE, Found
from nbledger.core.wording import counted, some

_NAMED = 3
_SHOWN = 20


@dataclass(frozen=True)
class Gap:
    """Something that nobody but you could bring back. ``kind``: data, changed, code, input, run, snapshot, store or source;
    ``hint``: what would close it.
    """

    kind: str
    what: str
    why: str
    hint: str = ""


def of_data(found: Iterable[Found]) -> list[Gap]:
    """What of the versions that commits name is in no remote; ``found`` is what is so after a push, or would be."""
    gaps, without = [], set[str]()
    for one in found:
        need = one.need
        if need.aside:
            gaps.append(Gap("data", need.path, f"{one.why}, and {need.where} names it"))
        elif one.lost:
            hint = (
                "nbledger repro makes it again"
                if need.made
                else f"nbledger track {shlex.quote(need.path)} again where the bytes are"
            )
            gaps.append(Gap("data", _lost(one), f"{need.where} names it, and it is neither here nor in a remote", hint))
        elif one.why == NO_REMOTE:
            without.add(need.path)
        elif one.why:
            gaps.append(Gap("data", need.path, one.why, f'nbledger checkpoint -m "…" commits {need.pointer}'))
        else:
            gaps.append(Gap("data", need.path, f"{need.where} names it, and it is not in the remote", "nbledger push"))
    if without:
        gaps.append(Gap("data", some(sorted(without), _NAMED), NO_REMOTE, "nbledger init --remote URL"))
    return list(dict.fromkeys(gaps))


def _lost(one: Found) -> str:
    if one.lost == (one.need.path,):
        return f"{one.need.path} ({one.need.md5[:10]})"
    return f"{one.need.path} ({len(one.lost):,} of {one.files:,} files: {some(one.lost, _NAMED)})"


def of_work_tree(project: Project) -> list[Gap]:
    """What is in no commit: changed data, changed and new files, and what runs have read that nothing versions."""
    gaps, loose = [], reads.unversioned(project)
    if project.dvc_root is not None:
        gaps += _of_changed(project)
    if project.git is not None:
        changed, new = git.changes(project.git)
        if paths := [path for path in (*changed, *new) if path not in loose]:
            count = counted(len(paths), "file")
            gaps.append(
                Gap(
                    "code",
                    f"{count} ({some(paths, _NAMED)})",
                    "changed or new, and in no commit",
                    f'nbledger checkpoint -m "…" {shlex.join(paths) if len(paths) <= _NAMED else "FILES"}',
                )
            )
    gaps += [Gap("input", path, "read by runs, and versioned by nothing", f"nbledger track {path}") for path in loose]
    return gaps


def _of_changed(project: Project) -> list[Gap]:
    """Edited data. What is merely older than its pointer is none of it: the newer version is what others get. Nor is what a
    stage made in another state of the branch.
    """
    if not (changed := dvc.data_status(project).changed):
        return []
    listed = [out for out in dvc.outputs(project)[0] if out.path in set(changed)]
    now = dvc.hashes_now(project, listed)
    behind = {one.path: one for one in catchup.among(project, listed, now)}
    made = {out.path: (out, md5 or "") for out, md5 in zip(listed, now, strict=True) if out.stage is not None}
    gaps, again = [], replaceable.Again(project)
    for path in changed:
        if path in made:
            if not again.can_be_had(*made[path]):
                why = f"not what dvc.lock has of the stage {made[path][0].stage}"
                gaps.append(Gap("changed", path, why, "nbledger repro makes it again"))
            continue
        one = behind.get(path)
        if one is None:
            gaps.append(Gap("changed", path, "changed since it was tracked", f"nbledger track {path}"))
        elif one.both and not one.older:
            gaps.append(Gap("changed", path, f"changed here, and in {one.where} too", takenback.APART))
        elif one.edited or (one.unknown and not one.whole):
            why = "changed since it was tracked, and older in part than its pointer"
            gaps.append(Gap("changed", path, why, f"nbledger pull, then nbledger track {path}"))
    return gaps


def of_runs(project: Project, waiting: int) -> list[Gap]:
    """Runs that others do not see; ``waiting``: how many are not published yet."""
    gaps = []
    if waiting:
        count = counted(waiting, "run")
        gaps.append(Gap("run", count, "recorded here and not published yet", "nbledger flush"))
    if project.embedded and (project.state / "mlflow.db").exists():
        why, hint = "in a store of this machine only", "nbledger init --tracking-uri URL"
        if project.stranger_uri is not None:
            why += f": {git.scrub_url(project.stranger_uri)} is not asked until you trust this project"
            hint = "nbledger trust"
        gaps.append(Gap("store", "parameters, metrics and artifacts of runs", why, hint))
    return gaps


def of_sources(needs: Iterable[Need]) -> list[Gap]:
    """Imports from repositories that only this machine has."""
    gaps = []
    for need in needs:
        if need.source and _local(need.source):
            why = f"imported from {need.source}, a repository of this machine"
            gaps.append(Gap("source", need.path, why, "dvc import it from where others reach it"))
    return list(dict.fromkeys(gaps))


def of_places(repo: GitRepo, remote: str, store: tuple[str, str] | None) -> list[Gap]:
    """A data remote that is a folder of this machine, while the commits go to another one."""
    url = git.config(repo, f"remote.{remote}.url")
    if store is None or not os.path.isabs(store[1]) or _local(url):
        return []
    return [Gap("store", f"the data remote {store[0]}", f"a folder, {store[1]}: others need the same folder there")]


def _local(url: str) -> bool:
    """Whether an address is a path: no scheme and no ``host:`` before the first slash (as Git tells them apart)."""
    return url.startswith("file://") or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]*:", url)


def of_snapshots(refs: Sequence[str]) -> list[Gap]:
    """Snapshots of runs that were not sent."""
    if not refs:
        return []
    count = counted(len(refs), "run")
    return [Gap("snapshot", count, "their snapshots are not sent", "nbledger push")]


def told(gaps: Sequence[Gap]) -> list[str]:
    """One line each, the first twenty."""
    lines = [f"{gap.what}: {gap.why}" + (f" — {gap.hint}" if gap.hint else "") for gap in gaps[:_SHOWN]]
    return [*lines, *([f"… and {len(gaps) - _SHOWN:,} more"] if len(gaps) > _SHOWN else [])]
