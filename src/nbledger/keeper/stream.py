"""The ``watch`` call: one connection that is told, line by line, what changes, for as long as it lives."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import Any

from nbledger.core.project import Project
from nbledger.keeper import changes, watching

_PAUSE = 0.25
"""Seconds between two lines: what changes meanwhile is told in one."""
_SIGN_OF_LIFE = 15.0


def serve(project: Project, connection: socket.socket) -> None:
    """Tell of changes until the other side leaves or the keeper stops."""
    connection.settimeout(10)  # one that does not read is given up: what it missed it asks for when it comes back
    with changes.subscribed(project) as told, watching.attentive(project), contextlib.suppress(OSError):
        _send(connection, {"watching": {"project": project.key, "version": changes.version()}})
        while not told.closed:
            here, _, _ = select.select([connection, told.bell], [], [], _SIGN_OF_LIFE)
            if connection in here:
                return  # it left; nor has it anything to say
            parts, version = told.take()
            if parts:
                _send(connection, {"changed": {"project": project.key, "parts": parts, "version": version}})
                _rest(told)
            elif not here:
                _send(connection, {})


def _rest(told: changes.Subscription) -> None:
    """Let changes gather, but not while the keeper stops."""
    until = time.monotonic() + _PAUSE
    while not told.closed and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


def _send(connection: socket.socket, line: dict[str, Any]) -> None:
    connection.sendall(json.dumps(line).encode() + b"\n")
