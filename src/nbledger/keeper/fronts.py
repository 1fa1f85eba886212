"""The fronts of a project's served models, as nbledger starts and asks them."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbledger.core import mlflow
from nbledger.core.errors import Busy, LedgerError, ToolFailed, Unreachable
from nbledger.core.files import lock
from nbledger.core.owners import process_started
from nbledger.core.project import Project
from nbledger.keeper import frontstate
from nbledger.keeper.frontstate import Order, State

_STARTING = 180.0
_TICK = 0.1
_ANSWER = 10.0
# What reaches the registry is not for a model's server, which runs the model's own code.
_WITHHELD = ("MLFLOW_TRACKING_", "MLFLOW_RUN_ID", "NBLEDGER_", "JPY_")


class _Connection(http.client.HTTPConnection):
    """By a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def alive(state: State) -> bool:
    """Whether the front that kept this state still runs."""
    return bool(state.pid) and state.created is not None and process_started(state.pid) == state.created


def ask(folder: Path, what: str = "state", words: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the front says: its state, and ``busy`` where it refused. ``Unreachable`` where none answers."""
    state = frontstate.load(folder)
    if state is None or not alive(state) or not state.control:
        raise Unreachable("the front of this model does not run", "deploy the model again: it goes on as it was")
    connection = _Connection(state.control)
    try:
        body = json.dumps(words) if words is not None else None
        connection.request("GET" if body is None else "POST", f"/{what}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as err:
        raise Unreachable(f"the front of this model does not answer: {type(err).__name__}") from err
    finally:
        connection.close()
    if answer.status == 409:
        raise Busy(f"{state.model}: {told.get('error')}", "wait until it has ended: nbledger deploy --list")
    if answer.status != 200:
        raise ToolFailed(f"the front of this model failed ({answer.status})", f"see {folder / 'front.log'}")
    return told


def ensure(folder: Path) -> None:
    """Start the front of a folder that has a state, unless it runs; returns when it answers."""
    with lock(folder / "start.lock", timeout=_STARTING, what="the start of the front"):
        state = frontstate.load(folder)
        if state is not None and alive(state):
            return
        with open(folder / "front.out", "wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "nbledger.keeper.frontdoor", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=folder,
                env={k: v for k, v in mlflow.persons_environment().items() if not k.startswith(_WITHHELD)},
            )
        until = time.monotonic() + _STARTING
        while time.monotonic() < until:
            with contextlib.suppress(Unreachable):
                ask(folder)
                return
            if process.poll() is not None:
                raise ToolFailed(f"the front does not start: {_last_line(folder)}", f"see {folder}")
            time.sleep(_TICK)
        process.terminate()
        raise ToolFailed("the front did not start in time", f"see {folder / 'front.log'}")


def wait(folder: Path, order: Order) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(the step, None) whenever it changes, and at last (step, outcome) of an order that was begun."""
    step, missed = "", 0
    while True:
        try:
            told = ask(folder)
            missed = 0
        except Unreachable:
            if (missed := missed + 1) > 20:
                raise
            time.sleep(_TICK * 2)
            continue
        if (outcome := next((one for one in told["outcomes"] if one["id"] == order.id), None)) is not None:
            yield str(outcome["step"]), outcome
            return
        if told["order"] != order.id:
            raise LedgerError("the front has forgotten the order", f"see {folder / 'front.log'}")
        if told["step"] != step:
            step = str(told["step"])
            yield step, None
        time.sleep(_TICK * 2)


def stopped(folder: Path, patience: float = 120.0) -> bool:
    """Tell the front to end, and wait until it has; whether one ran."""
    state = frontstate.load(folder)
    if state is None or not alive(state):
        return False
    ask(folder, "stop", {})
    until = time.monotonic() + patience
    while alive(state):
        if time.monotonic() > until:
            raise ToolFailed(f"the front of {state.model} does not end", f"see {folder / 'front.log'}")
        time.sleep(_TICK)
    return True


def folders(project: Project) -> list[Path]:
    """The folders of all fronts of the project, those that do not run too."""
    place = project.state / frontstate.FOLDER
    return sorted(one.parent for one in place.glob("*/state.json")) if place.is_dir() else []


def _last_line(folder: Path) -> str:
    lines: list[str] = []
    for name in ("front.out", "front.log"):
        with contextlib.suppress(OSError):
            lines += [line for line in (folder / name).read_text(errors="replace").splitlines() if line.strip()]
    line = lines[-1] if lines else "no reason is known"
    return line.partition(" ")[2].partition(" ")[2][:300] if line[:4].isdigit() else line[:300]
