"""The keeper's socket: who may come, and that nothing that is sent there can do harm, whatever it is."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from keeper.test_schemas import values
from nbledger.core.errors import Busy, UsageError
from nbledger.core.project import find
from nbledger.keeper import calls, client, endpoint, reception, schemas, words
from snap import Snap, check_same

MANY = 1_500
PING: dict[str, Any] = {"call": "ping"}


def line(known: endpoint.Endpoint, request: Any, secret: str | None = None) -> bytes:
    """A request as our client spells it."""
    body = json.dumps({"secret": known.secret if secret is None else secret, **request})
    return body.encode() + b"\n"


def said(known: endpoint.Endpoint, sent: bytes, *, close: bool = True, seconds: float = 20) -> bytes:
    """What the keeper answers to these bytes, to the end of the connection."""
    with endpoint.connect(known, seconds) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            if close:
                connection.shutdown(socket.SHUT_WR)
        held = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(1 << 16):
                held += more
        return held


def error_of(answer: bytes) -> dict[str, Any]:
    """The one error that an answer is; it is short, and one line."""
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    assert len(answer) < 1_000
    error: dict[str, Any] = json.loads(answer)["error"]
    assert "\n" not in error["error"]
    return error


def asked(known: endpoint.Endpoint, sent: bytes) -> bytes:
    """As ``said``, but in the pace that the keeper allows."""
    while b"times a second" in (answer := said(known, sent)):
        time.sleep(0.2)
    return answer


@pytest.fixture
def keeper(project: Path) -> endpoint.Endpoint:
    known = client.ready(find(project))
    assert known is not None
    client.call(find(project), "flush")  # the store is there, so that the figures below are those at rest
    return known


def _at_rest(process: psutil.Process) -> tuple[int, int]:
    """Its threads and descriptors, once they have been the same for two seconds: libraries start some as they load."""
    until = time.monotonic() + 60
    seen, since = (0, 0), time.monotonic()
    while time.monotonic() - since < 2 and time.monotonic() < until:
        now = (process.num_threads(), process.num_fds())
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.1)
    return seen


@pytest.fixture
def alive(project: Path, keeper: endpoint.Endpoint) -> Iterator[None]:
    """The same keeper goes on afterwards, and the project is as it was."""
    before = Snap.take(project)
    yield
    assert json.loads(asked(keeper, line(keeper, PING)))["result"]["pid"] == keeper.pid
    check_same(before, Snap.take(project))


@pytest.fixture
def unharmed(project: Path, keeper: endpoint.Endpoint, alive: None) -> Iterator[None]:
    """As ``alive``, and the keeper has no thread or descriptor more than before."""
    process, deadline = psutil.Process(keeper.pid), time.monotonic() + 60
    while not any(file.path.endswith("mlflow.db") for file in process.open_files()):  # it is still importing MLflow
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert b'"result"' in said(keeper, line(keeper, {"call": "status", "context": calls.context(find(project))}))
    threads, files = _at_rest(process)
    yield
    threads_now, files_now = _at_rest(process)
    assert threads_now <= threads
    assert files_now <= files


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_the_socket_is_the_users_alone(project: Path, keeper: endpoint.Endpoint) -> None:
    assert isinstance(keeper.address, str)
    assert mode(keeper.address) == 0o600
    assert mode(endpoint.file_of(find(project))) == 0o600
    assert mode(endpoint.folder()) == 0o700
    assert mode(find(project).state) == 0o700


def test_a_folder_that_others_could_enter_is_closed_and_anothers_is_refused(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = endpoint.folder()
    place.chmod(0o777)
    assert mode(endpoint.folder()) == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    with pytest.raises(Exception, match="belongs to someone else"):
        endpoint.folder()


def test_another_user_is_not_listened_to(keeper: endpoint.Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder keeps them out; where it does not (it was opened by hand) the system says who asks."""
    here, there = socket.socketpair()
    with here, there:
        reception.Reception("secret").enter(here)
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 12_345)
            with pytest.raises(UsageError, match="its own user only"):
                reception.Reception("secret").enter(here)
    if os.geteuid() or not isinstance(keeper.address, str):
        return
    program = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(10)\n"
        "try: s.connect(sys.argv[1])\n"
        "except OSError as err: sys.exit(print(type(err).__name__))\n"
        "try: s.sendall(sys.argv[2].encode())\n"
        "except ConnectionError: pass  # it may have hung up already\n"
        "print(s.recv(999).decode())"
    )
    command = [sys.executable, "-c", program, keeper.address, line(keeper, PING).decode()]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "PermissionError\n"
    place = Path(keeper.address)
    for opened, how in ((place.parent.parent, 0o755), (place.parent, 0o755), (place, 0o666)):
        opened.chmod(how)
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "its own user only" in answer


