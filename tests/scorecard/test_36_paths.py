"""Folders beside what the server serves (one that is called like it, with something behind) hold files with a secret word.
Inside lie links that lead there, to a file, and to `/etc`. Every route is asked about paths that lead out (`..` in every
encoding, absolute, the sibling, through each link, with NUL, thousands of characters), as the project and as each word
that names a file; the keeper's own calls are given the same. Meanwhile strace notes every file that the server, the keeper
and the programs that they start open, change or list.

nbledger refuses with one line that is the same whether something is there or not. The secret word is in no answer and in
nothing that was recorded, the files outside are as they were, and none of them was opened. The plain way is Jupyter Server's
own contents API, asked for the same paths.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from conftest import commit_all, make_repository
from kills import spread
from nbledger.core.errors import LedgerError
from nbledger.core.project import find
from nbledger.keeper import client, endpoint
from nbledger.server.routes import ROUTES, Route
from server.jupyter import Server, examples, started

SECRET = "0f1e2d3c-what-lies-outside"
PROJECTS = (
    "..", "../", "../root-evil", "sub/../../root-evil", "%2e%2e/root-evil", "..%2froot-evil", "%2e%2e%2froot-evil",
    "sub/%2e%2e/%2e%2e/root-evil", "/..%2Froot-evil", "..%252froot-evil", "/etc", "%2fetc%2fpasswd", "%2f%2fetc", "link",
    "link/secret.txt", "link/.git", "etc", "etc/passwd", "secret.txt", "no-such-file", "sub%00", "sub%00/../../root-evil",
    "x" * 5_000, "%5c..%5croot-evil", "file:///etc/passwd", "~root", "~", "..;/root-evil", "%c0%ae%c0%ae/root-evil",
)  # fmt: skip
"""As they stand in the URL."""
WORDS = (
    "../root-evil/secret.txt", "..", "sub/../../root-evil/secret.txt", "/etc/passwd", "~/secret.txt", "link/secret.txt",
    "link", "link/sub/../secret.txt", "etc/passwd", "secret.txt", "link/*", "*/secret.txt", "link/new/folder", "a\0b",
    "..\\root-evil", "%2e%2e/root-evil/secret.txt", "./../root-evil/secret.txt", ".git/config", ".git/hooks", "x" * 4_000,
    "x\n/../../root-evil/secret.txt", "--output=../root-evil/canary", "sub/./../link/secret.txt", ".nbledger/../../root-evil",
)  # fmt: skip
"""As a word that names a file of the project."""
OUT = [route for route in ROUTES if {"file", "paths", "into"} & set(route.words)]
_CHANGING = "open|openat|openat2|creat|unlink|unlinkat|rename|renameat|renameat2|mkdir|mkdirat|chmod|fchmodat|truncate|link|linkat|symlink|symlinkat"
_OPENED = re.compile(rf'^\d+ +(?:{_CHANGING})\(.*?"(.*?)"')


@dataclass(frozen=True)
class Place:
    """The served folder ``root``, and what lies outside of it."""

    root: Path
    outside: Path
    digest: str


def digest(folder: Path) -> str:
    """Everything that a folder holds: names, modes, times and bytes."""
    found = []
    for path in sorted(folder.rglob("*")):
        at = path.lstat()
        held = path.read_bytes() if path.is_file() else b""
        found.append(f"{path} {at.st_mode} {at.st_mtime_ns} {at.st_ino} {hashlib.sha256(held).hexdigest()}")
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    above = tmp_path_factory.mktemp("above")
    root, outside = above / "root", above / "root-evil"
    for folder in (root, outside):
        make_repository(folder)
    (outside / "secret.txt").write_text(SECRET)
    (outside / "sub").mkdir()
    (root / "sub").mkdir()
    (root / "sub" / "data.csv").write_text("1\n")
    commit_all(root)
    commit_all(outside)
    (root / "link").symlink_to(outside)
    (root / "secret.txt").symlink_to(outside / "secret.txt")
    (root / "etc").symlink_to("/etc")
    return Place(root, outside, digest(outside))


@pytest.fixture(scope="module")
def server(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(place.root, tmp_path_factory.mktemp("home")) as running:
        yield running


@contextlib.contextmanager
def watched(pids: list[int], log: Path) -> Iterator[None]:
    """What these processes and their children do with files, into ``log``."""
    words = ["strace", "-f", "-qq", "-s", "600", "-e", "trace=%file,getdents64", "-e", "signal=none", "-o", str(log)]
    tracer = subprocess.Popen([*words, *(w for pid in pids for w in ("-p", str(pid)))])
    until = time.monotonic() + 20
    while not all(_traced(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert all(map(_traced, pids))
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)


def _traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


def opened_outside(log: Path, place: Place) -> list[str]:
    """The calls of ``log`` that opened, changed or listed something outside, by whatever name."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        name = _OPENED.search(line)
        if name is None or "ENOENT" in line or "ELOOP" in line or "O_PATH" in line:
            continue
        real = os.path.realpath(os.path.join(place.root, name[1]))
        ours = real.startswith((f"{place.outside}/", "/etc/passwd")) or real == str(place.outside)
        if ours or (real == "/etc" and "O_DIRECTORY" in line):
            found.append(line)
    return found


