"""The routes, as data: what is asked of the keeper, with which words, and what the asking person must be allowed to.

``openapi.yaml`` describes the same to other programs; the tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from nbledger.keeper.schemas import (
    COMMIT,
    FLAG,
    JOB_ID,
    JOBS,
    LINE,
    MESSAGE,
    NAME,
    PATH,
    PATHS,
    PORT,
    RUN,
    TAGS,
    VERSION,
    Schema,
    either,
    many,
    text,
    whole,
)

Action = Literal["read", "write", "execute"]

PREFIX = "nbledger/api"
READ_SECONDS = 60.0
WORK_SECONDS = 600.0


@dataclass(frozen=True)
class Route:
    """``method path`` below ``nbledger/api`` is ``call`` of the keeper.

    ``words`` are the JSON schemas of its words and ``needed`` those that must be there; ``names`` what a word is called
    by the keeper where that differs. ``served``: the keeper is told which folder the server serves. ``says`` describes it.
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
    says: str = ""

    @cached_property
    def schema(self) -> Schema:
        """All words together."""
        return {
            "type": "object",
            "properties": dict(self.words),
            "required": list(self.needed),
            "additionalProperties": False,
        }

    def args(self, words: Mapping[str, Any], served: str) -> dict[str, Any]:
        """The words as the keeper's call takes them."""
        renamed = {self.names.get(name, name): value for name, value in words.items()}
        return renamed | ({"served": served} if self.served else {})


_RUN_WORDS = {
    "run": RUN,
    "times": whole(1, 100),
    "restore_only": FLAG,
    "into": PATH,
    "trust": FLAG,
}
_MODEL_WORDS = {"model": NAME, "version": NAME, "port": PORT, "file": PATH, "reference": PATH, "target": NAME}
_JOB_WORDS = (
    {"kind": {"type": "string", "enum": list(JOBS)}, "paths": PATHS, "message": MESSAGE, "push": FLAG}
    | _RUN_WORDS
    | _MODEL_WORDS
)
_PREVIEW_WORDS = _JOB_WORDS | {
    "kind": text(40, 1),
    "large": FLAG,
    "commit": COMMIT,
    "remote": LINE,
    "tracking_uri": LINE,
    "alias": NAME,
    "logged": NAME,
}


def _read(path: str, call: str, says: str, *needed: str, **more: Any) -> Route:
    return Route("GET", path, call, "read", needed=needed, says=says, **more)


def _write(path: str, call: str, says: str, *needed: str, **more: Any) -> Route:
    return Route("POST", path, call, "write", needed=needed, says=says, seconds=WORK_SECONDS, **more)


_PROMOTED: dict[str, Any] = {
    "run": RUN,
    "model": NAME,
    "alias": NAME,
    "logged": text(1_000),
    "gate": NAME,
    "condition": text(2_500, 1),
    "first": text(2_500, 1),
    "baseline": RUN,
    "approve_by": whole(0, 20),
}
_COMPARED = {"run": many(RUN, 200, 1), "all": FLAG}
_TO_COMPARE: dict[str, Any] = {
    "words": _COMPARED,
    "names": {"run": "names", "all": "everything"},
    "seconds": WORK_SECONDS,
}

