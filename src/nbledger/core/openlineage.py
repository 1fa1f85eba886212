"""A lineage as OpenLineage events (spec 2-0-2), which Marquez, DataHub and others take: one JSON object a line.

Only facets of the standard are used. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import re
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from nbledger.core import git, mlflow
from nbledger.core.ancestry_graph import MODEL, RUN, STAGE, Ancestry, Node
from nbledger.core.moments import now as this_moment
from nbledger.core.project import Project

_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs"
_FACETS = "https://openlineage.io/spec/facets"
_SCHEMAS = {
    "version": f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "sourceCodeLocation": f"{_FACETS}/1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet",
    "parent": f"{_FACETS}/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet",
    "jobType": f"{_FACETS}/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "tags": f"{_FACETS}/1-0-0/TagsRunFacet.json#/$defs/TagsRunFacet",
}
_ENDS = {"FINISHED": "COMPLETE", "FAILED": "FAIL", "KILLED": "ABORT"}
_SCP = re.compile(r"(?:[^@/:]+@)?([^/:@]+):(?!//)(.+)")


def lines(project: Project, found: Ancestry) -> str:
    """START and COMPLETE (FAIL, ABORT) of every run, in the order of their starts; a JobEvent for a stage of which no run is
    recorded. Data are named by their path in the repository, and have their MD5 as version; model versions are data as well.
    """
    made = _Events(project, found)
    return "\n".join(json.dumps(event, ensure_ascii=True) for event in made.all())


class _Events:
    """What all events of one lineage have in common."""

    def __init__(self, project: Project, found: Ancestry) -> None:
        from nbledger._version import __version__

        self._producer = f"urn:nbledger:{urllib.parse.quote(__version__)}"
        remote = git.remote_url(project.git) if project.git is not None else None
        self._repository = _address(remote) if remote else None
        self._namespace = self._repository or project.home.as_uri()
        self._registry = f"mlflow:{mlflow.display_uri(project.tracking_uri)}"
        self._nodes = {node.id: node for node in found.nodes}
        self._into: dict[str, list[tuple[str, str]]] = {}
        self._out: dict[str, list[tuple[str, str]]] = {}
        for edge in found.edges:
            self._into.setdefault(edge["to"], []).append((edge["from"], edge["how"]))
            self._out.setdefault(edge["from"], []).append((edge["to"], edge["how"]))

    def all(self) -> Iterator[dict[str, Any]]:
        runs = sorted((node for node in self._nodes.values() if node.kind == RUN and node.at), key=lambda n: n.at or "")
        for node in self._nodes.values():
            if node.kind == STAGE and not any(self._kind(one) == RUN for one, _ in self._out.get(node.id, ())):
                now = this_moment()
                yield {**self._base(now, "JobEvent"), "job": self._job(node.label, {}), **self._data(node)}
        for node in runs:
            yield from self._run(node)

    def _run(self, node: Node) -> Iterator[dict[str, Any]]:
        run = {"runId": _uuid(node.run_id), "facets": self._run_facets(node)}
        job = self._job(self._called(node), self._code(node))
        begun = {**self._base(str(node.at), "RunEvent"), "eventType": "START", "run": run, "job": job}
        yield {**begun, "inputs": [], "outputs": []}
        if (ended := _ENDS.get(node.status)) is not None:
            at = self._base(node.ended or str(node.at), "RunEvent")
            yield {**begun, **at, "eventType": ended, **self._data(node)}

    def _base(self, at: str, kind: str) -> dict[str, Any]:
        return {"eventTime": at, "producer": self._producer, "schemaURL": f"{_SPEC}/{kind}"}

    def _facet(self, name: str, **fields: Any) -> dict[str, Any]:
        return {name: {"_producer": self._producer, "_schemaURL": _SCHEMAS[name], **fields}}

    def _job(self, name: str, facets: Mapping[str, Any]) -> dict[str, Any]:
        kind = self._facet("jobType", processingType="BATCH", integration="NBLEDGER", jobType="JOB")
        return {"namespace": self._namespace, "name": name, "facets": {**kind, **facets}}

    def _called(self, node: Node) -> str:
        """A job is what is run again and again: the stage, or the notebook; the run's name where neither is known."""
        stage = next((self._nodes[one] for one, how in self._into.get(node.id, ()) if how == "declared"), None)
        return stage.label if stage is not None else node.source or node.label

    def _code(self, node: Node) -> dict[str, Any]:
        code = next((self._nodes[one] for one, how in self._into.get(node.id, ()) if how == "ran"), None)
        if code is None or self._repository is None:
            return {}
        path = {"path": node.source} if node.source else {}
        url = _file_address(self._repository, code.commit, node.source)
        return self._facet(
            "sourceCodeLocation", type="git", url=url, repoUrl=self._repository, version=code.commit, **path
        )

    def _run_facets(self, node: Node) -> dict[str, Any]:
        code = [self._nodes[one].commit for one, how in self._into.get(node.id, ()) if how == "ran"]
        told = {"run_name": node.label, "user": node.by, "git.commit": next(iter(code), None)}
        told |= {"reproduces": node.reproduces}
        tags = [{"key": key, "value": value, "source": "NBLEDGER"} for key, value in told.items() if value]
        facets = self._facet("tags", tags=tags)
        holder = next((self._nodes[one] for one, how in self._into.get(node.id, ()) if how == "held"), None)
        if holder is not None:
            job = {"namespace": self._namespace, "name": self._called(holder)}
            facets |= self._facet("parent", run={"runId": _uuid(holder.run_id)}, job=job)
        return facets

    def _data(self, node: Node) -> dict[str, Any]:
        """Inputs and outputs of a run or a stage."""
        read = [self._nodes[one] for one, _ in self._into.get(node.id, ()) if self._kind(one) in ("data", MODEL)]
        wrote = [self._nodes[one] for one, _ in self._out.get(node.id, ()) if self._kind(one) in ("data", MODEL)]
        return {"inputs": [self._dataset(one) for one in read], "outputs": [self._dataset(one) for one in wrote]}

    def _kind(self, node: str) -> str:
        return self._nodes[node].kind if node in self._nodes else ""

    def _dataset(self, node: Node) -> dict[str, Any]:
        if node.kind == MODEL:
            facets = self._facet("version", datasetVersion=node.version) if node.version else {}
            return {"namespace": self._registry, "name": f"models/{node.name or node.label}", "facets": facets}
        facets = self._facet("version", datasetVersion=node.md5) if node.md5 else {}
        return {"namespace": self._namespace, "name": node.path, "facets": facets}


def _uuid(run: str) -> str:
    """MLflow's ids are UUIDs without dashes."""
    try:
        return str(uuid.UUID(run))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlflow:{run}"))


def _address(remote: str) -> str:
    """A Git remote's address as a URI; a path, and ``host:path``, are none."""
    if "://" in remote:
        return urllib.parse.quote(remote, safe=":/?#[]@!$&'()*+,;=%~")
    scp = _SCP.fullmatch(remote)
    return f"ssh://{scp[1]}/{urllib.parse.quote(scp[2])}" if scp else f"file://{urllib.parse.quote(remote)}"


def _file_address(repository: str, commit: str, path: str) -> str:
    """Where the file can be looked at, on forges whose addresses are known; else the repository's address."""
    parts = urllib.parse.urlsplit(repository)
    if parts.scheme != "https" or not path:
        return repository
    base, path = repository.removesuffix(".git"), urllib.parse.quote(path)
    if parts.hostname == "github.com":
        return f"{base}/blob/{commit}/{path}"
    return f"{base}/-/blob/{commit}/{path}" if parts.hostname == "gitlab.com" else repository