def test_without_the_secret_nothing_is_read_or_parsed(keeper: endpoint.Endpoint, alive: None) -> None:
    for secret in ("", "x", keeper.secret[:-1], keeper.secret[:-1] + "!", keeper.secret.upper(), keeper.secret + "0"):
        for request in (PING, {"call": "stop"}, {"call": "init", "context": {}, "args": {}}):
            error = error_of(asked(keeper, line(keeper, request, secret)))
            assert error["error"] == "the keeper was called without its secret"
    begun = time.monotonic()
    error = error_of(asked(keeper, b'{"secret": "' + b"[" * (64 << 20)))
    assert error["error"] == "the keeper was called without its secret"
    assert time.monotonic() - begun < 5  # 64 MB were not waited for
    for odd in (b"\n", b"{}\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x02\0" * 20):
        assert error_of(asked(keeper, odd))["error"] == "the keeper was called without its secret"
    assert said(keeper, b"") == b""
    later = json.dumps({"call": "stop", "secret": keeper.secret}).encode()  # right, but not where it belongs
    assert error_of(asked(keeper, later + b"\n"))["error"] == "the keeper was called without its secret"


def test_what_is_no_request_is_answered_in_one_line(keeper: endpoint.Endpoint, alive: None) -> None:
    head = b'{"secret": "' + keeper.secret.encode() + b'"'
    odd: dict[str, list[bytes]] = {
        "the request is not JSON": [
            head + b"\n", head + b",\n", head + b", \xff\xfe}\n", head + b', "call": NaN}\n', head + b"} {}\n",
            head + b', "args": ' + b"[" * 200_000 + b"\n", head + b', "args": ' + b'{"a":' * 200_000 + b"\n",
            head + b', "args": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", head + b', "n": ' + b"9" * 5_000 + b"}\n",
        ],
        "lacks 'call'": [head + b"}\n"],
        "call is": [head + b', "call": 5}\n', head + b', "call": ["ping"]}\n', head + b', "call": ""}\n'],
        "no call 'nothing'": [head + b', "call": "nothing"}\n'],
        "characters that are no text": [head + b', "call": "a\\u0000"}\n', head + b', "call": "\\ud800"}\n'],
        "args is not": [head + b', "call": "ping", "args": [1]}\n', head + b', "call": "ping", "args": null}\n'],
        "the request ended before its line did": [head, head + b', "call": "ping"', head + b', "call": "ping"}'],
        "larger than 8 MB": [head + b', "call": "' + b"x" * (9 << 20) + b'"}\n'],
    }  # fmt: skip
    for words_of_it, requests in odd.items():
        for sent in requests:
            assert words_of_it in error_of(asked(keeper, sent))["error"], sent[:90]


def test_a_context_is_a_folder_of_this_project_and_a_store(
    project: Path, keeper: endpoint.Endpoint, tmp_path: Path, alive: None
) -> None:
    good = calls.context(find(project))
    odd = [
        {}, {"cwd": str(project)}, good | {"cwd": "sub"}, good | {"cwd": ""}, good | {"cwd": "/x\0y"},
        good | {"cwd": "/" + "x" * 5_000}, good | {"cwd": str(tmp_path)}, good | {"cwd": "/"}, good | {"cwd": 5},
        good | {"uri": "--config=x"}, good | {"uri": "x\ny"}, good | {"uri": ""}, good | {"uri": None},
        good | {"experiment": ["x"]}, good | {"experiment": ""}, good | {"more": 1}, good | {"cwd": ["/"]},
    ]  # fmt: skip
    for context in odd:
        for call in ("status", "watch", "flush"):
            error = error_of(asked(keeper, line(keeper, {"call": call, "context": context, "args": {}})))
            assert error["code"] == 2, (context, error)
    assert b'"result"' in asked(keeper, line(keeper, {"call": "status", "context": good, "args": {}}))


def _random_bytes(wheel: random.Random, known: endpoint.Endpoint, good: bytes) -> bytes:
    """A request that was damaged in one way or another."""
    match wheel.randrange(6):
        case 0:
            return wheel.randbytes(wheel.randrange(300))
        case 1:
            return good[: wheel.randrange(len(good))]
        case 2:
            at = wheel.randrange(len(good))
            return good[:at] + wheel.randbytes(wheel.randrange(1, 9)) + good[at + wheel.randrange(5) :]
        case 3:
            return line(known, PING)[:-2] + b", " + wheel.randbytes(60) + b"}\n"
        case 4:
            return good.replace(b'"args"', wheel.choice([b'"args", 1', b'"a\0rgs"', b'"args": {}, "args"']), 1)[:-1]
        case _:
            return line(known, PING)[:-2] + b', "args": ' + b"[{" * wheel.randrange(40_000) + b"\n"


def _wrong_words(wheel: random.Random, project: Path) -> dict[str, Any]:
    """A call whose words its schema does not allow."""
    while True:
        name = wheel.choice([*calls.TABLE, "watch", "__import__", "".join(wheel.choices(string.printable, k=9))])
        args: Any = values(wheel, schemas.CALLS.get(name, {"type": "object"}))
        odd = wheel.choice(
            [
                None,
                {"$(touch canary)": 1},
                {"run": "--output=canary"},
                {"paths": ["x" * 5_000]},
                {"\0": 1},
                {"x": [[[[]]]]},
            ]
        )
        if isinstance(args, dict) and odd is not None:
            args |= odd
        if name not in schemas.CALLS:
            return {"call": name, "context": {} if name == "watch" else calls.context(find(project)), "args": args}
        try:
            words.check(args, schemas.CALLS[name])
        except UsageError:
            return {"call": name, "context": calls.context(find(project)), "args": args}


