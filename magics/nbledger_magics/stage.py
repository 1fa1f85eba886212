"""``%%stage``: the cell runs as a recorded run, and what it was seen to do is proposed as a stage of ``dvc.yaml``."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbledger.commands import stage as commands
from nbledger.commands import stage_text
from nbledger.core import observe, stagecells, stagecode, stages
from nbledger.core.errors import LedgerError, Refused, UsageError
from nbledger.core.project import Project
from nbledger.core.proposal import Proposal
from nbledger.core.stagecode import Notebook
from nbledger_magics import collect, header
from nbledger_magics.display import _box as box
from nbledger_magics.display import escape
from nbledger_magics.reexecution import executing_again

if TYPE_CHECKING:
    from nbledger_magics.session import Session


# ── the words of the line ─────────────────────────────────────────────────────────────────────────────────────
def _parser(prog: str) -> argparse.ArgumentParser:
    made = header.Parser(
        prog=prog,
        allow_abbrev=False,
        add_help=False,
        description="Run the cell as a recorded run, and propose it as a stage of dvc.yaml.",
    )
    add = made.add_argument
    add("name", nargs="?", default="", help="the stage's name")
    for names, metavar, words in (
        (("-d", "--deps"), "PATH", "what it reads, besides what was seen"),
        (("-o", "--outs"), "PATH", "what it makes"),
        (("-M", "--metrics"), "FILE", "a file of metrics that it writes, kept in Git"),
        (("--plots",), "FILE", "a plot that it writes, kept in Git"),
        (("-p", "--params"), "KEY", "a parameter: KEY of params.yaml, FILE:KEY, or FILE:"),
    ):
        add(*names, action="append", default=[], metavar=metavar, help=words)
    add("--only", action="store_true", help="declare what is named here, and nothing that was seen")
    add("--write", "--yes", action="store_true", help="write it to dvc.yaml")
    add("--force", action="store_true", help="replace a stage of that name that is another command")
    add("--dry", action="store_true", help="show what would be written, and do not run the cell")
    add("-h", "--help", action="store_true", help="show this help")
    return made


def parse(words: str | Sequence[str], prog: str = stagecells.MAGIC) -> argparse.Namespace:
    """The options in ``words``; ``UsageError`` in one line, or ``HelpShown`` after ``--help``."""
    try:
        split = shlex.split(words) if isinstance(words, str) else list(words)
    except ValueError as err:
        raise UsageError(f"{prog}: {err}: {words}", "close the quotation") from err
    options = _parser(prog).parse_args(split)
    if options.help:
        raise header.HelpShown(_parser(prog).format_help())
    if not options.name:
        raise UsageError(f"{prog} needs a name", f"{prog} NAME -d … -o …")
    return options


def tracked(cell: str) -> argparse.Namespace:
    """What a run is begun with for a cell that begins with ``%%stage``. ``inside``: none is, since this kernel executes a
    stage, which is the run.
    """
    said = parse(stagecells.header(cell) or "")
    options = header.parse("", stagecells.MAGIC)
    options.name, options.tag = said.name, [f"{stagecells.TAG}={said.name}"]
    options.param = [key for key in map(stages.variable, said.params) if key.isidentifier()]
    options.stage, options.dry, options.inside = said, said.dry, stagecells.RUNNING in os.environ
    return options


# ── what is shown when the cell has ended ─────────────────────────────────────────────────────────────────────
def propose(session: Session, options: argparse.Namespace) -> None:
    """Show what the cell would be as a stage, or write it where the line says so. Nothing is raised into the cell."""
    if executing_again() or "NBLEDGER_BATCH" in os.environ:
        return
    try:
        with observe.unwatched():  # a run over several cells may be open
            made = shown(session, options.stage)
        if made.said:
            session.show(made)
    except LedgerError as err:
        session.say(str(err))
    except Exception as err:  # the cell has run and is recorded
        session.say(f"no stage could be proposed: {err!r}")


def shown(session: Session, said: argparse.Namespace) -> Shown:
    """The stage that a line asks for, as what this session has seen proposes it."""
    project, notebook = session.project(), _notebook(session)
    found = _proposed(session, project, notebook, said)
    session.stages[said.name] = (found, said.force)
    return _result(session, project, notebook, found, said)


def _result(session: Session, project: Project, notebook: Path, found: Proposal, said: argparse.Namespace) -> Shown:
    base = stages.prefix(project)
    if not said.write or said.dry:
        return Shown(found, base, None, f"%ledger stage {said.name} --write writes it" if found.changed else "")
    written = commands.write_all(project, [found], force=said.force)
    hint = ""
    try:
        saved = stages.code(stagecode.read(notebook), said.name) == stages.code(_as_shown(session, notebook), said.name)
        stagecode.write(project, notebook)
    except (Refused, UsageError):
        saved = False
    if not saved:
        hint = f"save the notebook: {notebook.name} does not hold this cell yet"
    return Shown(found, base, written, hint)


def _notebook(session: Session) -> Path:
    found = session.notebook()
    if found is None:
        raise LedgerError("which notebook this is is not known, so its cell is no stage", "save it in the project")
    return Path(os.path.realpath(found.parent)) / found.name


def _proposed(session: Session, project: Project, notebook: Path, said: argparse.Namespace) -> Proposal:
    from nbledger.core import dvc, proposal
    from nbledger.core.record import ExecutedCell
    from nbledger.core.sieve import Sieve, modules_below

    dvc.require_root(project)
    name = project.relative(notebook)
    if name is None:
        raise LedgerError(f"{notebook} lies outside of the project", "move it there")
    modules = modules_below(str(project.root), Sieve(project, notebook))
    facts = collect.facts_of(project, session, notebook, set(modules))
    executed = [
        ExecutedCell(
            cell.source,
            cell.cell_id,
            cell.ok,
            cell.execution_count,
            tuple(fact["reads"]),
            tuple(fact["writes"]),
            children=tuple(fact["children"]),
        )
        for cell, fact in zip(session.cells, facts, strict=True)
        if cell.ok and not (said.dry and cell is session.cells[-1])
    ]
    given = commands.given_of(project, notebook.parent, vars(said), only=said.only)
    shown_modules = [project.relative(Path(path)) or path for path in modules]
    book = _as_shown(session, notebook)
    return proposal.propose(project, name, book, said.name, executed, shown_modules, given)


def _as_shown(session: Session, notebook: Path) -> Notebook:
    """The notebook on disk with the cells as they were executed: it may not be saved yet."""
    from nbledger.core.stagecode import Cell

    newest = {cell.cell_id: cell for cell in session.cells if cell.cell_id}
    try:
        cells = list(stagecode.read(notebook).cells)
    except UsageError:
        cells = []
    there = {stagecells.plain(cell.source) for cell in cells if cell.cell_type == "code"}
    made = []
    placed: set[str] = set()
    for cell in cells:
        ran = newest.get(cell.cell_id or "")
        source = ran.source if ran is not None else cell.source
        placed |= {cell.cell_id} if ran is not None and cell.cell_id else set()
        made.append(Cell(cell.cell_type, source, cell.metadata, cell.cell_id))
    for ran in session.cells:
        if ran.cell_id not in placed and stagecells.plain(ran.source) not in there:
            there.add(stagecells.plain(ran.source))
            made.append(Cell("code", ran.source, {}, ran.cell_id))
    return Notebook(tuple(made))


class Shown:
    """A proposed stage, in HTML and in plain text."""

    def __init__(self, found: Proposal, base: str, written: tuple[str, ...] | None, hint: str) -> None:
        self.data, self._base, self._written, self._hint = found, base, written, hint

    @property
    def said(self) -> bool:
        """Whether there is anything to say: a stage that is what it should be needs no word."""
        return self.data.changed or bool(self._written) or not self.data.observed

    def __repr__(self) -> str:
        text = stage_text.proposal(self.data, self._base, written=self._written)
        return f"{text}\n{self._hint}" if self._hint else text

    def _repr_html_(self) -> str:
        found = self.data
        parts = []
        if found.exists and not found.changes:
            parts.append(f"<div>the stage {escape(found.plan.name)} in dvc.yaml is what it should be</div>")
        else:
            rows = "".join(
                f'<tr><td class="id" style="white-space: pre">{escape(text)}</td><td class="soft">{escape(why)}</td></tr>'
                for text, why in stage_text.lines(found, self._base)
            )
            parts.append(f"<table>{rows}</table>")
        if found.exists and found.changes:
            parts.append(f"<div>against dvc.yaml, {escape(found.plan.name)} changes:</div>")
            parts += [f'<div class="id" style="padding-left: 1.2em">{escape(line)}</div>' for line in found.changes]
        parts += [
            f'<div class="soft">left out: <span class="id">{escape(what)}</span>: {escape(why)}</div>'
            for what, why in (found.left_out if found.changed else ())
        ]
        parts += [f'<div class="note"><span class="warn">!</span> {escape(remark)}</div>' for remark in found.remarks]
        if self._written is not None and (self._written or found.changed):
            parts.append(f'<div><span class="good">✓</span> written: {escape(", ".join(self._written))}</div>')
        parts += [f'<div class="soft">{escape(self._hint)}</div>'] if self._hint else []
        return box("".join(parts))


# ── %ledger stage ─────────────────────────────────────────────────────────────────────────────────────────────
def verb(session: Session, words: list[str]) -> Any:
    """``%ledger stage NAME [--write]`` for a cell of this session; with a notebook's name as ``nbledger stage`` does it."""
    if any(word.endswith(".ipynb") for word in words):
        from nbledger_magics import child
        from nbledger_magics.display import Shown as Plain

        found = child.run(session, words)
        if isinstance(found, str):
            print(found)
            return None
        from nbledger.commands.answer import Answer

        return Plain(Answer(found, str(found["text"])))
    try:
        options = parse(words[1:], "%ledger stage")
    except header.HelpShown as help_text:
        print(help_text.message)
        return None
    if options.name not in session.stages:
        known = ", ".join(session.stages) or "none"
        raise UsageError(
            f"no cell of this session ran as `%%stage {options.name}`",
            f"these did: {known}; %ledger stage {options.name} NB.ipynb looks at recorded runs",
        )
    found, force = session.stages[options.name]
    project, notebook = session.project(), _notebook(session)
    asked = any((options.deps, options.outs, options.metrics, options.plots, options.params, options.only))
    if asked:
        found = _proposed(session, project, notebook, options)
        session.stages[options.name] = (found, force)
    options.force |= force
    return _result(session, project, notebook, found, options)