def unharmed(place: Place) -> None:
    assert digest(place.outside) == place.digest
    assert not list(place.outside.rglob("canary*"))
    assert not list(place.outside.rglob(".nbledger"))
    for path in place.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes(), path
    assert not (place.root / ".dvc/cache/files").exists() or not list(
        (place.root / ".dvc/cache/files").rglob("*secret*")
    )


def _asked(route: Route, word: str) -> Iterator[dict[str, Any]]:
    """The route's words with ``word`` where it takes a file or a folder; previews for every kind that has one."""
    kinds = ["track", "checkpoint", "use_version", "reproduce"] if route.path == "preview" else [None]
    if route.path == "jobs":
        kinds = ["track", "reproduce"]
    for kind in kinds:
        words = examples(route) | ({"kind": kind} if kind else {})
        for name in {"file", "paths", "into"} & set(route.words):
            yield (
                words | {name: [word] if name == "paths" else word, "commit": "deadbeef"}
                if "commit" in route.words
                else words | {name: [word] if name == "paths" else word}
            )


def test_as_the_project(
    place: Place, server: Server, seen: Callable[[str], None], count: Callable[[int, int], int]
) -> None:
    """A path of Jupyter's contents, from which the project is found: all routes, all paths."""
    log, said, asked = server.root.parent / "project.strace", set(), 0
    with watched([server.pid], log):
        for route in ROUTES:
            for path in spread(PROJECTS, count(len(PROJECTS), 10)):
                reply = server.call(route, examples(route), raw_path=path)
                assert reply.status in (400, 404), (route, path)
                said.add(reply.json["error"]["error"])
                asked += 1
            for path in (str(place.outside), str(place.root), f"{place.root}-evil/secret.txt"):
                assert server.call(route, examples(route), path=path).status == 404
                asked += 1
    assert said <= {"Jupyter Server serves no such path", "the request is not UTF-8"}
    assert not (place.root / ".nbledger").exists()
    assert opened_outside(log, place) == []
    unharmed(place)
    seen(f"{len(ROUTES)} routes: {asked} paths that lead out as the project, all refused, no file outside opened")


def test_as_a_file_of_the_project(
    place: Place,
    server: Server,
    seen: Callable[[str], None],
    count: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each word of a route that names a file, and each call of the keeper that takes one."""
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    assert server.call(next(r for r in ROUTES if r.path == "init"), {}).status == 200
    here = find(place.root)
    known = client.ready(here)
    assert known is not None
    log, asked, leading_out = server.root.parent / "file.strace", 0, spread(WORDS, count(len(WORDS), 7))
    with watched([server.pid, known.pid], log):
        for route in OUT:
            for word in leading_out:
                for words in _asked(route, word):
                    reply = server.call(route, words)
                    assert SECRET.encode() not in reply.body, (route.path, words)
                    asked += 1
                    if reply.status == 200 and route.path == "jobs":
                        ended = _ended(server, reply.json["result"]["id"])
                        assert ended["state"] == "failed", words
        for call in ("track", "checkpoint", "diff", "versions", "use_version", "job_start"):
            for word in [*leading_out, str(place.outside / "secret.txt")]:
                args = _args(call, word)
                with contextlib.suppress(LedgerError):
                    answer = client.ask(here, call, args)
                    assert SECRET not in json.dumps(answer, default=str), (call, word)
                asked += 1
    assert endpoint.load(here) == known
    assert opened_outside(log, place) == []
    unharmed(place)
    seen(
        f"{asked} words that lead out, to {len(OUT)} routes and 6 calls of the keeper: no file outside opened or changed"
    )


def _args(call: str, word: str) -> dict[str, Any]:
    some: dict[str, dict[str, Any]] = {
        "track": {"paths": [word]},
        "checkpoint": {"paths": [word], "message": "x"},
        "use_version": {"file": word, "commit": "deadbeef"},
        "job_start": {"kind": "track", "paths": [word]},
    }
    return some.get(call, {"file": word})


def _ended(server: Server, job: str) -> dict[str, Any]:
    (route,) = (r for r in ROUTES if (r.method, r.path) == ("GET", "jobs"))
    for _ in range(600):
        (found,) = (one for one in server.call(route, {}).json["result"]["jobs"] if one["id"] == job)
        if found["state"] != "running":
            return dict(found)
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def test_plain_contents_api(place: Place, server: Server, plain: Callable[[bool, str], None]) -> None:
    answered = []
    for path in [*PROJECTS, *(quote(word) for word in WORDS)]:
        with contextlib.suppress(OSError):
            reply = server.ask("GET", f"api/contents/{path}?content=1", server.known)
            if SECRET.encode() in reply.body or b"root:x:0" in reply.body:
                answered.append(path)
    shown = ", ".join(answered[:3])
    plain(
        not answered,
        f"Jupyter's contents API gives out files outside of its root through links: {shown}" if answered else "refused",
    )
