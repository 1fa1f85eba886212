"""What the keeper can be asked: a table of names and functions, the same that run in process where no keeper is."""

from __future__ import annotations

import dataclasses
import importlib
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.core.project import Project, find
from nbledger.keeper import schemas, words

if TYPE_CHECKING:
    from nbledger.core.differences import Comparison
    from nbledger.core.record import Located
    from nbledger.core.records import RunRow, Status, Tracked

Progress = Callable[[int, int, str], None]
Args = Mapping[str, Any]


def context(project: Project) -> dict[str, Any]:
    """What a call must carry so that another process sees the same project and store."""
    return {"cwd": str(project.root), "uri": project.tracking_uri, "experiment": project.experiment}


def project_of(where: Mapping[str, Any]) -> Project:
    """The project that ``context`` described."""
    words.check(where, schemas.CONTEXT, "the context")
    from nbledger.core import mlflow

    project = find(Path(str(where["cwd"])))
    mlflow.remember_login(str(where["uri"]))
    settings = dataclasses.replace(
        project.settings, tracking_uri=str(where["uri"]), experiment=str(where["experiment"])
    )
    return dataclasses.replace(project, settings=settings)


def _track(project: Project, args: Args, progress: Progress | None) -> list[Tracked]:
    from nbledger.core.track import track

    return track(
        project,
        args["paths"],
        args.get("message"),
        push=args.get("push", False),
        commit=args.get("commit", True),
        follow_symlinks=args.get("follow_symlinks", False),
        take_back=args.get("take_back", False),
        cwd=Path(args["cwd"]) if args.get("cwd") else None,
        progress=progress,
    )


def _status(project: Project, args: Args, progress: Progress | None) -> Status:
    from nbledger.keeper.overview import status

    return status(project)


def _runs(project: Project, args: Args, progress: Progress | None) -> list[RunRow]:
    from nbledger.core import whoami
    from nbledger.core.people import Whose
    from nbledger.keeper.overview import runs

    return runs(
        project,
        text=args.get("text", ""),
        sort=args.get("sort", ""),
        limit=args.get("limit", 50),
        experiment=args.get("experiment"),
        whose=Whose(tuple(args.get("mine") or ()), args.get("user") or "", whoami.mailmap(project)),
        progress=progress,
    )


def _show(project: Project, args: Args, progress: Progress | None) -> RunRow:
    from nbledger.keeper.exact import shown

    return shown(project, str(args["run"]))


def _init(project: Project, args: Args, progress: Progress | None) -> list[str]:
    from nbledger.core.setup import initialise

    return initialise(
        project,
        remote=args.get("remote"),
        tracking_uri=args.get("tracking_uri"),
        remote_options=args.get("remote_options") or (),
    )


def _flush(project: Project, args: Args, progress: Progress | None) -> dict[str, Any]:
    from nbledger.keeper.publish import flush

    left, reasons = flush(project, progress)
    return {"left": left, "reasons": reasons}


def _run_id(project: Project, args: Args, progress: Progress | None) -> str | None:
    """Create the run of an open journal now; its MLflow id."""
    from nbledger.keeper import journal, publish

    publish.publish(project, journal.folder(project) / str(args["journal"]))
    return publish.run_id_of(project, str(args["journal"]))


def _record(project: Project, args: Args, progress: Progress | None) -> Located:
    """A run, and the folder of its record."""
    from nbledger.core.record import Located, folder_of
    from nbledger.keeper.overview import run

    row = run(project, str(args["run"]))
    folder = folder_of(project, row)
    return Located(row, str(folder) if folder else None)


def _tag(project: Project, args: Args, progress: Progress | None) -> None:
    """Set tags of a run."""
    from nbledger.core import mlflow, mlflow_write

    mlflow_write.log(mlflow.client(project), project.tracking_uri, str(args["run"]), tags=dict(args["tags"]))


def _compare(project: Project, args: Args, progress: Progress | None) -> Comparison:
    from nbledger.core import environment
    from nbledger.core.compare import compare
    from nbledger.keeper.publish import flush

    left, reasons = flush(project, progress)
    if left:  # a store that was busy just now
        left, reasons = flush(project)
    found = compare(
        project,
        args["names"],
        everything=args.get("everything", False),
        metric=args.get("metric"),
        here=environment.from_dict(args["here"]) if args.get("here") else None,
    )
    if not left:
        return found
    waiting = f"{left} runs are not published whole: {'; '.join(reasons)}"
    return dataclasses.replace(found, notes=(*found.notes, waiting))


TABLE: dict[str, Callable[[Project, Args, Progress | None], Any]] = {
    "track": _track,
    "status": _status,
    "runs": _runs,
    "show": _show,
    "init": _init,
    "flush": _flush,
    "run_id": _run_id,
    "compare": _compare,
    "record": _record,
    "tag": _tag,
}


