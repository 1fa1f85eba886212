"""What an action on models in production would do: approving, going back, serving, looking for drift."""

from __future__ import annotations

import shlex
from typing import Any

from nbledger.core import approval, driftjob, inside, mlflow, mlflow_decisions, mlflow_registry, tablediff
from nbledger.core.errors import Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.records import Preview
from nbledger.core.wording import counted
from nbledger.keeper import approving, deploying, moving, overview
from nbledger.keeper import rollback as rollbacks
from nbledger.keeper.calls import Args
from nbledger.keeper.views_run import stored

_NAMED = 10


def approve(project: Project, args: Args) -> Preview:
    """What one more approval comes to."""
    found = _pending(project, args)
    title = f"Approve {found.model} version {found.version}"
    if not found.mine:
        why = found.why_not or ("it expired" if found.state == approval.EXPIRED else "it does not wait")
        raise Refused(f"{title.lower()}: {why}", f"nbledger decisions {shlex.quote(found.model)} says what was decided")
    count = len(found.approved) + 1
    lines = [f"your approval is recorded as {count} of {found.needed}"]
    if count < found.needed:
        return Preview(title, (*lines, f"it waits for {counted(found.needed - count, 'more person', 'more people')}"))
    lines.append("nothing moves if the run was edited, or the alias was moved, since approval was asked for")
    before = f", no longer at version {found.previous}" if found.previous else ""
    return Preview(title, (*lines, f"the alias {found.alias} points at version {found.version}{before}"))


def refuse(project: Project, args: Args) -> Preview:
    """What a refusal comes to."""
    found = _pending(project, args)
    title = f"Refuse {found.model} version {found.version}"
    if not found.mine:
        raise Refused(f"{title.lower()}: {found.why_not or 'it does not wait'}")
    lines = (
        "your refusal and its reason are recorded",
        f"version {found.version} waits no more; {found.alias} stays as it is",
    )
    return Preview(title, lines)


def drift(project: Project, args: Args) -> Preview:
    """What would be compared with what."""
    driftjob.require()
    model, version = known(project, str(args["model"]), str(args.get("version") or ""))
    path = _table(project, str(args["file"]))
    names = [one.path for one in overview.run(project, str(version.run_id)).inputs] if version.run_id else []
    if args.get("reference"):
        other = inside.relative(project, str(args["reference"]))
        read = other in names
        lines = [f"{path} is compared with {other if read else _table(project, other)}"]
        lines.append(
            "  as the model's run read it" if read else "  as it is now: it is not among what the model's run read"
        )
    else:
        lines = [f"{path} is compared with the data that {model} version {version.version} was trained on"]
        lines += [f"  {name}" for name in names[:_NAMED]]
        lines += [f"  … and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    lines.append("the model predicts on both, in a process of its own, if its files are those that were promoted")
    title = f"Look for drift in {path}"
    return Preview(title, (*lines, "the report becomes a run of its own; nothing else changes"))


def _table(project: Project, named: str) -> str:
    """The path in the project of a table that there is."""
    path = inside.relative(project, named)
    place = project.root / path
    if not place.exists():
        raise UsageError(f"there is no {path[:200]}", "name a file of the project")
    if place.is_file() and not tablediff.suffix_of(place.name):
        raise UsageError(f"{path[:200]} is no table", "CSV, TSV, Parquet, JSON lines and Feather are read")
    return path


def rollback(project: Project, args: Args) -> Preview:
    """Where an alias would go back to."""
    model, alias = str(args["model"]), str(args.get("alias") or moving.CHAMPION)
    title = f"Roll {alias} of {model} back"
    found = rollbacks.decisions(project, {"model": model}, None)
    now = found.aliases.get(alias)
    if now is None:
        raise Refused(f"{alias} of {model} points at no version", "promote a run first")
    went, ever = mlflow_decisions.line(found.decisions, alias)[:-1], mlflow_decisions.ever(found.decisions, alias)
    api, wanted = mlflow.client(project), str(args.get("version") or "")
    target, notes = rollbacks.target_of(project, api, model, alias, now, wanted, went, ever)
    return Preview(
        title, (*notes, "it is recorded"), (f"{alias} points at version {target}, no longer at version {now}",)
    )


def deploy(project: Project, args: Args) -> Preview:
    """The steps of bringing a version into service on this machine."""
    words = {"name": f"{args['model']}/{args['version']}", "to": "local", "dry": True}
    done = deploying.deploy(project, words | ({"port": int(args["port"])} if args.get("port") else {}), None)
    return Preview(f"Deploy {done.model} version {done.version}", (*done.steps, *done.notes))


def undeploy(project: Project, args: Args) -> Preview:
    """What ends when a model is served no longer."""
    model = str(args["model"])
    served = next((one for one in deploying.deployments(project, {}, None) if one.model == model), None)
    if served is None:
        raise UsageError(f"the model {model} is not served here", "look again: it was stopped meanwhile")
    what = f"version {served.version}" if served.version else "it"
    lines = ["requests that are under way are answered first"]
    return Preview(f"Stop serving {model}", tuple(lines), (f"{what} is served at {served.endpoint} no longer",))


def known(project: Project, model: str, version: str) -> tuple[str, Any]:
    """(the model, a version of it: that of this number, else the champion). ``UsageError`` names what is not there."""
    mlflow_registry.check_names(model, "")
    api, uri = (mlflow.client(project) if stored(project) else None), project.tracking_uri
    there = mlflow_registry.existing(api, uri, model)
    aliases = {str(k): str(v) for k, v in there.aliases.items()}
    number = version or aliases.get("champion", "")
    if not number:
        raise UsageError(f"the model {model} has no champion", "name a version")
    found = mlflow_registry.version(api, uri, model, number)
    if found is None:
        raise UsageError(f"the model {model} has no version {number}")
    return model, found


def _pending(project: Project, args: Args) -> approval.Pending:
    model, version = str(args["model"]), str(args["version"])
    waiting = approving.approvals(project, {"model": model}, None)
    found = next((one for one in waiting if one.version == version), None)
    if found is None:
        raise UsageError(
            f"{model} version {version} does not wait for approval", "look again: it was decided meanwhile"
        )
    return found
