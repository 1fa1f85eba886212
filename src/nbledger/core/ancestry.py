"""What a model version or a run came from: its run, the code, the stage, the data it read, the runs that wrote those, and on.

A file ties two runs by its bytes: one wrote what has the MD5 that the other read, and began before the other ended. Where no
recorded run wrote a file, the ``dvc.lock`` of the reader's commit may say which stage makes it. What is not known is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nbledger.core import ancestry_locks, ancestry_models, ancestry_where, gitlog, lineage
from nbledger.core.ancestry_graph import (
    CODE,
    DEPTH,
    STAGE,
    Ancestry,
    Graph,
    Node,
    data_node,
    model_node,
    run_id_of,
    run_node,
)
from nbledger.core.ancestry_locks import Locked
from nbledger.core.ancestry_sources import Held, Sources, opened
from nbledger.core.errors import LedgerError
from nbledger.core.lineage import FileRecord
from nbledger.core.mlflow_tables import PARENT
from nbledger.core.mlflow_uses import Use
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runs import REPRODUCES
from nbledger.core.wording import counted, some

STAGE_TAG, COMMAND_TAG = "nbledger.stage", "nbledger.stage.cmd"
MOST_DATA = 100
"""Files and folders shown of what one run read; those that DVC tracks come first."""
HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
_CODE = "nbledger code "
_NO_DATA = ".mlflow-telemetry.io"
"""Hosts that MLflow tells of its use: no data come from there."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model; ``run``: what it was made from, None where that is not known or not there. ``why``
    says so, or that it was deleted.
    """

    name: str
    number: str
    aliases: tuple[str, ...] = ()
    created: str | None = None
    run: RunRow | None = None
    why: str = ""


@dataclass(frozen=True)
class _Read:
    """Data that was read. ``hashes``: {md5: path} of all bytes that it may be known by; ``row``: by whom, with which commit."""

    node: str
    path: str
    hashes: Mapping[str, str]
    row: RunRow
    step: int


@dataclass
class _Level:
    """What is to be looked into next."""

    rows: dict[str, RunRow] = field(default_factory=dict)
    reads: list[_Read] = field(default_factory=list)


def of_version(project: Project, version: Version, asked: str, depth: int = DEPTH, *, remote: bool = False) -> Ancestry:
    """Where a model version comes from. ``remote``: ask the data remote too where the bytes are."""
    graph = Graph()
    root = graph.add(model_node(version.name, version.number, 0, version.aliases, version.created))
    if version.run is None:
        why = version.why or "it names no run"
        graph.change(root.id, missing=why)
        graph.lack(f"the run of {root.label}: {why}")
        return graph.done(asked, [root.id])
    if version.why:
        graph.lack(f"the run of {root.label} ({version.run.run_id[:8]}): {version.why}")
    graph.tie(run_id_of(version.run.run_id), root.id, "logged")
    with opened(project, graph) as sources:
        _up(sources, graph, version.run, 1, depth)
        ancestry_where.fill(sources, graph, remote=remote)
    return graph.done(asked, [root.id])


def of_run(project: Project, row: RunRow, asked: str, depth: int = DEPTH, *, remote: bool = False) -> Ancestry:
    """Where what a run did comes from."""
    graph = Graph()
    with opened(project, graph) as sources:
        _up(sources, graph, row, 0, depth)
        ancestry_where.fill(sources, graph, remote=remote)
    return graph.done(asked, [run_id_of(row.run_id)])


def _up(sources: Sources, graph: Graph, row: RunRow, step: int, depth: int) -> None:
    level, seen = _Level({row.run_id: row}), set[str]()
    while level.rows or level.reads:
        if step > depth or graph.full():
            graph.ends(step)
            break
        reads, models = list(level.reads), list[ancestry_models.Loaded]()
        sources.look_into(list(level.rows.values()))
        sources.find(holders(level.rows.values()))
        for each in level.rows.values():
            seen.add(each.run_id)
            reads += _run(sources, graph, each, step)
            models += ancestry_models.loaded(graph, each, step)
        level = _before(sources, graph, reads, seen)
        step += 1
        ancestry_models.loggers(sources, graph, models, step, level.rows, seen)
    _mark_absent_code(sources.project, graph)
    ancestry_models.describe(sources, graph)


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────


def _run(sources: Sources, graph: Graph, row: RunRow, step: int) -> list[_Read]:
    """Add a run with its code, its stage and what it read."""
    here = graph.add(run_node(row, step)).id
    add_code(graph, row, step)
    add_stage(sources, graph, row, step)
    held = sources.held(row)
    _say_unknown(graph, row, held)
    return _inputs(sources, graph, row, held, step, here)


def add_code(graph: Graph, row: RunRow, step: int) -> None:
    """The commit that holds the code of a run."""
    if row.commit is None:
        graph.lack(f"the code of the run {row.name!r} ({row.run_id[:8]}): no commit was noted")
        return
    node = Node(f"code:{row.commit}", CODE, row.commit[:8], step, commit=row.commit, dirty=row.dirty)
    graph.tie(graph.add(node).id, run_id_of(row.run_id), "ran")


def holders(rows: Iterable[RunRow]) -> list[str]:
    """The runs that these name as those that hold them."""
    return [parent for row in rows if (parent := row.tags.get(PARENT)) and parent != row.run_id]


def add_stage(sources: Sources, graph: Graph, row: RunRow, step: int) -> None:
    """The stage whose run it is, and the run of the whole pipeline that holds it."""
    name = row.tags.get(STAGE_TAG)
    if name:
        locked = ancestry_locks.named(sources.project, row.commit, name)
        cmd = row.tags.get(COMMAND_TAG) or (locked.cmd if locked else "")
        node = _stage_node(name, locked.file if locked else "dvc.yaml", cmd, row.commit, step)
        graph.tie(graph.add(node).id, run_id_of(row.run_id), "declared")
    parent = row.tags.get(PARENT)
    if parent and parent != row.run_id:
        known = sources.find([parent]).get(parent)
        if known is None:
            graph.lack(f"the run {parent[:8]}, which holds {row.name!r}: it is not in the store")
            return
        graph.tie(graph.add(run_node(known, step)).id, run_id_of(row.run_id), "held")


def _stage_node(name: str, file: str, cmd: str, commit: str | None, step: int, missing: str = "") -> Node:
    key = f"stage:{file}:{name.rpartition(':')[2]}@{(commit or '')[:12]}"
    return Node(key, STAGE, name, step, source=file, cmd=cmd, missing=missing)


def _say_unknown(graph: Graph, row: RunRow, held: Held) -> None:
    who = f"the run {row.name!r} ({row.run_id[:8]})"
    unseen = [one for one in held.unseen if not one.endswith(_NO_DATA)]
    if row.foreign:
        graph.lack(f"{who} was not recorded by nbledger: of its data only what it logged itself is known")
    elif not held.known:
        graph.lack(f"{who} has no record of its files: only its dataset inputs are known")
    if row.tags.get(COMMAND_TAG) and unseen:
        graph.note(
            f"{who} is a command that is not looked into: what dvc.yaml declares stands for what it read and wrote"
        )
    elif unseen:
        graph.lack(f"{who} also used what is not looked into: {some((one[:80] for one in unseen), 3)}")


# ── what it read ─────────────────────────────────────────────────────────────────────────────────────────


def _inputs(sources: Sources, graph: Graph, row: RunRow, held: Held, step: int, run: str) -> list[_Read]:
    groups = grouped(held.inputs)
    ordered = sorted(groups, key=lambda key: (groups[key][0].state != lineage.DVC, key))
    if len(ordered) > MOST_DATA:
        graph.note(f"the run {row.name!r} read {len(ordered):,} files and folders: the first {MOST_DATA} are shown")
    reads = []
    for path, md5 in ordered[:MOST_DATA]:
        files = groups[path, md5]
        known = md5 if HASH.fullmatch(md5) else ""
        node = data_node(
            path, known, step, of=row.run_id, state=files[0].state, size=sum(f.size for f in files) or None
        )
        source = ancestry_locks.imported(sources.project, row.commit, files[0].pointer or "")
        graph.add(node)
        if source:
            graph.change(node.id, source=source)
        ancestry_where.remember(graph, node.id, row.commit)
        graph.tie(node.id, run, "read")
        if not known:
            graph.lack(f"{path}, as the run {row.name!r} read it: {_why_unknown(files[0], md5)}")
        hashes = {one.md5: one.path for one in files if one.md5 and HASH.fullmatch(one.md5)}
        reads.append(_Read(node.id, path, {**hashes, **({known: path} if known else {})}, row, step))
    return reads


def grouped(records: Iterable[FileRecord]) -> dict[tuple[str, str], list[FileRecord]]:
    """{(path, hash): its files}: a file, or the tracked output that files belong to, if they are as it has them."""
    groups: dict[tuple[str, str], list[FileRecord]] = {}
    for one in records:
        tracked = one.state == lineage.DVC and one.dataset and one.digest
        key = (str(one.dataset), str(one.digest)) if tracked else (one.path, one.md5 or "")
        groups.setdefault(key, []).append(one)
    return groups


def _why_unknown(one: FileRecord, digest: str) -> str:
    if digest:
        return f"MLflow's digest {digest[:40]!r} is not that of its bytes"
    if one.state == lineage.MOVED:
        return "it changed while it was read"
    return "it was never hashed"


# ── who wrote that ───────────────────────────────────────────────────────────────────────────────────────


def _before(sources: Sources, graph: Graph, reads: Sequence[_Read], seen: set[str]) -> _Level:
    """Tie what was read to the runs, or else the stages, that made it: these are next."""
    uses = sources.writers({md5 for read in reads for md5 in read.hashes})
    by_hash: dict[str, list[Use]] = {}
    for use in uses:
        by_hash.setdefault(use.md5, []).append(use)
    rows = sources.uses.rows({use.run for use in uses})
    following = _Level()
    for read in reads:
        found = _chosen(read, by_hash, rows)
        for run, how in found.items():
            row = rows[run]
            graph.add(run_node(row, read.step + 1))
            graph.tie(run_id_of(run), read.node, how)
            if run not in seen:
                following.rows[run] = row
        if not found:
            following.reads += _by_lock(sources, graph, read)
    return following


def _chosen(read: _Read, by_hash: Mapping[str, Sequence[Use]], rows: Mapping[str, RunRow]) -> dict[str, str]:
    """{run: how it wrote what was read}: of each file the last run that wrote these bytes before, under this name if any did."""
    files: dict[str, list[str]] = {}
    others: dict[str, set[str]] = {}
    renamed: dict[str, str] = {}
    for md5, path in read.hashes.items():
        fitting = [use for use in by_hash.get(md5, ()) if use.run in rows and _came_before(rows[use.run], read.row)]
        fitting = [use for use in fitting if use.path in (path, "")] or fitting
        if not fitting:
            continue
        best = max(fitting, key=lambda use: (REPRODUCES not in rows[use.run].tags, rows[use.run].start or ""))
        files.setdefault(best.run, []).append(path)
        others.setdefault(best.run, set()).update(use.run for use in fitting if use.run != best.run)
        if best.path not in (path, ""):
            renamed[best.run] = best.path
    return {run: _how(len(paths), len(read.hashes), len(others[run]), renamed.get(run)) for run, paths in files.items()}


def _came_before(writer: RunRow, reader: RunRow) -> bool:
    return writer.run_id != reader.run_id and (writer.start or "") <= (reader.end or reader.start or "~")


def _how(count: int, of: int, others: int, renamed: str | None) -> str:
    said = "wrote" if of <= 2 else f"wrote {counted(count, 'file')} of"
    said = f"wrote the same bytes as {renamed}" if renamed else said
    return said + (f" (as did {counted(others, 'other run')})" if others else "")


def _by_lock(sources: Sources, graph: Graph, read: _Read) -> list[_Read]:
    """The stage that made the data by ``dvc.lock``, though no run of it is recorded; what it read is looked into next."""
    md5 = next((md5 for md5, path in read.hashes.items() if path == read.path), "")
    locked = ancestry_locks.maker(sources.project, read.row.commit, read.path, md5)
    if locked is None or locked.cmd.startswith(_CODE) or _is_of(read.row, locked):
        return []
    node = _stage_node(locked.name, locked.file, locked.cmd, read.row.commit, read.step + 1, "no run of it is recorded")
    if node.id in graph.nodes:
        graph.tie(node.id, read.node, "made")
        return []
    graph.add(node)
    graph.tie(node.id, read.node, "made")
    graph.lack(f"{read.path} is made by the stage {locked.name}, of which no run is recorded")
    found = []
    for path, known in locked.deps[:MOST_DATA]:
        dep = data_node(path, known if HASH.fullmatch(known) else "", read.step + 1, of=node.id)
        graph.add(dep)
        ancestry_where.remember(graph, dep.id, read.row.commit)
        graph.tie(dep.id, node.id, "read")
        files = sources.lists([known]).get(known, {}) if known.endswith(".dir") else {}
        hashes = {one: f"{path}/{name}" for name, one in files.items()} | ({known: path} if known else {})
        found.append(_Read(dep.id, path, hashes, read.row, read.step + 1))
    return found


def _is_of(row: RunRow, locked: Locked) -> bool:
    return row.tags.get(STAGE_TAG, "").rpartition(":")[2] == locked.name


def _mark_absent_code(project: Project, graph: Graph) -> None:
    """Commits that are not in this clone."""
    commits = [node for node in graph.nodes.values() if node.kind == CODE]
    if not commits:
        return
    try:
        here = gitlog.trees(project.git, [node.commit for node in commits]) if project.git is not None else {}
    except LedgerError as err:
        graph.note(f"whether the commits are here cannot be told: {err.message}")
        return
    for node in commits:
        if node.commit not in here:
            graph.change(node.id, missing="not in this clone")
            graph.lack(f"the commit {node.commit[:8]} is not in this clone: nbledger pull brings those of shared runs")
