"""Where the bytes of the data in a lineage are now: the cache, the data remote, the work tree, Git, or nowhere."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping

from nbledger.core import contents, dvcremote, gitlog, trust, whereabouts
from nbledger.core.ancestry_graph import DATA, Graph, Node
from nbledger.core.ancestry_sources import Sources
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project

_AT_ONCE = 50
_FILES = 5_000
"""Files of tracked folders that are looked for one by one; of more, the list stands for the whole."""


def remember(graph: Graph, node: str, commit: str | None) -> None:
    """A commit that may hold these data, if Git does."""
    if commit:
        graph.commits.setdefault(node, commit)


def fill(sources: Sources, graph: Graph, *, remote: bool) -> None:
    """Say of every data node where its bytes are; with ``remote``, the default data remote is asked too."""
    nodes = [node for node in graph.nodes.values() if node.kind == DATA and node.md5]
    inside, left = dict[str, list[str]](), _FILES
    for node in nodes:
        files = sorted(set(_listed(sources, node))) if node.md5.endswith(".dir") else []
        left -= len(files)
        inside[node.id] = files if left >= 0 else []
    there = _remote(
        sources.project, graph, {node.md5 for node in nodes} | {m for f in inside.values() for m in f}, remote
    )
    here = {node.id: _here(sources, node, inside[node.id]) for node in nodes}
    wanted = {
        node.id: (graph.commits[node.id], node) for node in nodes if not here[node.id] and node.id in graph.commits
    }
    in_git = _committed(sources.project, wanted)
    for node in nodes:
        where = here[node.id] or (["Git"] if node.id in in_git else [])
        if there is not None and node.md5 in there:
            where += [_counted("remote", inside[node.id], there)]
        if where:
            graph.change(node.id, where=tuple(where))
            continue
        why = "its bytes are not in this clone" + (", nor in the remote" if there is not None else "")
        graph.change(node.id, missing=why)
        graph.lack(f"{node.path} ({node.md5[:8]}): {why}; only its hash is recorded")


def _listed(sources: Sources, node: Node) -> list[str]:
    return list(sources.lists([node.md5]).get(node.md5, {}).values())


def _here(sources: Sources, node: Node, files: list[str]) -> list[str]:
    at_hand = sources.here
    if at_hand is not None and any(at_hand.has(node.md5, legacy=legacy) for legacy in (False, True)):
        present = {md5 for md5 in files if any(at_hand.has(md5, legacy=legacy) for legacy in (False, True))}
        return [_counted("cache", files, present)]
    if node.md5.endswith(".dir") or not _inside(node.path):
        return []
    return ["work tree"] if contents.find(sources.project, node.path, node.md5, None) is not None else []


def _committed(project: Project, wanted: Mapping[str, tuple[str, Node]]) -> set[str]:
    """Those of these data, {id: (a commit, they)}, that the commit has at their path."""
    listed = [(key, commit, node) for key, (commit, node) in wanted.items() if _inside(node.path)]
    found: set[str] = set()
    if project.git is None:
        return found
    for at in range(0, len(listed), _AT_ONCE):
        part = listed[at : at + _AT_ONCE]
        blobs = gitlog.blobs(project.git, [(commit, node.path) for _, commit, node in part])
        for (key, _, node), data in zip(part, blobs, strict=True):
            if data is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() == node.md5:
                found.add(key)
    return found


def _inside(path: str) -> bool:
    """Whether it is a path of the project: what a record names otherwise is not opened."""
    return not path.startswith(("/", "../")) and path == posixpath.normpath(path) and path != ".."


def _counted(place: str, files: list[str], present: set[str]) -> str:
    held = sum(md5 in present for md5 in files)
    return place if held == len(files) else f"{place} ({held:,} of {len(files):,} files)"


def _remote(project: Project, graph: Graph, md5s: set[str], wanted: bool) -> set[str] | None:
    """Those of these objects that the default remote has; None where it was not asked, or could not be."""
    if not wanted or not md5s or project.dvc_root is None:
        return None
    if not trust.trusted(project):
        graph.note("the data remote was not asked: this project is not trusted (nbledger trust)")
        return None
    try:
        default = dvcremote.default_remote(project)
        if default is None:
            graph.note("there is no data remote")
            return None
        if dvcremote.versioned(project, default[0]):
            graph.note(f"the data remote {default[0]} keeps versions itself: what it has cannot be told by hash")
            return None
        return whereabouts.present(project, md5s)
    except (LedgerError, OSError) as err:
        graph.lack(f"what the data remote has: {err.message if isinstance(err, LedgerError) else err}")
        return None
