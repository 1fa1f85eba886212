"""The JSON schema of each call: what the keeper takes through its socket, as data. Whatever does not fit is refused in one
line that names the word, before the call begins.

A call that is added to ``calls.TABLE`` gets one line in ``CALLS``: the words that it needs, then all words with their
schemas; every text, list and number has a limit (the tests ask for it)::

    "gc": words(dry_run=FLAG, older_than=whole(0, 100_000)),
    "promote": words("run", "model", run=RUN, model=NAME, conditions=many(LINE, 100), approved_by=either(NAME)),
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(longest: int, least: int = 0) -> Schema:
    return {"type": "string", "minLength": least, "maxLength": longest}


def many(item: Schema, most: int, least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": least, "maxItems": most}


def whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def number(least: float, most: float) -> Schema:
    return {"type": "number", "minimum": least, "maximum": most}


def either(schema: Schema) -> Schema:
    """Or null."""
    return schema | {"type": [schema["type"], "null"]}


def table(item: Schema, most: int) -> Schema:
    """Any names, each with an ``item``."""
    names = {"minLength": 1, "maxLength": 1_000}
    return {"type": "object", "maxProperties": most, "propertyNames": names, "additionalProperties": item}


def words(*needed: str, **known: Schema) -> Schema:
    """An object of the ``known`` words and no other; the ``needed`` ones must be there."""
    return {"type": "object", "properties": known, "required": list(needed), "additionalProperties": False}


VERSION = whole(-1, 1 << 53)
FLAG: Schema = {"type": "boolean"}
RUN = text(20_000, 1)
NAME = text(1_000, 1)
LINE = text(20_000)
MESSAGE = text(100_000)
PATH: Schema = {
    "type": "string",
    "title": "a path within the project",
    "minLength": 1,
    "maxLength": 4_096,
    "pattern": r"^(?![/~])(?!([\s\S]*/)?\.\.(/|$))[\s\S]+$",
    "format": "path",
}
PATHS = many(PATH, 2_000)
ANY_PATH: Schema = text(4_096, 1) | {"format": "path"}
"""As a person types it: absolute, or relative to where they are."""
FOLDER: Schema = {
    "type": "string",
    "title": "an absolute path",
    "minLength": 1,
    "maxLength": 4_096,
    "pattern": r"^(/|[A-Za-z]:[\\/]|\\\\)",
    "format": "path",
}
COMMIT: Schema = {"type": "string", "title": "a commit's id", "pattern": "^[0-9a-f]{4,64}$", "maxLength": 64}
JOURNAL: Schema = {"type": "string", "title": "a journal's id", "pattern": "^[0-9a-f]{32}$", "maxLength": 32}
JOB_ID: Schema = {"type": "string", "title": "a job's id", "pattern": r"^[0-9A-Za-z_.-]{1,100}$", "maxLength": 100}
JOBS = ("track", "push", "pull", "reproduce", "deploy", "drift")
"""What ``job_start`` begins."""
PORT = whole(1, 65_535)
TAGS: Schema = {
    "type": "object",
    "maxProperties": 100,
    "propertyNames": {"minLength": 1, "maxLength": 250},
    "additionalProperties": either(text(10_000)),
}
ENVIRONMENT = words(
    digest=NAME,
    python=NAME,
    implementation=NAME,
    platform=NAME,
    packages=many(many({"type": ["string", "boolean"], "maxLength": 20_000}, 4, 4), 50_000),
    threads=table(LINE, 200),
    gpu=many(LINE, 200),
    seeds_env=either(LINE),
    cpus=whole(0, 1 << 20),
    conda=either(LINE),
)

CONTEXT = words(
    "cwd",
    "uri",
    "experiment",
    cwd=FOLDER,
    uri={
        "type": "string",
        "title": "the address of a tracking store",
        "pattern": r"^[^\s-][^\x00-\x1f\x7f]*$",
        "maxLength": 8_192,
    },
    experiment=NAME,
)
"""Which project and store a call is about (``calls.context``)."""

REQUEST: Schema = {
    "type": "object",
    "properties": {
        "secret": text(200),
        "version": text(100),
        "call": text(100, 1),
        "context": {"type": "object"},
        "args": {"type": "object"},
    },
    "required": ["call"],
}
"""Around every call. Another version may say more, and must be understood when it asks this one to stop."""

_RUN: dict[str, Schema] = {"run": RUN}
_COMPARED: dict[str, Schema] = {"names": many(RUN, 200, 1), "everything": FLAG, "metric": either(LINE)}
_FILE: dict[str, Schema] = {"file": PATH}
_PUSH: dict[str, Schema] = {"runs": FLAG, "tags": FLAG, "allow_missing": FLAG}
_SCOPES = many({"type": "string", "enum": ["branches", "tags", "commits", "runs"]}, 4)
_JOB: dict[str, Schema] = {
    "paths": PATHS,
    "message": MESSAGE,
    "push": FLAG,
    "run": RUN,
    "times": whole(1, 100),
    "restore_only": FLAG,
    "into": PATH,
    "trust": FLAG,
    "scopes": _SCOPES,
    "model": NAME,
    "version": NAME,
    "port": PORT,
    "file": PATH,
    "reference": PATH,
    "target": NAME,
} | _PUSH

_PROMOTED: dict[str, Schema] = {
    "run": RUN,
    "model": NAME,
    "condition": text(2_500, 1),
    "first": text(2_500, 1),
    "alias": text(1_000),
    "baseline": RUN,
    "logged": text(1_000),
    "allow": many(text(20, 1), 10),
    "gate": NAME,
    "require": many(text(20, 1), 10),
    "min_rows": whole(0, 1 << 53),
    "approve_by": whole(0, 20),
    "expires_days": number(0.001, 3_650),
}

CALLS: dict[str, Schema] = {
    "track": words(
        "paths",
        paths=many(ANY_PATH, 100_000, 1),
        message=either(MESSAGE),
        push=FLAG,
        commit=FLAG,
        follow_symlinks=FLAG,
        take_back=FLAG,
        cwd=FOLDER,
    ),
    "status": words(),
    "runs": words(
        text=LINE,
        sort=NAME | {"minLength": 0},
        limit=whole(1, 100_000),
        experiment=either(LINE),
        mine=many(NAME, 10),
        user=either(NAME),
    ),
    "show": words("run", **_RUN),
    "init": words(remote=either(LINE), remote_options=many(LINE, 100), tracking_uri=either(LINE)),
    "flush": words(),
    "run_id": words("journal", journal=JOURNAL),
    "compare": words("names", **_COMPARED, here=ENVIRONMENT),
    "record": words("run", **_RUN),
    "tag": words("run", "tags", **_RUN, tags=table(MESSAGE, 1_000)),
    "state": words(served=FOLDER),
    "table": words(limit=whole(1, 100_000)),
    "table_changes": words("since", since=VERSION),
    "search": words("text", text=LINE),
    "children": words("run", **_RUN, text=LINE, experiment=either(LINE)),
    "series": words("run", run=many(RUN, 2_000, 1), key=many(LINE, 1_000), points=whole(1, 10_000)),
    "detail": words("run", **_RUN),
    "notebook": words("run", **_RUN),
    "compare_notebooks": words("a", "b", a=RUN, b=RUN),
    "markdown": words("names", **_COMPARED),
    "diff": words("file", **_FILE),
    "versions": words("file", **_FILE),
    "pipeline": words(),
    "preview": words(
        "kind",
        kind=text(40, 1),
        **_JOB,
        large=FLAG,
        commit=COMMIT,
        remote=LINE,
        tracking_uri=LINE,
        alias=NAME,
        logged=NAME,
    ),
    "set_tags": words("run", "tags", **_RUN, tags=TAGS),
    "rename": words("run", "name", **_RUN, name=RUN),
    "note": words("run", "text", **_RUN, text=MESSAGE),
    "delete": words("run", **_RUN),
    "bring_back": words("run", **_RUN),
    "models": words(),
    "production": words(),
    "me": words(),
    "promote": words("run", "model", **_RUN, model=NAME, alias=text(1_000), logged=text(1_000)),
    "promote_if": words("run", "model", **_PROMOTED, dry=FLAG),
    "judge": words("run", "model", **_PROMOTED),
    "rollback": words("model", model=NAME, alias=NAME, to=text(100, 1), text=LINE),
    "decisions": words("model", model=NAME),
    "approve": words("model", model=NAME, version=text(100), text=text(2_000), refuse=FLAG, merged=text(1_000)),
    "approvals": words(model=NAME),
    "ancestry": words("name", name=RUN, depth=whole(0, 1_000), remote=FLAG),
    "descendants": words("path", path=ANY_PATH, md5=text(36), depth=whole(0, 1_000), remote=FLAG),
    "drift": words(
        "model",
        "data",
        model=NAME,
        data=ANY_PATH,
        reference=ANY_PATH,
        target=NAME,
        prediction=NAME,
        performance=text(2_500, 1),
        threshold=number(0, 1),
        share=number(0, 1),
    ),
    "alias": words("model", "alias", "version", model=NAME, alias=NAME, version=either(text(100, 1))),
    "deploy": words(
        "name",
        name=NAME,
        to=text(20),
        dry=FLAG,
        port=whole(1, 65_535),
        host=text(255, 1),
        env_manager=text(20),
        workers=whole(1, 64),
        probe=number(1, 3_600),
        watch=number(0, 3_600),
        sha256=text(64, 64),
        image=text(1_000),
        base_image=text(1_000),
        push=FLAG,
        output=text(4_096),
        namespace=text(63),
        canary=whole(0, 100),
        storage_uri=text(4_096),
        cpu=text(20),
        memory=text(20),
        region=text(50),
        role=text(2_048),
        bucket=text(255),
        instance_type=text(50),
        instances=whole(1, 100),
    ),
    "deployments": words(),
    "undeploy": words("model", model=NAME),
    "checkpoint": words("message", message=MESSAGE, paths=many(ANY_PATH, 100_000), large=FLAG, cwd=FOLDER),
    "undo": words("commit", commit=COMMIT),
    "use_version": words("file", "commit", **_FILE, commit=COMMIT),
    "push": words(**_PUSH),
    "pull": words(paths=PATHS, scopes=_SCOPES),
    "sent": words(),
    "data_remote": words(),
    "trust": words(),
    "report": words(base=LINE, head=LINE, fetch=FLAG),
    "gc": words(
        scopes=many({"type": "string", "enum": ["workspace", "branches", "tags", "commits"]}, 4),
        cloud=FLAG,
        projects=many(LINE, 100),
        alone=FLAG,
        keep=many(LINE, 20),
        dry_run=FLAG,
        digest=text(64, 64),
    ),
    "jobs": words(),
    "job_start": words("kind", kind={"type": "string", "enum": list(JOBS)}, **_JOB),
    "job_stop": words("id", id=JOB_ID),
}