_VIEWS = {
    "nbledger.keeper.views_state": ("state", "me"),
    "nbledger.keeper.views_table": ("table", "table_changes", "search", "series", "children"),
    "nbledger.keeper.views_run": ("detail", "notebook", "compare_notebooks", "markdown"),
    "nbledger.keeper.views_files": ("diff", "versions", "pipeline", "preview"),
    "nbledger.keeper.deeds_run": ("set_tags", "rename", "note", "delete", "bring_back"),
    "nbledger.keeper.deeds_models": ("models", "promote", "alias"),
    "nbledger.keeper.views_models": ("production", "judge"),
    "nbledger.keeper.ancestry": ("ancestry", "descendants"),
    "nbledger.keeper.promote": ("promote_if",),
    "nbledger.keeper.rollback": ("rollback", "decisions"),
    "nbledger.keeper.approving": ("approve", "approvals"),
    "nbledger.keeper.drifting": ("drift",),
    "nbledger.keeper.deploying": ("deploy", "deployments", "undeploy"),
    "nbledger.keeper.deeds_files": ("checkpoint", "undo", "use_version", "push", "pull", "sent", "trust"),
    "nbledger.keeper.collecting": ("gc",),
    "nbledger.keeper.reporting": ("report",),
    "nbledger.keeper.remotes": ("data_remote",),
    "nbledger.keeper.jobs": ("jobs", "job_start", "job_stop"),
}
"""Modules of calls whose functions bear the call's name; they are imported when they are first called."""


def _later(module: str, name: str) -> Callable[[Project, Args, Progress | None], Any]:
    def call(project: Project, args: Args, progress: Progress | None) -> Any:
        return getattr(importlib.import_module(module), name)(project, args, progress)

    return call


_OF_THE_REGISTRY = frozenset(
    {
        "promote_if",
        "promote",
        "judge",
        "alias",
        "rollback",
        "decisions",
        "approve",
        "approvals",
        "ancestry",
        "descendants",
    }
)
"""Calls that are answered by the project's own registry, or not at all."""

GIVEN_UP = frozenset({"promote_if", "rollback"})
"""Calls that are not carried out for somebody who has gone meanwhile; each tells its progress before it changes anything."""

TABLE |= {name: _later(module, name) for module, names in _VIEWS.items() for name in names}


def perform(project: Project, name: str, args: Args, progress: Progress | None = None) -> Any:
    """Run a call in this process, if its words are what its schema allows."""
    words.check(args, schemas.CALLS[name])
    if name in _OF_THE_REGISTRY:
        project.require_registry()
    return TABLE[name](project, args, progress)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A result that is JSON already: what is large is put together from pieces, not encoded again at every call."""

    text: str


def text(result: Any) -> str:
    """A result as JSON."""
    return result.text if isinstance(result, Encoded) else json.dumps(encode(result))


def encode(result: Any) -> Any:
    """A result as JSON can carry it."""
    from nbledger.core.records import plain

    return json.loads(result.text) if isinstance(result, Encoded) else plain(result)


def decode(name: str, result: Any) -> Any:
    """The records that ``encode`` flattened."""
    from nbledger.core.differences import Comparison
    from nbledger.core.record import Located
    from nbledger.core.records import RunRow, Status, Tracked

    kinds: dict[str, Any] = {"track": list[Tracked], "status": Status, "runs": list[RunRow]}
    kinds |= {"compare": Comparison, "record": Located}
    if name == "show":
        from nbledger.keeper.exact import ExactRun

        kinds[name] = ExactRun
    elif name == "children":
        from nbledger.core.children import Family

        kinds[name] = Family
    elif name == "report":
        from nbledger.core.report import Report

        kinds[name] = Report
    elif name in ("ancestry", "descendants"):
        from nbledger.core.ancestry_graph import Ancestry

        kinds[name] = Ancestry
    elif name == "drift":
        from nbledger.core.driftrecord import Drift

        kinds[name] = Drift
    elif name in ("deploy", "deployments", "undeploy"):
        from nbledger.core.deploy import Deployed, Deployment

        kinds |= {"deploy": Deployed, "deployments": list[Deployment], "undeploy": Deployment}
    elif name == "promote_if":
        from nbledger.keeper.gating import Decision

        kinds[name] = Decision
    elif name in ("rollback", "decisions"):
        from nbledger.keeper.rollback import Decisions, RolledBack

        kinds |= {"rollback": RolledBack, "decisions": Decisions}
    elif name in ("approve", "approvals"):
        from nbledger.core.approval import Pending
        from nbledger.keeper.approving import Approval

        kinds[name] = Approval if name == "approve" else list[Pending]
    return built(kinds[name], result) if name in kinds else result


_hints = cache(typing.get_type_hints)


def built(kind: Any, value: Any) -> Any:
    """The dataclass (or a list, table or union of such) that ``encode`` made plain."""
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        inner = next(part for part in typing.get_args(kind) if part is not types.NoneType)
        return None if value is None else built(inner, value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{k: built(hints[k], v) for k, v in value.items() if k in hints})
    if origin in (list, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        inner = typing.get_args(kind)[0]
        return origin(built(inner, v) for v in value)
    if origin is dict:
        inner = typing.get_args(kind)[1]
        return {k: built(inner, v) for k, v in value.items()}
    if kind is float and isinstance(value, str):
        return float(value)
    return value
