"""What a run wrote, told in one tag of the run, so that a store can be asked which run wrote a file.

The record of a run, ``nbledger/outputs.json``, says the same and more, but is an artifact: to look for a file in the
records of ten thousand runs would be ten thousand downloads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbledger.core.lineage import FileRecord

TAG = "nbledger.outputs"
"""Tag of a run: ``{path: md5}`` of the files that it wrote, as JSON in ASCII; ``""`` stands for those left out: their number."""
_LONGEST = 4_000
"""Characters; every store takes as many."""


@dataclass(frozen=True)
class Wrote:
    """``files``: {path: md5}; ``whole``: whether these are all that were hashed."""

    files: dict[str, str] = field(default_factory=dict)
    whole: bool = True


def text(outputs: Iterable[FileRecord]) -> str:
    """The tag's value. Files without a hash are none that could be looked for."""
    found = {record.path: record.md5 for record in outputs if record.md5}
    if len(whole := _json(found)) <= _LONGEST:
        return whole
    kept: dict[str, str] = {}
    size = 30
    for path, md5 in found.items():
        size += len(_json({path: md5}))
        if size > _LONGEST:
            break
        kept[path] = md5
    return _json({**kept, "": str(len(found) - len(kept))})


def read(value: str | None) -> Wrote | None:
    """What ``text`` wrote; None where it is missing, or is anything else (people can edit tags)."""
    try:
        found = json.loads(value or "")
        files = {str(path): str(md5) for path, md5 in found.items()}
    except (ValueError, AttributeError, RecursionError):
        return None
    return Wrote({path: md5 for path, md5 in files.items() if path}, "" not in files)


def _json(files: dict[str, str]) -> str:
    return json.dumps(files, separators=(",", ":"))
