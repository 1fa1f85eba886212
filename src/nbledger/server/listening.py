"""One stream of changes from each project that somebody looks at, passed on to Jupyter Server's event bus.

The browser subscribes to that bus and asks again for what changed. A project that nobody has asked about for half an
hour is let go: first its viewers are told that it changed, and one that is on screen asks and so keeps it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from nbledger.core.errors import LedgerError
from nbledger.core.project import Project
from nbledger.keeper import calls
from nbledger.server import bridge

Emit = Callable[[dict[str, Any]], None]

PARTS = ("state", "runs", "models", "pipeline", "jobs")
_KEPT = 30 * 60.0
_GRACE = 60.0
_SILENCE = 40.0
"""Seconds without a sign of life (one comes every 15) after which the keeper is taken for gone."""
_BACKOFF = (0.5, 1, 2, 5, 10, 30)
_HEARD = 20.0

log = logging.getLogger("nbledger.server")


class Listening:
    """The streams of one server, by the project's root and the store and experiment that are asked about."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._streams: dict[tuple[str, ...], _Stream] = {}

    def wanted(self, project: Project) -> None:
        """Somebody asks about ``project``: listen to its keeper, if that is not done yet."""
        if not project.settings.keeper:
            return
        key = tuple(map(str, calls.context(project).values()))
        stream = self._streams.get(key)
        if stream is None or stream.task.done():
            before = [one.last for one in self._streams.values() if one.project.root == project.root]
            stream = self._streams[key] = _Stream(project, self._emit, next(filter(None, before), None))
        stream.asked = time.monotonic()
        stream.project = project

    def close(self) -> None:
        for stream in self._streams.values():
            stream.task.cancel()
        self._streams.clear()


class _Stream:
    """The changes of one project."""

    def __init__(self, project: Project, emit: Emit, last: dict[str, Any] | None) -> None:
        self.project = project
        self.asked = time.monotonic()
        self._emit = emit
        self.last = last
        self._warned = False
        self.task = asyncio.create_task(self._run(), name=f"nbledger watches {project.root}")

    async def _run(self) -> None:
        failures = 0
        while self._quiet() < _KEPT + _GRACE:
            begun = time.monotonic()
            try:
                await self._listen()
            except LedgerError as err:
                log.debug("nbledger: %s", err)
            except (OSError, ValueError, KeyError, TypeError):
                log.exception("nbledger: the stream of changes of %s", self.project.root)
            failures = 0 if time.monotonic() - begun > _HEARD else failures + 1
            await asyncio.sleep(_BACKOFF[min(failures, len(_BACKOFF) - 1)])

    def _quiet(self) -> float:
        return time.monotonic() - self.asked

    async def _listen(self) -> None:
        """Pass changes on while the keeper tells any and somebody looks."""
        async with bridge.connected(self.project, "watch", {}, _SILENCE) as lines:
            async for pieces in lines:
                line = json.loads(b"".join(pieces))
                if "watching" in line:
                    self._begun(line["watching"])
                elif "changed" in line:
                    self._tell(line["changed"])
                elif "error" in line:
                    raise LedgerError(str(line["error"].get("error", "")))
                if not self._looked_at():
                    return

    def _begun(self, watching: dict[str, Any]) -> None:
        """Another keeper or store than before: its viewers may have missed something."""
        if self.last is not None:
            self._tell({**watching, "parts": list(PARTS)})
        self.last = {"project": watching["project"], "version": watching["version"]}

    def _tell(self, changed: dict[str, Any]) -> None:
        self.last = {"project": changed["project"], "version": changed["version"]}
        with contextlib.suppress(RuntimeError):
            self._emit({**self.last, "parts": [part for part in changed["parts"] if part in PARTS]})

    def _looked_at(self) -> bool:
        """Whether to go on. Just before the end the viewers are told to look, once: those on screen do."""
        quiet = self._quiet()
        if quiet < _KEPT:
            self._warned = False
        elif not self._warned and self.last is not None:
            self._warned = True
            self._tell({**self.last, "parts": ["state"]})
        return quiet < _KEPT + _GRACE
