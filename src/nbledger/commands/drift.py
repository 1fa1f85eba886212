"""``drift``: new data beside those that a model was trained on."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbledger.commands import drift_text
from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import at_a_project, at_remote, ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core.driftrecord import DRIFT, UNKNOWN
from nbledger.core.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from nbledger.core.driftrecord import Drift
    from nbledger.core.project import Project

_SHARE = click.FloatRange(0, 1)


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", required=True, metavar="PATH", help="The new data: a table, or a folder of tables.")
@click.option("--reference", metavar="PATH", help="Which of the tables that the model's run read; or another file.")
@click.option("--target", metavar="COLUMN", help="The label: where it is there, performance is looked at.")
@click.option("--prediction", metavar="COLUMN", help="What the model predicted, if the data say so; else it is asked.")
@click.option("--performance", metavar="CONDITION", help='What the figures must meet, e.g. "accuracy >= 0.9".')
@click.option("--threshold", type=_SHARE, metavar="P", help="Adjusted p-value below which a column has drifted (0.05).")
@click.option(
    "--share", type=_SHARE, metavar="S", help="Share of the columns from which the data have (0: one is enough)."
)
@click.option("--on-drift", type=click.Choice(["repro"]), help="repro: train again on the new data, on a branch.")
@click.option("--as", "place", metavar="PATH", help="With --on-drift: the data that the new ones go to.")
@click.option("--append", is_flag=True, help="With --on-drift: add the rows to the old ones; else they replace them.")
@trust_option
@json_option
@click.pass_obj
def drift(
    face: Face,
    /,
    model: str,
    data: str,
    reference: str | None,
    target: str | None,
    prediction: str | None,
    performance: str | None,
    threshold: float | None,
    share: float | None,
    on_drift: str | None,
    place: str | None,
    append: bool,
    trusting: bool,
    as_json: bool,
) -> Answer:
    """Compare new data with the data version that a model was trained on. MODEL: NAME (its champion), NAME@alias or NAME/3.

    Each column is tested, and the verdict takes into account how many were. The report is an artifact of a run. Exit code 1:
    the data have drifted; 3: whether a condition on performance holds is not known.
    """
    if (place is not None or append) and on_drift is None:
        raise UsageError("--as and --append say what becomes of the data", "they go with --on-drift repro")
    at_a_project(face)
    project = face.project()
    settle(project, "comparing data with a model's", trusting=trusting)
    here = Path.cwd()
    words = {"model": model, "data": str(here / data), "target": target, "prediction": prediction}
    words |= {"reference": str(here / reference) if reference else None, "performance": performance}
    given = {key: word for key, word in words.items() if word is not None}
    limits = {"threshold": threshold, "share": share}
    found: Drift = at_remote(face, "drift", given | {key: value for key, value in limits.items() if value is not None})
    if found.drifted and on_drift:
        found = _again(project, found, place, append, quiet=as_json)
    return Answer(found, drift_text.drift(found), {DRIFT: 1, UNKNOWN: 3}.get(found.verdict, 0))


def _again(project: Project, found: Drift, place: str | None, append: bool, *, quiet: bool) -> Drift:
    """Train again on a branch; what was found stands, whatever becomes of that."""
    from nbledger.commands import repro_text
    from nbledger.keeper import driftloop

    here = None if place is None else project.relative(Path(os.path.abspath(Path.cwd() / place))) or place
    try:
        with ended_gently(), repro_text.shown(quiet=quiet, verbose=False) as progress:
            loop = driftloop.train_again(project, found, here, progress, append=append)
    except LedgerError as err:
        failed = f"nothing was trained: {err}"
        return dataclasses.replace(found, notes=(*found.notes, failed))
    return dataclasses.replace(found, loop=loop)
