"""The other way: which runs and model versions saw a file, and what came of it.

A file may have been read by itself or as part of a tracked folder: MLflow then has the folder's hash alone, whose list says
which files it stands for. A run whose record names other files of the folder than this one has not seen it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nbledger.core import ancestry_models, ancestry_where, mlflow_uses
from nbledger.core.ancestry import HASH, add_code, add_stage, holders
from nbledger.core.ancestry_graph import DEPTH, Ancestry, Graph, data_node, model_node, run_id_of, run_node
from nbledger.core.ancestry_sources import Sources, opened
from nbledger.core.errors import LedgerError, Refused, UsageError, nearest
from nbledger.core.mlflow_uses import Use, VersionOf
from nbledger.core.project import Project
from nbledger.core.records import RunRow
from nbledger.core.runs import only_compares
from nbledger.core.wording import counted

_RECORDS = 200
"""Records of runs that are read to know which files of a folder a run read; of more it is said that it is not known."""
_SHOWN = 200
"""Files shown of what one run wrote; those that were read by another run always are."""


@dataclass
class _Seen:
    """Runs that read some bytes of the file in question: {run: how}, under the id of the data."""

    runs: dict[str, dict[str, str]] = field(default_factory=dict)
    paths: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, path: str, md5: str, run: str, how: str) -> None:
        node = data_node(path, md5, 0).id
        self.paths.setdefault(node, (path, md5))
        self.runs.setdefault(node, {}).setdefault(run, how)


def of_data(project: Project, path: str, md5: str, asked: str, depth: int = DEPTH, *, remote: bool = False) -> Ancestry:
    """Every run and model version that saw ``path`` (with ``md5``: these bytes of it, under any name; the hash may be cut), and
    what came of them. ``path`` is from the project's root. ``UsageError`` where no run read such a file.
    """
    graph = Graph()
    with opened(project, graph) as sources:
        seen = _read(sources, graph, path, md5)
        if not seen.runs:
            raise _nobody(sources, graph, path, md5)
        known = sources.uses.rows({run for runs in seen.runs.values() for run in runs})
        rows = _using(graph, known)
        compared = known.keys() - rows.keys()
        roots = [node for node, runs in seen.runs.items() if not compared.issuperset(runs)]
        for node in roots:
            graph.add(data_node(*seen.paths[node], 0))
        for node, runs in seen.runs.items():
            for run, how in runs.items():
                if run in rows:
                    graph.tie(node, run_id_of(run), how)
        _down(sources, graph, list(rows.values()), depth)
        _models(sources, graph)
        ancestry_models.describe(sources, graph)
        ancestry_where.fill(sources, graph, remote=remote)
    return graph.done(asked, roots, back=True)


def of_model(project: Project, version: VersionOf, asked: str, depth: int = DEPTH, *, remote: bool = False) -> Ancestry:
    """Every run that loaded a version of a registered model, and what came of them. ``UsageError`` where none did."""
    graph = Graph()
    with opened(project, graph) as sources:
        root = graph.add(model_node(version.name, version.number, 0, version.aliases, version.created))
        graph.change(root.id, digest=version.digest)
        rows = ancestry_models.users_of(sources, graph, root, version.model_id)
        if not rows:
            raise UsageError(f"no recorded run loaded {root.label}", f"nbledger lineage {root.label} shows its origin")
        _down(sources, graph, list(rows.values()), depth)
        _models(sources, graph)
        ancestry_models.describe(sources, graph)
        ancestry_where.fill(sources, graph, remote=remote)
    return graph.done(asked, [root.id], back=True)


def _using(graph: Graph, rows: Mapping[str, RunRow]) -> dict[str, RunRow]:
    """Without the runs of ``nbledger drift``, of which nothing comes: a nightly one would bury all others. Where there are no
    others, they are what is to be told.
    """
    others = {run: row for run, row in rows.items() if not only_compares(row.tags)}
    if not others:
        return dict(rows)
    if (count := len(rows) - len(others)) > 0:
        graph.note(f"{counted(count, 'run')} only compared it (nbledger drift): not listed")
    return others


def _nobody(sources: Sources, graph: Graph, path: str, md5: str) -> LedgerError:
    name = f"{path}@{md5}" if md5 else path
    if graph.missing:
        return Refused(
            f"whether a run read {name} is not known: {'; '.join(graph.missing)}",
            "nbledger pull --runs fetches such data",
        )
    if graph.notes:
        return UsageError(f"no recorded run read {name}", "; ".join(graph.notes))
    if md5 and any(use.path == path for use in sources.uses.named(path)):
        hint = f"nbledger lineage --back {path} lists the runs that read another version"
        return UsageError(f"no recorded run read {path} with the MD5 {md5}", hint)
    known = {use.path for use in sources.uses.named(path.partition("/")[0])}
    hint = nearest(path, known) or "nbledger show RUN lists what a run read"
    return UsageError(f"no recorded run read {name}", hint)


# ── who read it ──────────────────────────────────────────────────────────────────────────────────────────


def _read(sources: Sources, graph: Graph, path: str, md5: str) -> _Seen:
    seen = _Seen()
    uses = sources.uses.named(path)
    if HASH.fullmatch(md5):
        known = {(use.run, use.path, use.md5) for use in uses}
        uses += [use for use in sources.uses.readers([md5]) if (use.run, use.path, use.md5) not in known]
    within: list[Use] = []
    for use in uses:
        if path.startswith(f"{use.path}/"):
            within.append(use)
        elif not md5 or use.md5.startswith(md5):
            how = "read" if mlflow_uses.related(use.path, path) else f"read the same bytes as {use.path}"
            seen.add(use.path if how == "read" else path, use.md5, use.run, how)
    _read_within(sources, graph, seen, path, md5, within)
    return seen


def _read_within(sources: Sources, graph: Graph, seen: _Seen, path: str, md5: str, uses: Sequence[Use]) -> None:
    """Those that read a folder in which the file lies."""
    lists = sources.lists(sorted({use.md5 for use in uses if use.md5.endswith(".dir")}))
    fitting: list[tuple[Use, str]] = []
    unknown: dict[str, set[str]] = {}
    for use in uses:
        if use.md5 not in lists:
            unknown.setdefault(f"{use.path} ({use.md5[:8]})", set()).add(use.run)
        elif (held := lists[use.md5].get(path.removeprefix(f"{use.path}/"))) and held.startswith(md5):
            fitting.append((use, held))
    for name, runs in unknown.items():
        many = counted(len(runs), "run")
        graph.lack(f"which files the folder {name} had, which {many} read: its list is in no cache or remote at hand")
    rows = sources.uses.rows({use.run for use, _ in fitting[:_RECORDS]})
    sources.look_into(list(rows.values()))
    other = 0
    for at, (use, held) in enumerate(fitting):
        if at < _RECORDS and use.run in rows and (files := _files_of(sources, rows[use.run], use.path)):
            if path not in files:
                other += 1
                continue
            seen.add(path, held, use.run, "read")
        else:
            seen.add(path, held, use.run, f"read {use.path}, which has it")
    if other:
        graph.note(f"{counted(other, 'run')} read other files of the folder, and not this one")
    if len(fitting) > _RECORDS:
        more = len(fitting) - _RECORDS
        graph.note(f"of {more:,} runs it is only known that they read the folder: their records were not looked into")


def _files_of(sources: Sources, row: RunRow, folder: str) -> set[str]:
    """The files of a folder that the run's record names; none where it has no record."""
    held = sources.held(row)
    return {one.path for one in held.inputs if one.path.startswith(f"{folder}/")} if held.known else set()