ROUTES: tuple[Route, ...] = (
    _read("state", "state", "The joined state: code, data, pipeline, tracking", served=True),
    _read("runs", "table", "All runs of the experiment, the newest first", words={"limit": whole(1, 100_000)}),
    _read("runs/changes", "table_changes", "Runs that changed after a version", "since", words={"since": VERSION}),
    _read("runs/search", "search", "Runs that match a filter of MLflow's", "text", words={"text": LINE}),
    _read(
        "runs/series", "series", "Curves of metrics that were logged more than once", "run",
        words={"run": many(RUN, 2_000, 1), "key": many(LINE, 1_000), "points": whole(1, 10_000)},
    ),
    _read("runs/detail", "detail", "Everything recorded of a run", "run", words={"run": RUN}),
    _read("runs/notebook", "notebook", "The notebook as the run executed it", "run", words={"run": RUN}),
    _read("compare", "compare", "Runs side by side, and why they differ; `.` is the present state", "run", **_TO_COMPARE),
    _read("compare/notebook", "compare_notebooks", "The cells of two runs", "a", "b", words={"a": RUN, "b": RUN}),
    _read("compare/markdown", "markdown", "A comparison as Markdown", "run", **_TO_COMPARE),
    _read("diff", "diff", "A file of the work tree against the last commit", "file", words={"file": PATH}),
    _read("versions", "versions", "The versions of a file that DVC tracks", "file", words={"file": PATH}),
    _read("pipeline", "pipeline", "The stages of dvc.yaml and what ties them"),
    _read("preview", "preview", "What an action would do, given the same words", "kind", words=_PREVIEW_WORDS),
    _read("models", "models", "Registered models, their versions and aliases"),
    _read("models/production", "production", "What waits for approval, and what is served here"),
    _read(
        "models/judge", "judge", "What a gate would say of a run; nothing is changed or recorded", "run", "model",
        words=_PROMOTED,
    ),
    _read("models/decisions", "decisions", "What was decided about a model, in order", "model", words={"model": NAME}),
    _read("models/ancestry", "ancestry", "What a model version or a run came from", "name", words={"name": RUN}),
    _read("jobs", "jobs", "Work that is going on, and what it came to"),
    _write("init", "init", "Make the folder a ledger", words={"remote": LINE, "tracking_uri": LINE}),
    _write(
        "checkpoint", "checkpoint", "Commit notebooks, pointers and pipeline", "message",
        words={"message": MESSAGE, "paths": PATHS, "large": FLAG},
    ),
    _write("undo", "undo", "Take a checkpoint back; the work tree stays", "commit", words={"commit": COMMIT}),
    _write("flush", "flush", "Publish what waits in the journals"),
    _write("runs/tag", "set_tags", "Set tags of a run, or with null remove them", "run", "tags", words={"run": RUN, "tags": TAGS}),
    _write("runs/rename", "rename", "Give a run another name", "run", "name", words={"run": RUN, "name": RUN}),
    _write("runs/note", "note", "Write a run's note", "run", "text", words={"run": RUN, "text": MESSAGE}),
    _write("runs/delete", "delete", "Delete a run; MLflow keeps it until it is purged", "run", words={"run": RUN}),
    _write("runs/restore", "bring_back", "Bring a deleted run back", "run", words={"run": RUN}),
    _write(
        "promote", "promote", "Register a run's model, and point an alias at it", "run", "model",
        words={"run": RUN, "model": NAME, "alias": text(1_000), "logged": text(1_000)},
    ),
    _write(
        "alias", "alias", "Point an alias at a version of a model, or with null remove it", "model", "alias", "version",
        words={"model": NAME, "alias": NAME, "version": either(text(100, 1))},
    ),
    _write(
        "models/promote", "promote_if", "Promote a run's model, if a gate lets it pass", "run", "model", words=_PROMOTED,
    ),
    _write(
        "models/rollback", "rollback", "Point an alias at the version before", "model",
        words={"model": NAME, "alias": NAME, "to": text(100, 1)},
    ),
    _write("models/undeploy", "undeploy", "Stop serving a model on this machine", "model", words={"model": NAME}),
    _write(
        "models/approve", "approve", "Approve what waits, or refuse it", "model", "version",
        words={"model": NAME, "version": text(100, 1), "text": text(2_000), "refuse": FLAG},
    ),
    _write(
        "versions/use", "use_version", "Put a version of data in the place of the present one", "file", "commit",
        words={"file": PATH, "commit": COMMIT},
    ),
    Route("POST", "trust", "trust", "execute", says="Trust the project: what came with it may be executed"),
    Route("POST", "jobs", "job_start", "execute", _JOB_WORDS, ("kind",), says="Begin work that takes a while"),
    Route("DELETE", "jobs", "job_stop", "execute", {"id": JOB_ID}, ("id",), says="Stop such work"),
)  # fmt: skip
