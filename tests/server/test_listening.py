"""Changes: from a project's files and keeper to whoever is subscribed to Jupyter Server's event bus."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from conftest import make_repository
from nbledger.core import trust
from nbledger.core.project import Project, find
from nbledger.keeper import client
from nbledger.server import bridge, listening
from nbledger.server.extension import EVENT
from nbledger.server.listening import PARTS, Listening
from nbledger.server.routes import ROUTES
from server import standin
from server.jupyter import Server, started

ALIVE = b"{}\n"
Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = make_repository(tmp_path_factory.mktemp("served") / "root")
    with started(root, tmp_path_factory.mktemp("home"), base="/user/ada/") as running:
        yield running


def test_a_browser_hears_of_an_edited_file_and_of_a_new_keeper(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    state = next(route for route in ROUTES if route.path == "state")
    (server.root / "train.py").write_text("1\n")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", server.env["JUPYTER_RUNTIME_DIR"])

    async def look() -> tuple[Events, Events, Any]:
        async with _subscribed(server) as heard:
            first = await asyncio.to_thread(server.call, state, {})
            assert first.status == 200, first.body
            keeper = await _running(find(server.root))
            await asyncio.sleep(0.5)
            heard.clear()
            (server.root / "train.py").write_text("2\n")
            edited = await _until(heard, lambda e: "state" in e["parts"])
            os.kill(keeper.pid, signal.SIGKILL)
            anew = await _until(heard, lambda e: e["parts"] == list(PARTS))
            return edited, anew, first.json["result"]

    edited, anew, said = asyncio.run(look())
    assert {e["schema_id"] for e in edited + anew} == {EVENT}
    assert {e["project"] for e in edited + anew} == {said["project"]}
    assert edited[-1]["version"] > said["version"]
    assert anew[-1]["version"] > edited[-1]["version"]


@asynccontextmanager
async def _subscribed(server: Server) -> AsyncIterator[Events]:
    """What the event bus says of nbledger, as it comes."""
    address = f"ws://127.0.0.1:{server.port}{server.base}api/events/subscribe"
    socket = await websocket_connect(HTTPRequest(address, headers=server.known))
    heard: Events = []

    async def listen() -> None:
        while (message := await socket.read_message()) is not None:
            event = json.loads(message)
            if event["schema_id"] == EVENT:
                heard.append(event)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        socket.close()
        await task


async def _running(project: Project) -> Any:
    for _ in range(200):
        if (known := await asyncio.to_thread(client.running, project)) is not None:
            return known
        await asyncio.sleep(0.05)
    raise AssertionError("there is no keeper")


async def _until(heard: Events, wanted: Callable[[dict[str, Any]], bool], seconds: float = 30) -> Events:
    deadline = time.monotonic() + seconds
    while not any(map(wanted, heard)):
        assert time.monotonic() < deadline, heard
        await asyncio.sleep(0.01)
    return list(heard)


def _watching(version: int) -> bytes:
    return json.dumps({"watching": {"project": "k", "version": version}}).encode() + b"\n"


def _changed(version: int, *parts: str) -> bytes:
    return json.dumps({"changed": {"project": "k", "parts": parts, "version": version}}).encode() + b"\n"


def test_lines_of_the_stream_become_events_and_parts_that_nobody_knows_do_not(project: Path) -> None:
    def talk(say: standin.Say) -> None:
        say(_watching(1) + ALIVE + _changed(2, "state", "weather") + ALIVE + _changed(3, "runs"))
        time.sleep(5)

    async def look() -> Events:
        heard: Events = []
        ears = Listening(heard.append)
        ears.wanted(find(project))
        ears.wanted(find(project))  # twice is one stream
        await _until(heard, lambda e: e["version"] == 3)
        ears.close()
        return heard

    with standin.keeper(find(project), talk) as asked:
        assert asyncio.run(look()) == [
            {"project": "k", "version": 2, "parts": ["state"]},
            {"project": "k", "version": 3, "parts": ["runs"]},
        ]
        assert [json.loads(question)["call"] for question in asked] == ["watch"]


def test_another_store_is_another_stream_and_its_viewers_look_at_everything(project: Path) -> None:
    def talk(say: standin.Say) -> None:
        say(_watching(1) + _changed(2, "state"))
        time.sleep(5)

    async def look() -> Events:
        heard: Events = []
        ears = Listening(heard.append)
        ears.wanted(find(project))
        await _until(heard, lambda e: e["parts"] == ["state"])
        (project / ".nbledger.toml").write_text("tracking_uri = 'http://127.0.0.1:9'\n")
        trust.trust(find(project))
        ears.wanted(find(project))
        ears.wanted(find(project))
        assert len(ears._streams) == 2
        await _until(heard, lambda e: e["parts"] == list(PARTS))
        ears.close()
        return heard

    with standin.keeper(find(project), talk) as asked:
        asyncio.run(look())
        assert [json.loads(question)["context"]["uri"] for question in asked][1:] == ["http://127.0.0.1:9"]


def test_a_stream_that_ends_or_talks_nonsense_is_begun_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_BACKOFF", (0.01,))
    turns = iter([_watching(1), b"nonsense\n", b"[1]\n", b'{"error": {"error": "no"}}\n', b"", _watching(9) + ALIVE])

    def talk(say: standin.Say) -> None:
        said = next(turns, b"")
        say(said)
        time.sleep(5 if said.endswith(ALIVE) else 0)

    async def look() -> Events:
        heard: Events = []
        ears = Listening(heard.append)
        ears.wanted(find(project))
        await _until(heard, lambda e: e["version"] == 9)
        ears.close()
        return heard

    with standin.keeper(find(project), talk):
        assert asyncio.run(look()) == [{"project": "k", "version": 9, "parts": list(PARTS)}]


def test_a_project_that_nobody_looks_at_is_let_go_after_its_viewers_were_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_KEPT", 0.2)
    monkeypatch.setattr(listening, "_GRACE", 1.5)
    monkeypatch.setattr(listening, "_BACKOFF", (0.01,))

    def talk(say: standin.Say) -> None:
        say(_watching(5))
        while True:
            say(ALIVE)
            time.sleep(0.02)

    async def look() -> tuple[Events, int]:
        heard: Events = []
        ears = Listening(heard.append)
        ears.wanted(find(project))
        (stream,) = ears._streams.values()
        await _until(heard, lambda e: e["parts"] == ["state"])
        ears.wanted(find(project))  # a viewer on screen looks, and so keeps it
        assert not stream.task.done()
        await asyncio.wait_for(stream.task, 20)
        kept = len(heard)
        ears.wanted(find(project))
        (again,) = ears._streams.values()
        assert again is not stream
        ears.close()
        return heard, kept

    with standin.keeper(find(project), talk):
        heard, kept = asyncio.run(look())
    asked = {"project": "k", "version": 5, "parts": ["state"]}
    assert heard[:2] == [asked, asked]
    assert kept == 2


def test_a_stopped_keeper_is_noticed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_LOOK", 0.05)
    monkeypatch.setattr(listening, "_SILENCE", 0.2)
    monkeypatch.setattr(listening, "_BACKOFF", (0.01,))
    count = []

    def talk(say: standin.Say) -> None:
        count.append(1)
        say(_watching(len(count)))
        time.sleep(3)  # no sign of life

    async def look() -> None:
        heard: Events = []
        ears = Listening(heard.append)
        ears.wanted(find(project))
        await _until(heard, lambda e: e["version"] >= 3)
        ears.close()

    with standin.keeper(find(project), talk):
        asyncio.run(look())


def test_without_a_keeper_there_is_nothing_to_listen_to(project: Path) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    ears = Listening(lambda _: None)
    ears.wanted(find(project))
    assert not ears._streams
