"""What every route refuses, asked of a real server: nothing reaches the project, whichever route it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import make_repository
from nbledger.server.routes import PREFIX, ROUTES, Route
from server.jupyter import Server, examples, started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served") / "root"
    make_repository(root)
    with started(root, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_reaches_the_project(server: Server) -> Iterator[None]:
    """A keeper's first deed is its folder: where there is none, no keeper was ever asked."""
    yield
    assert not (server.root / ".nbledger").exists()


def refused(server: Server, status: int | set[int], **how: Any) -> None:
    """Every route, asked with good words but for what ``how`` says, answers ``status`` and one clear error."""
    wanted = {status} if isinstance(status, int) else status
    seen = {}
    for route in ROUTES:
        given = how.get("words")
        words = examples(route) if given is None else given(route)
        if words is None:
            continue
        rest = {k: v for k, v in how.items() if k not in {"words", "headers_for"}}
        if "headers_for" in how:
            rest["headers"] = how["headers_for"](route)
        reply = server.call(route, words, **rest)
        good = reply.status in wanted and _is_clear(reply.json)
        if not good:
            seen[f"{route.method} {route.path}"] = (reply.status, reply.body[:200])
    assert not seen


def _is_clear(answer: Any) -> bool:
    error = answer["error"]
    return bool(error["error"]) and len(json.dumps(answer)) < 1_000 and isinstance(error["code"], int)


def test_unknown_words(server: Server) -> None:
    refused(server, 400, words=lambda route: examples(route) | {"cwd": "/etc"})
    refused(server, 400, words=lambda route: examples(route) | {"served": "/"})
    refused(server, 400, words=lambda route: examples(route) | {"<img src=x onerror=alert(1)>": "1"})


def test_missing_words(server: Server) -> None:
    refused(server, 400, words=lambda route: {} if route.needed else None)


def test_words_of_a_wrong_type(server: Server) -> None:
    def wrong(route: Route) -> dict[str, Any] | None:
        if not route.words:
            return None
        if route.method == "POST":
            return examples(route) | {name: {"x": [1]} for name in route.words if name != "tags"} | {"tags": 7}
        name, schema = next(iter(route.words.items()))
        return examples(route) | {name: ["x" * 21_000] if schema["type"] == "array" else ["x", "y"]}

    refused(server, 400, words=wrong)


def test_a_megabyte_of_words(server: Server) -> None:
    for route in ROUTES:
        words = dict.fromkeys(route.words or ["x"], "x" * 1_000_000)
        try:
            assert server.call(route, words).status in {400, 413, 414, 431}
        except (ConnectionError, OSError):
            assert route.method != "POST"  # Tornado hangs up on a header of that size
    assert server.ask("GET", "api/status", server.known).status == 200


def test_methods_that_a_path_does_not_have(server: Server) -> None:
    for route in ROUTES:
        has = {r.method for r in ROUTES if r.path == route.path}
        for method in {"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD"} - has:
            reply = server.ask(method, f"{PREFIX}/{route.path}", server.known, b"" if method != "HEAD" else None)
            assert reply.status == 405, (method, route.path)


def test_paths_that_are_no_route(server: Server) -> None:
    for path in ("nothing", "state/x", "runs%2fdetail", "STATE", "state%00"):
        assert server.ask("GET", f"{PREFIX}/{path}", server.known).status == 404, path
