"""One run in plain text: everything recorded, a heading a kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbledger.commands.text import clip, duration, number, when
from nbledger.core import modeluse, people
from nbledger.core.runrows import code_words, made_by

if TYPE_CHECKING:
    from nbledger.core.records import RunRow
    from nbledger.keeper.exact import ExactRun

_MOST = 60
_LONG = 400


def run(row: ExactRun) -> str:
    """The run's facts, then its parameters, metrics, inputs, notices, and what was edited since."""
    facts = {
        "run": row.run_id,
        "status": row.status,
        "error": " ".join(row.error.split()),
        "experiment": row.experiment,
        "started": when(row),
        "took": duration(row),
        "user": user(row),
        "recorded by": made_by(row) if row.foreign else "",
        "notebook" if not row.foreign or (row.notebook or "").endswith(".ipynb") else "source": row.notebook
        or "unknown",
        "code": code_words(row),
        "branch": row.branch or "",
        "data": row.tags.get("nbledger.data.state", ""),
        "loaded": ", ".join(use.words for use in modeluse.read(row.tags.get(modeluse.TAG))[:10]),
        "cells": row.tags.get("nbledger.order", ""),
        "environment": row.tags.get("nbledger.env.digest", ""),
        "seeds": row.tags.get("nbledger.seeds", "").replace("{}", ""),
        "not known": "cells, environment, files read and written: nbledger did not record this run"
        if row.foreign
        else "",
    }
    parts = [clip(row.name, 100), _block(((k, v) for k, v in facts.items() if v), _LONG)]
    for title, pairs in (
        ("parameters", list(row.params.items())),
        ("metrics", [(k, number(v)) for k, v in row.metrics.items()]),
        ("data sets, by MLflow's digests" if row.foreign else "inputs", [(i.path, i.md5) for i in row.inputs]),
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


def user(row: RunRow) -> str:
    """Who made it, with the login where Git's identity was noted, and where."""
    login = row.tags.get(people.LOGIN, "")
    where = [login] if login and row.user not in (None, login) else []
    said = row.user or people.UNKNOWN
    return said + (f" ({'@'.join([*where, row.host])})" if row.host else f" ({login})" if where else "")


def _block(pairs: Iterable[tuple[str, str]], most: int = 120) -> str:
    listed = [(clip(k, 60), clip(v, most)) for k, v in pairs]
    width = max((len(k) for k, _ in listed), default=0)
    return "\n".join(f"  {k.ljust(width)}  {v}" for k, v in listed)
