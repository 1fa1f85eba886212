"""The words of ``push`` and ``pull``, as the core takes them, with what only the keeper knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbledger.core.project import Project

if TYPE_CHECKING:
    from nbledger.core import pull, push

_WORDS = {"push": ("runs", "tags", "allow_missing"), "pull": ("paths", "scopes")}


def asked(kind: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a job's words that the call of this kind takes."""
    return {name: words[name] for name in _WORDS[kind] if name in words}


def push_words(project: Project, args: Mapping[str, Any]) -> push.Wanted:
    from nbledger.core.push import Wanted
    from nbledger.keeper.overview import waiting

    found = waiting(project)
    return Wanted(
        runs=bool(args.get("runs", True)),
        tags=bool(args.get("tags", False)),
        allow_missing=bool(args.get("allow_missing", False)),
        waiting=sum(one.ended for one in found),
        unpublished=frozenset(one.path.name for one in found),
    )


def pull_words(args: Mapping[str, Any]) -> pull.Wanted:
    from nbledger.core.pull import Wanted

    return Wanted(tuple(args.get("paths") or ()), tuple(args.get("scopes") or ()))
