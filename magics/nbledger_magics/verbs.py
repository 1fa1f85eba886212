"""The magics by name: each parses its line, calls one function and shows the result."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbledger.core import stagecells
from nbledger.core.errors import Refused, UsageError, nearest
from nbledger_magics import header
from nbledger_magics.reexecution import executing_again, say_skipped

if TYPE_CHECKING:
    from nbledger_magics.session import Session


def register(session: Session) -> None:
    """Register the line and cell magics."""
    manager = session.shell.magics_manager
    manager.magics["cell"]["mlrun"] = lambda line, cell: cell_mlrun(session, line, cell)
    manager.magics["cell"]["stage"] = lambda line, cell: cell_stage(session, line, cell)
    for name, verb in _LINES.items():
        manager.magics["line"][name] = _bound(verb, session)


def unregister(session: Session) -> None:
    manager = session.shell.magics_manager
    for name in ("mlrun", "stage"):
        manager.magics["cell"].pop(name, None)
    for name in _LINES:
        manager.magics["line"].pop(name, None)


def _bound(verb: Callable[[Session, str], Any], session: Session) -> Callable[[str], Any]:
    def magic(line: str = "") -> Any:
        return verb(session, line)

    magic.__doc__ = verb.__doc__
    return magic


def cell_mlrun(session: Session, line: str, cell: str) -> Any:
    """``%%mlrun`` below another cell magic, or with wrong words: refuse, or run the body nested."""
    try:
        options = header.parse(line)
    except header.HelpShown as shown:
        print(shown.message)
        return None
    return _nested(session, options, f"%%mlrun {line}\n{cell}", cell)


def cell_stage(session: Session, line: str, cell: str) -> Any:
    """``%%stage`` below another cell magic, with ``--dry``, or with wrong words."""
    from nbledger_magics import stage

    try:
        options = stage.parse(line)
    except header.HelpShown as shown:
        print(shown.message)
        return None
    if options.dry:
        return stage.shown(session, options)
    return _nested(session, stage.tracked(f"%%stage {line}"), f"%%stage {line}\n{cell}", cell)


def _nested(session: Session, options: argparse.Namespace, source: str, cell: str) -> Any:
    from nbledger_magics import tracked_cell

    inside = getattr(options, "inside", False)  # of a stage that is executed
    running = None if inside else tracked_cell.begin(session, options, source=source)
    error: BaseException | None = None
    try:
        result = session.shell.run_cell(cell, store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as err:
        error = err
        raise
    finally:
        if running is not None:
            running.finish(error)
    if error is not None:
        raise _Shown from None
    if running is not None and hasattr(options, "stage"):
        from nbledger_magics import stage

        stage.propose(session, options)
    return None


class _Shown(Exception):
    """The body's own traceback has been shown; the cell only has to fail."""

    def _render_traceback_(self) -> list[str]:
        return []


def mlrun(session: Session, line: str) -> Any:
    """``%mlrun start [NAME] …``, ``%mlrun stop [--status S] [--artifact PATH]``, ``%mlrun show [RUN]``: a run over several cells."""
    verb, _, rest = line.strip().partition(" ")
    if _skipped(f"%mlrun {line}"):
        return None
    if verb == "start":
        if session.span is not None:
            raise Refused(f"the run {session.span.recording.name!r} is open", "%mlrun stop closes it")
        from nbledger_magics import tracked_cell

        session.span = tracked_cell.begin(session, header.parse(rest, "%mlrun start"), source=line)
        return None
    if verb == "show" and rest.strip():
        return _command("show")(session, rest)
    if verb in ("stop", "show"):
        span = session.span
        if span is None:
            raise UsageError("no run is open", "%mlrun start NAME opens one")
        if verb == "show":
            return span.summary()
        options = _stop_options(rest)
        try:
            span.finish(span.left_failed(), **options)
        finally:
            session.span = None if span.over else span
        return None
    raise UsageError(f"%mlrun {verb or '…'}: start, stop or show", nearest(verb, ("start", "stop", "show")))


def _stop_options(words: str) -> dict[str, Any]:
    parser = header.Parser(prog="%mlrun stop", add_help=False)
    parser.add_argument("--status", choices=("FINISHED", "FAILED", "KILLED"))
    parser.add_argument("-m", "--metric", action="append", default=[])
    parser.add_argument("-a", "--artifact", action="append", default=[])
    options = parser.parse_args(shlex.split(words))
    return {"status": options.status, "metrics": options.metric, "artifacts": options.artifact}


def _skipped(what: str) -> bool:
    """Whether a verb does nothing here, which is said: the kernel executes a recorded run again, or a stage."""
    if executing_again() and not what.startswith("%mlrun"):
        say_skipped(what)
    elif stagecells.RUNNING in os.environ:
        print(f"nbledger: {' '.join(what.split())} is skipped in a stage")
    else:
        return False
    return True


def reproduce(session: Session, line: str) -> Any:
    """``%reproduce RUN``: bring a run back, execute it again, give a verdict; see ``%reproduce --help``."""
    if _skipped(f"%reproduce {line}"):
        return None
    from nbledger_magics import reproduction

    return reproduction.reproduce(session, line)


def _command(*prefix: str) -> Callable[[Session, str], Any]:
    def verb(session: Session, line: str) -> Any:
        from nbledger.commands.answer import Face
        from nbledger.commands.tree import run
        from nbledger.core import observe
        from nbledger_magics import display

        if _skipped(" ".join(["%ledger", *prefix, line])):
            return None
        try:
            words = shlex.split(line)
        except ValueError as err:
            raise UsageError(f"{err}: {line}", "close the quotation") from err
        if not prefix and words[:1] == ["reproduce"]:
            return reproduce(session, line.strip().removeprefix("reproduce"))
        if not prefix and words[:1] == ["check"] and "--run" in words:
            from nbledger_magics import checking

            return checking.proven(session, words)
        if not prefix and words[:1] == ["stage"]:
            from nbledger_magics import stage

            return stage.verb(session, words)
        if not prefix and words[:1] == ["run"]:
            from nbledger_magics import batch

            return batch.run(session, words)
        if not prefix and words[:1] == ["repro"]:
            from nbledger_magics import pipelines

            return pipelines.run(session, words)
        if "--prove" in words and [*prefix, *words][0] == "compare":
            from nbledger_magics import comparison

            return comparison.proven(session, [*prefix, *words])
        # What a verb reads and starts itself is no input of the cell: it would be another one where no keeper does it.
        with observe.unwatched(), display.progress(session) as progress:
            answer = run([*prefix, *words], Face(start_keeper=True, progress=progress))
        if answer is None:
            return None
        if "--json" in words:
            import json

            from nbledger.core.records import plain

            print(json.dumps(plain(answer.data), ensure_ascii=False))
            return None
        if answer.code >= 2:
            print(answer.text)
            return None
        return display.Shown(answer)

    verb.__doc__ = f"``%ledger {' '.join(prefix)}``: see ``%ledger {' '.join(prefix)} --help``."
    return verb


_LINES: dict[str, Callable[[Any, str], Any]] = {
    "mlrun": mlrun,
    "track_data": _command("track"),
    "runs": _command("runs"),
    "compare_runs": _command("compare"),
    "reproduce": reproduce,
    "ledger": _command(),
}
