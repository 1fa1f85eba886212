"""``lineage``: where a model version or a run comes from; with ``--back``, what came of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, at_a_project, at_remote, json_option
from nbledger.core.ancestry_graph import DEPTH, Ancestry
from nbledger.core.errors import UsageError
from nbledger.core.project import Project

_MD5 = re.compile(r"[0-9a-f]{6,32}(\.dir)?")
_SHORT = re.compile(r"[0-9a-f]{1,5}")


@click.command()
@click.argument("name", required=False)
@click.option(
    "--back",
    metavar="PATH[@MD5]",
    help="The other way: every run and model that saw this file (or models:/NAME@ALIAS), and what came of it.",
)
@click.option("--graph", is_flag=True, help="As a tree.")
@click.option("--mermaid", is_flag=True, help="As a Mermaid flowchart, which GitHub draws in Markdown.")
@click.option("--openlineage", is_flag=True, help="As OpenLineage events, one JSON object a line.")
@click.option(
    "--depth", default=DEPTH, show_default=True, type=click.IntRange(0, 1000), help="How many runs to follow at most."
)
@click.option("--offline", is_flag=True, help="Do not ask the data remote which of the data it has.")
@json_option
@click.pass_obj
def lineage(
    face: Face,
    name: str | None,
    back: str | None,
    graph: bool,
    mermaid: bool,
    openlineage: bool,
    depth: int,
    offline: bool,
    as_json: bool,
) -> Answer:
    """Show where a model version or a run comes from: runs, code, stages and data, as far back as it is recorded.

    NAME: MODEL@ALIAS, MODEL/VERSION, MODEL (its champion), or a run. Nothing is loaded or executed.
    """
    if sum((graph, mermaid, openlineage, as_json)) > 1:
        raise UsageError("--graph, --mermaid, --openlineage and --json are ways to show the same", "take one of them")
    if (name is None) == (back is None):
        raise UsageError(
            "lineage needs a name, or --back with a file"
            if name is None
            else "--back asks about a file, not about a run",
            "e.g. nbledger lineage wine@champion, or nbledger lineage --back data/wine.csv",
        )
    at_a_project(face)
    call, words = "ancestry", {"name": name}
    if back is not None:
        call, words = "descendants", dict(zip(("path", "md5"), _file(face.project(), back), strict=True))
    asking = ask if offline else at_remote
    try:
        found: Ancestry = asking(face, call, {**words, "depth": depth, "remote": not offline})
    except UsageError as err:
        if (few := _SHORT.fullmatch((back or "").rpartition("@")[2])) and "@" in str(back):
            raise UsageError(err.message, f"an MD5 may be cut to 6 digits, and not to {len(few[0])}") from err
        raise
    text = _shown(face.project(), found, graph=graph, mermaid=mermaid, openlineage=openlineage)
    return Answer(found, text, plain=graph or mermaid or openlineage)


def _file(project: Project, named: str) -> tuple[str, str]:
    """(path from the project's root, MD5 or nothing). What lies outside is named as records have it: absolute. A model's version
    is named as MLflow does.
    """
    if named.startswith("models:/"):
        return named, ""
    path, at, md5 = named.rpartition("@")
    if not at or not path or not _MD5.fullmatch(md5):
        path, md5 = named, ""
    place = os.path.abspath(path)
    return project.relative(Path(place)) or place, md5


def _shown(project: Project, found: Ancestry, *, graph: bool, mermaid: bool, openlineage: bool) -> str:
    if mermaid:
        from nbledger.core.ancestry_chart import flowchart

        return flowchart(found)
    if openlineage:
        from nbledger.core.openlineage import lines

        return lines(project, found)
    from nbledger.commands import lineage_text

    return lineage_text.tree(found) if graph else lineage_text.lineage(found)
