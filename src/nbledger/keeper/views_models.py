"""What the sidebar shows of models in production: what waits for approval, what this machine serves, what a gate would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbledger.core.approval import Pending
from nbledger.core.deploy import Deployment
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import approving, deploying, promote
from nbledger.keeper.calls import Args, Progress
from nbledger.keeper.gating import Decision


@dataclass(frozen=True)
class Waiting:
    """A version that passed its gate and waits (``IWaiting``). ``holder``: the version that the alias pointed at when it was
    asked; ``mine``: whether this person may approve it, and ``why_not``.
    """

    model: str
    version: str
    alias: str
    holder: str | None
    run_id: str
    run_name: str
    by: str
    at: str
    expires: str | None
    needed: int
    approved: tuple[str, ...]
    condition: str
    figures: dict[str, float]
    mine: bool
    why_not: str


@dataclass(frozen=True)
class Serving:
    """A model that is served here (``IServing``). ``version`` is None before the first one serves, ``coming`` the one that is
    being brought into service; ``healthy`` is None while that is not known; ``text`` says what the last order came to.
    """

    model: str
    version: str | None
    url: str
    port: int
    state: str
    healthy: bool | None
    since: str | None
    digest: str
    requests: int
    failures: int
    coming: str | None
    text: str


@dataclass(frozen=True)
class Production:
    """``problems``: what could not be asked, as errors; the rest is there all the same."""

    waiting: tuple[Waiting, ...] = ()
    serving: tuple[Serving, ...] = ()
    problems: tuple[dict[str, Any], ...] = field(default=())


def production(project: Project, args: Args, progress: Progress | None) -> Production:
    """What waits for somebody's approval, and what is served from this project."""
    problems: list[dict[str, Any]] = []
    waiting = _asked(lambda: approving.approvals(project, {}, None), problems)
    serving = _asked(lambda: deploying.deployments(project, {}, None), problems)
    return Production(tuple(map(_waiting, waiting)), tuple(map(_serving, serving)), tuple(problems))


def judge(project: Project, args: Args, progress: Progress | None) -> Decision:
    """What ``promote_if`` would decide; nothing is made, moved or recorded."""
    return promote.promote_if(project, {**args, "dry": True}, progress)


def _asked(look: Callable[[], list[Any]], problems: list[dict[str, Any]]) -> list[Any]:
    """What is found; where it cannot be asked, that is one of the problems."""
    try:
        return look()
    except LedgerError as err:
        problems.append({"error": err.message, "hint": err.hint, "code": err.exit_code})
        return []


def _waiting(one: Pending) -> Waiting:
    return Waiting(
        one.model,
        one.version,
        one.alias,
        one.previous,
        one.run_id,
        one.run_name,
        one.by,
        one.at,
        one.expires or None,
        one.needed,
        tuple(given.by for given in one.approved),
        one.condition,
        one.figures,
        one.mine,
        one.why_not,
    )


def _serving(one: Deployment) -> Serving:
    healthy = {"ok": True, "starting": None}.get(one.health, False)
    return Serving(
        one.model,
        one.version,
        one.endpoint,
        one.port,
        one.health,
        healthy,
        one.since or None,
        one.digest,
        one.requests,
        one.failures,
        one.coming,
        one.last,
    )
