"""What the commands of every verb share."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

from nbledger.commands.answer import Face
from nbledger.commands.progress import waiting
from nbledger.core.errors import Refused
from nbledger.keeper import client
from nbledger.keeper.calls import perform

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def ask(face: Face, name: str, args: dict[str, Any] | None = None) -> Any:
    """Do a call by the keeper (or here), for the project of the working directory."""
    if name in _OF_A_PROJECT:
        at_a_project(face)
    with waiting(face.progress) as progress:
        return client.call(face.project(), name, args or {}, start=face.start_keeper, progress=progress)


_OF_A_PROJECT = frozenset(
    {"runs", "show", "status", "children", "compare", "promote_if", "rollback", "decisions", "report", "approvals"}
)


def at_a_project(face: Face) -> None:
    """Refuse to look for what was recorded where nothing can have been, and to leave a ledger there. A notebook may begin
    one anywhere.
    """
    project = face.project()
    if project.unmarked and not face.start_keeper:
        what = f"there is no nbledger project in {project.root}: no Git repository, no .nbledger.toml"
        raise Refused(what, "cd to your project, or nbledger init makes one here")


def at_remote(face: Face, name: str, args: dict[str, Any] | None = None) -> Any:
    """As ``ask``, for calls that speak to the data remote: from a terminal they are done in this process, in whose
    environment the person's credentials are; the keeper has that of what started it.
    """
    if face.start_keeper:
        return ask(face, name, args)
    with waiting(face.progress) as progress:
        return perform(face.project(), name, args or {}, progress)


def as_person(face: Face, name: str, args: dict[str, Any] | None = None) -> Any:
    """As ``ask``, for calls that go by who asks. The keeper is whoever started it: it is asked where that is the same person."""
    from nbledger.core import whoami

    at_a_project(face)
    project = face.project()
    same = face.start_keeper or client.call(project, "me") == whoami.recorded(project)
    return ask(face, name, args) if same else at_remote(face, name, args)


@contextlib.contextmanager
def ended_gently() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end the work as Ctrl-C does: what is half-made is taken away."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    try:
        before = {number: signal.signal(number, interrupt) for number in wanted}
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
