"""How a moment is written in what nbledger records: ISO 8601 in UTC, to the millisecond."""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """This moment."""
    return stamp(dt.datetime.now(dt.UTC))


def stamp(moment: dt.datetime) -> str:
    """A moment that knows its time zone."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
