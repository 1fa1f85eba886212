"""``run``: execute notebooks without a screen, each as a run; go on with a batch that was cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.run_sweep import Asked, sweep_options
from nbledger.commands.shared import ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core.errors import UsageError

if TYPE_CHECKING:
    from nbledger.core.batch import Options
    from nbledger.core.project import Project
    from nbledger.keeper.batch import Report

_DEED = "running notebooks"
_CODES = {"FINISHED": 0, "FAILED": 1, "KILLED": 130}


@click.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path), metavar="NB…")
@click.option("-p", "--param", "given", multiple=True, metavar="K=V", help="Set a parameter, as papermill does.")
@click.option("--params", "file", type=click.Path(path_type=Path), metavar="FILE", help="A JSON or YAML file of them.")
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="How many notebooks at a time (1).")
@click.option("--resume", is_flag=False, flag_value="", metavar="[BATCH]", help="Run what a batch did not finish.")
@click.option("--failed", is_flag=True, help="With --resume: what failed by itself, too.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The time a cell may take.")
@click.option("--retries", type=click.IntRange(0, 100), metavar="N", help="Try a notebook that fails N times more (0).")
@click.option("--kernel", default="", metavar="NAME", help="This kernel, not the notebooks' own.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Write executed notebooks here as well.")
@click.option("--html/--no-html", default=None, help="Keep each executed notebook as HTML, too (yes).")
@click.option("--name", default="", help="The run's name, or that of the batch.")
@click.option("-e", "--experiment", help="The MLflow experiment (default: the project's).")
@click.option("--fresh/--reuse", default=None, help="A new interpreter each (yes), or forks of one that has imported.")
@click.option("--on", metavar="dask://HOST:PORT", help="Run them on a Dask cluster.")
@click.option("--stage", default="", metavar="NAME", help="Only what this stage of dvc.yaml needs of the notebook.")
@sweep_options
@trust_option
@json_option
@click.pass_obj
def run(
    face: Face,
    /,
    notebooks: tuple[Path, ...],
    given: tuple[str, ...],
    file: Path | None,
    resume: str | None,
    failed: bool,
    kernel: str,
    output: Path | None,
    name: str,
    experiment: str | None,
    stage: str,
    sweep: Asked,
    trusting: bool,
    as_json: bool,
    **how: Any,
) -> Answer:
    """Execute notebooks, each in a kernel of its own, in its own folder, as a run.

    Several are the children of one run. What was killed goes on with --resume. Exit code 1: a notebook failed.
    """
    from nbledger.commands import run_text
    from nbledger.commands.run_progress import shown

    values = _values(given)
    with ended_gently(), shown(quiet=as_json) as progress:
        if resume is None:
            if not notebooks:
                raise UsageError("no notebook is named", "nbledger run NB…, or --resume")
            if failed:
                raise UsageError("--failed goes with --resume", "leave it out")
            begun = _Begun(notebooks, values, file, kernel, output, name, experiment, stage, sweep, how)
            report = begun.run(face.project(), progress, trusting=trusting)
        else:
            refused: dict[str, object] = {
                "NB": notebooks,
                "--params": file,
                "--kernel": kernel,
                "--output": output,
                "--name": name,
            }
            refused |= {"-e": experiment, "--html": how["html"], "--stage": stage, **sweep.said}
            report = _resumed(face.project(), resume, values, refused, how, progress, failed=failed, trusting=trusting)
    return Answer(report, run_text.report(report), _CODES[report.status])


class _Begun:
    """A new batch, as it was asked for."""

    def __init__(
        self,
        notebooks: tuple[Path, ...],
        values: Mapping[str, Any],
        file: Path | None,
        kernel: str,
        output: Path | None,
        name: str,
        experiment: str | None,
        stage: str,
        sweep: Asked,
        how: Mapping[str, Any],
    ) -> None:
        self.notebooks, self.values, self.file = notebooks, values, file
        self.kernel, self.output, self.name, self.experiment = kernel, output, name, experiment
        self.stage, self.sweep, self.how = stage, sweep, how

    def run(self, here: Project, progress: Any, *, trusting: bool) -> Report:
        from nbledger.core import papermill
        from nbledger.core.batch import Options
        from nbledger.keeper import batch, planning

        tables = papermill.tables_of(self.file) if self.file else [{}]
        tables = self.sweep.tables([{**table, **self.values} for table in tables], len(self.notebooks))
        if any(tables) or self.sweep.sweep:
            papermill.require()
        if self.sweep.prune and self.how["on"]:
            raise UsageError("--prune does not reach what runs on a cluster", "leave --prune or --on out")
        planned = planning.planned(
            here,
            self.notebooks,
            tables,
            name=self.name,
            output=self.output,
            kernel=self.kernel,
            stage=self.stage,
            swept=self.sweep.names,
        )
        by_dvc = bool(self.stage) and "DVC_STAGE" in os.environ  # who runs the project's commands has trusted it
        settle(planned.project, _DEED, trusting=trusting or by_dvc)
        options = _changed(self.how)(Options(kernel=self.kernel, experiment=self.experiment, search=self.sweep.kept()))
        called = self.name or ("batch" if len(planned.tasks) > 1 else planned.tasks[0].name)
        return batch.begin(planned.project, called, options, planned.tasks, _renderer(options), progress)


def _resumed(
    project: Project,
    wanted: str,
    values: Mapping[str, Any],
    refused: Mapping[str, object],
    how: Mapping[str, Any],
    progress: Any,
    *,
    failed: bool,
    trusting: bool,
) -> Report:
    from nbledger.keeper import batch, batches

    given = [option for option, value in refused.items() if value]
    if given:
        raise UsageError(f"a batch goes on as it was begun: {', '.join(given)} cannot be said again", "leave it out")
    there = batches.known(project)
    if not there:
        raise UsageError("there is no batch here", "nbledger run NB… begins one")
    if wanted:
        found = batches.resolve(project, wanted)
    else:
        found = next((each for each in there if batch.left(project, each, failed=failed)), there[0])
    settle(project, _DEED, trusting=trusting)
    return batch.resume(project, found.id, _changed(how), values, _renderer, progress, failed=failed)


def _changed(how: Mapping[str, Any]) -> Callable[[Options], Options]:
    """Options with those of the command line that were given."""

    def changed(options: Options) -> Options:
        made = replace(options, **{key: value for key, value in how.items() if value is not None})
        if made.on and not made.fresh:
            raise UsageError("kernels are reused on this machine only", "leave out --reuse, or --on")
        return made

    return changed


def _renderer(options: Options) -> Callable[[Any], str] | None:
    from nbledger.commands import page

    return page.render if options.html and page.available() else None


def _values(given: tuple[str, ...]) -> dict[str, Any]:
    from nbledger.core import papermill

    values = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key.isidentifier():
            raise UsageError(f"-p {text} sets nothing", "write -p NAME=VALUE")
        values[key] = papermill.literal(value)
    return values
