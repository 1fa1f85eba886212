"""Bringing a new version of a model into service behind its front, and taking it out again if it fails.

The new process is started beside the one that serves; it must answer ``/ping``, then its own input example. Only then does the
front send requests to it, and for a while watches: what it fails at is asked of the version before, which is still there, and
when that succeeds the fault is the new one's. Too many such faults, a process that ends or a probe that fails send everything
back. Nobody who asked has seen any of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path

import aiohttp

from nbledger.core import smoke
from nbledger.core.errors import LedgerError
from nbledger.core.moments import now as this_moment
from nbledger.keeper import frontstate, served
from nbledger.keeper.frontstate import Order, Outcome, State
from nbledger.keeper.relay import FAULTS
from nbledger.keeper.served import Served

log = logging.getLogger("nbledger.front")

_TICK = 0.1
_PROBE_PATIENCE = 5.0
_SMOKE_PATIENCE = 60.0
_MOST_FAULTS = 3
_SHARE = 0.01
_MOST_MISSED = 3
_DRAIN = 60.0
_LONGEST_PAUSE = 30.0


class _Failed(Exception):
    """The new version is no good; says why."""


class Rollout:
    """The state of a front, and what changes it. One order at a time."""

    def __init__(self, folder: Path, state: State, session: aiohttp.ClientSession) -> None:
        self.folder, self.state, self.session = folder, state, session
        self.ready = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.patience = 15.0
        self._ending: set[asyncio.Task[None]] = set()

    # ── what is asked of it ──────────────────────────────────────────────────────────────────────────────

    def begin(self, order: Order) -> None:
        """Begin to bring a version into service; ``outcomes`` of the state says how it ended."""
        self.state.order, self.state.step, self.patience = order.id, "start", order.patience
        frontstate.keep(self.folder, self.state)
        self.task = asyncio.create_task(self._ordered(order))

    def cancel(self, order: str) -> None:
        """Give an order up: what served before goes on."""
        if self.task is not None and self.state.order == order:
            self.task.cancel()

    async def resume(self) -> None:
        """Go on where a front that was killed had stopped: an order that was under way has failed, and what it was to replace
        serves again; a process that still runs is taken over.
        """
        state = self.state
        if state.order:
            doubtful = state.coming or (state.current if state.previous else None)
            if doubtful is not None:
                await asyncio.to_thread(served.end, doubtful, 1.0)
                if state.coming is None:
                    state.current = state.previous
                self._told(state.order, doubtful, ok=False, text="the front ended before it was known to be good")
            state.coming = state.previous = None
            state.order = state.step = ""
        if (one := state.current) is not None and served.alive(one) and served.listens(one):
            self._healthy()
        frontstate.keep(self.folder, state)

    async def supervise(self) -> None:
        """Keep a process for what is served: start it anew whenever it has ended. Runs until cancelled."""
        pause = 1.0
        while True:
            await asyncio.sleep(_TICK * 2)
            one = self.state.current
            if one is None or self.state.previous is not None:  # watched: the rollout looks after it
                continue
            served.trim(one)
            if served.alive(one) and self.ready.is_set():
                pause = 1.0
                continue
            self.ready.clear()
            self.state.health = "starting"
            try:
                await asyncio.to_thread(served.end, one, 1.0)
                await asyncio.to_thread(served.start, one)
                frontstate.keep(self.folder, self.state)
                await self._probe(one, 300.0)
            except (LedgerError, OSError, _Failed) as err:
                log.warning("version %s: %s", one.version, err)
                self.state.health = f"down: {err}"[:300]
                await asyncio.to_thread(served.end, one, 1.0)
                frontstate.keep(self.folder, self.state)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if one is self.state.current:
                self._healthy()
            elif one is not self.state.previous:  # replaced meanwhile
                await asyncio.to_thread(served.end, one)
            frontstate.keep(self.folder, self.state)

    async def close(self) -> None:
        """End everything that serves, after what is under way."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        self.ready.clear()
        last = [one for one in (self.state.current, self.state.previous, self.state.coming) if one is not None]
        await asyncio.gather(*(self._drained(one) for one in last), *self._ending)
        frontstate.keep(self.folder, self.state)

    # ── the way of an order ──────────────────────────────────────────────────────────────────────────────

    async def _ordered(self, order: Order) -> None:
        state, before = self.state, self.state.current
        new = Served(
            order.version, order.digest, order.folder, list(order.command), str(self.folder / f"serve-{order.id}.log")
        )
        state.coming = new
        try:
            await self._brought(order, new)
            ok, text = True, ""
        except (_Failed, LedgerError, OSError) as err:
            ok, text = False, str(err)
        except asyncio.CancelledError:
            ok, text = False, "it was given up"
        except Exception as err:  # the one that serves must go on, whatever this was
            log.exception("version %s", order.version)
            ok, text = False, f"this should not have happened: {type(err).__name__}: {err}"
        old = before if ok else new
        state.current, state.previous, state.coming = (new, None, None) if ok else (before, None, None)
        if before is None and not ok:
            self.ready.clear()
            state.health = "nothing is served"
        if old is not None:
            self._end_later(old)
        self._told(order.id, new, ok=ok, text=text, previous=before.version if before else None)
        state.order = state.step = ""
        frontstate.keep(self.folder, state)

    async def _brought(self, order: Order, new: Served) -> None:
        state = self.state
        starting = asyncio.ensure_future(asyncio.to_thread(served.start, new))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])  # or nobody would know of the process
            raise
        self._step("probe")
        await self._probe(new, order.probe)
        if order.smoke is not None:
            self._step("smoke")
            await self._smoke(order, new)
        new.since = this_moment()
        state.previous, state.current, state.coming = state.current, new, None
        self._healthy()
        self._step("watch")
        await self._watched(order, new)
        self._step("done")

    async def _probe(self, one: Served, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not served.alive(one):
                raise _Failed(f"its server ended: {served.last_words(one)}")
            if await self._answers(one) and served.listens(one):
                return
            await asyncio.sleep(_TICK)
        raise _Failed(f"its server did not answer /ping within {seconds:g} s")

    async def _answers(self, one: Served) -> bool:
        with contextlib.suppress(*FAULTS):
            async with (
                asyncio.timeout(_PROBE_PATIENCE),
                self.session.get(f"http://127.0.0.1:{one.port}/ping", allow_redirects=False) as answer,
            ):
                return answer.status == 200
        return False

    async def _smoke(self, order: Order, one: Served) -> None:
        if wrong := await self._wrong(order, one):
            raise _Failed(wrong)

    async def _wrong(self, order: Order, one: Served, patience: float = _SMOKE_PATIENCE) -> str:
        try:
            async with (
                asyncio.timeout(patience),
                self.session.post(
                    f"http://127.0.0.1:{one.port}/invocations",
                    data=(order.smoke or "").encode(),
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                ) as answer,
            ):
                return smoke.wrong_with(answer.status, await answer.read(), order.expected)
        except FAULTS as err:
            if not served.alive(one):
                return f"its server ended: {served.last_words(one)}"
            return f"it does not answer its own input example: {type(err).__name__}"

    async def _watched(self, order: Order, new: Served) -> None:
        """Look at it while it serves; it has failed as soon as that is plain."""
        until = time.monotonic() + order.watch
        look = asyncio.create_task(self._looked(order, new))
        try:
            while time.monotonic() < until:
                if not served.alive(new):
                    raise _Failed(f"its server ended while it served: {served.last_words(new)}")
                if new.failures >= _MOST_FAULTS:
                    break
                if look.done():
                    look.result()
                await asyncio.sleep(_TICK)
        finally:
            look.cancel()
        if new.failures > _SHARE * new.requests:
            raise _Failed(f"it failed at {new.failures} of {new.requests} requests that the version before could do")

    async def _looked(self, order: Order, new: Served) -> None:
        """Ask it every second, as long as it serves as it should."""
        missed = 0
        while True:
            missed = 0 if await self._answers(new) else missed + 1
            if missed >= _MOST_MISSED:
                raise _Failed(f"it did not answer /ping {missed} times in a row")
            if order.smoke is not None and (wrong := await self._wrong(order, new, order.patience)):
                raise _Failed(f"while it served, {wrong}")
            await asyncio.sleep(1.0)

    # ── after it ─────────────────────────────────────────────────────────────────────────────────────────

    def _end_later(self, one: Served) -> None:
        task = asyncio.create_task(self._drained(one))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _drained(self, one: Served) -> None:
        """End it when what was asked of it is answered."""
        until = time.monotonic() + _DRAIN
        while one.inflight and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_TICK)
        await asyncio.to_thread(served.end, one)

    def _healthy(self) -> None:
        self.state.health = "ok"
        self.ready.set()

    def _step(self, step: str) -> None:
        self.state.step = step
        frontstate.keep(self.folder, self.state)

    def _told(self, order: str, new: Served, *, ok: bool, text: str, previous: str | None = None) -> None:
        serving = self.state.current.version if self.state.current else None
        at = this_moment()
        step = self.state.step or "start"
        self.state.outcomes.append(
            Outcome(order, new.version, ok, step, text, serving, previous, at, new.requests, new.failures, new.digest)
        )
        log.info("version %s: %s", new.version, "serves" if ok else json.dumps(text))