def test_thousands_of_damaged_requests(project: Path, keeper: endpoint.Endpoint, unharmed: None) -> None:
    """Every one is answered by an error or not at all, none is carried out; meanwhile dozens hold a line open and say
    nothing, or a byte now and then.
    """
    wheel = random.Random(20_261_125)
    good = client.request(keeper, find(project), "diff", {"file": "data/a.csv"})
    idle = [endpoint.connect(keeper, 5) for _ in range(60)]
    for number, one in enumerate(idle):
        one.sendall(good[: number * 2])
    begun, dripped = time.monotonic(), 0
    for number in range(MANY):
        if wheel.random() < 0.4:
            answer = asked(keeper, _random_bytes(wheel, keeper, good))
            if answer and b'"result"' not in answer:  # bytes that were changed may still be a good question
                error_of(answer)
        else:
            request = _wrong_words(wheel, project)
            error = error_of(asked(keeper, line(keeper, request)))
            assert error["code"] in (2, 3), (request, error)
        if number % 50 == 0 and dripped < 20:
            with contextlib.suppress(OSError):
                idle[0].sendall(good[dripped : dripped + 1])
            dripped += 1
    while time.monotonic() - begun < reception.SECRET_SECONDS + 0.5:
        time.sleep(0.1)
    told = []
    for one in idle[:20]:  # they never came as far as the end of the secret
        with one:
            one.settimeout(5)
            told.append(one.recv(999) + one.recv(9))
    assert all(b"did not come in time" in words_of_it for words_of_it in told)
    for one in idle[20:]:
        one.close()


def test_a_crowd_is_refused_and_those_inside_are_served(keeper: endpoint.Endpoint, unharmed: None) -> None:
    crowd: list[socket.socket] = []
    try:
        for _ in range(reception.CONNECTIONS + 20):
            crowd.append(endpoint.connect(keeper, 5))
            with contextlib.suppress(ConnectionError):  # the last ones are refused
                crowd[-1].sendall(line(keeper, PING)[:-1])  # who has said the secret has time for the rest of the line
        with pytest.raises(Busy, match="connections already"):
            raise Busy(error_of(said(keeper, line(keeper, PING), close=False))["error"])
        crowd[0].sendall(b"\n")
        assert b'"result"' in crowd[0].recv(999)
    finally:
        for one in crowd:
            one.close()


def test_who_asks_too_often_is_told_so_and_a_busy_page_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with here, there:
        desk = reception.Reception("secret")
        for _ in range(int(reception.BURST)):
            desk.enter(here)
            desk.leave()
        with pytest.raises(Busy, match="times a second"):
            desk.enter(here)
        for _ in range(int(reception.RATE)):
            clock[0] += 1.001 / reception.RATE
            desk.enter(here)
            desk.leave()


def test_who_watches_and_talks_is_let_go(project: Path, keeper: endpoint.Endpoint, alive: None) -> None:
    with endpoint.connect(keeper, 10) as connection:
        connection.sendall(client.request(keeper, find(project), "watch", {}))
        assert b"watching" in connection.recv(999)
        connection.sendall(b"x" * 9_000)
        with contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):
                pass


def test_a_large_answer_is_taken_slowly_and_whole(project: Path, keeper: endpoint.Endpoint) -> None:
    (project / "long.txt").write_text("".join(f"{n} lines that are much alike\n" for n in range(40_000)))
    with endpoint.connect(keeper, 30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(client.request(keeper, find(project), "diff", {"file": "long.txt"}))
        held = b""
        while more := connection.recv(1 << 14):
            held += more
            time.sleep(0.0005)
    assert held.endswith(b"\n")
    assert "result" in json.loads(held)


def test_where_there_are_no_unix_sockets_the_secret_alone_opens(project: Path) -> None:
    """Loopback, as on Windows: the file that tells address and secret is the user's alone."""
    program = (
        "import socket, sys; del socket.AF_UNIX; from nbledger.keeper.process import main; sys.exit(main(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(project)])
    try:
        here = find(project)
        until = time.monotonic() + 60
        while (known := endpoint.load(here)) is None and time.monotonic() < until:
            time.sleep(0.05)
        assert known is not None
        assert known.address[0] == "127.0.0.1"
        assert mode(endpoint.file_of(here)) == 0o600
        assert "without its secret" in error_of(said(known, line(known, PING, "0" * 32)))["error"]
        assert "without its secret" in error_of(said(known, b'{"secret": "' + b"x" * (1 << 20), close=False))["error"]
        assert json.loads(said(known, line(known, PING)))["result"]["pid"] == process.pid
        assert client.stop(here)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
