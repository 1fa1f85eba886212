"""The front of a served model: ``python -m nbledger.keeper.frontdoor FOLDER``, a process that outlives who started it.

It has the port that clients know, passes their requests on to the version that serves (``relay``), and brings the next one into
service without a failed request (``rollout``). Orders come by a Unix socket in the keeper's private folder. What it knows is in
``FOLDER/state.json``: one that was killed is followed by another that takes over the processes that still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import logging.handlers
import os
import signal
import sys
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from nbledger.core.errors import Busy, LedgerError
from nbledger.core.files import lock
from nbledger.core.owners import process_started
from nbledger.keeper import endpoint, frontstate, relay, served
from nbledger.keeper.frontstate import Order, State
from nbledger.keeper.relay import FAULTS, Answer
from nbledger.keeper.rollout import Rollout
from nbledger.keeper.served import Served

log = logging.getLogger("nbledger.front")

VERSION_HEADER = "X-Model-Version"
_MOST_AT_ONCE = 512
_PATIENCE = 75.0
_HELD = 60.0
_TRIES = 4
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Front:
    """The two faces: ``public`` for clients, ``control`` for nbledger."""

    def __init__(self, rollout: Rollout, stop: asyncio.Event) -> None:
        self.rollout, self.stop = rollout, stop
        self._under_way = 0
        self._guarded = _loopback(rollout.state.host)

    @property
    def state(self) -> State:
        return self.rollout.state

    async def public(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on."""
        if not request.raw_path.startswith("/"):
            return _said(400, "only paths are served here")
        if self._guarded and _host(request) not in _LOCAL:  # a page in a browser whose name leads here
            return _said(403, "this address is not served here")
        if self._under_way >= _MOST_AT_ONCE:
            return _said(503, "too many requests are under way", retry=True)
        self._under_way += 1
        try:
            body = await relay.taken_in(request)
            with contextlib.closing(body):
                return await self._answered(request, body)
        except web.HTTPException as err:
            return _said(err.status, err.reason)
        finally:
            self._under_way -= 1

    async def _answered(self, request: web.BaseRequest, body: IO[bytes]) -> web.StreamResponse:
        """By the version that serves; where its process has ended, by the one that is started in its place."""
        with contextlib.suppress(TimeoutError):
            for _ in range(_TRIES):
                async with asyncio.timeout(_HELD if self.state.current else 0):
                    await self.rollout.ready.wait()
                one, spare = self.state.current, self.state.previous
                if one is None:
                    break
                if (found := await self._best(one, spare, request, body)) is not None:
                    return await self._given(request, *found)
                if spare is None and one is self.state.current and not served.alive(one):
                    self.rollout.ready.clear()
        return _said(503, f"no version of the model answers: {self.state.health}", retry=True)

    async def _best(
        self, one: Served, spare: Served | None, request: web.BaseRequest, body: IO[bytes]
    ) -> tuple[Served, Answer] | None:
        """What ``one`` answers; while it is being watched, what the version before does where that is better."""
        first = await self._tried(one, request, body, self.rollout.patience if spare else _PATIENCE)
        if spare is None or (first is not None and first.status < 400):
            return None if first is None else (one, first)
        second = await self._tried(spare, request, body, _PATIENCE)
        if second is not None and (first is None or second.status < 400):
            one.failures += 1
            if first is not None:
                first.drop()
            return spare, second
        if second is not None:
            second.drop()
        return None if first is None else (one, first)

    async def _tried(self, one: Served, request: web.BaseRequest, body: IO[bytes], patience: float) -> Answer | None:
        one.requests += 1
        one.inflight += 1
        try:
            return await relay.ask(self.rollout.session, one.port, request, body, patience)
        except TimeoutError:
            return Answer(504, CIMultiDict(), b"the model did not answer in time\n")
        except FAULTS as err:
            log.info("version %s: %s: %s", one.version, type(err).__name__, err)
            return None
        finally:
            one.inflight -= 1

    async def _given(self, request: web.BaseRequest, one: Served, answer: Answer) -> web.StreamResponse:
        answer.headers[VERSION_HEADER] = one.version
        one.inflight += 1
        try:
            return await relay.passed_on(request, answer)
        finally:
            one.inflight -= 1

    # ── orders ───────────────────────────────────────────────────────────────────────────────────────────

    async def control(self, request: web.BaseRequest) -> web.StreamResponse:
        """What nbledger asks: ``state``, ``begin`` an order, ``cancel`` it, ``stop``."""
        words = await request.json() if request.can_read_body else {}
        if request.path == "/begin":
            if self.state.order or self.stop.is_set():
                return web.json_response({"error": "another version is being brought into service"}, status=409)
            self.rollout.begin(Order(**words))
        elif request.path == "/cancel":
            self.rollout.cancel(str(words["id"]))
        elif request.path == "/stop":
            self.stop.set()
        elif request.path != "/state":
            return web.json_response({"error": "unknown"}, status=404)
        return web.json_response(self.state.as_dict())


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(request: web.BaseRequest) -> str:
    try:
        return urlsplit(f"//{request.headers.get('Host', 'localhost')}").hostname or ""
    except ValueError:
        return ""


def _said(status: int, text: str, *, retry: bool = False) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers={"Retry-After": "5"} if retry else None)


def socket_of(folder: Path) -> Path:
    """Where the front of this folder takes orders."""
    return endpoint.folder() / f"f-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}.s"


async def serve(folder: Path) -> None:
    """Run the front until it is told to stop."""
    state = frontstate.load(folder)
    if state is None:
        raise LedgerError(f"there is no state in {folder}")
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15.0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        rollout = Rollout(folder, state, session)
        front = Front(rollout, stop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        public = web.ServerRunner(
            web.Server(front.public, access_log=None, auto_decompress=False), handle_signals=False
        )
        control = web.ServerRunner(web.Server(front.control, access_log=None), handle_signals=False)
        await public.setup()
        await control.setup()
        await web.TCPSite(public, state.host, state.port, backlog=1024, shutdown_timeout=5.0).start()
        place = socket_of(folder)
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
        await web.UnixSite(control, str(place)).start()
        place.chmod(0o600)
        state.control, state.pid, state.created = str(place), os.getpid(), process_started(os.getpid())
        await rollout.resume()
        keeping = asyncio.create_task(rollout.supervise())
        await stop.wait()
        keeping.cancel()
        await public.cleanup()
        await rollout.close()
        state.pid = 0
        frontstate.keep(folder, state)
        await control.cleanup()
        with contextlib.suppress(FileNotFoundError):
            place.unlink()


def main(folder: Path) -> int:
    """One front a folder: a second one ends at once."""
    handler = logging.handlers.RotatingFileHandler(folder / "front.log", maxBytes=1 << 20, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with lock(folder / "front.lock", timeout=0.5, what="the front"):
            asyncio.run(serve(folder))
    except Busy:
        return 0
    except (LedgerError, OSError) as err:
        log.warning("%s", err)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
