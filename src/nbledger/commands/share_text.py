"""What was sent, what came, and what would be, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbledger.core.wording import counted, some

if TYPE_CHECKING:
    from nbledger.core.records import Preview


def pushed(done: Mapping[str, Any]) -> str:
    """One line for commits and snapshots, one for data, then the notes, then what others cannot restore."""
    lines = []
    if done["remote"]:
        what = [counted(done["commits"], "commit")] if done["commits"] else []
        what += [counted(done["tags"], "tag")] if done["tags"] else []
        what += [f"snapshots of {counted(done['runs'], 'run')}"] if done["runs"] else []
        sent = f"pushed {_and(what)}: {done['branch']} → {done['remote']}"
        lines.append(sent if what else f"{done['remote']} has all of {done['branch']} already")
        if done["upstream"]:
            lines.append(f"{done['remote']}/{done['branch']} is the upstream of {done['branch']} now")
    lines.append(
        f"pushed {counted(done['data'], 'data file')}" if done["data"] else "no data were missing in the data remote"
    )
    lines += done["notes"]
    if done["gaps"]:
        from nbledger.core.restorable import Gap, told

        lines += ["others cannot restore:", *(f"  {line}" for line in told([Gap(**gap) for gap in done["gaps"]]))]
    return "\n".join(lines)


def _and(what: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(what[:-1]), what[-1]))) if what else ""


def pulled(done: Mapping[str, Any]) -> str:
    lines = []
    if done["remote"]:
        what = [counted(done["commits"], "commit")] if done["commits"] else []
        what += [f"snapshots of {counted(done['runs'], 'run')}"] if done["runs"] else []
        words = f"pulled {' and '.join(what)}" if what else "up to date"
        lines.append(f"{words}: {done['branch']} ← {done['remote']}")
    data = done["data"]
    lines.append(f"data brought: {some(data)}" if data else "no data were missing")
    if done["objects"]:
        lines.append(f"into the cache, of other versions: {counted(done['objects'], 'data object')}")
    return "\n".join([*lines, *done["notes"]])


def foreseen(found: Preview) -> str:
    lines = list(found.lines)
    if found.overwrites:
        lines += ["replaced in the work tree:", *(f"  {line}" for line in found.overwrites)]
    return "\n".join(lines)
