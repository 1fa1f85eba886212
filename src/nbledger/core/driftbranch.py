"""A branch on which new data take the place of the old ones: a linked work tree, in which nothing of the user's own moves."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import re
import shlex
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from nbledger.core import dvc, git, inside, restore, restored, stages, tablediff, worktrees
from nbledger.core.driftjob import Files
from nbledger.core.dvcfiles import Out
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project, find
from nbledger.core.record import Record
from nbledger.core.records import RunRow
from nbledger.core.restored import Restored

_NEW = "0" * 40
_MOST_ROWS = 100_000_000


@dataclasses.dataclass(frozen=True)
class Branch:
    """``name`` is checked out in ``tree``, which is ``there`` as a project; it began at ``base``."""

    name: str
    base: str
    tree: Restored
    there: Project


def target(project: Project, name: str) -> Out:
    """The tracked data at ``name``, which new ones may go to. ``Refused`` where a stage makes them, or none reads them."""
    path = inside.relative(project, name)
    out = dvc.lookup(project, path)
    if out is None or not out.cached:
        raise UsageError(f"DVC tracks no {path[:200]}", "--as PATH names the data that the new ones go to")
    if out.stage is not None:
        raise Refused(
            f"{out.path} is made by the stage {out.stage}: the pipeline would make it again",
            f"{_begins_with(project)}; the new data have to be as raw as that",
        )
    if not _read(out, _dependencies(project)):
        raise Refused(
            f"no stage reads {out.path}: nothing would be trained on the new data",
            f"{_begins_with(project)}; or make it a dependency of a stage",
        )
    return out


def _begins_with(project: Project) -> str:
    """The tables that DVC tracks, a stage reads and none makes, as the option that names one."""
    read = _dependencies(project)
    raw = [o.path for o in dvc.outputs(project)[0] if o.cached and o.stage is None and _read(o, read)]
    tables = [path for path in raw if tablediff.suffix_of(path)] or raw
    if not tables:
        return "the pipeline begins with nothing that DVC tracks"
    return f"what the pipeline begins with: {' or '.join(f'--as {shlex.quote(path[:100])}' for path in tables[:3])}"


def _dependencies(project: Project) -> list[PurePosixPath]:
    return [PurePosixPath(path) for stage in stages.stages(project).values() for path in stage.deps]


def _read(out: Out, dependencies: list[PurePosixPath]) -> bool:
    """Whether a stage depends on ``out``, on a folder that it lies in, or on what lies in it."""
    path = PurePosixPath(out.path)
    return any(path.is_relative_to(each) or each.is_relative_to(path) for each in dependencies)


def require_pipeline(project: Project) -> None:
    """``UsageError`` where a branch at HEAD would have no pipeline: asked before there is a branch."""
    root = dvc.require_root(project)
    name = project.relative(root / "dvc.yaml") or "dvc.yaml"
    if project.git is None or git.in_head(project.git, [name]):
        return  # without Git there can be no branch, which is said next
    if (root / "dvc.yaml").exists():
        raise UsageError(
            f"{name} is in no commit, and the branch begins at the last one", f'nbledger checkpoint -m "…" {name}'
        )
    raise UsageError("there is no dvc.yaml here", "%%stage in a notebook, or nbledger stage, makes one")


def begin(project: Project, model: str, progress: Callable[[int, int, str], None] | None = None) -> Branch:
    """A new branch at HEAD in a work tree of its own, with all that DVC tracks there, as far as it can be had."""
    repo = project.git
    commit = git.head(repo).commit if repo is not None else None
    if repo is None or commit is None:
        raise Refused(
            "there is no commit here that a branch could begin at", 'nbledger init, then nbledger checkpoint -m "…"'
        )
    git.require_identity(repo)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d-%H%M%S")
    slug = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:40] or "model"
    row = RunRow(f"drift{uuid.uuid4().hex}"[:12], "drift", "FINISHED", "", None, None, None, commit, None, None)
    tree = restore.restore(project, Record(row), everything=True, progress=progress)
    try:
        name = _made(repo, f"drift/{slug}-{stamp}", commit)
        git.call(tree.into, "symbolic-ref", "HEAD", f"refs/heads/{name}")
    except BaseException:
        restored.remove(project, tree)
        raise
    there = find(tree.into)
    return Branch(
        name, commit, tree, dataclasses.replace(there, settings=project.settings, named_uri=project.named_uri)
    )


def _made(repo: git.GitRepo, wanted: str, commit: str) -> str:
    """A branch of that name, or with a number where another was made in the same second."""
    for number in range(1, 100):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if git.ref(repo, f"refs/heads/{name}") is None:
            git.update_ref(repo, f"refs/heads/{name}", commit, _NEW)
            return name
    raise LedgerError(f"there are very many branches {wanted}", "delete some: git branch -D")


def tip(project: Project, branch: Branch) -> str:
    """The branch's last commit; where it began if nothing was committed on it."""
    assert project.git is not None
    return git.ref(project.git, f"refs/heads/{branch.name}") or branch.base


