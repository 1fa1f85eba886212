"""``code``: the code of a notebook's stages as files, for ``dvc repro``."""

from __future__ import annotations

from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.shared import json_option
from nbledger.core import stagecells
from nbledger.core.stagecode import Code


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path), metavar="NB")
@json_option
@click.pass_obj
def code(_face: Face, notebook: Path, as_json: bool) -> Answer:
    """Write the code of each stage of a notebook to stages/NAME.py, which the stage depends on.

    dvc.yaml has a stage that does this, so that dvc repro sees what of the notebook changed: code, not outputs.
    """
    from nbledger.core import stagecode

    project, path = stagecode.located(notebook)
    made = stagecode.write(project, path)
    return Answer({"stages": made}, "\n".join(told(each) for each in made))


def told(each: Code) -> str:
    """What was done for one stage, in a line, and what of its cells is to be known."""
    lines = [f"{each.path}: {'written' if each.written else 'unchanged'}"]
    return "\n".join([*lines, *(f"  {line}" for line in stagecells.remarks(each.stage, each.borrowed, each.left_out))])
