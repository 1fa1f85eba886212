"""The front of a served model: no request fails while versions come and go, good ones and every kind of broken one."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from nbledger.core import modeldigest
from nbledger.core.errors import Busy, ToolFailed, Unreachable
from nbledger.core.owners import process_started
from nbledger.core.project import find
from nbledger.keeper import fronts, frontstate
from nbledger.keeper.frontstate import Order, State
from nbledger.keeper.served import free_port
from requestload import Load

TINY = Path(__file__).parents[1] / "tinymodel.py"
EXAMPLE = '{"inputs": [1, 2, 3]}'


class Front:
    def __init__(self, root: Path) -> None:
        project = find(root)
        project.ensure_state()
        self.folder, self.port = frontstate.folder_of(project, "wine"), free_port()
        self.folder.mkdir(parents=True)
        self.model = self.folder / "models" / "m"
        self.model.mkdir(parents=True)
        (self.model / "MLmodel").write_text("flavors: {}\n")
        frontstate.keep(self.folder, State("wine", "127.0.0.1", self.port))
        fronts.ensure(self.folder)

    def order(self, version: str, kind: str = "good", **more: Any) -> Order:
        words = (sys.executable, str(TINY), "{port}", version, kind)
        wanted = {"probe": 120.0, "watch": 1.0, "smoke": EXAMPLE, "expected": [len(EXAMPLE)], "patience": 10.0} | more
        return Order(f"o{version}", version, modeldigest.digest(self.model), str(self.model), words, **wanted)

    def deploy(self, version: str, kind: str = "good", **more: Any) -> dict[str, Any]:
        order = self.order(version, kind, **more)
        fronts.ask(self.folder, "begin", asdict(order))
        return [outcome for _, outcome in fronts.wait(self.folder, order) if outcome][-1]

    def ask(self, words: str = EXAMPLE, host: str = "", path: str = "/invocations") -> tuple[int, str, Any]:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", words.encode())
        asked.add_header("Content-Type", "application/json")
        if host:
            asked.add_header("Host", host)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status, str(answer.headers["X-Model-Version"]), json.load(answer)
        except urllib.error.HTTPError as err:
            return err.code, str(err.headers["X-Model-Version"]), err.read().decode()

    def state(self) -> dict[str, Any]:
        return fronts.ask(self.folder)

    def processes(self) -> list[int]:
        """Of this front's models, as long as any runs."""
        found = []
        for one in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):
                if (
                    str(TINY) in (one.info["cmdline"] or [])
                    and one.status() != psutil.STATUS_ZOMBIE
                    and one.cwd() == str(self.folder / "models")
                ):
                    found.append(one.pid)
        return found

    def only(self, count: int, timeout: float = 120) -> list[int]:
        """The processes, once there are only so many."""
        deadline = time.monotonic() + timeout
        while len(found := self.processes()) != count:
            assert time.monotonic() < deadline, f"{len(found)} processes, not {count}"
            time.sleep(0.1)
        return found


@pytest.fixture
def front(project: Path) -> Iterator[Front]:
    made = Front(project)
    yield made
    with suppress(Unreachable, ToolFailed):
        fronts.stopped(made.folder, 90)
    for pid in made.processes():
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def test_no_request_fails_while_good_and_broken_versions_come(front: Front) -> None:
    assert front.ask()[0] == 503
    first = front.deploy("1")
    assert (first["ok"], first["step"], first["serving"], first["previous"]) == (True, "done", "1", None)
    words = [json.dumps({"inputs": "x" * n * 1000}) for n in range(4)]
    with Load(front.port, words, lambda _, told: told[0] in [len(one) for one in words]) as load:
        second = front.deploy("2")
        assert (second["ok"], second["serving"], second["previous"]) == (True, "2", "1")
        broken = {
            "raises": ("smoke", "it answers its own input example with 400: ValueError: no such wine"),
            "wrong": ("smoke", "it predicts ['other'] where [21] was recorded".replace("'", '"')),
            "ended": ("probe", "its server ended: ImportError: No module named 'wine'"),
            "silent": ("probe", "its server did not answer /ping within 1.5 s"),
            "dies:20": ("watch", "its server ended while it served"),
            "sours:40": ("watch", "it failed at"),
            "sours:2": ("watch", "it"),
            "hangs:20": ("watch", "it"),
        }  # fmt: skip
        for number, (kind, (step, said)) in enumerate(broken.items(), 3):
            probe = 1.5 if kind == "silent" else 120.0
            failed = front.deploy(str(number), kind, probe=probe, watch=180.0)
            assert (failed["ok"], failed["step"], failed["serving"]) == (False, step, "2"), (kind, failed)
            assert said in failed["text"], kind
    assert load.failed == []
    assert load.answered["1"] > 0
    assert load.answered["2"] > 50
    assert sum(load.answered.get(str(n), 0) for n in (3, 4, 5, 6)) == 0
    front.only(1)
    state = front.state()
    assert (state["health"], state["current"]["version"], state["previous"], state["order"]) == ("ok", "2", None, "")
    assert len(state["outcomes"]) == 10


