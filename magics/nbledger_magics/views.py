"""Which view shows which record, by the record's name: neither is imported before there is one to show."""

from __future__ import annotations

import importlib
from typing import Any

_VIEWS = {
    "nbledger.keeper.gating.Decision": ("promotion", "decision"),
    "nbledger.keeper.rollback.Decisions": ("promotion", "record"),
    "nbledger.keeper.rollback.RolledBack": ("promotion", "rolled_back"),
    "nbledger.keeper.approving.Approval": ("approvals", "answered"),
    "nbledger.core.approval.Pending": ("approvals", "waiting"),
    "nbledger.core.ancestry_graph.Ancestry": ("ancestry", "html"),
    "nbledger.core.deploy.Deployed": ("serving", "deployed"),
    "nbledger.core.deploy.Deployment": ("serving", "listed"),
    "nbledger.core.driftrecord.Drift": ("drifting", "html"),
    "nbledger.commands.report.Reported": ("reporting", "html"),
}
"""Of a list: the view of its members takes all of them."""


def html(data: Any) -> str | None:
    """The record as HTML; None where no view is for it."""
    if isinstance(data, dict) and len(data) == 1:  # {"approvals": […]}
        (data,) = data.values()
    first = data[0] if isinstance(data, list | tuple) and data else data
    kind = type(first)
    name = _VIEWS.get(f"{kind.__module__}.{kind.__qualname__}")
    if name is None:
        return None
    view = getattr(importlib.import_module(f"nbledger_magics.{name[0]}"), name[1])
    return str(view(data))
