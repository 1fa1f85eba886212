"""Passing one HTTP request on to a served model, so that it can be asked of another one if the answer is no good.

A request is taken in whole before it is sent, in memory as far as it is small: what a client takes its time over holds up no
model, and what failed can be sent again. Of an answer the first megabyte is read before any of it is passed on.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

MOST_BODY = 256 << 20
_IN_MEMORY = 1 << 20
_CHUNK = 64 << 10
_UPLOAD = 120.0
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "host", "expect", "content-length"}
)
FAULTS = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
"""What a model that does not answer looks like."""


@dataclass(frozen=True)
class Answer:
    """What a model said: the first megabyte, and where there is more, where it comes from."""

    status: int
    headers: CIMultiDict[str]
    head: bytes
    rest: aiohttp.ClientResponse | None = None

    def drop(self) -> None:
        """It is not needed."""
        if self.rest is not None:
            self.rest.close()


async def taken_in(request: web.BaseRequest) -> IO[bytes]:
    """The body of a request, whole. 413 where it is too large, 408 where it does not come."""
    body: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
    size = 0
    try:
        if (request.content_length or 0) > MOST_BODY:
            raise web.HTTPRequestEntityTooLarge(MOST_BODY, request.content_length or 0)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with asyncio.timeout(_UPLOAD):
            async for chunk in request.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > MOST_BODY:
                    raise web.HTTPRequestEntityTooLarge(MOST_BODY, size)
                body.write(chunk)
    except TimeoutError:
        body.close()
        raise web.HTTPRequestTimeout from None
    except BaseException:
        body.close()
        raise
    return body


async def ask(
    session: aiohttp.ClientSession, port: int, request: web.BaseRequest, body: IO[bytes], patience: float
) -> Answer:
    """Send the request to the model on ``port``; one of ``FAULTS`` where no whole head of an answer comes in time."""
    headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP)
    size = body.seek(0, 2)
    body.seek(0)
    if size or request.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(size)
    async with asyncio.timeout(patience):
        answered = await session.request(
            request.method,
            URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True),
            headers=headers,
            data=(body.read() if size <= _IN_MEMORY else _pieces(body)) if size else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        try:
            head, streams = bytearray(), answered.content_type == "text/event-stream"
            while not streams and len(head) < _IN_MEMORY and (chunk := await answered.content.read(_CHUNK)):
                head += chunk
        except BaseException:
            answered.close()
            raise
    told = CIMultiDict((k, v) for k, v in answered.headers.items() if k.lower() not in _HOP)
    if answered.content.at_eof():
        answered.release()
        return Answer(answered.status, told, bytes(head))
    return Answer(answered.status, told, bytes(head), answered)


async def _pieces(body: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := body.read(_CHUNK):
        yield chunk


async def passed_on(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Give the answer to who asked."""
    if answer.rest is None:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.head)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    try:
        await response.prepare(request)
        await response.write(answer.head)
        async for chunk in answer.rest.content.iter_chunked(_CHUNK):
            await response.write(chunk)
        await response.write_eof()
    finally:
        answer.drop()
    return response