def end(project: Project, branch: Branch) -> bool:
    """Take the work tree away, and the branch too if nothing was committed on it; whether the branch stays."""
    assert project.git is not None
    last = tip(project, branch)
    restored.remove(project, branch.tree)
    if last != branch.base:
        return True
    git.call(project.git, "update-ref", "-d", f"refs/heads/{branch.name}", branch.base)
    return False


# ── the data ─────────────────────────────────────────────────────────────────────────────────────────────


def put(branch: Branch, out: Out, data: Files, *, append: bool) -> None:
    """Put new data where ``out`` is in the branch's work tree: in place of the old ones, or after them. The new ones must
    have every column of the old ones.
    """
    place = branch.there.root / out.path
    if not worktrees.inside(branch.there.root, place):
        raise Refused(f"{out.path} is behind a link that leads out of the work tree")
    if out.is_dir:
        _into_folder(place, data, append=append)
        return
    if not place.is_file():
        raise Refused(f"{out.path} is not to be had as the last commit has it", "nbledger pull brings it")
    fresh = place.with_name(f".{place.name}.new")
    try:
        _written(place, data, fresh, append=append)
        place.unlink()  # it may be a link into the cache
        fresh.rename(place)
    finally:
        fresh.unlink(missing_ok=True)


def _into_folder(place: Path, data: Files, *, append: bool) -> None:
    if not append:
        worktrees.remove_folder(place)
    place.mkdir(parents=True, exist_ok=True)
    for path, name in zip(data.paths, data.names, strict=True):
        stem, suffix = Path(name).name, tablediff.suffix_of(name) or ""
        wanted, number = place / stem, 1
        while wanted.exists():
            number += 1
            wanted = place / f"{stem[: -len(suffix) or None]}-{number}{suffix}"
        shutil.copyfile(path, wanted)


def _written(old: Path, data: Files, fresh: Path, *, append: bool) -> None:
    """The table that stands there from now on."""
    from nbledger.core import drifttable

    wanted = drifttable.columns(old, old.name)
    for path, name in zip(data.paths, data.names, strict=True):
        if lacking := [c for c in wanted if c not in set(drifttable.columns(path, name))]:
            raise Refused(
                f"the new data have no column {lacking[0][:80]!r}, which {old.name} has: nothing can be trained on them",
                "label them first; --as PATH names other data",
            )
    kinds = {tablediff.suffix_of(old.name), *(tablediff.suffix_of(name) for name in data.names)}
    if kinds in ({".csv"}, {".tsv"}):
        _as_text(old, data, fresh, wanted, append=append, separator="," if kinds == {".csv"} else "\t")
    else:
        _as_table(old, data, fresh, wanted, append=append)


def _as_text(old: Path, data: Files, fresh: Path, wanted: list[str], *, append: bool, separator: str) -> None:
    """Cells stay as they are written; the columns are in the order of the old table."""
    with open(fresh, "w", encoding="utf-8", newline="") as file:
        head = old.read_text(encoding="utf-8") if append else ""
        ends = "\r\n" if "\r\n" in head[:10_000] else "\n"
        file.write(head + ("" if not head or head.endswith("\n") else ends))
        writer = csv.writer(file, delimiter=separator, lineterminator=ends)
        if not append:
            writer.writerow(wanted)
        for path in data.paths:
            with open(path, encoding="utf-8-sig", newline="") as source:
                rows = csv.reader(source, delimiter=separator)
                names = next(rows, [])
                places = [names.index(column) for column in wanted]
                writer.writerows([row[i] if i < len(row) else "" for i in places] for row in rows if row)


def _as_table(old: Path, data: Files, fresh: Path, wanted: list[str], *, append: bool) -> None:
    import pandas as pd

    from nbledger.core import drifttable

    paths, names = data.paths, data.names
    if append:
        paths, names = (old, *paths), (old.name, *names)
    frame: pd.DataFrame = drifttable.read(paths, names, _MOST_ROWS).frame[wanted]
    suffix = tablediff.suffix_of(old.name) or ""
    if suffix in (".parquet", ".pq"):
        frame.to_parquet(fresh, index=False)
    elif suffix in (".feather", ".arrow"):
        frame.to_feather(fresh)
    elif suffix in (".jsonl", ".ndjson"):
        frame.to_json(fresh, orient="records", lines=True, force_ascii=False)
    else:
        packed = {"method": "gzip", "mtime": 1} if suffix.endswith(".gz") else None
        frame.to_csv(fresh, index=False, sep="\t" if suffix.startswith((".tsv", ".txt")) else ",", compression=packed)
