"""The report of a branch as a notebook shows it: the page's own parts, in the notebook's theme."""

from __future__ import annotations

from nbledger.commands.report import Reported, done
from nbledger.core.report_html import fragment
from nbledger_magics.display import _box, escape


def html(found: Reported) -> str:
    """What was written and posted, then the report."""
    said = "".join(f"<div>{escape(line)}</div>" for line in done(found))
    return (_box(said) if said else "") + fragment(found.report)
