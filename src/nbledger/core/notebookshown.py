"""A notebook as text that reads well in a diff: cells with their source, below a line each that names the cell.

Git calls this for both sides of ``git diff``, ``git log -p`` and ``git show``; only the standard library is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nbledger.core import notebookclean

HEADING = "# %% "
"""Begins the line above each cell; Git shows that line as what a change lies in. It stands in ``.git/config``, which DVC's
experiments (3.67) can copy only if it is ASCII.
"""


def shown(data: bytes) -> bytes:
    """The text of a notebook; what is none is shown as it is."""
    try:
        notebook = notebookclean.stripped(notebookclean.read(data))
        return ("\n".join(_lines(notebook)) + "\n").encode("utf-8", "backslashreplace")
    except (notebookclean.NoNotebook, RecursionError, TypeError, AttributeError, KeyError):
        return data


def _lines(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        yield HEADING + " ".join(filter(None, (str(cell["cell_type"]), str(cell.get("id", "")), _tags(cell))))
        yield from str(cell.get("source", "")).splitlines()
        if others := {k: v for k, v in cell["metadata"].items() if k != "tags"}:
            yield f"# metadata: {_json(others)}"
        for name, bundle in cell.get("attachments", {}).items():
            yield f"# attachment {name}: {', '.join(f'{mime}, {len(str(v)):,} bytes' for mime, v in bundle.items())}"
        for output in cell.get("outputs", ()):
            yield from _output(output)
        yield ""
    yield HEADING + "notebook"
    yield f"# format {notebook['nbformat']}.{notebook.get('nbformat_minor', 0)}"
    for key, value in sorted(notebook["metadata"].items()):
        yield f"# {key}: {_json(value)}"


def _tags(cell: dict[str, Any]) -> str:
    tags = cell["metadata"].get("tags") or []
    return f"[{', '.join(map(str, tags))}]" if tags else ""


def _output(output: dict[str, Any]) -> Iterator[str]:
    """An output that a cell is to keep: its text; of pictures and the like the size."""
    data = output.get("data") or {}
    text = output.get("text", data.get("text/plain", output.get("evalue", "")))
    yield from (f"# > {line}" for line in str(text).splitlines())
    for mime, value in data.items():
        if mime != "text/plain":
            yield f"# > {mime}, {len(value if isinstance(value, str) else _json(value)):,} bytes"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
