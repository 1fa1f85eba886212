"""``stage``: a cell, or a whole notebook, as a stage of ``dvc.yaml``: proposed from what was observed, shown, written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import ask, ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core.errors import Refused, UsageError

if TYPE_CHECKING:
    from nbledger.core.project import Project
    from nbledger.core.proposal import Given, Proposal

_DEED = "running the notebook"
_OPTIONS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("-d", "--deps"), "PATH", "What the stage reads, besides what was seen."),
    (("-o", "--outs"), "PATH", "What it makes."),
    (("-M", "--metrics"), "FILE", "A file of metrics that it writes, kept in Git."),
    (("--plots",), "FILE", "A plot that it writes, kept in Git."),
    (("-p", "--params"), "KEY", "A parameter: KEY of params.yaml, FILE:KEY, or FILE:"),
)


def stage_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a stage declares."""
    for names, metavar, words in reversed(_OPTIONS):
        function = click.option(*names, multiple=True, metavar=metavar, help=words)(function)
    return function


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[NAME] NB")
@stage_options
@click.option("--only", is_flag=True, help="Declare what is named here, and nothing that was seen.")
@click.option("--write", "--yes", "write", is_flag=True, help="Write it without being asked.")
@click.option("--force", is_flag=True, help="Replace a stage of that name that is another command.")
@click.option("--run", "run_it", is_flag=True, help="Run it first, as a recorded run, to see what it does.")
@trust_option
@json_option
@click.pass_obj
def stage(
    face: Face,
    /,
    words: tuple[str, ...],
    only: bool,
    write: bool,
    force: bool,
    run_it: bool,
    trusting: bool,
    as_json: bool,
    **said: tuple[str, ...],
) -> Answer:
    """Make a notebook, or its cells that begin with %%stage NAME, a stage of dvc.yaml.

    What it declares is proposed from what its newest recorded runs saw its cells read, write and import.
    """
    from nbledger.commands import stage_text
    from nbledger.core import dvc, stagecode, stages

    project, path, names = _named(words)
    dvc.require_root(project)
    given = given_of(project, Path.cwd(), said, only=only)
    made: list[Made] = []
    making: set[str] = set()
    for name in names:
        if run_it:
            _execute(project, path, name, trusting=trusting, quiet=as_json)
        found, runs = proposed(face, project, path, name, given, making)
        if not found.observed and not runs and not given.only and not write and _may_ask(as_json):
            click.echo(f"no recorded run has seen the code of {name}", err=True)
            if click.confirm("Run it now?", default=False, err=True):
                _execute(project, path, name, trusting=trusting, quiet=as_json)
                found, runs = proposed(face, project, path, name, given, making)
        made.append(Made(found, runs))
        making |= {*found.plan.outs, *found.plan.metrics, *found.plan.plots}
    base = stages.prefix(project)
    written: tuple[str, ...] | None = None
    if write or (_may_ask(as_json) and any(each.found.changed for each in made) and _agreed(made, base)):
        written = write_all(project, [each.found for each in made], force=force)
        stagecode.write(project, path)
    asked = written is not None and not write
    parts = [_told(each, base, written=None if asked else written, write=write) for each in made]
    text = f"written: {', '.join(written)}" if asked and written is not None else "\n\n".join(parts)
    if written is None and not _may_ask(as_json) and any(each.found.changed for each in made):
        text += "\n--yes writes it"
    yamls = [stage_text.yaml(each.found, base) for each in made]
    data = [_data(each, yaml, written) for each, yaml in zip(made, yamls, strict=True)]
    return Answer({"stages": data, "text": text} if as_json else {"stages": data}, text)


@dataclass(frozen=True)
class Made:
    """A proposal, and the runs that it stands on."""

    found: Proposal
    runs: tuple[str, ...]


def _named(words: Sequence[str]) -> tuple[Project, Path, list[str]]:
    """(project, notebook, the stages that are meant)."""
    from nbledger.core import stagecells, stagecode

    if len(words) > 2:
        raise UsageError("one notebook at a time", "nbledger stage [NAME] NB")
    project, path = stagecode.located(Path(words[-1]))
    if not path.is_file():
        hint = "a deleted notebook's stage goes with dvc remove NAME" if path.suffix == ".ipynb" else "stage [NAME] NB"
        raise UsageError(f"there is no notebook {words[-1]}", hint)
    book = stagecode.read(path)
    if len(words) == 2:
        stagecells.slice_of(book, words[0])
        return project, path, [words[0]]
    return project, path, stagecells.names(book) or [re.sub(r"[^\w-]+", "-", path.stem).strip("-") or "notebook"]


