"""What the sidebar shows of models in production: what waits for approval, what this machine serves, what a gate would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbledger.core.approval import Pending
from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import approving, promote
from nbledger.keeper.calls import Args, Progress


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
    """A version that is served here (``IServing``). ``healthy`` is None while it is not known."""

    model: str
    version: str
    alias: str
    url: str
    port: int | None
    state: str
    healthy: bool | None
    since: str | None
    digest: str
    text: str = ""


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
    return Production(tuple(_waiting(one) for one in waiting), (), tuple(problems))


def judge(project: Project, args: Args, progress: Progress | None) -> promote.Decision:
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
