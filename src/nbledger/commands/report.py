"""``report``: what a branch changes, for its reviewers: printed, written as a page, or as the one comment on a pull request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, at_remote, json_option
from nbledger.commands.text import clip
from nbledger.core import files, forge, forge_comment, report_markdown
from nbledger.core.errors import LedgerError, UsageError
from nbledger.core.forge_comment import CREATED, OLDER, UNCHANGED, Posted
from nbledger.core.project import Project
from nbledger.core.report import Report

_AS_IT_LIES = "auto"
"""Whether it is GitHub or GitLab, CI says, or the address of ``origin``."""
_DONE = {
    CREATED: "posted as a comment on {}",
    UNCHANGED: "the comment on {} says the same already",
    OLDER: "the comment on {} is of a newer run, and was left",
}


@dataclass(frozen=True)
class Reported:
    """The report, the files that were written, what was done to the comment (None: nothing was posted), and on what."""

    report: Report
    written: tuple[str, ...] = ()
    posted: Posted | None = None
    where: str = ""


@dataclass(frozen=True)
class _Wanted:
    """Where to post, as the words of the command say."""

    to: str
    repository: str
    number: int | None
    key: str
    via: str


@click.command()
@click.option("--base", metavar="REF", help="What the branch is merged into (default: as CI says, else origin's HEAD).")
@click.option("--head", metavar="REF", help="The branch, tag or commit that is reported (default: HEAD).")
@click.option("--fetch", is_flag=True, help="Bring tables that changed from the data remote, to compare them.")
@click.option("--markdown", metavar="FILE", type=click.Path(dir_okay=False), help="Write it there as Markdown.")
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False), help="Write it there as one HTML page.")
@click.option(
    "--post",
    is_flag=False,
    flag_value=_AS_IT_LIES,
    type=click.Choice([*forge.KINDS, _AS_IT_LIES]),
    help="Post it as the one comment on the pull request, which is updated.",
)
@click.option("--repo", metavar="OWNER/NAME", help="The repository there (default: as CI says, else origin's).")
@click.option("--number", type=click.IntRange(1), help="The pull or merge request (default: as CI says).")
@click.option("--key", default="report", show_default=True, metavar="NAME", help="Tells several reports apart.")
@click.option("--via", type=click.Choice(["cml"]), help="Post with this tool.")
@json_option
@click.pass_obj
def report(
    face: Face,
    base: str | None,
    head: str | None,
    fetch: bool,
    markdown: str | None,
    html: str | None,
    post: str | None,
    repo: str | None,
    number: int | None,
    key: str,
    via: str | None,
    as_json: bool,
) -> Answer:
    """Tell what a branch changes: metrics and gates, why, data, environment, cells and pipeline.

    Each side's runs are the newest finished ones that had its code. With --post the token is GITHUB_TOKEN, or GITLAB_TOKEN.
    """
    to = post if post in forge.KINDS else ""
    wanted = _Wanted(to or "", repo or "", number, forge_comment.checked_key(key), via or "")
    if not post and (repo or number is not None or via):
        raise UsageError("--repo, --number and --via say where to post", "add --post")
    project = face.project()
    files_too = bool(markdown or html)  # these are written first: when posting fails, they are what one still has
    place = _place(project, wanted) if post and not via and not files_too else None
    words = {"base": base or "", "head": head or "", "fetch": fetch}
    found: Report = at_remote(face, "report", words) if fetch else ask(face, "report", words)
    written = _written(found, markdown, html)
    place = _place(project, wanted) if post and not via and files_too else place
    posted = _posted(project, found, wanted, place) if post else None
    where = "" if posted is None else place.said if place is not None else "the pull request"
    made = Reported(found, tuple(written), posted, where)
    text = "\n".join(done(made)) or report_markdown.markdown(found, report_markdown.FILE).rstrip()
    return Answer(made, text)


def _place(project: Project, wanted: _Wanted) -> forge.Place:
    return forge.place(project, kind=wanted.to, repository=wanted.repository, number=wanted.number)


def done(made: Reported) -> list[str]:
    """What was done besides looking, a line each."""
    lines = [f"written to {clip(path, 200)}" for path in made.written]
    if made.posted is not None:
        lines.append(_DONE.get(made.posted.action, "the comment on {} is updated").format(clip(made.where, 200)))
        lines += [f"  {clip(made.posted.url, 300)}"] if made.posted.url else []
        lines += [f"  ({made.posted.removed} more of it taken away)"] if made.posted.removed else []
    return lines


def _written(found: Report, markdown: str | None, html: str | None) -> list[str]:
    written = []
    if markdown:
        _write(markdown, report_markdown.markdown(found, report_markdown.FILE))
        written.append(markdown)
    if html:
        from nbledger.core.report_html import page

        _write(html, page(found))
        written.append(html)
    return written


def _write(name: str, text: str) -> None:
    try:
        files.write_atomic(Path(name), text)
    except OSError as err:
        raise LedgerError(f"cannot write {name}: {err.strerror}", "name another file") from err


def _posted(project: Project, found: Report, wanted: _Wanted, place: forge.Place | None) -> Posted:
    """Post it from this process, in whose environment the token is."""
    if place is None:
        from nbledger.core import cml

        kind = wanted.to or forge.GITHUB
        body = report_markdown.markdown(found, report_markdown.LIMITS[kind] - cml.MARK_MOST)
        return Posted(kind, cml.post(project.root, body, wanted.key, wanted.number), 0, "updated")
    from nbledger.core.forge_http import Api

    mark = forge_comment.Mark(wanted.key, place.head or found.head.commit, place.run)
    body = report_markdown.markdown(found, report_markdown.LIMITS[place.kind] - forge_comment.MARK_MOST)
    return forge_comment.post(Api(place), body, mark, lambda a, b: forge.stands_on(project, a, b))
