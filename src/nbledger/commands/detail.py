"""One run in plain text: everything recorded, a heading a kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbledger.commands.text import clip, duration, number, when

if TYPE_CHECKING:
    from nbledger.keeper.exact import ExactRun

_MOST = 60


def run(row: ExactRun) -> str:
    """The run's facts, then its parameters, metrics, inputs, notices, and what was edited since."""
    facts = {
        "run": row.run_id,
        "status": row.status,
        "experiment": row.experiment,
        "started": when(row),
        "took": duration(row),
        "notebook": row.notebook or "unknown",
        "code": f"{row.commit or 'no commit'}{' (a snapshot: the work tree differed from HEAD)' if row.dirty else ''}",
        "data": row.tags.get("nbledger.data.state", ""),
        "cells": row.tags.get("nbledger.order", ""),
        "environment": row.tags.get("nbledger.env.digest", ""),
        "seeds": row.tags.get("nbledger.seeds", "").replace("{}", ""),
        "user": row.tags.get("mlflow.user", ""),
    }
    parts = [clip(row.name, 100), _block((k, v) for k, v in facts.items() if v)]
    for title, pairs in (
        ("parameters", list(row.params.items())),
        ("metrics", [(k, number(v)) for k, v in row.metrics.items()]),
        ("inputs", [(i.path, i.md5) for i in row.inputs]),
    ):
        if pairs:
            more = f"\n  and {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
            parts += [f"\n{title}", _block(pairs[:_MOST]) + more]
    notices = row.notices or tuple(filter(None, row.tags.get("nbledger.notices", "").split("; ")))
    for title, lines in (("notices", notices), ("changed in the store since the run ended", row.edited)):
        if lines:
            more = f"\n  and {len(lines) - _MOST} more" if len(lines) > _MOST else ""
            parts += [f"\n{title}", "\n".join(f"  {clip(line, 200)}" for line in lines[:_MOST]) + more]
    return "\n".join(parts)


def _block(pairs: Iterable[tuple[str, str]]) -> str:
    listed = [(clip(k, 60), clip(v, 120)) for k, v in pairs]
    width = max((len(k) for k, _ in listed), default=0)
    return "\n".join(f"  {k.ljust(width)}  {v}" for k, v in listed)
