"""The routes, as data: what is asked of the keeper, with which words, and what the asking person must be allowed to.

``openapi.yaml`` describes the same to other programs; the tests hold both against each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Action = Literal["read", "write", "execute"]
Schema = dict[str, Any]

PREFIX = "nbledger/api"
READ_SECONDS = 60.0
WORK_SECONDS = 600.0


@dataclass(frozen=True)
class Route:
    """``method path`` below ``nbledger/api`` is ``call`` of the keeper.

    ``words`` are the JSON schemas of its words and ``needed`` those that must be there; ``names`` what a word is called
    by the keeper where that differs. ``served``: the keeper is told which folder the server serves.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    call: str
    action: Action
    words: Mapping[str, Schema] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    served: bool = False
    seconds: float = READ_SECONDS

    @property
    def schema(self) -> Schema:
        """All words together."""
        return {
            "type": "object",
            "properties": dict(self.words),
            "required": list(self.needed),
            "additionalProperties": False,
        }

    @cached_property
    def schema_text(self) -> str:
        return json.dumps(self.schema)

    def args(self, words: Mapping[str, Any], served: str) -> dict[str, Any]:
        """The words as the keeper's call takes them."""
        renamed = {self.names.get(name, name): value for name, value in words.items()}
        return renamed | ({"served": served} if self.served else {})


def _text(longest: int, least: int = 0) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": longest}


def _many(item: Schema, most: int, least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": least, "maxItems": most}


def _whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _either(schema: Schema) -> Schema:
    """Or null."""
    return schema | {"type": [schema["type"], "null"]}


FLAG: Schema = {"type": "boolean"}
RUN = _text(20_000, 1)
NAME = _text(1_000, 1)
LINE = _text(20_000)
MESSAGE = _text(100_000)
PATH: Schema = {
    "type": "string",
    "title": "a path within the project",
    "minLength": 1,
    "maxLength": 4_096,
    "pattern": r"^(?![/~])(?!([\s\S]*/)?\.\.(/|$))[\s\S]+$",
}
PATHS = _many(PATH, 2_000)
COMMIT: Schema = {"type": "string", "title": "a commit's id", "pattern": "^[0-9a-f]{4,64}$", "maxLength": 64}
JOB_ID: Schema = {"type": "string", "title": "a job's id", "pattern": r"^[0-9A-Za-z_.-]{1,100}$", "maxLength": 100}
TAGS: Schema = {
    "type": "object",
    "maxProperties": 100,
    "propertyNames": {"minLength": 1, "maxLength": 250},
    "additionalProperties": _either(_text(10_000)),
}
_RUN_WORDS = {
    "run": RUN,
    "times": _whole(1, 100),
    "restore_only": FLAG,
    "into": _text(4_096, 1),
}
_JOB_WORDS = {
    "kind": {"type": "string", "enum": ["track", "push", "pull", "reproduce"]},
    "paths": PATHS,
    "message": MESSAGE,
    "push": FLAG,
} | _RUN_WORDS
_PREVIEW_WORDS = _JOB_WORDS | {
    "kind": _text(40, 1),
    "large": FLAG,
    "commit": COMMIT,
    "file": PATH,
    "remote": LINE,
    "tracking_uri": LINE,
    "model": NAME,
    "alias": NAME,
    "version": NAME,
    "logged": NAME,
}


def _read(path: str, call: str, *needed: str, **more: Any) -> Route:
    return Route("GET", path, call, "read", needed=needed, **more)


def _write(path: str, call: str, *needed: str, **more: Any) -> Route:
    return Route("POST", path, call, "write", needed=needed, seconds=WORK_SECONDS, **more)


_COMPARED = {"run": _many(RUN, 200, 1), "all": FLAG}
_AS_COMPARE = {"run": "names", "all": "everything"}

ROUTES: tuple[Route, ...] = (
    _read("state", "state", served=True),
    _read("runs", "table", words={"limit": _whole(1, 100_000)}),
    _read("runs/changes", "table_changes", "since", words={"since": _whole(-1, 1 << 53)}),
    _read("runs/search", "search", "text", words={"text": LINE}),
    _read(
        "runs/series",
        "series",
        "run",
        words={"run": _many(RUN, 2_000, 1), "key": _many(LINE, 1_000), "points": _whole(1, 10_000)},
    ),
    _read("runs/detail", "detail", "run", words={"run": RUN}),
    _read("runs/notebook", "notebook", "run", words={"run": RUN}),
    _read("compare", "compare", "run", words=_COMPARED, names=_AS_COMPARE, seconds=WORK_SECONDS),
    _read("compare/notebook", "compare_notebooks", "a", "b", words={"a": RUN, "b": RUN}),
    _read("compare/markdown", "markdown", "run", words=_COMPARED, seconds=WORK_SECONDS),
    _read("diff", "diff", "file", words={"file": PATH}),
    _read("versions", "versions", "file", words={"file": PATH}),
    _read("pipeline", "pipeline"),
    _read("preview", "preview", "kind", words=_PREVIEW_WORDS),
    _read("models", "models"),
    _read("jobs", "jobs"),
    _write("init", "init", words={"remote": LINE, "tracking_uri": LINE}),
    _write("checkpoint", "checkpoint", "message", words={"message": MESSAGE, "paths": PATHS, "large": FLAG}),
    _write("undo", "undo", "commit", words={"commit": COMMIT}),
    _write("flush", "flush"),
    _write("runs/tag", "set_tags", "run", "tags", words={"run": RUN, "tags": TAGS}),
    _write("runs/rename", "rename", "run", "name", words={"run": RUN, "name": _text(20_000, 1)}),
    _write("runs/note", "note", "run", "text", words={"run": RUN, "text": MESSAGE}),
    _write("runs/delete", "delete", "run", words={"run": RUN}),
    _write("runs/restore", "bring_back", "run", words={"run": RUN}),
    _write(
        "promote",
        "promote",
        "run",
        "model",
        words={"run": RUN, "model": NAME, "alias": _text(1_000), "logged": _text(1_000)},
    ),
    _write(
        "alias",
        "alias",
        "model",
        "alias",
        "version",
        words={"model": NAME, "alias": NAME, "version": _either(_text(100, 1))},
    ),
    _write("versions/use", "use_version", "file", "commit", words={"file": PATH, "commit": COMMIT}),
    Route("POST", "jobs", "job_start", "execute", _JOB_WORDS, ("kind",)),
    Route("DELETE", "jobs", "job_stop", "execute", {"id": JOB_ID}, ("id",)),
)
