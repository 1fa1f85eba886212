"""The verbs, their arguments and their plain answers. A command parses, calls one function, and returns an ``Answer``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nbledger.commands import detail, text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.approve import approve
from nbledger.commands.check import check
from nbledger.commands.ci import ci
from nbledger.commands.code import code
from nbledger.commands.compare import compare
from nbledger.commands.deploy import deploy
from nbledger.commands.drift import drift
from nbledger.commands.gc import gc
from nbledger.commands.init import init
from nbledger.commands.join import join
from nbledger.commands.lineage import lineage
from nbledger.commands.pipeline import pipeline
from nbledger.commands.prepush_hook import pre_push
from nbledger.commands.promote import promote
from nbledger.commands.report import report
from nbledger.commands.repro import repro
from nbledger.commands.reproduce import reproduce
from nbledger.commands.rollback import decisions, rollback
from nbledger.commands.run import run as run_notebooks
from nbledger.commands.sections import Verbs
from nbledger.commands.server import server
from nbledger.commands.share import pull, push, undo
from nbledger.commands.shared import ask, at_remote, json_option
from nbledger.commands.split import split
from nbledger.commands.stage import stage
from nbledger.commands.trust import trust
from nbledger.core import git
from nbledger.core.errors import UsageError


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog="`nbledger VERB --help` says more of each. In a notebook: %load_ext nbledger, then %ledger VERB.",
)
@click.version_option(package_name="nbledger")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def ledger(ctx: click.Context, debug: bool) -> None:
    """Keep the ledger of notebooks: which code, data and environment gave which numbers."""


@ledger.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("-m", "--message", help="The commit's message.")
@click.option("--push", is_flag=True, help="Push the data to the DVC remote as well.")
@click.option("--no-commit", is_flag=True, help="Write the pointers without committing them.")
@click.option("--follow-symlinks", is_flag=True, help="Version what links to outside the project point at.")
@click.option("--take-back", is_flag=True, help="Track also what is older than HEAD has it, and so undo that change.")
@json_option
@click.pass_obj
def track(
    face: Face,
    paths: tuple[str, ...],
    message: str | None,
    push: bool,
    no_commit: bool,
    follow_symlinks: bool,
    take_back: bool,
    as_json: bool,
) -> Answer:
    """Version files or folders with DVC and commit their pointers, and only those."""
    words = {
        "paths": list(paths),
        "message": message,
        "push": push,
        "commit": not no_commit,
        "follow_symlinks": follow_symlinks,
        "take_back": take_back,
        "cwd": str(Path.cwd()),
    }
    tracked = at_remote(face, "track", words) if push else ask(face, "track", words)
    if push:
        ask(face, "sent")
    return Answer(tracked, text.tracked(tracked))


@ledger.command()
@click.argument("filter", nargs=-1)
@click.option("--sort", default="", metavar="KEY", help="A metric, start, name, …; +KEY for ascending.")
@click.option(
    "-n", "--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="How many runs at most."
)
@click.option("-e", "--experiment", help="Only this experiment.")
@click.option("--mine", is_flag=True, help="Only your own runs: by Git's identity, else by your login.")
@click.option("--user", metavar="NAME", help="Only the runs of this person: a name, an e-mail address or a login.")
@click.option("--parent", metavar="RUN", help="The runs inside this one: what varies, and what it did to a metric.")
@click.option("--metric", default="", metavar="NAME", help="With --parent: the metric that is looked at.")
@json_option
@click.pass_obj
def runs(
    face: Face,
    filter: tuple[str, ...],
    sort: str,
    limit: int,
    experiment: str | None,
    mine: bool,
    user: str | None,
    parent: str | None,
    metric: str,
    as_json: bool,
) -> Answer:
    """List runs, everyone's. FILTER: MLflow's syntax ("metrics.accuracy > 0.9") or plain words."""
    words: dict[str, Any] = {"text": " ".join(filter), "experiment": experiment}
    if mine and user is not None:
        raise UsageError("--mine and --user ask for different runs", "take one of them")
    if user is not None and not user.strip():
        raise UsageError("--user needs a name", "e.g. --user ada, or --mine")
    if parent is not None:
        if mine or user is not None:
            raise UsageError("--parent lists the runs inside one run, whoever made them", "leave --mine and --user out")
        from nbledger.commands import sweep_text
        from nbledger.core import sweepview

        found = sweepview.looked(ask(face, "children", {**words, "run": parent}), metric, sort, limit)
        return Answer(found.runs[:limit] if as_json else found, sweep_text.sweep(found))
    if metric:
        raise UsageError("--metric goes with --parent", "--sort METRIC sorts all runs by a metric")
    whose = user or ""
    if mine:
        from nbledger.core import whoami

        here = whoami.me(face.project())
        words["mine"], whose = list(here.keys), here.user
    elif user:
        words["user"] = user
    rows = ask(face, "runs", {**words, "sort": sort, "limit": limit})
    unasked = face.project().stranger_uri
    return Answer(rows, text.runs(rows, " ".join(filter), whose, unasked and git.scrub_url(unasked)))


@ledger.command()
@click.argument("run", default="@last")
@json_option
@click.pass_obj
def show(face: Face, run: str, as_json: bool) -> Answer:
    """Show everything recorded of one run. RUN: an id, a unique prefix, a name (its newest run), @last or @last~2."""
    row = ask(face, "show", {"run": run})
    return Answer(row, detail.run(row))


@ledger.command()
@json_option
@click.pass_obj
def status(face: Face, as_json: bool) -> Answer:
    """Show the joined state of code, notebook, data, remote and tracking."""
    state = ask(face, "status")
    return Answer(state, text.status(state))


@ledger.command()
@click.option("-m", "--message", required=True, help="The commit's message.")
@click.option("--large", is_flag=True, help="Commit also what is larger than the setting large_file_mb.")
@click.argument("paths", nargs=-1)
@json_option
@click.pass_obj
def checkpoint(face: Face, message: str, large: bool, paths: tuple[str, ...], as_json: bool) -> Answer:
    """Commit notebooks, data pointers, dvc.yaml and dvc.lock (and PATHS)."""
    from nbledger.core.checkpoint import checkpoint as commit

    made = commit(face.project(), message, paths, large=large, cwd=Path.cwd())
    return Answer(made, text.checkpoint(made))


@ledger.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended.")
@json_option
@click.pass_obj
def doctor(face: Face, fix: bool, as_json: bool) -> Answer:
    """Say what is wrong with this project, and mend it with --fix."""
    from nbledger.keeper.doctor import examine

    findings = examine(face.project(), fix=fix, pushes=face.start_keeper)
    bad = any(not f.fixed and f.severity == "problem" for f in findings)
    return Answer({"findings": findings}, text.findings(findings), 1 if bad else 0)


@ledger.command()
@json_option
@click.pass_obj
def flush(face: Face, as_json: bool) -> Answer:
    """Return when everything recorded is published, or say what is not and why."""
    done = ask(face, "flush")
    if not done["left"]:
        return Answer(done, "everything recorded is published")
    from nbledger.keeper import outcomes

    return Answer(done, outcomes.waiting(done), 1)


ledger.add_command(init)
ledger.add_command(check)
ledger.add_command(ci)
ledger.add_command(code)
ledger.add_command(stage)
ledger.add_command(compare)
ledger.add_command(drift)
ledger.add_command(lineage)
ledger.add_command(server)
for verb in (
    approve,
    decisions,
    deploy,
    gc,
    join,
    pipeline,
    pre_push,
    promote,
    pull,
    push,
    report,
    repro,
    reproduce,
    rollback,
    run_notebooks,
    split,
    trust,
    undo,
):
    ledger.add_command(verb)


def run(args: Sequence[str], face: Face) -> Answer | None:
    """Parse ``args`` and do what they say; None when only help was shown. Wrong words raise ``UsageError``."""
    try:
        outcome = ledger.main(list(args), prog_name="nbledger", standalone_mode=False, obj=face)
    except click.Abort as err:  # what click makes of Ctrl-C
        raise KeyboardInterrupt from err
    except click.exceptions.NoArgsIsHelpError as err:
        return Answer({}, err.ctx.get_help(), 2)
    except click.ClickException as err:
        usage = err.ctx.command_path if isinstance(err, click.UsageError) and err.ctx else "nbledger"
        raise UsageError(_one_line(err.format_message()), f"{usage} --help lists what there is") from err
    return outcome if isinstance(outcome, Answer) else None


def _one_line(message: str) -> str:
    return " ".join(message.split())
