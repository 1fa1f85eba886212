"""``rollback``: an alias back to the version that it pointed at before; and ``decisions``: the record that it goes by."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from nbledger.core import gates, mlflow, mlflow_decisions, mlflow_lock, mlflow_registry
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.gate_language import CHAMPION
from nbledger.core.mlflow_decisions import Entry
from nbledger.core.project import Project
from nbledger.core.wording import some
from nbledger.keeper import approving, frontstate, moving, persons
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.views_run import stored


@dataclass(frozen=True)
class RolledBack:
    """``alias`` of ``model`` points at ``version`` again, and no longer at ``previous``; ``n`` is the decision's number.
    ``before``: where the next rollback would go.
    """

    model: str
    alias: str
    version: str
    previous: str
    n: int
    run_id: str | None
    by: str
    at: str
    text: str = ""
    before: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decisions:
    """All decisions about a model in their order, and where its aliases point now."""

    model: str
    decisions: tuple[Entry, ...]
    aliases: dict[str, str]


def rollback(project: Project, args: Args, progress: Progress | None) -> RolledBack:
    """Point ``alias`` of ``model`` at the version that it pointed at before, or at ``to``. ``Refused`` where it cannot go
    back; ``UsageError`` for a model or version that is not there.
    """
    model, alias = str(args["model"]).strip(), str(args.get("alias") or CHAMPION).strip()
    if alias in (moving.CANDIDATE, moving.PREVIOUS):
        raise UsageError(f"the alias {alias} is nbledger's own", f"it follows {CHAMPION}")
    api, uri = _store(project), project.tracking_uri
    _known(api, uri, model)
    by = persons.named(project, api)
    with mlflow_lock.held(api, uri, model, by) as held:
        now = moving.settled(held, alias)
        if now is None:
            raise Refused(
                f"{alias} of {model} points at no version",
                f"nbledger promote RUN --model {shlex.quote(model)}{moving.option(alias)} points it at one",
            )
        entries = mlflow_decisions.read(api, uri, model) or ()
        went, ever = mlflow_decisions.line(entries, alias)[:-1], mlflow_decisions.ever(entries, alias)
        target, notes = target_of(project, api, model, alias, now, str(args.get("to") or ""), went, ever)
        found = mlflow_registry.version(api, uri, model, target)
        if progress is not None:
            progress(0, 1, "moving the alias")
        written = approving.move(
            project,
            held,
            Entry(
                "rollback",
                alias,
                version=target,
                previous=now,
                run_id=str(found.run_id) if found is not None and found.run_id else None,
                by=by,
                text=str(args.get("text") or ""),
            ),
        )
        left = mlflow_decisions.line((*entries, written), alias)[:-1]
    return RolledBack(
        model,
        alias,
        target,
        now,
        written.n,
        written.run_id,
        written.by,
        written.at,
        written.text,
        left[-1] if left else None,
        (*notes, *_served(project, model, target)) if alias == CHAMPION else notes,
    )


def target_of(
    project: Project, api: Any, model: str, alias: str, now: str, wanted: str, went: list[str], ever: set[str]
) -> tuple[str, tuple[str, ...]]:
    """The version to go back to, and what was passed over on the way there: the last of those that the alias ``went`` through, or
    the ``wanted`` one, which has to be among all that it ``ever`` pointed at where the alias demands a gate.
    """
    uri = project.tracking_uri

    def there(number: str) -> bool:
        return mlflow_registry.version(api, uri, model, number) is not None

    if wanted:
        if wanted == now:
            raise Refused(f"{alias} of {model} points at version {now} already")
        if not there(wanted):
            raise UsageError(f"the model {model} has no version {wanted[:20]!r}", _versions(ever))
        demanded = gates.demanded(project.settings, model, alias)
        if demanded is not None and wanted not in ever:
            raise Refused(
                f"{alias} of {model} never pointed at version {wanted}, and it demands the gate {demanded.name}",
                f"nbledger promote RUN --model {shlex.quote(model)}{moving.option(alias)} asks the gate",
            )
        return wanted, ()
    kept = [number for number in went if number != now]
    gone = [number for number in kept if not there(number)]
    left = [number for number in kept if number not in gone]
    if not left:
        why = f"version {some(gone)}, where it pointed before, is deleted" if gone else "it pointed at no other before"
        raise Refused(f"there is nothing that {alias} of {model} could go back to: {why}", "--to VERSION names one")
    newer = [number for number in gone if kept.index(number) > kept.index(left[-1])]
    return left[-1], tuple(f"version {number} is deleted, and passed over" for number in newer)


def _versions(ever: set[str]) -> str:
    known = sorted(ever, key=lambda number: (len(number), number))
    return f"it has pointed at {some(known)}" if known else "the Models page lists them"


def _served(project: Project, model: str, version: str) -> tuple[str, ...]:
    """A word about this machine's server where another version goes on serving."""
    try:
        state = frontstate.load(frontstate.folder_of(project, model))
    except LedgerError:
        return ()
    one = state.current if state is not None else None
    if one is None or one.version == version:
        return ()
    return (f"version {one.version} goes on serving here until: nbledger deploy {model}",)


def decisions(project: Project, args: Args, progress: Progress | None) -> Decisions:
    """Every decision about ``model``."""
    api, uri = _store(project), project.tracking_uri
    model = str(args["model"]).strip()
    known = _known(api, uri, model)
    return Decisions(
        model,
        mlflow_decisions.of_tags(known.tags),
        {str(alias): str(version) for alias, version in sorted(known.aliases.items())},
    )


def _store(project: Project) -> Any:
    return mlflow.client(project) if stored(project) else None


def _known(api: Any, uri: str, model: str) -> Any:
    """The registered model of that name; ``UsageError`` with the nearest names where there is none."""
    mlflow_registry.check_names(model, "")
    return mlflow_registry.existing(api, uri, model)
