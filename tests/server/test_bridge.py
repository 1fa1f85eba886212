"""The way from the server to the keeper and back: verbatim, and one clear error for whatever goes wrong on it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nbledger.core.errors import LedgerError
from nbledger.core.project import Project, find
from nbledger.keeper import client, endpoint
from nbledger.server import bridge
from server import standin


def ask(project: Project, name: str = "flush", seconds: float = 20.0, **args: Any) -> bridge.Answer:
    return asyncio.run(bridge.ask(project, name, args, seconds))


def error_of(project: Project, seconds: float = 20.0) -> str:
    with pytest.raises(LedgerError) as error:
        ask(project, seconds=seconds)
    assert error.value.exit_code == 3
    assert error.value.hint
    return error.value.message


def test_the_answer_is_passed_on_as_it_is(project: Path) -> None:
    line = b'{"result": {"n":1.50,  "name": "<img onerror=\\u202e>"}}'
    progress = b'{"progress": [1, 2, "half"]}\n'
    with standin.keeper(find(project), lambda say: say(progress * 3 + line + b"\n")) as asked:
        answer = ask(find(project), "detail", run="x")
    assert b"".join(answer.chunks) == line
    assert answer.code == 0
    (question,) = map(json.loads, asked)
    assert (question["call"], question["args"]) == ("detail", {"run": "x"})
    assert question["context"]["cwd"] == str(project)


def test_a_large_answer_comes_in_pieces_and_whole(project: Path) -> None:
    line = b'{"result": "' + b"x" * 9_000_000 + b'"}'
    with standin.keeper(find(project), lambda say: say(line + b"\n")):
        answer = ask(find(project))
    assert b"".join(answer.chunks) == line
    assert answer.size == len(line)
    assert max(map(len, answer.chunks)) <= 64 << 10


def test_an_answer_that_comes_byte_by_byte_is_understood(project: Path) -> None:
    def dribble(say: standin.Say) -> None:
        for byte in b'{"progress": [1, 1, ""]}\n{"result": 7}\n':
            say(bytes([byte]))
            time.sleep(0.001)

    with standin.keeper(find(project), dribble):
        assert b"".join(ask(find(project)).chunks) == b'{"result": 7}'


def test_the_keepers_errors_keep_their_code(project: Path) -> None:
    line = json.dumps({"error": {"error": "no", "hint": "", "code": 2, "kind": "UsageError"}}).encode()
    with standin.keeper(find(project), lambda say: say(line + b"\n")):
        answer = ask(find(project))
    assert (b"".join(answer.chunks), answer.code) == (line, 2)


@pytest.mark.parametrize("said", [b"", b'{"result": [1, 2', b'{"progress": [1, 1, ""]}\n'])
def test_a_keeper_that_ends_in_the_middle(project: Path, said: bytes) -> None:
    with standin.keeper(find(project), lambda say: say(said)):
        assert error_of(find(project)) == "the keeper ended before it answered"


@pytest.mark.parametrize(
    "said",
    [b"hello\n", b"\n", b"{}\n", b"HTTP/1.1 200 OK\r\n\r\n", b'{"result": 1\n', b'{"error": 5}\n', b"\xff\x00\n"],
)
def test_a_keeper_that_talks_nonsense(project: Path, said: bytes) -> None:
    with standin.keeper(find(project), lambda say: say(said)):
        assert error_of(find(project)) == "the keeper answers what is no answer"


def test_a_keeper_that_never_answers(project: Path) -> None:
    done = threading.Event()
    with standin.keeper(find(project), lambda say: done.wait(20) and None):
        assert "did not answer within" in error_of(find(project), seconds=0.2)
        done.set()


def test_a_real_keeper_that_is_stopped_killed_or_of_another_version(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_LOOK", 0.1)
    here = find(project)
    assert json.loads(b"".join(ask(here).chunks)) == {"result": {"left": 0, "reasons": []}}
    first = client.running(here)
    assert first is not None

    os.kill(first.pid, signal.SIGSTOP)
    assert error_of(here) == f"the keeper (process {first.pid}) is stopped"
    os.kill(first.pid, signal.SIGCONT)
    assert ask(here).code == 0

    os.kill(first.pid, signal.SIGKILL)
    assert asyncio.run(bridge.ask(here, "status", {}, 20, again=True)).code == 0
    second = client.running(here)
    assert second is not None
    assert second.pid != first.pid

    endpoint.announce(here, dataclasses.replace(second, version="0.0.0"))
    assert ask(here).code == 0
    third = client.running(here)
    assert third is not None
    assert third.pid != second.pid


def test_the_servers_environment_names_the_store_as_it_does_for_its_kernels(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keeper that runs already, too, is told with each question which store and which experiment is meant."""
    assert ask(find(project)).code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from the environment")
    tracking = json.loads(b"".join(ask(find(project), "state").chunks))["result"]["tracking"]
    assert tracking["uri"] == f"sqlite:///{tmp_path / 'elsewhere.db'}"
    assert tracking["experiment"] == "from the environment"


def test_where_the_settings_want_no_keeper_a_process_of_its_own_does_the_work(project: Path) -> None:
    (project / ".nbledger.toml").write_text("keeper = false\n")
    answer = ask(find(project), "status")
    assert json.loads(b"".join(answer.chunks))["result"]["root"] == str(project)
    assert ask(find(project), "no-such-call").code == 2
    assert client.running(find(project)) is None


def test_however_many_ask_at_first_one_keeper_is_started(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, spawned = find(project), []
    start = client.spawn

    def counted(of: Project) -> subprocess.Popen[bytes] | None:
        spawned.append(of)
        return start(of)

    monkeypatch.setattr(client, "spawn", counted)

    async def together() -> list[bridge.Answer]:
        return await asyncio.gather(*(bridge.ask(here, "flush", {}, 60) for _ in range(12)))

    assert {answer.code for answer in asyncio.run(together())} == {0}
    assert len(spawned) == 1
