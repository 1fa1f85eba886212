"""What a job came to, in a few words for a person."""

from __future__ import annotations

from typing import Any

from nbledger.core.wording import counted, some


def said(kind: str, result: Any) -> str:
    """One line about the answer (as plain JSON) of a verb that did its work."""
    if kind == "track":
        return _tracked(result)
    if kind == "push":
        names = [gap["what"] for gap in result["gaps"]]
        lacking = f"; others cannot restore {some(names, 2)}" if names else ""
        return _shared("pushed", result, counted(result["data"], "data file")) + lacking
    if kind == "pull":
        data = result["data"]
        return _shared("pulled", result, counted(len(data), "data set"))
    if kind == "deploy":
        name = f"{result['model']} version {result['version']}"
        return f"{name} serves at {result['endpoint']}" if result["ok"] else f"{name} is not served: {result['text']}"
    if kind == "drift":
        return f"{result['model']} version {result['version']}: {result['verdict']}"
    if result["verdict"]:
        return f"{result['name']}: {result['verdict']}"
    return f"{result['name']} is restored"


def waiting(flushed: Any) -> str:
    """What a flush left, and why."""
    return f"{counted(flushed['left'], 'run waits', 'runs wait')} to be published: {'; '.join(flushed['reasons'])}"


def _tracked(rows: Any) -> str:
    names = [row["path"] for row in rows]
    changed = any(row["changed"] for row in rows)
    what = some(names, 3)
    verb = "is" if len(names) == 1 else "are"
    return f"{what} {verb} tracked" if changed else f"{what}: nothing has changed"


def _shared(verb: str, result: Any, data: str) -> str:
    counts = [counted(result["commits"], "commit"), counted(result["runs"], "run"), data]
    what = [text for text in counts if not text.startswith("0 ")]
    return f"{verb} {', '.join(what)}" if what else "everything was there already"
