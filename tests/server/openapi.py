"""``openapi.yaml`` as the table of routes and the front end's shapes make it.

``PYTHONPATH=src:tests python -m server.openapi`` writes it anew; a test says when that was forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

import nbledger.server
from nbledger.server.routes import PREFIX, ROUTES, Route
from server import typescript

FILE = Path(nbledger.server.__file__).parent / "openapi.yaml"
API = Path(__file__).parents[2] / "labextension" / "src" / "api"

HEADER = """\
# What nbledger's Jupyter Server extension answers. Made from its table of routes and the front end's types by
# `PYTHONPATH=src:tests python -m server.openapi`; the tests hold it against both, and against real answers.
"""
ABOUT = """\
The project is the one that holds `path`, a path of Jupyter's contents. Every request needs Jupyter Server's own
authentication, and the permission `read`, `write` or `execute` (see `x-action`) on the resource `nbledger`. Changes are
told on Jupyter Server's event bus with the schema `urn:nbledger:changed:v1`. Times are ISO 8601 UTC, paths are relative
to the project's root.
"""
ERRORS = {
    "400": "A word is wrong, or what it names is not there",
    "403": "Not known, or not allowed; or the XSRF token is missing",
    "404": "The server serves no such path",
    "409": "Asked for, and the answer is no",
    "502": "Could not: Git, DVC, MLflow or the keeper failed, and how",
}


def document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    shapes = answers()
    for route in ROUTES:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(
            route, shapes[route.method, route.path]
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "nbledger", "version": "1", "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"}, "description": ABOUT},
        "servers": [{"url": f"/{PREFIX}", "description": "Below the server's base URL"}],
        "security": [{"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`token …`"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "username", "description": "With `X-XSRFToken`"},
            },
            "parameters": {"path": _parameter("path", {"type": "string", "default": ""}, needed=False)},
            "responses": {f"E{status}": _response(says, {"$ref": "#/components/schemas/Error"}) for status, says in ERRORS.items()},
            "schemas": {"Error": _ERROR} | typescript.schemas((API / "types.ts").read_text()),
        },
    }  # fmt: skip


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/components/schemas/Problem"}},
}


def answers() -> dict[tuple[str, str], dict[str, Any]]:
    """What the front end takes the answer of a route for (api.ts), by method and path."""
    source = (API / "api.ts").read_text()
    found = re.findall(r"this\.(get|post)<([^()]*?)>\(\s*'([^']+)'", source)
    made = {(method.upper(), path): typescript.schema(kind) for method, kind, path in found}
    others = re.findall(r"request<([^()]*?)>\(\s*this\.settings,\s*'(\w+)',\s*'([^']+)'", source)
    return made | {(method, path): typescript.schema(kind) for kind, method, path in others}


def _operation(route: Route, answer: dict[str, Any]) -> dict[str, Any]:
    body = route.method == "POST"
    made: dict[str, Any] = {
        "operationId": route.call,
        "summary": route.says,
        "x-action": route.action,
        "parameters": [{"$ref": "#/components/parameters/path"}],
    }
    if body:
        made["requestBody"] = {
            "required": bool(route.needed),
            "content": {"application/json": {"schema": route.schema}},
        }
    else:
        made["parameters"] += [_parameter(n, s, needed=n in route.needed) for n, s in route.words.items()]
    result = {"type": "object", "required": ["result"], "properties": {"result": answer}}
    errors = {status: {"$ref": f"#/components/responses/E{status}"} for status in ERRORS}
    made["responses"] = {"200": _response("Done", result)} | errors
    return made


def _parameter(name: str, schema: dict[str, Any], *, needed: bool) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema} | ({"required": True} if needed else {})


def _response(says: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _block)


def text() -> str:
    return HEADER + yaml.dump(
        document(), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True
    )


if __name__ == "__main__":
    FILE.write_text(text())