def given_of(project: Project, folder: Path, said: Mapping[str, Sequence[str]], *, only: bool = False) -> Given:
    """What the words of a call say that the stage declares; their paths are relative to ``folder``."""
    from nbledger.core.proposal import Given

    def placed(path: str) -> str:
        if "://" in path:
            return path
        whole = os.path.normpath(folder / path)
        return project.relative(Path(whole)) or os.path.relpath(whole, project.root).replace(os.sep, "/")

    def parameter(text: str) -> str:
        file, colon, key = text.rpartition(":")
        return f"{placed(file)}:{key}" if colon else text

    paths = {kind: tuple(map(placed, said.get(kind, ()))) for kind in ("deps", "outs", "metrics", "plots")}
    params = tuple(parameter(text) for each in said.get("params", ()) for text in each.split(","))
    return Given(**paths, params=params, only=only)


def merged(one: Given, other: Given) -> Given:
    """Both."""
    from nbledger.core.proposal import Given

    kinds = ("deps", "outs", "metrics", "plots", "params")
    both = {kind: tuple(dict.fromkeys((*getattr(one, kind), *getattr(other, kind)))) for kind in kinds}
    return Given(**both, only=one.only or other.only)


def proposed(
    face: Face, project: Project, path: Path, name: str, given: Given, making: Collection[str] = ()
) -> tuple[Proposal, tuple[str, ...]]:
    """(the proposal for a stage from what recorded runs saw, these runs). ``making``: files that other stages will make."""
    from nbledger.core import proposal, stagecode, stagewords
    from nbledger.keeper import observed

    book = stagecode.read(path)
    notebook = project.relative(path) or str(path)
    in_cells = given_of(project, path.parent, stagewords.of_cells(book, name))
    seen = observed.Seen()
    if not given.only:
        seen = observed.seen(project, notebook, book, name, lambda verb, args: ask(face, verb, args))
    said = merged(in_cells, given)
    found = proposal.propose(project, notebook, book, name, seen.cells, seen.modules, said, making)
    return found, seen.runs


def write_all(project: Project, found: Sequence[Proposal], *, force: bool) -> tuple[str, ...]:
    """Write the stages; the files that were changed. A stage that runs the same cells already is brought up to date."""
    from nbledger.core import dvcwrite, stages

    known = stages.stages(project)
    for each in found:
        there = known.get(each.plan.name)
        if there is not None and there.notebook != each.plan.notebook and not force:
            raise UsageError(f"there is a stage {each.plan.name} already: {there.cmd}", "--force replaces it")
    return dvcwrite.add(project, [each.plan for each in found], force=True)


def _may_ask(as_json: bool) -> bool:
    return not as_json and bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def _agreed(made: Sequence[Made], base: str) -> bool:
    from nbledger.commands import stage_text

    click.echo("\n\n".join(stage_text.proposal(each.found, base) for each in made), err=True)
    return click.confirm("Write it?", default=True, err=True)


def _told(each: Made, base: str, *, written: tuple[str, ...] | None, write: bool) -> str:
    from nbledger.commands import stage_text

    text = stage_text.proposal(each.found, base, written=written)
    if each.runs:
        return f"as seen by {', '.join(each.runs)}\n{text}"
    return text


def _data(each: Made, yaml: str, written: tuple[str, ...] | None) -> dict[str, Any]:
    found = each.found
    return {
        "name": found.plan.name,
        "notebook": found.plan.notebook,
        "yaml": yaml,
        "lines": [{"kind": line.kind, "value": line.value, "why": line.why} for line in found.lines],
        "left_out": [{"path": path, "why": why} for path, why in found.left_out],
        "remarks": list(found.remarks),
        "exists": found.exists,
        "changes": list(found.changes),
        "runs": list(each.runs),
        "written": list(written) if written is not None else None,
    }


def _execute(project: Project, path: Path, name: str, *, trusting: bool, quiet: bool) -> None:
    """Run the stage's cells as a recorded run. ``Refused`` if that failed."""
    from nbledger.commands.run_progress import shown
    from nbledger.core.batch import Options
    from nbledger.keeper import batch, planning

    planned = planning.planned(project, [path], [{}], stage=name)
    settle(project, _DEED, trusting=trusting)
    with ended_gently(), shown(quiet=quiet) as progress:
        report = batch.begin(project, name, Options(html=False), planned.tasks, None, progress)
    if report.status != "FINISHED":
        error = next((row.error for row in report.notebooks if row.error), report.status)
        raise Refused(f"{name} did not run to its end: {error}", "mend it, then try again")
