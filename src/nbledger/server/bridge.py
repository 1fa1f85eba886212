"""Asks the keeper of a project on the server's event loop, and hands its answer on as the bytes that it is.

The answer to 10,000 runs has 7 MB: it is neither decoded nor joined here, and everything that blocks (files, starting
a process) is done in a thread, so that the loop goes on with everyone else's requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from nbledger.core.errors import LedgerError, Unreachable
from nbledger.core.project import Project
from nbledger.keeper import calls, client
from nbledger.keeper.endpoint import Endpoint

_CHUNK = 64 << 10
_LARGEST = 256 << 20
_LOOK = 2.0
"""Seconds of silence after which it is asked whether the keeper's process is stopped."""
_ALONE = 2
"""Processes at once that do the work of a keeper where there is none."""

_RESULT, _ERROR, _PROGRESS = b'{"result":', b'{"error":', b'{"progress":'
_HEAD = max(map(len, (_RESULT, _ERROR, _PROGRESS)))


@dataclass(frozen=True)
class Answer:
    """A line of the keeper's, ``{"result": …}`` or ``{"error": …}``; ``code`` is that of the error, 0 without one."""

    chunks: tuple[bytes, ...]
    code: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


def refusal(error: LedgerError) -> Answer:
    """The answer that the keeper gives in case of ``error``."""
    return Answer((json.dumps({"error": error.as_dict()}).encode(),), error.exit_code)


async def ask(project: Project, name: str, args: Mapping[str, Any], seconds: float, *, again: bool = False) -> Answer:
    """What the keeper answers to ``name``; it is started if need be. ``LedgerError`` where it does not answer.

    ``seconds`` is how long it may be silent. ``again``: what is asked changes nothing, so that another keeper may be
    asked where one ended, as it does when it was idle for long.
    """
    if not project.settings.keeper:
        return await alone(project, name, args, seconds)
    for _ in range(2 if again else 1):
        async with connected(project, name, args, seconds) as lines:
            async for line in lines:
                if (answer := _answer(line)) is not None:
                    return answer
    raise LedgerError("the keeper ended before it answered", "try again; `nbledger doctor` says more")


@contextlib.asynccontextmanager
async def connected(
    project: Project, name: str, args: Mapping[str, Any], seconds: float
) -> AsyncIterator[AsyncIterator[list[bytes]]]:
    """The lines of the keeper's answer, each in pieces, while the connection lasts."""
    for pause in (0.1, 0.5, None):
        known = await _keeper(project)
        try:
            reader, writer = await asyncio.wait_for(_open(known), 5)
            break
        except (OSError, TimeoutError) as err:
            if pause is None or isinstance(err, TimeoutError):
                raise _unreachable(known, 5) from err
        await asyncio.sleep(pause)  # it has just ended, and is not known to have yet
    try:
        with contextlib.suppress(ConnectionError):  # what it said before it hung up is still to be read
            writer.write(client.request(known, project, name, args))
            await writer.drain()
        yield _lines(reader, known, seconds)
    finally:
        writer.close()


_starting: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()


async def _keeper(project: Project) -> Endpoint:
    """The keeper, started if there is none: once, however many ask for it when a page opens."""
    known = await asyncio.to_thread(client.running, project)
    if known is None:
        async with _starting.setdefault(str(project.root), asyncio.Lock()):
            known = await asyncio.to_thread(client.ready, project)
    if known is None:
        raise Unreachable("the keeper does not start", "`nbledger doctor` says why")
    return known


async def _open(known: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(known.address, str):
        return await asyncio.open_unix_connection(known.address)
    return await asyncio.open_connection(*known.address)


async def _lines(reader: asyncio.StreamReader, known: Endpoint | None, seconds: float) -> AsyncIterator[list[bytes]]:
    """Whole lines as pieces, without their end."""
    pieces: list[bytes] = []
    held = 0
    while chunk := await _read(reader, known, seconds):
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            yield [*pieces, end] if end else pieces
            pieces, held = [], 0
        if rest:
            pieces.append(rest)
            held += len(rest)
        if held > _LARGEST:
            raise LedgerError(f"the answer is larger than {_LARGEST >> 20} MB", "ask for less")


async def _read(reader: asyncio.StreamReader, known: Endpoint | None, seconds: float) -> bytes:
    """The next bytes; none at the end. ``Unreachable`` when nothing comes for ``seconds``, or never can."""
    reading = asyncio.ensure_future(reader.read(_CHUNK))
    waited = 0.0
    try:
        while not (await asyncio.wait({reading}, timeout=min(_LOOK, seconds)))[0]:
            waited += min(_LOOK, seconds)
            if waited >= seconds or (known is not None and _stopped(known.pid)):
                raise _unreachable(known, seconds)
        return reading.result()
    except ConnectionError:
        return b""
    finally:
        reading.cancel()


def _stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def _unreachable(known: Endpoint | None, seconds: float) -> Unreachable:
    if known is None:
        return Unreachable(f"the work was not done within {seconds:.0f} s", "try again")
    who = f"the keeper (process {known.pid})"
    if _stopped(known.pid):
        return Unreachable(f"{who} is stopped", f"`kill -CONT {known.pid}` lets it go on")
    return Unreachable(f"{who} did not answer within {seconds:.0f} s", "try again; `nbledger doctor` says more")


def _answer(line: list[bytes]) -> Answer | None:
    """A line as an answer; None for one that tells of progress. ``LedgerError`` for what is none of the protocol's."""
    head = b""
    for piece in line:
        if len(head) >= _HEAD:
            break
        head += piece
    if head.startswith(_PROGRESS):
        return None
    if head.startswith(_RESULT) and line[-1].endswith(b"}"):
        return Answer(tuple(line))
    if head.startswith(_ERROR):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return Answer(tuple(line), int(json.loads(b"".join(line))["error"]["code"]) or 3)
    raise LedgerError("the keeper answers what is no answer", "stop its process; another one starts by itself")


_turns = asyncio.Semaphore(_ALONE)


async def alone(project: Project, name: str, args: Mapping[str, Any], seconds: float) -> Answer:
    """The same work by a process of its own, where the settings want no keeper."""
    async with _turns:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the project's folder
            "-m",
            "nbledger.server.alone",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=project.root,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            request = {"call": name, "context": calls.context(project), "args": dict(args)}
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.close()
            async for line in _lines(process.stdout, None, seconds):
                if (answer := _answer(line)) is not None:
                    return answer
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    raise LedgerError(f"the process that did {name!r} ended before it answered", "`nbledger doctor` says more")
