"""``check``: would a saved notebook, run fresh from top to bottom, give what it shows?"""

from __future__ import annotations

from pathlib import Path

import click

from nbledger.commands.answer import Answer, Face
from nbledger.commands.progress import lines
from nbledger.commands.shared import ended_gently, json_option
from nbledger.commands.trust import settle, trust_option
from nbledger.core import check as checks
from nbledger.core.check import Check
from nbledger.core.errors import UsageError
from nbledger.core.project import find
from nbledger.core.wording import counted


@click.command()
@click.argument("notebook", type=click.Path(path_type=Path))
@click.option("--run", is_flag=True, help="Prove it: run the notebook fresh in a copy and compare the outputs.")
@click.option("--in-place", is_flag=True, help="With --run: run it in its own folder, where it may write files.")
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="With --run: the time a cell may take.")
@trust_option
@json_option
@click.pass_obj
def check(
    _face: Face, notebook: Path, run: bool, in_place: bool, timeout: int | None, trusting: bool, as_json: bool
) -> Answer:
    """Say whether a saved notebook stands on state that a fresh run would not have.

    Exit code 0: nothing found; 1: something was, or the fresh run shows something else.
    """
    if not run and (in_place or timeout):
        raise UsageError("--in-place and --timeout are about running the notebook", "add --run")
    book = checks.read(notebook)
    found = checks.check(book, str(notebook))
    if run:
        from nbledger.keeper import fresh

        project = find(notebook.parent.resolve())
        settle(project, fresh.DEED, trusting=trusting)
        with ended_gently():
            found = fresh.run(
                project,
                notebook,
                book,
                found,
                in_place=in_place,
                timeout=timeout,
                progress=lines(),
            )
    return Answer(_data(found), text(found), int(not found.clean))


def _data(found: Check) -> dict[str, object]:
    return {"clean": found.clean, **{name: getattr(found, name) for name in found.__dataclass_fields__}}


def text(found: Check) -> str:
    """The verdict first, then a line each."""
    shown = [f"{checks.label(f.cell, f.count)} {f.what}" for f in found.findings]
    shown += [f"cell {d.index + 1}, {d.first_line}: {d.what}" for d in found.differences]
    if found.error:
        shown.append(f"the fresh run ended early: {found.error}")
    return "\n".join([_verdict(found), *(f"  {line}" for line in shown), *(f"  ({note})" for note in found.notes)])


def _verdict(found: Check) -> str:
    if found.ran:
        amount = counted(found.compared, "cell")
        if found.error:
            return f"{found.notebook}: a fresh run fails"
        if found.differences:
            return f"{found.notebook}: a fresh run shows something else in {len(found.differences)} of {amount}"
        end = ", though the file tells otherwise" if found.findings else ""
        return f"{found.notebook}: a fresh run shows the same in {amount}{end}"
    if found.findings:
        return f"{found.notebook}: a fresh run might not give this — check --run proves it"
    return f"{found.notebook}: nothing in the file speaks against a fresh run"
