"""A Jupyter Server extension of the benchmark's own: how long the event loop was held at most since it was last asked."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

_EVERY = 0.001


class Ticker:
    """Wakes every millisecond; whoever holds the loop makes it late."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.task: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(_EVERY)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before - _EVERY)
            before = now

    def take(self) -> float:
        """The longest since the last call; the first one starts the ticking."""
        if self.task is None:
            self.task = asyncio.create_task(self.tick())
        taken, self.longest = self.longest, 0.0
        return taken


class HoldHandler(APIHandler):
    auth_resource = "bench"

    def initialize(self, ticker: Ticker) -> None:
        self.ticker = ticker

    @web.authenticated
    @authorized
    async def get(self) -> None:
        taken = self.ticker.take()
        await asyncio.sleep(10 * _EVERY)
        self.finish(json.dumps({"seconds": taken}))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "bench.ticker"}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.web_app.add_handlers(".*$", [(f"{server.base_url}bench/hold", HoldHandler, {"ticker": Ticker()})])