# ── what came of it ──────────────────────────────────────────────────────────────────────────────────────


def _down(sources: Sources, graph: Graph, rows: list[RunRow], depth: int) -> None:
    step, seen = 1, set[str]()
    while rows:
        if step > depth or graph.full():
            graph.ends(step - 1)
            break
        sources.find(holders(rows))
        for row in sorted(rows, key=lambda row: row.start or ""):
            if graph.full():
                break
            seen.add(row.run_id)
            graph.add(run_node(row, step))
            add_code(graph, row, step)
            add_stage(sources, graph, row, step)
        shown = [row for row in rows if row.run_id in seen]
        following = _after(sources, graph, shown, seen, step)
        following |= ancestry_models.users(sources, graph, shown, step)
        rows = [row for run, row in following.items() if run not in seen]
        step += 1


def _after(sources: Sources, graph: Graph, rows: Sequence[RunRow], seen: set[str], step: int) -> dict[str, RunRow]:
    """Tie runs to what they wrote, and that to the runs that read it later: these are next."""
    wrote = sources.wrote(rows)
    made: dict[str, list[tuple[RunRow, str]]] = {}
    for row in rows:
        for path, md5 in wrote.get(row.run_id, {}).items():
            made.setdefault(md5, []).append((row, path))
    readings = _readings(sources, made)
    readers = sources.uses.rows({use.run for uses in readings.values() for use in uses})
    readers = {run: row for run, row in readers.items() if not only_compares(row.tags)}
    following: dict[str, RunRow] = {}
    for md5, writers in made.items():
        later = [use for use in readings.get(md5, ()) if use.run in readers]
        for row, path in writers:
            read = [
                u
                for u in later
                if u.run != row.run_id and (row.start or "") <= (readers[u.run].end or readers[u.run].start or "~")
            ]
            read = [u for u in read if mlflow_uses.related(u.path, path)] or read
            if not read and len(graph.edges) > _SHOWN:
                continue
            node = graph.add(data_node(path, md5, step)).id
            ancestry_where.remember(graph, node, row.commit)
            graph.tie(run_id_of(row.run_id), node, "wrote")
            for use in read:
                graph.tie(node, run_id_of(use.run), "read" if use.path == path else f"read as {use.path}")
                if use.run not in seen:
                    following[use.run] = readers[use.run]
    return following


def _readings(sources: Sources, made: Mapping[str, Sequence[tuple[RunRow, str]]]) -> dict[str, list[Use]]:
    """{md5: who read these bytes, by themselves or in a tracked folder}."""
    found: dict[str, list[Use]] = {}
    for use in sources.uses.readers(list(made)):
        found.setdefault(use.md5, []).append(use)
    folders: dict[str, list[Use]] = {}
    for use in sources.folders(path for writers in made.values() for _, path in writers):
        folders.setdefault(use.md5, []).append(use)
    for digest, files in sources.lists(list(folders)).items():
        for md5 in set(files.values()) & made.keys():
            found.setdefault(md5, []).extend(folders[digest])
    return found


def _models(sources: Sources, graph: Graph) -> None:
    """The model versions that were made from the runs."""
    runs = {node.run_id: node.step for node in graph.nodes.values() if node.run_id}
    for one in mlflow_uses.versions_of(sources.api, sources.project.tracking_uri, runs):
        node = graph.add(model_node(one.name, one.number, runs[one.run], one.aliases, one.created))
        graph.tie(run_id_of(one.run), node.id, "logged")
