"""The handler of every route: who asks is known and allowed, the words fit, the project is found, the keeper is asked."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from nbledger.core.errors import LedgerError
from nbledger.server import bridge, words
from nbledger.server.bridge import Answer
from nbledger.server.places import NotThere
from nbledger.server.routes import PREFIX, ROUTES, Route
from nbledger.server.service import Service

AUTH_RESOURCE = "nbledger"

_JUPYTERS = frozenset({"path", "token", "no_track_activity", "_xsrf"})
"""Words of a query that are not the route's."""
_STATUS = {1: 409, 2: 400, 3: 502}
_PIECE = 256 << 10
_WORTH_COMPRESSING = 32 << 10


class LedgerHandler(APIHandler):
    """Answers the routes of one path."""

    auth_resource = AUTH_RESOURCE
    _asking: asyncio.Task[Answer] | None = None

    def initialize(self, service: Service) -> None:
        self.service = service

    async def prepare(self) -> None:  # type: ignore[override]
        """Nobody is let further whom the server does not know, whatever the method and whatever the server's settings;
        and the XSRF token that it asks of requests that change something is asked of those that look, too: other sites
        must not even make this one work.
        """
        await super().prepare()
        if self.current_user is None:
            raise web.HTTPError(403)
        if self.request.method in ("GET", "HEAD"):
            self.check_xsrf_cookie()

    async def answer(self, route: Route) -> None:
        """Do what the route says."""
        self._track_activity = route.method != "GET"  # an open page looks by itself: nobody's work
        self._asking = asyncio.create_task(self._asked(route))
        try:
            await self._send(await self._asking)
        except asyncio.CancelledError:
            self.log.debug("nbledger: nobody waits for %s any more", route.path)
        except StreamClosedError:
            pass

    async def _asked(self, route: Route) -> Answer:
        try:
            given = words.decoded(self.request.query_arguments)
            asked = await asyncio.to_thread(self._words, route, given)
            place = await self.service.places.at((given.get("path") or [""])[-1])
            return await self.service.ask(place, route, asked)
        except NotThere as err:
            self.set_status(404)
            return bridge.refusal(err)
        except LedgerError as err:
            return bridge.refusal(err)

    def _words(self, route: Route, given: dict[str, list[str]]) -> dict[str, Any]:
        query = {k: v for k, v in given.items() if k not in _JUPYTERS and not _is_clock(k, v)}
        asked = words.of_query(query, route.schema)
        if route.method == "POST":
            asked = words.of_body(self.request.body) | asked
        words.check(asked, route.schema)
        return asked

    async def _send(self, answer: Answer) -> None:
        if answer.code and self.get_status() == 200:
            self.set_status(_STATUS.get(answer.code, 502))
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        chunks = answer.chunks
        if answer.size > _WORTH_COMPRESSING and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            chunks = await asyncio.to_thread(_compressed, chunks)
            self.set_header("Content-Encoding", "gzip")
            self.set_header("Vary", "Accept-Encoding")
        self.set_header("Content-Length", str(sum(map(len, chunks))))
        for chunk in chunks:
            self.write(chunk)
            await self.flush()
        self.finish()

    def on_connection_close(self) -> None:
        """Nobody waits for an answer any more; what changes something is done to its end."""
        if self._asking is not None and self.request.method == "GET":
            self._asking.cancel()
        super().on_connection_close()

    def compute_etag(self) -> None:
        """No digest of answers that are never kept."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What Jupyter Server refused, in the shape of our errors."""
        problem = kwargs.get("exc_info", (None, None))[1]
        said = responses.get(status_code, "Unknown HTTP error")
        if isinstance(problem, web.HTTPError):
            said = problem.log_message or problem.reason or said
        error = {"error": said, "hint": "", "code": 2 if status_code < 500 else 3, "kind": "LedgerError"}
        self.finish(json.dumps({"message": said, "error": error}))


def _is_clock(name: str, values: list[str]) -> bool:
    """JupyterLab's client puts the time into a query so that nothing is taken from a cache."""
    return name.isdigit() and values == [""]


def _compressed(chunks: tuple[bytes, ...]) -> tuple[bytes, ...]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = b"".join([*map(packer.compress, chunks), packer.flush()])
    return tuple(packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE))


def _method(route: Route) -> Callable[..., Any]:
    @web.authenticated
    @authorized(route.action, resource=AUTH_RESOURCE)
    async def method(self: LedgerHandler) -> None:
        await self.answer(route)

    return method


def handlers(
    base_url: str, service: Service, routes: Iterable[Route] = ROUTES
) -> list[tuple[str, Any, dict[str, Any]]]:
    """Tornado's table of the routes: a class a path, which answers the methods that the path has and no other."""
    from jupyter_server.utils import url_path_join

    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _method(route)
    return [
        (
            url_path_join(base_url, PREFIX, path),
            type("LedgerHandler", (LedgerHandler,), methods),
            {"service": service},
        )
        for path, methods in paths.items()
    ]
