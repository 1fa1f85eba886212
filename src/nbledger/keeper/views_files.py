"""Calls that look at files: what changed, which versions there are, the pipeline, what an action would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbledger.core.project import Project
from nbledger.keeper.calls import Args, Progress

if TYPE_CHECKING:
    from nbledger.core.diffs import Diff
    from nbledger.core.pipeline import Pipeline
    from nbledger.core.records import Preview
    from nbledger.core.versions import Reader, Versions


def diff(project: Project, args: Args, progress: Progress | None) -> Diff:
    """What changed in ``file`` since the last commit."""
    from nbledger.core import diffs

    return diffs.diff(project, str(args["file"]))


def versions(project: Project, args: Args, progress: Progress | None) -> Versions:
    """The versions of ``file`` that history knows, with the runs that read them."""
    from nbledger.core import versions as core

    return core.versions(project, str(args["file"]), lambda path: _readers(project, path))


def pipeline(project: Project, args: Args, progress: Progress | None) -> Pipeline:
    """Every ``dvc.yaml`` as a graph."""
    from nbledger.core import pipeline as core

    return core.pipeline(project)


def preview(project: Project, args: Args, progress: Progress | None) -> Preview:
    """What the action ``kind`` would do with the same words; nothing is done."""
    from nbledger.keeper import previews

    return previews.preview(project, str(args["kind"]), args)


def _readers(project: Project, path: str) -> Mapping[str, Sequence[Reader]]:
    """{MD5: the runs that read it} of what was read at ``path``, the newest runs first."""
    import json

    from nbledger.core.errors import LedgerError
    from nbledger.core.versions import Reader
    from nbledger.keeper import table

    try:
        rows = table.of(project).answer().rows
    except LedgerError:
        return {}  # the tracking server is away: the versions are worth showing all the same
    mark = f'"path":{json.dumps(path)}'
    found: dict[str, list[Reader]] = {}
    for text in rows:
        if mark not in text:  # most rows need not be parsed
            continue
        row = json.loads(text)
        for md5 in {one["md5"] for one in row["inputs"] if one["path"] == path}:
            found.setdefault(md5, []).append(Reader(row["run_id"], row["name"]))
    return found
