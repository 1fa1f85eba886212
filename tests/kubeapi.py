"""As much of a cluster's API server as ``kubectl apply``, ``wait`` and ``get`` of an InferenceService ask, on loopback. What it is told
to keep must be what KServe and Kubernetes take; no controller stands behind it: what it keeps is ready at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kserveschema
from localhttp import listening

GROUP, KIND = "serving.kserve.io", "InferenceService"
API = f"{GROUP}/v1beta1"
PLACE = f"/apis/{API}/namespaces/default/inferenceservices"
_VERBS = ["create", "get", "list", "patch", "watch"]
_RESOURCE = {"name": "inferenceservices", "singularName": "inferenceservice", "namespaced": True, "kind": KIND}
_VERSION = {"groupVersion": API, "version": "v1beta1"}
_PATCH = {
    "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
    "x-kubernetes-action": "patch",
    "x-kubernetes-group-version-kind": {"group": GROUP, "kind": KIND, "version": "v1beta1"},
    "responses": {},
}
_KNOWN: dict[str, Any] = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.2"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    f"/apis/{API}": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API,
        "resources": [{**_RESOURCE, "verbs": _VERBS}],
    },
    "/openapi/v3": {"paths": {f"apis/{API}": {"serverRelativeURL": f"/openapi/v3/apis/{API}"}}},
    f"/openapi/v3/apis/{API}": {
        "openapi": "3.0.0",
        "info": {"title": KIND, "version": "v1beta1"},
        "paths": {f"/apis/{API}/namespaces/{{namespace}}/inferenceservices/{{name}}": {"patch": _PATCH}},
    },
}


@dataclass
class Cluster:
    """``kept`` {name: the service}; ``refuses``: what an admission would say to every service, if it refused them."""

    url: str = ""
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: str = ""

    @property
    def kubeconfig(self) -> str:
        """What ``KUBECONFIG`` holds, as text (JSON is YAML)."""
        named = {"name": "here"}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{**named, "cluster": {"server": self.url}}],
                "contexts": [{**named, "context": {"cluster": "here", "user": "here"}}],
                "users": [{**named, "user": {}}],
                "current-context": "here",
            }
        )

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if method == "GET" and path in _KNOWN:
            return 200, _KNOWN[path]
        name = path.removeprefix(PLACE).strip("/")
        if not path.startswith(PLACE) or "watch" in query:
            return 404, status(404, "NotFound", f"there is no {path}")
        if method == "POST":
            return self._create(body)
        if method == "GET" and not name:
            items = list(self.kept.values())
            listed = {"kind": f"{KIND}List", "apiVersion": API, "metadata": {"resourceVersion": "1"}, "items": items}
            return 200, listed
        if method == "GET" and name in self.kept:
            return 200, self.kept[name]
        return 404, status(404, "NotFound", f'inferenceservices "{name}" not found')

    def _create(self, service: dict[str, Any]) -> tuple[int, Any]:
        try:
            kserveschema.check(service)
        except Exception as err:
            return 422, status(422, "Invalid", str(err))
        if self.refuses:
            return 403, status(403, "Forbidden", self.refuses)
        name = service["metadata"]["name"]
        service["metadata"] |= {"namespace": "default", "uid": "1", "resourceVersion": "1"}
        ready = {"type": "Ready", "status": "True"}
        self.kept[name] = service | {"status": {"url": f"http://{name}.example.org", "conditions": [ready]}}
        return 201, self.kept[name]


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    said = {"status": "Failure", "message": message, "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **said}


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A started one."""
    state = Cluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            code, told = state.answer(
                self.command, parts.path.rstrip("/"), parse_qs(parts.query), json.loads(raw) if raw else None
            )
            data = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with listening(Handler) as state.url:
        yield state