def test_a_client_who_asks_nonsense_is_no_fault_of_the_new_version(front: Front) -> None:
    assert front.deploy("1")["ok"]
    order = front.order("2", watch=3.0)
    fronts.ask(front.folder, "begin", asdict(order))
    while front.state()["step"] != "watch":
        time.sleep(0.05)
    for _ in range(10):
        assert front.ask("nonsense")[:2] == (400, "2")
    assert [o for _, o in fronts.wait(front.folder, order) if o][-1]["ok"]
    assert front.ask("nonsense")[:2] == (400, "2")


def test_a_slow_answer_of_the_old_version_comes_whole(front: Front) -> None:
    assert front.deploy("1", "slow:4", smoke=None)["ok"]
    got: list[Any] = []
    slow = threading.Thread(target=lambda: got.append(front.ask()))
    slow.start()
    while front.state()["current"]["inflight"] == 0:
        time.sleep(0.02)
    assert front.deploy("2", watch=0.0)["ok"]
    assert front.ask()[1] == "2"
    slow.join()
    assert got[0][:2] == (200, "1")
    front.only(1)


def test_one_order_at_a_time_and_one_can_be_given_up(front: Front) -> None:
    assert front.deploy("1")["ok"]
    order = front.order("2", "silent", probe=300.0)
    fronts.ask(front.folder, "begin", asdict(order))
    with pytest.raises(Busy):
        fronts.ask(front.folder, "begin", asdict(front.order("3")))
    fronts.ask(front.folder, "cancel", {"id": order.id})
    outcome = [o for _, o in fronts.wait(front.folder, order) if o][-1]
    assert (outcome["ok"], outcome["text"], outcome["serving"]) == (False, "it was given up", "1")
    front.only(1)
    assert front.ask()[1] == "1"


def test_a_model_that_ends_is_started_again_while_its_clients_wait(front: Front) -> None:
    assert front.deploy("1")["ok"]
    (pid,) = front.only(1)
    os.kill(pid, signal.SIGKILL)
    assert front.ask()[:2] == (200, "1")
    assert front.only(1) != [pid]


def test_files_that_were_changed_are_not_started_again(front: Front) -> None:
    assert front.deploy("1")["ok"]
    (front.model / "model.pkl").write_bytes(b"not what was checked")
    (pid,) = front.only(1)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while not front.state()["health"].startswith("down: the files of version 1 are not those that were recorded"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert front.only(0) == []


@pytest.mark.parametrize("moment", ["serving", "watch", "probe"])
def test_a_front_that_was_killed_is_followed_by_one_that_goes_on(front: Front, moment: str) -> None:
    assert front.deploy("1")["ok"]
    (old,) = front.only(1)
    if moment != "serving":
        order = front.order("2", "silent" if moment == "probe" else "good", probe=300.0, watch=300.0)
        fronts.ask(front.folder, "begin", asdict(order))
        while front.state()["step"] != moment:
            time.sleep(0.05)
        front.only(2)
    state = frontstate.load(front.folder)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    while process_started(state.pid) is not None:
        time.sleep(0.02)
    with pytest.raises(Unreachable):
        fronts.ask(front.folder)
    fronts.ensure(front.folder)
    assert front.ask()[:2] == (200, "1")
    assert front.only(1) == [old]  # taken over, not started anew
    outcomes = front.state()["outcomes"]
    if moment != "serving":
        assert (outcomes[-1]["id"], outcomes[-1]["ok"], outcomes[-1]["serving"]) == ("o2", False, "1")
    assert front.deploy("3")["ok"]
    front.only(1)


def test_what_a_front_takes_and_gives(front: Front) -> None:
    assert front.deploy("1")["ok"]
    status, _, told = front.ask('{"inputs": "large"}')
    assert status == 200
    assert len(told["predictions"]) == 500_000  # more than what is read before it is passed on
    large = '{"inputs": "' + "x" * 3_000_000 + '"}'
    assert front.ask(large)[2]["predictions"] == [len(large)]
    assert front.ask(host="evil.example")[0] == 403
    assert front.ask(host="localhost:1")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    squeezed = gzip.compress(large.encode())
    connection.request("POST", "/invocations", squeezed, {"Content-Encoding": "gzip"})
    assert json.load(connection.getresponse())["predictions"] == [len(squeezed)]  # passed on as it came
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_port_that_is_taken_is_said(project: Path) -> None:
    made = find(project)
    made.ensure_state()
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        folder = frontstate.folder_of(made, "wine")
        folder.mkdir(parents=True)
        frontstate.keep(folder, State("wine", "127.0.0.1", held.getsockname()[1]))
        with pytest.raises(ToolFailed, match="address already in use"):
            fronts.ensure(folder)


def test_stopping_ends_everything(front: Front) -> None:
    assert front.deploy("1")["ok"]
    assert fronts.stopped(front.folder)
    assert front.only(0) == []
    assert not fronts.stopped(front.folder)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{front.port}/ping", timeout=5)
